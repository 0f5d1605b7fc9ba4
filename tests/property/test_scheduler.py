"""The scheduler's promises, for random requests in random order."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from otto_docker_sync.reservations.request import Request
from otto_docker_sync.reservations.scheduler import blockers, describe, schedule
from otto_docker_sync.reservations.table import Table
from tests.property.requests import requests


class Lab(RuleBasedStateMachine):
    """Requests come and go; after each step the table keeps every promise."""

    @initialize()
    def begin(self) -> None:
        self.table = Table()
        self.count = 0
        self.fences: list[int] = []
        self.granted: set[str] = set()

    @rule(request=requests())
    def submit(self, request: Request) -> None:
        self.count += 1
        request = Request(**{**vars(request), "id": f"r{self.count}"})
        before = self.waiting()
        self.table.submit(request, now=1.0)
        assert not (before - self.waiting()), "nobody who waited is granted because somebody came"

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.table.requests:
            self.table.remove(data.draw(st.sampled_from(sorted(self.table.requests))), now=1.0)

    @rule(data=st.data())
    def repeat_a_call(self, data: st.DataObject) -> None:
        if self.table.requests:
            before = dict(self.table.requests)
            self.table.submit(before[data.draw(st.sampled_from(sorted(before)))], now=1.0)
            assert self.table.requests == before
        self.table.remove("nobody", now=1.0)

    def waiting(self) -> set[str]:
        return {request.id for request in self.table.requests.values() if not request.granted}

    @invariant()
    def nobody_holds_what_another_excludes(self) -> None:
        holders = [request for request in self.table.requests.values() if request.granted]
        assert not [(one.id, other.id) for one, other in combinations(holders, 2) if one.conflicts_with(other)]

    @invariant()
    def nothing_is_held_in_part(self) -> None:
        for request in self.table.requests.values():
            assert len(request.taken) == (request.count if request.granted else 0)
            assert len(set(request.taken)) == len(request.taken)

    @invariant()
    def fences_rise_from_grant_to_grant(self) -> None:
        fresh = [r for r in self.table.requests.values() if r.granted and r.id not in self.granted]
        for request in sorted(fresh, key=lambda request: request.fence):
            assert request.fence > max(self.fences, default=0)
            self.fences.append(request.fence)
            self.granted.add(request.id)

    @invariant()
    def nobody_waits_without_a_reason(self) -> None:
        assert schedule(self.table.requests.values()) == {}
        for request in self.table.requests.values():
            if not request.granted:
                assert blockers(self.table.requests.values(), request)

    @invariant()
    def who_is_first_waits_for_holders_only(self) -> None:
        queue = sorted(
            (request for request in self.table.requests.values() if not request.granted),
            key=lambda request: request.precedence,
        )
        if queue:
            assert all(other.granted for other in blockers(self.table.requests.values(), queue[0]))

    def teardown(self) -> None:
        """When all holders release, again and again, everybody is served."""
        for _ in range(len(self.table.requests)):
            for request in list(self.table.requests.values()):
                if request.granted:
                    self.table.remove(request.id, now=1.0)
        assert self.table.requests == {}


TestLab = Lab.TestCase


@given(st.lists(requests(), max_size=6))
def test_a_grant_never_overtakes_an_earlier_request_that_wants_the_same(wanted: list[Request]) -> None:
    table = Table()
    for number, request in enumerate(wanted):
        table.submit(Request(**{**vars(request), "id": f"r{number}"}), now=1.0)
    while holders := [request for request in table.requests.values() if request.granted]:
        before = dict(table.requests)
        table.remove(holders[0].id, now=1.0)
        for request in table.requests.values():
            if request.granted and not before[request.id].granted:
                earlier = [other for other in before.values() if not other.granted]
                earlier = [other for other in earlier if other.precedence < request.precedence]
                still_waiting = [other for other in earlier if not table.requests[other.id].granted]
                assert not [other.id for other in still_waiting if other.conflicts_with(table.requests[request.id])]


def asked(name: str, *choices: str, **how: object) -> Request:
    return Request(name, tuple(tuple(tags) for tags in choices), **how)  # type: ignore[arg-type]


def test_a_large_request_is_not_starved_by_small_ones():
    table = Table()
    table.submit(asked("holder", "a"), now=1.0)
    table.submit(asked("large", "ab"), now=1.0)
    table.submit(asked("small", "b"), now=1.0)
    table.submit(asked("disjoint", "c"), now=1.0)
    assert {request.id for request in table.requests.values() if request.granted} == {"holder", "disjoint"}
    table.remove("holder", now=1.0)
    assert table.requests["large"].granted and not table.requests["small"].granted


def test_any_of_several_takes_whichever_is_free_and_keeps_its_place_for_more():
    table = Table()
    table.submit(asked("holder", "b"), now=1.0)
    table.submit(asked("one", "a", "b", "c"), now=1.0)
    assert table.requests["one"].tags == ("a",)
    table.submit(asked("two", "b", "c", count=2), now=1.0)
    table.submit(asked("late", "c"), now=1.0)
    assert not table.requests["late"].granted, "else the one that wants two could wait forever"
    table.remove("holder", now=1.0)
    assert table.requests["two"].tags == ("b", "c")


def test_sharers_hold_together_and_wait_behind_an_earlier_exclusive_request():
    table = Table()
    table.submit(asked("one", "a", shared=True), now=1.0)
    table.submit(asked("two", "a", shared=True), now=1.0)
    table.submit(asked("alone", "a"), now=1.0)
    table.submit(asked("three", "a", shared=True), now=1.0)
    assert [request.id for request in table.requests.values() if request.granted] == ["one", "two"]
    queue = describe(table.requests.values()).queue
    assert [(entry.mode, entry.place) for entry in queue] == [("exclusive", 1), ("shared", 2)]


def test_fences_rise_also_when_the_table_was_lost():
    first, second = Table(), Table()
    first.submit(asked("one", "a"), now=1_700_000_000.0)
    second.submit(asked("two", "a"), now=1_700_000_001.0)
    assert second.requests["two"].fence > first.requests["one"].fence


def test_fences_rise_also_when_the_clock_is_set_back():
    table = Table()
    table.submit(asked("one", "a"), now=1_700_000_000.0)
    fence = table.requests["one"].fence
    table.submit(asked("two", "a"), now=1_699_990_000.0)
    table.remove("one", now=1_699_990_000.0)
    assert table.requests["two"].fence == fence + 1
