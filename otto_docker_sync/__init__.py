"""Containers on lab machines behind SSH, as hosts: run, expect, put, get, from plain blocking Python.

>>> from otto_docker_sync import DockerContainerHost, UnixHost
>>> with UnixHost("lab1.example", "tester") as lab1:
...     web = DockerContainerHost(lab1, "web-1", project="shop", service="web", compose_project="shop")
...     print(web.run("cd /etc && cat hostname").output)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy_names

if TYPE_CHECKING:
    from ._channel.forward import Forward, SocketForward
    from ._docker.mounts import Mount
    from ._ssh import SSHOptions
    from ._telnet import TelnetOptions
    from ._verbs.path import RemotePath
    from .compose import Stack, StackContainer, compose_down, compose_logs, compose_ps, compose_up, composed
    from .docker_host import DockerContainerHost
    from .errors import (
        AuthenticationError,
        CommandFailed,
        CommandTimedOut,
        ComposeError,
        ComposeFileError,
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
        RemoteFileError,
        RemoteFileExists,
        RemoteFileNotFound,
        RemoteFileTimedOut,
        RemoteIsADirectory,
        RemoteNotADirectory,
        RemotePermissionDenied,
        ReservationError,
        ReservationLost,
        ReservationTimedOut,
        SessionBusy,
        SessionClosed,
        ShellNotFound,
        TransferFailed,
        UnknownHost,
        UnsupportedParentError,
        WaitTimedOut,
    )
    from .host import Host
    from .lab import Lab, Project, all_hosts
    from .local_host import LocalHost
    from .process import Process
    from .reservations import Reservation, ReservationOptions
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
    from .session import HostSession
    from .unix_host import UnixHost

__version__ = "0.1.0"

# The modules of the public names. Each is imported when one of its names is first used, so that importing the package,
# which the command line and the pytest plugin do, stays cheap.
_MODULES = {
    "_channel.forward": ("Forward", "SocketForward"),
    "_docker.mounts": ("Mount",),
    "_ssh": ("SSHOptions",),
    "_telnet": ("TelnetOptions",),
    "_verbs.path": ("RemotePath",),
    "compose": ("Stack", "StackContainer", "compose_down", "compose_logs", "compose_ps", "compose_up", "composed"),
    "docker_host": ("DockerContainerHost",),
    "errors": (
        "AuthenticationError",
        "CommandFailed",
        "CommandTimedOut",
        "ComposeError",
        "ComposeFileError",
        "ConfigError",
        "ConnectError",
        "ConnectionLost",
        "ContainerNotRunning",
        "DockerUnavailable",
        "ExpectTimeout",
        "ForkError",
        "HostKeyError",
        "LocalFileError",
        "NoSuchContainer",
        "OttoError",
        "RemoteFileError",
        "RemoteFileExists",
        "RemoteFileNotFound",
        "RemoteFileTimedOut",
        "RemoteIsADirectory",
        "RemoteNotADirectory",
        "RemotePermissionDenied",
        "ReservationError",
        "ReservationLost",
        "ReservationTimedOut",
        "SessionBusy",
        "SessionClosed",
        "ShellNotFound",
        "TransferFailed",
        "UnknownHost",
        "UnsupportedParentError",
        "WaitTimedOut",
    ),
    "host": ("Host",),
    "lab": ("Lab", "Project", "all_hosts"),
    "local_host": ("LocalHost",),
    "process": ("Process",),
    "reservations": ("Reservation", "ReservationOptions"),
    "result": (
        "CommandResult",
        "ExpectMatch",
        "FileProgress",
        "FileResult",
        "RunResult",
        "ShellCommand",
        "Status",
        "TransferResult",
    ),
    "session": ("HostSession",),
    "unix_host": ("UnixHost",),
}

__all__ = [
    "AuthenticationError",
    "CommandFailed",
    "CommandResult",
    "CommandTimedOut",
    "ComposeError",
    "ComposeFileError",
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
    "Forward",
    "Host",
    "HostKeyError",
    "HostSession",
    "Lab",
    "LocalFileError",
    "LocalHost",
    "Mount",
    "NoSuchContainer",
    "OttoError",
    "Process",
    "Project",
    "RemoteFileError",
    "RemoteFileExists",
    "RemoteFileNotFound",
    "RemoteFileTimedOut",
    "RemoteIsADirectory",
    "RemoteNotADirectory",
    "RemotePath",
    "RemotePermissionDenied",
    "Reservation",
    "ReservationError",
    "ReservationLost",
    "ReservationOptions",
    "ReservationTimedOut",
    "RunResult",
    "SSHOptions",
    "SessionBusy",
    "SessionClosed",
    "ShellCommand",
    "ShellNotFound",
    "SocketForward",
    "Stack",
    "StackContainer",
    "Status",
    "TelnetOptions",
    "TransferFailed",
    "TransferResult",
    "UnixHost",
    "UnknownHost",
    "UnsupportedParentError",
    "WaitTimedOut",
    "all_hosts",
    "compose_down",
    "compose_logs",
    "compose_ps",
    "compose_up",
    "composed",
]


if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _MODULES)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
