"""Every backend passes the conformance suite, and a broken one does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otto_docker_sync.deadline import Deadline
from otto_docker_sync.reservations.backend import Backend, Finding, Lease
from otto_docker_sync.reservations.request import Request

from . import conformance
from .conformance import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_backend_passes(case, open_backend):
    conformance.check(case, open_backend)


class UnlockedLease(Lease):
    """Grants whatever is asked for, as a lock that is a no-op does."""

    interval = 1.0
    table_id = "unlocked"
    valid_until = float("inf")
    request = Request("", ())

    def __init__(self, backend: UnlockedBackend, request: Request) -> None:
        self._backend = backend
        self.request = request

    def wait(self, deadline: Deadline) -> bool:
        return True

    def keep(self) -> None:
        pass

    def loss(self) -> str:
        return ""

    def release(self) -> None:
        self._backend.table.pop(self.request.id, None)


class UnlockedBackend(Backend):
    name = "unlocked"
    table: dict[str, Request]

    def __init__(self, table: dict[str, Request]) -> None:
        self.table = table

    def submit(self, request: Request, deadline: Deadline) -> Lease:
        number = len(self.table) + 1
        granted = replace(request, sequence=number, fence=number, taken=tuple(range(request.count)))
        self.table[request.id] = granted
        return UnlockedLease(self, granted)

    def requests(self) -> list[Request]:
        return list(self.table.values())

    def force(self, request_ids: list[str], text: str) -> None:
        pass

    def examine(self) -> list[Finding]:
        return []

    def close(self) -> None:
        pass


HARMLESS = {"disjoint_requests_do_not_wait"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_backend_that_locks_nothing_fails(case):
    table: dict[str, Request] = {}
    if case.__name__ in HARMLESS:
        conformance.check(case, lambda: UnlockedBackend(table))
    else:
        with pytest.raises(AssertionError):
            conformance.check(case, lambda: UnlockedBackend(table))
