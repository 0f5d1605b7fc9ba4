"""What arrives from a host becomes local files, without trust in who sent it.

A source is built in a private stage first, and moved into place when it is whole (`placement`). The rules are those of
`tarfile`'s ``data`` filter: nothing but files, directories and links; nothing that lands, or points, outside of the
tree; no set-user-id bit.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from ..limits import FILE_PIECE, HEADER_LIMIT, LINK_LIMIT
from .left_out import LeftOut, describe_type
from .tar_source import BLOCK, SourceError

PERMISSIONS = 0o777
HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


class Source(Protocol):
    """A stream of bytes: `read` returns at most `size`, and none at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass
class Unpacker:
    """Builds one source at the path ``target``, which does not exist.

    ``size`` is the bytes of all its files so far; ``received(size)`` is called after each piece. ``left_out`` is what
    must not be built. With ``preserve_times``, files and directories keep their modification times.
    """

    target: str
    preserve_times: bool
    received: Callable[[int], object]
    size: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    _links: dict[str, str] = field(default_factory=dict)
    _directories: list[tuple[str, int, float]] = field(default_factory=list)

    def file(
        self,
        source: Source,
        mode: int | None,
        mtime: float | None,
        parts: Sequence[str] = (),
        *,
        limit: int | None = None,
    ) -> int:
        """Write a file and return its size.

        `mode` None is what a new file has by default. What `source` has after `limit` bytes is dropped.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        size = 0
        with open(os.open(self.place(parts), flags, 0o666 if mode is None else 0o600), "wb", buffering=0) as file:
            while piece := source.read(FILE_PIECE):
                view = memoryview(piece)[: None if limit is None else limit - size]
                size += len(view)
                self.size += len(view)
                self.received(len(view))
                while view:
                    view = view[file.write(view) :]
            if mode is not None:
                os.fchmod(file.fileno(), mode & PERMISSIONS)
            if self.preserve_times and mtime is not None:
                os.utime(file.fileno(), (mtime, mtime))
        return size

    def tree(self, stream: Source) -> bool:
        """Build what a tar stream holds: one file, or one directory and all in it, under any name.

        Returns whether the stream came to its end, so that what is missing was left out by who sent it. Raises
        `SourceError` for what must not be in it.
        """
        ending = _Ending(stream)
        with open_archive(ending) as archive:
            self._members(archive)
        self.finish()
        return ending.was_complete()

    def place(self, parts: Sequence[str]) -> str:
        """Return the local path for what is at `parts` of the tree. Nothing but real directories are on the way to it,
        since links are made last."""
        if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
            raise SourceError(f"{'/'.join(parts)!r} is outside of the tree that was asked for")
        return os.path.join(self.target, *parts)

    def directory(self, parts: Sequence[str], mode: int, mtime: float) -> None:
        """Make a directory, which gets its mode and time in the end."""
        path = self.place(parts)
        if not os.path.isdir(path):
            os.makedirs(path, 0o700)
        self._directories.append((path, mode, mtime))

    def link(self, parts: Sequence[str], to: str) -> None:
        """Have a link made in the end."""
        if not parts:
            raise SourceError("what arrived is a link")
        self.place(parts)
        self._links["/".join(parts)] = to

    def finish(self) -> None:
        """Make the links that stay inside of the tree, and give the directories their modes, as far as these let their
        owner in."""
        for path, to in self._links.items():
            if self._leads_out(path):
                self.left_out.skip(path, f"a link to {to}, outside of the tree")
            else:
                os.symlink(to, os.path.join(self.target, path))
        for path, mode, mtime in reversed(self._directories):
            os.chmod(path, mode & PERMISSIONS | 0o700)
            if self.preserve_times:
                os.utime(path, (mtime, mtime))

    def close_directories(self, place: str) -> None:
        """Once the tree is in its `place`: give the directories that shut out their own owner their modes, too."""
        for path, mode, _ in reversed(self._directories):
            if mode & 0o700 != 0o700:
                os.chmod(place + path[len(self.target) :], mode & PERMISSIONS)

    def _leads_out(self, path: str) -> bool:
        """Return whether following a link of the tree leaves it. One that the kernel would not follow counts as well.

        Not by `os.path.realpath`, which recurses from link to link.
        """
        waiting = path.split("/")[::-1]
        done: list[str] = []
        followed = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                if not done:
                    return True
                done.pop()
            elif part not in ("", "."):
                done.append(part)
                to = self._links.get("/".join(done))
                if to is not None:
                    followed += 1
                    if to.startswith("/") or followed > LINK_LIMIT:
                        return True
                    done.pop()
                    waiting += to.split("/")[::-1]
        return False

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
                self._hard_link(_below(top, member.linkname), parts)
            elif member.isreg() and not member.issparse():  # a sparse one could fill the disk with a few bytes
                self.member(archive, member, parts)
            elif member.ischr() or member.isblk() or member.isfifo():
                kind = stat.S_IFIFO if member.isfifo() else stat.S_IFCHR
                self.left_out.skip("/".join(parts), describe_type(kind))
            else:
                raise SourceError(f"{member.name} is neither a file, a directory nor a link")

    def member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parts: Sequence[str] = ()) -> None:
        """Write a file of an archive."""
        content = archive.extractfile(member)
        if content is None or self.file(content, member.mode, member.mtime, parts) != member.size:
            raise SourceError(f"{member.name} arrived incomplete")

    def _hard_link(self, first: Sequence[str], parts: Sequence[str]) -> None:
        path, first_path = self.place(parts), self.place(first)
        link = self._links.get("/".join(first))
        if link is not None:
            self.link(parts, link)
        elif not stat.S_ISREG(os.lstat(first_path).st_mode):
            raise SourceError(f"{'/'.join(first)} is not a file that could have another name")
        else:
            try:
                os.link(first_path, path, follow_symlinks=False)
            except OSError:  # the file system has no such thing
                shutil.copy2(first_path, path, follow_symlinks=False)


@contextmanager
def open_archive(stream: Source) -> Iterator[tarfile.TarFile]:
    """Read a tar stream. Raises `SourceError` if it is damaged."""
    try:
        with tarfile.open(
            fileobj=cast(Any, stream),
            mode="r|",
            bufsize=FILE_PIECE,
            encoding="utf-8",
            errors="surrogateescape",
            tarinfo=_Member,
        ) as archive:
            yield archive
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        # tarfile calls itself for each header that stands in front of another one.
        raise SourceError(f"the tar stream is damaged: {error}") from error


class _Ending:
    """Passes a stream on, and looks at its end: an archive ends with a block of zeros."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self._tail = b""

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._tail = piece[-BLOCK:] if len(piece) >= BLOCK else (self._tail + piece)[-BLOCK:]
        return piece

    def was_complete(self) -> bool:
        while self.read(FILE_PIECE):
            pass
        return self._tail == bytes(BLOCK)


class _Member(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type in HEADERS and member.size > HEADER_LIMIT:
            raise SourceError(f"a header of {member.size} bytes is longer than any real one")
        return member


def _below(top: list[str], name: str) -> list[str]:
    parts = _parts(name)
    if parts[: len(top)] != top:
        raise SourceError(f"{name!r} is outside of the tree that was asked for")
    return parts[len(top) :]


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]
