"""What the tests of violence look at, and wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from otto_docker_sync._sandbox.processes import pids
from tests.rig.containers import Container, arguments

if TYPE_CHECKING:
    from otto_docker_sync import DockerContainerHost

Value = TypeVar("Value")


def until(condition: Callable[[], object], within: float, what: str) -> None:
    """Wait for `condition`, which must come true in so many seconds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.02)


def running(container: Container, text: str) -> list[str]:
    """The container's living processes that have `text` in their arguments."""
    return [line for line in container.processes().values() if text in line]


def on_this_machine(text: str) -> list[int]:
    """The processes of this machine that have `text` in their arguments."""
    return [pid for pid in pids() if text in arguments(pid)]


def time_to_begin(host: DockerContainerHost) -> float:
    """The seconds after which a oneshot has surely begun, on this machine as busy as it is: one or more."""
    return 1 + 3 * host.oneshot("true").check().duration


class Call(Generic[Value]):
    """A call that goes on in a thread of its own.

    >>> call = Call(lambda: host.run("sleep 30"))
    >>> call.result(within=3)
    """

    def __init__(self, function: Callable[[], Value]) -> None:
        self._function = function
        self._value: list[Value] = []
        self._error: BaseException | None = None
        self._done = Event()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._value.append(self._function())
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def result(self, within: float) -> Value:
        """What it returned; it must end in so many seconds."""
        assert self._done.wait(within), f"did not end within {within} s"
        self._thread.join(5)
        if self._error is not None:
            raise self._error
        return self._value[0]
