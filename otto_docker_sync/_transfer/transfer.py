"""Files in and out of any host: ``put`` and ``get``.

One way serves all hosts: a shell at the far end takes a tar stream into a private directory beside the files that are
to be replaced, and moves what is whole into place (put); or sends files and tar streams, which are built in a private
directory beside the local files to be replaced, and moved when they are whole (get). In a container the shell runs
there, so that what it sees is the truth. Where the shell lacks a tool, or nothing can be run, a courier carries the
bytes:
``docker cp`` for a container, SFTP for a host.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, Union

from .._channel.backend import Backend
from ..deadline import Deadline
from ..errors import ConfigError, ContainerNotRunning, LocalFileError, ShellNotFound
from ..result import Status, TransferResult
from .dialogue import Dialogue
from .outcomes import Item, Ledger, Progress
from .receiver import Receiver
from .scripts import STAGE, receive_script, send_script
from .tar_source import Cargo, LocalTree, Owner, Refused

Paths = Union[str, "os.PathLike[str]", Iterable[Union[str, "os.PathLike[str]"]]]

BATCH_SIZE = 64 << 20
"""Bytes of sources that go in one stream. When such a stream fails, each of its sources is sent once more, alone."""


def put(
    backend: Backend,
    src_files: Paths,
    dest_dir: str | os.PathLike[str],
    *,
    mode: int | None = None,
    times: bool = False,
    progress: Progress | None = None,
    deadline: Deadline,
) -> TransferResult:
    """Copy local files and directories into a directory of `host`; see ``Host.put``."""
    if mode is not None and (isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode <= 0o7777):
        raise ConfigError(f"put: mode={mode!r}: give permissions such as 0o644, or None to keep each file's own")
    destination = _path(dest_dir)
    ledger = Ledger(backend.id, progress, deadline)
    parcels = []
    for source in _paths(src_files):
        path = os.path.expanduser(source)
        name = os.path.basename(os.path.abspath(path))
        item = ledger.enter(source, posixpath.join(destination, name))
        if not name:
            ledger.settle(item, Status.FAILED, "the root directory has no name that it could have there")
            continue
        try:
            tree = LocalTree.of(path)
        except FileNotFoundError:
            raise LocalFileError(f"put: there is no file or directory {source!r} on this machine") from None
        except Refused as refused:
            ledger.settle(item, Status.FAILED, str(refused))
            continue
        item.total = tree.size
        parcels.append(_Parcel(item, name, tree))
    names = ledger.unique({parcel.item.number: parcel.name for parcel in parcels})
    parcels = [parcel for parcel in parcels if parcel.item.number in names]
    return ledger.result_of(_Put(backend, destination, mode, times, parcels, ledger, deadline).run)


def get(
    backend: Backend,
    src_files: Paths,
    dest_dir: str | os.PathLike[str],
    *,
    times: bool = False,
    progress: Progress | None = None,
    deadline: Deadline,
) -> TransferResult:
    """Copy files and directories of `host` into a local directory; see ``Host.get``."""
    destination = os.path.expanduser(_path(dest_dir))
    ledger = Ledger(backend.id, progress, deadline)
    names = {}
    for source in _paths(src_files):
        name = posixpath.basename(source.rstrip("/"))
        item = ledger.enter(source, os.path.join(destination, name))
        if name in ("", ".", ".."):
            ledger.settle(item, Status.FAILED, "this path does not end in a name: give the directory's own")
        else:
            names[item.number] = name
    sources = {number: ledger[number].source for number in ledger.unique(names)}
    if not sources:
        return ledger.result()
    try:
        stage = tempfile.mkdtemp(prefix=STAGE, dir=destination)
    except OSError as error:
        ledger.settle_all(Status.FAILED, f"{destination}: {error.strerror}")
        return ledger.result()
    try:
        receiver = Receiver(stage, times, sources, ledger)
        return ledger.result_of(_Get(backend, sources, receiver, ledger, deadline).run)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


class Courier(Protocol):
    """Carries bytes past the remote shell. Raises `Refused` with what went wrong."""

    needs_shell: bool
    """Whether a remote shell has to move what it brings into place."""

    def bring(self, cargo: Cargo, destination: str, owner: Owner | None, *, staged: bool) -> None:
        """Put the trees into a directory, laid out as by `Cargo.stream`."""

    def fetch(self, sources: dict[int, str], receiver: Receiver) -> None:
        """Get sources by their paths."""


def _converse(backend: Backend, script: Callable[[str], str], deadline: Deadline) -> Dialogue | None:
    """Start a script; None where no shell runs, and files can be carried without one."""
    try:
        return backend.retry_once_recovered(lambda: Dialogue.start(backend, script, deadline), deadline)
    except (ContainerNotRunning, ShellNotFound):
        courier: Courier | None = backend.file_fallback(deadline)
        if courier is None or courier.needs_shell:
            raise
        return None


class _Nowhere(Refused):
    """The destination is none, for any source."""


@dataclass(frozen=True)
class _Parcel:
    item: Item
    name: str
    tree: LocalTree


@dataclass
class _Put:
    backend: Backend
    destination: str
    mode: int | None
    times: bool
    parcels: list[_Parcel]
    ledger: Ledger
    deadline: Deadline

    def run(self) -> None:
        for batch in _batches(self.parcels):
            self._attempt(batch)
            for parcel in batch:
                if self.ledger.is_open(parcel.item):
                    self._attempt([parcel])

    def _attempt(self, parcels: list[_Parcel]) -> None:
        """Send a batch. What is to blame for a failure is settled; what only went with it stays open."""
        for parcel in parcels:
            parcel.item.done = 0
        trees = [(parcel.item.number, parcel.name, parcel.tree) for parcel in parcels]
        cargo = Cargo(trees, self.mode, self.times, self.ledger.advance)
        try:
            self._send(cargo)
        except _Nowhere as refused:
            self.ledger.settle_all(Status.FAILED, str(refused))
        except Refused as refused:
            for parcel in parcels:
                if len(parcels) == 1 or parcel.item.number == refused.number:
                    self.ledger.settle(parcel.item, Status.FAILED, str(refused))

    def _send(self, cargo: Cargo) -> None:
        options = "po" if self.times else "pom"
        dialogue = _converse(
            self.backend, lambda nonce: receive_script(nonce, self.destination, options), self.deadline
        )
        self.ledger.begun = True
        courier: Courier | None = self.backend.file_fallback(self.deadline)
        place, owner = "", None
        if dialogue is not None:
            with dialogue:
                answer = dialogue.next()
                if answer.word == "owner":
                    owner, place = _owner(answer.text), os.fsdecode(dialogue.body().removesuffix(b"\n"))
                    answer = dialogue.next()
                if answer.word == "nowhere":
                    raise _Nowhere(answer.text)
                if answer.word == "tar":
                    dialogue.send(chain([b"tar\n"], cargo.stream(staged=True)))
                    dialogue.send_end()
                elif courier is None:
                    raise _Nowhere("its shell finds no tar, mkdir, mv and rm")
                elif answer.word == "courier":
                    # The shell there waits, and moves what has arrived; it also removes it, should we be gone.
                    courier.bring(cargo, f"{place.rstrip('/')}/{STAGE}{dialogue.nonce}", owner, staged=True)
                    dialogue.send([b"courier\n"])
                elif courier.needs_shell:
                    raise _Nowhere("its shell finds no mkdir, mv and rm")
                if answer.word != "bare":
                    return self._listen(dialogue, cargo)
        assert courier is not None  # or there was a dialogue
        courier.bring(cargo, place or self.destination, owner, staged=False)
        for number, _, tree in cargo.trees:
            self.ledger.settle(self.ledger[number], Status.SUCCESS, size=tree.size)

    def _listen(self, dialogue: Dialogue, cargo: Cargo) -> None:
        sizes = {number: tree.size for number, _, tree in cargo.trees}
        while (message := dialogue.next()).word != "done":
            if message.number not in sizes:
                raise Refused(message.text)
            item = self.ledger[message.number]
            if message.word == "ok":
                self.ledger.settle(item, Status.SUCCESS, size=sizes[item.number])
            else:
                self.ledger.settle(item, Status.FAILED, message.rest)


@dataclass
class _Get:
    backend: Backend
    sources: dict[int, str]
    receiver: Receiver
    ledger: Ledger
    deadline: Deadline

    def run(self) -> None:
        try:
            self._run()
        except Refused as refused:
            self.ledger.settle_all(Status.FAILED, str(refused))

    def _run(self) -> None:
        dialogue = _converse(self.backend, lambda nonce: send_script(nonce, self.sources.items()), self.deadline)
        self.ledger.begun = True
        courier: Courier | None = self.backend.file_fallback(self.deadline)
        if dialogue is not None:
            with dialogue:
                away = self.receiver.listen(dialogue)
        else:
            away = self.sources
        if away and courier is None:
            raise Refused("its shell finds no tar")
        if away and courier is not None:
            courier.fetch(away, self.receiver)


def _owner(text: str) -> Owner | None:
    """From the numbers that /proc has; where there is no /proc, there are none."""
    uid, gid = [*text.split(), "", ""][:2]
    return (int(uid), int(gid)) if uid.isdigit() and gid.isdigit() else None


def _batches(parcels: list[_Parcel]) -> Iterator[list[_Parcel]]:
    batch: list[_Parcel] = []
    for parcel in parcels:
        if batch and sum(each.tree.size for each in [*batch, parcel]) > BATCH_SIZE:
            yield batch
            batch = []
        batch.append(parcel)
    if batch:
        yield batch


def _paths(given: Any) -> list[str]:
    many = given if isinstance(given, Iterable) and not isinstance(given, (str, bytes, os.PathLike)) else [given]
    return list(dict.fromkeys(map(_path, many)))


def _path(given: Any) -> str:
    path = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"{given!r} is no path: give a str or an os.PathLike")
    return path
