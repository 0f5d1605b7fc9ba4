"""The docker client on a parent, asked about containers."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from .._channel.backend import Backend
from .._channel.markers import new_nonce
from .._channel.scripts import script
from .._shell import Capture, run_oneshot
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError, OttoError
from ..limits import DOCKER_TIME


class DockerClient:
    """Asks the docker client on `parent`. Any thread may use it.

    `explain` makes an error of what the client says, and its exit status, when it fails.
    """

    def __init__(self, parent: Backend, explain: Callable[[bytes, int], OttoError]) -> None:
        self._parent = parent
        self._explain = explain

    def ask(self, name: str, deadline: Deadline, **values: str) -> list[str]:
        """Run the script ``name.sh``, and return the answers.

        Raises the error that the client's message stands for, `ConnectError`, `DeadlineExpired`.
        """
        nonce = new_nonce()
        text = script(__package__, name, docker=shlex.join(self._parent.docker_command()), nonce=nonce, **values)
        capture = Capture(None, lambda _: None)
        outcome = run_oneshot(self._parent, text, deadline.at_most(DOCKER_TIME), capture)
        out, err = (stream.text() for stream in capture.streams)
        if outcome.retcode is None:
            if deadline.expired:
                raise DeadlineExpired("docker was still being asked for the container")
            reason = f"no answer within {DOCKER_TIME:.0f} s" if outcome.timed_out else outcome.message
            raise ConnectError(f"{self._parent.id}: asking docker about a container: {reason}")
        if outcome.retcode != 0:
            raise self._explain(f"{out}\n{err}".encode(), outcome.retcode)
        # What does not hold the nonce was printed by a wrapper around the client.
        answers = (line.partition(f"<{nonce}> ") for line in out.splitlines())
        return [answer.strip() for _, marker, answer in answers if marker]

    def find(self, compose_project: str, service: str, deadline: Deadline, *, stopped: bool = False) -> str:
        """Return the id of a service's running container: of the number asked for, or else of the lowest one.

        With `stopped`, one that does not run will do. '' when there is none. Raises as `ask`.
        """
        service, _, number = service.partition("#")
        which = "-a" if stopped else "--filter status=running"
        answers = self.ask("find_container", deadline, project=compose_project, service=service, which=which)
        rows = [answer.split("|") for answer in answers]
        # podman-compose gives no container the label that marks one-off ones.
        numbered = sorted((int(row[0] or 1), row[2]) for row in rows if row[1] != "True")
        return next((found for replica, found in numbered if not number or replica == int(number)), "")
