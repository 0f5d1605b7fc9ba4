"""The pytest plugin, in pytest runs of their own against the real rig."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.e2e.lab_files import EXAMPLES, write_lab_file


@pytest.fixture
def lab_file(tmp_path_factory, sshd, rig, compose, monkeypatch) -> Path:
    monkeypatch.setenv("OTTO_COMPOSE_SUFFIX", rig.unique(f"{rig.worker}-plugin-{sshd.port}"))
    return write_lab_file(tmp_path_factory.mktemp("lab"), sshd, rig.image("busybox"))


@pytest.fixture
def run(pytester, lab_file):
    """Run test files in a pytest of their own."""

    def run(*args: str, lab: bool = True) -> pytest.RunResult:
        options = ("--otto-lab", str(lab_file)) if lab else ()
        return pytester.runpytest_subprocess(*options, "-p", "no:cacheprovider", *args, timeout=50)

    return run


def test_a_host_by_marker_and_by_parameter_is_fresh_in_each_test(run, pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.otto_host("carrot")
        def test_first(otto_host, otto_lab):
            assert otto_host is otto_lab.hosts["carrot"]
            assert otto_host.run("cd /tmp; pwd").output == "/tmp\\n"
            otto_host.start_repeat("tick", "true", 0.1)

        @pytest.mark.parametrize("otto_host", ["carrot"], indirect=True)
        def test_second(otto_host):
            assert otto_host.run("pwd").output != "/tmp\\n"
            assert otto_host.open_session("default").alive
        """
    )
    run().assert_outcomes(passed=2)


def test_the_ini_file_names_the_lab_and_the_logs(run, pytester, lab_file, monkeypatch):
    pytester.makeini(f"[pytest]\notto_lab = {lab_file}\notto_log_dir = logs/here\n")
    below = pytester.mkdir("below")
    Path(below, "test_it.py").write_text("def test_it(otto_lab):\n    assert otto_lab.get('carrot').oneshot('id').ok\n")
    monkeypatch.chdir(below)
    run(lab=False).assert_outcomes(passed=1)
    log = Path(pytester.path, "logs", "here", "carrot.log").read_text()
    assert re.search(r"carrot \$ id\n.* carrot \| uid=", log)


def test_a_failing_test_shows_what_its_hosts_were_told_and_answered(run, pytester):
    pytester.makepyfile(
        """
        import pytest

        def test_good(otto_lab):
            otto_lab.get("carrot").oneshot("echo of-the-test-before")

        def test_bad(otto_lab):
            otto_lab.get("carrot").oneshot("echo what-it-said; exit 3", check=True)
        """
    )
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- Transcript of carrot -*",
            "*carrot $ echo what-it-said; exit 3",
            "*carrot | what-it-said",
            "*exit status 3*",
        ]
    )
    text = result.stdout.str()
    assert "of-the-test-before" not in text
    assert "Captured log" not in text, "the same lines a second time"


def test_what_is_missing_is_said(run, pytester):
    pytester.makepyfile(
        """
        import pytest

        def test_no_marker(otto_host): pass

        @pytest.mark.otto_host("tomato")
        def test_no_such_host(otto_host): pass

        @pytest.mark.otto_reserve("carrot")
        def test_reservation(): pass
        """
    )
    result = run("--strict-markers")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "*fixture otto_host needs @pytest.mark.otto_host*",
            "*has no host 'tomato'*",
            "*otto_reserve is not available yet*",
        ]
    )
    pytester.makepyfile("def test_it(otto_lab): pass")
    result = run(lab=False)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*No lab: give --otto-lab FILE*"])


def test_a_stack_is_shared_by_all_workers_and_gone_afterwards(run, pytester, docker):
    pytester.makepyfile(test_stack=Path(EXAMPLES, "stack", "test_stack.py").read_text())
    result = run("-n", "4", "--otto-log-dir", "logs")
    result.assert_outcomes(passed=5)
    logs = {
        str(path.parent.relative_to(pytester.path / "logs")) for path in Path(pytester.path, "logs").rglob("all.log")
    }
    assert logs <= {"gw0", "gw1", "gw2", "gw3"}
    project = f"label=com.docker.compose.project=otto-repo1-{os.environ['OTTO_COMPOSE_SUFFIX']}"
    assert docker("ps", "--all", "--quiet", "--filter", project) == ""


def test_unused_it_imports_nothing_and_says_nothing(run, pytester):
    pytester.makepyfile(
        """
        import sys

        def test_it():
            loaded = [name for name in sys.modules if name.startswith(("otto_docker_sync.", "paramiko", "pydantic"))]
            allowed = {"pytest_plugin", "errors", "result", "deadline"}
            assert {name.removeprefix("otto_docker_sync.") for name in loaded} <= allowed
        """
    )
    result = run(lab=False)
    result.assert_outcomes(passed=1)
    assert "otto" not in result.stdout.str().split("collected")[1].lower()
