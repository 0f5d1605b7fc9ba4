"""KeyboardInterrupt, or what else a signal handler raises, at a chosen place of a call."""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import paramiko

import otto_docker_sync

Place = tuple[str, int, str]
"""A file, a line, and whether the line begins or the function returns there."""

_FOLDERS = str(Path(otto_docker_sync.__file__).parent / "_ssh"), str(Path(paramiko.__file__).parent)


def places_of(call: Callable[[], object]) -> list[Place]:
    """Make a call, and return the places it comes by, each once: of the connections, of Paramiko, and of the
    conditions and events of `threading` that these two use."""
    seen: dict[Place, None] = {}
    with _tracing(lambda place: seen.setdefault(place)):
        call()
    return list(seen)


def interrupt_at(place: Place, call: Callable[[], object]) -> bool:
    """Make a call, and raise KeyboardInterrupt when it first comes by a place. Returns whether it did."""
    reached = []

    def look(found: Place) -> None:
        if found == place:
            reached.append(found)
            sys.settrace(None)
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt), _tracing(look):
        call()
    return bool(reached)


@contextmanager
def _tracing(look: Callable[[Place], object]) -> Iterator[None]:
    blocks: set[tuple[FrameType, int]] = set()

    def in_frame(frame: FrameType, event: str, _: Any) -> Any:
        if event in ("line", "return") and not _leaves_block(frame, event, blocks):
            look((frame.f_code.co_filename, frame.f_lineno, event))
        return in_frame

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        return in_frame if _is_ours(frame) else None

    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(None)


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    if name == threading.__file__:
        # Not while one is made: nobody else knows it then.
        return frame.f_code.co_name != "__init__" and isinstance(
            frame.f_locals.get("self"), (threading.Condition, threading.Event)
        )
    return name.startswith(_FOLDERS)


def _leaves_block(frame: FrameType, event: str, blocks: set[tuple[FrameType, int]]) -> bool:
    """Whether a ``with`` line comes again because its block ends: the interpreter handles no signal there."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    if event != "line" or not line.startswith("with "):
        return False
    place = frame, frame.f_lineno
    was_entered = place in blocks
    blocks.add(place)
    return was_entered
