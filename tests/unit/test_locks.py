"""Locks whose holder may be gone."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from otto_docker_sync import locks

LOOK = """
import faulthandler, gc, sys, threading, time
from otto_docker_sync.locks import Holder

class Garbage:
    def __init__(self):
        self.me = self
    def __del__(self):
        time.sleep(0)  # lets another thread run

def start_threads():
    while not looked.is_set():
        thread = threading.Thread(target=str)
        thread.start()
        thread.join()

def look():
    for _ in range(500):
        Garbage()
        assert not main.is_gone()

faulthandler.dump_traceback_later(60, exit=True)
gc.set_threshold(50)
main = Holder.of(sys._getframe())
looked = threading.Event()
starting = [threading.Thread(target=start_threads) for _ in range(3)]
looking = [threading.Thread(target=look) for _ in range(3)]
for thread in starting + looking:
    thread.start()
for thread in looking:
    thread.join()
looked.set()
for thread in starting:
    thread.join()
print("survived", gc.isenabled())
"""


def test_a_look_at_the_holder_survives_garbage_collections_and_new_threads() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "survived True\n", done.stderr[-2000:]


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_holder_whose_generator_yields_during_the_look_still_holds(
    monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    """And one that has ended is found to be gone by the next look."""
    holders: list[locks.Holder] = []
    inside, looked, yielded, ended = (threading.Event() for _ in range(4))

    def generator() -> Iterator[None]:
        inside.set()
        looked.wait(20)
        yield

    def hold(values: Iterator[None]) -> None:
        holders.append(locks.Holder.of(sys._getframe()))
        next(values)
        if goes_on:
            yielded.set()
            ended.wait(20)

    def work() -> None:
        hold(generator())
        yielded.set()
        ended.wait(20)

    def current_frames() -> dict[int, FrameType]:
        frames = find_frames()
        looked.set()
        assert yielded.wait(20)
        return frames

    find_frames = locks.current_frames
    monkeypatch.setattr(locks, "current_frames", current_frames)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert inside.wait(20)
        assert not holders[0].is_gone()
        assert holders[0].is_gone() is not goes_on
    finally:
        ended.set()
        worker.join(20)
