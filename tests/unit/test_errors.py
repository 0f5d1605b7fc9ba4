"""Errors and results travel: they can be pickled, copied, sent between processes, and they show no secret."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import subprocess
import sys
from typing import Any

import pexpect
import pytest

from otto_docker_sync import errors, logs
from otto_docker_sync.errors import (
    CommandFailed,
    CommandTimedOut,
    ExpectTimeout,
    OttoError,
    SessionClosed,
    TransferFailed,
    UnknownHost,
)
from otto_docker_sync.logs import HIDDEN, mask
from otto_docker_sync.result import (
    CommandResult,
    ExpectMatch,
    FileProgress,
    FileResult,
    RunResult,
    ShellCommand,
    Status,
    TransferResult,
)

FAILED = CommandResult("make", output="one\n", status=Status.FAILED, retcode=2, host="carrot")
NOT_COPIED = TransferResult({"/b": FileResult("/b", "/tmp/b", Status.FAILED, message="no such file")}, "carrot")
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "CommandFailed": ("it failed", FAILED),
    "CommandTimedOut": ("it took too long", FAILED),
    "TransferFailed": ("not copied", NOT_COPIED),
    "ExpectTimeout": ("nothing came", "the text before"),
    "SessionClosed": ("it ended", "the text before", 3),
}
KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, OttoError)
]  # fmt: skip
WAYS = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def way(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_travels_with_its_text_and_attributes(kind: type[OttoError], way: Any) -> None:
    error = kind(*ARGUMENTS.get(kind.__name__, ("it is broken",)))
    arrived = way(error)
    assert isinstance(arrived, kind)
    assert (str(arrived), repr(arrived)) == (str(error), repr(error))
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize(
    "result",
    [
        FAILED,
        RunResult([FAILED, FAILED]),
        NOT_COPIED,
        NOT_COPIED["/b"],
        FileProgress("/b", 1, None),
        ShellCommand("make", expects={"sure?": "y\n"}, timeout=5),
    ],
    ids=lambda result: type(result).__name__,
)
def test_every_result_travels(result: object, way: Any) -> None:
    assert way(result) == result


def test_a_match_travels_with_its_groups(way: Any) -> None:
    match = ExpectMatch("hello\nlab login:", 1, "hello\n", re.search(r"(\w+) login:", "lab login:"))
    arrived = way(match)
    assert arrived == match and isinstance(arrived, ExpectMatch)
    assert (arrived.index, arrived.before, arrived.groups()) == (1, "hello\n", ("lab",))


def test_errors_and_results_come_back_from_a_pool_of_processes() -> None:
    program = """
import copy, multiprocessing, re
from concurrent.futures import ProcessPoolExecutor
from otto_docker_sync import CommandFailed, CommandTimedOut, CommandResult, ExpectMatch, RunResult, Status

bad = CommandResult("make", output="no rule\\n", status=Status.FAILED, retcode=2, host="carrot")
late = CommandResult("make", timed_out=True, message="timed out after 5 s", host="carrot")
match = ExpectMatch("a login:", 0, "a ", re.search("(login):", "a login:"))
if __name__ == "__main__":
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for result, kind in ((bad, CommandFailed), (late, CommandTimedOut), (RunResult([bad]), CommandFailed)):
            error = pool.submit(result.check).exception()
            assert type(error) is kind, repr(error)
            assert "carrot" in str(error) and error.result in (bad, late)
        assert pool.submit(copy.deepcopy, match).result().groups() == ("login",)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Other words for the same


def test_a_checked_command_that_timed_out_is_a_timeout_error() -> None:
    late = CommandResult("make", timed_out=True, message="timed out after 5 s", host="carrot")
    with pytest.raises(TimeoutError) as caught:
        late.check()
    assert isinstance(caught.value, CommandTimedOut) and isinstance(caught.value, CommandFailed)
    assert caught.value.result is late
    with pytest.raises(CommandTimedOut):
        RunResult([late]).check()


def test_an_unknown_host_is_a_wrong_setting_and_a_failed_lookup() -> None:
    assert issubclass(UnknownHost, (errors.ConfigError, LookupError))


def test_pexpects_own_classes_catch_ours() -> None:
    with pytest.raises(pexpect.TIMEOUT) as late:
        raise ExpectTimeout("nothing came", "before")
    assert late.value.before == "before" and type(late.value).__name__ == "ExpectTimeout"
    assert isinstance(late.value, TimeoutError) and str(late.value) == "nothing came"
    with pytest.raises(pexpect.EOF) as ended:
        raise SessionClosed("it ended", before="rest", retcode=3)
    assert (ended.value.before, ended.value.retcode) == ("rest", 3)
    assert isinstance(ended.value, EOFError)


def test_ours_do_without_pexpect() -> None:
    program = (
        "import sys, pickle; from otto_docker_sync import ExpectTimeout\n"
        "error = ExpectTimeout('late', before='x'); assert 'pexpect' not in sys.modules\n"
        "assert pickle.loads(pickle.dumps(error)).before == 'x' and type(error) is ExpectTimeout\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Secrets


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(logs, "_secrets", ())
    value = "it's hunter2"
    mask(value)
    return value


def test_no_error_and_no_repr_shows_a_secret(secret: str) -> None:
    result = CommandResult(f"login -p {secret}", output=f"{secret}\n", status=Status.FAILED, retcode=1, host="carrot")
    moved = FileResult(secret, secret, Status.FAILED, message=f"no such file: {secret}")
    with pytest.raises(CommandFailed) as failed:
        result.check()
    with pytest.raises(TransferFailed) as not_copied:
        TransferResult({"a": moved}, "carrot").check()
    shown = [result, RunResult([result]), moved, TransferResult({"a": moved}), failed.value, not_copied.value]
    for value in shown:
        assert "hunter2" not in repr(value) and HIDDEN in repr(value)
    assert "hunter2" not in str(failed.value) and "hunter2" not in str(not_copied.value)
    assert result.output == f"{secret}\n", "what a command printed is the caller's"
