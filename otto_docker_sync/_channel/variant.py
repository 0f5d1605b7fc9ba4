"""The same host for one call that names another user or another directory."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..deadline import Deadline, DeadlineExpired
from ..errors import AuthenticationError, ConfigError, ConnectError, OttoError
from ..limits import START_TIME
from ..secret import Secret, reveal
from .backend import Backend, Program
from .base import Channel
from .markers import BeginMarker, new_nonce
from .scripts import script

SUDO_SAYS: list[tuple[str, type[OttoError], str]] = [
    (
        r"unknown user|no passwd entry|user '.*' not found",
        ConfigError,
        "the machine has no user {user!r}; pass one that it has, or a number, as user=",
    ),
    (r"unknown group|group '.*' not found", ConfigError, "the machine has no group as in user={user!r}"),
    (
        r"password is required|terminal is required to (read|authenticate)|no askpass",
        AuthenticationError,
        "sudo asks for a password: give UnixHost one (sudo_password=), or add a NOPASSWD entry to sudoers",
    ),
    (
        r"incorrect password|incorrect authentication|try again|no password was provided",
        AuthenticationError,
        "sudo refused the password; is sudo_password= that of the user of the login?",
    ),
    (
        r"not in the sudoers file|not allowed to|may not run sudo",
        AuthenticationError,
        "sudoers does not let the login's user run this as {user!r}",
    ),
    (r"must have a tty", AuthenticationError, "sudoers asks for a terminal (requiretty), which a oneshot has not"),
    (
        r"sudo: .*not found|sudo: No such file",
        ConfigError,
        "the machine has no sudo, which user= needs; log in as {user!r}, or install it",
    ),
]
NO_DIRECTORY = "otto: no such directory"


class Variant(Backend):
    """A host that lives with `base`, and differs from it in how its programs are started."""

    def __init__(self, base: Backend) -> None:
        super().__init__(base.id, base.shell, base.log)
        self.guard = base.guard
        self.base = base

    def open_shell_as(self, owner: str, args: Sequence[str], *, deadline: Deadline) -> Channel | None:
        return self.base.open_shell_as(owner, args, deadline=deadline)

    def environment(self) -> dict[str, str]:
        return self.base.environment()

    def loss_reason(self, started_at: float, patience: float, deadline: Deadline) -> str:
        return self.base.loss_reason(started_at, patience, deadline)

    def recover(self, error: OttoError, deadline: Deadline) -> bool:
        return self.base.recover(error, deadline)

    def is_resolved(self) -> bool:
        return self.base.is_resolved()


class MachineVariant(Variant):
    """A machine, for a `user` that ``sudo`` starts the programs as, and in `workdir`; None leaves both as they are.

    With `password`, sudo is answered when it asks; otherwise it fails instead of asking.
    """

    def __init__(self, base: Backend, user: str | None, workdir: str | None, password: Secret) -> None:
        super().__init__(base)
        self._user = user
        self._workdir = workdir
        self._password = password

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        begin = BeginMarker() if self._user is not None and self._password is not None else None
        prompt = new_nonce()
        text = script(
            __package__,
            "run_as",
            otto_begin_first=begin.first if begin else "",
            otto_begin_second=begin.second if begin else "",
            otto_behind_sudo="" if self._user is None else 1,
        )
        # The markers are set behind sudo, which drops the environment. And sudo itself must not carry them: what kills
        # the tree of a oneshot would kill sudo first.
        command = program.prefix_env().prefix(*self._sudo(prompt), "sh", "-c", text, "sh", self._workdir or "")
        channel = self.base.open_channel(command, deadline)
        if begin is not None:
            try:
                self._answer(channel, begin, prompt.encode(), deadline)
            except BaseException:
                channel.close()
                raise
        return channel

    def _sudo(self, prompt: str) -> list[str]:
        if self._user is None:
            return []
        user, _, group = (f"#{name}" if name.isdigit() else name for name in self._user.partition(":"))
        asking = ["-n"] if self._password is None else ["-S", "-p", prompt]
        return ["sudo", *asking, "-u", user, *(["-g", group] if group else []), "--"]

    def _answer(self, channel: Channel, begin: BeginMarker, prompt: bytes, deadline: Deadline) -> None:
        """Give sudo the password when it asks, and return when it has started the program.

        Nothing is sent before it asks: a sudo that needs no password would leave it to the program.
        """
        limit = deadline.at_most(START_TIME)
        out = err = b""
        asked = 0
        while begin.output not in out:
            try:
                chunk = channel.read(limit)
            except DeadlineExpired:
                deadline.check()
                raise ConnectError(f"{self.id}: sudo did not get to a shell within {START_TIME:.0f} s") from None
            if chunk.ended:
                raise self.startup_error(out, err, channel.exit_status(limit), limit)
            out, err = out + chunk.out, err + chunk.err
            prompts = (out + err).count(prompt)
            if prompts > asked == 0:
                channel.write(f"{reveal(self._password)}\n".encode(), limit)
            elif prompts > asked:
                channel.write_eof()  # the password was wrong: one attempt more would be one more for nothing
            asked = prompts

    def startup_error(self, out: bytes, err: bytes, status: int | None, deadline: Deadline) -> OttoError:
        text = (out + b"\n" + err).decode("utf-8", "replace").strip()[-1000:]
        if NO_DIRECTORY in text:
            return ConfigError(
                f"{self.id}: the machine has no directory {self._workdir!r}, or it cannot be entered;"
                " pass another workdir=, such as '/'"
            )
        if self._user is not None:
            for pattern, kind, advice in SUDO_SAYS:
                if re.search(pattern, text, re.IGNORECASE):
                    return kind(f"{self.id}: {advice.format(user=self._user)}. sudo said: {text}")
        return self.base.startup_error(out, err, status, deadline)
