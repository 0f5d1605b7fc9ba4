"""The services that run on a host: how to reach them."""

from __future__ import annotations

from functools import partial

from .._channel.backend import Backend
from .._channel.forward import Forward, Forwards, check_port, check_route
from .._shell import Runner


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
            check_route(connect, port, deadline)
        return self._forwards.open_port(name, to, partial(connect, port))
