"""A transfer that breaks off at every byte: whole or not at all, and the result says which."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from otto_docker_sync import Status, TransferResult
from otto_docker_sync._channel.base import Channel
from otto_docker_sync._transfer import transfer
from otto_docker_sync.deadline import Deadline
from otto_docker_sync.errors import OttoError
from tests.faults.scripted import Clock, Fault, Recording, RecordingChannel, ScriptedChannel, ScriptedHost, asked_by

Verb = Callable[[ScriptedHost, Deadline], TransferResult]
KINDS = ["end", "lost", "stall"]
TIMEOUT = 5.0


def record(verb: Verb) -> Recording:
    recording = Recording()

    def opener(argv: Sequence[str], tags: Mapping[str, str], tty: bool) -> Channel:
        return RecordingChannel(argv, recording, tty, tags)

    with ScriptedHost(opener, "/bin/dash") as host:
        verb(host, Deadline.after(None)).check()
    return recording


def replay(verb: Verb, recording: Recording, fault: Fault | None, clock: Clock) -> TransferResult | None:
    """What came of it; None when it was raised that the shell did not start."""

    def opener(argv: Sequence[str], tags: Mapping[str, str], tty: bool) -> Channel:
        return ScriptedChannel(recording, asked_by(argv, tags), tty, clock, fault)

    with ScriptedHost(opener, "/bin/dash") as host:
        try:
            return verb(host, Deadline.after(TIMEOUT))
        except OttoError as error:
            assert "did not start" in str(error)
            return None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("otto_docker_sync.deadline.monotonic", clock)
    return clock


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["file", "tree"])
def test_a_get_that_breaks_off(shape: str, kind: str, tmp_path: Path, clock: Clock) -> None:
    source = tmp_path / "from" / "thing"
    source.parent.mkdir()
    if shape == "tree":
        source.mkdir()
    file = source / "file" if shape == "tree" else source
    file.write_bytes(b"new\n" * 20)
    (tmp_path / "to").mkdir()
    copy = tmp_path / "to" / file.relative_to(source.parent)

    def verb(host: ScriptedHost, deadline: Deadline) -> TransferResult:
        return transfer.get(host.backend, source, tmp_path / "to", deadline=deadline)

    recording = record(verb)
    for at in range(0, recording.size(), 1 if shape == "file" else 701):
        copy.write_bytes(b"old")
        result = replay(verb, recording, Fault(kind, at), clock)
        if result is not None and result.ok:
            assert copy.read_bytes() == file.read_bytes(), at
        else:
            assert copy.read_bytes() == b"old", at
            assert result is None or result.status is Status.ERROR, at
        assert os.listdir(tmp_path / "to") == ["thing"], at
    result = replay(verb, recording, None, clock)
    assert result is not None and result.ok
    assert copy.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_put_that_breaks_off(kind: str, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_bytes(b"new\n" * 20)
    (tmp_path / "to").mkdir()

    def verb(host: ScriptedHost, deadline: Deadline) -> TransferResult:
        return transfer.put(host.backend, tmp_path / "file", tmp_path / "to", preserve_times=True, deadline=deadline)

    recording = record(verb)
    shown = b"".join(data for _, _, data in recording.shown)
    certain = shown.index(b" ok 1\n") + len(b" ok 1\n")
    for at in range(recording.size()):
        result = replay(verb, recording, Fault(kind, at), clock)
        assert (result is not None and result.ok) == (at >= certain), at
    result = replay(verb, recording, None, clock)
    assert result is not None and result.ok
