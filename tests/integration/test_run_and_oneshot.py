"""The main job: commands in a container on a machine behind SSH."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pexpect
import pytest

from otto_docker_sync import (
    CommandFailed,
    CommandResult,
    ConfigError,
    ContainerNotRunning,
    DockerContainerHost,
    DockerUnavailable,
    ExpectTimeout,
    NoSuchContainer,
    SessionBusy,
    SessionClosed,
    ShellCommand,
    ShellNotFound,
    Status,
    UnixHost,
)
from otto_docker_sync._shell.terminal import open_terminal
from otto_docker_sync.deadline import Deadline
from tests.faults.helpers import Call, on_this_machine, until
from tests.rig.containers import Container

Made = Callable[..., Container]
Hosts = Callable[..., DockerContainerHost]


# run


def test_state_lasts_from_run_to_run(ctr: DockerContainerHost) -> None:
    ctr.run("cd /etc; greeting='hello there'; f() { echo \"f says $1\"; }; umask 077")
    assert ctr.run("pwd; echo $greeting; f x; umask").output == "/etc\nhello there\nf says x\n0077\n"


def test_a_prompt_is_answered(ctr: DockerContainerHost) -> None:
    text = "printf 'Name: '; read -r name; printf 'Sure? '; read -r sure; echo \"$name $sure\""
    for expects in (
        {"Name: ": "bob\n", r"Sure\?": "yes\n"},
        [("Name: ", "bob\n"), (r"Sure\?", lambda _: b"yes\n")],
    ):
        assert ctr.run(text, expects=expects, timeout=10).check().output.endswith("bob yes\n")


def test_a_time_out_ends_the_command_and_keeps_the_shell(ctr: DockerContainerHost) -> None:
    ctr.run("kept=1")
    result = ctr.run("echo started; sleep 1001", timeout=2)
    assert (result.status, result.retcode, result.timed_out, result.output) == (Status.ERROR, None, True, "started\n")
    assert not result.session_ended and "timed out" in result.message
    after = ctr.run("echo $kept")
    assert (after.output, after.new_session) == ("1\n", False)
    assert ctr.oneshot("grep -l '^sleep.1001' /proc/[0-9]*/cmdline").output == ""


def test_a_time_out_while_a_long_text_goes_up_keeps_the_shell(ctr: DockerContainerHost) -> None:
    ctr.run("kept=1")
    result = ctr.run(f": '{'x' * 300_000}'; touch /tmp/never", timeout=0.05)
    assert result.timed_out and not result.session_ended, result
    assert ctr.run("echo $kept; test -e /tmp/never").output == "1\n"


def test_a_list_shares_one_time_and_goes_on_after_a_failure(ctr: DockerContainerHost) -> None:
    results = ctr.run(["false", "echo second", ShellCommand("sleep 1002", timeout=0.3), "echo fourth"], timeout=30)
    assert [result.status for result in results] == [Status.FAILED, Status.SUCCESS, Status.ERROR, Status.SUCCESS]
    assert results.status is Status.FAILED and results[1].output == "second\n"
    spent = ctr.run(["echo first", "sleep 1003", "touch /tmp/never", "echo never"], timeout=2)
    assert [result.status for result in spent] == [Status.SUCCESS, Status.ERROR, Status.SKIPPED, Status.SKIPPED]
    assert ctr.oneshot("test -e /tmp/never").retcode == 1


def test_check_raises_with_the_last_lines(ctr: DockerContainerHost) -> None:
    with pytest.raises(CommandFailed, match=r"(?s)exit status 4.*the reason") as caught:
        ctr.run("echo the reason; (exit 4)", check=True)
    assert caught.value.result.retcode == 4
    with pytest.raises(CommandFailed):
        ctr.oneshot("exit 5", check=True)


def test_a_sink_gets_the_output_as_it_comes(ctr: DockerContainerHost) -> None:
    pieces: list[str] = []
    first = threading.Event()

    def sink(text: str) -> None:
        pieces.append(text)
        first.set()

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(ctr.run, "echo one; read -r x; echo two", on_output=sink, timeout=20)
        assert first.wait(10)
        ctr.open_session("default").interrupt()
        run.result()
    assert "".join(pieces).startswith("one\n")


def test_the_shell_that_ends_is_told_of(ctr: DockerContainerHost) -> None:
    ended = ctr.run("exit 3")
    assert (ended.retcode, ended.status, ended.session_ended) == (3, Status.FAILED, True)
    assert ctr.run("echo on").new_session
    assert not ctr.run("echo on").new_session


# oneshot


def test_oneshots_share_nothing_and_keep_streams_apart(ctr: DockerContainerHost) -> None:
    ctr.oneshot("cd /etc; x=1")
    result = ctr.oneshot('pwd; echo "<$x>"; echo problem >&2')
    assert (result.stdout, result.stderr, result.ok) == ("/\n<>\n", "problem\n", True)


def test_a_list_is_argv(ctr: DockerContainerHost) -> None:
    words = ["a b", "$HOME", "*", "it's", "", "-n", "new\nline", "`date`"]
    assert ctr.oneshot(["printf", "<%s>", *words]).output == "".join(f"<{word}>" for word in words)
    assert ctr.oneshot(["no-such-program"]).retcode == 127


@pytest.mark.parametrize("status", [0, 1, 125, 126, 127, 137, 255])
def test_any_exit_status_is_a_result(ctr: DockerContainerHost, unix_host: UnixHost, status: int) -> None:
    assert ctr.oneshot(f"exit {status}").retcode == status
    assert unix_host.oneshot(f"exit {status}").retcode == status
    assert ctr.run(f"(exit {status})").retcode == status


def test_messages_of_the_shell_have_the_line_numbers_of_the_command(shell_ctr: DockerContainerHost) -> None:
    output = shell_ctr.oneshot("set -e\ntrue\nnosuch").output
    assert re.search(r"\b3: (eval: )?nosuch: .*not found", output), output
    output = shell_ctr.oneshot("true\n: ${x:?is missing}").output
    assert re.search(r"\b2: (eval: )?x: is missing", output), output


def test_a_timeout_while_docker_is_asked_for_the_container_is_a_result(
    make_unix_host: Callable[..., UnixHost], container_host: Hosts
) -> None:
    machine = make_unix_host(docker_command=("sh", "-c", "sleep 60", "docker"))
    assert machine.oneshot("true")
    host = container_host("", machine, compose_project="otto-repo1-me")
    result = host.oneshot("true", timeout=0.5)
    assert result.timed_out
    assert result.message == "timed out before the command was started: docker was still being asked for the container"
    assert host.run("true", timeout=0.5).timed_out


def test_a_long_script_is_no_argument(ctr: DockerContainerHost) -> None:
    session = ctr.open_session("other")
    session.run("x=1")
    assert ctr.oneshot(": " + "x" * 300_000 + "\necho ok").output == "ok\n"
    assert ctr.oneshot("\n".join(f": {n}" for n in range(20_000)) + "\necho ok").output == "ok\n"
    assert session.run("echo $x").output == "1\n"


def test_a_timed_out_oneshot_leaves_nothing(ctr: DockerContainerHost) -> None:
    result = ctr.oneshot("echo begun; (sleep 1004 &); setsid sleep 1004 & sleep 1004 | sleep 1004", timeout=3)
    assert (result.timed_out, result.output) == (True, "begun\n")
    assert ctr.oneshot("grep -l '^sleep.1004' /proc/[0-9]*/cmdline").output == ""


def test_a_background_process_delays_no_oneshot(ctr: DockerContainerHost) -> None:
    result = ctr.oneshot("sleep 1005 & echo hi; echo $!", timeout=10)
    said, pid = result.output.split()
    assert said == "hi"
    assert ctr.oneshot(f"kill -9 {pid}").ok  # it was left alone


def test_what_is_read_late_is_complete(ctr: DockerContainerHost) -> None:
    """Docker drops what its client has not taken two seconds after the end of a process."""
    place = f"/tmp/{time.monotonic_ns()}"
    ctr.oneshot(["mkdir", place]).check()

    def read_late(blocks: int, awaited: Callable[[], bool], given: str | None = None) -> CommandResult:
        write = f"while [ $i -lt {blocks} ]; do printf '%16384d' 0; i=$((i + 1)); echo $i >written; sleep 0.01; done"
        text = f"rm -f *; touch begun; until [ -e go ]; do sleep 0.05; done; i=0; {write}; touch ended; exit 3"
        call = Call(lambda: ctr.oneshot(text, workdir=place, input=given))
        until(lambda: ctr.oneshot(f"rm {place}/begun").ok, 20, "it has begun")
        clients = on_this_machine(place)
        for client in clients:
            os.kill(client, signal.SIGSTOP)
        try:
            ctr.oneshot(f"touch {place}/go").check()
            until(awaited, 40, "it has written what can be written")
        finally:
            for client in clients:
                os.kill(client, signal.SIGCONT)
        return call.result(50)

    written = [-2, -1]

    def is_at_a_standstill() -> bool:
        time.sleep(0.5)
        written.append(int(ctr.oneshot(f"cat {place}/written").output or 0))
        return 0 < written[-2] == written[-1]

    def has_ended_long_ago() -> bool:
        has_ended = ctr.oneshot(["test", "-e", f"{place}/ended"]).ok
        time.sleep(3 if has_ended else 0)
        return has_ended

    read_late(120, is_at_a_standstill)
    blocks = written[-1] - 2  # of the 4 that fit into the last pipe on the way
    for given in (None, "given"):
        result = read_late(blocks, has_ended_long_ago, given)
        assert (result.retcode, len(result.output)) == (3, blocks * 16384)


def test_stdin_of_a_oneshot_is_empty(ctr: DockerContainerHost) -> None:
    assert ctr.oneshot("cat; echo end", timeout=10).output == "end\n"


def test_both_streams_are_drained_together(ctr: DockerContainerHost) -> None:
    result = ctr.oneshot("head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero; echo done", timeout=60)
    assert len(result.stderr) == 5_000_000
    assert len(result.stdout) == 5_000_005


# expect


def test_expect_returns_all_up_to_the_match(ctr: DockerContainerHost) -> None:
    ctr.sendline("echo one; echo two; echo three")
    match = ctr.expect(r"t(w)o")
    assert (match, match.before, match.groups()) == ("one\ntwo", "one\n", ("w",))
    assert ctr.expect(["nothing", "three"]).index == 1


def test_a_pattern_that_ends_in_a_return_matches_when_it_is_there(ctr: DockerContainerHost) -> None:
    session = ctr.open_session("progress")
    session.send("printf '50%%\\r'; read x; printf '%s\\r' \"<$x>\"; read x\n")
    assert session.expect("%\r", timeout=10) == "50%\r"
    session.send("\n")
    assert session.expect(r"<>\r", timeout=10) == "<>\r"
    session.close()
    command = "printf '50%%\\r'; read x; printf '\\n%s\\rnext\\r\\n' \"<$x>\""
    result = ctr.run(command, expects=(r"50%\r", "go\n"), timeout=10)
    assert (result.output, result.ok) == ("50%\r\n<go>\rnext\r\n", True)


def test_expect_times_out_and_keeps_the_text(ctr: DockerContainerHost) -> None:
    ctr.sendline("echo here")
    with pytest.raises(ExpectTimeout, match="absent") as caught:
        ctr.expect("absent", timeout=0.3)
    assert "here" in caught.value.before
    assert ctr.expect([re.compile("never"), pexpect.TIMEOUT], timeout=0).index == 1
    assert "here" in ctr.expect("here", timeout=0)


def test_expect_tells_the_end_of_the_shell(ctr: DockerContainerHost) -> None:
    ctr.sendline("echo last; exit 4")
    with pytest.raises(SessionClosed, match="last") as caught:
        ctr.expect("never")
    assert caught.value.retcode == 4 and "last" in caught.value.before
    with pytest.raises(SessionClosed, match="opens a new one"):
        ctr.sendline("exit")
    assert ctr.run("true", timeout=20).ok
    ctr.sendline("exit")
    assert ctr.expect(["never", pexpect.EOF]).index == 1


def test_a_conversation_with_a_program(ctr: DockerContainerHost) -> None:
    with ctr.open_session("talk") as session:
        session.sendline("while printf 'more> '; read -r line; do echo \"got $line\"; done")
        session.expect("more> ")
        session.sendline("first")
        assert session.expect(r"got (\w+)").groups() == ("first",)
        session.interrupt()
        assert session.run("echo after", timeout=10).output == "after\n"
    assert not session.alive


def test_run_waits_for_what_send_started(ctr: DockerContainerHost) -> None:
    ctr.sendline("read -r x")
    result = ctr.run("echo never", timeout=0.5)
    assert result.timed_out and "send()" in result.message
    ctr.sendline("")
    assert ctr.run("echo now", timeout=10).output == "now\n"


def test_a_prompt_of_before_is_not_taken_for_the_end_of_what_was_sent(ctr: DockerContainerHost) -> None:
    for number in range(8):
        session = ctr.open_session(f"fresh {number}")
        session.sendline("read -r x")  # at once: the prompt of the shell's start may still be under way
        assert session.run("echo never", timeout=0.2).timed_out


# threads


def test_twenty_threads_on_one_shell(ctr: DockerContainerHost) -> None:
    def work(number: int) -> list[str]:
        return [ctr.run(f"echo {number} {turn}", timeout=60).output for turn in range(10)]

    with ThreadPoolExecutor(20) as pool:
        outputs = list(pool.map(work, range(20)))
    assert outputs == [[f"{number} {turn}\n" for turn in range(10)] for number in range(20)]


def test_thirty_oneshots_at_once(ctr: DockerContainerHost) -> None:
    with ThreadPoolExecutor(30) as pool:
        results = list(pool.map(lambda number: ctr.oneshot(f"echo {number}; exit {number}", timeout=120), range(30)))
    assert [(result.output, result.retcode) for result in results] == [(f"{n}\n", n) for n in range(30)]


def test_a_busy_session_names_who_has_it(ctr: DockerContainerHost) -> None:
    session = ctr.open_session("busy")
    session.run(":")
    begun = threading.Event()
    holder = threading.Thread(
        target=lambda: session.run("echo go; read -r x", on_output=lambda _: begun.set(), timeout=30), name="the-holder"
    )
    holder.start()
    assert begun.wait(10)
    with pytest.raises(SessionBusy, match=r"the-holder.*open_session"):
        session.run("echo hi", timeout=0.2)
    session.interrupt()
    holder.join()


def test_a_send_gets_through_while_an_expect_waits(ctr: DockerContainerHost) -> None:
    ctr.sendline('read -r x; echo "it was $x"')
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ctr.expect, "it was (.*)\n", 20)
        ctr.sendline("sent")
        assert waiting.result().groups() == ("sent",)


# what can be wrong


def test_a_stopped_paused_and_removed_container(container: Made, container_host: Hosts, docker: Any) -> None:
    made = container("busybox")
    host = container_host(made)
    assert host.is_running()
    docker.run("pause", made.id)
    with pytest.raises(ContainerNotRunning, match="docker unpause"):
        host.oneshot("true", timeout=20)
    with pytest.raises(ContainerNotRunning, match="docker unpause"):
        host.run("true", timeout=20)
    docker.run("unpause", made.id)
    docker.run("stop", "-t", "0", made.id)
    assert not host.is_running()
    with pytest.raises(ContainerNotRunning, match="docker start"):
        host.run("true", timeout=20)
    made.remove()
    assert not host.is_running()
    with pytest.raises(NoSuchContainer, match="docker ps"):
        host.oneshot("true", timeout=20)


def test_an_image_without_a_shell(container: Made, container_host: Hosts) -> None:
    host = container_host(container("noshell"))
    with pytest.raises(ShellNotFound, match="no shell 'sh'"):
        host.oneshot("true", timeout=20)
    with pytest.raises(ShellNotFound, match="no shell 'sh'"):
        host.run("true", timeout=20)


def test_a_wrong_user_and_a_wrong_directory(
    shared_container: Callable[[str], Container], container_host: Hosts
) -> None:
    with pytest.raises(ConfigError, match="no user 'nobody-here'"):
        container_host(shared_container("busybox"), user="nobody-here").run("true", timeout=20)
    with pytest.raises(ConfigError, match="/no/such/dir"):
        container_host(shared_container("busybox"), workdir="/no/such/dir").oneshot("true", timeout=20)


def test_docker_is_missing_or_its_daemon_down(
    make_unix_host: Callable[..., UnixHost], shared_container: Callable[[str], Container], container_host: Hosts
) -> None:
    missing = make_unix_host(id="missing", docker_command=("no-such-docker",))
    with pytest.raises(DockerUnavailable, match="no docker client"):
        container_host(shared_container("busybox"), parent=missing).oneshot("true", timeout=20)
    down = make_unix_host(id="down", docker_command=("docker", "-H", "unix:///nowhere/docker.sock"))
    with pytest.raises(DockerUnavailable, match=r"and DOCKER_HOST right\? Docker said: "):
        container_host(shared_container("busybox"), parent=down).run("true", timeout=20)


def test_a_container_of_a_parent_in_one_word(
    unix_host: UnixHost, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container("bash")
    with unix_host.container(container.id, shell="bash", env={"A": "b"}) as host:
        assert host.run("echo $A ${BASH_VERSION%%.*}", timeout=20).output.startswith("b 5")
        assert (host.project, host.service, host.container_id) == ("docker", container.id, container.id)
    named = unix_host.container("web-1", project="shop", service="web")
    assert (named.id, named.name) == ("carrot.shop.web", "carrot:web")
    with pytest.raises(ConfigError, match="container_id"):
        unix_host.container("-x")


@pytest.mark.parametrize("name", ["x; touch {}", "$(touch {})", "-x", "a b", "a\nb", "a'b", "../x", "a\0"])
def test_hostile_names_are_refused(unix_host: UnixHost, tmp_path: Path, name: str) -> None:
    hostile = name.format(tmp_path / "pwned")
    fields = ["container_id", "project", "compose_project"]
    if name != "-x":  # Compose lets a service have this name
        fields.append("service")
    for field in fields:
        arguments = {"container_id": "c", "project": "p", "service": "s", "compose_project": "", field: hostile}
        with pytest.raises(ConfigError, match=re.escape(repr(hostile)[:10])):
            DockerContainerHost(unix_host, **arguments)
    assert not (tmp_path / "pwned").exists()


def test_no_secret_in_the_process_list(shared_container: Callable[[str], Container], container_host: Hosts) -> None:
    host = container_host(shared_container("busybox"), env={"TOKEN": "s3cret-token"})

    def seen_while(start: Callable[..., Any]) -> str:
        begun = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(start, "echo s3cret-text $TOKEN; sleep 1006", on_output=lambda _: begun.set(), timeout=3)
            assert begun.wait(10)
            names = [name for name in os.listdir("/proc") if name.isdigit()]
            seen = "\n".join(_read(f"/proc/{name}/cmdline") for name in names)
            host.close()
            assert "s3cret-token" in call.result().output
        return seen

    for start in (host.run, host.oneshot):
        seen = seen_while(start)
        assert "OTTO_" in seen and "s3cret" not in seen


def test_the_environment_of_a_shell_on_a_terminal(
    shared_container: Callable[[str], Container], container_host: Hosts, shell_kind: str
) -> None:
    host = container_host(shared_container(shell_kind), env={"TOKEN": "it's s3cret"})
    deadline = Deadline.after(20)
    with open_terminal(host.runner, "xterm", (80, 24), deadline) as channel:
        channel.write(b'echo "<$TOKEN $TERM>"\n', deadline)
        shown = b""
        while b"<it's s3cret xterm>" not in shown:
            chunk = channel.read(deadline)
            assert not chunk.ended, shown
            shown += chunk.out
        assert b"export" not in shown


@pytest.mark.parametrize(
    ("value", "test"),
    [
        ("x" * 9000, "${#VALUE} = 9000"),
        ("a\rb\tc\x03d\x04e\x16f\x7fg", "\"$VALUE\" = \"$(printf 'a\\015b\\011c\\003d\\004e\\026f\\177g')\""),
        ("a'b\nc", "\"$VALUE\" = \"$(printf 'a\\047b\\012c')\""),
    ],
    ids=["long", "control", "quote"],
)
def test_a_value_of_the_environment_reaches_a_terminal_as_it_is(
    shared_container: Callable[[str], Container], container_host: Hosts, shell_kind: str, value: str, test: str
) -> None:
    host = container_host(shared_container(shell_kind), env={"VALUE": value})
    deadline = Deadline.after(20)
    with open_terminal(host.runner, "xterm", (80, 24), deadline) as channel:
        channel.write(f"[ {test} ] && echo s''ame\n".encode(), deadline)
        shown = b""
        while b"same" not in shown:
            chunk = channel.read(deadline)
            assert not chunk.ended, shown
            shown += chunk.out


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.parametrize("timeout", [-1, float("nan"), True, "5", timedelta(seconds=-1)])
def test_a_time_out_that_is_none_is_refused(ctr: DockerContainerHost, timeout: Any) -> None:
    for verb in (ctr.run, ctr.oneshot):
        with pytest.raises(ConfigError, match="timeout="):
            verb("true", timeout=timeout)
    with pytest.raises(ConfigError, match="timeout="):
        ctr.expect("x", timeout=timeout)


def test_bad_arguments_are_refused(ctr: DockerContainerHost) -> None:
    for call in (
        lambda: ctr.expect([]),
        lambda: ctr.expect("("),
        lambda: ctr.run("a\0b"),
        lambda: ctr.oneshot("a\0b"),
        lambda: ctr.oneshot([]),
        lambda: ctr.oneshot(["a", 1]),  # type: ignore[list-item]
        lambda: ctr.send("x" * 5000 + "\n"),
        lambda: ctr.open_session(""),
    ):
        with pytest.raises(ConfigError):
            call()
    assert ctr.run("echo fine").output == "fine\n"


def test_a_time_out_of_nothing_is_now_or_not(ctr: DockerContainerHost) -> None:
    ctr.run("true")
    assert ctr.oneshot("true", timeout=0).timed_out
    ctr.run("x=kept")
    for cmd in ("touch /tmp/never", ["touch /tmp/never"]):
        result = ctr.run(cmd, timeout=0)
        assert not result.ok and not ctr.path("/tmp/never").exists()
    result = ctr.run("true", timeout=0)
    assert (result.timed_out, result.session_ended) == (True, False)
    assert result.message == "timed out before the command was started"
    assert ctr.run("echo $x").output == "kept\n"
    # What waits looks once: what has arrived is found, though nobody has read it yet.
    ctr.sendline("echo arrived; touch /tmp/arrived")
    until(ctr.path("/tmp/arrived").exists, 20, "the line has run")
    until(lambda: ctr.expect(["arrived", pexpect.TIMEOUT], timeout=0).index == 0, 20, "its output is there")
    process = ctr.start("echo begun; exit 3")
    until(lambda: not process.running, 20, "its end")
    assert process.wait_for("begun", timeout=0) and process.wait(timeout=0).retcode == 3
    ctr.oneshot("rm /tmp/arrived", check=True)
    assert ctr.run("echo fine", timeout=timedelta(seconds=20)).output == "fine\n"


# life


def test_close_ends_the_shells_and_use_after_it_opens_anew(ctr: DockerContainerHost) -> None:
    ctr.run("sleep 1007 &")
    ctr.open_session("second").run("x=1")
    ctr.close()
    ctr.close()
    assert ctr.oneshot("grep -l '^sleep.1007' /proc/[0-9]*/cmdline").output == ""
    assert ctr.run("echo $x").output == "\n"


def test_close_ends_what_is_in_flight(ctr: DockerContainerHost) -> None:
    for start in (ctr.run, ctr.oneshot):
        begun = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(start, "echo begun; sleep 1008", on_output=lambda _: begun.set())  # noqa: B023 (used at once)
            assert begun.wait(10)
            ctr.close()
            result = call.result(10)
        assert (result.status, result.retcode) == (Status.ERROR, None)
        assert "closed" in result.message


def test_close_ends_what_waits_for_its_turn_and_the_rest_of_a_list(ctr: DockerContainerHost) -> None:
    begun = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ctr.run, ["echo begun; sleep 1008", "echo second"], on_output=lambda _: begun.set())
        assert begun.wait(10)
        waiting = [pool.submit(ctr.run, "echo third") for _ in range(3)]
        until(lambda: len(ctr.runner._calls) == 4, 10, "all wait")
        ctr.close()
        results = [*first.result(10), *(call.result(10) for call in waiting)]
    assert [result.output for result in results] == ["begun\n", "", "", "", ""]
    assert all(result.retcode is None and "closed" in result.message for result in results), results
    assert not ctr.open_session("default").alive


def test_a_sink_may_close_its_own_host(ctr: DockerContainerHost) -> None:
    began = time.monotonic()
    for start in (ctr.run, ctr.oneshot):
        result = start("echo begun; sleep 1008", on_output=lambda _: ctr.close())
        assert (result.output, result.retcode) == ("begun\n", None) and "closed" in result.message, result
    assert time.monotonic() - began < 5


def test_closing_from_many_threads_at_once_is_no_error(ctr: DockerContainerHost) -> None:
    for number in range(4):
        ctr.open_session(f"s{number}").run("true", timeout=30)
    with ThreadPoolExecutor(8) as pool:
        for closing in [pool.submit(ctr.close) for _ in range(8)]:
            closing.result()


def test_a_host_says_what_it_is(unix_host: UnixHost) -> None:
    ctr = DockerContainerHost(unix_host, "abc", "Shop", "api#2", "shop_1")
    assert (ctr.name, ctr.id, ctr.is_virtual) == ("carrot:api#2", "carrot.shop.api#2", True)


def test_the_streams_are_there_as_bytes_too(ctr: DockerContainerHost) -> None:
    result = ctr.oneshot(r"printf 'o\377\n'; printf 'e\376\n' >&2")
    assert (result.stdout_bytes, result.stderr_bytes) == (b"o\xff\n", b"e\xfe\n")
    assert (result.stdout, result.stderr) == ("o\ufffd\n", "e\ufffd\n")


def test_on_a_terminal_stdout_is_the_output(ctr: DockerContainerHost) -> None:
    result = ctr.run("echo out; echo err >&2")
    assert result.stdout == result.output == "out\nerr\n"
    assert (result.stdout_bytes, result.stderr, result.stderr_bytes) == (result.output_bytes, "", b"")
