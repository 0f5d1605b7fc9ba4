"""A fault at every byte of a recorded exchange: the call reports it in time, and the next call works."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from otto_docker_sync.errors import ConnectError, ExpectTimeout, OttoError
from otto_docker_sync.limits import RUN_OVERTIME, START_TIME
from otto_docker_sync.result import CommandResult

from .scripted import TIMEOUT, Clock, Fault, Recording, ScriptedHost, Stage, record

COMMAND = "echo one; echo two; (exit 3)"
ONESHOT = "echo one; echo two >&2; (exit 3)"
KINDS = ["end", "lost", "stall", "garbage"]
CALLS = 3
"""The last of them must find all well again."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("otto_docker_sync.deadline.monotonic", clock)
    return clock


@pytest.fixture(scope="module", params=["dash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A shell of this machine, by its path."""
    if request.param == "dash":
        yield "/bin/dash"
    else:
        path = tmp_path_factory.mktemp("bin") / "sh"
        path.symlink_to(Path("/bin/busybox").resolve())
        yield str(path)


@pytest.fixture(scope="module")
def conversation(shell: str) -> tuple[Recording, int]:
    """The recording, and how many bytes of it come before the second call."""
    sizes: list[int] = []

    def talk(host: ScriptedHost, recording: Recording) -> None:
        for _ in range(CALLS):
            sizes.append(recording.size())
            assert as_expected(host.run(COMMAND, timeout=TIMEOUT))

    return record(shell, talk), sizes[1]


def chat(host: ScriptedHost) -> None:
    host.sendline("printf 'name: '; read name; echo dear $name")
    assert host.expect("name: ", timeout=TIMEOUT).index == 0
    host.sendline("ann")
    assert host.expect(r"dear (\w+)\n", timeout=TIMEOUT).groups() == ("ann",)


@pytest.fixture(scope="module")
def chatted(shell: str) -> Recording:
    return record(shell, lambda host, _: chat(host))


@pytest.fixture(scope="module")
def single(shell: str) -> Recording:
    return record(shell, lambda host, _: host.oneshot(ONESHOT, timeout=TIMEOUT))


def as_expected(result: CommandResult | OttoError) -> bool:
    return isinstance(result, CommandResult) and (result.output, result.retcode) == ("one\ntwo\n", 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_survives_a_fault_at_any_byte(
    shell: str, conversation: tuple[Recording, int], clock: Clock, kind: str
) -> None:
    threads = threading.active_count()
    recording, size = conversation
    for at in range(size):
        stage = Stage(shell, recording, Fault(kind, at), clock)
        results = [stage.attempt(stage.host.run, COMMAND) for _ in range(CALLS)]
        context = f"{kind} at byte {at} of {size}: {results}"
        assert sum(not as_expected(result) for result in results) <= 1, context
        assert as_expected(results[-1]), context
        for result in results:
            if isinstance(result, CommandResult) and not as_expected(result) and kind != "garbage":
                assert result.message and result.retcode is None, context
                # The first bytes of what was cut in two look like what a program may have printed, too.
                assert "one\ntwo\n".startswith(re.sub(r"\r$|<[0-9a-f]{0,3}$", "", result.output)), context
        stage.finish(context)
    assert threading.active_count() == threads


@pytest.mark.parametrize("kind", ["end", "lost", "stall"])
def test_expect_raises_at_a_fault_at_any_byte_and_the_session_opens_again(
    shell: str, chatted: Recording, clock: Clock, kind: str
) -> None:
    for at in range(chatted.size()):
        stage = Stage(shell, chatted, Fault(kind, at), clock)
        stage.host.default_timeout = TIMEOUT
        began = clock.now
        try:
            chat(stage.host)
        except ExpectTimeout:
            stage.host.open_session("default").close()  # a prompt that does not come is no reason to end the shell
            chat(stage.host)
        except OttoError:
            stage.host.open_session("default")  # nothing is typed into another shell unless its user opens it
            chat(stage.host)
        assert clock.now - began <= 2 * TIMEOUT + RUN_OVERTIME
        stage.finish(f"{kind} at byte {at}")


def test_a_shell_that_never_starts_is_given_up_though_its_caller_would_wait_for_ever(
    shell: str, conversation: tuple[Recording, int], clock: Clock
) -> None:
    for at in (0, 20, 200):
        for verb in ("run", "sendline"):
            stage = Stage(shell, conversation[0], Fault("stall", at), clock)
            began = clock.now
            with pytest.raises(ConnectError, match="did not start"):
                getattr(stage.host, verb)(COMMAND)
            assert clock.now - began <= START_TIME + RUN_OVERTIME
            assert as_expected(stage.host.run(COMMAND, timeout=TIMEOUT))
            stage.finish(f"{verb} at byte {at}")


def test_a_oneshot_that_never_starts_is_given_up_too(shell: str, single: Recording, clock: Clock) -> None:
    stage = Stage(shell, single, Fault("stall", 10), clock)
    began = clock.now
    with pytest.raises(ConnectError, match="did not start"):
        stage.host.oneshot(ONESHOT)
    assert clock.now - began <= START_TIME + RUN_OVERTIME
    stage.finish("")


@pytest.mark.parametrize("kind", KINDS)
def test_a_oneshot_reports_a_fault_at_any_byte(shell: str, single: Recording, clock: Clock, kind: str) -> None:
    for at in range(single.size()):
        stage = Stage(shell, single, Fault(kind, at), clock)
        results = [stage.attempt(stage.host.oneshot, ONESHOT) for _ in range(2)]
        context = f"{kind} at byte {at} of {single.size()}: {results}"
        first, second = results
        assert isinstance(second, CommandResult), context
        assert (second.stdout, second.stderr, second.retcode) == ("one\n", "two\n", 3), context
        if isinstance(first, CommandResult) and first.retcode is not None and kind != "garbage":
            assert (first.stdout, first.stderr, first.retcode) == ("one\n", "two\n", 3), context
        stage.finish(context)
