"""Processes of a machine that is reached over telnet. Each has a login of its own."""

from __future__ import annotations

import os
import re
import shlex
from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from time import monotonic

from .._channel.base import Channel, Chunk
from .._channel.markers import new_nonce
from .._channel.tcp import TunnelOpener, dial_tcp
from ..deadline import Deadline, DeadlineExpired
from ..errors import AuthenticationError, ConnectError, ConnectionLost
from ..limits import LONG_QUIET_TIME, PROMPT_SCREEN, QUIET_TIME, SHORT_INPUT, TELNET_PIECE, TYPE_AGAIN_TIME
from .link import TelnetLink
from .options import TelnetOptions

PORT = 23


CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|[\r\0]")

# Markers begin with a byte that nobody types. printf puts them together, so the echo of the line that prints a marker
# never looks like it. The first command works in any login shell, csh and fish too. It replaces the login shell by a
# plain sh, which reads the rest as data: so there are no prompts, no line editor, and none of their limits.
BOOT = (
    'exec /bin/sh -c \'stty sane -echo; printf "\\036%s%s\\036" {first} {second}; '
    "while IFS= read -r l; do case $l in {nonce}.) break;; {nonce}*) s=$s${{l#{nonce}}};; esac; done; "
    'eval "$(printf "$s")"\'\r'
)
BEGIN = r"printf '\036%s\r\0%s%s\036' {first} {second} $b"
END = r"printf '\036%s:%d\036' {nonce}"

# The program's stdin is sent as lines of text, up to a line with a dot. So it has an end, and can contain bytes that a
# terminal would act on. printf turns a line into bytes. After a line ``=N`` come N lines for base64; head reads exactly
# these, because a terminal is read line by line. The input also ends when the connection hangs up; HUP is ignored, so
# that the program sees the end of its input instead of being killed. The output goes through a pipe, because programs
# behave differently on a terminal. A program must not open the terminal either, as sudo does: it would take away input.
# A session of its own has no terminal.
WITH_PIPES = r"""stty -opost; trap '' HUP; exec 3>&1 2>/dev/null; command -v base64 && command -v head && b=64
s=; command -v setsid && s=setsid
{begin}
{{ while IFS= read -r l; do case $l in .) break;; =*) head -n "${{l#=}}" | base64 -d;; *) printf "$l";; esac; done; }} |
{{ r=$({{ {{ (exec $s {command} 2>&1 3>&- 4>&-); echo $? >&4; }} | cat >&3 4>&-; }} 4>&1); {end} $r >&3; }}
"""
# Signals from the terminal are for the program; this shell survives them, to report the program's status.
WITH_TTY = r"""stty sane; TERM={term}; export TERM; trap : INT QUIT; exec 2>/dev/null; {begin}
(exec {command} 2>&1); {end} $?
"""

PRINTABLE = [chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}" for byte in range(256)]


class TelnetChannel(Channel):
    """A process on a telnet connection of its own. Made by `open`; `close` hangs up.

    stdout and stderr arrive together. One thread may read while another writes. Any thread may close it.
    """

    tty = True

    def __init__(
        self, link: TelnetLink, label: str, end: str, terminal: bool, begin: re.Match[bytes], early: bytes
    ) -> None:
        self._link = link
        self._label = label
        self._end = f"\036{end}:".encode()
        self._terminal = terminal
        self._nul_after_cr, self._base64 = map(bool, begin.groups())
        self._after_cr = False
        self._early = early
        self._held = b""
        self._writing = True
        self._status: int | None = None

    @classmethod
    def open(
        cls,
        host: str,
        port: int | None,
        user: str,
        password: str | None,
        options: TelnetOptions,
        argv: Sequence[str],
        *,
        tty: bool = False,
        term: str = "dumb",
        size: tuple[int, int] = (80, 24),
        deadline: Deadline,
        hop: TunnelOpener | None = None,
    ) -> TelnetChannel:
        """Log in and start a program. An empty `argv` is the user's login shell.

        Only with `tty` the program has a terminal, of type `term` and of `size` (columns, rows). Raises
        `AuthenticationError`, `ConnectError`, or `DeadlineExpired` if `deadline` comes before the end of
        ``TelnetOptions.connect_timeout``.
        """
        where = f"{user}@{host}:{port or PORT} (telnet)"
        limit = deadline.at_most(options.connect_timeout)
        login = None
        with ExitStack() as undo:
            try:
                if hop is not None:
                    stream = hop.open_tunnel(host, port or PORT, limit)
                else:
                    stream = dial_tcp(host, port or PORT, where, limit, daemon="telnetd")
                link = TelnetLink(stream, term, size)
                undo.callback(link.descriptors.close)
                login = Login(link, where, user, password, options)
                with link.descriptors.using(limit):
                    login.run(limit)
                    channel = cls._start(login, argv, tty, term, limit)
            except DeadlineExpired:
                deadline.check()
                shown = login.last_lines() if login else ""
                raise ConnectError(
                    f"{where} did not get to a shell within {options.connect_timeout:g} s (connect_timeout)"
                    + (f"; it shows {shown!r}: are its prompts those of TelnetOptions?" if shown else "")
                ) from None
            undo.pop_all()
        return channel

    @classmethod
    def _start(cls, login: Login, argv: Sequence[str], tty: bool, term: str, deadline: Deadline) -> TelnetChannel:
        first, second, end = new_nonce(), new_nonce(), new_nonce()
        script = (WITH_TTY if tty else WITH_PIPES).format(
            begin=BEGIN.format(first=first, second=second),
            command=shlex.join(argv) if argv else '"${SHELL:-sh}" -l',
            end=END.format(nonce=end),
            term=shlex.quote(term),
        )
        login.command(os.fsencode(script))
        # Telnet requires a NUL after a bare CR in text, but not every host adds it. The marker contains a CR, and shows
        # what this host does.
        begin = login.wait_for(rb"\036%s\r\0(\0?)%s(64)?\036" % (first.encode(), second.encode()), deadline)
        label = f"{shlex.join(argv)[:80]!r} of {login.where}"
        return cls(login.link, label, end, tty, begin, login.rest)

    def __repr__(self) -> str:
        return f"<TelnetChannel {self._label}{' closed' if self._link.descriptors.closed else ''}>"

    def read(self, deadline: Deadline) -> Chunk:
        with self._link.descriptors.using(deadline) as usable:
            while usable and self._status is None:
                data, self._early = self._early or self._link.receive(deadline), b""
                if data:
                    output = self._output(data)
                    if output:
                        return Chunk(output)
                elif self._link.descriptors.closed:
                    break
                elif self._held:
                    output, self._held = self._held, b""
                    return Chunk(output)
                else:
                    raise ConnectionLost(f"{self._label}: the connection was lost: {self._link.reason()}")
        return Chunk()

    def _output(self, data: bytes) -> bytes:
        """Return the program's own output. What may be the start of the end marker is held back until more arrives."""
        if self._nul_after_cr:
            if self._after_cr and data.startswith(b"\0"):
                data = data[1:]
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\0", b"\r")
        data = self._held + data
        self._held = b""
        at = data.find(self._end)
        if at < 0:
            at = data.rfind(b"\036")
            if at >= 0 and self._end.startswith(data[at:]):
                data, self._held = data[:at], data[at:]
            return data
        status, mark, _ = data[at + len(self._end) :].partition(b"\036")
        if mark:
            self._status = int(status)
        else:
            self._held = data[at:]
        return data[:at]

    def write_some(self, data: bytes) -> int:
        with self._link.descriptors.using() as usable:
            if not usable or not self._writing:
                return len(data)
            if not self._link.flush():
                return 0
            data = data[:TELNET_PIECE]
            self._link.send(data if self._terminal else as_lines(data, self._base64))
            return len(data)

    def write_eof(self) -> None:
        with self._link.descriptors.using() as usable:
            if usable and self._writing and not self._terminal:
                self._writing = False
                self._link.send(b".\n")

    def resize(self, columns: int, rows: int) -> None:
        with self._link.descriptors.using() as usable:
            if usable:
                self._link.resize((columns, rows))

    def exit_status(self, deadline: Deadline) -> int | None:  # noqa: ARG002 (the base has it)
        return self._status

    def pause(self, deadline: Deadline) -> None:
        with self._link.descriptors.using() as usable:
            if usable:
                self._link.descriptors.pause(deadline.wait_time())

    def close(self) -> None:
        self._link.descriptors.close()

    def __del__(self) -> None:
        self.close()


class Login:
    """The dialogue from a new connection to a plain shell. ``rest`` is what arrived after the last marker."""

    def __init__(self, link: TelnetLink, where: str, user: str, password: str | None, options: TelnetOptions) -> None:
        self.link = link
        self.where = where
        self.rest = b""
        self._user = user
        self._password = password
        self._options = options
        self._nonce = new_nonce()
        self._named = self._trusted = False
        self._booted_at: float | None = None

    def run(self, deadline: Deadline) -> None:
        """Answer prompts until the shell has printed a marker."""
        first, second = new_nonce(), new_nonce()
        boot = BOOT.format(first=first, second=second, nonce=self._nonce).encode()
        proof = f"\036{first}{second}\036".encode()
        heard = monotonic()
        while proof not in self.rest:
            if self._receive(deadline, QUIET_TIME):
                heard = monotonic()
                ready = self._answer()
            else:
                is_quiet = self._trusted and monotonic() - heard > LONG_QUIET_TIME
                ready = self._at(self._options.shell_prompt) or is_quiet
            if self._booted_at is not None:
                ready = monotonic() - self._booted_at > TYPE_AGAIN_TIME
            if ready:
                self._booted_at = monotonic()
                self.link.send(boot)
        self.rest = self.rest.partition(proof)[2]

    def command(self, script: bytes) -> None:
        """Send the shell its script, as lines that no terminal cuts or changes."""
        text = "".join(PRINTABLE[byte] for byte in script)
        lines = [f"{self._nonce}{text[at : at + 900]}\n" for at in range(0, len(text), 900)]
        self.link.send("".join([*lines, f"{self._nonce}.\n"]).encode())

    def wait_for(self, mark: bytes, deadline: Deadline) -> re.Match[bytes]:
        while not (match := re.search(mark, self.rest)):
            self._receive(deadline)
        self.rest = self.rest[match.end() :]
        return match

    def last_lines(self) -> str:
        """Return the end of what the host has shown since the last answer."""
        return self._screen().strip()[-200:]

    def _receive(self, deadline: Deadline, patience: float | None = None) -> bool:
        """Read more of what the host shows. Returns False if it showed nothing for `patience` seconds."""
        try:
            data = self.link.receive(deadline if patience is None else deadline.at_most(patience))
        except DeadlineExpired:
            deadline.check()
            return False
        if not data:
            kind = AuthenticationError if self._trusted and self._booted_at is None else ConnectError
            raise kind(f"{self.where} hung up before there was a shell; it showed {self.last_lines()!r}")
        self.rest += data
        return True

    def _answer(self) -> bool:
        """Answer a prompt for a name or a password. Returns True at the prompt of a shell."""
        name_asked = self._at(self._options.login_prompt)
        if self._at(self._options.password_prompt) or (name_asked and self._named):
            if self._trusted or name_asked:
                raise AuthenticationError(f"{self.where} refused the login; it shows {self.last_lines()!r}")
            if self._password is None:
                raise AuthenticationError(f"{self.where} asks for a password: give UnixHost one (password=)")
            self._trusted = True
            self._reply(self._password)
        elif name_asked:
            self._named = True
            self._reply(self._user)
        return self._named and self._at(self._options.shell_prompt)

    def _at(self, prompt: str) -> bool:
        return re.search(prompt, self._screen()) is not None

    def _screen(self) -> str:
        return CONTROLS.sub("", self.rest[-PROMPT_SCREEN:].decode(self._options.encoding, "replace"))

    def _reply(self, text: str) -> None:
        self.rest = b""
        self.link.send(text.encode(self._options.encoding) + b"\r")


def as_lines(data: bytes, with_base64: bool) -> bytes:
    """Encode bytes as lines of text that no terminal cuts; the shell at the other end decodes them."""
    if with_base64 and len(data) > SHORT_INPUT:
        pieces = [b64encode(data[at : at + 2400]).decode() for at in range(0, len(data), 2400)]
        return "\n".join([f"={len(pieces)}", *pieces, ""]).encode()
    texts = ("".join(PRINTABLE[byte] for byte in data[at : at + 225]) for at in range(0, len(data), 225))
    return "".join(f"{text}\n" for text in texts).encode()
