"""``lab.toml``: read, checked key by key, and turned into hosts and projects."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ._lab import HostTable, LabTable, ProjectTable, ReservationsTable, check, load_toml
from ._ssh import SSHOptions
from ._telnet import TelnetOptions
from .docker_host import DockerContainerHost
from .errors import ConfigError
from .host import Host
from .limits import PASSWORD_COMMAND_TIME
from .local_host import LocalHost
from .project import Project, did_you_mean
from .reservations import ReservationOptions
from .secret import Secret, register_secret
from .unix_host import UnixHost

COMMON = ("name", "docker_capable", "docker_command", "resources", "log", "log_stdout", "shell", "default_timeout")
PATHS = ("identity_file", "known_hosts", "config_file")


@dataclass(frozen=True)
class LabFile:
    """What a lab file declares."""

    name: str
    resources: frozenset[str]
    reservations: ReservationOptions
    hosts: list[Host]
    projects: list[Project]


def read(path: str | os.PathLike[str]) -> LabFile:
    """Read a lab file. Contacts nothing, runs nothing. Raises `ConfigError` that names file, line or table, and key."""
    file = Path(os.path.abspath(os.path.expanduser(path)))
    content = load_toml(file)
    table = check(content, file)
    if len(table.hosts) < len(content.get("hosts", ())):
        raise ConfigError(f"{file}: [hosts]: two ids differ in upper and lower case only")
    hosts = _Hosts(file, table).all()
    return LabFile(
        name=table.name or file.parent.name or "lab",
        resources=frozenset(table.resources),
        reservations=_reservations(file, table.reservations),
        hosts=[*hosts, *_containers(file, table, hosts)],
        projects=[_project(file, name, project, table) for name, project in table.projects.items()],
    )


class _Hosts:
    """Makes the hosts, each after the one that it hops over."""

    def __init__(self, file: Path, table: LabTable) -> None:
        self._file = file
        self._tables = table.hosts
        self._made: dict[str, Host] = {}

    def all(self) -> list[Host]:
        return [self._make(name, ()) for name in self._tables]

    def _make(self, name: str, over: tuple[str, ...]) -> Host:
        if name in over:
            circle = " → ".join([*over[over.index(name) :], name])
            raise ConfigError(f"{self._file}: [hosts.{name}] hop: the hops go in a circle: {circle}")
        if name not in self._made:
            table = self._tables[name]
            hop = None
            if table.hop is not None:
                if table.hop not in self._tables:
                    raise _unknown(self._file, f"hosts.{name}", "hop", table.hop, self._tables)
                hop = self._make(table.hop, (*over, name))
            self._made[name] = self._build(name, table, hop)
        return self._made[name]

    def _build(self, name: str, table: HostTable, hop: Host | None) -> Host:
        where = f"{self._file}: [hosts.{name}]"
        given = table.model_dump(exclude_none=True)
        common = {key: given[key] for key in COMMON if key in given}
        if table.term == "local":
            strange = sorted(table.model_fields_set - {"term", *COMMON})
            if strange:
                raise ConfigError(f'{where} {strange[0]}: term = "local" is this machine, which needs no such key')
            return LocalHost(id=name, **common)
        if table.host is None:
            raise ConfigError(f'{where} host: missing; write a machine\'s address, or term = "local" for this one')
        if hop is not None and not isinstance(hop, UnixHost):
            raise ConfigError(f"{where} hop = {table.hop!r}: that is this machine; leave hop out")
        options = {key: given[key] for key in SSHOptions.__dataclass_fields__ if key in given}
        for key in PATHS:
            if options.get(key):
                options[key] = str(_path(self._file, f"hosts.{name}", key, options[key]))
        try:
            return UnixHost(
                table.host,
                table.user,
                id=name,
                port=table.port,
                term=table.term,
                hop=hop,
                password=_secret(where, "password", given),
                sudo_password=_secret(where, "sudo_password", given),
                ssh=SSHOptions(passphrase=_secret(where, "passphrase", given), **options),
                telnet=TelnetOptions(**given.get("telnet", {})),
                **common,
            )
        except ConfigError as error:
            raise ConfigError(f"{where} {error}") from None


def _reservations(file: Path, table: ReservationsTable) -> ReservationOptions:
    where = f"{file}: [reservations]"
    given = table.model_dump(exclude_none=True)
    options = {key: given[key] for key in ("backend", "ttl", "required") if key in given}
    try:
        return ReservationOptions(password=_secret(where, "password", given), **options)
    except ConfigError as error:
        raise ConfigError(f"{where} {error}") from None


def _secret(where: str, kind: str, given: Mapping[str, Any]) -> Secret:
    """What asks for a password when it is first needed, and then remembers it."""
    variable, command = given.get(f"{kind}_env"), given.get(f"{kind}_command")
    if variable is not None and command is not None:
        raise ConfigError(f"{where} {kind}_env and {kind}_command: use one of the two")
    if variable is not None:
        register_secret(os.environ.get(variable))

        def from_environment() -> str:
            if variable not in os.environ:
                raise ConfigError(f"{where} {kind}_env: the environment has no variable {variable}")
            return os.environ[variable]

        return from_environment
    if command is None:
        return None
    words = shlex.split(command) if isinstance(command, str) else command

    @cache
    def from_command() -> str:
        what = f"{where} {kind}_command: {words[0]}"
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=PASSWORD_COMMAND_TIME, check=False)
        except OSError as error:
            raise ConfigError(f"{what} could not be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{what} did not end within {PASSWORD_COMMAND_TIME:.0f} s") from None
        if done.returncode:
            raise ConfigError(f"{what} failed with status {done.returncode}")
        return done.stdout.removesuffix("\n")

    return from_command


def _containers(file: Path, table: LabTable, hosts: Iterable[Host]) -> list[Host]:
    """Make the hosts of containers that no Compose file made; the project of each is called ``docker``."""
    parents = {host.id: host for host in hosts}
    made: dict[str, Host] = {}
    for name, container in table.containers.items():
        if container.parent not in parents:
            raise _unknown(file, f"containers.{name}", "parent", container.parent, parents)
        parent = parents[container.parent]
        if not parent.docker_capable:
            raise ConfigError(
                f"{file}: [containers.{name}] parent = {container.parent!r}: that host is not docker_capable"
            )
        options = container.model_dump(exclude={"parent", "container", "resources"}, exclude_none=True)
        resources = {*parent.resources, *container.resources}
        try:
            host = DockerContainerHost(parent, container.container, "docker", name, "", resources=resources, **options)
        except ConfigError as error:
            raise ConfigError(f"{file}: [containers.{name}] {error}") from None
        if made.setdefault(host.id, host) is not host:
            raise ConfigError(f"{file}: [containers]: two names differ in upper and lower case only")
    return list(made.values())


def _project(file: Path, name: str, table: ProjectTable, lab: LabTable) -> Project:
    if table.default_host is not None and table.default_host not in lab.hosts:
        raise _unknown(file, f"projects.{name}", "default_host", table.default_host, lab.hosts)
    if table.default_host is not None and not lab.hosts[table.default_host].docker_capable:
        raise ConfigError(
            f"{file}: [projects.{name}] default_host = {table.default_host!r}: that host is not docker_capable"
        )
    paths = [_path(file, f"projects.{name}", "compose_files", path) for path in table.compose_files]
    return Project(name, paths, default_host=table.default_host, services=table.services, warm=table.warm)


def _path(file: Path, table: str, key: str, text: str) -> Path:
    """Expand ``~`` and variables; relative paths start at the lab file."""
    expanded = os.path.expandvars(os.path.expanduser(text))
    missing = re.search(r"\$\{?([A-Za-z_]\w*)", expanded)
    if missing and missing[1] not in os.environ:
        raise ConfigError(f"{file}: [{table}] {key} = {text!r}: the environment has no variable {missing[1]}")
    return Path(os.path.normpath(file.parent / expanded))


def _unknown(file: Path, table: str, key: str, given: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(f"{file}: [{table}] {key} = {given!r}: no such host{did_you_mean(given, known)}")
