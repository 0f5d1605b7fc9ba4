"""A lab's hosts: found, chosen, all asked at once, closed in order. Hosts are this machine, so all of it is real."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from otto_docker_sync.deadline import Cancellation, cancellation
from otto_docker_sync.docker_host import DockerContainerHost
from otto_docker_sync.errors import ConfigError
from otto_docker_sync.host import Host
from otto_docker_sync.lab import Lab, Project, all_hosts
from otto_docker_sync.local_host import LocalHost
from otto_docker_sync.result import Status
from otto_docker_sync.unix_host import UnixHost


def container(parent: Host, service: str, project: str = "repo1") -> DockerContainerHost:
    return DockerContainerHost(parent, f"{project}-{service}", project, service, "")


@pytest.fixture
def lab() -> Iterator[Lab]:
    here = LocalHost(id="here")
    with Lab("bench", [here, LocalHost(id="there"), container(here, "api"), container(here, "db")]) as lab:
        yield lab


@pytest.fixture
def three() -> Iterator[Lab]:
    with Lab("three", [LocalHost(id=name) for name in ("c", "a", "b")]) as lab:
        yield lab


class TestFinding:
    def test_by_id_in_any_case(self, lab: Lab) -> None:
        assert lab.get("here") is lab.hosts["here"]
        assert lab.get("Here.Repo1.API").name == "here:api"
        assert lab.get(lab.hosts["here"]) is lab.hosts["here"]

    @pytest.mark.parametrize("error", [ConfigError, LookupError])
    def test_an_unknown_id_names_the_nearest(self, lab: Lab, error: type[Exception]) -> None:
        with pytest.raises(error, match=r"lab bench has no host 'here.repo1.apo'; did you mean 'here.repo1.api'"):
            lab.get("here.repo1.apo")

    def test_when_nothing_is_near_all_are_named(self, lab: Lab) -> None:
        with pytest.raises(ConfigError, match=r"no host 'zzz'; there are: here, here.repo1.api, here.repo1.db, there"):
            lab.get("zzz")

    def test_containers_and_patterns(self, lab: Lab) -> None:
        assert [host.id for host in lab.containers()] == ["here.repo1.api", "here.repo1.db"]
        assert [host.id for host in lab.select("*.api")] == ["here.repo1.api"]
        assert [host.id for host in lab.select("?here")] == ["there"]
        assert lab.select("nothing*") == []

    def test_two_hosts_of_one_id_are_refused(self, lab: Lab) -> None:
        with pytest.raises(ConfigError, match="there is a host 'here' already"):
            lab.add(LocalHost(id="here"))
        assert lab.add(lab.hosts["here"]) is lab.hosts["here"]

    def test_a_lab_of_mappings(self) -> None:
        lab = Lab("m", {"x": LocalHost(id="x")}, {"p": Project("p", ["c.yml"], services=["api"])}, resources=["r"])
        assert (list(lab.hosts), list(lab.projects), lab.resources) == (["x", "x.p.api"], ["p"], {"r"})


class TestProjects:
    def test_the_only_one_needs_no_name(self) -> None:
        project = Project("p", ["c.yml"])
        assert Lab("one", projects=[project]).project() is project
        with pytest.raises(ConfigError, match="which project: it has none"):
            Lab("none").project()

    def test_the_only_capable_host_is_the_parent(self) -> None:
        project = Project("p", ["c.yml"], services=["api"])
        plain, capable = LocalHost(id="plain", docker_capable=False), LocalHost(id="capable")
        assert list(Lab("x", [plain, capable], [project]).hosts) == ["plain", "capable", "capable.p.api"]

    def test_where_it_is_not_clear_it_has_to_be_said(self) -> None:
        project = Project("p", ["c.yml"], services=["api"])
        lab = Lab("x", [LocalHost(id="a"), LocalHost(id="b")], [project])
        assert lab.containers() == []
        with pytest.raises(ConfigError, match=r"which host is it to run on.*there are a, b"):
            lab.parent_of(project)
        assert lab.parent_of(project, "b") is lab.hosts["b"]
        with pytest.raises(ConfigError, match="none that is docker_capable"):
            Lab("y").parent_of(project)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"name": "a.b"}, "project name 'a.b'"),
            ({"name": "-x"}, "project name '-x'"),
            ({"compose_files": "c.yml"}, "compose_files='c.yml': pass a list"),
            ({"compose_files": []}, "at least one file"),
            ({"services": "api"}, "services='api': pass a list"),
            ({"services": ["a;b"]}, "'a;b' is not a valid service"),
            ({"services": ["api#0"]}, "'api#0' is not a valid service"),
        ],
    )
    def test_a_project_that_cannot_be(self, arguments: dict[str, object], message: str) -> None:
        given: dict[str, object] = {"name": "p", "compose_files": ["c.yml"], **arguments}
        with pytest.raises(ConfigError, match=message):
            Project(**given)  # type: ignore[arg-type]

    def test_the_name_of_a_stack(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from otto_docker_sync.project import compose_project_name

        assert compose_project_name("repo1", "CI run.42") == "otto-repo1-ci-run-42"
        monkeypatch.setenv("OTTO_COMPOSE_SUFFIX", "Nightly")
        assert compose_project_name(Project("Repo_1", ["c.yml"])) == "otto-repo_1-nightly"
        monkeypatch.delenv("OTTO_COMPOSE_SUFFIX")
        monkeypatch.setenv("LOGNAME", "first.last")
        assert compose_project_name("repo1") == "otto-repo1-first-last"


class TestRunAll:
    def test_results_come_in_the_order_of_the_hosts(self, three: Lab) -> None:
        results = three.run_all("echo $0")
        assert list(results) == ["c", "a", "b"]
        assert all(result.ok and result.host == host for host, result in results.items())
        assert list(three.run_all("true", ["b", three.get("c")])) == ["b", "c"]
        assert list(three.run_all(["echo", "a b"], "[ab]")) == ["a", "b"]
        assert three.run_all("true", []) == {}

    def test_one_that_fails_does_not_stop_the_others(self, three: Lab) -> None:
        three.add(DockerContainerHost(LocalHost(id="no", docker_command=["/no/such"]), "x", "p", "s", ""))
        results = three.run_all("true", timeout=20)
        assert [result.status for result in results.values()] == [Status.SUCCESS] * 3 + [Status.ERROR]
        assert "no docker client" in results["no.p.s"].message
        assert three.run_all("exit 3")["a"].retcode == 3

    def test_an_unknown_host_is_told_before_anything_runs(self, three: Lab) -> None:
        with pytest.raises(ConfigError, match="no host 'x'"):
            three.run_all("true", ["a", "x"])
        with pytest.raises(ConfigError, match="no host 'x\\*'"):
            three.run_all("true", "x*")
        with pytest.raises(ConfigError, match="max_parallel=0"):
            three.run_all("true", max_parallel=0)
        with pytest.raises(ConfigError, match="timeout"):
            three.run_all("true", timeout=-1)

    def test_no_more_than_max_parallel_at_once(self, three: Lab) -> None:
        running, most, lock = 0, 0, threading.Lock()
        alone = threading.Barrier(2)
        original = LocalHost.oneshot

        class Counted(LocalHost):
            def oneshot(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
                nonlocal running, most
                with lock:
                    running += 1
                    most = max(most, running)
                alone.wait(10)
                try:
                    return original(self, *args, **kwargs)  # type: ignore[arg-type]
                finally:
                    with lock:
                        running -= 1

        with Lab("counted", [Counted(id=str(n)) for n in range(6)]) as lab:
            assert all(result.ok for result in lab.run_all("true", max_parallel=2).values())
        assert most == 2

    def test_the_timeout_is_for_each_host(self, three: Lab) -> None:
        results = three.run_all("sleep 30", timeout=0.2)
        assert [result.timed_out for result in results.values()] == [True, True, True]

    def test_cancelling_ends_them_all(self, three: Lab) -> None:
        stop = Cancellation()
        context = contextvars.copy_context()
        context.run(cancellation.set, stop)
        timer = threading.Timer(0.3, stop.cancel)
        timer.start()
        start = time.monotonic()
        results = context.run(lambda: three.run_all("sleep 30", max_parallel=2))
        timer.join()
        assert time.monotonic() - start < 10
        assert {result.status for result in results.values()} == {Status.ERROR}


class TestClosing:
    @pytest.fixture
    def recorded(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Lab], list[str]]:
        """Close a lab and return the ids in the order in which its hosts were closed."""
        closed: list[str] = []

        def close(host: Host) -> None:
            closed.append(host.id)
            if host.id == "middle":
                raise OSError("it does not close")

        monkeypatch.setattr(Host, "close", close)

        def recorded(lab: Lab) -> list[str]:
            with pytest.raises(OSError, match="it does not close"):
                lab.close()
            return closed

        return recorded

    def test_containers_before_parents_targets_before_hops(self, recorded: Callable[[Lab], list[str]]) -> None:
        first = UnixHost("first")
        middle = UnixHost("middle", hop=first)
        last = UnixHost("last", hop=middle)
        lab = Lab("x", [container(first, "on-first"), first, middle, container(last, "on-last"), last])
        order = recorded(lab)
        assert set(order[:2]) == {"first.repo1.on-first", "last.repo1.on-last"}
        assert order[2:] == ["last", "middle", "first"]  # one failure did not stop the rest

    def test_twice_is_once_and_use_after_close_opens_again(self, three: Lab) -> None:
        three.close()
        three.close()
        assert three.run_all("true")["a"].ok

    def test_rebuilding_drops_sessions(self, three: Lab) -> None:
        a = three.get("a")
        a.run("STATE=here")
        three.rebuild_connections()
        assert a.run("echo $STATE").output == "\n"


class TestActive:
    def test_all_hosts_are_those_of_the_last_entered_and_not_closed(self) -> None:
        outer, inner = Lab("outer", [LocalHost(id="o")]), Lab("inner", [LocalHost(id="i")])
        before = all_hosts()
        with outer:
            assert [host.id for host in all_hosts()] == ["o"]
            with inner:
                assert [host.id for host in all_hosts()] == ["i"]
            assert [host.id for host in all_hosts()] == ["o"]
        assert all_hosts() == before
