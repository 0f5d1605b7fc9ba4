"""A signal that another thread takes does not wake the main thread: the wait notices it all the same.

The same happens to a signal that arrives between Python's last look for signals and the system call that waits.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from otto_docker_sync import Host, LocalHost, UnixHost
from otto_docker_sync._channel.descriptors import select
from otto_docker_sync.locks import Monitor, Signal

from .helpers import until

NEVER = "echo begun; sleep 9001"
WAITS: dict[str, Callable[[Host, Callable[[str], None]], object]] = {
    "run": lambda host, see: host.run(NEVER, on_output=see),
    "oneshot": lambda host, see: host.oneshot(NEVER, on_output=see),
    "wait": lambda host, see: see("") or host.start(NEVER).wait(),
}


def wait_for_change() -> None:
    monitor = Monitor()
    with monitor.lock:
        monitor.wait(None)


WAITS_IN_THE_SYSTEM: dict[str, Callable[[], object]] = {
    "a signal": lambda: Signal().wait(),
    "a monitor": wait_for_change,
    "descriptors": lambda: select(None, []),
}


def state_of(thread_id: int) -> str:
    return Path(f"/proc/self/task/{thread_id}/stat").read_text().rpartition(") ")[2][0]


def interrupted(wait: Callable[[Callable[[str], None]], object]) -> None:
    """Call `wait` in the main thread, and let another thread take a SIGINT once it waits."""
    begun: Future[None] = Future()
    main = threading.main_thread().native_id
    assert main is not None

    def interrupt() -> None:
        begun.result(30)
        until(lambda: state_of(main) == "S", 30, "the main thread waits")
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            wait(lambda _: begun.done() or begun.set_result(None))
    finally:
        other.join()


@pytest.mark.parametrize("verb", WAITS)
@pytest.mark.timeout(60)
def test_this_machine(verb: str) -> None:
    with LocalHost() as host:
        interrupted(lambda see: WAITS[verb](host, see))
        assert host.oneshot("echo after", timeout=10).output == "after\n"


@pytest.mark.parametrize("verb", WAITS)
@pytest.mark.timeout(60)
def test_a_machine_over_ssh(verb: str, unix_host: UnixHost) -> None:
    interrupted(lambda see: WAITS[verb](unix_host, see))
    assert unix_host.run("echo after", timeout=10).output == "after\n"


@pytest.mark.parametrize("what", WAITS_IN_THE_SYSTEM)
@pytest.mark.timeout(60)
def test_all_that_waits_in_the_system(what: str) -> None:
    interrupted(lambda see: see("") or WAITS_IN_THE_SYSTEM[what]())
