"""Stacks that are waited for: all services at once, healthy where they have a check, and one that dies first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from otto_docker_sync import (
    ComposeError,
    ConfigError,
    ContainerNotRunning,
    Lab,
    NoSuchContainer,
    WaitTimedOut,
    compose_up,
    composed,
)
from tests.faults.helpers import Call

from .conftest import Bench

SLEEPING = "    command: [sleep, '600']\n"
CHECKED = "    healthcheck: {test: 'test -e /tmp/ready', interval: 1s, timeout: 30s, retries: 1}\n"
READY = "    command: [sh, -c, 'sleep 0.5; : >/tmp/ready; exec sleep 600']\n" + CHECKED
NEVER = SLEEPING + CHECKED
DYING = "    command: [sh, -c, 'echo no config; while test ! -e /tmp/go; do sleep 0.1; done; exit 3']\n"
JOB = "    command: [sh, -c, 'sleep 0.8; echo done']\n"


@pytest.fixture
def load(bench: Bench) -> Callable[..., Lab]:
    """Load a lab with a service of each of these names, each with lines of its own."""

    def load(**services: str) -> Lab:
        bench.write_services(services)
        return bench.load()

    return load


def test_up_waits_for_the_services_with_a_check(load: Callable[..., Lab]) -> None:
    lab = load(api=READY, db=SLEEPING, job=JOB)
    hosts = compose_up("repo1", lab, wait=True, timeout=50)
    assert hosts["api"].oneshot("test -e /tmp/ready")
    stack = lab.stack("repo1")
    stack.wait_for(healthy=True, timeout=50)
    stack.wait_for("api", healthy=True, command="true", timeout=50)
    with pytest.raises(ConfigError, match=r"no service 'ape'.*api"):
        stack.wait_for("ape", healthy=True)
    with pytest.raises(ConfigError, match="has no health check"):
        stack.wait_for("db", healthy=True)
    with pytest.raises(WaitTimedOut, match="did not hold in time"):
        stack.wait_for("db", port=80, timeout=1)
    stack.wait_for(healthy=True, timeout=0)
    with pytest.raises(WaitTimedOut, match="port 80 does not hold"):
        stack.wait_for("api", healthy=True, port=80, timeout=0)


def test_a_timeout_of_nothing_starts_nothing(load: Callable[..., Lab], bench: Bench) -> None:
    lab = load(api=READY)
    bench.declare("api")
    lab = bench.load()
    for call in (
        lambda: lab.get("carrot.repo1.api").wait_for(command="true", timeout=0),
        lambda: lab.stack("repo1").wait_for(healthy=True, timeout=0),
    ):
        with pytest.raises(NoSuchContainer):
            call()
    for start in (compose_up, lambda *args, **options: composed(*args, **options).__enter__()):
        with pytest.raises(ComposeError, match="out of time; allow more with timeout="):
            start("repo1", lab, timeout=0)
    assert lab.get("carrot.repo1.api").oneshot("true", timeout=0).timed_out
    assert bench.containers("-a") == []


def test_a_service_that_dies_ends_the_wait_for_all(load: Callable[..., Lab], bench: Bench) -> None:
    lab = load(api=NEVER, db=DYING)
    stack = lab.stack("repo1").up()
    call = Call(lambda: stack.wait_for(port=80, timeout=50))
    stack["db"].oneshot(": >/tmp/go")
    with pytest.raises(ContainerNotRunning, match=r"db: the container ended .*status 3; its last lines:\nno config"):
        call.result(within=45)
    assert len(bench.containers()) == 1


def test_waiting_in_vain_says_what_the_check_says(load: Callable[..., Lab], bench: Bench) -> None:
    lab = load(api=NEVER)
    # Up already, so that the time is spent on waiting.
    stack = lab.stack("repo1").up()
    with pytest.raises(WaitTimedOut, match=r"its health check did not hold in time; it is (starting|unhealthy)"):
        stack.up(wait=True, timeout=12)
    assert len(bench.containers()) == 1
    with pytest.raises(WaitTimedOut), composed("repo1", lab, wait=True, own=True, timeout=12):
        pytest.fail("it is not healthy")
    assert bench.containers("-a") == []
