"""KeyboardInterrupt anywhere in a connection: the next call works, in time, and `close` ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from otto_docker_sync import UnixHost
from otto_docker_sync._ssh import pool

from .helpers import Call
from .interrupts import interrupt_at, places_of

Verb = Callable[[UnixHost, Path], object]
MOST = int(os.environ.get("OTTO_TEST_INTERRUPTS", "8"))
"""How many places of each verb are tried, evenly spread: there are some hundreds."""
FEW = 80
"""Of a verb with fewer places, all are tried."""


def talk(host: UnixHost, _: Path) -> None:
    host.sendline("echo talk")
    host.expect("talk\n", timeout=30)


def start(host: UnixHost, _: Path) -> None:
    with host.start("echo started; sleep 60") as process:
        process.wait_for("started", timeout=30)


def forward(host: UnixHost, _: Path) -> None:
    with host.forward(22):
        pass


def put_and_get(host: UnixHost, directory: Path) -> None:
    (directory / "file").write_text("content")
    host.put(directory / "file", "/tmp")
    host.get("/tmp/file", directory)


VERBS: dict[str, Verb] = {
    "run": lambda host, _: host.run("echo one", timeout=30),
    "oneshot": lambda host, _: host.oneshot("cat >&2; echo one", timeout=30, input="text"),
    "send and expect": talk,
    "put and get": put_and_get,
    "start": start,
    "forward": forward,
    "open_session": lambda host, _: host.open_session("other").run("echo one", timeout=30),
    "read_available": lambda host, _: host.read_available(),
    "rebuild_connections": lambda host, _: host.rebuild_connections(),
    "close": lambda host, _: host.close(),
    "connect": lambda host, _: host.oneshot("echo one", timeout=30),
}


def make_ready(host: UnixHost, verb: str) -> None:
    """Open what the verb is to use, and only that."""
    if verb == "connect":
        host.close()
        return
    host.open_session("other").close()
    assert host.run("true", timeout=30).ok


# What an interrupt has left half made is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("verb", VERBS)
def test_the_next_call_works_after_an_interrupt_anywhere_in_a_connection(
    unix_host: UnixHost, tmp_path: Path, verb: str
) -> None:
    def attempt() -> None:
        VERBS[verb](unix_host, tmp_path)

    attempt()
    make_ready(unix_host, verb)
    places = places_of(attempt)
    chosen = places[:: 1 if len(places) < FEW else 1 + len(places) // MOST]
    if verb == "connect":  # what is being made is known to nobody but the pool
        chosen += [place for place in places if place[0] == pool.__file__]
    for place in chosen:
        make_ready(unix_host, verb)
        interrupt_at(place, attempt)
        # Of another thread: this one has what it owns.
        for again in (unix_host.run, unix_host.oneshot):
            after = Call(lambda again=again: again("echo after", timeout=30)).result(within=40)
            assert after.output == "after\n", f"interrupted at {place}: {after}"
    Call(unix_host.close).result(within=30)
