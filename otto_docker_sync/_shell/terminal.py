"""Connects the user's terminal to a remote process."""

from __future__ import annotations

import codecs
import json
import os
import select as _select
import shlex
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import UnsupportedOperation
from time import monotonic, time
from typing import IO, Any

from .._channel.backend import Program
from .._channel.base import Channel
from .._channel.descriptors import Descriptors, select
from .._channel.markers import BeginMarker, new_nonce
from ..deadline import Cancellation, Deadline, DeadlineExpired
from ..errors import ConfigError, ConnectionLost
from ..limits import CLOSE_TIME, EOF_AGAIN, TERMINAL_STATUS_TIME, TYPED_AHEAD, WRITE_POLL
from ..logs import Masker
from .framing import quoted_lines
from .runner import Runner
from .scripts import loader, terminal_size

ESCAPE = b"\x1d"
"""Ctrl-], which leaves."""

END_OF_INPUT = b"\x04"
"""Ctrl-D."""

EMPTY_LINE = b"\x15"
"""Ctrl-U, which deletes what was typed of a line: Ctrl-D ends the input only at the start of a line."""


def interact(
    channel: Channel,
    *,
    stdin: IO[Any] | None = None,
    stdout: IO[Any] | None = None,
    escape: bytes = ESCAPE,
    transcript: str | os.PathLike[str] | None = None,
) -> int | None:
    """Give the user's terminal to the process of `channel` until it ends, or until the user types `escape`.

    Returns the process's exit status, or None if the user left before it ended. If `stdin` is not a terminal, its bytes
    are typed, and then ^D. `transcript` is a file to record the output to, as asciinema v2. The terminal is always
    restored. If the program does not handle SIGTERM and SIGHUP itself, they end the call with `SystemExit`. Raises
    `ConnectionLost`. The channel stays open.

    Any thread may call. Only in the main thread a changed window size is noticed.

    >>> interact(LocalChannel(["vi"], tty=True, term=os.environ["TERM"], size=local_size()))
    0
    """
    keyboard, screen = _descriptor(stdin or sys.stdin), _descriptor(stdout or sys.stdout)
    (stdout or sys.stdout).flush()
    is_terminal = os.isatty(keyboard)
    with ExitStack() as undo:
        size = _size(screen, keyboard)
        recording = undo.enter_context(Recording(transcript, size or (80, 24))) if transcript is not None else None
        bridge = undo.enter_context(_Bridge(channel, keyboard, screen, escape if is_terminal else b"", recording))
        undo.enter_context(_signals(bridge))
        if is_terminal:
            undo.enter_context(_raw(keyboard))
        if size := _size(screen, keyboard):  # again: only from here on a change is noticed
            channel.resize(*size)
        left = bridge.run()
    if bridge.signal:
        raise SystemExit(128 + bridge.signal)
    if left:
        return None
    try:
        return channel.exit_status(Deadline.after(TERMINAL_STATUS_TIME))
    except DeadlineExpired:
        return None


@contextmanager
def open_terminal(runner: Runner, term: str, size: tuple[int, int], deadline: Deadline) -> Iterator[Channel]:
    """Yield the channel of a shell for a person. Everything that is started from it ends with the block.

    Raises `UnsupportedParentError` on a host that can have no sessions, or the error that kept the shell from starting.
    """
    backend = runner.backend
    backend.require_sessions()
    warden = runner.wardens.current(deadline)
    session = new_nonce()
    marker_env = {"TERM": term, "OTTO_HOST": warden.tag, "OTTO_SESSION": session, **backend.guard.marker_env()}
    environment = LoginEnvironment(backend.shell, backend.environment())
    script = f'{warden.lease_check}\n{terminal_size(*size)}\nexec "$@"'
    argv = ["sh", "-c", script, "sh", *(environment.argv or backend.login_argv())]
    channel = backend.open_channel(Program(argv, marker_env, tty=True, term=term, size=size), deadline)
    try:
        environment.send_to(channel, deadline)
        yield channel
    finally:
        grace = Deadline.grace(CLOSE_TIME)
        runner.wardens.end_shell(warden, f"OTTO_SESSION={session}", None, grace)
        channel.close()


def local_size() -> tuple[int, int]:
    """Return the columns and rows of the user's terminal; 80 and 24 if there is none."""
    for stream in (sys.stdout, sys.stdin):
        with suppress(ConfigError):
            size = _size(_descriptor(stream))
            if size:
                return size
    return 80, 24


class _Bridge:
    """Copies both ways: the caller's thread reads the keyboard, and a thread that `run` starts writes to the screen."""

    def __init__(
        self, channel: Channel, keyboard: int, screen: int, escape: bytes, recording: Recording | None
    ) -> None:
        self.signal = 0
        self.resized = False
        self._channel = channel
        self._keyboard = keyboard
        self._screen = screen
        self._escape = escape
        self._recording = recording
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        self._screen_wait = Descriptors()
        self._ended = False
        self._error: BaseException | None = None

    def __enter__(self) -> _Bridge:
        return self

    def __exit__(self, *_: object) -> None:
        self._screen_wait.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def ring(self) -> None:
        """Wake the caller's thread. Takes no lock, because a signal handler calls it."""
        with suppress(BlockingIOError):
            os.write(self._wake_writer, b"\0")

    def run(self) -> bool:
        """Copy until the process ends or the user leaves. Returns whether the user left."""
        leaving = Cancellation()
        # A daemon, so that the interpreter can exit even if the user's terminal blocks forever.
        output_thread = threading.Thread(
            target=self._show, args=[Deadline.after(None).also(leaving)], name="otto-interact", daemon=True
        )
        output_thread.start()
        try:
            deadline = Deadline.after(None)
            with deadline.waking(self.ring):
                left = self._type(deadline)
        finally:
            leaving.cancel()
            output_thread.join()
        if self._error and not left and not self.signal:
            raise self._error
        return left

    def _type(self, deadline: Deadline) -> bool:
        pending, line_open, at_end = b"", False, False
        while not self._ended and not self.signal and not deadline.cancelled:
            if self.resized:
                self.resized = False
                self._resize()
            # The output thread also finds that the connection is lost, after everything that came before.
            with suppress(ConnectionLost):
                pending = pending[self._channel.write_some(pending) :] if pending else b""
                if at_end and not pending:
                    self._channel.write_eof()
            pause = WRITE_POLL if pending else EOF_AGAIN if at_end else None
            readers = [] if at_end or len(pending) > TYPED_AHEAD else [self._keyboard]
            ready = select(pause, [self._wake_reader, *readers])
            if self._wake_reader in ready:
                os.read(self._wake_reader, 4096)
            elif ready:
                data = self._read_keys()
                typed, escape, _ = data.partition(self._escape) if self._escape else (data, b"", b"")
                pending += typed
                if escape:
                    with suppress(ConnectionLost):
                        self._channel.write_some(pending)
                    return True
                if data:
                    line_open = not data.endswith((b"\n", b"\r"))
                else:
                    at_end = True
                    if line_open:
                        pending += b"\n"
                    if self._channel.tty:
                        pending += END_OF_INPUT
            elif at_end and not pending and self._channel.tty:
                pending = EMPTY_LINE + END_OF_INPUT
        return bool(deadline.cancelled) and not self._ended

    def _read_keys(self) -> bytes:
        try:
            return os.read(self._keyboard, 4096)
        except OSError:  # the terminal is gone
            return b""

    def _resize(self) -> None:
        size = _size(self._screen, self._keyboard)
        if size:
            self._channel.resize(*size)
            if self._recording:
                self._recording.resize(size)

    def _show(self, deadline: Deadline) -> None:
        try:
            while not (chunk := self._channel.read(deadline)).ended:
                self._write(chunk.out + chunk.err, deadline)
        except DeadlineExpired:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._ended = True
            self.ring()

    def _write(self, data: bytes, deadline: Deadline) -> None:
        if self._recording:
            self._recording.output(data)
        with self._screen_wait.using(deadline):
            while data:
                if self._screen_wait.wait(deadline.wait_time(), [], [self._screen]):
                    data = data[os.write(self._screen, data[: _select.PIPE_BUF]) :]
                else:
                    deadline.check()


class Recording:
    """Records what is shown to a file, as asciinema v2: a header line, then one line for each piece.

    Only the user may read the file. Masked values do not appear in it.
    """

    def __init__(self, path: str | os.PathLike[str], size: tuple[int, int]) -> None:
        columns, rows = size
        header = {
            "version": 2,
            "width": columns,
            "height": rows,
            "timestamp": int(time()),
            "env": {"TERM": os.environ.get("TERM", ""), "SHELL": os.environ.get("SHELL", "")},
        }
        self._file = open(  # noqa: SIM115 - closed by __exit__
            path, "w", encoding="utf-8", buffering=1, opener=lambda name, flags: os.open(name, flags, 0o600)
        )
        with suppress(PermissionError):  # a file that was there may be another user's
            os.fchmod(self._file.fileno(), 0o600)
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._masker = Masker()
        self._began = monotonic()
        print(json.dumps(header), file=self._file)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._event("o", self._masker.feed(self._decoder.decode(b"", final=True)) + self._masker.flush())
        self._file.close()

    def output(self, data: bytes) -> None:
        """Record the next piece of output. It may be cut anywhere."""
        self._event("o", self._masker.feed(self._decoder.decode(data)))

    def resize(self, size: tuple[int, int]) -> None:
        """Record that the size of the terminal has changed."""
        self._event("r", "{}x{}".format(*size))

    def _event(self, kind: str, text: str) -> None:
        if text:
            line = json.dumps([round(monotonic() - self._began, 6), kind, text], ensure_ascii=False)
            with self._lock:
                print(line, file=self._file)


@contextmanager
def _raw(fd: int) -> Iterator[None]:
    saved = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSADRAIN)  # keeps what was typed ahead
        yield
    finally:
        with suppress(termios.error):  # the terminal has gone
            termios.tcsetattr(fd, termios.TCSADRAIN, saved)


@contextmanager
def _signals(bridge: _Bridge) -> Iterator[None]:
    """Tell the bridge about a changed window size, and about signals that would kill the program in raw mode."""

    def arrived(number: int, _frame: object) -> None:
        if number == signal.SIGWINCH:
            bridge.resized = True
        else:
            bridge.signal = number
        bridge.ring()

    former: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP):
                if number == signal.SIGWINCH or signal.getsignal(number) == signal.SIG_DFL:
                    former[number] = signal.signal(number, arrived)
        yield
    finally:
        for changed, handler in former.items():
            signal.signal(changed, signal.SIG_DFL if handler is None else handler)


def _descriptor(stream: IO[Any]) -> int:
    try:
        return stream.fileno()
    except (UnsupportedOperation, ValueError, AttributeError) as error:
        raise ConfigError(f"interact: {stream!r} is not a terminal, file or pipe: {error}") from error


def _size(*descriptors: int) -> tuple[int, int] | None:
    """Return the columns and rows of the first of these that is a terminal and has a size."""
    for descriptor in descriptors:
        with suppress(OSError):
            columns, rows = os.get_terminal_size(descriptor)
            if columns and rows:
                return columns, rows
    return None


class LoginEnvironment:
    """Gives a person's shell its environment, which must show neither in a process list nor on the terminal.

    ``argv`` starts the shell. It is empty if there is no environment to pass.
    """

    def __init__(self, shell: str, environment: dict[str, str]) -> None:
        opening, self._ready, nonce = BeginMarker(), BeginMarker(), new_nonce()
        self._opening = opening.output
        rest = f"stty echo 2>/dev/null\n{self._ready.command}\nexec {shlex.quote(shell)}\n{nonce}\n"
        self._script = b"".join([*_typed_exports(environment), rest.encode("utf-8", "surrogateescape")])
        begin = f"stty -echo 2>/dev/null; {opening.command}; {loader(nonce)}"
        self.argv = ["sh", "-c", begin] if environment else []

    def send_to(self, channel: Channel, deadline: Deadline) -> None:
        """Type the environment. Reads and drops what the terminal shows of it, but leaves an end to the next reader."""
        if self.argv and self._read_past(self._opening, channel, deadline):
            channel.write(self._script, deadline)
            self._read_past(self._ready.output, channel, deadline)

    @staticmethod
    def _read_past(mark: bytes, channel: Channel, deadline: Deadline) -> bool:
        seen = b""
        while mark not in seen:
            chunk = channel.read(deadline)
            if chunk.ended:
                return False
            seen = (seen + chunk.out)[-4096:]
        return True


def _typed_exports(environment: Mapping[str, str]) -> Iterator[bytes]:
    """Yield shell lines that export variables, and that a terminal takes as they are: short, without control bytes."""
    # What a session's handshake has; here nobody can have defined a function yet.
    yield b'__otto_f() { printf "$@" >&3; }\n'
    for name, value in environment.items():
        yield b"__otto_o=\n"
        yield from quoted_lines(value.encode("utf-8", "surrogateescape"))
        yield f'export {name}="$__otto_o"\n'.encode()
