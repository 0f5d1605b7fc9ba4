"""Processes fight for tags and are killed and stopped: never two holders, fences rise, order is kept, all is free."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import subprocess
import sys
import time

import pytest

from otto_docker_sync.reservations.redis_backend import RedisBackend
from otto_docker_sync.reservations.request import Request
from tests.integration.reservations import fight
from tests.integration.reservations.history import History, check
from tests.integration.reservations.test_conformance import UnlockedBackend, UnlockedLease
from tests.rig.clock import Clock

pytestmark = pytest.mark.timeout(200)


@pytest.mark.parametrize(("backend", "ttl"), [("file", 0.5), ("redis", 3.0)])
def test_never_two_holders_whoever_is_killed_or_stopped(backend, ttl, request, tmp_path):
    opened = request.getfixturevalue(f"open_{backend}")
    print(fight.fight(opened, tmp_path, processes=12, seconds=5.0, ttl=ttl))


def test_a_server_whose_clock_is_set_an_hour_back_and_forth(make_redis, tmp_path):
    clock = Clock(tmp_path)
    server = make_redis(clock.environ)
    with clock.set_back_and_forth(0.5):
        print(fight.fight(lambda: RedisBackend(server.url, "fight"), tmp_path, processes=6, seconds=5.0, ttl=3.0))


@pytest.mark.parametrize("backend", ["file", "redis"])
def test_clients_whose_clock_is_set_an_hour_back_and_forth(backend, redis_server, tmp_path):
    clock = Clock(tmp_path)
    table = ["--server", redis_server.url] if backend == "redis" else []
    argv = [sys.executable, "-m", "tests.integration.reservations.fight", "--backend", backend, *table]
    with clock.set_back_and_forth(0.5):
        subprocess.run(
            [*argv, "--processes=6", "--seconds=5", "--ttl=3"], env={**os.environ, **clock.environ}, check=True
        )


def test_the_checker_notices_a_backend_that_locks_nothing(tmp_path):
    with pytest.raises(AssertionError, match="two holders"):
        fight.fight(lambda: UnlockedBackend({}), tmp_path, processes=6, seconds=1.0, ttl=0.2)


def test_who_is_killed_leaves_a_whole_witness_or_none(tmp_path):
    """The next one writes down whose witness it met."""
    dice = random.Random(1)
    context = multiprocessing.get_context("fork")
    history, witness = History(tmp_path / "history"), tmp_path / "witness"

    def testify_again_and_again(lease, begun):
        while True:
            fight.testify(history, witness, lease)
            begun.set()
            witness.unlink()

    for number in range(50):
        lease, begun = UnlockedLease(UnlockedBackend({}), Request(f"request{number}", ())), context.Event()
        process = context.Process(target=testify_again_and_again, args=(lease, begun))
        process.start()
        assert begun.wait(60)
        time.sleep(dice.uniform(0, 0.002))  # a random moment
        process.kill()
        process.join()
        process.close()
    history.close()
    met = [json.loads(line)[4]["other"] for line in (tmp_path / "history").read_text().splitlines()]
    assert met and all(other.startswith("request") for other in met)


def test_who_lost_its_hold_before_it_testified_is_no_second_holder(tmp_path):
    class LostLease(UnlockedLease):
        def loss(self):
            return "it was stopped for too long"

    history, witness = History(tmp_path / "history"), tmp_path / "witness"
    for lease_type, request_id in ((UnlockedLease, "first"), (LostLease, "lost"), (UnlockedLease, "second")):
        fight.testify(history, witness, lease_type(UnlockedBackend({}), Request(request_id, ())))
    history.close()
    clashes = [json.loads(line)[3] for line in (tmp_path / "history").read_text().splitlines()]
    assert clashes == ["second"]


def test_the_checker_notices_each_kind_of_wrong(tmp_path):
    history = History(tmp_path / "history")
    for request, tag in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        history.write("begin", request, 1.0 if request == "a1" else 3.0, tags=[tag], shared=False)
    history.write("enter", "a1", 2.0)
    history.write("enter", "a2", 4.0)
    history.write("grant", "a2", 5.0, fence=7)
    history.write("grant", "a1", 6.0, fence=7)
    history.write("touch", "a2", 8.0)
    history.write("clash", "a1", other="a2")
    for request in ("a1", "a2"):
        history.write("leave", request)
    history.close()
    wrong = "\n".join(check(tmp_path / "history"))
    kinds = ("never ended", "two holders: a2 still", "fences do not rise", "order: a1", "met the witness of a2")
    for kind in kinds:
        assert kind in wrong
