"""The local side of ``get``: each source is built in a private stage, and moved into place when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable

from ..errors import OttoError
from ..result import Status
from .dialogue import Dialogue, Message
from .outcomes import Ledger
from .tar_source import Refused
from .unpack import Unpacker, put_in_place

GROWN = "file changed as we read it"
"""What GNU tar says of a file that grew: as much of it arrived as there was at first."""


class Receiver:
    """Takes the sources with the numbers `wanted`, and no others, each once: into the directory `stage`, and from there
    beside it; tells the ledger."""

    def __init__(self, stage: str, times: bool, wanted: Iterable[int], ledger: Ledger) -> None:
        self._stage = stage
        self._times = times
        self._wanted = set(wanted)
        self._ledger = ledger

    def listen(self, dialogue: Dialogue) -> dict[int, str]:
        """Take what a script sends. Returns the sources that it cannot send, and where these are."""
        away = {}
        while (message := dialogue.next()).word != "done":
            if message.number not in self._wanted:
                raise Refused(message.text)
            if message.word == "away":
                away[message.number] = os.fsdecode(dialogue.body())
            elif message.word == "bad":
                self.refuse(message.number, message.rest)
            else:
                self._take_sent(dialogue, message)
        return away

    def refuse(self, number: int, why: str) -> None:
        self._wanted.discard(number)
        self._ledger.settle(self._ledger[number], Status.FAILED, why)

    def take(self, number: int, build: Callable[[Unpacker], object]) -> None:
        """Let `build` make a source, and move it into place. What prevents that is the outcome of this source only."""
        self._wanted.remove(number)
        item = self._ledger[number]
        room = os.path.join(self._stage, str(number))
        unpacker = Unpacker(
            os.path.join(room, os.path.basename(item.destination)),
            self._times,
            lambda size: self._ledger.advance(number, size),
        )
        try:
            os.mkdir(room, 0o700)
            build(unpacker)
            put_in_place(unpacker.target, item.destination)
            unpacker.close_directories(item.destination)
            self._ledger.settle(item, Status.SUCCESS, size=unpacker.size)
        except Refused as refused:
            self.refuse(number, str(refused))
        except OSError as error:
            if isinstance(error, OttoError):
                raise
            self.refuse(number, f"{error.filename or item.destination}: {error.strerror or error}")
        finally:
            shutil.rmtree(room, ignore_errors=True)

    def _take_sent(self, dialogue: Dialogue, message: Message) -> None:
        def build(unpacker: Unpacker) -> None:
            here: Exception | None = None
            try:
                if message.word == "tree":
                    unpacker.tree(dialogue)
                else:
                    self._file(dialogue, message, unpacker)
            except (Refused, OSError) as error:
                if isinstance(error, OttoError):
                    raise
                here = error
            status, _, said = dialogue.next().rest.partition(" ")
            grown = all(part.rstrip().endswith(GROWN) for part in said.split("tar: ")[1:])
            if status != "0" and not (status == "1" and said.startswith("tar: ") and grown):
                raise Refused(said or f"it ended with status {status} at the far end")
            if here is not None:
                raise here

        self.take(message.number, build)

    def _file(self, dialogue: Dialogue, message: Message, unpacker: Unpacker) -> None:
        try:
            mode, size, mtime = (None if word == "-" else word for word in message.rest.split())
            total = self._ledger[message.number].total = int(size) if size else None
            got = unpacker.file(dialogue, int(mode, 8) if mode else None, float(mtime) if mtime else None)
        except (ValueError, OverflowError) as error:
            raise Refused(f"the far end sent nonsense: {error}") from error
        if total is not None and got < total:
            raise Refused(f"it became shorter while it was read: {got} bytes in place of {total}")
