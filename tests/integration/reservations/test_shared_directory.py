"""A directory that several users of one machine share."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from otto_docker_sync.deadline import Deadline
from otto_docker_sync.reservations.file_backend import FileBackend
from otto_docker_sync.reservations.request import Request

NOBODY = 65534


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One that others may write to, which others can also reach."""
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o1777)
    for parent in place.parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    return place


def reserve_as(uid: int, directory: Path, request_id: str, pipe: Connection) -> None:
    """Hold the tag until told to end; report when it is granted."""
    os.umask(0o077)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    backend = FileBackend(directory / "bench", shared=True)
    lease = backend.submit(Request(request_id, (("carrot",),)), Deadline.after(None))
    pipe.send("submitted")
    lease.wait(Deadline.after(None))
    pipe.send("granted")
    pipe.recv()
    lease.release()
    pipe.send("released")


@pytest.mark.parametrize(("first", "second"), [(0, NOBODY), (NOBODY, 0)])
def test_users_wait_for_each_other(directory, first, second):
    fork = multiprocessing.get_context("fork")
    pipes, processes = [], []

    def start(uid: int, name: str) -> Connection:
        ours, theirs = fork.Pipe()
        process = fork.Process(target=reserve_as, args=(uid, directory, name, theirs))
        process.start()
        pipes.extend((ours, theirs))
        processes.append(process)
        return ours

    def told(pipe: Connection) -> str:
        assert pipe.poll(60)
        return pipe.recv()

    holder = start(first, "one")
    assert [told(holder), told(holder)] == ["submitted", "granted"]
    waiter = start(second, "two")
    assert told(waiter) == "submitted"
    assert {request.id: request.granted for request in FileBackend(directory / "bench", shared=True).requests()} == {
        "one": True,
        "two": False,
    }
    holder.send("end")
    assert told(holder) == "released"
    assert told(waiter) == "granted"
    waiter.send("end")
    assert told(waiter) == "released"
    for process in processes:
        process.join(60)
    # One that dies without a word leaves nothing that another user could not remove.
    dead = start(first, "three")
    assert [told(dead), told(dead)] == ["submitted", "granted"]
    processes[-1].kill()
    processes[-1].join(60)
    after = start(second, "four")
    assert [told(after), told(after)] == ["submitted", "granted"]
    after.send("end")
    assert told(after) == "released"
    processes[-1].join(60)
    for pipe in pipes:
        pipe.close()
