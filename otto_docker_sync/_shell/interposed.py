"""What somebody has put between us and a remote shell: a wrapper that records what users do, for example.

sshd's ``ForceCommand`` and login shells can do so. One that passes the bytes on does no harm. One that puts a terminal
in between changes them, one that joins stdout and stderr mixes them, one that takes stdin for itself keeps our script.

The `loader` and the wrapper of a oneshot find that out, and refuse before anything is run. In a container they cannot
see that the two streams of docker's client are joined; then the begin marker comes twice on one.
"""

from __future__ import annotations

import re

from .._channel.base import Channel
from ..errors import ConnectError

ADVICE = (
    "Have this user excepted from what wraps the commands of a login (sshd's ForceCommand, a login shell that records)"
)
JOINED = "has joined stdout and stderr of the command"
FINDINGS = {
    "terminal": "has put a terminal around the command, which would change what is sent to it; "
    f"nothing was run. run() and sessions work here, as they use a terminal anyway. {ADVICE}, and the rest works, too.",
    "joined": f"{JOINED}; nothing was run. {ADVICE}, or let it pass both on.",
    "stdin": f"keeps the stdin of the command from it; nothing was run. {ADVICE}, or let it pass stdin on.",
}


def stream_probe(nonce: str, channel: Channel) -> bytes:
    """Return what goes to the `loader` before the script. Nothing where the channel itself is a terminal."""
    return b"" if channel.tty else f"#{nonce}\r\n".encode()


def joined_streams(end: str) -> str:
    """Return the message for streams that were joined, when the command had begun; `end` says how it ended."""
    return f"the outcome is unknown: something on the way {JOINED}; {end}. {ADVICE}, or let it pass both on."


def kept_stderr(end: str) -> str:
    """Return the message for a command whose stderr does not arrive; `end` says how it ended."""
    what = "something on the way keeps the command's stderr"
    return f"the outcome is unknown: {what}; {end}. {ADVICE}, or let it pass stderr on."


def interposed_error(host: str, nonce: str, said: bytes) -> ConnectError | None:
    """Return the error for what the `loader` of `nonce` has found; None when it has found nothing."""
    found = re.search(rf"<{nonce}:(\w+)>".encode(), said)
    finding = FINDINGS.get(found[1].decode()) if found else None
    return ConnectError(f"{host}: something on the way {finding}") if finding else None
