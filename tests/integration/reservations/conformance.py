"""What every backend has to do. Each case is a function of a function that opens the backend once more.

Two backends that were opened so are two processes' views of one table.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from otto_docker_sync.deadline import Deadline
from otto_docker_sync.reservations.backend import Backend, Lease
from otto_docker_sync.reservations.request import Request

Open = Callable[[], Backend]
PATIENCE = 20.0
"""Seconds in which what has to happen happens."""
SHORT = 0.3
"""Seconds in which what must not happen would have happened."""


def wanted(*choices: Iterable[str], **how: object) -> Request:
    values = {"id": uuid.uuid4().hex, "ttl": 4.0, "owner": "me@here", "pid": 1, **how}
    return Request(choices=tuple(tuple(tags) for tags in choices), **values)  # type: ignore[arg-type]


class Client:
    """One process's use of a backend; releases what the case left."""

    def __init__(self, open_backend: Open, stack: ExitStack) -> None:
        self.backend = open_backend()
        self._stack = stack
        stack.callback(self.backend.close)

    def submit(self, *choices: Iterable[str], **how: object) -> Lease:
        lease = self.backend.submit(wanted(*choices, **how), Deadline.after(PATIENCE))
        self._stack.callback(lease.release)
        return lease

    def holds(self, lease: Lease) -> bool:
        return lease.wait(Deadline.after(PATIENCE))

    def waits(self, lease: Lease) -> bool:
        return not lease.wait(Deadline.after(SHORT))


def two_exclude_each_other(first: Client, second: Client) -> None:
    one = first.submit("a")
    assert first.holds(one)
    other = second.submit("a")
    assert second.waits(other)
    one.release()
    assert second.holds(other)
    assert other.request.fence > one.request.fence > 0


def disjoint_requests_do_not_wait(first: Client, second: Client) -> None:
    assert first.holds(first.submit("a"))
    assert second.holds(second.submit("b"))


def sharers_hold_together_and_exclude_others(first: Client, second: Client) -> None:
    one, two = first.submit("a", shared=True), second.submit("a", shared=True)
    assert first.holds(one) and second.holds(two)
    alone = first.submit("a")
    assert first.waits(alone)
    one.release()
    assert first.waits(alone)
    two.release()
    assert first.holds(alone)


def nothing_is_held_in_part(first: Client, second: Client) -> None:
    a = first.submit("a")
    assert first.holds(a)
    both = second.submit("ab")
    assert second.waits(both)
    assert [request.tags for request in first.backend.requests() if request.granted] == [("a",)]
    b = first.submit("b")
    assert first.waits(b), "who came first is served first"
    a.release()
    assert second.holds(both)
    both.release()
    assert first.holds(b)


def arrival_order_is_kept_and_priority_goes_first(first: Client, second: Client) -> None:
    holder = first.submit("a")
    assert first.holds(holder)
    early, late, urgent = second.submit("a"), first.submit("a"), second.submit("a", priority=1)
    served = []
    for expected in (urgent, early, late):
        holder.release()
        assert second.holds(expected)
        served.append(expected.request.fence)
        holder = expected
    assert served == sorted(served)


def any_of_several_takes_what_is_free(first: Client, second: Client) -> None:
    assert first.holds(first.submit("b"))
    two = second.submit("a", "b", "c", count=2)
    assert second.holds(two)
    assert two.request.tags == ("a", "c")


def release_and_withdrawal_are_idempotent(first: Client, second: Client) -> None:
    one, other, third = first.submit("a"), second.submit("a"), second.submit("a")
    assert first.holds(one) and second.waits(other)
    other.release()
    other.release()
    one.release()
    one.release()
    assert second.holds(third)
    third.release()
    assert first.backend.requests() == []


def everybody_sees_who_holds_and_who_waits(first: Client, second: Client) -> None:
    holder = first.submit("a", reason="flash", owner="alice@lab1", pid=7, run="nightly")
    assert first.holds(holder)
    second.submit("a", shared=True, reason="look")
    seen = sorted(second.backend.requests(), key=lambda request: request.precedence)
    assert [(r.tags, r.mode, r.owner, r.pid, r.run, r.reason, r.granted) for r in seen] == [
        (("a",), "exclusive", "alice@lab1", 7, "nightly", "flash", True),
        (("a",), "shared", "me@here", 1, "", "look", False),
    ]


def a_hold_that_is_taken_away_ends_with_the_reason(first: Client, second: Client) -> None:
    holder = first.submit("a")
    assert first.holds(holder)
    assert holder.loss() == ""
    next_one = second.submit("a")
    second.backend.force([holder.request.id], "bob: needed for the release")
    holder.keep()
    assert holder.loss() == "bob: needed for the release"
    assert second.waits(next_one), "not before the holder has confirmed"
    holder.release()
    assert second.holds(next_one)


def a_holder_that_does_not_confirm_is_passed_over(first: Client, second: Client) -> None:
    holder = first.submit("a")
    assert first.holds(holder)
    next_one = second.submit("a")
    second.backend.force([holder.request.id], "bob: needed for the release")
    assert second.holds(next_one)
    assert holder.loss(), "it was lost before"


CASES: tuple[Callable[[Client, Client], None], ...] = (
    two_exclude_each_other,
    disjoint_requests_do_not_wait,
    sharers_hold_together_and_exclude_others,
    nothing_is_held_in_part,
    arrival_order_is_kept_and_priority_goes_first,
    any_of_several_takes_what_is_free,
    release_and_withdrawal_are_idempotent,
    everybody_sees_who_holds_and_who_waits,
    a_hold_that_is_taken_away_ends_with_the_reason,
    a_holder_that_does_not_confirm_is_passed_over,
)


def check(case: Callable[[Client, Client], None], open_backend: Open) -> None:
    """Try one case on a backend."""
    with ExitStack() as stack:
        case(Client(open_backend, stack), Client(open_backend, stack))
