"""What arrives from a far end becomes local files, without trust in who sent it.

A source is built in a private stage first, and moved into place when it is whole. The rules are those of `tarfile`'s
``data`` filter: nothing but files, directories and links; nothing that lands, or points, outside the tree; no setuid.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from .tar_source import PIECE, Refused

PERMISSIONS = 0o777
HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
HEADER_LIMIT = 1 << 20
"""Bytes of one of `HEADERS`, which `tarfile` reads into memory."""


class Source(Protocol):
    """A stream of bytes: `read` returns at most `size`, and none at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass
class Unpacker:
    """Builds one source at the path ``target``, which does not exist.

    ``size`` is the bytes of all its files so far; ``received`` hears of each piece. With ``times``, modification times
    are kept.
    """

    target: str
    times: bool
    received: Callable[[int], object]
    size: int = 0
    _links: dict[str, str] = field(default_factory=dict)
    _directories: list[tuple[str, int, float]] = field(default_factory=list)

    def file(self, source: Source, mode: int | None, mtime: float | None, parts: Sequence[str] = ()) -> int:
        """Write a file and return its size. ``mode`` None is what a new file has by default."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        size = 0
        with open(os.open(self.place(parts), flags, 0o666 if mode is None else 0o600), "wb", buffering=0) as file:
            while piece := source.read(PIECE):
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
                size += len(piece)
                self.size += len(piece)
                self.received(len(piece))
            if mode is not None:
                os.fchmod(file.fileno(), mode & PERMISSIONS)
            if self.times and mtime is not None:
                os.utime(file.fileno(), (mtime, mtime))
        return size

    def tree(self, stream: Source) -> None:
        """Build what a tar stream holds: one file, or one directory and all in it, under any name.

        Raises `Refused` for what must not be in it.
        """
        try:
            with tarfile.open(
                fileobj=cast(Any, stream),
                mode="r|",
                bufsize=PIECE,
                encoding="utf-8",
                errors="surrogateescape",
                tarinfo=_Member,
            ) as archive:
                self._members(archive)
            self.finish()
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise Refused(f"the tar stream is damaged: {error}") from error

    def place(self, parts: Sequence[str]) -> str:
        """The local path for what is at `parts` of the tree. Nothing but real directories are on the way to it, since
        links are made last."""
        if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
            raise Refused(f"{'/'.join(parts)!r} is outside of the tree that was asked for")
        return os.path.join(self.target, *parts)

    def directory(self, parts: Sequence[str], mode: int, mtime: float) -> None:
        path = self.place(parts)
        os.makedirs(path, 0o700, exist_ok=True)
        self._directories.append((path, mode, mtime))

    def link(self, parts: Sequence[str], to: str) -> None:
        if not parts:
            raise Refused("what arrived is a link")
        self._links[self.place(parts)] = to

    def finish(self) -> None:
        """Make the links, and give the directories their modes, as far as these let their owner in.

        Raises `Refused` for a link that leads out of the tree.
        """
        for path, to in self._links.items():
            os.symlink(to, path)
        root = os.path.realpath(self.target)
        for path, to in self._links.items():
            if os.path.isabs(to) or os.path.commonpath([root, os.path.realpath(path)]) != root:
                raise Refused(f"{path[len(self.target) + 1 :]} is a link to {to}, outside of the tree")
        for path, mode, mtime in reversed(self._directories):
            os.chmod(path, mode & PERMISSIONS | 0o700)
            if self.times:
                os.utime(path, (mtime, mtime))

    def close_directories(self, place: str) -> None:
        """Once the tree is in its `place`: give the directories that shut out their own owner their modes, too."""
        for path, mode, _ in reversed(self._directories):
            if mode & 0o700 != 0o700:
                os.chmod(place + path[len(self.target) :], mode & PERMISSIONS)

    def _members(self, archive: tarfile.TarFile) -> None:
        top: list[str] | None = None
        while (member := archive.next()) is not None:
            cast(Any, archive).members.clear()  # it would remember every member of the stream
            top = _parts(member.name) if top is None else top
            parts = _below(top, member.name)
            if member.isdir():
                self.directory(parts, member.mode, member.mtime)
            elif member.issym():
                self.link(parts, member.linkname)
            elif member.islnk():
                self._hard_link(self.place(_below(top, member.linkname)), self.place(parts))
            elif member.isreg() and not member.issparse():  # a sparse one could fill the disk with a few bytes
                content = archive.extractfile(member)
                if content is None or self.file(content, member.mode, member.mtime, parts) != member.size:
                    raise Refused(f"{member.name} arrived cut")
            else:
                raise Refused(f"{member.name} is neither a file, a directory nor a link")

    def _hard_link(self, first: str, path: str) -> None:
        if first in self._links:
            self._links[path] = self._links[first]
        elif not stat.S_ISREG(os.lstat(first).st_mode):
            raise Refused(f"{first} is no file that could have another name")
        else:
            try:
                os.link(first, path, follow_symlinks=False)
            except OSError:  # the file system has no such thing
                shutil.copy2(first, path, follow_symlinks=False)


class _Member(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type in HEADERS and member.size > HEADER_LIMIT:
            raise Refused(f"a header of {member.size} bytes is no honest one")
        return member


def _below(top: list[str], name: str) -> list[str]:
    parts = _parts(name)
    if parts[: len(top)] != top:
        raise Refused(f"{name!r} is outside of the tree that was asked for")
    return parts[len(top) :]


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def put_in_place(source: str, target: str) -> None:
    """Move `source` to `target`: directories into those that are there, all else in place of what is there.

    A link at the target is replaced, never followed. Raises `Refused` before anything has changed.
    """
    for move in (False, True):
        _merge(source, target, move)


def _merge(source: str, target: str, move: bool) -> None:
    folder = stat.S_ISDIR(os.lstat(source).st_mode)
    there = None
    with suppress(FileNotFoundError):
        there = os.lstat(target).st_mode
    if there is not None and stat.S_ISDIR(there):
        if not folder:
            raise Refused(f"{target} is a directory")
        for child in os.listdir(source):
            _merge(os.path.join(source, child), os.path.join(target, child), move)
    elif folder and there is not None and not stat.S_ISLNK(there):
        raise Refused(f"{target} is not a directory")
    elif not move:
        if not os.access(os.path.dirname(target), os.W_OK):
            raise Refused(f"no permission to write in {os.path.dirname(target)}")
    else:
        if folder and there is not None:
            os.unlink(target)
        os.replace(source, target)
