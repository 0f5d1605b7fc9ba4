"""SFTP as a fallback, for SSH hosts whose shell has no tar. Names in trees that come from there must be UTF-8."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from ..deadline import Deadline
from ..errors import ConnectError, OttoError
from .left_out import describe_type
from .receiver import Receiver
from .tar_source import Entry, Owner, SourceError, TarSource, content_of
from .unpack import Unpacker


class SFTPTransport:
    """Files over an SFTP channel of its own, which `open_sftp` opens for each use and nobody shares.

    Raises `ConnectError` where the server has no SFTP, `SourceError` with what it says about a file.
    """

    needs_shell = True

    def __init__(self, open_sftp: Callable[[Deadline], AbstractContextManager[Any]], deadline: Deadline) -> None:
        self._open_sftp = open_sftp
        self._deadline = deadline
        self._at = ""

    def put_trees(
        self,
        tar_source: TarSource,
        destination: str,
        owner: Owner | None,  # noqa: ARG002 (the protocol has it)
        *,
        staged: bool,  # noqa: ARG002
    ) -> None:
        """Put the trees into a stage, laid out as by `TarSource.stream`. They belong to who logged in."""
        with self._session() as sftp:
            for directory in ("new", "lists"):
                self._call(sftp.mkdir, f"{destination}/{directory}", 0o700)
            for number, name, tree in tar_source.trees:
                top = f"{destination}/new/{name}"
                paths = [(entry, f"{top}/{entry.name}" if entry.name else top) for entry in tree.entries]
                try:
                    for entry, path in paths:
                        self._put_entry(sftp, tar_source, number, entry, path)
                except SourceError as error:
                    error.number = number
                    raise
                # In the end, because until then their owner must be able to write in them.
                for entry, path in reversed(paths):
                    if entry.is_directory:
                        self._set_mode_and_time(sftp, entry, path, stat.S_IMODE(entry.stat.st_mode), tar_source)
            for name, text in tar_source.lists():
                self._write(sftp, f"{destination}/{name}", [text], lambda _: None)

    def get_sources(self, sources: dict[int, str], receiver: Receiver) -> None:
        """Get sources by their absolute paths."""
        for number, path in sources.items():
            receiver.take(number, partial(self._get_source, path))

    def _put_entry(self, sftp: Any, tar_source: TarSource, number: int, entry: Entry, path: str) -> None:
        if entry.is_directory:
            self._call(sftp.mkdir, path, 0o700)
        elif entry.is_file:
            self._write(sftp, path, content_of(entry), lambda sent: tar_source.sent(number, sent))
            self._set_mode_and_time(sftp, entry, path, tar_source.file_mode(entry), tar_source)
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

    def _set_mode_and_time(self, sftp: Any, entry: Entry, path: str, mode: int, tar_source: TarSource) -> None:
        self._call(sftp.chmod, path, mode)
        if tar_source.preserve_times:
            self._call(sftp.utime, path, (entry.stat.st_mtime, entry.stat.st_mtime))

    def _get_source(self, path: str, unpacker: Unpacker) -> str:
        with self._session() as sftp:
            top = os.fsencode(path)
            waiting: list[tuple[bytes, tuple[str, ...], Any]] = [(top, (), self._call(sftp.stat, path))]
            while waiting:
                inside, parts, about = waiting.pop()
                self._deadline.check()
                self._at = os.fsdecode(inside)
                try:
                    waiting += self._get_entry(sftp, inside, parts, about, unpacker)
                except PermissionError as error:
                    if not parts:
                        raise
                    unpacker.left_out.unreadable("/".join(parts), error.strerror)
        unpacker.finish()
        return ""

    def _get_entry(
        self, sftp: Any, path: bytes, parts: tuple[str, ...], about: Any, unpacker: Unpacker
    ) -> list[tuple[bytes, tuple[str, ...], Any]]:
        """Get one thing of a tree. Returns what is in it, if it is a directory."""
        if stat.S_ISDIR(about.st_mode):
            children = sftp.listdir_attr(path)
            unpacker.directory(parts, stat.S_IMODE(about.st_mode), about.st_mtime)
            return [
                (path + b"/" + os.fsencode(child.filename), (*parts, child.filename), child) for child in children
            ]
        if stat.S_ISLNK(about.st_mode):
            unpacker.link(parts, sftp.readlink(path))
        elif stat.S_ISREG(about.st_mode):
            with sftp.open(path, "rb") as file:
                mode = stat.S_IMODE(about.st_mode)
                size = unpacker.file(file, mode, about.st_mtime, parts, limit=about.st_size or None)
            if size < about.st_size:
                raise SourceError(f"{self._at} became shorter while it was read")
        elif parts:
            unpacker.left_out.skip("/".join(parts), describe_type(about.st_mode))
        else:
            raise SourceError(f"{self._at} is neither a file nor a directory")
        return []

    def _call(self, verb: Callable[..., Any], path: str, *args: Any) -> Any:
        self._at = path
        return verb(os.fsencode(path), *args)

    @contextmanager
    def _session(self) -> Iterator[Any]:
        try:
            with self._open_sftp(self._deadline) as sftp:
                yield sftp
        except ConnectError as error:
            raise SourceError(f"its shell finds no tar, and SFTP does not work: {error}") from error
        except OttoError:
            raise
        except OSError as error:
            raise SourceError(f"{self._at}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{self._at} holds a name that is not UTF-8, which SFTP cannot carry") from error
