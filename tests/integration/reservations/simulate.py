"""Many clients and tags against one real Redis server: how many grants, how late, and what it costs the server.

    python -m tests.integration.reservations.simulate --clients 1000 --tags 200 --seconds 60
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import tempfile
import threading
import time
import uuid
from multiprocessing.queues import Queue
from pathlib import Path

from otto_docker_sync.deadline import Deadline
from otto_docker_sync.reservations.redis_backend import RedisBackend
from otto_docker_sync.reservations.request import Request
from tests.rig.redis_server import RedisServer

TTL = 60.0
MEAN_HOLD = 1.0
PROCESSES = 4


Grants = list[tuple[bool, float]]
"""For each grant: whether it had to wait, and seconds from the server's decision until the client knew of it."""


def client(backend: RedisBackend, tags: int, begin: float, until: float, seed: int, grants: Grants) -> None:
    """Request one to three tags, hold them for some time, release, again and again."""
    dice = random.Random(seed)
    time.sleep(max(0.0, begin - time.monotonic()))
    while time.monotonic() < until:
        wanted = tuple(f"tag-{number}" for number in dice.sample(range(tags), dice.choice([1, 1, 2, 3])))
        lease = backend.submit(Request(uuid.uuid4().hex, (wanted,), ttl=TTL, owner="me@here"), Deadline.after(None))
        waited = not lease.request.granted
        if not lease.wait(Deadline.after(max(0.0, until - time.monotonic()))):
            lease.release()
            return
        grants.append((waited, time.time() - lease.request.since))
        hold = min(dice.expovariate(1 / MEAN_HOLD), 5 * MEAN_HOLD)
        time.sleep(max(0.0, min(hold, until - time.monotonic())))
        lease.release()


def clients(url: str, number: int, tags: int, begin: float, until: float, found: Queue[Grants]) -> None:
    """A process with its share of the clients."""
    backend = RedisBackend(url, "simulation")
    grants: Grants = []
    threads = [
        threading.Thread(target=client, args=(backend, tags, begin, until, os.getpid() * 10_000 + seed, grants))
        for seed in range(number)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    backend.close()
    found.put(grants)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--tags", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(Path(directory), maxclients="5000")
        with server.client as redis:
            run_id = redis.info("server")["run_id"]
            state = {"run": run_id, "life": "simulation", "quarantine": "0"}
            redis.hset("{otto:simulation}:state", mapping=state)
            context = multiprocessing.get_context("fork")
            found: Queue[Grants] = context.Queue()
            begin = time.monotonic() + 5
            arguments = (given.clients // PROCESSES, given.tags, begin, begin + given.seconds, found)
            processes = [context.Process(target=clients, args=(server.url, *arguments)) for _ in range(PROCESSES)]
            for process in processes:
                process.start()
            time.sleep(max(0.0, begin - time.monotonic()))
            redis.config_resetstat()
            before = redis.info("cpu")
            time.sleep(given.seconds)
            after, calls = redis.info("cpu"), redis.info("commandstats")
            grants = [grant for _ in processes for grant in found.get()]
            for process in processes:
                process.join()
        server.stop()
    used = sum(after[f"used_cpu_{kind}"] - before[f"used_cpu_{kind}"] for kind in ("user", "sys"))
    late = sorted(seconds for waited, seconds in grants if waited)
    scripts = calls["cmdstat_evalsha"]
    print(f"{given.clients} clients, {given.tags} tags, {given.seconds:g} s, holds of {MEAN_HOLD:g} s on average")
    print(f"grants: {len(grants)}, {len(grants) / given.seconds:.1f} per second, {len(late)} of them waited")
    print(f"latency of a grant: median {statistics.median(late) * 1000:.0f} ms, ", end="")
    print(f"99 % within {late[len(late) * 99 // 100] * 1000:.0f} ms, worst {late[-1] * 1000:.0f} ms")
    print(f"server: {used / given.seconds * 100:.0f} % of one core, ", end="")
    print(f"{scripts['calls'] / given.seconds:.0f} scripts per second, {scripts['usec_per_call'] / 1000:.2f} ms each")


if __name__ == "__main__":
    main()
