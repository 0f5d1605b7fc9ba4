"""Which services are up is what docker says a moment later; what is not up does not stay."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from otto_docker_sync import ComposeError, ConfigError, compose_down, compose_ps, compose_up, composed

from .conftest import Bench

DYING = "    command: [sh, -c, 'echo no config; exit 3']\n"
SLEEPING = "    command: [sleep, '600']\n"


@pytest.fixture
def write(either_bench: Bench) -> Callable[..., Bench]:
    """Write a compose file with a service of each of these names, each with lines of its own."""
    bench = either_bench

    def write(declared: str = "api", **services: str) -> Bench:
        bench.write_services(services)
        bench.declare(*declared.split())
        return bench

    return write


def test_a_service_that_dies_at_once(write: Callable[..., Bench]) -> None:
    bench = write(api=DYING)
    lab = bench.load()
    with pytest.raises(ComposeError, match=r"(?s)api does not run: Exited \(3\).*no config"):
        compose_up("repo1", lab)
    assert bench.containers("-a") == []
    with pytest.raises(ComposeError, match="no config"), composed("repo1", lab):
        pytest.fail("it is not up")
    assert bench.containers("-a") == []
    with pytest.raises(ComposeError, match=r"(?s)carrot\.repo1\.api is not up.*no config"):
        lab.get("carrot.repo1.api").oneshot("true")
    assert bench.containers("-a") == []


@pytest.mark.parametrize("seconds", ["0.05", "0.2"])
def test_a_service_that_lives_for_less_than_a_moment(write: Callable[..., Bench], seconds: str) -> None:
    bench = write(api=f"    command: [sh, -c, 'echo no config; sleep {seconds}; exit 3']\n")
    with pytest.raises(ComposeError, match=r"(?s)Exited \(3\).*no config"):
        compose_up("repo1", bench.load())
    assert bench.containers("-a") == []


def test_a_restart_loop(write: Callable[..., Bench]) -> None:
    bench = write(api=DYING + "    restart: always\n")
    lab = bench.load()
    for _ in range(2):
        with pytest.raises(ComposeError, match=r"(?s)api does not run.*no config"):
            compose_up("repo1", lab)
        assert bench.containers("-a") == []


def test_a_service_that_starts_at_the_second_attempt(write: Callable[..., Bench]) -> None:
    text = "    command: [sh, -c, 'test -e /tmp/once || { touch /tmp/once; exit 1; }; exec sleep 600']\n"
    bench = write(api=text + "    restart: always\n")
    assert compose_up("repo1", bench.load())["api"].oneshot("echo hello").output == "hello\n"


def test_a_service_that_was_not_declared_and_dies(write: Callable[..., Bench]) -> None:
    bench = write(api=SLEEPING, db=DYING)
    with pytest.raises(ComposeError, match=r"(?s)db does not run: Exited \(3\).*no config"):
        compose_up("repo1", bench.load())
    assert bench.containers("-a") == []


def test_a_job_that_has_done_its_work_is_no_failure(write: Callable[..., Bench]) -> None:
    bench = write(api=SLEEPING, migrate="    command: ['true']\n")
    assert list(compose_up("repo1", bench.load())) == ["api"]


def test_a_paused_service_is_not_up(write: Callable[..., Bench]) -> None:
    bench = write(api=SLEEPING)
    lab = bench.load()
    bench.docker("pause", compose_up("repo1", lab)["api"].container_id)
    with pytest.raises(ComposeError, match=r"(?i)paused"):
        compose_up("repo1", lab)


def test_the_first_replica_is_gone(write: Callable[..., Bench]) -> None:
    bench = write(api=SLEEPING + "    deploy: {replicas: 2}\n")
    lab = bench.load()
    hosts = compose_up("repo1", lab)
    second = hosts["api#2"].container_id
    bench.docker("rm", "--force", hosts["api"].container_id)
    with bench.load() as other:
        assert other.get("carrot.repo1.api").oneshot("hostname").output.strip() == second[:12]
    again = compose_up("repo1", lab)
    containers = [each for each in compose_ps(lab.get("carrot")) if each.compose_project == bench.compose_project]
    numbers = {container.number: container.container_id for container in containers}
    assert again["api"].container_id == numbers[min(numbers)]
    assert again["api"].oneshot("hostname").output.strip() == again["api"].container_id[:12]


def test_a_declared_replica_is_the_one_of_its_number(write: Callable[..., Bench]) -> None:
    bench = write("api api#2", api=SLEEPING + "    deploy: {replicas: 2}\n")
    lab = bench.load()
    hosts = compose_up("repo1", lab)
    bench.docker("rm", "--force", hosts["api"].container_id)
    bench.write_services({"api": SLEEPING})  # so that no third one takes the place of the first
    again = compose_up("repo1", lab)
    assert again["api#2"].container_id == again["api"].container_id == bench.id_of("api", 2)


def test_an_added_service_that_cannot_start(write: Callable[..., Bench]) -> None:
    bench = write(api=SLEEPING)
    lab = bench.load()
    before = compose_up("repo1", lab)["api"].container_id
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = SLEEPING + f"    ports: ['127.0.0.1:{port}:80']\n    network_mode: bridge\n"
        bench.write_services({"api": SLEEPING, "db": ports})
        with pytest.raises(ComposeError):
            compose_up("repo1", lab)
    assert bench.containers("-a") == [before]
    assert bench.containers() == [before]


def test_an_added_service_that_dies(write: Callable[..., Bench]) -> None:
    bench = write(api=SLEEPING)
    lab = bench.load()
    before = compose_up("repo1", lab)["api"].container_id
    bench.write_services({"api": SLEEPING, "db": DYING})
    with pytest.raises(ComposeError, match="db does not run"):
        compose_up("repo1", lab)
    assert bench.containers("-a") == [before]


def test_an_added_service_is_taken_back_when_the_time_is_over(write: Callable[..., Bench]) -> None:
    bench = write(api=SLEEPING)
    lab = bench.load()
    before = compose_up("repo1", lab)["api"].container_id
    waiting = SLEEPING + "    depends_on: {slow: {condition: service_completed_successfully}}\n"
    bench.write_services({"api": SLEEPING, "slow": "    command: [sleep, '30']\n", "db": waiting})
    with pytest.raises(ComposeError, match="out of time"):
        compose_up("repo1", lab, timeout=8)
    assert bench.containers("-a") == [before]


def test_a_declared_service_behind_a_profile_is_started(write: Callable[..., Bench]) -> None:
    hidden = SLEEPING + "    profiles: [debug]\n"
    bench = write("api dbg", api=SLEEPING, dbg=hidden, other=hidden)
    lab = bench.load()
    assert lab.get("carrot.repo1.dbg").oneshot("echo hi").output == "hi\n"
    assert sorted(compose_up("repo1", lab)) == ["api", "dbg"]
    compose_down("repo1", lab)
    assert bench.containers("-a") == []


def test_a_service_is_a_host_whatever_name_compose_takes(write: Callable[..., Bench], version: str) -> None:
    names = ["_db", "-db", ".x", "a.b_c-1", *(["on", "no"] if version == "v2" else [])]
    bench = write(" ".join(names), **dict.fromkeys(names, SLEEPING))
    hosts = compose_up("repo1", bench.load())
    assert sorted(hosts) == sorted(names)
    for host in hosts.values():
        assert host.oneshot("hostname").output.strip() == host.container_id[:12]


@pytest.mark.parametrize("name", ["1", "2024-01-01", "a b"])
def test_a_name_that_compose_refuses(write: Callable[..., Bench], name: str) -> None:
    bench = write(**{"api": SLEEPING, name: SLEEPING})
    with pytest.raises(ConfigError, match="Compose refuses"):
        compose_up("repo1", bench.load())
    assert bench.containers("-a") == []


def test_names_that_differ_in_case_only_are_refused(write: Callable[..., Bench]) -> None:
    bench = write(api=SLEEPING, API=SLEEPING)
    with pytest.raises(ConfigError, match=r"'API' and 'api' differ in upper and lower case only"):
        compose_up("repo1", bench.load())
    assert bench.containers("-a") == []
