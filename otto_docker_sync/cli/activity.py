"""What goes on in a lab: each machine is asked again and again, in a thread of its own."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._channel.backend import Guard
from .._channel.markers import new_nonce
from .._channel.scripts import script
from .._stack import RemoteStack, StackContainer
from ..deadline import Deadline, DeadlineExpired
from ..docker_host import DockerContainerHost
from ..errors import OttoError
from ..limits import REFRESH_TIME, TOP_LOOK_TIME

if TYPE_CHECKING:
    from ..host import Host
    from ..lab import Lab
    from ..result import CommandResult

WITH_VALUE = ("-e", "-u", "-w", "--detach-keys")
"""The options of ``docker exec`` that we use and that are followed by a value."""


@dataclass
class Activity:
    """The calls of this login on one host: markers, of which each stands for one."""

    sessions: set[str] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)

    def add(self, markers: Iterable[str]) -> None:
        """Take the markers of a process."""
        for marker in markers:
            name, _, nonce = marker.partition("=")
            if name == "OTTO_SESSION":
                self.sessions.add(nonce)
            elif name in ("OTTO_TAG", "OTTO_RUN"):
                self.commands.add(nonce)


def read_activity(text: str, nonce: str) -> dict[str, Activity]:
    """Read the output of ``activity.sh``: container, as the docker client names it, → activity; '' is the machine."""
    found: dict[str, Activity] = defaultdict(Activity)
    own = ""
    for process in text.split(f"<{nonce}> ")[1:]:
        kind, *words = process.splitlines()
        if kind.startswith("self "):
            own = kind.removeprefix("self ")
        elif kind == "environ":
            found[""].add(words)
        else:
            container, variables = read_exec(words)
            if container:
                found[container].add(variables)
    found[""].commands.discard(own)
    return dict(found)


def read_exec(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the container in the command line of ``docker exec``, and the variables; ('', []) for any other.

    >>> read_exec(["docker", "exec", "-i", "-e", "OTTO_TAG=1", "api-1", "sh", "-c", "make"])
    ('api-1', ['OTTO_TAG=1'])
    """
    variables = []
    rest = iter(words[words.index("exec") + 1 :] if "exec" in words else ())
    for word in rest:
        if word in WITH_VALUE:
            value = next(rest, "")
            if word == "-e":
                variables.append(value)
        elif not word.startswith("-"):
            return word, variables
    return "", []


@dataclass(frozen=True)
class Look:
    """What one look at a machine has shown. ``latency`` is that of a command that does nothing, in seconds."""

    problem: str = ""
    latency: float | None = None
    activity: dict[str, Activity] = field(default_factory=dict)
    containers: tuple[StackContainer, ...] = ()
    running: dict[str, bool] = field(default_factory=dict)
    """Id of a host whose container Compose did not make → whether it runs, as far as docker says so."""
    is_whole: bool = True
    """False while the first look at a machine that answers goes on."""


class Watch:
    """Looks at something again and again, in a thread of its own, until it is stopped."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.looked = threading.Event()
        """Set by the end of the first look."""
        self._asked_at: float | None = None
        self._stopped = threading.Event()

    @property
    def silent_for(self) -> float:
        """Seconds since the last question, when it has no answer yet."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else monotonic() - asked_at

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._work, name=f"top {self._name}", daemon=True).start()

    def stop(self) -> None:
        """Look no more. Does not wait."""
        self._stopped.set()

    def refresh(self) -> None:
        """Look once. Raises nothing that may happen."""

    def _work(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            self._asked_at = None
            self.looked.set()
            self._stopped.wait(REFRESH_TIME)


class MachineWatch(Watch):
    """Looks at one machine, and at the containers on it. ``look`` is the last look."""

    def __init__(self, machine: Host, containers: Sequence[DockerContainerHost]) -> None:
        super().__init__(machine.id)
        self.machine = machine
        self.containers = containers
        self.look = Look(is_whole=False)

    def refresh(self) -> None:
        try:
            self.look = self._look()
        except (OttoError, DeadlineExpired) as error:
            self.look = Look(str(error) or "no answer in time")

    def _look(self) -> Look:
        if self.look.latency is None:
            self._ask(":")  # connects, which is not what is measured
        result = self._ask(":")
        if result.retcode is None:
            return Look(result.message)
        if self.look.latency is None:
            self.look = Look(latency=result.duration, is_whole=False)
        nonce = new_nonce()
        activity = read_activity(self._ask(script(__package__, "activity", otto_nonce=nonce)).output, nonce)
        containers, problem = self._list_containers() if self.machine.docker_capable else ([], "")
        running = {}
        for host in self.containers:
            with suppress(OttoError):
                if not host.compose_project and not problem:
                    self._asked_at = monotonic()
                    running[host.id] = host.is_running()
        return Look(problem, result.duration, activity, tuple(containers), running)

    def _ask(self, text: str) -> CommandResult:
        self._asked_at = monotonic()
        return self.machine.oneshot(text, timeout=TOP_LOOK_TIME, log=False)

    def _list_containers(self) -> tuple[list[StackContainer], str]:
        """Return the containers of stacks, or what is wrong with docker."""
        self._asked_at = monotonic()
        try:
            return RemoteStack(self.machine, "any").containers(Deadline.after(TOP_LOOK_TIME), everywhere=True), ""
        except DeadlineExpired:
            return [], f"docker did not answer within {TOP_LOOK_TIME:.0f} s"
        except OttoError as error:
            return [], str(error)


class ReservationWatch(Watch):
    """Looks at the reservations of a lab, whose server may be silent, too."""

    def __init__(self, lab: Lab) -> None:
        super().__init__("reservations")
        self._lab = lab
        self.entries: list[dict[str, Any]] = []
        """Who holds and who waits for what."""
        self.problem = ""

    def refresh(self) -> None:
        try:
            who = self._lab.who()
        except OttoError as error:
            self.problem = str(error)
        else:
            self.entries, self.problem = [asdict(entry) for entry in (*who.holds, *who.queue)], ""


@dataclass(frozen=True)
class HostRow:
    """One host of the lab, as it is shown. None is not known; ``state`` is a word or two for people."""

    host: str
    up: bool | None
    state: str
    latency: float | None
    sessions: int
    commands: int
    problem: str


def rows_of(watch: MachineWatch) -> list[HostRow]:
    """Return the machine of a watch and its containers."""
    look = watch.look
    up = look.latency is not None
    if not up and not look.is_whole:
        return [_asking(host) for host in (watch.machine, *watch.containers)]
    here = look.activity.get("", Activity())
    state = "up" if up else "down"
    if watch.silent_for > TOP_LOOK_TIME:
        state = f"silent for {watch.silent_for:.0f} s"
    machine = HostRow(
        watch.machine.id, up, state, look.latency, len(here.sessions), len(here.commands), look.problem.split("\n")[0]
    )
    return [machine, *(_container_row(host, look) for host in watch.containers)]


def _asking(host: Host) -> HostRow:
    return HostRow(host.id, None, "asking", None, 0, 0, "")


def _container_row(host: DockerContainerHost, look: Look) -> HostRow:
    if not look.is_whole:
        return _asking(host)
    names = {host.container_id} - {""}
    up, state = look.running.get(host.id), "not known"
    if up is not None:
        state = "up" if up else "does not run"
    if host.compose_project and not look.problem:
        found = [
            container
            for container in look.containers
            if container.compose_project == host.compose_project and container.service == host.service
        ]
        up, state = bool(found) and found[0].is_running, found[0].status if found else "not up"
        for container in found:
            names |= {container.container_id, container.name}
    here = [activity for name, activity in look.activity.items() if name in names]
    sessions, commands = sum(len(each.sessions) for each in here), sum(len(each.commands) for each in here)
    return HostRow(host.id, up, state, None, sessions, commands, "")


class LabWatch:
    """The watches of all machines of a lab, and of its reservations."""

    def __init__(self, lab: Lab) -> None:
        containers = lab.containers()
        for host in lab.hosts.values():
            # A look disturbs nobody: it needs no reservation.
            host.backend.guard = Guard()
        self.machines = [
            MachineWatch(host, [container for container in containers if container.parent is host])
            for host in lab.hosts.values()
            if not host.is_virtual
        ]
        self.reservations = ReservationWatch(lab)
        self._watches: list[Watch] = [*self.machines, self.reservations]

    def start(self) -> None:
        """Begin to look."""
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        """Look no more."""
        for watch in self._watches:
            watch.stop()

    def wait(self) -> None:
        """Wait until everything was looked at once, for as long as that may take at most."""
        limit = monotonic() + 3 * TOP_LOOK_TIME
        for watch in self._watches:
            watch.looked.wait(max(0.0, limit - monotonic()))

    def hosts(self) -> list[HostRow]:
        """Return all hosts as they are now."""
        return [row for watch in self.machines for row in rows_of(watch)]

    def stacks(self) -> list[tuple[str, str, int, int]]:
        """Return the stacks: machine, Compose's name, containers that run, containers."""
        found = []
        for watch in self.machines:
            stacks: dict[str, list[bool]] = {}
            for container in watch.look.containers:
                stacks.setdefault(container.compose_project, []).append(container.is_running)
            found += [(watch.machine.id, name, sum(runs), len(runs)) for name, runs in stacks.items()]
        return found
