"""KeyboardInterrupt at any moment: the next call works, and keeps to its timeout."""

from __future__ import annotations

import linecache
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import otto_docker_sync

from .scripted import TIMEOUT, Clock, Recording, ScriptedHost, Stage, record

PACKAGE = str(Path(otto_docker_sync.__file__).parent)
COMMAND = "echo one"

Talk = Callable[[ScriptedHost], object]
VERBS: dict[str, Talk] = {
    "run": lambda host: host.run(COMMAND, timeout=TIMEOUT),
    "oneshot": lambda host: host.oneshot(COMMAND, timeout=TIMEOUT),
    "close": lambda host: host.close(),
    "rebuild_connections": lambda host: host.rebuild_connections(),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("otto_docker_sync.deadline.monotonic", clock)
    return clock


@pytest.fixture(scope="module")
def session() -> Recording:
    return record("/bin/dash", lambda host, _: [host.run(COMMAND, timeout=TIMEOUT) for _ in range(3)])


@pytest.fixture(scope="module")
def single() -> Recording:
    return record("/bin/dash", lambda host, _: host.oneshot(COMMAND, timeout=TIMEOUT))


class InterruptAt:
    """Raises KeyboardInterrupt before the given line of the library that runs inside the block.

    A trace function is also called at ``try`` lines, at a ``with`` line when its block is left, and between a call and
    the ``finally`` behind it. The interpreter handles no signal there, so an exception at these places is none that
    could come.
    """

    def __init__(self, number: int) -> None:
        self._left = number
        self._entered: set[tuple[FrameType, int]] = set()
        self.raised = False
        self.place = ""

    def __enter__(self) -> InterruptAt:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and not self._is_safe(frame):
            self._left -= 1
            if self._left == 0:
                self.raised = True
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._line

    def _is_safe(self, frame: FrameType) -> bool:
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if not line.startswith("with "):
            return line in ("try:", "gc.enable()")
        place = frame, frame.f_lineno
        was_entered = place in self._entered
        self._entered.add(place)
        return was_entered


@pytest.mark.parametrize("is_open", [False, True], ids=["not-open", "open"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_next_call_works_after_an_interrupt_at_any_line(
    session: Recording, single: Recording, clock: Clock, verb: str, is_open: bool
) -> None:
    number, raised = 0, True
    while raised:
        number += 1
        stage = Stage("/bin/dash", single if verb == "oneshot" else session, None, clock)
        host = stage.host
        host.default_timeout = TIMEOUT
        if is_open and verb != "oneshot":
            assert host.run(COMMAND, timeout=TIMEOUT).ok
        with InterruptAt(number) as interrupt, suppress(KeyboardInterrupt):
            VERBS[verb](host)
        raised = interrupt.raised
        after = stage.attempt(host.oneshot if verb == "oneshot" else host.run, COMMAND)
        assert getattr(after, "output", "") == "one\n", f"{verb}, interrupted at {interrupt.place}: {after}"
        host.close()  # a channel that nobody refers to any more closes by itself
    assert number > 20, "the verb was not traced"


SIGNALS = """
import random, signal, sys, threading, time
from contextlib import suppress
from otto_docker_sync import LocalHost

def interrupt(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
chance = random.Random(sys.argv[1])
host = LocalHost()
host.run("kept=yes")
started = time.monotonic()
host.run("echo a")
usual = time.monotonic() - started
for number in range(50):
    with suppress(KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 1.5 * usual))
        host.run("echo a")
        signal.setitimer(signal.ITIMER_REAL, 0)
    results = []
    thread = threading.Thread(target=lambda: results.append(host.run("echo after $kept", timeout=5)))
    thread.start()
    thread.join(20)
    assert [result.output for result in results] == ["after yes\\n"], (number, results)
host.close()
print("survived")
"""


@pytest.mark.parametrize("seed", range(10))  # five hundred signals, in parts that several workers may share
def test_another_thread_finds_the_shell_as_it_was_after_a_signal_at_any_microsecond(seed: int) -> None:
    # In a process of its own: what an interrupt leaves open inside `subprocess` itself goes with it.
    argv = [sys.executable, "-c", SIGNALS, str(seed)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "survived\n", done.stderr[-2000:]
