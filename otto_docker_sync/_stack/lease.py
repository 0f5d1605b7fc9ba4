"""Holds a stack on its parent, for as long as a run uses it."""

from __future__ import annotations

from contextlib import suppress

from .._channel.base import Channel
from ..deadline import Deadline, DeadlineExpired
from ..errors import ComposeError, ConnectionLost
from ..limits import LEAVE_TIME
from .report import TaggedOutput


class Lease:
    """A hold on a stack: a lock that a process on the parent has for as long as our channel to it lives.

    It ends when it is released, when our process dies, and when the connection to the parent is lost. `directory` is
    that of the stack on the parent.
    """

    def __init__(self, channel: Channel, nonce: str, deadline: Deadline) -> None:
        self._channel = channel
        output = TaggedOutput(nonce)
        try:
            while "held" not in output.report():
                chunk = channel.read(deadline)
                if chunk.ended:
                    raise ComposeError(f"the stack could not be held:\n{output.report().last_lines()}")
                output.add(chunk)
        except BaseException:
            channel.close()
            raise
        self.directory = output.report().first("held")

    def release(self) -> None:
        """End the hold, and wait until the parent knows. Does not raise: what is lost is released."""
        deadline = Deadline.grace(LEAVE_TIME)
        with suppress(DeadlineExpired, ConnectionLost):
            self._channel.write(b"end\n", deadline)
            while not self._channel.read(deadline).ended:
                pass
        self._channel.close()
