"""The services that run on a host: how to reach them, and what they print."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Literal, overload

from .._channel.backend import Backend, Lines, Since
from .._channel.forward import Forward, Forwards, check_port, check_route
from .._shell import Runner
from ..arguments import check_count, check_since
from ..deadline import Deadline, DeadlineExpired, Timeout
from ..errors import ConnectError
from ..limits import READY_TIME
from ..result import Command
from .waiting import LogPattern, Patience, conditions_of, wait_until


class ServiceVerbs:
    """The verbs that every host has for the services that run on it."""

    backend: Backend
    runner: Runner
    _forwards: Forwards

    def forward(self, port: int, *, to: int | None = None, address: str | None = None) -> Forward:
        """Open a local port that leads to a port of this host, over the connection that there is.

        A port of a container need not be published: the connection goes from its parent to the container's address.
        A container that was recreated is found again. The forward ends with `close` of it or of the host, and stays
        over `rebuild_connections`. A connection for which there is no route is reset, and the host's log says why.

        Args:
            port: The port of this host, 1 to 65535.
            to: The local port, on 127.0.0.1; None takes any that is free.
            address: A host that a machine reaches, whose port is meant; None is the machine, or the container, itself.

        Raises `ConfigError` for a port that is not valid or in use, and `ConnectError` or a subclass when it is known
        at once that no connection can be made: forwarding is forbidden, the container has no network, the host is not
        reached. It is not an error if nothing listens on the port yet. Raises `UnsupportedParentError` over telnet.

        >>> with web.forward(8080) as forward:
        ...     urllib.request.urlopen(forward.url).read()
        """
        check_port(self.backend.id, "port", port)
        if to is not None:
            check_port(self.backend.id, "to", to)
        connect, name = self.backend.connect_to_own, f"port {port}"
        if address is not None:
            connect, name = partial(self.backend.connect_to, address), f"{address}:{port}"
        with self.runner.call(self.runner.deadline(None)) as deadline:
            try:
                deadline.check()
                check_route(connect, port, deadline)
            except DeadlineExpired:
                self.backend.guard.check()
                reason = deadline.cancelled or "timed out (default_timeout)"
                raise ConnectError(f"{self.backend.id}: forward: {name}: {reason}") from None
        return self._forwards.open_port(name, to, partial(connect, port))

    def wait_for(
        self,
        *,
        healthy: bool = False,
        port: int | None = None,
        http: str | None = None,
        log: LogPattern | None = None,
        command: Command | None = None,
        timeout: Timeout = READY_TIME,
    ) -> None:
        """Wait until the host is ready, in all that is asked for; one after the other, in the order of the arguments.

        Args:
            healthy: The container's health check succeeds.
            port: Somebody listens on this TCP port of the host, on any of its addresses, also on 127.0.0.1 only: its
                own ``/proc/net/tcp`` says so, and nothing connects. Where that cannot be read, a connection is tried.
            http: A path, or ``":port/path"``, that is answered with a status below 500; it is asked as through a
                `forward`. The port is that of `port`, or 80, unless it is given.
            log: A regex that a line matches which the container has printed since its present start, see `logs`.
            command: A command that ends with status 0, run as a `oneshot` again and again.
            timeout: Seconds for all of it, 60 by default; None waits forever; 0 looks once, which takes 15 s at most,
                and brings no stack up.

        Raises `WaitTimedOut` when that was in vain, with what was seen last. Raises `ContainerNotRunning` at once when
        the container ends first, with its state, exit status and last lines; one that docker restarts may try three
        times. Raises `ConfigError` for an argument that is not valid, and at once for a health check or a log that the
        host has not; `ConnectError` when there is no route for `http`.

        >>> web.wait_for(port=8080, http="/health", timeout=30)
        """
        conditions = conditions_of(self.backend.id, healthy=healthy, port=port, http=http, log=log, command=command)
        wait_until(self.runner, conditions, Patience.after(timeout))

    @overload
    def logs(
        self,
        *,
        tail: int | None = None,
        since: float | timedelta | datetime | None = None,
        follow: Literal[False] = False,
        timeout: Timeout = None,
    ) -> list[str]: ...
    @overload
    def logs(
        self,
        *,
        tail: int | None = None,
        since: float | timedelta | datetime | None = None,
        follow: Literal[True],
        timeout: Timeout = None,
    ) -> Lines: ...
    @overload
    def logs(
        self,
        *,
        tail: int | None = None,
        since: float | timedelta | datetime | None = None,
        follow: bool,
        timeout: Timeout = None,
    ) -> list[str] | Lines: ...
    def logs(
        self,
        *,
        tail: int | None = None,
        since: float | timedelta | datetime | None = None,
        follow: bool = False,
        timeout: Timeout = None,
    ) -> list[str] | Lines:
        """Return the lines that the container itself has printed, stdout and stderr, as ``docker logs`` has them.

        Also those of a container that has ended. Nothing is started, and no stack brought up.

        Args:
            tail: Only so many lines, the last ones; None is all.
            since: Only what was printed since then: seconds before now, or a ``timedelta``, by the parent's clock; or
                a ``datetime`` with a time zone. None is all.
            follow: Return an iterator that gives lines as they come, until the container ends, `timeout` is over, its
                host is closed, or it is closed itself.
            timeout: Seconds; None has no limit.

        Raises `ConfigError` for a machine, which has no log of its own, and for an argument that is not valid; what
        keeps docker from showing the log: `NoSuchContainer`, `DockerUnavailable`, `ConnectError`, `ConnectionLost`.

        >>> web.logs(tail=1)
        ['listening on port 8080']
        >>> for line in web.logs(since=60, follow=True):
        ...     print(line)
        """
        deadline = Deadline.after(timeout)
        self.backend.require_log()
        if tail is not None:
            check_count("tail", tail)
        lines = self._log_lines(tail, check_since("since", since), follow, deadline)
        return lines if follow else list(lines)

    def _log_lines(self, tail: int | None, since: Since, follow: bool, deadline: Deadline) -> Lines:
        with self.runner.call(deadline, may_be_idle=follow) as limit:
            try:
                yield from self.backend.read_log(tail=tail, since=since, follow=follow, deadline=limit)
            except DeadlineExpired:
                self.backend.guard.check()
                if not follow:
                    reason = limit.cancelled or "timed out; allow more with timeout="
                    raise ConnectError(f"{self.backend.id}: reading the container's log: {reason}") from None
