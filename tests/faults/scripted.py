"""The one fake of these tests: a channel that plays a recorded exchange, and fails at byte N of it.

Time is the script's, too: a read that waits for nothing moves the clock to its deadline. So hours of stalls take no
time, and how long a call took is exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from otto_docker_sync._channel.backend import Backend, Program
from otto_docker_sync._channel.base import SIZE, Channel, Chunk
from otto_docker_sync._channel.local import LocalChannel
from otto_docker_sync.deadline import Deadline, DeadlineExpired
from otto_docker_sync.errors import ConnectionLost, OttoError
from otto_docker_sync.host import Host
from otto_docker_sync.limits import RUN_OVERTIME
from otto_docker_sync.logs import HostLog
from otto_docker_sync.result import CommandResult

NONCE = re.compile(rb"[0-9a-f]{16}")
TIMEOUT = 5.0

WARDEN_PROCESS = re.compile(rb"(otto_warden=)\d+")


class Clock:
    """A monotonic clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Recording:
    """What a real process showed, and what it had been asked by then: its argv, and all that was typed."""

    asked: bytes = b""
    shown: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(bytes asked so far, stream, bytes shown)"""
    status: int | None = None

    def add(self, stream: int, data: bytes) -> None:
        needed = len(self.asked)
        if self.shown and self.shown[-1][:2] == (needed, stream):
            data = self.shown.pop()[2] + data
        self.shown.append((needed, stream, data))

    def size(self) -> int:
        return sum(len(data) for _, _, data in self.shown)

    def replay(self, asked: bytes) -> list[tuple[int, bytes]]:
        """All that a process would have shown up to now to someone who asks the same with nonces of his own.

        To one who asks something else it shows nothing more.
        """
        nonces: dict[bytes, bytes] = {}
        good, at = 0, 0
        for recorded in NONCE.finditer(self.asked):
            if self.asked[at : recorded.start()] != asked[at : recorded.start()]:
                break
            good = at = recorded.end()
            nonces[recorded[0]] = asked[recorded.start() : at]
        rest = zip(self.asked[good:], asked[good:], strict=False)
        good += next((i for i, (ours, theirs) in enumerate(rest) if ours != theirs), len(asked) - good)
        return [
            (stream, NONCE.sub(lambda nonce: nonces.get(nonce[0], nonce[0]), data))
            for needed, stream, data in self.shown
            if needed <= good
        ]


@dataclass(frozen=True)
class Fault:
    """What happens once `at` bytes have been shown: ``end``, ``lost``, ``stall`` or ``garbage``."""

    kind: str
    at: int

    GARBAGE = b"\xff\x00<:0>\r\n\x1b[31m\xc3"


class ScriptedChannel(Channel):
    """Plays `recording`, a few bytes a read, with a fault in it."""

    def __init__(self, recording: Recording, asked: bytes, tty: bool, clock: Clock, fault: Fault | None) -> None:
        self.tty = tty
        self.closed = False
        self._recording, self._asked, self._clock, self._fault = recording, asked, clock, fault
        self._taken = 0

    def read(self, deadline: Deadline) -> Chunk:
        if self.closed:
            return Chunk()
        at, fault = 0, self._fault
        for stream, data in self._recording.replay(self._asked):
            if fault and at <= fault.at < at + len(data):
                head, tail = data[: fault.at - at], data[fault.at - at :]
                data = head + fault.GARBAGE + tail if fault.kind == "garbage" else head
            else:
                tail = b""
            if self._taken < at + len(data):
                piece = data[max(0, self._taken - at) :][:50]
                self._taken += len(piece)
                return Chunk(b"", piece) if stream else Chunk(piece)
            at += len(data)
            if tail and fault and fault.kind != "garbage":
                return self._fail(fault.kind, deadline)
        if self._recording.status is not None and at == self._taken and len(self._asked) >= len(self._recording.asked):
            return Chunk()
        return self._wait(deadline)

    def _fail(self, kind: str, deadline: Deadline) -> Chunk:
        if kind == "end":
            return Chunk()
        if kind == "lost":
            raise ConnectionLost("the scripted connection was lost")
        return self._wait(deadline)

    def _wait(self, deadline: Deadline) -> Chunk:
        seconds = deadline.remaining()
        assert seconds is not None, "this would wait for ever"
        self._clock.now += seconds
        raise DeadlineExpired

    def write_some(self, data: bytes) -> int:
        if not self.closed:
            self._asked += data
        return len(data)

    def write_eof(self) -> None:
        pass

    def resize(self, columns: int, rows: int) -> None:
        pass

    def exit_status(self, deadline: Deadline) -> int | None:
        return None if self._fault and self._fault.kind != "garbage" else self._recording.status

    def close(self) -> None:
        self.closed = True

    def pause(self, deadline: Deadline) -> None:
        self._clock.now += deadline.remaining() or 0


def asked_by(argv: Sequence[str], tags: Mapping[str, str]) -> bytes:
    """How starting a program reads in a recording, whatever process its warden is."""
    return WARDEN_PROCESS.sub(rb"\g<1>1", "\n".join([*argv, *tags.values()]).encode()) + b"\0"


class RecordingChannel(LocalChannel):
    """A process of this machine; keeps what it says."""

    def __init__(self, argv: Sequence[str], recording: Recording, tty: bool, env: Mapping[str, str]) -> None:
        super().__init__(argv, tty=tty, env=env, size=SIZE)
        self._recording = recording
        recording.asked = asked_by(argv, env)

    def read(self, deadline: Deadline) -> Chunk:
        chunk = super().read(deadline)
        for stream, data in enumerate(chunk):
            if data:
                self._recording.add(stream, data)
        if chunk.ended:
            self._recording.status = self.exit_status(deadline)
        return chunk

    def write_some(self, data: bytes) -> int:
        taken = super().write_some(data)
        self._recording.asked += data[:taken]
        return taken


class ObedientWarden(Recording):
    """What a warden shows that carries out every order at once."""

    def replay(self, asked: bytes) -> list[tuple[int, bytes]]:
        argv, _, orders = asked.partition(b"\0")
        first, second = NONCE.findall(argv)[:2]
        begin = b"<%s%s>\n<1>" % (first, second)
        return [(0, begin), *((0, b"<%s:0>\n" % nonce) for nonce in re.findall(rb"(?m)^([0-9a-f]{16}) .*\n", orders))]


Opener = Callable[[Sequence[str], Mapping[str, str], bool], Channel]


class ScriptedBackend(Backend):
    """A host whose programs are whatever `opener` makes of them."""

    def __init__(self, opener: Opener, shell: str = "sh") -> None:
        super().__init__("scripted", shell, HostLog("scripted", log=False))
        self._opener = opener

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        return self._opener(program.argv, program.marker_env, program.tty)


class ScriptedHost(Host):
    """The verbs on a `ScriptedBackend`."""

    def __init__(self, opener: Opener, shell: str = "sh") -> None:
        self.id = self.name = "scripted"
        self.shell = shell
        self.log = self.log_stdout = False
        self.resources: set[str] = set()
        self.default_timeout = None
        self._init(ScriptedBackend(opener, shell))


def is_warden(argv: Sequence[str]) -> bool:
    return "otto-warden" in argv


def record(shell: str, talk: Callable[[ScriptedHost, Recording], object]) -> Recording:
    """What a real shell of this machine shows when `talk` uses it."""
    recording = Recording()

    def opener(argv: Sequence[str], tags: Mapping[str, str], tty: bool) -> Channel:
        if is_warden(argv):
            return LocalChannel(argv, tty=tty, env=tags)
        return RecordingChannel(argv, recording, tty, tags)

    with ScriptedHost(opener, shell) as host:
        talk(host, recording)
    return recording


class Stage:
    """A host whose first channel plays a recording with a fault; later ones play it without."""

    def __init__(self, shell: str, recording: Recording, fault: Fault | None, clock: Clock) -> None:
        self.clock = clock
        self.opened: list[ScriptedChannel] = []
        self._faults = iter([fault] if fault else [])

        def opener(argv: Sequence[str], tags: Mapping[str, str], tty: bool) -> Channel:
            warden = is_warden(argv)
            script = ObedientWarden() if warden else recording
            fault = None if warden else next(self._faults, None)
            self.opened.append(ScriptedChannel(script, asked_by(argv, tags), tty, clock, fault))
            return self.opened[-1]

        self.host = ScriptedHost(opener, shell)

    def attempt(self, verb: Callable[..., CommandResult], command: str) -> CommandResult | OttoError:
        """What came of a call, which must be back in time and may raise what the contract names, nothing else."""
        began = self.clock.now
        try:
            return verb(command, timeout=TIMEOUT)
        except OttoError as error:
            return error
        finally:
            assert self.clock.now - began <= TIMEOUT + RUN_OVERTIME

    def finish(self, context: str) -> None:
        self.host.close()
        assert all(channel.closed for channel in self.opened), context
