"""Oneshots on shells that wait in the container: nobody can tell one from a shell that docker has just started."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from otto_docker_sync import ContainerNotRunning, DockerContainerHost, LocalHost
from otto_docker_sync._shell import spares
from tests.faults.helpers import Call, running, until
from tests.rig.containers import Container

MakeContainer = Callable[..., Container]
MakeHost = Callable[..., DockerContainerHost]

IS_WARM = "while read -r line; do case $line in *spare*) echo warm; break ;; esac; done </proc/$PPID/cmdline"

SHOW_ALL = """
show() { while read -r line; do echo "$line"; done <"$1"; }
pwd; umask; set -o; trap; export -p; echo "$# $- ${0##*/} ${SHLVL-}"
for file in /proc/$$/fd/*; do echo "fd ${file##*/}"; done
[ /proc/$$/fd/0 -ef /dev/null ] && echo stdin is empty
show /proc/$$/limits; show /proc/$$/cgroup; show /proc/$$/oom_score_adj
while read -r name value; do
    case $name in
    Sig* | Shd* | Groups: | Uid: | Gid: | Cap* | NoNewPrivs: | Seccomp: | Umask: | Cpus_allowed:) echo "$name $value" ;;
    esac
done </proc/$$/status
read -r line </proc/$$/stat
set -- ${line##*) }
[ "$3" = "$4" ] && echo leads its session || echo does not lead its session
echo "nice ${17}"
"""
"""All that a shell can see of itself, by built-ins and /proc alone."""


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes its time until a spare is ready again; then it must be used."""
    monkeypatch.setattr(spares, "SPARE_WAIT", 30.0)


def is_warm(host: DockerContainerHost) -> bool:
    return host.oneshot(IS_WARM, timeout=30).check().output == "warm\n"


def warm_up(host: DockerContainerHost) -> None:
    until(lambda: is_warm(host), 30, "a spare is ready")


def spare_shells(container: Container) -> set[int]:
    """The sessions of the spares in it: what a spare forks looks like itself, until it becomes another program."""
    found = set()
    for pid, line in container.processes().items():
        if spares.SHOWN_AS in line:
            with suppress(ProcessLookupError):
                found.add(os.getsid(pid))
    return found


@pytest.fixture
def crowded(container: MakeContainer) -> Callable[[], Container]:
    """Start a container in which so many processes run that a shell needs help to read about all of them."""
    program = "i=0; while [ $i -lt 60 ]; do sleep 2147 & i=$((i + 1)); done; exec sleep 2147483"

    def make() -> Container:
        made = container("busybox", command=("sh", "-c", program))
        until(lambda: len(made.processes()) == 60, 20, "its processes run")
        return made

    return make


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["busybox", "dash", "bash", "crowded"])
def test_a_spare_shell_is_like_a_new_one_also_after_it_was_used(
    kind: str,
    container_host: MakeHost,
    shared_container: Callable[[str], Container],
    crowded: Callable[[], Container],
) -> None:
    container = crowded() if kind == "crowded" else shared_container(kind)
    options = {"env": {"GIVEN": "it's\ntwo lines"}, "user": "1000", "workdir": "/tmp"}
    cold, warm = container_host(container, **options), container_host(container, warm=1, **options)

    def seen(host: DockerContainerHost) -> str:
        output = host.oneshot(SHOW_ALL, timeout=30).check().output
        output = re.sub(r"(OTTO_TAG=.?)\w{16}", r"\1NONCE", output)
        return re.sub(r"SigQ:\t\d+", "SigQ:", output)  # the signals that wait for any process of this user

    expected = seen(cold)
    assert "Max open files" in expected and "GIVEN" in expected and "stdin is empty" in expected
    warm_up(warm)
    for spoiler in (
        ":",
        "cd /; umask 0; set -e; trap '' TERM INT; export A=b; ulimit -n 20; exec 7</dev/null",
        "kill -9 $$",
    ):
        assert seen(warm) == expected
        warm.oneshot(spoiler, timeout=30)
        assert is_warm(warm)
    assert warm.oneshot("echo $A$GIVEN", env={"A": "a ", "GIVEN": "b"}).output == "a b\n"
    assert warm.oneshot("echo $A$GIVEN").output == "it's two lines\n"
    assert warm.oneshot(["sh", "-c", 'echo "$1|$2"', "sh", "a b", "$c"]).output == "a b|$c\n"
    assert warm.oneshot("echo out; echo err >&2; exit 7").stderr == "err\n"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["busybox", "crowded"])
def test_many_in_a_row_are_served_by_the_same_spares(
    kind: str,
    container_host: MakeHost,
    shared_container: Callable[[str], Container],
    crowded: Callable[[], Container],
) -> None:
    container = crowded() if kind == "crowded" else shared_container(kind)
    host = container_host(container, warm=2)
    warm_up(host)
    parents = {host.oneshot("echo $PPID", timeout=30).output for _ in range(50)}
    assert len(parents) <= 2 and len(spare_shells(container)) <= 2
    host.close()
    until(lambda: not spare_shells(container), 10, "spares end with their host")
    assert not is_warm(host)  # used after close, it starts new ones


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("program", ["true", "while [ -e /busy ]; do (exec true); done"], ids=["started", "forks"])
def test_what_docker_starts_is_not_taken_for_something_left(
    container_host: MakeHost, shared_container: Callable[[str], Container], program: str
) -> None:
    container = shared_container("busybox")
    host = container_host(container, warm=1)
    warm_up(host)
    container.exec("touch", "/busy")
    done = threading.Event()

    def start_others() -> None:
        while not done.is_set():
            container.exec("sh", "-c", program)

    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(start_others)
        try:
            parents = {host.oneshot("echo $PPID", timeout=30).output for _ in range(100)}
        finally:
            done.set()
            container.exec("rm", "/busy")
        others.result()
    assert len(parents) == 1


def test_calls_beyond_the_spares_start_a_shell_as_ever(
    container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    host = container_host(shared_container("busybox"), warm=1)
    warm_up(host)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda number: host.oneshot(f"sleep 0.3; echo {number}", timeout=60), range(12)))
    assert [result.output for result in results] == [f"{number}\n" for number in range(12)]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("leave", "is_crowded"),
    [
        ("{seconds} &", False),
        ("{seconds} &", True),
        ("{seconds} >/dev/null 2>&1 &", False),
        ("setsid {seconds} >/dev/null 2>&1 </dev/null &", False),
        ("setsid {seconds} >/dev/null 2>&1 </dev/null &", True),
        ("env -i setsid {seconds} &", False),
        ("env -i A=b setsid {seconds} &", False),
        ("setsid sh -c '(trap \"\" HUP; {seconds}) &'", False),
    ],
)
def test_what_a_oneshot_leaves_behind_goes_on_and_its_shell_is_not_used_again(
    leave: str,
    is_crowded: bool,
    container_host: MakeHost,
    shared_container: Callable[[str], Container],
    crowded: Callable[[], Container],
) -> None:
    container = crowded() if is_crowded else shared_container("busybox")
    host = container_host(container, warm=1)
    warm_up(host)
    seconds = f"sleep 9{time.monotonic_ns()}"
    used = host.oneshot(
        f"{leave.format(seconds=seconds)} echo $PPID; until grep -q '{seconds[6:]}' /proc/[0-9]*/cmdline; do :; done"
    ).output
    try:
        until(lambda: host.oneshot("echo $PPID").output != used and is_warm(host), 30, "another spare is there")
        host.close()
        assert running(container, seconds)
    finally:
        for pid, arguments in container.processes().items():
            if seconds in arguments:
                os.kill(int(pid), signal.SIGKILL)


@pytest.mark.usefixtures("patient")
def test_output_of_an_earlier_oneshot_is_not_that_of_a_later_one(
    container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    host = container_host(shared_container("busybox"), warm=1)
    warm_up(host)
    result = host.oneshot("(i=0; while [ $i -lt 50 ]; do echo late; sleep 0.02; i=$((i+1)); done) & echo out")
    assert "out\n" in result.output
    for _ in range(10):
        assert host.oneshot("echo mine").output == "mine\n"


def test_a_oneshot_that_hurts_its_shell_hurts_nobody_else(
    container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container("busybox")
    host = container_host(container, warm=1)
    for hurt in ("kill -9 $PPID", "kill -9 0"):
        warm_up(host)
        assert not host.oneshot(f"{hurt}; sleep 5", timeout=30).ok
        assert host.oneshot("echo well", timeout=30).output == "well\n"


@pytest.mark.parametrize("kind", ["busybox", "dash", "bash"])
def test_a_oneshot_that_is_out_of_time_leaves_nothing_and_the_next_one_works(
    kind: str, container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container(kind)
    host = container_host(container, warm=1)
    for _ in range(2):
        warm_up(host)
        seconds = f"sleep 9{time.monotonic_ns()}"
        result = host.oneshot(f"trap '' TERM INT HUP; echo begun; {seconds} & {seconds}", timeout=2)
        assert (result.timed_out, result.retcode, result.output) == (True, None, "begun\n")
        until(lambda: not running(container, seconds), 10, "the command has ended")  # noqa: B023
    assert host.oneshot("echo ok", timeout=30).output == "ok\n"


def test_close_ends_a_oneshot_that_runs(container_host: MakeHost, shared_container: Callable[[str], Container]) -> None:
    container = shared_container("busybox")
    host = container_host(container, warm=1)
    warm_up(host)
    before = host.oneshot("echo $PPID")
    seconds = f"sleep 9{time.monotonic_ns()}"
    call = Call(lambda: host.oneshot(seconds))
    until(lambda: running(container, seconds), 20, "it runs")
    host.close()
    assert call.result(20).retcode is None and before.ok
    until(lambda: not running(container, seconds) and not spare_shells(container), 10, "all has ended")


def test_a_container_that_was_stopped_and_started_is_served_again(
    container_host: MakeHost, container: Callable[..., Container]
) -> None:
    made = container("busybox")
    host = container_host(made, warm=2)
    warm_up(host)
    made.docker("stop", made.id)
    with pytest.raises(ContainerNotRunning):
        host.oneshot("true", timeout=30)
    made.docker("start", made.id)
    assert host.oneshot("echo again", timeout=30).output == "again\n"
    warm_up(host)


def test_a_container_that_is_paused_is_named(
    container_host: MakeHost, container: Callable[..., Container], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "SPARE_BEGIN", 1.0)
    made = container("busybox")
    host = container_host(made, warm=1)
    warm_up(host)
    made.docker("pause", made.id)
    try:
        result = host.oneshot("touch /never", timeout=30)
        assert result.retcode is None and "paused" in result.message
        with pytest.raises(ContainerNotRunning, match="paused"):
            host.oneshot("touch /never", timeout=30)
    finally:
        made.docker("unpause", made.id)
    assert host.oneshot("echo on", timeout=30).output == "on\n"


def test_a_call_with_a_user_or_an_input_of_its_own_has_them(
    container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    host = container_host(shared_container("busybox"), warm=1)
    warm_up(host)
    assert host.oneshot("id -un; pwd", user="tester", workdir="/etc").output == "tester\n/etc\n"
    assert host.oneshot("cat", input="given").output == "given"
    assert host.oneshot("id -un; cat").output == "root\n"


def test_a_parent_without_ssh_has_spares_too(shared_container: Callable[[str], Container]) -> None:
    container = shared_container("busybox")
    with LocalHost() as parent, parent.container(container.id, warm=1) as host:
        warm_up(host)
    until(lambda: not spare_shells(container), 10, "spares end with their host")
