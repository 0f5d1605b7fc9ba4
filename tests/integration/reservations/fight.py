"""Processes that fight for a few tags, some of which are killed and stopped at random moments.

Run by the tests with a few processes for some seconds; by hand with more:

    python -m tests.integration.reservations.fight --backend redis --processes 64 --seconds 60
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from otto_docker_sync.deadline import Deadline
from otto_docker_sync.errors import ReservationError
from otto_docker_sync.reservations.backend import Backend, Lease
from otto_docker_sync.reservations.file_backend import FileBackend
from otto_docker_sync.reservations.redis_backend import RedisBackend
from otto_docker_sync.reservations.request import Request
from tests.rig.redis_server import RedisServer

from .history import History, check

TAGS = "abcdefgh"
LONGEST_HOLD = 0.05
PATIENCE = 60.0
"""Seconds in which all requests of processes that live have to end, when nobody is hurt any more."""


def fighter(open_backend: Callable[[], Backend], directory: Path, ttl: float, until: float, seed: int) -> None:
    """One process: request, hold for a moment, release, again and again."""
    dice = random.Random(seed)
    backend = open_backend()
    history = History(directory / "history")
    while time.monotonic() < until:
        tags = tuple(sorted(dice.sample(TAGS, dice.choice([1, 1, 1, 2, 3]))))
        request = Request(uuid.uuid4().hex, (tags,), shared=dice.random() < 0.2, ttl=ttl, pid=os.getpid())
        history.write("begin", request.id, tags=tags, shared=request.shared)
        with suppress(ReservationError):
            lease = backend.submit(request, Deadline.after(None))
            history.write("enter", request.id)
            lease.wait(Deadline.after(None))
            hold(history, directory, lease, time.monotonic() + dice.uniform(0, LONGEST_HOLD))
            lease.release()
    history.close()
    backend.close()


def hold(history: History, directory: Path, lease: Lease, until: float) -> None:
    """Hold the tags, as long as they are ours, with a witness file for each."""
    request = lease.request
    at = time.monotonic()
    if lease.loss():
        history.write("lost", request.id)
        return
    history.write("grant", request.id, at, fence=request.fence)
    witnesses = [] if request.shared else [directory / f"witness-{tag}" for tag in request.tags]
    for witness in witnesses:
        testify(history, witness, lease)
    while True:
        at = time.monotonic()
        if lease.loss():
            history.write("lost", request.id)
            break
        history.write("touch", request.id, at)
        if time.monotonic() >= until:
            history.write("leave", request.id)
            break
        time.sleep(0.002)
    for witness in witnesses:
        with suppress(FileNotFoundError):
            if os.readlink(witness) == request.id:
                witness.unlink()


def testify(history: History, witness: Path, lease: Lease) -> None:
    """Leave a witness of an exclusive hold; write down whose is there already.

    It is a symbolic link to the id of the request: made in one call, so that who is killed here leaves a whole witness
    or none.
    """
    request_id = lease.request.id
    try:
        witness.symlink_to(request_id)
    except FileExistsError:
        with suppress(FileNotFoundError):
            other = os.readlink(witness)
            # Who was stopped on the way here may have lost its hold to the other by right.
            if not lease.loss():
                history.write("clash", request_id, other=other)
        mine = witness.with_suffix(f".{request_id}")
        mine.symlink_to(request_id)
        mine.replace(witness)


def fight(open_backend: Callable[[], Backend], directory: Path, processes: int, seconds: float, ttl: float) -> str:
    """Let them fight. Returns a line about it; raises `AssertionError` with what went wrong."""
    context = multiprocessing.get_context("fork")
    dice = random.Random(1)
    history = History(directory / "history")
    until = time.monotonic() + seconds
    running: list[multiprocessing.process.BaseProcess] = []
    asleep: list[tuple[float, int]] = []
    kills = stops = 0

    def start() -> None:
        arguments = (open_backend, directory, ttl, until, dice.randrange(10**9))
        process = context.Process(target=fighter, args=arguments)
        process.start()
        running.append(process)

    def wake(now: float) -> None:
        for moment, pid in list(asleep):
            if moment <= now:
                asleep.remove((moment, pid))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    for _ in range(processes):
        start()
    while time.monotonic() < until:
        time.sleep(dice.uniform(0, 8 / processes))
        wake(time.monotonic())
        victim = dice.choice(running)
        if victim.pid is None or victim.pid in [pid for _, pid in asleep]:
            continue
        if dice.random() < 0.5:
            history.write("kill", target=victim.pid)
            victim.kill()
            victim.join()
            running.remove(victim)
            kills += 1
            start()
        elif len(asleep) < processes // 8:
            history.write("stop", target=victim.pid)
            os.kill(victim.pid, signal.SIGSTOP)
            asleep.append((time.monotonic() + 2 * ttl, victim.pid))
            stops += 1
    end = time.monotonic() + PATIENCE
    while (alive := [process for process in running if process.is_alive()]) and time.monotonic() < end:
        wake(time.monotonic())
        alive[0].join(0.1)
    stuck = [process.pid for process in running if process.is_alive()]
    for process in running:
        process.kill()
        process.join()
    history.close()
    wrong = check(directory / "history")
    assert not stuck, f"processes {stuck} never ended"
    assert not [process.exitcode for process in running if process.exitcode], "a process failed"
    assert not wrong, "\n".join(wrong[:20])
    free_all(open_backend, ttl)
    grants = (directory / "history").read_text().count('"grant"')
    assert grants > processes, "too few grants to show anything"
    return f"{processes} processes, {seconds:g} s: {grants} grants, {kills} kills, {stops} stops"


def free_all(open_backend: Callable[[], Backend], ttl: float) -> None:
    """Every tag is free at the end: who asks for all of them, and lives, gets them."""
    backend = open_backend()
    request = Request(uuid.uuid4().hex, (tuple(TAGS),), ttl=ttl)
    lease = backend.submit(request, Deadline.after(PATIENCE))
    assert lease.wait(Deadline.after(PATIENCE)), f"not free at the end: {backend.requests()}"
    lease.release()
    assert backend.requests() == []
    backend.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["file", "redis"], default="file")
    parser.add_argument("--server", help="URL of a redis-server that is up; without it, one is started")
    parser.add_argument("--processes", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--ttl", type=float, default=4.0)
    given = parser.parse_args()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = given.server
        if given.backend == "redis" and url is None:
            server = RedisServer(place)
            stack.callback(server.stop)
            url = server.url
        lab = f"fight-{os.getpid()}"

        def open_backend() -> Backend:
            return RedisBackend(url, lab) if given.backend == "redis" else FileBackend(place / "table")

        print(fight(open_backend, place, given.processes, given.seconds, given.ttl))


if __name__ == "__main__":
    main()
