"""What several runs do with one stack at the same moment: each has its outcome, and none breaks another's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .conftest import Bench


def at_once(works: list[Callable[[], object]]) -> list[BaseException | None]:
    with ThreadPoolExecutor(6) as pool:
        return [future.exception() for future in [pool.submit(work) for work in works]]


def test_looking_at_a_stack_and_taking_it_down(bench: Bench) -> None:
    lab = bench.load()
    stack = lab.stack("repo1")
    assert at_once([stack.check, stack.down, stack.down] * 12) == [None] * 36
    left = lab.get("carrot").oneshot("ls -A ~/.cache/otto-docker").check().output.split()
    assert not [name for name in left if name.startswith((".private", bench.compose_project))]


def test_bringing_a_stack_up_and_taking_it_down(bench: Bench) -> None:
    lab = bench.load()
    stack = lab.stack("repo1")
    try:
        assert at_once([stack.up, stack.down] * 4) == [None] * 8
        stack.up()
        assert stack["api"].oneshot("hostname").output.strip() == bench.id_of("api")[:12]
    finally:
        stack.down()
    assert bench.containers("-a") == []
