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
        # Hypothesis is a third of what pytest imports.
        plugins = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return pytester.runpytest_subprocess(*options, *plugins, *args, timeout=100)

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


EVIDENCE = """
import time
import pytest

def test_it_serves(otto_lab, docker):
    api = otto_lab.get("carrot.repo1.api")
    api.oneshot("echo hello >/proc/1/fd/1; echo first >/tmp/one.log", check=True)
    while "hello" not in docker("logs", api.container_id): time.sleep(0.05)

def test_it_answers(otto_lab, docker):
    api = otto_lab.get("carrot.repo1.api")
    api.oneshot("echo connection refused >/proc/1/fd/1; sleep 2147 & echo second >/tmp/two.log", check=True)
    while "refused" not in docker("logs", api.container_id): time.sleep(0.05)
    assert api.oneshot("cat /tmp/one.log")
    assert not "the answer"

def test_it_lives(otto_lab, docker):
    db = otto_lab.get("carrot.repo1.db")
    db.oneshot("true", check=True)
    docker("kill", db.container_id)
    assert not "alive"
"""


def test_a_failing_test_shows_what_its_containers_have_to_say(run, pytester, monkeypatch, rig):
    """And a test that passes asks docker nothing more than it says itself."""
    monkeypatch.setenv("DOCKER_CLI_HINTS", "false")
    pytester.makeconftest(
        """
        import subprocess, pytest

        @pytest.fixture
        def docker():
            return lambda *args: subprocess.run(["docker", *args], capture_output=True, text=True, check=True).stdout
        """
    )
    pytester.makepyfile(EVIDENCE)
    result = run(
        "--otto-log-dir", "logs", "--otto-collect", "/tmp/*.log", "--otto-collect", "/nosuch", "-p", "xdist", "-n", "1"
    )
    result.assert_outcomes(passed=1, failed=2)
    text = result.stdout.str()
    answers, lives = re.split(r"_+ test_it_lives _+", text)
    section = answers.partition("Container carrot.repo1.api -")[2]
    assert "It is running." in section
    assert "sleep 2147" in section.partition("Its processes:")[2]
    assert re.search(r"It printed during the test:\n  connection refused\n", section), section
    assert "carrot.repo1.db" not in answers and "Container carrot -" not in answers
    section = lives.partition("Container carrot.repo1.db -")[2]
    assert "It is exited with status 137." in section and "It printed nothing during the test." in section
    assert "/tmp/*.log could not be had" in section
    (directory,) = Path(pytester.path, "logs").rglob("failures")
    files = {path.name: path.read_text() for path in directory.rglob("*.log")}
    assert files == {"one.log": "first\n", "two.log": "second\n"}
    assert "connection refused" in Path(directory.parent, "carrot.repo1.api.log").read_text()


def test_what_is_missing_is_said(run, pytester):
    pytester.makepyfile(
        """
        import pytest

        def test_no_marker(otto_host): pass

        @pytest.mark.otto_host("tomato")
        def test_no_such_host(otto_host): pass

        @pytest.mark.otto_stack("repo1", "repo2")
        def test_two_stacks(otto_stack): pass

        @pytest.mark.otto_stack(project="repo1")
        def test_by_keyword(otto_stack): pass

        @pytest.mark.otto_stack("repo1", builds=False)
        def test_misspelt(otto_stack): pass

        @pytest.mark.otto_stack("repo3")
        def test_no_such_project(otto_stack): pass

        @pytest.mark.otto_host("carrot", user="me")
        def test_too_much(otto_host): pass

        @pytest.mark.otto_reserve()
        def test_nothing_to_reserve(): pass
        """
    )
    result = run("--strict-markers")
    result.assert_outcomes(errors=8)
    assert "pytest_plugin.py" not in result.stdout.str(), "the plugin's own lines"
    result.stdout.fnmatch_lines_random(
        [
            "*fixture otto_host needs @pytest.mark.otto_host*",
            "*has no host 'tomato'*",
            "*otto_stack('repo1', 'repo2'): the marker takes one name*",
            "*otto_stack(project='repo1'): the marker takes one name*",
            "*otto_stack does not know builds; it takes *build*",
            "*has no project 'repo3'*",
            "*otto_host takes the id of a host only, not user*",
            "*otto_reserve needs tags or hosts*",
        ]
    )
    pytester.makepyfile("def test_it(otto_lab): pass")
    result = run(lab=False)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*there is no lab.toml in *--lab FILE*OTTO_LAB*"])


def test_the_lab_is_found_as_the_command_line_finds_it(run, pytester, lab_file, monkeypatch):
    below = pytester.mkdir("below")
    Path(below, "test_it.py").write_text("def test_it(otto_lab): assert otto_lab.get('carrot').oneshot('id')\n")
    monkeypatch.setenv("OTTO_LAB", str(lab_file))
    run(lab=False).assert_outcomes(passed=1)
    monkeypatch.delenv("OTTO_LAB")
    Path(pytester.path, "lab.toml").write_text(lab_file.read_text())
    Path(pytester.path, "stack").symlink_to(lab_file.parent / "stack")
    monkeypatch.chdir(below)
    run(lab=False).assert_outcomes(passed=1)


def test_a_failure_shows_the_line_of_the_test(run, pytester):
    pytester.makepyfile(
        """
        import pytest

        def test_check(otto_lab):
            otto_lab.get("carrot").oneshot("echo why; exit 3").check()

        def test_check_in_run(otto_lab):
            otto_lab.get("carrot").run("exit 3", check=True)

        def test_unknown_host(otto_lab):
            otto_lab.get("tomato")

        @pytest.fixture(scope="module")
        def broken(otto_stacks):
            return otto_stacks("repo3")

        def test_fixture(broken): pass

        def test_output(otto_lab):
            assert otto_lab.get("carrot").oneshot("echo 1").output == "2"
        """
    )
    result = run()
    result.assert_outcomes(failed=4, errors=1)
    text = result.stdout.str()
    assert not re.search(r"otto_docker_sync/\S+\.py:\d+", text), text
    lines = ['>       otto_lab.get("carrot").oneshot("echo why; exit 3").check()', '>       otto_lab.get("tomato")']
    assert all(line in text for line in lines) and '>       return otto_stacks("repo3")' in text
    assert all(len(line) < 200 for line in text.splitlines() if not line.startswith(("E ", "FAILED", "ERROR"))), text
    assert "contextlib" not in text
    assert "return result.check() if check else result" in run("--full-trace", "-k", "test_check_in_run").stdout.str()


def test_the_locals_of_a_failure_show_no_answer_and_no_passphrase(run, pytester):
    pytester.makepyfile(
        """
        import signal, subprocess
        import pytest
        from otto_docker_sync import SSHOptions, UnixHost

        def secret():
            return "hunter" + "2"

        @pytest.fixture
        def alarm():  # pytest-timeout ends a test in this way
            signal.signal(signal.SIGALRM, lambda *_: pytest.fail("Timeout"))
            signal.setitimer(signal.ITIMER_REAL, 2)
            yield
            signal.setitimer(signal.ITIMER_REAL, 0)

        def test_answer(otto_lab):
            command = "printf 'word: '; read word; exit 3"
            otto_lab.get("carrot").run(command, expects={"word: ": secret() + chr(10)}, check=True)

        def test_answer_that_waits(otto_lab, alarm):
            otto_lab.get("carrot").run("sleep 600", expects={"word: ": secret()})

        def test_sent(otto_lab, alarm):
            otto_lab.get("carrot").send(secret() * 100 + chr(10))
            otto_lab.get("carrot").expect("nothing like it")

        def test_passphrase(tmp_path):
            key = tmp_path / "key"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "the right one", "-f", key], check=True)
            ssh = SSHOptions(identity_file=key, passphrase=secret(), look_for_keys=False)
            UnixHost("127.0.0.1", port=1, ssh=ssh).oneshot("true")
        """
    )
    result = run("-l")
    result.assert_outcomes(failed=4)
    assert "hunter2" not in result.stdout.str()


def test_a_stack_that_came_up_by_a_first_access_is_taken_down_by_the_last_worker(run, pytester, docker):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_first_access(otto_lab, number):
            assert otto_lab.get("carrot.repo1.api").oneshot("sleep 0.3")
        """
    )
    run("-n", "2").assert_outcomes(passed=6)
    project = f"label=com.docker.compose.project=otto-repo1-{os.environ['OTTO_COMPOSE_SUFFIX']}"
    assert docker("ps", "--all", "--quiet", "--filter", project) == ""


def test_a_stack_for_fixtures_of_any_scope(run, pytester, docker):
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def database(otto_stacks):
            db = otto_stacks("repo1")["db"]
            db.oneshot("echo filled > /tmp/state").check()
            return db

        def test_first(database):
            assert database.oneshot("cat /tmp/state").output == "filled\\n"

        @pytest.mark.otto_stack("repo1")
        def test_second(database, otto_stack):
            assert otto_stack["db"] is database
        """
    )
    run().assert_outcomes(passed=2)
    project = f"label=com.docker.compose.project=otto-repo1-{os.environ['OTTO_COMPOSE_SUFFIX']}"
    assert docker("ps", "--all", "--quiet", "--filter", project) == ""


@pytest.mark.parametrize(("options", "marker"), [((), '"repo1", wait=True'), (("--otto-wait",), '"repo1"')])
def test_a_stack_is_waited_for_until_it_is_healthy(run, pytester, lab_file, options, marker):
    compose_file = lab_file.parent / "stack" / "compose.yml"
    ready = "sleep 0.5; : >/tmp/ready; echo api"
    check = '\n    healthcheck: {test: "test -e /tmp/ready", interval: 1s, retries: 1}\n  db:'
    compose_file.write_text(compose_file.read_text().replace("echo api", ready).replace("\n  db:", check))
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.otto_stack({marker})
        def test_it(otto_stack):
            assert otto_stack["api"].oneshot("test -e /tmp/ready")
        """
    )
    run(*options).assert_outcomes(passed=1)


def test_what_a_test_reserves_is_held_while_it_runs(run, pytester, lab_file, monkeypatch, tmp_path):
    text = lab_file.read_text().replace("[hosts.carrot]", '[hosts.carrot]\nresources = ["carrot-power"]')
    lab_file.write_text(text + f'\n[reservations]\nbackend = "file:{tmp_path}"\n')
    pytester.makepyfile(
        """
        import pytest

        def tags(lab):
            return {tag for hold in lab.who().holds for tag in hold.tags}

        @pytest.mark.otto_reserve("carrot", wait=30, reason="nightly")
        def test_reserved(otto_lab):
            assert tags(otto_lab) == {"carrot-power"}

        def test_free(otto_lab):
            assert tags(otto_lab) == set()
        """
    )
    run().assert_outcomes(passed=2)


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
            allowed = {"_lazy", "limits", "pytest_plugin"}
            assert {name.removeprefix("otto_docker_sync.") for name in loaded} <= allowed
        """
    )
    result = run(lab=False)
    result.assert_outcomes(passed=1)
    assert "otto" not in result.stdout.str().split("collected")[1].lower()
