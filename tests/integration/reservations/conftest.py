from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from otto_docker_sync.reservations.backend import Backend
from otto_docker_sync.reservations.file_backend import FileBackend
from otto_docker_sync.reservations.redis_backend import RedisBackend
from tests.rig.redis_server import RedisServer
from tests.rig.rig import Rig

Open = Callable[[], Backend]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server that ordinary tests share, out of its quarantine; each uses a lab of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def make_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Start a Redis server of the test's own.

    >>> server = make_redis(appendonly="yes")
    """
    with ExitStack() as stack:

        def make(environ: dict[str, str] | None = None, **options: str) -> RedisServer:
            server = RedisServer(tmp_path_factory.mktemp("redis"), environ, **options)
            stack.callback(server.stop)
            return server

        yield make


@pytest.fixture
def lab_name(rig: Rig) -> str:
    return f"{rig.worker}-{rig.unique('lab')}-{os.getpid()}"


@pytest.fixture
def open_redis(redis_server: RedisServer, lab_name: str) -> Open:
    """Open the shared server's table of a lab of the test's own, in which no quarantine is on."""

    def open_backend() -> RedisBackend:
        return RedisBackend(redis_server.url, lab_name)

    # A table that nobody has used yet begins with a quarantine; here that would only make tests slow.
    with redis_server.client as client:
        run_id = client.info("server")["run_id"]
        client.hset(f"{{otto:{lab_name}}}:state", mapping={"run": run_id, "life": "test", "quarantine": "0"})
    return open_backend


@pytest.fixture
def open_file(tmp_path: Path) -> Open:
    return lambda: FileBackend(tmp_path / "table")


@pytest.fixture(params=["file", "redis"])
def open_backend(request: pytest.FixtureRequest) -> Open:
    """Open the backend once more, as another process would: one test for each backend."""
    opened: Open = request.getfixturevalue(f"open_{request.param}")
    return opened
