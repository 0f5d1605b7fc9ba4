"""The process of a session's shell: started on a terminal of its own, alive under a warden's lease, ended by order."""

from __future__ import annotations

from contextlib import suppress

from .._channel.backend import Backend
from .._channel.base import Channel
from .._channel.markers import BeginMarker, new_nonce
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectionLost, OttoError
from ..limits import ANSWER_TIME, KILL_TIME
from .scripts import shell_command
from .warden import State, Warden, WardenKeeper

ENVIRONMENT = {
    # No escape sequences, no start-up file, no history.
    "TERM": "dumb",
    "ENV": "",
    "BASH_ENV": "",
    "HISTFILE": "",
    # A shell that is idle for long must not leave.
    "TMOUT": "0",
    # Pagers wait for a key that nobody presses.
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "SYSTEMD_PAGER": "cat",
}
"""The environment of a shell that is for programs. The user's own `env` comes later, and wins."""


class ShellProcess:
    """Owns the channel of one shell. Any thread may end it.

    Whatever is started from the shell has ``tag`` in its environment; the order to end the shell names it.
    """

    def __init__(
        self, backend: Backend, wardens: WardenKeeper, warden: Warden, channel: Channel, nonce: str, begin: BeginMarker
    ) -> None:
        self.backend = backend
        self.channel = channel
        self.pid: int | None = None
        """None until the shell has answered."""
        self._wardens = wardens
        self._warden = warden
        self._tag = f"OTTO_SESSION={nonce}"
        self._begin = begin
        self._ended = False

    @classmethod
    def start(
        cls, backend: Backend, wardens: WardenKeeper, warden: Warden, size: tuple[int, int], deadline: Deadline
    ) -> ShellProcess:
        """Start one under the lease of `warden`. Call `await_terminal` next, and `abort` where that fails."""
        nonce, begin = new_nonce(), BeginMarker()
        channel = backend.open_shell(
            ["-c", shell_command(warden.lease_check, size, begin, backend.shell)],
            marker_env={**ENVIRONMENT, "OTTO_HOST": warden.tag, "OTTO_SESSION": nonce, **backend.guard.marker_env()},
            tty=True,
            deadline=deadline,
            size=size,
        )
        return cls(backend, wardens, warden, channel, nonce, begin)

    def await_terminal(self, deadline: Deadline) -> None:
        """Wait until it runs. Nothing may be sent before: terminals on the way are not raw yet, and would act on it.

        Raises the host's `startup_error` when it ends instead, and `DeadlineExpired`.
        """
        try:
            self._await_begin(deadline)
        except DeadlineExpired:
            # Once it runs it can be ended. One that docker starts only later stays until the lease ends.
            with suppress(DeadlineExpired, OttoError):
                self._await_begin(Deadline.grace(KILL_TIME))
            raise

    def _await_begin(self, deadline: Deadline) -> None:
        out = b""
        while self._begin.output not in out:
            chunk = self.channel.read(deadline)
            if chunk.ended:
                raise self.backend.startup_error(out, b"", self.channel.exit_status(deadline), deadline)
            out = (out + chunk.out)[-65536:]

    def check_lease(self) -> bool:
        """Ask the warden that holds its lease, and return whether it answers."""
        return self._warden.alive(Deadline.grace(ANSWER_TIME))

    def end_run(self, run_tag: str, started_at: float, deadline: Deadline) -> str | None:
        """End what a command left, but not the shell. Returns as `WardenKeeper.end_run` does."""
        assert self.pid is not None
        return self._wardens.end_run(self._warden, run_tag, self.pid, started_at, deadline)

    def exit_status(self) -> int | None:
        """Return the exit status of the shell that has ended; None when nobody knows it."""
        try:
            return self.channel.exit_status(Deadline.grace(KILL_TIME))
        except (DeadlineExpired, ConnectionLost):
            return None

    @property
    def ended_by_us(self) -> bool:
        """Whether we ended it, alone or with its lease."""
        return self._ended or self._warden.state is State.CLOSED

    def end(self, deadline: Deadline) -> None:
        """End the shell and all that was started from it. From any thread; does not raise; idempotent."""
        if self._ended:
            return
        self._ended = True
        self._order_end(deadline)
        self.channel.close()

    def abort(self, deadline: Deadline) -> None:
        """End a shell that nobody has used yet: by order, or, if nobody carries that out, by `exit`."""
        self._ended = True
        if not self._order_end(deadline):
            with suppress(DeadlineExpired, OttoError):
                self.channel.write(b"exit\n", deadline)
                while not self.channel.read(deadline).ended:
                    pass
        self.channel.close()

    def _order_end(self, deadline: Deadline) -> bool:
        return self._wardens.end_shell(self._warden, self._tag, self.pid, deadline)
