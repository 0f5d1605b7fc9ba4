"""The scripts in Redis decide as the scheduler in Python does, for the same random histories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otto_docker_sync.reservations.redis_backend import RedisBackend
from otto_docker_sync.reservations.request import Request
from otto_docker_sync.reservations.table import Table
from tests.property.requests import requests

LAB = "histories"

steps = st.one_of(
    st.tuples(st.just("submit"), requests()),
    st.tuples(st.sampled_from(["release", "force", "submit again"]), st.integers(0, 9)),
)


@pytest.fixture
def scripts(redis_server) -> Iterator[tuple[RedisBackend, object]]:
    backend = RedisBackend(redis_server.url, LAB)
    client = redis_server.client
    yield backend, client
    client.close()
    backend.close()


# Each example begins with an empty table. How long an example takes says something of the machine, and not of the test.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=st.lists(steps, max_size=14))
def test_both_make_the_same_grants_in_the_same_order(scripts, history):
    backend, client = scripts
    begin(client)
    model = Table()
    known: list[Request] = []
    for number, (step, what) in enumerate(history):
        if step == "submit":
            known.append(replace(what, id=f"r{number}"))
            run(backend, "submit", known[-1].to_json())
            model.submit(known[-1], now=0.0)
        elif known:
            request = known[what % len(known)]
            if step == "release":
                run(backend, "release", request.id)
                model.remove(request.id, now=0.0)
            elif step == "force":
                run(backend, "force", json.dumps([request.id]), "why")
                model.force(request.id, "why")
            elif request.id in model.requests:
                run(backend, "submit", request.to_json())
        assert comparable(backend.requests()) == comparable(model.requests.values())


def begin(client) -> None:
    """An empty table, without the quarantine that a new one begins with."""
    client.delete(*client.keys(f"{{otto:{LAB}}}:*") or ["none"])
    run_id = client.info("server")["run_id"]
    client.hset(f"{{otto:{LAB}}}:state", mapping={"run": run_id, "life": "test", "quarantine": "0"})


def run(backend: RedisBackend, script: str, *args: str) -> None:
    backend.client().run(script, *args, "nonce")


def comparable(found) -> list[tuple[object, ...]]:
    """All that has to be the same: fences differ, but rise in the same order."""
    order = sorted(found, key=lambda request: (request.fence, request.sequence))
    return [(r.id, r.granted, r.taken, r.tags, r.mode, r.sequence, r.forced) for r in order]
