"""The reservations of one lab: what `Lab.reserve`, `Lab.reserve_any` and `Lab.who` do, and what a verb asks first."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol, Union

from ..deadline import Deadline, Timeout, timeout_seconds
from ..errors import ConfigError, ReservationError, ReservationTimedOut
from ..host import Host
from ..limits import REPORT_TIME
from .backend import Backend, Finding, Lease, without_password
from .file_backend import FileBackend
from .guard import ReservationGuard
from .inherited import has_inherited, inherited_leases
from .options import ReservationOptions, check_ttl, make_backend
from .owner import owner, run
from .registry import registry
from .request import Request, Who
from .reservation import Reservation
from .scheduler import blockers, describe

logger = logging.getLogger("otto_docker_sync.reservations")


Wanted = Union[str, Host, Iterable[Union[str, Host]]]
"""What to reserve: a tag, a host or its id, or many of these."""


class HostsOfLab(Protocol):
    """What is asked of a lab here."""

    name: str
    resources: set[str]
    hosts: dict[str, Host]

    def get(self, host: str | Host) -> Host: ...

    def select(self, pattern: str) -> list[Host]: ...


class LabReservations:
    """The holds of this process in one lab, and the way to the others'. Any thread may call.

    It owns its reservations and its connection to the backend.
    """

    def __init__(self, lab: HostsOfLab, options: ReservationOptions) -> None:
        self.options = options
        self._lab = lab
        self._lock = threading.Lock()
        self._backend: Backend | None = None
        self._inherited: list[Reservation] | None = None

    # What a lab offers

    def reserve(
        self,
        wanted: Wanted,
        *,
        shared: bool,
        wait: Timeout,
        ttl: Timeout,
        priority: int,
        reason: str,
        report: Callable[[str], object] | None = None,
    ) -> Reservation:
        """See `Lab.reserve`."""
        tags, hosts = self.resolve(wanted)
        request = self._request([tags], 1, shared, ttl, priority, reason)
        deadline = Deadline.after(timeout_seconds(wait))
        backend, table = self._backend_for(tags)
        with registry.announce(table, tags):
            return self._reserve(backend, table, request, lambda _: hosts, deadline, wait, report)

    def reserve_any(
        self,
        pattern: str,
        count: int,
        *,
        shared: bool,
        wait: Timeout,
        ttl: Timeout,
        priority: int,
        reason: str,
        report: Callable[[str], object] | None = None,
    ) -> Reservation:
        """See `Lab.reserve_any`."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigError(f"count={count!r}: use a whole number, 1 or more")
        hosts = [host for host in self._lab.select(pattern) if self.tags_of(host)]
        if len(hosts) < count:
            raise ConfigError(
                f"lab {self._lab.name}: {count} of {pattern!r} are wanted, and {len(hosts)} hosts with tags match it"
            )
        deadline = Deadline.after(timeout_seconds(wait))
        choices = [self.tags_of(host) for host in hosts]
        backend, table = self._backend_for({tag for tags in choices for tag in tags})
        free = [index for index, tags in enumerate(choices) if not registry.holds(table, tags)]
        if len(free) < count:
            raise ConfigError(
                f"lab {self._lab.name}: {count} of {pattern!r} are wanted, and this process holds some of them already"
            )
        request = self._request([choices[index] for index in free], count, shared, ttl, priority, reason)

        def chosen(lease: Lease) -> list[Host]:
            return [hosts[free[index]] for index in lease.request.taken]

        return self._reserve(backend, table, request, chosen, deadline, wait, report)

    def who(self) -> Who:
        """See `Lab.who`."""
        return describe(self.backend.requests())

    def force(self, tags: Collection[str], why: str) -> list[Request]:
        """Take away all holds of any of these tags. Returns them.

        Raises `ReservationError` when there are none, `ConfigError` without a reason.
        """
        if not why.strip():
            raise ConfigError("say why: the one who loses the reservation reads it")
        found = [request for request in self.backend.requests() if request.granted and set(tags) & set(request.tags)]
        if not found:
            raise ReservationError(f"lab {self._lab.name}: nobody holds {' '.join(sorted(tags))}")
        text = f"taken away by {owner()}, process {os.getpid()}: {why.strip()}"
        self.backend.force([request.id for request in found], text)
        logger.warning("%s: %s", "; ".join(str(entry) for entry in describe(found).holds), text)
        return found

    def examine(self) -> list[Finding]:
        """What ``otto-docker doctor`` says of the backend; nothing where no host has tags. Does not raise."""
        if not any(self.tags_of(host) for host in self._lab.hosts.values()):
            return []
        try:
            return self.backend.examine()
        except ConfigError as error:
            return [Finding("backend", "wrong", str(error))]

    def close(self) -> None:
        """Release what this lab has reserved. Idempotent; use after it connects again."""
        for reservation in registry.made_by(self):
            reservation.release()
        with self._lock:
            backend, self._backend = self._backend, None
            inherited, self._inherited = self._inherited, None
        for reservation in inherited or ():
            reservation.release()
        if backend is not None:
            backend.close()

    # Hosts and tags

    def tags_of(self, host: Host) -> tuple[str, ...]:
        """The tags that a host stands for: its own and the lab's."""
        return tuple(sorted({*host.resources, *self._lab.resources}))

    def resolve(self, wanted: Wanted) -> tuple[tuple[str, ...], list[Host]]:
        """The tags that are wanted, and the hosts that they are for. Raises `ConfigError`."""
        items = [wanted] if isinstance(wanted, (str, Host)) else list(wanted)
        if not items:
            raise ConfigError("reserve: the list is empty; name a tag or a host")
        known = self._lab.resources.union(*(host.resources for host in self._lab.hosts.values()))
        tags: set[str] = set()
        hosts: list[Host] = []
        for item in items:
            if isinstance(item, str) and item in known:
                tags.add(item)
                continue
            host = self._lab.get(item)
            if not self.tags_of(host):
                raise ConfigError(f'{host.id} has no tags to reserve: give it some, resources = ["{host.id}"]')
            tags.update(self.tags_of(host))
            hosts.append(host)
        return tuple(sorted(tags)), list({host.id: host for host in hosts or self._hosts_of(tags)}.values())

    def _hosts_of(self, tags: set[str]) -> list[Host]:
        """The machines that these tags stand for, and the containers whose machine is not one of them."""
        hosts = [host for host in self._lab.hosts.values() if host.resources and tags.issuperset(self.tags_of(host))]
        # The id of a container begins with that of its machine.
        machines = tuple(f"{host.id}." for host in hosts if not host.is_virtual)
        return [host for host in hosts if not (host.is_virtual and host.id.startswith(machines))]

    def _request(
        self,
        choices: Sequence[Sequence[str]],
        count: int,
        shared: bool,
        ttl: Timeout,
        priority: int,
        reason: str,
    ) -> Request:
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise ConfigError(f"priority={priority!r}: use a whole number; larger ones are served first")
        return Request(
            id=uuid.uuid4().hex,
            choices=tuple(tuple(tags) for tags in choices),
            count=count,
            shared=bool(shared),
            priority=priority,
            ttl=self.options.ttl if ttl is None else check_ttl(ttl),
            owner=owner(),
            pid=os.getpid(),
            run=run(),
            reason=str(reason),
            since=time.time(),
        )

    # Waiting

    def _reserve(
        self,
        backend: Backend,
        table: str,
        request: Request,
        hosts: Callable[[Lease], Sequence[Host]],
        deadline: Deadline,
        wait: Timeout,
        report: Callable[[str], object] | None,
    ) -> Reservation:
        lease = backend.submit(request, deadline)
        try:
            while not lease.wait(deadline.at_most(REPORT_TIME)):
                text = _describe_wait(backend, lease)
                if deadline.expired:
                    how_long = deadline.cancelled or f"not free within {timeout_seconds(wait):g} s"
                    raise ReservationTimedOut(f"{' '.join(lease.request.tags)}: {how_long}; {text}")
                text = f"waiting for {' '.join(lease.request.tags)}: {text}"
                logger.warning("%s", text)
                if report is not None:
                    report(text)
            reservation = Reservation(backend, lease, hosts(lease), forget=registry.remove)
        except BaseException:
            _withdraw(lease)
            raise
        registry.add(self, table, reservation)
        return reservation

    # Verbs on hosts

    def holds_on(self, host: Host) -> list[Reservation]:
        """The holds of this process that hold a tag of `host`, lost ones too."""
        if registry.is_empty and not has_inherited():
            return []
        tags = self.tags_of(host)
        inherited = [hold for hold in self._inherited_holds() if not set(tags).isdisjoint(hold.tags)]
        return registry.holds(self.table, tags) + inherited

    def require(self, host: Host, holds: list[Reservation]) -> None:
        """Raise unless a verb on `host` may begin under these holds.

        Raises `ReservationLost` when one of them is lost, `ReservationError` when the lab says that holds are required
        and some of the host's tags are not held.
        """
        for hold in holds:
            hold.check()
        if not self.options.required:
            return
        missing = set(self.tags_of(host)).difference(*(hold.tags for hold in holds))
        if missing:
            names = " ".join(sorted(missing))
            raise ReservationError(
                f"{host.id}: lab {self._lab.name} requires a reservation, and this process does not hold {names}: use "
                f"lab.reserve({host.id!r}), or otto-docker reserve {host.id} -- COMMAND"
            )

    def guard(self, host: Host) -> ReservationGuard:
        """What `host` asks before each verb."""
        return ReservationGuard(host.backend, lambda: self.holds_on(host), lambda holds: self.require(host, holds))

    def _inherited_holds(self) -> list[Reservation]:
        """The holds of the process that started this one for us."""
        if not has_inherited():
            return []
        backend = self.backend
        with self._lock:
            if self._inherited is None:
                self._inherited = [Reservation(backend, lease, ()) for lease in inherited_leases(self.table)]
            # A forked child has its parent's objects, without their threads.
            return [hold for hold in self._inherited if hold.pid == os.getpid()]

    # Backends

    @property
    def table(self) -> str:
        """The name of the table that this lab's requests are in, wherever this process or its children read it."""
        return f"{without_password(self.options.backend)} {self._lab.name}"

    @property
    def backend(self) -> Backend:
        """The backend, connected when it is first used."""
        with self._lock:
            if self._backend is None:
                self._backend = make_backend(self.options, self._lab.name)
            return self._backend

    def _backend_for(self, tags: Collection[str]) -> tuple[Backend, str]:
        """The lab's backend and table; for tags that we inherited, a table of the run that inherited them.

        So a run under ``otto-docker reserve`` can share out among its workers what it holds as a whole.
        """
        inherited = [lease for lease in inherited_leases(self.table) if not lease.loss()]
        for lease in inherited:
            if set(tags) <= set(lease.request.tags):
                directory = lease.directory / "shared-out"
                return FileBackend(directory), str(directory)
            if set(tags) & set(lease.request.tags):
                ours = " ".join(sorted(set(tags) & set(lease.request.tags)))
                raise ConfigError(
                    f"{ours}: the process that started this one holds it, and the rest is not held: reserve all of "
                    "them there, or the rest by itself"
                )
        return self.backend, self.table


def _describe_wait(backend: Backend, lease: Lease) -> str:
    """Who is before us, and why."""
    try:
        requests = backend.requests()
    except ReservationError as error:
        return str(error)
    request = next((other for other in requests if other.id == lease.request.id), lease.request)
    before = blockers(requests, request)
    waiting = sum(not other.granted for other in before)
    texts = [str(entry) for entry in describe(other for other in before if other.granted).holds]
    texts.append(f"place {waiting + 1} in the queue")
    if lease.obstacle:
        texts.insert(0, lease.obstacle)
    return "; ".join(texts)


def _withdraw(lease: Lease) -> None:
    try:
        lease.release()
    except ReservationError as error:
        logger.warning("%s; the request ends by itself", error)
