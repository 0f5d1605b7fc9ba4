"""The marker ``otto_reserve`` and ``--otto-reserve``, in pytest runs of their own, with workers of pytest-xdist."""

from __future__ import annotations

from pathlib import Path

import pytest

from otto_docker_sync import Lab, LocalHost

LAB = """
name = "bench"
[hosts.carrot]
term = "local"
resources = ["carrot"]
[hosts.leek]
term = "local"
resources = ["leek"]
[reservations]
required = true
"""

TESTS = """
import os, pytest

def use(host, tag):
    # Only one test at a time is in here, or the second would find the directory.
    host.oneshot(f"mkdir {tag}.in-use; sleep 0.1; rmdir {tag}.in-use", check=True)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    host.oneshot(f"echo {worker} >>{tag}.workers", check=True)

@pytest.mark.parametrize("number", range(4))
@pytest.mark.otto_reserve("carrot")
def test_carrot(otto_lab, number):
    use(otto_lab.get("carrot"), "carrot")

@pytest.mark.parametrize("number", range(4))
@pytest.mark.otto_reserve("leek")
def test_leek(otto_lab, number):
    use(otto_lab.get("leek"), "leek")

@pytest.mark.parametrize("number", range(2))
@pytest.mark.otto_reserve("leek", "carrot")
def test_both(otto_lab, number):
    use(otto_lab.get("leek"), "leek")
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    monkeypatch.chdir(pytester.path)
    Path("lab.toml").write_text(LAB)

    def run(*args: str) -> pytest.RunResult:
        # What hangs says where, before our own time is over. Several processes with much to import are slow on a busy
        # machine.
        faulthandler = ("-o", "faulthandler_timeout=80", "-o", "faulthandler_exit_on_timeout=true")
        # Hypothesis is a third of what pytest imports.
        plugins = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return pytester.runpytest_subprocess(*plugins, *faulthandler, *args, timeout=100)

    return run


def test_tests_with_a_tag_never_overlap_whichever_worker_they_are_on(run, pytester):
    pytester.makepyfile(TESTS)
    run("-n", "2").assert_outcomes(passed=10)
    assert len(set(Path("carrot.workers").read_text().split())) > 1, "else this shows nothing"


def test_with_loadgroup_those_that_want_the_same_are_in_one_group(run, pytester):
    # Which worker a group runs on is up to pytest-xdist, some versions of which pass it over with some of pytest's.
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items):
            groups = {(item.function.__name__, item.get_closest_marker("xdist_group").args) for item in items}
            assert groups == {
                ("test_carrot", ("carrot",)), ("test_leek", ("leek",)), ("test_both", ("leek carrot",))
            }
        """
    )
    pytester.makepyfile(TESTS)
    run("-n", "2", "--dist", "loadgroup", "--strict-markers").assert_outcomes(passed=10)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_run_holds_what_it_shares_out_among_its_tests(run, pytester, workers):
    pytester.makepyfile(
        TESTS,
        test_unmarked="""
        def test_the_run_is_the_holder(otto_lab):
            assert otto_lab.get("carrot").oneshot("true").ok
            holds = otto_lab.who().holds
            assert [(hold.tags, hold.reason) for hold in holds] == [(("carrot", "leek"), "pytest")]
        """,
    )
    run("--otto-reserve", "carrot", "--otto-reserve", "leek", *workers).assert_outcomes(passed=11)
    with Lab("bench", [LocalHost(id="carrot", resources={"carrot"})]) as lab:
        assert lab.who().holds == []


def test_what_cannot_be_reserved_is_said_before_the_first_test(run, pytester):
    pytester.makepyfile(TESTS)
    result = run("--otto-reserve", "carot")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--otto-reserve: lab bench has no host 'carot'; did you mean 'carrot'?*"])


def test_a_test_without_the_tag_fails_where_it_is_required(run, pytester):
    pytester.makepyfile("def test_it(otto_lab): otto_lab.get('carrot').oneshot('true')")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*requires a reservation*"])
