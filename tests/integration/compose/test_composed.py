"""Runs that share a stack: it stays until the last has left, and no longer."""

from __future__ import annotations

import signal
import subprocess

import pytest

from otto_docker_sync import ComposeError, compose_up, composed

from .conftest import Bench

RUN = """
with composed("repo1", lab) as services:
    print(services["api"].container_id, flush=True)
    input()
print("left", flush=True)
"""


def leave(bench: Bench, run: subprocess.Popen[str]) -> None:
    bench.tell(run)
    assert bench.said(run) == "left"
    assert run.wait(30) == 0


def test_two_runs_share_a_stack(full_bench: Bench) -> None:
    lab = full_bench.load()
    other = full_bench.run(RUN)
    shared = full_bench.said(other)
    with composed("repo1", lab) as services:
        assert services["api"].container_id == shared
        leave(full_bench, other)
        assert services["api"].oneshot("hostname").output.strip() == shared[:12]
    assert full_bench.containers("-a") == []


def test_a_run_that_crashed_holds_nothing(bench: Bench) -> None:
    lab = bench.load()
    other = bench.run(RUN)
    shared = bench.said(other)
    with composed("repo1", lab), composed("repo1", lab):
        pass
    assert bench.id_of("api") == shared  # it is still in there
    other.send_signal(signal.SIGKILL)
    other.wait(10)
    with composed("repo1", lab) as services:
        assert services["api"].container_id == shared
    assert bench.containers("-a") == []


def test_what_was_up_before_stays_unless_owned(bench: Bench) -> None:
    lab = bench.load()
    before = compose_up("repo1", lab)["api"]
    with composed("repo1", lab, build=False) as services:
        assert services["api"] is before
    assert before.is_running()
    with composed("repo1", lab, build=False, own=True):
        pass
    assert bench.containers("-a") == []


def test_what_somebody_started_by_hand_stays(bench: Bench) -> None:
    lab = bench.load()
    bench.start_by_hand()
    with composed("repo1", lab, build=False):
        pass
    assert len(bench.containers()) == 1


def test_an_error_inside_goes_on_when_the_stack_is_down(bench: Bench) -> None:
    with pytest.raises(KeyError, match="mine"), composed("repo1", bench.load()):
        raise KeyError("mine")
    assert bench.containers("-a") == []


def test_a_stack_that_does_not_come_up_leaves_nothing(bench: Bench) -> None:
    text = bench.compose_file.read_text()
    bench.compose_file.write_text(text.replace("env_file: api.env", "user: nobody-at-all"))
    lab = bench.load()
    with pytest.raises(ComposeError, match="nobody-at-all"), composed("repo1", lab):
        pytest.fail("it is not up")
    assert bench.containers("-a") == []
    assert lab.get("carrot").oneshot(f"ls ~/.cache/otto-docker/{bench.compose_project}").rc == 2
