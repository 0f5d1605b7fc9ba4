"""Every error of the library. Each is also the built-in that fits, so ``except ConnectionError`` works too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import CommandResult, TransferResult


class OttoError(Exception):
    """The root of all errors of this library.

    The text says what was tried, on which host, what came back and what to do about it.
    """


class ConfigError(OttoError, ValueError):
    """An argument, a lab file or a setting is wrong."""


class ConnectError(OttoError, ConnectionError):
    """A host could not be reached: no such name, refused, no answer in time."""


class AuthenticationError(ConnectError):
    """The host was reached and did not accept the user's keys or password."""


class HostKeyError(ConnectError):
    """The host's key is unknown, or is not the one that known_hosts holds."""


class ConnectionLost(OttoError, ConnectionError):
    """An established connection ended, or its far end stopped to answer."""


class SessionClosed(OttoError, EOFError):
    """The shell of a session ended while something was still expected of it.

    ``before`` is the text that arrived and was not consumed; ``retcode`` the shell's exit status,
    None when nobody knows it.
    """

    def __init__(self, message: str, before: str = "", retcode: int | None = None) -> None:
        super().__init__(message)
        self.before = before
        self.retcode = retcode


class SessionBusy(OttoError, TimeoutError):
    """Another thread kept the session for longer than this call was ready to wait."""


class ExpectTimeout(OttoError, TimeoutError):
    """The expected text did not arrive in time. ``before`` is what did; it stays for the next call."""

    def __init__(self, message: str, before: str = "") -> None:
        super().__init__(message)
        self.before = before


class ContainerNotRunning(OttoError):
    """The container exists and cannot run anything now: stopped, paused, restarting, or not yet started."""


class NoSuchContainer(OttoError, LookupError):
    """The docker daemon of the parent knows no container of this id or name."""


class DockerUnavailable(OttoError):
    """There is no docker client on the parent, its daemon is down, or the user may not use it."""


class ShellNotFound(OttoError):
    """The container's image has no such shell, so nothing can be run in it."""


class ComposeError(OttoError):
    """Docker Compose failed. The text ends with its own last lines."""


class UnsupportedParentError(OttoError, NotImplementedError):
    """This verb needs a parent reached over SSH."""


class ForkError(OttoError, RuntimeError):
    """A forked child process used a host of the process that it was forked from."""


class CommandFailed(OttoError):
    """A checked command did not succeed. ``result`` is its `CommandResult`."""

    def __init__(self, message: str, result: CommandResult) -> None:
        super().__init__(message)
        self.result = result


class LocalFileError(OttoError, FileNotFoundError):
    """A file to be sent is not there, on this machine."""


class TransferFailed(OttoError):
    """A checked transfer did not succeed for every source. ``result`` is its `TransferResult`."""

    def __init__(self, message: str, result: TransferResult) -> None:
        super().__init__(message)
        self.result = result


class ReservationError(OttoError):
    """The tags could not be reserved."""


class ReservationLost(ReservationError):
    """A reservation ended while its holder still used the hosts."""
