"""Locks whose holder may be gone."""

from __future__ import annotations

import subprocess
import sys

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
