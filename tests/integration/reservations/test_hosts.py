"""Reservations and the verbs of hosts: required, lost, interrupted, and fences on the host itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from otto_docker_sync import Lab, LocalHost, ReservationError, ReservationLost, ReservationOptions, Status
from otto_docker_sync.reservations.registry import registry
from tests.faults.helpers import until
from tests.rig.containers import arguments, processes_in


@pytest.fixture(autouse=True)
def own_table(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def lab_of() -> Iterator[Callable[..., Lab]]:
    """Make a lab of hosts; closed after the test."""
    with ExitStack() as stack:

        def make(*hosts, required: bool = False, **options) -> Lab:
            lab = Lab("bench", hosts, reservations=ReservationOptions(required=required, **options))
            stack.callback(lab.close)
            return lab

        yield make


@pytest.fixture
def local() -> LocalHost:
    return LocalHost(id="here", resources={"here"})


def take_away(tag: str = "here") -> None:
    """Take a hold away as another process does."""
    with Lab("bench", [LocalHost(id="other", resources={tag})]) as other:
        other.reservations.force([tag], "needed")


def test_what_is_required_is_asked_for_at_every_verb(lab_of, local):
    lab = lab_of(local, required=True)
    for verb in (
        lambda: local.oneshot("id"),
        lambda: local.run("id"),
        lambda: local.send("id\n"),
        lambda: local.expect("x", timeout=1),
        lambda: local.put(__file__, "/tmp"),
        lambda: local.get("/etc/hostname", "/tmp/nowhere"),
        lambda: local.open_session("x").run("id"),
        lambda: local.interact(),
    ):
        with pytest.raises(ReservationError, match="requires a reservation, and this process does not hold here"):
            verb()
    with lab.reserve("here"):
        assert local.run("echo ok").output == "ok\n"
        assert local.oneshot("echo ok").ok
    with pytest.raises(ReservationError):
        local.oneshot("id")


def test_a_shared_hold_will_do(lab_of, local):
    lab = lab_of(local, required=True)
    with lab.reserve("here", shared=True):
        assert local.oneshot("echo ok").ok


def test_a_host_without_tags_needs_none(lab_of):
    lab_of(LocalHost(id="free"), required=True).get("free").oneshot("true", check=True)


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_a_loss_interrupts_what_runs_and_the_next_verb_says_who_and_why(lab_of, local, verb, tmp_path):
    lab = lab_of(local)
    started = tmp_path / "started"
    os.mkfifo(started)
    with lab.reserve("here"):
        results = []
        running = threading.Thread(
            target=lambda: results.append(getattr(local, verb)(f"echo x >{started}; sleep 600"))
        )
        running.start()
        started.read_text()
        take_away()
        running.join(20)
        (result,) = results
        assert result.status is Status.ERROR
        assert "the reservation of here" in result.message and "needed" in result.message
        with pytest.raises(ReservationLost, match=r"taken away by \S+@\S+, process \d+: needed"):
            getattr(local, verb)("echo no")
    assert local.oneshot("echo ok").output == "ok\n"


def test_the_interruption_says_why_before_any_thread_has_noticed(lab_of, local):
    with lab_of(local).reserve("here") as reservation:
        reservation._stop.set()  # the thread that would notice
        reservation._thread.join(20)
        take_away()
        assert reservation.interruption.cancelled
        assert "needed" in reservation.interruption.reason


def test_a_loss_ends_an_expect(lab_of, local):
    lab = lab_of(local)
    with lab.reserve("here"):
        local.send("cat\n")
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                local.expect("never", timeout=600)
            except BaseException as error:
                errors.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        take_away()
        waiting.join(20)
        assert isinstance(errors[0], ReservationLost)


def test_all_that_is_started_carries_the_fence(lab_of, local, tmp_path):
    lab = lab_of(local)
    with lab.reserve("here") as reservation:
        seen = [local.oneshot("echo $OTTO_LEASE").output, local.run("echo $OTTO_LEASE").output]
    assert all(f":{reservation.fence}:x,;" in text for text in seen)
    assert local.oneshot("echo $OTTO_LEASE").output == "\n"


def test_a_shell_from_before_the_reservation_is_replaced_and_the_result_says_so(lab_of, local):
    lab = lab_of(local)
    local.run("x=1")
    with lab.reserve("here"):
        result = local.run("echo ${x-none}")
        assert (result.output, result.new_session) == ("none\n", True)
        local.run("x=2")
        assert local.run("echo $x").output == "2\n"
    assert local.run("echo $x").output == "2\n"


def test_a_new_holder_ends_what_runs_under_an_older_fence(lab_of, container, container_host, shell_kind):
    made = container(shell_kind)
    host = container_host(made, resources={"ctr"})
    lab = lab_of(host)

    def sleeping() -> set[str]:
        found = [arguments(pid).split() for pid in processes_in({made.namespace})]
        return {words[1] for words in found if words[:1] == ["sleep"] and words[1].startswith("61")}

    with lab.reserve("ctr"):
        host.oneshot("sleep 611 >/dev/null 2>&1 & (setsid sleep 612 2>&1 >/dev/null || sleep 612) >&2 &", check=True)
        host.run("sleep 613 &")
        host.run("while :; do sleep 619; done &")
    host.oneshot("sleep 614 >/dev/null 2>&1 &", check=True)
    until(lambda: sleeping() == {"611", "612", "613", "614", "619"}, 10, "all run")
    with lab.reserve("ctr"):
        host.oneshot("sleep 615 >/dev/null 2>&1 &", check=True)
        # A oneshot may be back before what it started in the background has become `sleep`.
        until(lambda: sleeping() == {"614", "615"}, 10, "what carries no fence is spared")
        host.oneshot("true", check=True)
        assert sleeping() == {"614", "615"}


ELSEWHERE = """
from otto_docker_sync import Lab, LocalHost
with Lab("bench", [LocalHost(id="here", resources={"here"})]) as lab, lab.reserve("here"):
    lab.get("here").oneshot("true").check()
"""


def test_who_reserves_elsewhere_is_spared(lab_of, local, tmp_path):
    """Two tables of one name: of two directories, or of two machines that use the same hosts."""
    lab_of(local).reserve("here")
    results = []
    started, end = tmp_path / "started", tmp_path / "end"
    os.mkfifo(started)
    command = f"echo x >{started}; until [ -e {end} ]; do sleep 0.1; done"
    running = threading.Thread(target=lambda: results.append(local.oneshot(command)))
    running.start()
    started.read_text()
    elsewhere = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    subprocess.run([sys.executable, "-c", ELSEWHERE], env=elsewhere, check=True)
    end.touch()
    running.join(20)
    assert results[0].ok


def test_sharers_spare_each_other(lab_of, local):
    lab = lab_of(local)
    with lab.reserve("here", shared=True) as first:
        local.oneshot("sleep 621 >/dev/null 2>&1 &", check=True)
        registry.remove(first)
        with lab.reserve("here", shared=True):
            assert local.oneshot("pgrep -f 'sleep 621'").ok
    with lab.reserve("here"):
        assert not local.oneshot("pgrep -x -f 'sleep 621'").ok


HOLDER = """
import sys
from otto_docker_sync import Lab, LocalHost, ReservationLost, ReservationOptions
from pathlib import Path

backend, witness = sys.argv[1:]
host = LocalHost(id="here", resources={"here"})
with Lab("bench", [host], reservations=ReservationOptions(backend, ttl=3.0)) as lab:
    with lab.reserve("here") as reservation:
        try:
            for number in range(10**9):
                host.oneshot(f"echo {number} >>{witness}")
                host.run(f"echo {number} >>{witness}")
                print(number, flush=True)
        except ReservationLost as lost:
            print("lost:", lost, flush=True)
"""


def test_a_stopped_process_does_not_get_a_byte_in(redis_server, lab_of, local, tmp_path):
    witness = tmp_path / "witness"
    argv = [sys.executable, "-c", HOLDER, redis_server.url, str(witness)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "5\n":
            pass
        os.kill(process.pid, signal.SIGSTOP)
        lab = lab_of(local, backend=redis_server.url, ttl=3.0)
        with lab.reserve("here", wait=30):
            local.oneshot("true", check=True)  # the first act of the new holder
            before = witness.read_text()
            os.kill(process.pid, signal.SIGCONT)
            assert process.wait(30) == 0
            last = process.stdout.read().splitlines()[-1]
        assert last.startswith("lost: the reservation of here")
        assert witness.read_text() == before
