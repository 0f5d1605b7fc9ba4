from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from otto_docker_sync._ssh import Connections
from tests.integration.ssh.parts import options_for
from tests.rig.sshd import Sshd


@pytest.fixture
def connect(sshd: Sshd) -> Iterator[Callable[..., Connections]]:
    """Make Connections to the ordinary sshd or another, closed after the test; none of them connects yet.

    >>> connections = connect(make_sshd(MaxSessions="1"), connect_timeout=2)
    """
    with ExitStack() as stack:

        def make(
            server: Sshd = sshd,
            *,
            label: str = "carrot",
            host: str | None = None,
            port: int | None = None,
            user: str | None = None,
            password: str | None = None,
            hop: Connections | None = None,
            **options: Any,
        ) -> Connections:
            if port not in (None, server.port):
                server.also_known_on(port)
            made = Connections(
                label,
                host or server.host,
                port=port or server.port,
                user=user or server.user,
                password=password,
                options=options_for(server, **options),
                hop=hop,
            )
            stack.callback(made.close)
            return made

        yield make
