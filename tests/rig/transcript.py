"""What a client and its remote processes say to each other, recorded from a real run, for the documentation.

>>> transcript = Transcript()
>>> transcript.record(host, monkeypatch, lambda argv: "oneshot")
>>> host.oneshot("echo hello")
>>> print(transcript.text())
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import otto_docker_sync
from otto_docker_sync._channel.backend import Program
from otto_docker_sync._channel.base import Channel, Chunk
from otto_docker_sync._channel.scripts import load
from otto_docker_sync.deadline import Deadline

NONCE = re.compile(r"[0-9a-f]{16}")
FRAME_END = re.compile(rb"<[0-9a-f]{16}:[0-9a-f]{16}:\d+>")
PROMPT = re.compile(rb"([$#] |<[0-9a-f]{32}:\d+:[ur]?\d+>)\Z")
TAR = re.compile(rb"[^\n]*\0(.|\n)*\0")
SETTLE_TIME = 20.0
"""Time limit, in seconds, for a shell to show the prompt that must come."""

ELIDED_FROM = 12
"""Lines of a script file from which on a transcript shows its name only."""

STABLE = [
    (r"BusyBox v\S+ \(.*\)", "BusyBox VERSION"),
    # The process id of a warden, in its first answer and where a shell looks for its lease.
    (r"(?m)^    <\d+>$", "    <WARDEN-PID>"),
    (r"otto_warden=\d+", "otto_warden=WARDEN-PID"),
    # The process id of a shell, which it prints, and the warden's clock.
    (r"(?m)^    \d+( <\{\d+\}:\{\d+\}:0>)", r"    SHELL-PID\1"),
    (r"(run OTTO_RUN=\S+) \d+ \d+", r"\1 SHELL-PID SINCE"),
    (r"(shell OTTO_SESSION=\S+) \d+", r"\1 SHELL-PID"),
    (r"(?m)^    <(\{\d+\}):\d{3,}(\|?)>$", r"    <\1:NOW\2>"),
    # When a file was changed.
    (r"(\} file \d+ \d+ \d+) \d+", r"\1 MTIME"),
]
"""What every run makes anew, besides nonces, and what a transcript shows instead."""


@dataclass
class Entry:
    """Bytes that went one way, until bytes went the other way."""

    channel: str
    speaker: str
    data: bytes = b""


class Transcript:
    """Records what hosts and their processes say, in the order in which the client saw what happened.

    Two runs give the same text, whatever the speed of the machine: the pieces in which a stream arrives are joined,
    and the client's next words wait for the prompt that a shell owes.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.open_channels: list[RecordedChannel] = []
        self.stopped = False

    def record(self, host: Any, monkeypatch: Any, name: Callable[[Sequence[str]], str]) -> None:
        """Record the channels that `host` opens from now on. `name` returns a channel's name for its argv."""
        original: Callable[..., Channel] = host.backend.open_channel

        def open_channel(program: Program, deadline: Deadline) -> Channel:
            if self.stopped:
                return original(program, deadline)
            self.settle()
            channel = RecordedChannel(original(program, deadline), name(program.argv), self)
            self.entries.append(Entry(channel.name, "started as", _shown_argv(program.argv).encode()))
            self.open_channels.append(channel)
            return channel

        monkeypatch.setattr(host.backend, "open_channel", open_channel)

    def call(self, text: str) -> None:
        """Write down which call of the library comes next."""
        self.settle()
        self.entries.append(Entry("", text))

    def forget(self) -> None:
        """Leave out what has been recorded so far."""
        self.settle()
        self.entries.clear()

    def stop(self) -> None:
        """Record no more channels."""
        self.stopped = True

    def add(self, channel: str, speaker: str, data: bytes) -> None:
        """Write down bytes of a channel, with those before them if the other side said nothing meanwhile."""
        phase = self._phase(channel)
        if phase and (phase[-1].speaker == "client") == (speaker == "client"):
            for entry in phase:
                if entry.speaker == speaker:
                    entry.data += data
                    return
        self.entries.append(Entry(channel, speaker, data))

    def _phase(self, channel: str) -> list[Entry]:
        """The last entries of a channel that are all the client's, or all the process's; and of the present call."""
        phase: list[Entry] = []
        for entry in reversed(self.entries):
            if not entry.channel:
                break
            if entry.channel == channel:
                if phase and (phase[-1].speaker == "client") != (entry.speaker == "client"):
                    break
                phase.append(entry)
        return phase[::-1]

    def shown(self, channel: str) -> bytes:
        """What a process has shown since the client's last words to it."""
        shown = b""
        for entry in reversed(self.entries):
            if entry.channel == channel:
                if entry.speaker == "client":
                    break
                if entry.speaker == "stdout":
                    shown = entry.data + shown
        return shown

    def settle(self) -> None:
        """Wait for the prompts that shells owe."""
        for channel in self.open_channels:
            channel.settle()

    def text(self, names: Mapping[str, str]) -> str:
        """The transcript so far, with `names` and others in place of what each run makes anew."""
        self.settle()
        blocks = []
        # A process may write to its two streams in any order.
        for entry in _stdout_first(self.entries):
            if not entry.channel:
                blocks.append(f"=== {entry.speaker} ===\n")
            elif entry.data:
                blocks.append(f"{entry.channel}, {entry.speaker}:\n{_quote(entry.data)}")
            else:
                blocks.append(f"{entry.channel} {entry.speaker}\n")
        text = "\n".join(blocks)
        for value, name in names.items():
            text = text.replace(value, name)
        nonces: dict[str, str] = {}
        text = NONCE.sub(lambda match: nonces.setdefault(match[0], f"{{{len(nonces) + 1}}}"), text)
        for pattern, name in STABLE:
            text = re.sub(pattern, name, text)
        return text


def script_words(entries: list[Entry], values: Collection[str]) -> str:
    """Only what long scripts are given and say; of what they are given, the `values` that are named."""
    lines = []
    for entry in entries:
        text = _elide(entry.data.decode("utf-8", "replace"))
        found = re.findall(r"^\[(\w+\.sh)\]$", text, re.MULTILINE)
        scripts = [name for name in found if name not in ("oneshot.sh", "loader.sh")]
        if scripts:
            given = re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)
            shown = [f"{name}={value}" for name, value in given if name in values and value != "''"]
            lines += ["", f"client sends {' '.join([scripts[-1], *shown])}"]
        elif entry.speaker == "client" and entry.data == b"end\n":
            lines += ["", f"client sends end to {entry.channel}"]
        for word in re.findall(r"^<?[0-9a-f]{16}>? ([a-z].*)$", text, re.MULTILINE):
            lines.append(f"    {entry.channel} says {word}".rstrip())
    return "\n".join(lines).lstrip() + "\n"


def _stdout_first(entries: list[Entry]) -> list[Entry]:
    ordered: list[Entry] = []
    for entry in entries:
        at = len(ordered)
        if entry.speaker == "stdout" and ordered and ordered[-1].speaker == "stderr":
            at -= ordered[-1].channel == entry.channel
        ordered.insert(at, entry)
    return ordered


def _shown_argv(argv: Sequence[str]) -> str:
    """The words as a shell takes them, scripts by their names only."""
    return " ".join(f"'{_elide(word)}'" if "\n" in word else shlex.quote(word) for word in argv)


def _elide(text: str) -> str:
    for name, script in _long_scripts():
        text = text.replace(script, f"[{name}]\n")
    return text


@cache
def _long_scripts() -> list[tuple[str, str]]:
    """Name and text of the long scripts, the longest first, since one may include another."""
    root = Path(otto_docker_sync.__file__).parent
    scripts = [
        (path.name, load(f"otto_docker_sync.{path.parent.name}", path.stem).text) for path in root.glob("*/*.sh")
    ]
    long = [(name, text) for name, text in scripts if text.count("\n") >= ELIDED_FROM]
    return sorted(long, key=lambda item: -len(item[1]))


def _quote(data: bytes) -> str:
    """The bytes as indented lines of text, control characters visible."""
    text = TAR.sub(b"[tar stream]\n", data).decode("utf-8", "replace")
    text = _elide(text).removesuffix("\n").replace("\r", "\\r")
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", lambda match: f"^{chr(ord(match[0]) ^ 64)}", text)
    return "".join(f"    {line}".rstrip() + "\n" for line in text.split("\n"))


class RecordedChannel(Channel):
    """Another channel, all of whose bytes are written down."""

    def __init__(self, channel: Channel, name: str, transcript: Transcript) -> None:
        self.tty = channel.tty
        self.name = name
        self._channel = channel
        self._transcript = transcript
        self._read_ahead: list[Chunk] = []
        self._addressed = False
        self._stdin_ended = False
        self._ended = False
        self._closed = False

    def read(self, deadline: Deadline) -> Chunk:
        return self._read_ahead.pop(0) if self._read_ahead else self._read(deadline)

    def _read(self, deadline: Deadline) -> Chunk:
        chunk = self._channel.read(deadline)
        for speaker, data in zip(("stdout", "stderr"), chunk, strict=True):
            if data:
                self._transcript.add(self.name, speaker, data)
        if chunk.ended and not self._ended:
            self._ended = True
            self._transcript.add(self.name, "ends", b"")
        return chunk

    def settle(self) -> None:
        """On a terminal: wait for the shell's prompt, when its command has ended or none was typed yet."""
        deadline = Deadline.grace(SETTLE_TIME)
        while self.tty and not self._closed:
            shown = self._transcript.shown(self.name)
            owes_prompt = shown and (not self._addressed or FRAME_END.search(shown))
            if not owes_prompt or PROMPT.search(shown):
                return
            chunk = self._read(deadline)
            self._read_ahead.append(chunk)
            if chunk.ended:
                return

    def write_some(self, data: bytes) -> int:
        self._transcript.settle()
        taken = self._channel.write_some(data)
        if taken:
            self._addressed = True
            self._transcript.add(self.name, "client", data[:taken])
        return taken

    def write_eof(self) -> None:
        if not self._stdin_ended:
            self._transcript.add(self.name, "client", b"(end of stdin)")
        self._stdin_ended = True
        self._channel.write_eof()

    def resize(self, columns: int, rows: int) -> None:
        self._channel.resize(columns, rows)

    def exit_status(self, deadline: Deadline) -> int | None:
        return self._channel.exit_status(deadline)

    def close(self) -> None:
        self._closed = True
        self._channel.close()

    def pause(self, deadline: Deadline) -> None:
        self._channel.pause(deadline)
