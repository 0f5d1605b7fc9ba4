"""Containers on lab machines behind SSH, as hosts: run, expect, put, get, from plain blocking Python.

>>> from otto_docker_sync import DockerContainerHost, UnixHost
>>> with UnixHost("lab1.example", "tester") as lab1:
...     web = DockerContainerHost(lab1, "web-1", project="shop", service="web", compose_project="shop")
...     print(web.run("cd /etc && cat hostname").output)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    AuthenticationError,
    CommandFailed,
    ComposeError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    ContainerNotRunning,
    DockerUnavailable,
    ExpectTimeout,
    ForkError,
    HostKeyError,
    LocalFileError,
    NoSuchContainer,
    OttoError,
    ReservationError,
    ReservationLost,
    SessionBusy,
    SessionClosed,
    ShellNotFound,
    TransferFailed,
    UnsupportedParentError,
)
from .result import (
    CommandResult,
    ExpectMatch,
    FileProgress,
    FileResult,
    RunResult,
    ShellCommand,
    Status,
    TransferResult,
)

if TYPE_CHECKING:
    from ._ssh import SSHOptions
    from ._telnet import TelnetOptions
    from .compose import compose_down, compose_logs, compose_ps, compose_up, composed
    from .docker_host import DockerContainerHost
    from .host import Host
    from .lab import Lab, Project, all_hosts
    from .local_host import LocalHost
    from .session import HostSession
    from .unix_host import UnixHost

__version__ = "0.1.0"

# Imported when first used, so that importing the package stays cheap.
_LAZY = {
    "DockerContainerHost": "docker_host",
    "Host": "host",
    "HostSession": "session",
    "Lab": "lab",
    "LocalHost": "local_host",
    "Project": "lab",
    "SSHOptions": "_ssh",
    "TelnetOptions": "_telnet",
    "UnixHost": "unix_host",
    "all_hosts": "lab",
    "compose_down": "compose",
    "compose_logs": "compose",
    "compose_ps": "compose",
    "compose_up": "compose",
    "composed": "compose",
}

__all__ = [
    "AuthenticationError",
    "CommandFailed",
    "CommandResult",
    "ComposeError",
    "ConfigError",
    "ConnectError",
    "ConnectionLost",
    "ContainerNotRunning",
    "DockerContainerHost",
    "DockerUnavailable",
    "ExpectMatch",
    "ExpectTimeout",
    "FileProgress",
    "FileResult",
    "ForkError",
    "Host",
    "HostKeyError",
    "HostSession",
    "Lab",
    "LocalFileError",
    "LocalHost",
    "NoSuchContainer",
    "OttoError",
    "Project",
    "ReservationError",
    "ReservationLost",
    "RunResult",
    "SSHOptions",
    "SessionBusy",
    "SessionClosed",
    "ShellCommand",
    "ShellNotFound",
    "Status",
    "TelnetOptions",
    "TransferFailed",
    "TransferResult",
    "UnixHost",
    "UnsupportedParentError",
    "all_hosts",
    "compose_down",
    "compose_logs",
    "compose_ps",
    "compose_up",
    "composed",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value
