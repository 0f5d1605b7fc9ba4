"""What the verbs return: statuses, checks and the texts of errors."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from otto_docker_sync.errors import CommandFailed, OttoError, TransferFailed
from otto_docker_sync.result import (
    CommandResult,
    ExpectMatch,
    FileResult,
    RunResult,
    Status,
    TransferResult,
)

GOOD = CommandResult("true", status=Status.SUCCESS, retcode=0, host="carrot")
BAD = CommandResult("make", output="one\ntwo\n", status=Status.FAILED, retcode=2, host="carrot")
LOST = CommandResult("make", status=Status.ERROR, message="timed out after 5 s", timed_out=True, host="carrot")
SKIPPED = CommandResult("make", status=Status.SKIPPED, message="no time left", host="carrot")


class TestCommandResult:
    @pytest.mark.parametrize(("result", "ok"), [(GOOD, True), (BAD, False), (LOST, False), (SKIPPED, False)])
    def test_ok_is_success_and_nothing_else(self, result: CommandResult, ok: bool) -> None:
        assert (result.ok, result.failed) == (ok, not ok)

    @pytest.mark.parametrize("name", ["returncode", "rc", "exit_code"])
    def test_the_exit_status_has_the_names_that_people_know(self, name: str) -> None:
        assert getattr(BAD, name) == BAD.retcode == 2
        assert getattr(LOST, name) is None

    def test_it_is_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            GOOD.retcode = 1  # type: ignore[misc]

    def test_check_hands_on_what_is_ok(self) -> None:
        assert GOOD.check() is GOOD

    def test_check_raises_with_host_command_status_and_last_lines(self) -> None:
        with pytest.raises(CommandFailed) as caught:
            BAD.check()
        assert caught.value.result is BAD
        assert isinstance(caught.value, OttoError)
        for part in ("carrot", "make", "exit status 2", "one\ntwo"):
            assert part in str(caught.value)

    def test_the_reason_beats_an_unknown_status(self) -> None:
        with pytest.raises(CommandFailed, match="timed out after 5 s"):
            LOST.check()

    def test_the_error_shows_the_end_of_a_long_output_and_the_start_of_a_long_command(self) -> None:
        output = "".join(f"line {number}\n" for number in range(1000))
        result = dataclasses.replace(BAD, command="x" * 100_000, output=output)
        with pytest.raises(CommandFailed) as caught:
            result.check()
        text = str(caught.value)
        assert "line 999" in text
        assert "line 900" not in text
        assert len(text) < 2000

    @pytest.mark.parametrize(("result", "ok"), [(GOOD, True), (BAD, False), (LOST, False), (SKIPPED, False)])
    def test_it_is_true_when_it_is_ok(self, result: CommandResult, ok: bool) -> None:
        assert bool(result) is ok

    def test_its_repr_is_one_short_line_that_says_how_it_ended(self) -> None:
        long = dataclasses.replace(BAD, command="make\n" * 1000, output="noise\n" * 1000 + "no rule\n\n")
        assert repr(long).startswith("<CommandResult carrot: 'make make")
        assert repr(long).endswith("exit status 2, last line 'no rule'>")
        assert len(repr(long)) < 250
        assert repr(LOST) == "<CommandResult carrot: 'make': timed out after 5 s>"


class TestRunResult:
    def test_it_is_true_when_all_are_ok(self) -> None:
        assert RunResult([GOOD, GOOD]) and RunResult([])
        assert not RunResult([GOOD, BAD])

    def test_its_output_is_that_of_all(self) -> None:
        assert RunResult([BAD, GOOD, BAD]).output == "one\ntwo\none\ntwo\n"

    def test_its_repr_is_one_short_line(self) -> None:
        assert repr(RunResult([GOOD] * 100 + [BAD])).startswith("<RunResult 100 success, 1 failed; first: <CommandRes")
        assert len(repr(RunResult([GOOD] * 100 + [BAD]))) < 250

    def test_it_is_a_sequence(self) -> None:
        result = RunResult([GOOD, BAD])
        assert (len(result), result[0], result[-1], list(result)) == (2, GOOD, BAD, [GOOD, BAD])
        assert list(result[1:]) == [BAD]

    @pytest.mark.parametrize(
        ("results", "status"),
        [
            ([], Status.SUCCESS),
            ([GOOD, GOOD], Status.SUCCESS),
            ([GOOD, BAD, LOST], Status.FAILED),
            ([LOST, BAD], Status.ERROR),
            ([GOOD, SKIPPED], Status.SKIPPED),
        ],
    )
    def test_its_status_is_that_of_the_first_that_is_not_ok(self, results: list[CommandResult], status: Status) -> None:
        result = RunResult(results)
        assert (result.status, result.ok) == (status, status is Status.SUCCESS)

    def test_check_raises_for_the_first_that_is_not_ok(self) -> None:
        good = RunResult([GOOD])
        assert good.check() is good
        with pytest.raises(CommandFailed) as caught:
            RunResult([GOOD, BAD, LOST]).check()
        assert caught.value.result is BAD

    def test_only_is_the_one_there_is(self) -> None:
        assert RunResult([BAD]).only is BAD
        for results in ([], [GOOD, BAD]):
            with pytest.raises(ValueError, match="values to unpack"):
                RunResult(results).only  # noqa: B018 (it raises)


class TestExpectMatch:
    def test_it_is_the_text_and_knows_how_it_matched(self) -> None:
        match = re.search(r"(\w+) login:", "lab login:")
        result = ExpectMatch("hello\nlab login:", 1, "hello\n", match)
        assert result == "hello\nlab login:"
        assert result.endswith("login:")
        assert (result.index, result.before, result.match) == (1, "hello\n", match)
        assert result.groups() == ("lab",)

    def test_without_a_match_it_has_no_groups(self) -> None:
        assert ExpectMatch("rest", 0, "rest", None).groups() == ()


class TestTransferResult:
    def test_it_is_true_when_all_arrived(self) -> None:
        assert TransferResult({"/a": self.good}) and self.good
        assert not TransferResult({"/a": self.good, "/b": self.bad}) and not self.bad

    def test_its_repr_is_one_short_line(self) -> None:
        files = {f"/{number}": self.good for number in range(100)}
        assert repr(TransferResult(files, "carrot")) == "<TransferResult carrot: 100 of 100 transferred>"
        assert "no such file" in repr(TransferResult({"/b": self.bad}, "carrot"))

    good = FileResult("/a", "/tmp/a", Status.SUCCESS, 5)
    bad = FileResult("/b", "/tmp/b", Status.FAILED, message="no such file")

    def test_it_maps_sources_to_outcomes(self) -> None:
        result = TransferResult({"/a": self.good, "/b": self.bad}, "carrot")
        assert (list(result), len(result)) == (["/a", "/b"], 2)
        assert result["/a"] is result[Path("/a")] is self.good
        assert "/c" not in result

    def test_its_status_is_that_of_the_first_that_is_not_ok(self) -> None:
        assert TransferResult({"/a": self.good}).status is Status.SUCCESS
        assert TransferResult({"/a": self.good}).ok
        result = TransferResult({"/a": self.good, "/b": self.bad})
        assert (result.status, result.ok) == (Status.FAILED, False)

    def test_check_names_the_host_and_what_failed(self) -> None:
        good = TransferResult({"/a": self.good}, "carrot")
        assert good.check() is good
        result = TransferResult({"/a": self.good, "/b": self.bad}, "carrot")
        with pytest.raises(TransferFailed) as caught:
            result.check()
        assert caught.value.result is result
        for part in ("carrot", "/b", "no such file"):
            assert part in str(caught.value)
        assert "/a" not in str(caught.value).replace("/tmp", "")
