"""More output than anybody asked for, and more calls than a server takes."""

from __future__ import annotations

import hashlib
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from otto_docker_sync.errors import ConnectError, OttoError
from tests.rig.containers import Container
from tests.rig.sshd import Sshd

from .helpers import Call, running, time_to_begin, until

if TYPE_CHECKING:
    from otto_docker_sync import DockerContainerHost, UnixHost

MakeHost = Callable[..., "DockerContainerHost"]
MakeUnixHost = Callable[..., "UnixHost"]

MB = 1_000_000


@pytest.mark.parametrize("kind", ["busybox", "bash"])
def test_an_endless_flood_ends_in_time_and_the_next_output_is_its_own(
    kind: str, container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container(kind)
    host = container_host(container)
    for verb in (host.run, host.oneshot):
        assert verb("KEPT=yes", timeout=10).ok
        timeout = time_to_begin(host)
        began = time.monotonic()
        result = verb("yes flood", timeout=timeout)
        assert result.timed_out and result.output.startswith("flood\nflood\n")
        assert time.monotonic() - began < timeout + 3
        until(lambda: not running(container, "yes flood"), 2, "the flood is over")
        assert verb("echo ok", timeout=5).output == "ok\n"
    assert host.run("echo $KEPT", timeout=5).output == "yes\n"


def test_a_flood_that_nobody_reads_in_time_is_dropped_and_not_mixed_into_what_follows(
    ctr: DockerContainerHost,
) -> None:
    ctr.sendline("yes flood")
    ctr.expect("flood\nflood\n")
    ctr.open_session("default").interrupt()
    assert ctr.run("echo ok", timeout=10).output == "ok\n"


def test_much_on_stderr_does_not_stop_what_is_on_stdout(ctr: DockerContainerHost) -> None:
    result = ctr.oneshot("head -c 5000000 /dev/zero | tr '\\0' e >&2; echo done", timeout=30)
    assert result.stdout == "done\n"
    assert result.stderr is not None and len(result.stderr) == 5 * MB


def test_much_on_both_arrives_whole(ctr: DockerContainerHost) -> None:
    both = "head -c 20000000 /dev/zero | tr '\\0' e >&2 & head -c 20000000 /dev/zero | tr '\\0' o; wait; exit 7"
    result = ctr.oneshot(both, timeout=60)
    assert (result.retcode, len(result.output_bytes)) == (7, 40 * MB)
    assert result.stdout is not None and result.stderr is not None
    assert (result.stdout.strip("o"), result.stderr.strip("e")) == ("", "")
    assert len(result.stdout) == len(result.stderr) == 20 * MB


def test_much_output_of_a_session_arrives_whole(ctr: DockerContainerHost) -> None:
    lines = b"".join(b"%d\n" % number for number in range(1, 200_001))
    result = ctr.run("seq 1 200000", timeout=60)
    assert hashlib.sha256(result.output_bytes).digest() == hashlib.sha256(lines).digest()


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_memory_stays_small_where_a_sink_takes_the_output(unix_host: UnixHost, verb: str) -> None:
    call = getattr(unix_host, verb)
    assert call("echo ok", timeout=10).ok
    sizes: list[int] = []
    tracemalloc.start()
    try:
        result = call("yes 0123456789 | head -c 11000000", timeout=60, on_output=lambda text: sizes.append(len(text)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.ok and sum(sizes) == 11 * MB
    assert peak < 8 * MB, peak
    assert 0 < len(result.output) <= 3 * MB and "on_output" in result.message


def test_a_prompt_behind_much_output_is_found(ctr: DockerContainerHost) -> None:
    result = ctr.run(
        "seq 1 100000; printf 'name: '; read name; echo dear $name", expects={"name: ": "ann\n"}, timeout=30
    )
    assert result.output.endswith("100000\nname: dear ann\n")


def test_expect_finds_what_comes_behind_20_mb(unix_host: UnixHost) -> None:
    unix_host.sendline("yes 0123456789 | head -c 20000000; echo DONE")
    assert len(unix_host.expect(r"DONE\n", timeout=60)) >= 20 * MB


def test_input_that_nobody_reads_does_not_deadlock(ctr: DockerContainerHost) -> None:
    with ctr.open_session("echo") as session:
        session.sendline("cat")
        lines = "".join(f"{number:08d}\n" for number in range(100_000))
        session.send(lines)
        assert session.expect("00099999\n", timeout=30).count("\n") >= 1
        session.interrupt()


def test_thirty_oneshots_at_once_on_a_stock_server(ctr: DockerContainerHost) -> None:
    calls = [Call(lambda number=number: ctr.oneshot(f"echo {number}", timeout=60)) for number in range(30)]  # type: ignore[misc]
    assert [call.result(70).stdout for call in calls] == [f"{number}\n" for number in range(30)]


def test_two_hundred_sessions_on_a_stock_server(unix_host: UnixHost) -> None:
    def use(numbers: range) -> list[str]:
        return [
            unix_host.open_session(f"s{number}").run(f"echo $((N={number}))", timeout=60).output for number in numbers
        ]

    began = [Call(lambda start=start: use(range(start, start + 25))) for start in range(0, 200, 25)]  # type: ignore[misc]
    outputs = [output for call in began for output in call.result(90)]
    assert outputs == [f"{number}\n" for number in range(200)]
    again = [unix_host.open_session(f"s{number}").run("echo $N", timeout=10).output for number in range(0, 200, 20)]
    assert again == [f"{number}\n" for number in range(0, 200, 20)]


def test_a_server_with_one_session_a_connection_serves_several(
    make_sshd: Callable[..., Sshd],
    make_unix_host: MakeUnixHost,
    container_host: MakeHost,
    shared_container: Callable[[str], Container],
) -> None:
    host = container_host(shared_container("busybox"), make_unix_host(make_sshd(MaxSessions="1")))
    assert host.run("X=1; echo ok", timeout=20).output == "ok\n"
    assert host.oneshot("echo ok", timeout=20).stdout == "ok\n"
    assert host.run("echo $X", timeout=20).output == "1\n"


def test_when_no_more_connections_may_be_opened_a_call_waits_and_then_says_why(
    make_sshd: Callable[..., Sshd], make_unix_host: MakeUnixHost
) -> None:
    host = make_unix_host(make_sshd(MaxSessions="1"), ssh={"max_connections": 1})
    busy = Call(lambda: host.oneshot("sleep 1.5; echo first", timeout=20))
    until(lambda: host.connections.describe().get("sessions") == 1, 10, "the one session is in use")
    began = time.monotonic()
    with pytest.raises(ConnectError, match="max_connections"):
        host.oneshot("echo second", timeout=0.3)
    assert time.monotonic() - began < 2
    assert host.oneshot("echo third", timeout=20).stdout == "third\n"
    assert busy.result(5).stdout == "first\n"


def test_a_server_that_refuses_some_connections_at_random_is_asked_again(
    make_sshd: Callable[..., Sshd], make_unix_host: MakeUnixHost
) -> None:
    sshd = make_sshd(MaxStartups="2:70:4", LoginGraceTime="20")
    hosts = [make_unix_host(sshd, id=f"h{number}") for number in range(8)]
    calls = [Call(lambda host=host: host.oneshot("echo ok", timeout=40)) for host in hosts]  # type: ignore[misc]
    assert [call.result(50).stdout for call in calls] == ["ok\n"] * 8


def test_a_hundred_calls_one_after_the_other_are_not_refused(unix_host: UnixHost) -> None:
    unix_host.oneshot(":", timeout=10)
    for number in range(100):
        assert unix_host.oneshot(f"echo {number}", timeout=10).stdout == f"{number}\n"
    assert unix_host.connections.describe()["connections"] == 1


def test_a_full_disk_of_the_container_is_an_ordinary_failure(
    container: Callable[..., Container], container_host: MakeHost
) -> None:
    host = container_host(container("busybox", "--read-only", "--tmpfs", "/tm:size=64k"))
    assert host.run("head -c 100000 /dev/zero >/tm/full", timeout=10).failed
    for verb in (host.run, host.oneshot):
        result = verb("echo more >>/tm/full2; cat <<EOF\nheredoc\nEOF\necho ok", timeout=10)
        # Apart, the two streams arrive in no certain order.
        assert "heredoc\nok\n" in result.stdout and "No space left" in result.output, result
    assert host.run("sleep 9", timeout=0.3).timed_out
    assert host.run("echo ok", timeout=5).output == "ok\n"


def test_many_threads_on_one_shell_and_on_many_never_mix(ctr: DockerContainerHost) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(6):
                text = f"{number}-{step}"
                assert ctr.run(f"echo {text}", timeout=60).output == f"{text}\n"
                if number % 5 == 0:
                    assert (
                        ctr.open_session(f"own{number}").run(f"echo own {text}", timeout=60).output == f"own {text}\n"
                    )
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not errors and not any(thread.is_alive() for thread in threads)


def test_a_session_that_another_thread_holds_is_told_with_its_holder(ctr: DockerContainerHost) -> None:
    busy = Call(lambda: ctr.run("sleep 1.5", timeout=10))
    until(lambda: ctr.open_session("default")._own._lock.is_held, 5, "the session is taken")
    with pytest.raises(OttoError, match=r"sleep 1\.5"):
        ctr.run("echo ok", timeout=0.2)
    assert busy.result(10).ok
