"""The sums of time limits, as the documentation has them. That they hold is tried in ``faults/test_offsets.py``."""

from __future__ import annotations

from pathlib import Path

from otto_docker_sync.limits import CLOSE_LIMIT, ONESHOT_OVERTIME, RUN_OVERTIME, START_TIME

PAGE = Path(__file__).parents[2] / "docs/reliability.rst"


def test_the_documentation_has_the_sums_of_the_time_limits() -> None:
    text = PAGE.read_text()
    for name, cell in (
        ("oneshot", f"{ONESHOT_OVERTIME:g} s more"),
        ("run", f"{RUN_OVERTIME:g} s more"),
        ("close", f"{CLOSE_LIMIT:g} s in all"),
    ):
        assert f"* - ``{name}``\n     - {cell}\n" in text
    assert f"given up after {START_TIME:g} s" in text
