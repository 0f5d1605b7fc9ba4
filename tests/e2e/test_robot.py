"""Robot Framework suites, run by robot and pabot against the real rig."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from robot.api import ExecutionResult
from robot.libdoc import libdoc

from otto_docker_sync._sandbox import Sshd
from tests.e2e.lab_files import EXAMPLES, write_lab_file

SUITES = Path(__file__).parent / "suites"
LIBRARY = "otto_docker_sync.robot.OttoDockerLibrary"


@pytest.fixture
def environ(sshd, shared_container) -> dict[str, str]:
    """What the suites read: how to reach the rig."""
    return {
        **os.environ,
        "LAB_MACHINE": sshd.host,
        "LAB_PORT": str(sshd.port),
        "LAB_USER": sshd.user,
        "LAB_IDENTITY_FILE": str(sshd.identity_file),
        "LAB_KNOWN_HOSTS": str(sshd.known_hosts),
        "LAB_CONTAINER": shared_container("busybox").id,
    }


@pytest.fixture
def robot(environ, tmp_path) -> Callable[..., ExecutionResult]:
    """Run suites, and return what Robot Framework recorded. So many tests, no more, must fail."""

    def run(
        *suites: Path, tool: str = "robot", options: tuple[str, ...] = (), failed: int = 0, **more: str
    ) -> ExecutionResult:
        each = ("--command", sys.executable, "-m", "robot", "--end-command")
        pabot = ("-m", "pabot.pabot", "--processes", "2", "--no-pabotlib", *each)
        tool_command = {"robot": ("-m", "robot"), "pabot": pabot}[tool]
        done = subprocess.run(
            [sys.executable, *tool_command, "--outputdir", str(tmp_path / "out"), *options, *map(str, suites)],
            env={**environ, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == failed, done.stdout + done.stderr
        assert "[ WARN ]" not in done.stdout + done.stderr and "[ ERROR ]" not in done.stdout + done.stderr, done.stderr
        return ExecutionResult(tmp_path / "out" / "output.xml")

    return run


def keyword_messages(result: ExecutionResult, name: str) -> list[str]:
    (test,) = result.suite.tests
    return [message.message for keyword in test.body if keyword.name == name for message in keyword.messages]


def messages_in(body: Iterable[Any]) -> Iterator[str]:
    for item in body:
        if hasattr(item, "message"):
            yield item.message
        yield from messages_in(getattr(item, "body", ()))


def test_every_keyword_on_a_real_container(robot):
    result = robot(SUITES / "keywords.robot")
    assert result.statistics.total.failed == 0


def test_misspelt_and_refused_arguments_are_named(robot):
    result = robot(SUITES / "arguments.robot")
    assert result.statistics.total.failed == 0


def test_a_prompt_gives_a_terminal_in_a_container_too(robot, shared_container):
    result = robot(SUITES / "terminals.robot")
    assert result.statistics.total.failed == 0
    assert not [args for args in shared_container("busybox").processes().values() if "sleep 4337" in args]


def test_keywords_of_sshlibrary_log_what_sshlibrary_logs(robot):
    result = robot(SUITES / "loglevels.robot")
    assert keyword_messages(result, "Execute Command") == [
        "Executing command 'true'.",
        "Command exited with return code 0.",
    ]
    assert [text for text in keyword_messages(result, "Login With Public Key") if "Logging into '127.0.0.1:" in text]
    assert keyword_messages(result, "Start Command") == []


def test_what_a_suite_leaves_open_is_closed_at_the_end(robot, shared_container):
    robot(SUITES / "left_open.robot")
    left = shared_container("busybox").processes().values()
    assert not [args for args in left if "sleep 433" in args]


def test_a_test_that_is_out_of_time_ends_its_command_and_keeps_the_shell(robot, shared_container):
    result = robot(SUITES / "timeouts.robot", failed=1)
    assert [test.status for test in result.suite.tests] == ["FAIL", "PASS"]
    assert result.suite.tests[0].elapsed_time.total_seconds() < 10
    assert not [args for args in shared_container("busybox").processes().values() if "sleep 4335" in args]


def test_a_secret_shows_in_no_output(robot, tmp_path):
    secret = "correct-horse-battery-staple"
    robot(SUITES / "secrets.robot", options=("--loglevel", "TRACE"), SECRET_PASSWORD=secret)
    for page in ("output.xml", "log.html", "report.html"):
        assert secret not in Path(tmp_path, "out", page).read_text()


def test_records_of_other_threads_are_in_the_keyword_that_ran(robot):
    result = robot(SUITES / "threads.robot", options=("--loglevel", "DEBUG"))
    during_sleep = [text for text in keyword_messages(result, "Sleep") if "repeated" in text]
    assert len(during_sleep) >= 3
    assert not [text for text in keyword_messages(result, "Log") if "repeated" in text]


def test_stacks_and_hosts_that_last_from_suite_to_suite(robot, rig, sshd, compose, tmp_path):
    suffix = rig.unique(f"{rig.worker}-robot-{sshd.port}")
    path = write_lab_file(tmp_path / "lab", sshd, rig.image("busybox"))
    result = robot(SUITES / "stack", OTTO_LAB=str(path), OTTO_COMPOSE_SUFFIX=suffix, PROJECT=f"otto-repo1-{suffix}")
    assert result.statistics.total.passed == 4


def test_a_failed_test_shows_what_its_containers_have_to_say(robot, container):
    result = robot(SUITES / "evidence.robot", failed=1, OWN_CONTAINER=container("busybox").id)
    passed, failed = result.suite.tests
    assert "printed" not in "".join(message for message in messages_in(passed.body))
    (text,) = [message for message in messages_in(failed.body) if "It is running." in message]
    assert "It printed during the test:\n  line 1\n" in text


def test_a_stack_that_came_up_by_its_use_goes_with_the_run(robot, rig, sshd, compose, docker, tmp_path):
    suffix = rig.unique(f"{rig.worker}-robot-{sshd.port}")
    path = write_lab_file(tmp_path / "lab", sshd, rig.image("busybox"))
    robot(SUITES / "first_use.robot", OTTO_LAB=str(path), OTTO_COMPOSE_SUFFIX=suffix)
    project = f"label=com.docker.compose.project=otto-repo1-{suffix}"
    assert docker("ps", "--all", "--quiet", "--filter", project) == ""


def test_pabot_runs_suites_side_by_side(robot):
    result = robot(SUITES / "pabot_one.robot", SUITES / "pabot_two.robot", tool="pabot")
    assert result.statistics.total.passed == 6


def test_a_suite_for_sshlibrary_moves_with_its_import_and_connection(robot):
    before, after = (EXAMPLES / "robot" / f"{when}_sshlibrary.robot" for when in ("before", "after"))
    assert robot(before).statistics.total.passed == robot(after).statistics.total.passed == 4
    old, new = before.read_text(), after.read_text()
    body, connection = old.split("*** Keywords ***")
    assert new.replace(LIBRARY, "SSHLibrary").split("*** Keywords ***")[0] == body
    assert "Open Connection" in connection


@pytest.fixture
def sudoers(account) -> Iterator[None]:
    """Let the account become root with its password."""
    entry = Path("/etc/sudoers.d") / f"{account.name}-robot"
    entry.write_text(f"{account.name} ALL=(root) PASSWD: ALL\n")
    entry.chmod(0o440)
    yield
    entry.unlink()


@pytest.fixture
def unchanged(robot, tmp_path) -> Callable[..., ExecutionResult]:
    """Run a suite as it is with a library, on a server that is known as people's own files have it."""

    def run(suite: str, library: str, server: Sshd, **more: str) -> ExecutionResult:
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        shutil.copy(server.known_hosts, home / ".ssh" / "known_hosts")
        place = {"LAB_PORT": str(server.port), "LAB_IDENTITY_FILE": str(server.identity_file)}
        return robot(SUITES / "sshlibrary" / f"{suite}.robot", SSH_LIBRARY=library, HOME=str(home), **place, **more)

    return run


@pytest.mark.usefixtures("sudoers")
@pytest.mark.parametrize("suite", ["terminal", "commands_and_files"])
@pytest.mark.parametrize("library", ["SSHLibrary", LIBRARY])
def test_a_suite_of_sshlibrary_needs_no_change_but_its_import(unchanged, library, suite, sshd, account):
    result = unchanged(suite, library, sshd, LAB_PASSWORD=account.password)
    assert result.statistics.total.failed == 0


def test_what_the_server_says_before_the_login(unchanged, make_sshd, tmp_path):
    (tmp_path / "banner").write_text("Authorized users only\n")
    result = unchanged("banner", LIBRARY, make_sshd(Banner=str(tmp_path / "banner")))
    assert result.statistics.total.failed == 0


def test_every_keyword_is_typed_and_documented(tmp_path):
    libdoc(LIBRARY, str(tmp_path / "library.json"), quiet=True)
    page = json.loads((tmp_path / "library.json").read_text())
    assert (page["scope"], page["version"] != "") == ("GLOBAL", True)
    for keyword in page["keywords"]:
        assert keyword["doc"], keyword["name"]
        assert all(argument["type"] for argument in keyword["args"] if argument["name"]), keyword["name"]


def positional_arguments(library: str, tmp_path: Path) -> dict[str, list[str]]:
    """The names of the arguments of each keyword, and of the import, in order and without those by name only."""
    path = tmp_path / f"{library}.json"
    subprocess.run([sys.executable, "-m", "robot.libdoc", library, str(path)], check=True, capture_output=True)
    page = json.loads(path.read_text())
    return {
        keyword["name"].lower(): [
            argument["name"] for argument in keyword["args"] if argument["kind"] == "POSITIONAL_OR_NAMED"
        ]
        for keyword in (*page["keywords"], *page["inits"])
    }


def test_all_keywords_and_arguments_of_sshlibrary_are_there_in_its_order(tmp_path):
    ours = positional_arguments(LIBRARY, tmp_path)
    for name, wanted in positional_arguments("SSHLibrary", tmp_path).items():
        assert ours[name][: len(wanted)] == wanted, name


def test_a_host_and_a_session_are_given_by_name_only(tmp_path):
    theirs = ("open connection", "get connection", "get pre login banner")
    for name, arguments in positional_arguments(LIBRARY, tmp_path).items():
        if name not in (*theirs, "get host"):
            assert not {"host", "session"} & set(arguments), name
