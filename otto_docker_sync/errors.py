"""Every error of the library. Each is also the built-in that fits, so ``except ConnectionError`` works too."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from .result import CommandResult, TransferResult


class OttoError(Exception):
    """The root of all errors of this library.

    The text says what was tried, on which host, what came back and what to do about it. Values that were given to
    `otto_docker_sync.logs.mask` are hidden in it. Errors can be pickled and copied, so they come back whole from a
    ``ProcessPoolExecutor``.

    >>> try:
    ...     host.run("make", check=True)
    ... except OttoError as error:
    ...     print(error)
    """

    def __str__(self) -> str:
        from .logs import masked  # the words of errors need no logging until one is shown

        return masked(super().__str__())

    def __repr__(self) -> str:
        return f"{_public_class(type(self)).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with `args`, which fails for errors that take more than a message. Here the
        # attributes travel as state, and no constructor runs on the other side.
        return _rebuild, (_public_class(type(self)), self.args), dict(vars(self))


def _rebuild(kind: type[OttoError], args: tuple[Any, ...]) -> OttoError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class _PexpectTwin:
    """Makes ``except pexpect.TIMEOUT`` (or ``EOF``) catch an error of ours, without an import of pexpect by us.

    An ``except`` clause looks at the real bases of a class, so no hook can answer it. Instead the error is created as
    a subclass that also has pexpect's class as a base, when pexpect has been imported: nobody can name its classes
    before.
    """

    _pexpect_name = ""

    def __new__(cls, message: str = "", *_: Any, **__: Any) -> Self:
        pexpect = sys.modules.get("pexpect")
        twin = getattr(pexpect, cls._pexpect_name, None)
        if twin is not None and not issubclass(cls, twin):
            cls = _class_with(cls, twin)  # type: ignore[arg-type]
        # Only the message: OSError would take a second argument for the text of an errno.
        return super().__new__(cls, message)  # type: ignore[call-arg]

    @property
    def value(self) -> str:
        """The message, under pexpect's name; pexpect's own ``str`` reads it."""
        return str(self.args[0])  # type: ignore[attr-defined]


@cache
def _class_with(ours: Any, twin: type[Exception]) -> Any:
    names = {"__module__": ours.__module__, "__doc__": ours.__doc__, "__qualname__": ours.__qualname__}
    return type(ours.__name__, (ours, twin), {**names, "_public_class": ours})


def _public_class(kind: type[OttoError]) -> type[OttoError]:
    """The class that a user can import: the one without pexpect's base."""
    found: type[OttoError] = kind.__dict__.get("_public_class", kind)
    return found


class ConfigError(OttoError, ValueError):
    """An argument, a lab file or a setting is wrong."""


class UnknownHost(ConfigError, LookupError):
    """The lab has no host of this id. The text names the nearest ids."""


class ConnectError(OttoError, ConnectionError):
    """A host could not be reached: no such name, refused, no answer in time."""


class AuthenticationError(ConnectError):
    """The host was reached and did not accept the user's keys or password."""


class HostKeyError(ConnectError):
    """The host's key is unknown, or is not the one that known_hosts holds."""


class ConnectionLost(OttoError, ConnectionError):
    """An established connection ended, or its remote end stopped answering."""


class SessionClosed(_PexpectTwin, OttoError, EOFError):
    """The shell of a session, or a started process, ended while something was still expected of it.

    ``before`` is the text that arrived and was not consumed; ``retcode`` the exit status, None when nobody knows
    it. ``except pexpect.EOF`` catches this error too.
    """

    _pexpect_name = "EOF"

    def __init__(self, message: str, before: str = "", retcode: int | None = None) -> None:
        super().__init__(message)
        self.before = before
        self.retcode = retcode


class SessionBusy(OttoError, TimeoutError):
    """Another thread used the session for longer than this call was ready to wait."""


class ExpectTimeout(_PexpectTwin, OttoError, TimeoutError):
    """The expected text did not arrive in time.

    ``before`` is the text that did arrive; it stays for the next call. ``except pexpect.TIMEOUT`` catches this error
    too.
    """

    _pexpect_name = "TIMEOUT"

    def __init__(self, message: str, before: str = "") -> None:
        super().__init__(message)
        self.before = before


class WaitTimedOut(OttoError, TimeoutError):
    """What was waited for did not happen in time. The text says what was seen last."""


class ContainerNotRunning(OttoError):
    """The container exists but cannot run anything now: stopped, paused, restarting, or not yet started."""


class NoSuchContainer(OttoError, LookupError):
    """The docker daemon of the parent knows no container of this id or name."""


class DockerUnavailable(OttoError):
    """There is no docker client on the parent, its daemon is down, or the user may not use it."""


class ShellNotFound(OttoError):
    """The container's image has no such shell, so nothing can be run in it."""


class ComposeError(OttoError):
    """Docker Compose failed. The text ends with its own last lines."""


class ComposeFileError(ComposeError, ConfigError):
    """Docker Compose refuses the files of a project. Nothing was started."""


class UnsupportedParentError(OttoError, NotImplementedError):
    """This verb needs a parent reached over SSH."""


class ForkError(OttoError, RuntimeError):
    """A forked child process used a host of the process that it was forked from."""


class CommandFailed(OttoError):
    """A checked command did not succeed. ``result`` is its `CommandResult`."""

    def __init__(self, message: str, result: CommandResult) -> None:
        super().__init__(message)
        self.result = result


class CommandTimedOut(CommandFailed, TimeoutError):
    """A checked command was still running at its timeout, and was ended. ``result`` holds its output so far."""


class LocalFileError(OttoError, FileNotFoundError):
    """A local file that is to be sent does not exist on this machine."""


class RemoteFileError(OttoError, OSError):
    """A path of a host could not be used as was asked. ``errno`` is the reason, ``filename`` the path.

    What has a class of its own among Python's errors has one here, too. ``errno`` is None when nobody knows it.

    >>> try:
    ...     host.path("/etc/app.conf").read_text()
    ... except FileNotFoundError as error:
    ...     print(error)
    """

    # Those of OSError do not stand among an object's attributes, so they would not travel with it.
    errno: int | None = None
    filename: str | None = None

    def __init__(self, message: str, errno: int | None = None, filename: str | None = None) -> None:
        super().__init__(message)
        self.errno = errno
        self.filename = filename


class RemoteFileNotFound(RemoteFileError, FileNotFoundError):
    """There is nothing at that path of the host."""


class RemoteFileExists(RemoteFileError, FileExistsError):
    """There is something at that path of the host already."""


class RemotePermissionDenied(RemoteFileError, PermissionError):
    """The user may not do that with the path of the host."""


class RemoteIsADirectory(RemoteFileError, IsADirectoryError):
    """The path of the host is a directory, and a file is needed."""


class RemoteNotADirectory(RemoteFileError, NotADirectoryError):
    """The path of the host, or one above it, is not a directory."""


class RemoteFileTimedOut(RemoteFileError, TimeoutError):
    """The host's ``default_timeout`` was over before the answer came; a change may have been made or not."""


class TransferFailed(OttoError):
    """A checked transfer did not succeed for every source. ``result`` is its `TransferResult`."""

    def __init__(self, message: str, result: TransferResult) -> None:
        super().__init__(message)
        self.result = result


class ReservationError(OttoError):
    """The tags could not be reserved."""


class ReservationTimedOut(ReservationError, TimeoutError):
    """The tags did not become free in time. The text names who holds them, and the place in the queue."""


class ReservationLost(ReservationError):
    """A reservation ended while its holder still used the hosts."""
