"""What arrives in small pieces, on many threads, does not make the process grow; nor does output that was dropped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIZE, PIECES, THREADS, KEPT = 600, 1000, 24, 10
PROGRAM = f"""
import socket, threading
from otto_docker_sync.deadline import Deadline
from otto_docker_sync._channel.local import LocalChannel
from otto_docker_sync.limits import SSH_SOCKET_READ
from otto_docker_sync._channel.tcp import SocketStream
from tests.rig.memory import heap_size

def connection():
    near, far = socket.socketpair()
    stream = SocketStream(near)
    return far.sendall, lambda: stream.receive(SSH_SOCKET_READ, 5)

def process():
    channel = LocalChannel(["cat"])
    return lambda data: channel.write(data, Deadline.after(5)), lambda: channel.read(Deadline.after(5)).out

def receive(kind, kept):
    send, take = kind()
    for number in range({PIECES}):
        send(bytes({SIZE}))
        data = take()
        if number % {KEPT} == 0:
            kept.append(data)

def grown(kind):
    kept = [[] for _ in range({THREADS})]
    threads = [threading.Thread(target=receive, args=(kind, each)) for each in kept]
    before = heap_size()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heap_size() - before
"""


@pytest.mark.parametrize("kind", ["connection", "process"])
def test_small_pieces_take_little_room(kind: str) -> None:
    root = Path(__file__).parents[2]
    program = f"{PROGRAM}\nprint(grown({kind}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept = SIZE * PIECES * THREADS // KEPT
    assert int(done.stdout) < 5 * kept, f"{done.stdout} bytes for {kept} that are kept"


MUCH = 50_000_000  # more than the allocator keeps for later: 32 MB
LARGE_OUTPUT = f"""
import gc, sys, tracemalloc
from otto_docker_sync import LocalHost
from tests.rig.memory import heap_size

with LocalHost() as host:
    call = getattr(host, sys.argv[1])
    assert call("yes 0123456789 | head -c 1000000", timeout=50).ok
    before = heap_size()
    tracemalloc.start()
    result = call("yes 0123456789 | head -c {MUCH}", timeout=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(result.output) == len(result.output_bytes) == {MUCH}
    del result
    gc.collect()
    print(peak, heap_size() - before)
"""


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_much_output_takes_twice_its_size_and_is_given_back(verb: str) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", LARGE_OUTPUT, verb]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak, left = map(int, done.stdout.split())
    assert peak < 2.2 * MUCH and left < MUCH / 10, (peak, left)
