"""Time-outs as users give them, and the deadlines made of them."""

from __future__ import annotations

import math
import threading
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from otto_docker_sync import deadline as module
from otto_docker_sync.deadline import Cancellation, Deadline, DeadlineExpired, timeout_seconds
from otto_docker_sync.errors import ConfigError


class Clock:
    """Stands in for the monotonic clock."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (3, 3.0),
        (0.25, 0.25),
        (timedelta(minutes=2), 120.0),
        (timedelta(0), 0.0),
        (math.inf, None),
    ],
)
def test_a_timeout_is_seconds_a_timedelta_or_none(given: Any, seconds: float | None) -> None:
    result = timeout_seconds(given)
    assert result == seconds
    assert result is None or type(result) is float


@pytest.mark.parametrize("given", [-1, -0.001, math.nan, -math.inf, True, False, "5", [5], timedelta(seconds=-1), 5j])
def test_what_is_no_time_is_refused_with_the_reason(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"timeout=.*seconds"):
        Deadline.after(given)
    with pytest.raises(ValueError, match="timeout="):
        timeout_seconds(given)


def test_a_deadline_counts_down_to_zero_and_not_below(clock: Clock) -> None:
    deadline = Deadline.after(2)
    assert (deadline.remaining(), deadline.expired) == (2.0, False)
    clock.now += 1.5
    assert deadline.remaining() == 0.5
    deadline.check()
    clock.now += 0.5
    assert (deadline.remaining(), deadline.expired) == (0.0, True)
    clock.now += 100
    assert deadline.remaining() == 0.0
    with pytest.raises(DeadlineExpired):
        deadline.check()


def test_a_timeout_of_zero_is_now_or_not(clock: Clock) -> None:
    assert Deadline.after(0).expired


def test_a_timeout_of_none_never_expires(clock: Clock) -> None:
    deadline = Deadline.after(None)
    clock.now += 1e9
    assert (deadline.remaining(), deadline.expired) == (None, False)
    deadline.check()


def test_at_most_takes_the_earlier_deadline(clock: Clock) -> None:
    assert Deadline.after(5).at_most(2).remaining() == 2.0
    assert Deadline.after(1).at_most(2).remaining() == 1.0
    assert Deadline.after(None).at_most(2).remaining() == 2.0


def test_the_wall_clock_does_not_move_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline.after(60)
    monkeypatch.setattr("time.time", lambda: 0.0)
    remaining = deadline.remaining()
    assert remaining is not None
    assert 50 < remaining <= 60


def test_cancelling_ends_every_deadline_of_the_call_but_not_its_cleaning_up() -> None:
    call = Cancellation()
    token = module.cancellation.set(call)
    try:
        deadline = Deadline.after(None)
    finally:
        module.cancellation.reset(token)
    stranger, shorter = Deadline.after(None), deadline.at_most(100)
    assert not deadline.cancelled
    call.cancel()
    assert deadline.cancelled
    assert shorter.cancelled
    assert (deadline.remaining(), shorter.remaining(), stranger.remaining()) == (0.0, 0.0, None)
    assert not Deadline.grace(5).expired
    with pytest.raises(DeadlineExpired):
        shorter.check()


def test_cancelling_wakes_who_waits() -> None:
    call = Cancellation()
    deadline = Deadline(None, call)
    woken, waiting = threading.Event(), threading.Event()
    seconds: list[float] = []

    def wait() -> None:
        began = monotonic()
        with deadline.waking(woken.set):
            waiting.set()
            woken.wait(30)
        seconds.append(monotonic() - began)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10)
    call.cancel()
    thread.join(10)
    assert seconds[0] < 10


def test_after_the_block_nobody_is_woken() -> None:
    call = Cancellation()
    woken: list[str] = []
    with call.waking(lambda: woken.append("outer")):
        with call.waking(lambda: woken.append("inner")):
            pass
        call.cancel()
    assert woken == ["outer"]


def test_who_begins_to_wait_after_the_cancelling_sees_it_in_the_deadline() -> None:
    call = Cancellation()
    call.cancel()
    deadline = Deadline(None, call)
    with deadline.waking(lambda: None):
        assert deadline.remaining() == 0.0


def test_what_cannot_be_cancelled_wakes_nobody() -> None:
    with Deadline.after(1).waking(lambda: pytest.fail("woken")):
        pass
