"""SFTP as a courier, for SSH hosts whose shell has no tar. Names in trees that come from there must be UTF-8."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from ..deadline import Deadline
from ..errors import ConnectError, OttoError
from .receiver import Receiver
from .tar_source import Cargo, Entry, Owner, Refused, content_of
from .unpack import Unpacker


class SFTPCourier:
    """Files over an SFTP channel of its own, which `open_sftp` opens for each use and nobody shares.

    Raises `ConnectError` where the server has no SFTP, `Refused` with what it says about a file.
    """

    needs_shell = True

    def __init__(self, open_sftp: Callable[[Deadline], AbstractContextManager[Any]], deadline: Deadline) -> None:
        self._open_sftp = open_sftp
        self._deadline = deadline
        self._at = ""

    def bring(self, cargo: Cargo, destination: str, owner: Owner | None, *, staged: bool) -> None:  # noqa: ARG002 (the base has it)
        """Put the trees into a directory, laid out as a staged `Cargo.stream`. The owner is who logged in."""
        with self._session() as sftp:
            for number, name, tree in cargo.trees:
                top = f"{destination}/{number}"
                self._call(sftp.mkdir, top, 0o700)
                self._call(sftp.mkdir, f"{top}/data", 0o700)
                paths = [(entry, f"{top}/data/{name}" + f"/{entry.name}" * bool(entry.name)) for entry in tree.entries]
                try:
                    for entry, path in paths:
                        self._bring_entry(sftp, cargo, number, entry, path)
                except Refused as refused:
                    refused.number = number
                    raise
                for entry, path in reversed(paths):
                    if entry.is_directory:
                        self._finish(sftp, entry, path, None, cargo.times)
                self._write(sftp, f"{top}/size", [b"%d\n" % tree.size], lambda _: None)

    def fetch(self, sources: dict[int, str], receiver: Receiver) -> None:
        """Get sources by their absolute paths."""
        for number, path in sources.items():
            receiver.take(number, partial(self._fetch_source, path))

    def _fetch_source(self, path: str, unpacker: Unpacker) -> None:
        with self._session() as sftp:
            self._fetch(sftp, os.fsencode(path), (), unpacker, self._call(sftp.stat, path))
        unpacker.finish()

    def _bring_entry(self, sftp: Any, cargo: Cargo, number: int, entry: Entry, path: str) -> None:
        if entry.is_directory:
            self._call(sftp.mkdir, path, 0o700)
        elif entry.is_file:
            self._write(sftp, path, content_of(entry), lambda sent: cargo.sent(number, sent))
            self._finish(sftp, entry, path, cargo.mode, cargo.times)
        else:
            self._at = path
            sftp.symlink(os.fsencode(entry.link), os.fsencode(path))

    def _write(self, sftp: Any, path: str, pieces: Iterable[bytes], sent: Callable[[int], object]) -> None:
        with self._call(sftp.open, path, "wx") as file:
            file.set_pipelined(True)
            for piece in pieces:
                self._deadline.check()
                file.write(piece)
                sent(len(piece))

    def _finish(self, sftp: Any, entry: Entry, path: str, mode: int | None, times: bool) -> None:
        self._call(sftp.chmod, path, stat.S_IMODE(entry.stat.st_mode) if mode is None else mode)
        if times:
            self._call(sftp.utime, path, (entry.stat.st_mtime, entry.stat.st_mtime))

    def _fetch(self, sftp: Any, path: bytes, parts: Sequence[str], unpacker: Unpacker, about: Any) -> None:
        self._deadline.check()
        self._at = os.fsdecode(path)
        if stat.S_ISDIR(about.st_mode):
            unpacker.directory(parts, stat.S_IMODE(about.st_mode), about.st_mtime)
            for child in sftp.listdir_attr(path):
                inside = path + b"/" + os.fsencode(child.filename)
                self._fetch(sftp, inside, [*parts, child.filename], unpacker, child)
        elif stat.S_ISLNK(about.st_mode):
            unpacker.link(parts, sftp.readlink(path))
        elif stat.S_ISREG(about.st_mode):
            with sftp.open(path, "rb") as file:
                size = unpacker.file(file, stat.S_IMODE(about.st_mode), about.st_mtime, parts)
            if size < about.st_size:
                raise Refused(f"{self._at} became shorter while it was read")
        else:
            raise Refused(f"{self._at} is neither a file nor a directory")

    def _call(self, verb: Callable[..., Any], path: str, *args: Any) -> Any:
        self._at = path
        return verb(os.fsencode(path), *args)

    @contextmanager
    def _session(self) -> Iterator[Any]:
        try:
            with self._open_sftp(self._deadline) as sftp:
                yield sftp
        except ConnectError as error:
            raise Refused(f"its shell finds no tar, and SFTP does not work: {error}") from error
        except OttoError:
            raise
        except OSError as error:
            raise Refused(f"{self._at}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise Refused(f"{self._at} holds a name that is not UTF-8, which SFTP cannot carry") from error
