"""The local side of ``get``: each source is built in a private stage, and moved into place when it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ..errors import OttoError
from ..result import Status
from .outcomes import Outcomes
from .placement import put_in_place, remove_tree
from .script_channel import Message, ScriptChannel
from .tar_source import SourceError
from .unpack import Unpacker, open_archive

FILE_GREW = "file changed as we read it"
"""What GNU tar says of a file that grew. It has sent as many bytes as the file had at first, which is right."""
FILE_SHRANK = ("shrank by", "Read error", "short read")
"""What tars say when the content of a file is not all there, and they have filled it up or stopped."""
TAR_ERRORS = ("1", "2")
"""Statuses of a tar that could not read everything."""


class Receiver:
    """Takes the sources with the numbers `wanted`, each once, and no others.

    Each is built in the directory `stage`, and from there moved to its destination beside it.
    """

    def __init__(self, stage: str, preserve_times: bool, wanted: Iterable[int], outcomes: Outcomes) -> None:
        self._stage = stage
        self._preserve_times = preserve_times
        self._wanted = set(wanted)
        self._outcomes = outcomes

    def listen(self, script: ScriptChannel) -> dict[int, str]:
        """Take what a script sends. Returns the sources that it has no tool to send, and their paths without links."""
        unsendable = {}
        while (message := script.next()).word != "finished":
            if message.word == "files":
                self._take_files(script, message)
            elif message.number not in self._wanted:
                raise SourceError(message.text)
            elif message.word == "unsendable":
                unsendable[message.number] = os.fsdecode(script.body())
            elif message.word == "bad":
                self.refuse(message.number, message.rest)
            else:
                self._take_sent(script, message)
        return unsendable

    def refuse(self, number: int, reason: str) -> None:
        """Give up a source."""
        self._wanted.discard(number)
        self._outcomes.finish(number, Status.FAILED, reason)

    def take(self, number: int, build: Callable[[Unpacker], str]) -> None:
        """Let `build` build a source, and move it into place. What prevents that is the outcome of this source only.

        `build` returns why something is missing that ought to be there, or ''.
        """
        self._wanted.remove(number)
        unpacker = self._unpacker(number)
        with self._failures_of(number, unpacker):
            missing = build(unpacker)
            self._finish(number, unpacker, missing)

    def _unpacker(self, number: int) -> Unpacker:
        target = os.path.join(self._stage, str(number))
        return Unpacker(target, self._preserve_times, lambda size: self._outcomes.advance(number, size))

    def _finish(self, number: int, unpacker: Unpacker, missing: str = "") -> None:
        destination = self._outcomes[number].destination
        put_in_place(unpacker.target, destination)
        unpacker.close_directories(destination)
        left_out = unpacker.left_out
        if missing or left_out.failed:
            message = "; ".join(filter(None, [missing, left_out.message, "the rest is in place"]))
            self._outcomes.finish(number, Status.FAILED, message, unpacker.size)
        else:
            self._outcomes.finish(number, Status.SUCCESS, left_out.message, unpacker.size)

    @contextmanager
    def _failures_of(self, number: int, unpacker: Unpacker) -> Iterator[None]:
        try:
            yield
        except SourceError as error:
            self.refuse(number, str(error))
        except OSError as error:
            if isinstance(error, OttoError):
                raise
            self.refuse(number, self._explain(number, unpacker, error))
        finally:
            remove_tree(unpacker.target)

    def _explain(self, number: int, unpacker: Unpacker, error: OSError) -> str:
        """Say what went wrong on this machine. What is in the private stage has the name that it has remotely."""
        path = str(error.filename or "")
        why = error.strerror or str(error)
        outcome = self._outcomes[number]
        if path.startswith(unpacker.target):
            return f"{outcome.source.rstrip('/')}{path[len(unpacker.target) :]} cannot be made here: {why}"
        return f"{outcome.destination if not path or path.startswith(self._stage) else path}: {why}"

    def _take_sent(self, script: ScriptChannel, message: Message) -> None:
        """Take one source: its bytes, and the message after them."""

        def build(unpacker: Unpacker) -> str:
            local_error: Exception | None = None
            complete = False
            try:
                if message.word == "tree":
                    complete = unpacker.tree(script)
                else:
                    self._build_file(script, message, unpacker)
            except (SourceError, OSError) as error:
                if isinstance(error, OttoError):
                    raise
                # The script goes on to the end of this source, and its own reason is the better one.
                local_error = error
            status, _, said = script.next().rest.partition(" ")
            missing = "" if status == "0" or _only_grew(status, said) else said or f"it ended with status {status}"
            if missing and not (complete and status in TAR_ERRORS and not any(word in said for word in FILE_SHRANK)):
                raise SourceError(missing)
            if local_error is not None:
                raise local_error
            return missing

        self.take(message.number, build)

    def _build_file(self, script: ScriptChannel, message: Message, unpacker: Unpacker) -> None:
        try:
            mode, size, mtime = (None if word == "-" else word for word in message.rest.split())
            total = self._outcomes[message.number].total = int(size) if size else None
            received = unpacker.file(
                script, int(mode, 8) if mode else None, float(mtime) if mtime else None, limit=total
            )
        except (ValueError, OverflowError) as error:
            raise SourceError(f"the remote shell sent something unexpected: {error}") from error
        if total is not None and received < total:
            raise SourceError(f"it became shorter while it was read: {received} bytes instead of {total}")

    def _take_files(self, script: ScriptChannel, message: Message) -> None:
        """Take files that come together as one tar stream, in the order of their numbers.

        Nothing is moved into place before the script has said that all of it is right. If not, it sends them again.
        """
        numbers = message.numbers
        if not set(numbers) <= self._wanted or len(set(numbers)) != len(numbers):
            raise SourceError(message.text)
        unpackers = {number: self._unpacker(number) for number in numbers}
        failures: dict[int, Exception] = {}
        try:
            with open_archive(script) as archive:
                for number, unpacker in unpackers.items():
                    if (member := archive.next()) is None or not member.isreg():
                        raise SourceError("the tar stream does not hold what was asked for")
                    try:
                        unpacker.member(archive, member)
                    except OSError as error:
                        if isinstance(error, OttoError):
                            raise
                        failures[number] = error
        except SourceError as error:
            failures = dict.fromkeys(numbers, error)
        all_right = script.next().text == "0"
        for number, unpacker in unpackers.items():
            if all_right:
                self._wanted.remove(number)
                with self._failures_of(number, unpacker):
                    if number in failures:
                        raise failures[number]
                    self._finish(number, unpacker)
            else:
                self._outcomes[number].done = 0
                remove_tree(unpacker.target)


def _only_grew(status: str, said: str) -> bool:
    return (
        status == "1"
        and said.startswith("tar: ")
        and all(part.rstrip().endswith(FILE_GREW) for part in said.split("tar: ")[1:])
    )
