"""Repeats, on this machine as a host."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from otto_docker_sync import (
    ConfigError,
    ConnectError,
    LocalHost,
    RunResult,
    ShellCommand,
    Status,
)
from otto_docker_sync.local_host import LocalBackend


class SessionlessHost(LocalHost):
    """As a container whose parent has no sessions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.backend.sessions_refusal = lambda: "no sessions here"  # type: ignore[method-assign]


@pytest.fixture
def host() -> Iterator[LocalHost]:
    with LocalHost() as made:
        yield made


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def ended(host: LocalHost, name: str) -> bool:
    return f"otto-repeat-{host.id}-{name}" not in [thread.name for thread in threading.enumerate()]


def test_state_lasts_from_turn_to_turn_and_the_default_session_keeps_its_own(host: LocalHost) -> None:
    host.run("n=100")
    host.start_repeat("count", "n=$((n+1)); echo $n", 0.01, times=4)
    until(lambda: ended(host, "count"))
    assert [result.output for result in host.repeat_results("count")] == ["1\n", "2\n", "3\n", "4\n"]
    assert host.run("echo $n").output == "100\n"


def test_the_beat_does_not_drift_and_late_turns_are_skipped(host: LocalHost) -> None:
    started: list[float] = []
    host.run("true")
    began = time.monotonic()

    def slow(result: Any) -> None:
        started.append((time.monotonic() - began) / 0.2)
        time.sleep(0.5 if len(started) == 2 else 0.05)  # over two beats and a half, once

    host.start_repeat("beat", "true", 0.2, times=7, on_result=slow)
    until(lambda: ended(host, "beat"))
    beats = [int(moment) for moment in started]
    assert sorted(set(beats)) == beats, "two turns in one beat"
    assert beats[2] - beats[1] >= 3
    assert median(moment % 1 for moment in started) < 0.6, "the turns left the raster"


def test_a_failure_is_recorded_and_ends_nothing(host: LocalHost) -> None:
    host.start_repeat("fail", "test -e nothing || (exit 3)", 0.01, times=3)
    until(lambda: ended(host, "fail"))
    assert [result.retcode for result in host.repeat_results("fail")] == [3, 3, 3]


def test_a_host_that_cannot_be_reached_is_recorded_and_tried_again(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    reachable = LocalBackend.open_channel
    failures = iter([ConnectError("no way"), ValueError("a bug")])

    def open_channel(self: LocalBackend, *args: Any, **kwargs: Any) -> Any:
        for error in failures:
            raise error
        return reachable(self, *args, **kwargs)

    monkeypatch.setattr(LocalBackend, "open_channel", open_channel)
    host.start_repeat("again", "echo here", 0.01, times=3)
    until(lambda: ended(host, "again"))
    first, second, third = host.repeat_results("again")
    assert (first.status, first.message, first.command) == (Status.ERROR, "no way", "echo here")
    assert (second.status, second.message) == (Status.ERROR, "a bug")
    assert third.output == "here\n"


def test_a_shell_that_ends_is_opened_again(host: LocalHost) -> None:
    host.start_repeat("exit", "exit 4", 0.01, times=2)
    until(lambda: ended(host, "exit"))
    assert [(r.retcode, r.session_ended) for r in host.repeat_results("exit")] == [(4, True), (4, True)]


def test_a_list_gives_a_run_result(host: LocalHost) -> None:
    host.start_repeat("list", ["x=1", ShellCommand("echo $x", timeout=5)], 0.01, times=2)
    until(lambda: ended(host, "list"))
    for result in host.repeat_results("list"):
        assert isinstance(result, RunResult)
        assert [each.output for each in result] == ["", "1\n"]


def test_history_is_bounded(host: LocalHost) -> None:
    host.start_repeat("many", "n=$((n+1)); echo $n", 0.005, times=8, max_history=3)
    until(lambda: ended(host, "many"))
    assert [result.output for result in host.repeat_results("many")] == ["6\n", "7\n", "8\n"]


def test_duration_and_until_end_it(host: LocalHost) -> None:
    host.start_repeat("short", "true", 0.04, duration=0.1)
    host.start_repeat("found", "n=$((n+1)); echo $n", 0.01, until=lambda result: result.output == "3\n")
    until(lambda: ended(host, "short") and ended(host, "found"))
    assert len(host.repeat_results("short")) <= 3
    assert host.repeat_results("found")[-1].output == "3\n"


def test_errors_of_callbacks_are_logged_and_survived(host: LocalHost, caplog: pytest.LogCaptureFixture) -> None:
    def bad(result: Any) -> None:
        raise RuntimeError("on purpose")

    with caplog.at_level(logging.ERROR):
        host.start_repeat("bad", "true", 0.01, times=2, on_result=bad)
        until(lambda: ended(host, "bad"))
    assert [result.ok for result in host.repeat_results("bad")] == [True, True]
    assert [record.getMessage().splitlines()[-1] for record in caplog.records] == ["RuntimeError: on purpose"] * 2


def test_a_callback_may_stop_its_repeat_and_go_on_to_use_the_host(host: LocalHost) -> None:
    outputs: list[str] = []

    def stop(result: Any) -> None:
        host.stop_repeat("self")
        outputs.append(host.oneshot("echo still").output)

    host.start_repeat("self", "true", 0.01, on_result=stop)
    until(lambda: ended(host, "self"))
    assert outputs == ["still\n"]
    assert len(host.repeat_results("self")) == 1


def test_a_callback_may_close_its_host(host: LocalHost) -> None:
    host.start_repeat("closing", "true", 0.01, on_result=lambda _: host.close())
    until(lambda: ended(host, "closing"))
    assert not any(session.alive for session, _ in host._sessions._by_name.values())


def test_stopping_ends_the_command_in_flight(host: LocalHost, tmp_path: Path) -> None:
    flag = tmp_path / "started"
    host.start_repeat("long", f"touch {flag}; sleep 1000", 1.0)
    until(flag.exists)
    began = time.monotonic()
    host.stop_repeat("long")
    assert time.monotonic() - began < 9
    assert ended(host, "long")
    (result,) = host.repeat_results("long")
    assert result.status is Status.ERROR
    assert "the repeat was stopped" in result.message
    host.stop_repeat("long")


def test_closing_the_host_stops_repeats_first_and_none_reopens_a_session(host: LocalHost) -> None:
    for name in ("one", "two", "three"):
        host.start_repeat(name, "echo x", 0.001)
    until(lambda: all(host.repeat_results(name) for name in ("one", "two", "three")))
    host.close()
    assert all(ended(host, name) for name in ("one", "two", "three"))
    assert not any(session.alive for session, _ in host._sessions._by_name.values())
    host.start_repeat("one", "echo again", 0.01, times=1)
    until(lambda: ended(host, "one"))
    assert [result.output for result in host.repeat_results("one")] == ["again\n"]


def test_names(host: LocalHost) -> None:
    host.start_repeat("name", "true", 0.01)
    with pytest.raises(ConfigError, match="runs already"):
        host.start_repeat("name", "true", 0.01)
    for verb in (host.stop_repeat, host.repeat_results):
        with pytest.raises(ConfigError, match=r"no repeat 'other'; known: name"):
            verb("other")
    host.stop_all_repeats()
    host.start_repeat("name", "echo anew", 0.01, times=1)
    until(lambda: ended(host, "name"))
    assert [result.output for result in host.repeat_results("name")] == ["anew\n"]


@pytest.mark.parametrize(
    "wrong",
    [{"interval": 0}, {"interval": -1}, {"interval": None}, {"interval": True}, {"times": 0}, {"times": True},
     {"max_history": 0}, {"max_history": 1.5}, {"duration": -1}],
)  # fmt: skip
def test_wrong_arguments(host: LocalHost, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        host.start_repeat("wrong", "true", **{"interval": 1.0, **wrong})


def test_without_sessions_each_command_is_a_oneshot() -> None:
    with SessionlessHost() as host:
        host.start_repeat("apart", "echo ${n-unset}; n=1", 0.01, times=2)
        host.start_repeat("list", ["echo a", ShellCommand("sleep 9", timeout=0.05)], 0.01, times=1)
        host.start_repeat("answers", [ShellCommand("true", expects={"x": "y"})], 0.01, times=1)
        until(lambda: all(ended(host, name) for name in ("apart", "list", "answers")))
        assert [result.output for result in host.repeat_results("apart")] == ["unset\n", "unset\n"]
        assert [each.timed_out for each in host.repeat_results("list")[0]] == [False, True]
        assert "no sessions here" in host.repeat_results("answers")[0][0].message
