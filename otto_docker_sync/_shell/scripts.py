"""The scripts that sessions and oneshots send: each stands in a ``.sh`` file beside this one, with what it does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from .._channel.markers import BeginMarker
from .._channel.scripts import load, script


def loader(nonce: str) -> str:
    """For ``sh -c``: run the script that comes on stdin up to a line that is `nonce`; the rest of stdin is its own."""
    return script(__package__, "loader", otto_nonce=nonce)


def kill_tree() -> str:
    """The shell function of that name."""
    return load(__package__, "kill_tree").text


def warden_command(begin: BeginMarker) -> str:
    """For ``sh -c``, with the environment to look for as its ``$1``: be a warden, and say so by `begin` and a pid."""
    return script(__package__, "warden", begin_first=begin.first, begin_second=begin.second)


def lease_check(warden_pid: int) -> str:
    """The shell text that leaves unless the warden with that process id holds a lease."""
    return script(__package__, "lease_check", otto_warden=warden_pid).rstrip()


def terminal_size(columns: int, rows: int) -> str:
    """The shell text that gives a person's terminal its size, when docker has done so."""
    return script(__package__, "terminal_size", otto_columns=columns, otto_rows=rows).rstrip()


def shell_command(lease: str, size: tuple[int, int], begin: BeginMarker, shell: str) -> str:
    """For ``sh -c`` on a terminal: check the `lease`, say by `begin` that the terminal is there, become `shell`."""
    columns, rows = size
    return f"{lease}\n" + script(
        __package__,
        "session",
        otto_columns=columns,
        otto_rows=rows,
        otto_begin_first=begin.first,
        otto_begin_second=begin.second,
        otto_shell=shell,
    )


def handshake_text() -> str:
    """Return what is typed first into a new session's shell, before its prompt is set."""
    return load(__package__, "handshake").text


def export_text(environment: Mapping[str, str]) -> str:
    """Shell lines that export variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def end_left_script(nonce: str, needle: str, keep: int | None, roots: str, unseen: str) -> bytes:
    """What goes to the `loader`: end what a kill had to leave, and say what is there then."""
    text = script(
        __package__,
        "end_left",
        nonce=nonce,
        needle=needle,
        keep="" if keep is None else keep,
        roots=roots,
        strangers=unseen,
    )
    return f"{text}{nonce}\n".encode()


def spare_script(nonce: str, ready: BeginMarker, shell: str, *, merged: bool) -> bytes:
    """What goes to the `loader` of a spare shell, which prints `ready` whenever it is ready for a oneshot."""
    text = script(
        __package__,
        "spare",
        otto_tag=nonce,
        otto_streams="4" if merged else "4 5",
        otto_stderr="1" if merged else "2",
        otto_shell=shell,
        otto_command=load(__package__, "command").text,
        otto_ready_first=ready.first,
        otto_ready_second=ready.second,
    )
    return f"{text}{nonce}\n".encode("utf-8", "surrogateescape")


def oneshot_script(
    nonce: str,
    begin: BeginMarker,
    end: str,
    command: bytes,
    environment: Mapping[str, str],
    shell: str,
    *,
    merged: bool,
    takes_signals: bool = False,
    answers: str = "",
) -> bytes:
    """What goes to the `loader` of a oneshot: the wrapper, then the command, each closed by the nonce's line.

    `merged` is for a channel on which stdout and stderr are one. With `answers`, a nonce, it takes an input for the
    command, and answers by markers with that nonce; with `takes_signals`, also orders to send a signal.
    """
    own = {}
    if answers:
        signals = load(__package__, "signal_tree").text if takes_signals else ""
        own = {"otto_answers": answers, "otto_signals": signals}
    wrapper = script(
        __package__,
        "oneshot_input" if answers else "oneshot",
        otto_nonce=nonce,
        otto_begin_first=begin.first,
        otto_begin_second=begin.second,
        otto_end=end,
        otto_streams="4" if merged else "4 5",
        otto_stderr="1" if merged else "2",
        otto_exports=export_text(environment),
        otto_shell=shell,
        otto_command=load(__package__, "command").text,
        otto_tag=nonce,
        **own,
    )
    mark = f"{nonce}\n".encode()
    return wrapper.encode("utf-8", "surrogateescape") + mark + command + b"\n" + mark
