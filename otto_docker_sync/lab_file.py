"""``lab.toml``: read, checked key by key, and turned into hosts and projects."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ._ssh import SSHOptions
from ._telnet import TelnetOptions
from .errors import ConfigError
from .host import Host
from .local_host import LocalHost
from .project import NAME, SERVICE, Project, did_you_mean
from .reservations import ReservationOptions
from .secret import Secret, register_secret
from .unix_host import UnixHost

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMAND_TIME = 60.0
"""Seconds that a ``password_command`` may take: it may have to ask somebody."""

COMMON = ("name", "docker_capable", "docker_command", "resources", "log", "log_stdout", "shell", "default_timeout")
PATHS = ("identity_file", "known_hosts", "config_file")
SECRETS = ("password", "passphrase")

MEANT = {
    "dict_type": "it should be a table",
    "list_type": "it should be a list, in brackets",
    "model_type": "it should be a table",
    "string_type": "it should be a text, in quotes",
    "too_short": "it should not be empty",
}
"""What pydantic would say in words of its own."""

Seconds = Annotated[float, Field(gt=0)]
Words = Annotated[list[str], Field(min_length=1)]


def _host_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise ValueError("a host's id is made of letters, digits, '_', '.' and '-', the first a letter or digit")
    return text.lower()


def _project_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("a project's name is made of letters, digits, '_' and '-', the first a letter or digit")
    return text


def _service(text: str) -> str:
    if not SERVICE.fullmatch(text):
        raise ValueError(f'{text!r} is no service; give its name, or "name#2" for its second replica')
    return text


def _command(value: Any) -> Any:
    words = value if isinstance(value, list) else [value]
    if not words or not all(isinstance(word, str) and word for word in words):
        raise ValueError("it should be a command, or the list of its words")
    return value


Id = Annotated[str, AfterValidator(_host_id)]
SecretCommand = Annotated[Any, AfterValidator(_command)]


class Table(BaseModel):
    """A table of the lab file: no key that is not declared, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TelnetTable(Table):
    """``[hosts.ID.telnet]``: the arguments of `TelnetOptions`."""

    login_prompt: str | None = None
    password_prompt: str | None = None
    shell_prompt: str | None = None
    connect_timeout: Seconds | None = None
    encoding: str | None = None


class HostTable(Table):
    """``[hosts.ID]``: the arguments of `UnixHost`, and those of `SSHOptions`."""

    host: str | None = None
    name: str | None = None
    user: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    term: Literal["ssh", "telnet", "local"] = "ssh"
    hop: Id | None = None
    password_env: str | None = None
    password_command: SecretCommand = None
    docker_capable: bool = True
    docker_command: Words = ["docker"]
    resources: list[str] = []
    log: bool = True
    log_stdout: bool = True
    shell: str = "sh"
    default_timeout: Seconds | None = None

    identity_file: str | None = None
    passphrase_env: str | None = None
    passphrase_command: SecretCommand = None
    allow_agent: bool | None = None
    known_hosts: str | None = None
    host_key_policy: Literal["reject", "accept-new", "ignore"] | None = None
    config_file: str | None = None
    connect_timeout: Seconds | None = None
    keepalive_interval: Seconds | None = None
    max_connections: Annotated[int, Field(ge=1)] | None = None
    legacy: bool | None = None

    telnet: TelnetTable | None = None


class ProjectTable(Table):
    """``[projects.NAME]``: a Compose project."""

    compose_files: Words
    default_host: Id | None = None
    services: list[Annotated[str, AfterValidator(_service)]] = []


class ReservationsTable(Table):
    """``[reservations]``: the arguments of `ReservationOptions`."""

    backend: str | None = None
    ttl: Seconds | None = None
    required: bool | None = None
    password_env: str | None = None
    password_command: SecretCommand = None


class LabTable(Table):
    """The whole file."""

    name: str | None = None
    resources: list[str] = []
    reservations: ReservationsTable = ReservationsTable()
    hosts: dict[Id, HostTable] = {}
    projects: dict[Annotated[str, AfterValidator(_project_name)], ProjectTable] = {}


@dataclass(frozen=True)
class LabFile:
    """What a lab file declares."""

    name: str
    resources: frozenset[str]
    reservations: ReservationOptions
    hosts: list[Host]
    projects: list[Project]


def read(path: str | os.PathLike[str]) -> LabFile:
    """Read a lab file. Contacts nothing, runs nothing. Raises `ConfigError` that names file, table and key."""
    file = Path(os.path.abspath(os.path.expanduser(path)))
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"lab file {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"lab file {file} is no valid TOML: {error}") from None
    try:
        table = LabTable.model_validate(content)
    except ValidationError as invalid:
        wrong = [_explain(error["type"], error["loc"], error["msg"], content) for error in invalid.errors()]
        raise ConfigError("\n".join(f"{file}: {line}" for line in wrong)) from None
    if len(table.hosts) < len(content.get("hosts", ())):
        raise ConfigError(f"{file}: [hosts]: two ids differ in upper and lower case only")
    return LabFile(
        name=table.name or file.parent.name or "lab",
        resources=frozenset(table.resources),
        reservations=_reservations(file, table.reservations),
        hosts=_Hosts(file, table).all(),
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
            raise ConfigError(f'{where} host: missing; give the address of the machine, or term = "local" for this one')
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
        raise ConfigError(f"{where} {kind}_env and {kind}_command: give one of the two")
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
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=COMMAND_TIME, check=False)
        except OSError as error:
            raise ConfigError(f"{what} could not be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{what} did not end within {COMMAND_TIME:.0f} s") from None
        if done.returncode:
            raise ConfigError(f"{what} failed with status {done.returncode}")
        return done.stdout.removesuffix("\n")

    return from_command


def _explain(kind: str, place: Sequence[int | str], message: str, content: Any) -> str:
    """One line for what pydantic found wrong: where, what stands there, what was meant."""
    model: type[Table] = LabTable
    depth = 0
    if place[0] in ("hosts", "projects") and len(place) > 2:
        model, depth = HostTable if place[0] == "hosts" else ProjectTable, 2
        if place[2] == "telnet" and len(place) > 3:
            model, depth = TelnetTable, 3
    elif len(place) == 2:
        model, depth = {"reservations": ReservationsTable}.get(str(place[0]), LabTable), 1
    table, key = ".".join(map(str, place[:depth])), place[depth]
    if key == "[key]":  # the name of the table itself
        return f"[{table}]: {message.removeprefix('Value error, ')}"
    where = f"[{table}] {key}" if table else str(key)
    if key in SECRETS and model in (HostTable, ReservationsTable):
        return (
            f"{where}: a {key} does not stand in a lab file, which others read: give {key}_env, the name of an "
            f"environment variable, or {key}_command, a command that prints it"
        )
    if kind == "extra_forbidden":
        return f"{where}: there is no such key{did_you_mean(str(key), model.model_fields)}"
    if kind == "missing":
        return f"{where}: this key is missing"
    value = content
    for step in place[: depth + 1]:
        value = value[step]
    message = MEANT.get(kind) or message.removeprefix("Value error, ").replace("Input should", "it should")
    return f"{where} = {json.dumps(value, default=str)}: {message}"


def _project(file: Path, name: str, table: ProjectTable, lab: LabTable) -> Project:
    if table.default_host is not None and table.default_host not in lab.hosts:
        raise _unknown(file, f"projects.{name}", "default_host", table.default_host, lab.hosts)
    if table.default_host is not None and not lab.hosts[table.default_host].docker_capable:
        raise ConfigError(
            f"{file}: [projects.{name}] default_host = {table.default_host!r}: that host is not docker_capable"
        )
    paths = [_path(file, f"projects.{name}", "compose_files", path) for path in table.compose_files]
    return Project(name, paths, default_host=table.default_host, services=table.services)


def _path(file: Path, table: str, key: str, text: str) -> Path:
    """Expand ``~`` and variables; relative paths start at the lab file."""
    expanded = os.path.expandvars(os.path.expanduser(text))
    missing = re.search(r"\$\{?([A-Za-z_]\w*)", expanded)
    if missing and missing[1] not in os.environ:
        raise ConfigError(f"{file}: [{table}] {key} = {text!r}: the environment has no variable {missing[1]}")
    return Path(os.path.normpath(file.parent / expanded))


def _unknown(file: Path, table: str, key: str, given: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(f"{file}: [{table}] {key} = {given!r}: no such host{did_you_mean(given, known)}")
