"""Commands in the background: what they write, how they are waited for, how they end."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest

from otto_docker_sync import (
    ConfigError,
    ContainerNotRunning,
    DockerContainerHost,
    ExpectTimeout,
    LocalHost,
    SessionClosed,
    Status,
    UnixHost,
    WaitTimedOut,
)
from otto_docker_sync.limits import UNREAD_BYTES
from tests.faults.helpers import Call, on_this_machine, running, until
from tests.rig.containers import Container

MakeHost = Callable[..., DockerContainerHost]
MakeContainer = Callable[..., Container]

COUNTER = "i=0; while :; do i=$((i + 1)); echo line $i; done"


def process_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("otto-process")]


class TestOutput:
    def test_lines_are_those_of_both_streams_or_of_one(self, ctr: DockerContainerHost) -> None:
        process = ctr.start("echo one; echo two >&2; sleep 0.1; printf 'three\\nfour'")
        assert sorted(process.lines()) == ["four", "one", "three", "two"]
        assert list(process.lines("stdout")) == ["one", "three", "four"]
        assert list(process.lines("stderr")) == ["two"]
        assert list(process.lines()) == []
        result = process.wait(timeout=10)
        assert (result.status, result.stdout, result.stderr) == (Status.SUCCESS, "one\nthree\nfour", "two\n")
        assert (process.output, process.running) == (result.output, False)
        assert process.wait() is result

    def test_a_loop_that_was_left_goes_on_where_it_was(self, ctr: DockerContainerHost) -> None:
        process = ctr.start("seq 1 9")
        assert [line for line, _ in zip(process.lines(), range(3), strict=False)] == ["1", "2", "3"]
        assert list(process.lines())[-1] == "9"

    def test_a_process_that_nobody_reads_waits_and_no_line_is_lost(self, ctr: DockerContainerHost) -> None:
        count, size = 1_500_000, -1
        process = ctr.start(f"seq 1 {count} | tee /tmp/written; rm /tmp/written; echo done")
        until(lambda: len(process.output) >= UNREAD_BYTES, 50, "as much as is taken")
        while size != (size := int(ctr.oneshot("wc -c </tmp/written").output)):  # it has come to a standstill
            time.sleep(0.3)
        assert size < 8 * UNREAD_BYTES
        numbers = (int(line) for line in process.lines() if line != "done")
        assert sum(1 for expected, number in enumerate(numbers, 1) if number == expected) == count
        result = process.wait(timeout=10)
        assert result.ok and "not kept" in result.message
        assert UNREAD_BYTES <= len(process.output) < 3 * UNREAD_BYTES
        assert process.output == result.output and result.output.endswith(f"{count}\ndone\n")

    def test_a_slow_loop_gets_every_line_while_another_thread_waits(self, ctr: DockerContainerHost) -> None:
        process = ctr.start("seq 1 400000")
        lines = process.lines()
        first = next(lines)
        waiting = Call(process.wait)
        time.sleep(0.5)  # for the process to go on, if nothing kept it
        assert [first, *lines] == [str(number) for number in range(1, 400001)]
        assert waiting.result(10).ok

    def test_who_reads_one_stream_is_not_kept_up_by_the_other(self, ctr: DockerContainerHost) -> None:
        process = ctr.start("seq 1 300000 >&2; echo done; seq 1 300000 >&2; echo end")
        assert list(process.lines("stdout")) == ["done", "end"]
        assert list(process.lines("stderr"))[-1] == "300000"

    def test_waiting_reads_what_nobody_does(self, ctr: DockerContainerHost) -> None:
        assert ctr.start("seq 1 1000000").wait(timeout=50).ok

    def test_output_without_line_ends_is_bounded(self, ctr: DockerContainerHost) -> None:
        process = ctr.start("head -c 5000000 /dev/zero")
        assert sum(map(len, process.lines())) == 5_000_000


class TestWaitFor:
    def test_a_pattern_is_found_and_the_rest_stays(self, ctr: DockerContainerHost) -> None:
        with ctr.start("echo port 80; sleep 0.1; printf 'Sure? '; sleep 60") as process:
            assert process.wait_for(r"port (\d+)\n", timeout=10).groups() == ("80",)
            assert process.wait_for([r"never", r"Sure\?"], timeout=10).index == 1
            with pytest.raises(ExpectTimeout, match="in time") as caught:
                process.wait_for("never", timeout=0)
            assert caught.value.before == " "
            assert process.output == "port 80\nSure? "

    def test_a_process_that_ends_first_is_an_error_at_once(self, ctr: DockerContainerHost) -> None:
        process = ctr.start("echo broken >&2; exit 3")
        with pytest.raises(SessionClosed, match=r"exit status 3.*broken") as caught:
            process.wait_for("ready", timeout=50)
        assert (caught.value.retcode, caught.value.before) == (3, "broken\n")

    def test_a_pattern_far_behind_is_found(self, ctr: DockerContainerHost) -> None:
        with ctr.start("seq 1 1000000; sleep 60") as process:
            assert process.wait_for(r"\n1000000\n", timeout=50)

    def test_waiting_in_vain_leaves_it_running(self, ctr: DockerContainerHost) -> None:
        with ctr.start("sleep 60") as process:
            with pytest.raises(WaitTimedOut, match=r"'sleep 60': it still runs") as caught:
                process.wait(timeout=0.1)
            assert isinstance(caught.value, TimeoutError)
            assert process.running


class TestInput:
    def test_what_is_sent_arrives_as_it_is(self, ctr: DockerContainerHost) -> None:
        data = bytes(range(256)) * 300
        process = ctr.start("IFS= read -r line; printf '<%s>\\n' \"$line\"; cat")
        process.send("%d \\n 'x'\n")
        process.wait_for(r"<%d \\n 'x'>\n", timeout=20)
        process.send(data)
        process.send_eof()
        assert process.wait(timeout=30).output_bytes.endswith(b">\n" + data)
        with pytest.raises(ConfigError, match="its stdin has ended"):
            process.send("more")
        process.send_eof()

    def test_a_dialogue(self, shell_ctr: DockerContainerHost) -> None:
        with shell_ctr.start("while read -r line; do echo got $line; done; echo end") as process:
            for number in range(20):
                process.send(f"{number}\n")
                process.wait_for(f"got {number}\n", timeout=20)
            process.send_eof()
            process.wait_for("end\n", timeout=20)

    def test_an_input_is_all_of_it(self, ctr: DockerContainerHost) -> None:
        assert ctr.start("sort", input="b\na\n").wait(timeout=20).output == "a\nb\n"
        assert ctr.start("cat; echo end", input="").wait(timeout=20).output == "end\n"
        process = ctr.start("wc -c", input=io.BytesIO(bytes(3_000_000)))
        with pytest.raises(ConfigError, match="its stdin has ended"):
            process.send("more")
        assert process.wait(timeout=30).output == "3000000\n"

    def test_one_that_does_not_read_can_be_stopped(self, ctr: DockerContainerHost) -> None:
        process = ctr.start(["sleep", "60"])
        process.send(bytes(3_000_000))
        assert process.stop(grace=30).retcode == 143


class TestStop:
    def test_a_program_says_its_last_words(self, shell_ctr: DockerContainerHost) -> None:
        process = shell_ctr.start("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done")
        process.wait_for("up\n")
        result = process.stop()
        assert (result.retcode, result.output.replace("Terminated\n", "")) == (7, "up\nbye\n")
        assert process.stop() is result

    def test_the_status_is_that_of_the_program_in_the_shell(self, ctr: DockerContainerHost) -> None:
        program = "trap 'sleep 0.3; echo last; exit 4' TERM; echo up; while :; do sleep 0.05; done"
        process = ctr.start(f"sh -c '{program.replace(chr(39), chr(34))}'")
        process.wait_for("up\n")
        result = process.stop()
        assert (result.retcode, result.output.endswith("last\n")) == (4, True)

    @pytest.mark.parametrize("signal", ["TERM", "SIGINT", "KILL"])
    def test_a_program_without_a_shell_gets_the_signal(self, ctr: DockerContainerHost, signal: str) -> None:
        process = ctr.start(["sleep", "60"])
        assert process.stop(signal).retcode == {"TERM": 143, "SIGINT": 130, "KILL": 137}[signal]

    def test_one_that_does_not_end_is_killed_with_all_that_it_started(
        self, container_host: MakeHost, container: MakeContainer
    ) -> None:
        made = container("busybox")
        process = container_host(made).start("trap '' TERM; sleep 9011 & (setsid sleep 9011 &) ; sleep 9011")
        until(lambda: len(running(made, "sleep 9011")) == 3, 10, "all run")
        result = process.stop(grace=0.5)
        assert (result.retcode, result.status) == (137, Status.FAILED)
        assert "was killed" in result.message
        until(lambda: not running(made, "9011"), 5, "nothing is left")

    def test_what_ignores_the_signal_is_killed_when_the_command_has_ended(
        self, container_host: MakeHost, container: MakeContainer
    ) -> None:
        made = container("dash")
        process = container_host(made).start("(trap '' TERM; sleep 9012) & sleep 9012")
        until(lambda: len(running(made, "sleep 9012")) == 2, 10, "both run")
        assert process.stop(grace=20).retcode == 143
        assert not running(made, "9012")

    def test_a_loop_in_the_shell_ends_too(self, ctr: DockerContainerHost) -> None:
        assert ctr.start("while :; do sleep 60; done").stop(grace=30).retcode == 143

    def test_what_is_no_signal_is_refused(self, ctr: DockerContainerHost) -> None:
        with ctr.start("sleep 60") as process, pytest.raises(ConfigError, match="name of a signal"):
            process.stop("term; rm")

    def test_one_that_waits_for_its_reader_can_be_stopped(self, unix_host: UnixHost) -> None:
        process = unix_host.start(COUNTER)
        until(lambda: len(process.output) >= UNREAD_BYTES, 20, "nobody reads")
        assert process.stop(grace=30).retcode == 143


class TestLife:
    @pytest.mark.parametrize("owner", ["host", "parent"])
    def test_it_ends_with_its_host_and_with_the_parent(
        self, make_unix_host: Callable[..., UnixHost], container_host: MakeHost, container: MakeContainer, owner: str
    ) -> None:
        made = container("busybox")
        parent = make_unix_host()
        host = container_host(made, parent)
        process = host.start("sleep 9013")
        idle = host.start(COUNTER)
        {"host": host, "parent": parent}[owner].close()
        result = process.wait(timeout=10)
        assert (result.retcode, result.status) == (None, Status.ERROR)
        assert ("the host was closed" in result.message) == (owner == "host")
        idle.wait(timeout=10)
        until(lambda: not running(made, "9013"), 10, "it is gone")
        assert process_threads() == []
        assert host.start("echo again").wait(timeout=10).output == "again\n"

    def test_what_keeps_it_from_starting_is_raised(self, container_host: MakeHost, container: MakeContainer) -> None:
        made = container("busybox")
        made.docker("stop", "--time", "0", made.id)
        with pytest.raises(ContainerNotRunning):
            container_host(made).start("true")
        assert process_threads() == []

    def test_environment_directory_and_user_are_those_of_the_call(self, ctr: DockerContainerHost) -> None:
        process = ctr.start("echo $A; pwd; id -u", env={"A": "a b"}, workdir="/tmp", user="1000")
        assert list(process.lines()) == ["a b", "/tmp", "1000"]
        with pytest.raises(ConfigError, match="no user"):
            ctr.start("true", user="nobody-of-this-name")

    def test_a_block_stops_it(self) -> None:
        with LocalHost() as host:
            with host.start(["sleep", "9014"]) as process:
                until(lambda: on_this_machine("sleep 9014"), 10, "it runs")
            assert not process.running
            assert not on_this_machine("sleep 9014")
            with pytest.raises(ConfigError, match="not a valid command"):
                host.start(5)  # type: ignore[arg-type]
            with pytest.raises(ConfigError, match="stdout"):
                process.lines("out")  # type: ignore[arg-type]
