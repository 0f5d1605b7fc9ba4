"""The command line as its users have it: a program of its own, in a pipe and on a terminal, against real hosts."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

from otto_docker_sync._sandbox import Docker
from otto_docker_sync._sandbox.processes import pids
from otto_docker_sync.cli.checks import has_penalties
from tests.faults.helpers import until
from tests.rig.account import Account
from tests.rig.compose import Compose
from tests.rig.containers import Container, arguments
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd
from tests.rig.telnetd import Telnetd

OTTO_DOCKER = str(Path(sys.executable).with_name("otto-docker"))
API = "carrot.repo1.api"


@dataclass(frozen=True)
class Bench:
    """A directory with a lab file, and the stack that it declares."""

    directory: Path
    environ: dict[str, str]
    api: Container | None = None
    idle: frozenset[int] = frozenset()

    def otto(self, *args: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run ``otto-docker`` in pipes, and check its exit status."""
        done = subprocess.run(
            [OTTO_DOCKER, *args],
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert status is None or done.returncode == status, done
        assert "Traceback" not in done.stderr
        return done

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [OTTO_DOCKER, *args],
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def terminal(self, *args: str) -> pexpect.spawn[str]:
        """Run ``otto-docker`` on a terminal of its own."""
        environ = {**self.environ, "TERM": "xterm-256color"}
        return pexpect.spawn(
            OTTO_DOCKER,
            list(args),
            cwd=str(self.directory),
            env=environ,
            encoding="utf-8",
            timeout=20,
            dimensions=(40, 100),
        )


def ended(terminal: pexpect.spawn[str]) -> tuple[int | None, str]:
    """The exit status of a program on a terminal, and what it still wrote."""
    rest = terminal.read()
    terminal.close()
    return terminal.exitstatus, rest


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, rig: Rig, sshd: Sshd, compose: Compose) -> Bench:
    directory = tmp_path_factory.mktemp("bench")
    service = f"{{image: '{rig.image('busybox')}', network_mode: none, init: true, stop_signal: KILL, "
    (directory / "compose.yml").write_text(
        "services:\n"
        f"  api: {service} command: [sh, -c, 'echo api is up; exec sleep 2147483']}}\n"
        f"  db: {service} command: [sh, -c, 'echo db is up; exec sleep 2147483']}}\n"
    )
    (directory / "lab.toml").write_text(
        f"""
[hosts.carrot]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
identity_file = "{sshd.identity_file}"
known_hosts = "{sshd.known_hosts}"

[hosts.dead]
host = "{sshd.host}"
port = 1

[projects.repo1]
compose_files = ["compose.yml"]
default_host = "carrot"
services = ["api", "db"]
"""
    )
    environ = {
        **os.environ,
        "OTTO_COMPOSE_SUFFIX": rig.unique(f"cli-{rig.worker}-{os.getpid()}"),
    }
    return Bench(directory, environ)


@pytest.fixture(scope="module")
def stack(bench: Bench, docker: Docker) -> Iterator[Bench]:
    """The bench with its stack up."""
    rows = [line.split("\t") for line in bench.otto("up").stdout.splitlines()]
    assert [row[:2] for row in rows] == [[API, "api"], ["carrot.repo1.db", "db"]]
    container = Container(docker, docker("inspect", "--format", "{{.Id}}", rows[0][2]), "busybox")
    up = Bench(bench.directory, bench.environ, container, frozenset(container.processes()))
    yield up
    bench.otto("down")
    assert containers_of(up) == []


def containers_of(bench: Bench) -> list[list[str]]:
    """What ``otto-docker ps`` says of the bench's own stack: other test runs have theirs on the same daemon."""
    rows = [line.split("\t") for line in bench.otto("ps", "carrot").stdout.splitlines()]
    return [row for row in rows if row[1].endswith(bench.environ["OTTO_COMPOSE_SUFFIX"])]


def left_in(bench: Bench, patience: float = 3.0) -> dict[int, str]:
    """The processes in the api container that were not there at first, once they had time to go."""
    assert bench.api is not None
    end = time.monotonic() + patience
    while (left := bench.api.processes()).keys() - bench.idle and time.monotonic() < end:
        time.sleep(0.02)
    return {pid: arguments for pid, arguments in left.items() if pid not in bench.idle}


# run and oneshot


@pytest.mark.parametrize("verb", ["run", "oneshot"])
@pytest.mark.parametrize("host", ["carrot", API])
def test_output_and_exit_status_are_the_commands_own(stack: Bench, verb: str, host: str) -> None:
    done = stack.otto(verb, host, "echo hello; exit 3", status=3)
    assert (done.stdout, done.stderr) == ("hello\n", "")


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_one_word_is_shell_text_and_several_stay_as_they_are(stack: Bench, verb: str) -> None:
    words = ("printf", "%s|", "a  b", "$HOME", "*", "-v", "--json")
    assert stack.otto(verb, API, "--", *words).stdout == "a  b|$HOME|*|-v|--json|"
    assert stack.otto(verb, API, "echo $((6*7))").stdout == "42\n"


def test_output_arrives_while_the_command_runs(stack: Bench) -> None:
    with stack.start("run", API, "echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo two; rm /tmp/go") as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "one\n"
        stack.otto("oneshot", API, "touch", "/tmp/go")
        assert run.stdout.read() == "two\n"
    assert run.returncode == 0


def test_a_oneshot_keeps_its_two_streams_apart(stack: Bench) -> None:
    done = stack.otto("oneshot", API, "echo good; echo bad >&2")
    assert (done.stdout, done.stderr) == ("good\n", "bad\n")


def test_a_oneshot_passes_on_a_file_a_pipe_and_a_socket(stack: Bench, tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "data").write_bytes(data)

    def cat(**stdin: Any) -> bytes:
        command = [OTTO_DOCKER, "oneshot", "carrot.repo1.api", "cat"]
        return subprocess.run(
            command, cwd=stack.directory, env=stack.environ, stdout=subprocess.PIPE, timeout=50, check=True, **stdin
        ).stdout

    with open(tmp_path / "data", "rb") as file:
        assert cat(stdin=file) == data
    assert cat(input=data) == data
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"by a socket")
        theirs.shutdown(socket.SHUT_WR)
        assert cat(stdin=ours) == b"by a socket"
    assert stack.otto("oneshot", "carrot.repo1.api", "cat; echo end").stdout == "end\n"


def test_a_oneshot_does_not_wait_for_a_pipe_that_its_command_does_not_read(stack: Bench) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb"):
        done = subprocess.run(
            [OTTO_DOCKER, "oneshot", "carrot.repo1.api", "echo ended; exit 3"],
            cwd=stack.directory,
            env=stack.environ,
            stdin=file,
            capture_output=True,
            timeout=50,
        )
    assert (done.stdout, done.returncode) == (b"ended\n", 3)


def test_a_oneshot_streams_where_both_streams_go_to_one_place(stack: Bench) -> None:
    terminal = stack.terminal("oneshot", API, "echo one; while [ ! -e /tmp/go2 ]; do sleep 0.05; done; echo two >&2")
    terminal.expect_exact("one\r\n")
    stack.otto("oneshot", API, "touch", "/tmp/go2")
    assert ended(terminal) == (0, "two\r\n")


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_a_time_out_is_124_and_leaves_nothing(stack: Bench, verb: str) -> None:
    done = stack.otto(verb, "-t", "3", API, "echo begun; sleep 4711", status=124)
    assert done.stdout == "begun\n"
    assert done.stderr.startswith(f"otto-docker: {API}: timed out")
    assert left_in(stack) == {}


def test_json_is_one_object_on_stdout_and_keeps_the_status(stack: Bench) -> None:
    done = stack.otto("--json", "oneshot", API, "echo out; echo err >&2; exit 4", status=4)
    result = json.loads(done.stdout)
    wanted = {"host": API, "status": "failed", "retcode": 4, "stdout": "out\n", "stderr": "err\n", "timed_out": False}
    assert wanted.items() <= result.items()
    assert done.stderr == ""


@pytest.mark.parametrize("verb", ["run", "oneshot", "put", "get", "interact"])
def test_a_host_that_cannot_be_reached_is_255(stack: Bench, verb: str) -> None:
    words = {"put": ("lab.toml", "/tmp"), "get": ("/etc/passwd", "."), "interact": ()}.get(verb, ("true",))
    done = stack.otto(verb, "dead", *words, status=255)
    assert done.stdout == ""
    message = done.stderr.splitlines()[-1]
    assert message.startswith("otto-docker: ") and "dead" in message and "refused" in message


def test_a_reader_that_leaves_ends_the_command_quietly(stack: Bench) -> None:
    with stack.start("run", API, "while :; do echo y; done") as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 141
    assert left_in(stack) == {}


# Several hosts


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_a_pattern_runs_on_every_host_that_matches(stack: Bench, verb: str) -> None:
    done = stack.otto(verb, "*.repo1.*", "echo one; echo two; test -e /etc/passwd", status=0)
    assert sorted(done.stdout.splitlines()) == [
        f"{host}: {line}" for host in (API, "carrot.repo1.db") for line in ("one", "two")
    ]


def test_a_pattern_reports_each_host_and_the_first_failure(stack: Bench) -> None:
    done = stack.otto("--json", "oneshot", "[cd]*", "echo x; exit 3", status=3)
    results = {result["host"]: result for result in json.loads(done.stdout)}
    assert list(results) == ["carrot", "dead", API, "carrot.repo1.db"]
    assert (results["carrot"]["retcode"], results["dead"]["retcode"]) == (3, None)
    assert "dead" in done.stderr and "refused" in done.stderr


def test_ctrl_c_ends_a_command_on_all_hosts(stack: Bench) -> None:
    terminal = stack.terminal("oneshot", "*.repo1.*", "echo ready; sleep 4711")
    for _ in range(2):
        terminal.expect_exact("ready")
    terminal.sendintr()
    assert ended(terminal)[0] == 130
    assert left_in(stack) == {}


def test_put_copies_to_every_host_that_matches(stack: Bench, tmp_path: Path) -> None:
    (tmp_path / "everywhere").write_text("1\n")
    done = stack.otto("--json", "put", "*.repo1.*", str(tmp_path / "everywhere"), "/tmp")
    assert [result["host"] for result in json.loads(done.stdout)] == [API, "carrot.repo1.db"]
    assert stack.otto("oneshot", "carrot.repo1.db", "cat /tmp/everywhere").stdout == "1\n"


def test_put_sets_an_owner_and_put_and_get_keep_times(stack: Bench, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("1\n")
    os.utime(tmp_path / "old", (1_000_000_000, 1_000_000_000))
    os.mkfifo(tmp_path / "pipe")
    done = stack.otto("put", "--owner", "12:34", "--preserve-times", "-t", "20", API, str(tmp_path), "/tmp")
    assert "left out: pipe (a FIFO)" in done.stderr
    there = f"/tmp/{tmp_path.name}/old"
    assert stack.otto("oneshot", API, f"stat -c '%u %g %Y' {there}").stdout == "12 34 1000000000\n"
    stack.otto("get", "--preserve-times", "-t", "20", API, there, str(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mtime == 1_000_000_000


# Ctrl-C


def test_ctrl_c_interrupts_the_remote_command(stack: Bench) -> None:
    terminal = stack.terminal("run", API, "sh -c 'trap \"echo caught; exit 7\" INT; echo ready; sleep 4711'")
    terminal.expect_exact("ready")
    terminal.sendintr()
    status, rest = ended(terminal)
    assert status == 7 and "caught" in rest and "again" in rest
    assert left_in(stack) == {}


def test_ctrl_c_twice_leaves_and_ends_the_command(stack: Bench) -> None:
    terminal = stack.terminal("run", API, "sh -c 'trap \"\" INT; echo ready; sleep 4711'")
    terminal.expect_exact("ready")
    terminal.sendintr()
    terminal.expect_exact("again")
    terminal.sendintr()
    assert ended(terminal)[0] == 130
    assert left_in(stack) == {}


def test_ctrl_c_ends_a_oneshot(stack: Bench) -> None:
    terminal = stack.terminal("oneshot", API, "echo ready; sleep 4711")
    terminal.expect_exact("ready")
    terminal.sendintr()
    assert ended(terminal)[0] == 130
    assert left_in(stack) == {}


def test_a_killed_client_leaves_nothing(stack: Bench) -> None:
    with stack.start("run", API, "echo ready; sleep 4711") as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        run.kill()
    assert left_in(stack) == {}


# Files


def test_files_there_and_back(stack: Bench, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1\n")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "two").write_bytes(b"\0\xff\n")
    (tmp_path / "back").mkdir()
    stack.otto("oneshot", API, "mkdir", "/tmp/files")
    done = stack.otto("put", "--mode", "0640", API, str(tmp_path / "one"), str(tmp_path / "dir"), "/tmp/files")
    assert done.stdout == "" and "one -> /tmp/files/one (2 bytes)" in done.stderr
    assert stack.otto("oneshot", API, "stat -c %a /tmp/files/one; cat /tmp/files/one").stdout == "640\n1\n"
    done = stack.otto("--json", "get", API, "/tmp/files/one", "/tmp/files/dir", str(tmp_path / "back"))
    assert [(file["source"], file["status"]) for file in json.loads(done.stdout)["files"]] == [
        ("/tmp/files/one", "success"),
        ("/tmp/files/dir", "success"),
    ]
    assert (tmp_path / "back" / "one").read_text() == "1\n"
    assert (tmp_path / "back" / "dir" / "two").read_bytes() == b"\0\xff\n"


def test_a_file_that_cannot_be_had_is_told_and_is_1(stack: Bench, tmp_path: Path) -> None:
    done = stack.otto("get", API, "/etc/passwd", "/no/such/file", str(tmp_path), status=1)
    assert (tmp_path / "passwd").read_text().startswith("root:")
    assert "otto-docker: " in done.stderr and "/no/such/file" in done.stderr


def test_a_single_file_may_get_a_new_name(stack: Bench, tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("a\n")
    done = stack.otto("put", API, str(tmp_path / "a.conf"), "/tmp/b.conf")
    assert "a.conf -> /tmp/b.conf (2 bytes)" in done.stderr
    assert stack.otto("oneshot", API, "cat /tmp/b.conf").stdout == "a\n"
    stack.otto("put", API, str(tmp_path / "a.conf"), "/tmp/b.conf")  # the name of a file that is there now
    stack.otto("get", API, "/tmp/b.conf", str(tmp_path / "c.conf"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.conf", "c.conf"]
    assert (tmp_path / "c.conf").read_text() == "a\n"


def test_what_put_and_get_cannot_do_is_said_with_the_way_out(stack: Bench, tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("a\n")
    missing = stack.otto("put", API, str(tmp_path / "a.conf"), "/no/such/dir", status=1)
    assert f"otto-docker run {API} mkdir -p" in missing.stderr
    literal = stack.otto("get", API, "/etc/*.conf", str(tmp_path), status=1)
    assert "patterns are taken literally" in literal.stderr


def test_ctrl_c_in_put_is_130_and_says_how_the_file_is(stack: Bench, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as big:
        big.truncate(3 << 30)
    terminal = stack.terminal("put", API, str(tmp_path / "big"), "/tmp")
    terminal.expect(r"MB/s")
    terminal.sendintr()
    status, rest = ended(terminal)
    assert status == 130 and "what was there before is unchanged" in " ".join(rest.split())
    assert stack.otto("oneshot", API, "ls /tmp/big", status=1).stdout == ""
    assert left_in(stack) == {}


def test_progress_bars_are_for_terminals(stack: Bench, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    status, shown = ended(stack.terminal("put", API, str(tmp_path / "big"), "/tmp"))
    assert status == 0 and "\x1b[" in shown and "MB" in shown
    assert "\x1b" not in stack.otto("put", API, str(tmp_path / "big"), "/tmp").stderr


# By hand


def test_interact_is_a_login_whose_status_is_the_shells(stack: Bench) -> None:
    terminal = stack.terminal("interact", API)
    terminal.expect(r"[#$] ")
    terminal.sendline("stty size; echo $((6*7)) $TERM; exit 7")
    terminal.expect_exact("40 100")
    terminal.expect_exact("42 xterm-256color")
    assert ended(terminal)[0] == 7
    assert left_in(stack) == {}


def test_interact_is_left_by_its_key(stack: Bench) -> None:
    terminal = stack.terminal("interact", API)
    terminal.expect(r"[#$] ")
    terminal.send("\x1d")
    assert ended(terminal)[0] == 0
    assert left_in(stack) == {}


def test_a_forward_leads_to_a_port_of_the_host_until_ctrl_c(stack: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = stack.start("forward", "carrot", str(port))
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 20) as client:
            client.sendall(b"x")
            with server.accept()[0] as peer:
                assert peer.recv(10) == b"x"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in err
    assert f"leads to port {port} of carrot" in err


def test_wait_says_in_its_status_whether_a_host_is_ready(stack: Bench, sshd: Sshd) -> None:
    ready = stack.otto("wait", API, "--log", "is up", "--command", "true", "--timeout", "60")
    assert (ready.stdout, ready.stderr) == ("", f"{API} is ready\n")
    assert json.loads(stack.otto("--json", "wait", "carrot", "--port", str(sshd.port)).stdout)["ready"] is True
    late = stack.otto("wait", API, "--port", "80", "-t", "2", status=124)
    assert "port 80 did not hold in time" in late.stderr and "its last lines:\napi is up" in late.stderr
    assert "no health check" in stack.otto("wait", API, "--healthy", status=255).stderr
    assert "pass healthy=True" in stack.otto("wait", API, status=255).stderr
    process = stack.start("wait", API, "--command", "sleep 654")
    assert stack.api is not None
    until(lambda: "sleep 654" in stack.api.processes().values(), 20, "it is asked")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in err


# Stacks


def test_ps_and_logs_of_a_stack(stack: Bench) -> None:
    assert [(row[0], row[2], row[3]) for row in containers_of(stack)] == [("carrot", "api", "1"), ("carrot", "db", "1")]
    every = stack.otto("logs").stdout
    assert "api is up" in every and "db is up" in every
    assert "db is up" not in stack.otto("logs", "--service", "api", "--tail", "5").stdout


def test_ps_tells_of_parents_that_it_cannot_ask(stack: Bench) -> None:
    done = stack.otto("ps", status=255)
    assert "api" in done.stdout and "dead" in done.stderr


def test_following_logs_ends_with_ctrl_c(stack: Bench) -> None:
    terminal = stack.terminal("logs", "--follow", "--service", "api")
    terminal.expect_exact("api is up")
    terminal.sendintr()
    status, rest = ended(terminal)
    assert status == 130 and "Traceback" not in rest


def test_ps_of_a_container_is_that_of_its_stack(stack: Bench) -> None:
    rows = json.loads(stack.otto("--json", "ps", API).stdout)
    assert {row["compose_project"] for row in rows} == {f"otto-repo1-{stack.environ['OTTO_COMPOSE_SUFFIX']}"}


def test_logs_as_json_are_one_object_a_line(stack: Bench) -> None:
    lines = [json.loads(line) for line in stack.otto("--json", "logs", "-s", "api").stdout.splitlines()]
    assert [line["line"] for line in lines] == ["api is up"] and "api" in lines[0]["container"]


def test_logs_of_a_container_are_its_own_lines(stack: Bench) -> None:
    assert stack.otto("logs", API).stdout == "api is up\n"
    assert stack.otto("logs", API, "--since", "0").stdout == ""
    assert json.loads(stack.otto("--json", "logs", API, "--tail", "1").stdout) == {"host": API, "line": "api is up"}
    terminal = stack.terminal("logs", "-f", API)
    terminal.expect_exact("api is up")
    terminal.sendintr()
    assert ended(terminal)[0] == 130
    assert "a machine has no log of its own" in stack.otto("logs", "carrot", status=255).stderr
    assert "--since is for a container" in stack.otto("logs", "repo1", "--since", "5", status=255).stderr


def test_ctrl_c_in_up_is_130_and_says_how_the_stack_is(stack: Bench) -> None:
    other = ("--project-name", stack.environ["OTTO_COMPOSE_SUFFIX"] + "-other")
    terminal = stack.terminal("up", *other)
    terminal.expect_exact("starting")
    terminal.sendintr()
    status, rest = ended(terminal)
    text = " ".join(rest.split())
    assert status == 130 and ("the stack is down" in text or "of its" in text or "is not known" in text), text
    stack.otto("down", *other)


def test_up_again_changes_nothing(stack: Bench) -> None:
    before = [row[4] for row in containers_of(stack)]
    hosts = json.loads(stack.otto("--json", "up", "repo1", "--no-build").stdout)
    assert {host["host"] for host in hosts} == {API, "carrot.repo1.db"}
    assert [row[4] for row in containers_of(stack)] == before


# Doctor


def test_the_doctor_says_what_is_wrong_and_what_to_do(stack: Bench) -> None:
    done = stack.otto("doctor", status=1)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    verdicts = {(row[0], row[1]): row[2] for row in rows}
    assert verdicts["dead", "reach"] == "wrong"
    for check in ("reach", "host key", "login", "clock", "start-up file", "sftp", "sessions", "docker", "compose"):
        assert verdicts["carrot", check] == "ok", rows
    assert verdicts["carrot", "penalties"] in ("ok", "note")  # it depends on the version of this machine's sshd
    assert ["carrot", "cipher", "ok", "aes128-gcm@openssh.com"] in rows
    (start,) = [row[3] for row in rows if row[:2] == ["carrot", "start-up file"]]
    assert re.fullmatch(r"silent, and a login shell is ready after \d+ ms", start)
    for check in ("container", "shell", "tar"):
        assert verdicts[API, check] == "ok", rows
    assert done.stderr == "1 wrong\n"


def test_the_doctor_of_a_host_that_is_well(stack: Bench) -> None:
    done = stack.otto("--json", "doctor", API)
    assert {finding["verdict"] for finding in json.loads(done.stdout)} == {"ok"}
    status, shown = ended(stack.terminal("doctor", "carrot"))
    assert status == 0 and "nothing is wrong" in shown


def test_the_doctor_says_what_a_container_that_does_not_run_needs(stack: Bench, docker: Docker) -> None:
    project = stack.environ["OTTO_COMPOSE_SUFFIX"]
    name = f"otto-repo1-{project}-db-1"

    def finding() -> dict[str, str]:
        done = stack.otto("--json", "doctor", "carrot.repo1.db", status=None)
        (found,) = json.loads(done.stdout)
        assert done.returncode == (1 if found["verdict"] == "wrong" else 0)
        return {key: found[key] for key in ("verdict", "found", "advice")}

    docker("pause", name)
    try:
        paused = finding()
    finally:
        docker("unpause", name)
    assert paused["verdict"] == "wrong" and paused["advice"] == f"docker unpause {name}"
    docker("kill", name)
    exited = finding()
    assert exited["verdict"] == "note" and exited["found"] == "exited with 137"
    assert f"docker logs {name}" in exited["advice"] and "otto-docker up repo1" in exited["advice"]
    docker("rm", name)
    gone = finding()
    assert gone == {"verdict": "note", "found": "does not exist yet", "advice": "otto-docker up repo1"}
    stack.otto("up")


def test_the_doctor_says_why_a_stack_would_not_come_up(bench: Bench, tmp_path: Path) -> None:
    text = (bench.directory / "lab.toml").read_text().partition("[hosts.dead]")[0]
    (tmp_path / "compose.yml").write_text((bench.directory / "compose.yml").read_text())
    (tmp_path / "lab.toml").write_text(
        text
        + '[projects.typo]\ncompose_files = ["compose.yml"]\nservices = ["apo"]\n'
        + '[projects.missing]\ncompose_files = ["nosuch.yml"]\nservices = ["api"]\n'
    )
    lacking = Bench(tmp_path, bench.environ)
    done = lacking.otto("--json", "doctor", "carrot.typo.apo", "carrot.missing.api", status=1)
    typo, missing = json.loads(done.stdout)
    assert typo["verdict"] == missing["verdict"] == "wrong"
    assert "'apo'" in typo["found"] and "'api'" in typo["found"]
    assert "nosuch.yml" in missing["found"]


def test_up_shows_what_compose_writes(bench: Bench) -> None:
    name = ("--project-name", bench.environ["OTTO_COMPOSE_SUFFIX"] + "-shown")
    try:
        assert re.search(r"Container \S+-shown-api-1 .*Started", bench.otto("-v", "up", *name).stderr)
        terminal = bench.terminal("up", *name)
        status, shown = ended(terminal)
        assert status == 0 and "starting the stack of repo1" in shown
        # The end of a line is cut where the terminal ends, and the names of this run are long.
        assert re.search(r"Container \S+-shown-api-1", shown)
    finally:
        bench.otto("down", *name)


def test_the_doctor_finds_what_a_parent_lacks(bench: Bench, make_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    sshd = make_sshd(MaxSessions="2", Subsystem=None)
    (sshd.home / ".bashrc").write_text("sleep 0.2\n")
    (tmp_path / "lab.toml").write_text(
        f"""
[hosts.gateway]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
identity_file = "{sshd.identity_file}"
known_hosts = "{sshd.known_hosts}"
docker_command = ["docker", "--host", "unix:///nowhere"]

[hosts.unknown]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
hop = "gateway"
identity_file = "{sshd.identity_file}"
known_hosts = "/dev/null"
docker_capable = false
"""
    )
    done = Bench(tmp_path, bench.environ).otto("--json", "doctor", status=1)
    found = {(finding["host"], finding["check"]): finding for finding in json.loads(done.stdout)}
    assert found["gateway", "sessions"]["verdict"] == "note" and "2 at once" in found["gateway", "sessions"]["found"]
    assert found["gateway", "sftp"]["verdict"] == "note"
    start = found["gateway", "start-up file"]
    assert start["verdict"] == "note" and int(re.findall(r"\d+", start["found"])[0]) >= 200
    assert found["gateway", "docker"]["verdict"] == "wrong" and "daemon" in found["gateway", "docker"]["advice"]
    assert found["unknown", "hop gateway"]["verdict"] == "ok"
    assert found["unknown", "host key"]["verdict"] == "wrong" and "ssh-keyscan" in found["unknown", "host key"]["found"]


def test_the_doctor_finds_what_makes_a_host_slow(bench: Bench, make_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    old = make_sshd(Ciphers="3des-cbc")
    packed = make_sshd(Compression="yes")
    config = tmp_path / "ssh_config"
    config.write_text("Host *\n  Ciphers +3des-cbc\n  Compression yes\n")
    (tmp_path / "lab.toml").write_text(
        "".join(
            f"""
[hosts.{name}]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
identity_file = "{sshd.identity_file}"
known_hosts = "{sshd.known_hosts}"
config_file = "{config}"
docker_capable = false
"""
            for name, sshd in (("old", old), ("packed", packed))
        )
    )
    done = Bench(tmp_path, bench.environ).otto("--json", "doctor")
    found = {(finding["host"], finding["check"]): finding for finding in json.loads(done.stdout)}
    cipher = found["old", "cipher"]
    assert cipher["verdict"] == "note" and "3des-cbc is slow" in cipher["found"] and "aes128-gcm" in cipher["advice"]
    cipher = found["packed", "cipher"]
    assert cipher["verdict"] == "note" and "compressed" in cipher["found"] and "Compression no" in cipher["advice"]


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("SSH-2.0-OpenSSH_9.7p1", False),
        ("SSH-2.0-OpenSSH_9.8", True),
        ("SSH-2.0-OpenSSH_10.0p2 Debian-7", True),
        ("SSH-2.0-dropbear_2024.85", False),
        ("", False),
    ],
)
def test_which_servers_lock_addresses_out(server: str, expected: bool) -> None:
    assert has_penalties(server) is expected


def test_a_host_over_telnet(bench: Bench, telnetd: Telnetd, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(
        f"""
[hosts.old]
host = "{telnetd.host}"
port = {telnetd.port}
user = "{telnetd.user}"
term = "telnet"
password_env = "OLD_PASSWORD"
"""
    )
    old = Bench(tmp_path, {**bench.environ, "OLD_PASSWORD": telnetd.password})
    assert old.otto("oneshot", "old", "echo hello; exit 3", status=3).stdout == "hello\n"
    found = {finding["check"]: finding["verdict"] for finding in json.loads(old.otto("--json", "doctor").stdout)}
    assert found == dict.fromkeys(("reach", "login", "clock", "docker", "compose"), "ok")


# Logs


def test_logs_go_to_a_directory_without_secrets(
    bench: Bench, make_sshd: Callable[..., Sshd], account: Account, tmp_path: Path
) -> None:
    sshd = make_sshd(PasswordAuthentication="yes", PubkeyAuthentication="no")
    (tmp_path / "lab.toml").write_text(
        f"""
[hosts.carrot]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
password_env = "CARROT_PASSWORD"
known_hosts = "{sshd.known_hosts}"
"""
    )
    secret = Bench(tmp_path, {**bench.environ, "CARROT_PASSWORD": account.password})
    secret.otto("--log-dir", "logs", "run", "carrot", f"echo hello; echo {account.password}")
    text = (tmp_path / "logs" / "carrot.log").read_text()
    assert "$ echo hello; echo ***" in text and "| hello" in text and "| ***" in text
    every = "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    assert account.password not in every and text.splitlines()[0] in every


def test_verbose_shows_the_log_on_stderr(stack: Bench) -> None:
    done = stack.otto("-v", "oneshot", "carrot", "echo hello")
    assert done.stdout == "hello\n" and "carrot $ echo hello" in done.stderr and "| hello" not in done.stderr
    assert "carrot | hello" in stack.otto("-vv", "oneshot", "carrot", "echo hello").stderr


# Demo


def assert_gone(shown: str, docker: Docker) -> None:
    """Nothing is left of the demo that showed this: no directory, process, container or image."""
    found = re.search(r"/var/tmp/otto-sandbox\.\w+", shown)
    assert found is not None
    directory = found[0]
    assert "removing it all" in shown
    assert not Path(directory).exists()
    assert [arguments(pid) for pid in pids() if directory in arguments(pid)] == []
    label = f"label=otto-docker-sync.sandbox={Path(directory).name}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert docker("images", "--quiet", "--filter", label) == ""


def test_the_demo_shows_the_main_job(bench: Bench, docker: Docker) -> None:
    shown = bench.otto("demo").stdout
    assert "> HELLO WORLD FROM /TMP" in shown
    assert "> /opt, y" in shown
    assert "timed out after 1" in shown and "> left in the container: nothing" in shown
    assert "> 0 1 4 9 16 25 36 49 64 81 100 121" in shown
    assert "> bc says ('42',)" in shown
    assert "> AS IT WAS" in shown
    assert_gone(shown, docker)


@pytest.mark.parametrize("moment", ["fresh keys", "never ends"])
def test_the_demo_cleans_up_after_ctrl_c(bench: Bench, docker: Docker, moment: str) -> None:
    terminal = bench.terminal("demo")
    terminal.expect_exact(moment)
    begun = str(terminal.before)
    terminal.sendintr()
    status, rest = ended(terminal)
    assert status == 130
    assert_gone(begun + rest, docker)


def test_the_demo_cleans_up_after_being_terminated(bench: Bench, docker: Docker) -> None:
    with bench.start("demo") as demo:
        assert demo.stdout is not None
        shown = [demo.stdout.readline()]
        while "hello from box" not in shown[-1]:
            shown.append(demo.stdout.readline())
        demo.send_signal(signal.SIGTERM)
        shown.append(demo.stdout.read())
    assert demo.returncode == 143
    assert_gone("".join(shown), docker)
