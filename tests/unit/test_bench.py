"""The bench compares honestly: in turns, and with a reason in place of every figure that is missing."""

from __future__ import annotations

import json

from bench import report
from bench.curves import Curve, Points, make_curves
from bench.measure import NotAvailable, Side, measure
from bench.report import Outcome, Results
from bench.rows import ROUND_TRIPS, Row, make_rows
from bench.tools import LocalDocker, Ours


def side(name, *samples, reason=""):
    return Side(name, list(samples), reason)


def row(**changes):
    return Row(**{"key": "k", "title": "work", "job": None, "tools": (), "reach": 1.5, "rounds": 1, **changes})


def test_all_sides_take_turns_and_the_first_turn_does_not_count():
    turns = []

    def opener(name):
        def sample(meter):
            turns.append(name)
            meter.value = len(turns)

        return lambda _: sample

    sides = measure({"a": opener("a"), "b": opener("b")}, 2)
    assert "".join(turns) == "ab" + "ba" + "ab"
    assert [each.samples for each in sides] == [[4, 5], [3, 6]]


def test_a_side_that_fails_has_a_reason_and_the_others_have_figures():
    closed = []

    def missing(stack):
        raise NotAvailable("not installed: no module named x")

    def wrong(stack):
        stack.callback(closed.append, "wrong")

        def sample(meter):
            raise ValueError("wrong output\nmore")

        return sample

    def fails_at_its_end(stack):
        stack.callback(lambda: 1 / 0)
        return lambda _: None

    sides = measure({"missing": missing, "wrong": wrong, "end": fails_at_its_end}, 3)
    assert [(each.reason, len(each.samples)) for each in sides] == [
        ("not installed: no module named x", 0),
        ("failed: wrong output", 0),
        ("", 3),
    ]
    assert closed == ["wrong"]


def test_figures_are_ratios_to_the_reference():
    outcome = Outcome(row(), [side("ours", 3.0), side("docker", 1.0, 2.0, 9.0), side("b", 8.0), side("a", 4.0)])
    assert outcome.cells() == ["work", "docker, 2 s", "1.50", "1.50", "yes", "a 2.00; b 4.00"]


def test_round_trips_are_no_ratios():
    sides = [side("ours", 1.0), side("raw", 2.0)]
    assert Outcome(row(unit=ROUND_TRIPS, reach=0.9), sides).cells()[2:] == ["1.00", "0.90", "no", "raw 2.00"]


def test_a_missing_figure_is_never_a_gap():
    sides = [side("ours", reason="failed: late"), side("docker", 1.0), side("peer", reason="not installed")]
    assert Outcome(row(), sides).cells()[2:] == ["failed: late", "1.50", "no", "peer: not installed"]
    assert Outcome(row(), [side("ours", 1.0), side("docker", reason="failed: x")]).ours == "no figure"


def test_what_is_written_can_be_read_and_copied_to_the_documentation(tmp_path):
    curve = Curve("output", "output", "MB", None, (1, 2), (Ours, LocalDocker))
    points = [Points("ours", {1: 1.0, 2: 2.5}), Points("docker", {1: 1.0, 2: 2.0})]
    results = Results({"Date": "today"}, [Outcome(row(), [side("ours", 1.0), side("docker", 1.0)])], [(curve, points)])
    report.write(results, tmp_path / "results")
    report.copy_to_docs(tmp_path / "results", tmp_path / "docs")
    written = json.loads((tmp_path / "results/results.json").read_text())
    assert written["rows"][0]["sides"][1]["median"] == 1.0
    assert written["curves"][0]["tools"][0]["doublings"] == [2.5]
    assert "1.00, aim 1.50: yes" in (tmp_path / "results/table.txt").read_text()
    assert (tmp_path / "docs/table.csv").read_text().splitlines()[1] == 'work,"docker, 1 s",1.00,1.50,yes,'


def test_every_row_compares_this_library_with_a_reference_and_has_a_name_of_its_own():
    rows = [*make_rows(quick=False), *make_curves()]
    keys = [each.key for each in rows]
    assert len(keys) == len(set(keys))
    assert all(each.tools[0].name == Ours.name and len(each.tools) > 1 for each in rows)


def test_a_quick_run_has_the_same_rows_but_for_the_largest():
    full, quick = ({each.key for each in make_rows(quick=quick)} for quick in (False, True))
    assert full - quick == {"output-60"} and quick <= full
