"""Files in and out of any host: ``put`` and ``get``.

One way serves all hosts, through a script in a remote shell. For ``put`` it takes a tar stream into a private
directory beside the files that are to be replaced, and moves what is whole into place. For ``get`` it sends files and
tar streams, which are built in a private directory beside the local files to be replaced, and moved when they are
whole. In a container the shell runs there, so what it sees is the truth. Where the shell lacks a tool, or nothing can
be run, a fallback transport carries the bytes: ``docker cp`` for a container, SFTP for a machine.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .._channel.backend import Backend
from ..deadline import Deadline
from ..errors import ConfigError, ContainerNotRunning, LocalFileError, ShellNotFound
from ..limits import BATCH_SIZE, EARLY_SIZE
from ..result import Paths, Status, TransferResult
from .outcomes import Outcomes, Progress
from .placement import remove_tree
from .receiver import Receiver
from .script_channel import ScriptChannel
from .scripts import STAGE_PREFIX, receive_script, send_script
from .sweep import stage_removed, sweep
from .tar_source import LocalTree, Owner, SourceError, TarSource

OWNER = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*\$?(:[a-zA-Z0-9_][a-zA-Z0-9_.-]*)?\Z")


def put(
    backend: Backend,
    src_files: Paths,
    dest_dir: str | os.PathLike[str],
    *,
    mode: int | None = None,
    owner: str | None = None,
    preserve_times: bool = False,
    progress: Progress | None = None,
    deadline: Deadline,
) -> TransferResult:
    """Copy local files and directories into a directory of a host; see ``Host.put``."""
    if mode is not None and (isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode <= 0o7777):
        raise ConfigError(f"put: mode={mode!r}: pass permissions such as 0o644, or None to keep each file's own")
    if owner is not None and not (isinstance(owner, str) and OWNER.match(owner)):
        raise ConfigError(f"put: owner={owner!r}: pass a user, or a user and a group as 'user:group'")
    destination = _path(dest_dir)
    outcomes = Outcomes(backend.id, progress, deadline)
    sources = []
    for source in _paths(src_files):
        path = os.path.expanduser(source)
        name = os.path.basename(os.path.abspath(path))
        state = outcomes.add(source, posixpath.join(destination, name))
        if not name:
            outcomes.finish(state.number, Status.FAILED, "the root directory has no name that it could have there")
            continue
        try:
            tree = LocalTree.of(path)
        except FileNotFoundError:
            raise LocalFileError(f"put: there is no file or directory {source!r} on this machine") from None
        except SourceError as error:
            outcomes.finish(state.number, Status.FAILED, str(error))
            continue
        state.total = tree.size
        sources.append(_Source(state.number, name, tree))
    names = outcomes.drop_duplicates({source.number: source.name for source in sources})
    sources = [source for source in sources if source.number in names]
    transfer = _Put(backend, destination, mode, owner or "", preserve_times, sources, outcomes, deadline)
    return outcomes.result_of(transfer.run)


def get(
    backend: Backend,
    src_files: Paths,
    dest_dir: str | os.PathLike[str],
    *,
    preserve_times: bool = False,
    progress: Progress | None = None,
    deadline: Deadline,
) -> TransferResult:
    """Copy files and directories of a host into a local directory; see ``Host.get``."""
    destination = os.path.expanduser(_path(dest_dir))
    outcomes = Outcomes(backend.id, progress, deadline)
    names = {}
    for source in _paths(src_files):
        name = posixpath.basename(source.rstrip("/"))
        state = outcomes.add(source, os.path.join(destination, name))
        if name in ("", ".", ".."):
            message = "this path does not end in a name: write the directory's own name"
            outcomes.finish(state.number, Status.FAILED, message)
        else:
            names[state.number] = name
    sources = {number: outcomes[number].source for number in outcomes.drop_duplicates(names)}
    if not sources:
        return outcomes.result()
    try:
        stage = tempfile.mkdtemp(prefix=STAGE_PREFIX, dir=destination)
    except OSError as error:
        outcomes.finish_all(Status.FAILED, f"{destination}: {error.strerror}")
        return outcomes.result()
    try:
        receiver = Receiver(stage, preserve_times, sources, outcomes)
        return outcomes.result_of(_Get(backend, sources, receiver, outcomes, deadline).run)
    finally:
        remove_tree(stage)


class FallbackTransport(Protocol):
    """Carries bytes past the remote shell. Raises `SourceError` with what went wrong."""

    needs_shell: bool
    """Whether a remote shell has to move what it puts into place."""

    def put_trees(self, tar_source: TarSource, destination: str, owner: Owner | None, *, staged: bool) -> None:
        """Put the trees into a directory, laid out as by `TarSource.stream`."""

    def get_sources(self, sources: dict[int, str], receiver: Receiver) -> None:
        """Get sources by their paths."""


def _start_script(
    backend: Backend, make_script: Callable[[str], str], deadline: Deadline, data: bytes = b""
) -> ScriptChannel | None:
    """Start a script. None if no shell runs, and files can be carried without one."""
    try:
        return backend.retry_once_recovered(
            lambda: ScriptChannel.start(backend, make_script, deadline, data), deadline
        )
    except (ContainerNotRunning, ShellNotFound):
        transport: FallbackTransport | None = backend.file_fallback(deadline)
        if transport is None or transport.needs_shell:
            raise
        return None


class BadDestination(SourceError):
    """No source can be put there."""


@dataclass(frozen=True)
class _Source:
    number: int
    name: str
    tree: LocalTree


@dataclass
class _Put:
    backend: Backend
    destination: str
    mode: int | None
    owner: str
    preserve_times: bool
    sources: list[_Source]
    outcomes: Outcomes
    deadline: Deadline

    def run(self) -> None:
        """Send all sources. What failed together with others is sent once more, alone, so that it fails or arrives for
        reasons of its own."""
        sweep(self.backend)
        for batch in _batches(self.sources):
            self._attempt(batch)
            for source in batch:
                if self.outcomes.is_open(source.number):
                    self._attempt([source])

    def _attempt(self, sources: list[_Source]) -> None:
        """Send sources in one stream. One that is to blame for a failure has its outcome then; the others stay open."""
        for source in sources:
            self.outcomes[source.number].done = 0
        trees = [(source.number, source.name, source.tree) for source in sources]
        tar_source = TarSource(trees, self.mode, self.preserve_times, self.outcomes.advance)
        try:
            self._send(tar_source)
        except BadDestination as error:
            self.outcomes.finish_all(Status.FAILED, str(error))
        except SourceError as error:
            for source in sources:
                if len(sources) == 1 or source.number == error.number:
                    self.outcomes.finish(source.number, Status.FAILED, str(error))

    def _send(self, tar_source: TarSource, *, early: bool = True) -> None:
        data = b""
        if early and tar_source.estimated_length <= EARLY_SIZE:
            data = b"tar\n" + b"".join(tar_source.stream(staged=True))
        script = _start_script(self.backend, self._script, self.deadline, data)
        self.outcomes.begun = True
        place, owner = "", None
        if script is not None:
            with stage_removed(self.backend, self.destination, script), script:
                answer = script.next()
                if answer.word == "owner":
                    owner, place = _parse_owner(answer.text), os.fsdecode(script.body().removesuffix(b"\n"))
                    answer = script.next()
                if answer.word == "bad_destination":
                    raise BadDestination(answer.text)
                if answer.word == "tar":
                    if not data:
                        script.send([b"tar\n"])
                        script.send(tar_source.stream(staged=True))
                        script.send_end()
                    return self._listen(script, tar_source)
                if answer.word == "fallback" and not data:
                    # The remote shell waits, and moves what has arrived; it also removes it, should we be gone.
                    stage = f"{place.rstrip('/')}/{STAGE_PREFIX}{script.nonce}"
                    self._transport().put_trees(tar_source, stage, owner, staged=True)
                    script.send([b"fallback\n"])
                    return self._listen(script, tar_source)
            if answer.word == "fallback":
                # It was sent a stream that it has no tar for.
                return self._send(tar_source, early=False)
            if answer.word != "bare":
                raise SourceError(f"the remote shell sent something unexpected: {answer.word} {answer.text}"[:300])
        self._put_without_shell(tar_source, place, owner)

    def _script(self, nonce: str) -> str:
        return receive_script(nonce, self.destination, "po" if self.preserve_times else "pom", self.owner)

    def _transport(self) -> FallbackTransport:
        transport: FallbackTransport | None = self.backend.file_fallback(self.deadline)
        if transport is None:
            raise BadDestination("its shell finds no tar, mkdir, mv and rm")
        return transport

    def _put_without_shell(self, tar_source: TarSource, place: str, owner: Owner | None) -> None:
        transport = self._transport()
        if transport.needs_shell:
            raise BadDestination("its shell finds no mkdir, mv and rm")
        if self.owner:
            owner = _parse_owner(self.owner.replace(":", " "))
            if owner is None:
                raise BadDestination(
                    f"owner={self.owner!r}: nothing that could look up a name can be run there; give numbers as uid:gid"
                )
        transport.put_trees(tar_source, place or self.destination, owner, staged=False)
        for number, _, tree in tar_source.trees:
            self._arrived(number, tree)

    def _listen(self, script: ScriptChannel, tar_source: TarSource) -> None:
        trees = {number: tree for number, _, tree in tar_source.trees}
        while (message := script.next()).word != "finished":
            if message.word == "bad_destination":
                raise BadDestination(_without_stage(message.text))
            numbers = message.numbers if message.word == "ok" else [message.number]
            if not numbers or not trees.keys() >= set(numbers):
                raise SourceError(_without_stage(message.text))
            if message.word == "ok":
                for number in numbers:
                    self._arrived(number, trees[number])
            else:
                self.outcomes.finish(message.number, Status.FAILED, _without_stage(message.rest))

    def _arrived(self, number: int, tree: LocalTree) -> None:
        left_out = tree.left_out
        if left_out.failed:
            self.outcomes.finish(number, Status.FAILED, f"{left_out.message}; the rest is in place", tree.size)
        else:
            self.outcomes.finish(number, Status.SUCCESS, left_out.message, tree.size)


@dataclass
class _Get:
    backend: Backend
    sources: dict[int, str]
    receiver: Receiver
    outcomes: Outcomes
    deadline: Deadline

    def run(self) -> None:
        """Get all sources."""
        sweep(self.backend)
        try:
            self._run()
        except SourceError as error:
            self.outcomes.finish_all(Status.FAILED, str(error))

    def _run(self) -> None:
        script = _start_script(self.backend, lambda nonce: send_script(nonce, self.sources.items()), self.deadline)
        self.outcomes.begun = True
        unsendable = self.sources
        if script is not None:
            with script:
                unsendable = self.receiver.listen(script)
        if not unsendable:
            return
        transport: FallbackTransport | None = self.backend.file_fallback(self.deadline)
        if transport is None:
            raise SourceError("its shell finds no tar")
        transport.get_sources(unsendable, self.receiver)


def _without_stage(text: str) -> str:
    """Leave the stage, which nobody knows, out of what programs say about files in it."""
    text = re.sub(rf"(\./)?{re.escape(STAGE_PREFIX)}[0-9a-f]{{16}}/((new|old)/(\./)*)?", "", text)
    return re.sub(r"^tar: new/", "tar: ", text)


def _parse_owner(text: str) -> Owner | None:
    """Read the numbers of a user and a group. None if these are not numbers; the group may be missing."""
    uid, _, gid = text.partition(" ")
    gid = gid.strip() or "0"
    return (int(uid), int(gid)) if uid.isdigit() and gid.isdigit() else None


def _batches(sources: list[_Source]) -> Iterator[list[_Source]]:
    batch: list[_Source] = []
    size = 0
    for source in sources:
        if batch and size + source.tree.size > BATCH_SIZE:
            yield batch
            batch, size = [], 0
        batch.append(source)
        size += source.tree.size
    if batch:
        yield batch


def _paths(given: Any) -> list[str]:
    many = given if isinstance(given, Iterable) and not isinstance(given, (str, bytes, os.PathLike)) else [given]
    return list(dict.fromkeys(map(_path, many)))


def _path(given: Any) -> str:
    path = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"{given!r} is not a valid path: pass a str or an os.PathLike")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{given!r} is not a valid path: no file system has such a name: {error.reason}") from error
    return path
