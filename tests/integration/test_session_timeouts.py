"""A session whose time ends while its shell is still being started leaves no shell in the container."""

from __future__ import annotations

import time
from collections.abc import Callable

from otto_docker_sync import DockerContainerHost
from tests.rig.containers import Container

ATTEMPTS = 8


def test_a_shell_that_starts_too_late_is_ended(
    container: Callable[..., Container], container_host: Callable[..., DockerContainerHost]
) -> None:
    # When its client goes while the daemon starts a process on a terminal, docker lets that process live for ever.
    made = container("busybox", "--init")
    host = container_host(made)
    host.run(":").check()
    begin = time.monotonic()
    with host.open_session("first") as first:
        first.run(":").check()
        usual = time.monotonic() - begin
    idle = set(made.processes())
    for attempt in range(ATTEMPTS):
        with host.open_session(f"late-{attempt}") as session:
            session.run(":", timeout=usual * attempt / ATTEMPTS)
    end = time.monotonic() + 5
    while set(made.processes()) - idle and time.monotonic() < end:
        time.sleep(0.02)
    assert {pid: text for pid, text in made.processes().items() if pid not in idle} == {}
