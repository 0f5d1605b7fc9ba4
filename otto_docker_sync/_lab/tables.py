"""The tables and keys of a lab file, and what is said about one that is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigError
from ..project import NAME, SERVICE, did_you_mean

SECRETS = ("password", "passphrase", "sudo_password")

MEANT = {
    "dict_type": "it should be a table",
    "list_type": "it should be a list, in brackets",
    "model_type": "it should be a table",
    "string_type": "it should be a string, in quotes",
    "int_type": "it should be a whole number, without quotes",
    "float_type": "it should be a number, without quotes",
    "bool_type": "it should be true or false, without quotes",
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
        raise ValueError(f'{text!r} is not a valid service; write its name, or "name#2" for its second replica')
    return text


def _container_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        raise ValueError("a container's name in the lab is made of letters, digits, '_', '.' and '-'")
    return text


def _container(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise ValueError("it should be the name or id of a container, as docker ps shows it")
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
    sudo_password_env: str | None = None
    sudo_password_command: SecretCommand = None
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
    look_for_keys: bool | None = None
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
    warm: Annotated[int, Field(ge=0)] = 0


class ContainerTable(Table):
    """``[containers.NAME]``: a container that no Compose file made, and arguments of `DockerContainerHost`."""

    parent: Id
    container: Annotated[str, AfterValidator(_container)]
    user: str | None = None
    workdir: str | None = None
    shell: str = "sh"
    warm: Annotated[int, Field(ge=0)] = 0
    resources: list[str] = []
    log: bool = True
    log_stdout: bool = True
    default_timeout: Seconds | None = None


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
    containers: dict[Annotated[str, AfterValidator(_container_name)], ContainerTable] = {}


MODELS: dict[str, type[Table]] = {"hosts": HostTable, "projects": ProjectTable, "containers": ContainerTable}
"""The tables of tables: what each of their tables may hold."""


def check(content: dict[str, Any], file: object) -> LabTable:
    """Return the content of a lab file as tables. Raises `ConfigError` with a line for each thing that is wrong."""
    try:
        return LabTable.model_validate(content)
    except ValidationError as invalid:
        wrong = [_explain(error["type"], error["loc"], error["msg"], content) for error in invalid.errors()]
        raise ConfigError("\n".join(f"{file}: {line}" for line in wrong)) from None


def _explain(kind: str, place: Sequence[int | str], message: str, content: Any) -> str:
    """Return one line for what pydantic found wrong: where, what stands there, what was meant."""
    model: type[Table] = LabTable
    depth = 0
    if place[0] in MODELS and len(place) > 2:
        model, depth = MODELS[str(place[0])], 2
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
            f"{where}: a {key} does not stand in a lab file, which others read: use {key}_env, the name of an "
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
