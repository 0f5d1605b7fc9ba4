"""Traps that have a test nowhere else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otto_docker_sync._sandbox.processes import program
from otto_docker_sync._shell.scripts import kill_tree
from otto_docker_sync.errors import ConfigError, SessionClosed
from tests.rig.containers import Container

from .helpers import Call, running, until

if TYPE_CHECKING:
    from otto_docker_sync import CommandResult, DockerContainerHost, UnixHost

MakeHost = Callable[..., "DockerContainerHost"]
MakeContainer = Callable[..., Container]


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_the_tree_killer_without_a_marker_kills_nobody(shell: str) -> None:
    script = f"self=$$; kill() {{ echo \"would kill $*\"; }}; {kill_tree()}\nkill_tree '' '' 0 '' ''; echo $?"
    done = subprocess.run([*shell.split(), "-c", script], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize("path", [os.defpath, "/nowhere"], ids=["with programs", "with built-ins only"])
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_the_tree_killer_finds_a_process_whatever_its_name(shell: str, path: str, tmp_path: Path) -> None:
    shell_path, *applet = shell.split()
    odd = tmp_path / ") Z 1 (* S 2"
    shutil.copy(program("sleep", "coreutils"), odd)
    script = f"self=$$; {kill_tree()}\nkill_tree OTTO_TAG={tmp_path} '' 0 '' $1; echo $?"
    argv = [program(shell_path, shell_path), *applet, "-c", script, "sh"]
    with subprocess.Popen([odd, "60"], env={"OTTO_TAG": str(tmp_path)}) as process:
        argv.append(str(process.pid))
        done = subprocess.run(argv, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr, process.returncode) == ("0\n", "", -signal.SIGKILL)


def test_dockers_own_keys_to_detach_belong_to_the_program(ctr: DockerContainerHost) -> None:
    ctr.run("X=kept", timeout=10)
    ctr.sendline('read -r keys; printf %s "$keys" | od -An -tx1')
    ctr.send("\x16\x10\x16\x11\n")
    assert ctr.expect(r"10 11\s", timeout=10)
    assert ctr.run("echo $X", timeout=10).output == "kept\n"


def test_shells_open_one_after_the_other_without_a_failure(shell_ctr: DockerContainerHost) -> None:
    for number in range(8):
        with shell_ctr.open_session(f"s{number}") as session:
            assert session.run(f"echo {number}", timeout=20).output == f"{number}\n"


def test_a_start_up_file_that_prints_and_sets_the_prompt_changes_nothing(
    container: MakeContainer, container_host: MakeHost
) -> None:
    made = container("busybox", "--env", "ENV=/tmp/rc", "--env", "PS1=mine> ")
    made.exec("sh", "-c", "echo 'echo noise; PS1=\"rc> \"; alias echo=false' >/tmp/rc")
    host = container_host(made)
    for _ in range(3):
        assert host.run("echo ok", timeout=10).output == "ok\n"
    assert host.oneshot("echo ok", timeout=10).output == "ok\n"


def test_what_the_docker_client_has_to_say_is_no_output(
    make_unix_host: Callable[..., UnixHost], container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    wrapper = 'echo before; echo WARNING: before >&2; docker "$@"; r=$?; echo after; echo after >&2; exit $r'
    parent = make_unix_host(docker_command=("sh", "-c", wrapper, "docker"))
    host = container_host(shared_container("busybox"), parent)
    result = host.oneshot("echo out; echo err >&2; exit 3", timeout=10)
    assert (result.stdout, result.stderr, result.retcode) == ("out\n", "err\n", 3)
    result = host.run("echo out; (exit 4)", timeout=10)
    assert (result.output, result.retcode) == ("out\n", 4)


def test_no_line_of_many_oneshots_is_lost(ctr: DockerContainerHost) -> None:
    expected = "".join(f"{number}\n" for number in range(1, 3001)) + "END\n"
    for _ in range(20):
        assert ctr.oneshot("seq 1 3000; echo END", timeout=20).stdout == expected


@pytest.mark.parametrize("command", ["exec </dev/null", "set -n"])
def test_a_shell_that_was_made_deaf_is_replaced(ctr: DockerContainerHost, command: str) -> None:
    assert ctr.run(":", timeout=10).ok
    ctr.run(command, timeout=1)
    results = [ctr.run("echo ok", timeout=timeout) for timeout in (1, 10)]
    assert results[-1].output == "ok\n", results


def test_the_end_of_input_is_a_key_at_the_start_of_a_line(ctr: DockerContainerHost) -> None:
    ctr.send("cat; echo ended\n")
    ctr.send("text\n")
    ctr.send("\x04")
    assert ctr.expect(r"ended\n", timeout=10) == "text\nended\n"
    assert ctr.run("echo ok", timeout=10).output == "ok\n"


def test_what_a_job_prints_late_is_in_no_other_commands_output(ctr: DockerContainerHost) -> None:
    ctr.run("(while [ ! -e /tmp/go ]; do sleep 0.02; done; echo LATE; : >/tmp/gone) &", timeout=10)
    ctr.oneshot(": >/tmp/go; while [ ! -e /tmp/gone ]; do sleep 0.02; done; rm /tmp/go /tmp/gone", timeout=10)
    assert ctr.run("echo hi", timeout=10).output == "hi\n"


def test_no_history_is_written(container: MakeContainer, container_host: MakeHost) -> None:
    made = container("bash", "--env", "HOME=/root")
    before = made.exec("ls", "-A", "/root")
    host = container_host(made)
    assert host.run("echo ok", timeout=10).ok
    host.close()
    assert made.exec("ls", "-A", "/root") == before


def test_a_session_needs_no_file_in_the_container(container: MakeContainer, container_host: MakeHost) -> None:
    host = container_host(container("busybox", "--read-only"))
    assert host.run("cat <<EOF\n$((1+1))\nEOF", timeout=10).output == "2\n"
    assert host.run("x='" + "y" * 20_000 + "'; echo ${#x}", timeout=10).output == "20000\n"
    assert host.oneshot("echo ok", timeout=10).stdout == "ok\n"


@pytest.mark.parametrize("length", [4095, 100_000])
def test_a_line_that_a_terminal_would_cut_is_refused(ctr: DockerContainerHost, length: int) -> None:
    with pytest.raises(ConfigError, match="cannot be typed"):
        ctr.send("x" * length + "\n")
    assert ctr.run("echo ok", timeout=10).output == "ok\n"


def test_type_ahead_while_a_command_runs_is_not_lost(ctr: DockerContainerHost) -> None:
    ctr.sendline("sleep 0.5")
    ctr.send("".join(f"echo {'y' * 600}{number}\n" for number in range(40)))
    ctr.sendline("echo 'all 'typed")
    match = ctr.expect("all typed\n", timeout=20)
    assert match == "".join(f"{'y' * 600}{number}\n" for number in range(40)) + "all typed\n"


def test_a_session_closed_with_a_stopped_and_a_running_job_leaves_nothing(
    ctr: DockerContainerHost, shared_container: Callable[[str], Container]
) -> None:
    ctr.run("sleep 9006 & sleep 9006 & kill -STOP $!", timeout=10)
    ctr.close()
    until(lambda: not running(shared_container("busybox"), "9006"), 2, "no job is left")


def test_closing_a_session_ends_a_send_that_waits(ctr: DockerContainerHost) -> None:
    session = ctr.open_session("deaf")
    session.sendline("sleep 1010")
    call = Call(lambda: session.send("x\n" * 5_000_000))
    until(lambda: session._own._input_lock.is_held, 10, "it is being sent")
    session.close()
    with pytest.raises(SessionClosed):
        call.result(10)


def test_a_session_that_is_closed_under_its_users_tells_each_of_them(ctr: DockerContainerHost) -> None:
    session = ctr.open_session("shared")
    users = 4

    def use() -> list[CommandResult]:
        return [session.run("echo on", timeout=30) for _ in range(5)]

    with ThreadPoolExecutor(users) as pool:
        calls = [pool.submit(use) for _ in range(users)]
        while not all(call.done() for call in calls):
            session.close()
        results = [result for call in calls for result in call.result()]
    assert all((result.output, result.retcode) == ("on\n", 0) or result.message for result in results), results


def test_a_dead_shell_is_noticed_by_the_next_call(ctr: DockerContainerHost) -> None:
    pid = ctr.run("echo $$", timeout=10).output.strip()
    assert ctr.oneshot(f"kill -9 {pid}", timeout=10).ok
    result = ctr.run("echo ok", timeout=10)
    assert result.output == "ok\n" or result.session_ended
    assert ctr.run("echo ok", timeout=10).output == "ok\n"


def test_variables_with_short_names_belong_to_the_user(container: MakeContainer, container_host: MakeHost) -> None:
    names = "n s c i l f w p d r line round self"
    made = container("busybox", *(word for name in names.split() for word in ("--env", f"{name}=image")))
    show = f"for name in {names}; do eval 'echo \"$name=$'$name'\"'; done; env | grep -c '=image$'"
    expected = "".join(f"{name}=image\n" for name in names.split())
    assert container_host(made).oneshot(show, timeout=20).output == f"{expected}{len(names.split())}\n"
    ours = container_host(made, env={name: f"my {name}" for name in names.split()})
    assert ours.oneshot(show, timeout=20).output == "".join(f"{name}=my {name}\n" for name in names.split()) + "0\n"
    assert ours.oneshot("type kill_tree", timeout=20).failed
