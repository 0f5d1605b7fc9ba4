"""The sums of time limits, as the documentation has them. That they hold is tried in ``faults/test_offsets.py``."""

from __future__ import annotations

import ast
from pathlib import Path

from otto_docker_sync import limits
from otto_docker_sync.limits import CLOSE_LIMIT, ONESHOT_OVERTIME, RUN_OVERTIME, START_TIME

PAGE = Path(__file__).parents[2] / "docs/reliability.rst"


def test_each_limit_has_a_name_of_its_own() -> None:
    assigned = [
        target.id
        for statement in ast.parse(Path(limits.__file__).read_text()).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
    assert len(assigned) > 50 and len(set(assigned)) == len(assigned)


def test_the_documentation_has_the_sums_of_the_time_limits() -> None:
    text = PAGE.read_text()
    for name, cell in (
        ("oneshot", f"{ONESHOT_OVERTIME:g} s more"),
        ("run", f"{RUN_OVERTIME:g} s more"),
        ("close", f"{CLOSE_LIMIT:g} s in all"),
    ):
        assert f"* - ``{name}``\n     - {cell}\n" in text
    assert f"given up after {START_TIME:g} s" in text
