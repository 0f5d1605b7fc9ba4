"""Wraps a command, so that its output, its end and its exit status can be distinguished from everything else.

The plan. A *section* of a byte stream begins at a marker, and ends at a marker that carries the exit status. Markers
hold a nonce made for this one command. The shell puts them together from two halves, so that the echo of the text that
prints a marker never looks like the marker. What comes before a section (echo, prompts, banners, docker's warnings) is
dropped.

On a session's shell the command is sent as quoted data in short lines, because a terminal cuts a line at 4,095 bytes,
and ash's line editor at 1,022. It runs by ``eval``, so a comment, ``&``, a heredoc or a syntax error in it cannot reach
the end marker. The prompt is a second end: it shows the number of the command and its status. It comes also when a
syntax error, ``set -u`` or Ctrl-C makes the shell drop the rest of its line.

Nothing here does I/O. Each byte is examined a limited number of times, and at most one marker is held back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .._channel.markers import DIGITS, BeginMarker, EndMarker, EndMatch, encode_command, first_end, new_nonce
from ..limits import MIN_MARKER, TTY_QUEUE, UPLOAD_LINE
from .scripts import handshake_text

LINE_EDITOR = re.compile(rb"\bset\s[^\n;&|]*-o\s*(vi|emacs)\b")
"""What turns on a line editor."""


PROMPT = re.compile(rb"(<[0-9a-f]{32}:)\d*:[ur]?\d*>")
"""The prompt of any session's shell. With the nonce in it, each session would have one to compile."""


VERBOSE = re.compile(rb"\bset\s[^\n;&|]*(-\w*v|verbose)")
"""What lets a shell show the text that it reads."""


class Section:
    """Cuts one command's output out of a stream of bytes.

    `feed` returns the output that is complete so far. ``started`` is whether the begin marker came, ``retcode`` the
    exit status (None until the end), ``rest`` what came after the end. ``crlf`` is whether the tty turns each line end
    into ``\\r\\n``, which is undone. An end of `early_ends` also counts before the begin marker. An `answer` may come
    in the middle of the output: ``answers`` counts them, and ``last_answer`` is the number in the last one. ``joined``
    is whether the begin marker came a second time: something has joined another stream to this one.
    """

    def __init__(
        self,
        begin: BeginMarker,
        ends: tuple[EndMarker, ...],
        early_ends: tuple[EndMarker, ...] = (),
        answer: EndMarker | None = None,
    ) -> None:
        self._begin = begin.output
        self._ends = ends
        self._early_ends = early_ends
        self._answer = answer
        self.answers = 0
        self.last_answer = 0
        # The most bytes that a marker has, with the digits of a number in it.
        self._longest = max(len(self._begin), *(len(end.prefix) + len(end.suffix) for end in ends)) + 24
        self._buffer = b""
        self.preamble = b""
        """The last bytes that came before the section."""
        self.started = False
        self.joined = False
        self.crlf = False
        self.retcode: int | None = None
        self.end_shown = b""
        """The end marker as it came."""
        self.rest = b""

    @property
    def ended(self) -> bool:
        return self.retcode is not None

    @property
    def holds_return(self) -> bool:
        """Whether all of the output was returned but a ``\\r``, which may become a line end."""
        return self.started and self._buffer == b"\r"

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        if not self.started and not self.ended and not self._find_begin():
            return b""
        return self._cut_output()

    def finish(self) -> bytes:
        """Return what was held back, now that no more bytes will come; but not a marker that was cut off."""
        if not self.started:
            return b""
        held, self._buffer = self._buffer, b""
        marker = held.find(b"<")
        if 0 <= marker < len(held) - MIN_MARKER:
            held = held[:marker]
        return held

    def _find_begin(self) -> bool:
        at = self._buffer.find(self._begin)
        line_end = self._buffer.find(b"\n", at + len(self._begin), at + len(self._begin) + 2) if at >= 0 else -1
        if line_end >= 0:
            self._keep_preamble(self._buffer[:at])
            self.crlf = self._buffer[line_end - 1 : line_end] == b"\r"
            self._buffer = self._buffer[line_end + 1 :]
            self.started = True
            return True
        if at < 0 and (match := first_end(self._early_ends, self._buffer)):
            self._end_at(match)
        elif at < 0:
            self._keep_preamble(self._buffer[: -self._longest])
            self._buffer = self._buffer[-self._longest :]
        return False

    def _keep_preamble(self, data: bytes) -> None:
        self.preamble = (self.preamble + data)[-4096:]

    def noise(self) -> bytes:
        """Return the last bytes before the section. If it never began, they say what went wrong."""
        return self.preamble if self.started else self.preamble + self._buffer

    def _cut_output(self) -> bytes:
        """Take what is complete from the buffer, and return the output in it."""
        if self.ended:
            self.rest += self._buffer
            self._buffer = b""
            return b""
        if (again := self._buffer.find(self._begin)) >= 0:
            self.joined = True
            self._buffer = self._buffer[:again] + self._buffer[again + len(self._begin) :].lstrip(b"\r\n")
        while self._answer is not None and (match := self._answer.search(self._buffer)):
            self._buffer = self._buffer[: match.start] + self._buffer[match.end :]
            self.answers += 1
            self.last_answer = match.retcode
        match = first_end(self._ends, self._buffer)
        if match:
            output = self._buffer[: match.start]
            self._end_at(match)
        else:
            keep = self._held_back()
            output, self._buffer = self._buffer[:keep], self._buffer[keep:]
        return output.replace(b"\r\n", b"\n") if self.crlf else output

    def _end_at(self, match: EndMatch) -> None:
        self.retcode = match.retcode
        self.end_shown = self._buffer[match.start : match.end]
        self.rest = self._buffer[match.end :]
        self._buffer = b""

    def _held_back(self) -> int:
        """Return where the bytes begin that could become a marker or a line end when more arrive."""
        buffer = self._buffer
        at = buffer.rfind(b"<", max(0, len(buffer) - self._longest))
        markers = self._ends if self._answer is None else (*self._ends, self._answer)
        if at < 0 or not (
            self._begin.startswith(buffer[at:]) or any(marker.may_start_with(buffer[at:]) for marker in markers)
        ):
            at = len(buffer)
        if self.crlf and buffer[at - 1 : at] == b"\r":
            at -= 1
        return at


class SessionFrame(Section):
    """One command on a session's shell. Type ``upload``; when it is `uploaded`, type ``start``, which runs it.

    `serial` is the number of the command in this shell, and `last` the exit status that the command sees as ``$?``.
    ``run_tag`` is a variable in the environment of its processes, by which they are found again.
    """

    def __init__(
        self, command: str | bytes, prompt: Prompt, serial: int, last: int = 0, *, types_line_ends: bool = True
    ) -> None:
        begin, first, second = BeginMarker(), new_nonce(), new_nonce()
        by_prompt = prompt.end(serial)
        super().__init__(begin, (EndMarker(f"<{first}:{second}:".encode()), by_prompt), (by_prompt,))
        self.run_tag = f"OTTO_RUN={begin.first}"
        data = encode_command(command)
        upload = [
            # Without a redirection, which may fail (`ulimit -n`): an earlier command's text must not run again.
            b"__otto_o= __otto_r=\n",
            prompt.assignment.encode() + b"\n",
            # `set -x` is switched off for the frame: its trace would be output, and grow with the square of the upload.
            # For the user's command, eval switches it on again.
            b'{ case $- in *x*) $__otto_e \\set +x; __otto_x="$__otto_e \\set -x$__otto_l";; *) __otto_x=;; esac; '
            # `set -v` would show what follows the command.
            b"case $- in *v*) __otto_y=;; *) __otto_y=$__otto_t;; esac; } >/dev/null 2>&1\n",
            *quoted_lines(data, types_line_ends=types_line_ends),
        ]
        self._prompt_prefix = by_prompt.prefix
        self._receipts: tuple[bytes, ...] = (b"",)
        if sum(map(len, upload)) > TTY_QUEUE:
            receipt = BeginMarker()
            self._receipts = receipt.output, f":u{serial}>".encode()
            upload.append(f"{{ __otto_n=u{serial}; {_begin_command(receipt)}; }} >/dev/null 2>&1\n".encode())
        self.upload = b"".join(upload)
        follower = "$__otto_y" if _may_be_followed(data) else ""
        begin_command = f"{_begin_command(begin)}; __otto_s {last} && __otto_z="
        self.start = (
            # In bash, a DEBUG trap runs before `eval`, too. What it prints then must come before the marker.
            f"__otto_n={serial}; {{ $__otto_e \\export {self.run_tag}; case $__otto_h in "
            f'bash) __otto_k="{{ {begin_command}; }} >/dev/null 2>&1$__otto_l";; '
            f"*) __otto_k=; {begin_command};; esac; }} >/dev/null 2>&1; "
            f'$__otto_e \\eval "$__otto_k$__otto_x$__otto_o{follower}"; '
            f"{{ __otto_r=${{__otto_r:-$?}}; __otto_w '<%s:%s:%d>' {first} {second} \"$__otto_r\"; "
            '__otto_s "$__otto_r" && __otto_z=; } >/dev/null 2>&1\n'
        ).encode()

    @property
    def prompt_follows(self) -> bool:
        """Whether the prompt is still to come after the end of the frame."""
        return not self.end_shown.startswith(self._prompt_prefix)

    @property
    def uploaded(self) -> bool:
        """Whether the shell has read the upload.

        Only then the line that runs it is sent. If the shell does not read for a while, Ctrl-C drops what waits in the
        tty's queue, but nothing beyond that; the rest would still run when the shell goes on.
        """
        noise = self.noise()
        return any(receipt in noise for receipt in self._receipts)


def sourced_in_bash(command: str | bytes) -> str | bytes:
    """Return the text with which bash can turn on its line editor: it is sourced.

    In an eval bash would go on reading its input from the terminal, within the eval: it never ends, or crashes.
    """
    data = encode_command(command)
    if not LINE_EDITOR.search(data):
        return command
    end = new_nonce().encode()
    return b"$__otto_e \\. /dev/fd/8 8<<'" + end + b"'\n" + data + b"\n" + end + b"\n"


def _may_be_followed(data: bytes) -> bool:
    """Whether text after this command cannot become a part of it, in place of something that it lacks."""
    if b"<<" in data or VERBOSE.search(data):
        return False
    return not data.rstrip().endswith((b"|", b"&&", b"\\", b"!"))


def _begin_command(begin: BeginMarker) -> str:
    """The shell text that prints the marker to the terminal."""
    return f"__otto_w '<%s%s>\\n' {begin.first} {begin.second}"


class IdleOutput(NamedTuple):
    """What a session shows between commands."""

    text: bytes
    """The output without the prompts."""
    tail: bytes
    """The end of the output, which could become a prompt when more bytes arrive."""
    prompts: int
    """How many prompts there were."""
    at_prompt: bool
    """Whether nothing follows the last prompt: the shell waits for a line."""


class Prompt:
    """The prompt of a session's shell. It shows the exit status and the number of the command that ended.

    It stays the same for the whole session, so that it still works after the user has made PS1 readonly.
    """

    def __init__(self) -> None:
        self._halves = new_nonce(), new_nonce()
        self._prefix = f"<{''.join(self._halves)}:".encode()

    @property
    def assignment(self) -> str:
        first, second = self._halves
        # By eval: a plain assignment to a readonly PS1 is an error, after which a shell drops what it has read.
        return f"""$__otto_b eval 'PS1="<{first}""{second}:\\$?:\\$__otto_n>"' 2>/dev/null"""

    def end(self, serial: int) -> EndMarker:
        return EndMarker(self._prefix, f":{serial}>".encode())

    def redirection_test(self, serial: int) -> tuple[bytes, EndMarker]:
        """Return what to type to find out if the shell can redirect, and the prompt that then has the status.

        Descriptors are moved as in a frame, but others: some shells lose those that they cannot move.
        """
        return (
            f"__otto_n=r{serial}; {{ {{ :; }} 8>&1 9>&1; }} 8>&1 9>&1\n".encode(),
            EndMarker(self._prefix, f":r{serial}>".encode()),
        )

    def split(self, data: bytes) -> IdleOutput:
        """Separate the prompts from the output that a session shows between commands."""
        ends = [match.end() for match in PROMPT.finditer(data) if self._is_own(match)]
        prompts, at_prompt = len(ends), bool(ends) and ends[-1] == len(data)
        text = PROMPT.sub(lambda match: b"" if self._is_own(match) else match[0], data)
        at = text.rfind(b"<")
        head = self._prefix
        if at >= 0 and len(text) - at < len(head) + 24:
            tail = text[at:]
            partial = head.startswith(tail) or (
                tail.startswith(head) and not tail[len(head) :].strip(DIGITS + b":ur") and b">" not in tail
            )
            if partial:
                return IdleOutput(text[:at], tail, prompts, at_prompt)
        return IdleOutput(text, b"", prompts, at_prompt)

    def _is_own(self, match: re.Match[bytes]) -> bool:
        return match[1] == self._prefix


def handshake(prompt: Prompt) -> bytes:
    """Return what is typed first into a new shell. Each setting has a line of its own, so that one can fail alone."""
    return f"{handshake_text()}{prompt.assignment}\n".encode()


def quoted_lines(data: bytes, *, types_line_ends: bool = True) -> Iterator[bytes]:
    """Yield shell lines that collect `data` in the variable ``__otto_o``, short enough for any tty.

    No control byte is typed but the line end: what a tty or a line editor does with the others depends on settings that
    the user's commands may have changed. The shell makes them by ``printf``, once for each value that there is, and
    the data refers to variables. A line end inside the quotes also ends the line for the tty, but with
    `types_line_ends` False it is a variable, too: ksh93 loses the data after a line end that is typed in quotes.
    """
    controls = sorted({value for value in data if _is_control(value)})
    for value in controls:
        # $(…) drops line ends at the end, hence the dot.
        name = _control_variable(value)
        yield f"{name}=$({{ __otto_f '\\{value:03o}.'; }} 3>&1 >/dev/null); {name}=${{{name}%.}}\n".encode()
    line = bytearray()
    for value in data:
        # Never inside a UTF-8 character: some shells decode characters while they parse.
        if len(line) >= UPLOAD_LINE and (not 0x80 <= value < 0xC0 or len(line) > UPLOAD_LINE + 4):
            yield b"__otto_o=$__otto_o'" + bytes(line) + b"'\n"
            line.clear()
        if value == 0x27:
            line += b"'\\''"
        elif value == 0x0A and not types_line_ends:
            line += b"'\"$__otto_l\"'"
        elif _is_control(value):
            line += f"'\"${_control_variable(value)}\"'".encode()
        else:
            line.append(value)
    if line:
        yield b"__otto_o=$__otto_o'" + bytes(line) + b"'\n"


def _is_control(value: int) -> bool:
    return value == 0x7F or (value < 0x20 and value != 0x0A)


def _control_variable(value: int) -> str:
    return f"__otto_c{value:02x}"
