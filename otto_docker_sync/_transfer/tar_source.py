"""Trees of local files as tar streams, which every tar at a far end reads."""

from __future__ import annotations

import os
import stat
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

BLOCK = 512
PIECE = 256 * 1024
"""Bytes of a file that are in memory at a time."""

Owner = tuple[int, int]


class Refused(Exception):
    """A source cannot be transferred, and why. Never reaches a user: it becomes the source's outcome."""

    number: int | None = None
    """Which source of a `Cargo` it is."""


@dataclass(frozen=True)
class Entry:
    """A file, directory or link of a local source; ``name`` is its path inside the source, ``link`` its target."""

    path: str
    name: str
    stat: os.stat_result
    link: str = ""

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.stat.st_mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def size(self) -> int:
        return self.stat.st_size if self.is_file else 0


@dataclass(frozen=True)
class LocalTree:
    """A local file, or a directory and all in it, as it was when it was looked at.

    The source itself may be a link, which is followed; links inside are kept as links.
    """

    entries: list[Entry]

    @classmethod
    def of(cls, path: str) -> LocalTree:
        """Look at `path`. Raises `FileNotFoundError` when it is not there, `Refused` for what is no file or tree."""
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from error
        try:
            return cls(list(_walk(path, "", status)))
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror}") from error

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(entry.size for entry in self.entries)


def _walk(path: str, name: str, status: os.stat_result) -> Iterator[Entry]:
    if stat.S_ISDIR(status.st_mode):
        yield Entry(path, name, status)
        with os.scandir(path) as scan:
            children = sorted((child.name, child) for child in scan)
        for child_name, child in children:
            inside = f"{name}/{child_name}" if name else child_name
            yield from _walk(child.path, inside, child.stat(follow_symlinks=False))
    elif stat.S_ISREG(status.st_mode):
        yield Entry(path, name, status)
    elif name and stat.S_ISLNK(status.st_mode):
        yield Entry(path, name, status, os.readlink(path))
    else:
        raise Refused(f"{path} is neither a file nor a directory")


@dataclass(frozen=True)
class Cargo:
    """Local trees on their way, and the tar stream that carries them.

    ``mode`` takes the place of the permissions of files; without ``times``, all are of now; ``sent`` hears of the
    number of a tree and of bytes of its files. A stream raises `Refused` where a file cannot be read, or is shorter by
    now; one that has grown is cut.
    """

    trees: list[tuple[int, str, LocalTree]]
    """Number, name at the destination, tree."""
    mode: int | None
    times: bool
    sent: Callable[[int, int], object]

    def stream(self, owner: Owner = (0, 0), *, staged: bool) -> Iterator[bytes]:
        """The trees under their own names; or, `staged`, a directory for each by its number, which holds the tree in
        ``data``, and in ``size``, which comes last, the bytes of its files."""
        return self._blocks(owner, staged, content_of)

    def length(self, owner: Owner = (0, 0), *, staged: bool) -> int:
        """The bytes of that stream, found without reading a file."""
        files = sum(entry.size + len(_padding(entry.size)) for _, _, tree in self.trees for entry in tree.entries)
        return files + sum(map(len, self._blocks(owner, staged, lambda _: ())))

    def _blocks(self, owner: Owner, staged: bool, content: Callable[[Entry], Iterable[bytes]]) -> Iterator[bytes]:
        for number, name, tree in self.trees:
            top = f"{number}/data/{name}" if staged else name
            if staged:
                yield _header(f"{number}", tarfile.DIRTYPE, 0o700, owner)
                yield _header(f"{number}/data", tarfile.DIRTYPE, 0o700, owner)
            for header, entry in self._members(top, tree, owner):
                yield header
                try:
                    for piece in content(entry):
                        self.sent(number, len(piece))
                        yield piece + _padding(len(piece))  # only a file's last piece is no multiple of a block
                except Refused as refused:
                    refused.number = number
                    raise
            if staged:
                size = b"%d\n" % tree.size
                yield _header(f"{number}/size", tarfile.REGTYPE, 0o600, owner, size=len(size))
                yield size + _padding(len(size))
        yield bytes(2 * BLOCK)

    def _members(self, top: str, tree: LocalTree, owner: Owner) -> Iterator[tuple[bytes, Entry]]:
        """The header of each entry. Directories come again at the end, with the mode and time they are to keep:
        until then their owner must be able to write in them."""
        closing, now = [], time.time()
        for entry in tree.entries:
            name = f"{top}/{entry.name}" if entry.name else top
            mode, moment = stat.S_IMODE(entry.stat.st_mode), entry.stat.st_mtime if self.times else now
            if entry.is_directory:
                yield _header(name, tarfile.DIRTYPE, mode | 0o700, owner, moment=moment), entry
                closing.append((_header(name, tarfile.DIRTYPE, mode, owner, moment=moment), entry))
            elif entry.is_file:
                mode = mode if self.mode is None else self.mode
                yield _header(name, tarfile.REGTYPE, mode, owner, moment=moment, size=entry.size), entry
            else:
                yield _header(name, tarfile.SYMTYPE, 0o777, owner, moment=moment, link=entry.link), entry
        yield from reversed(closing)


def _header(
    name: str, kind: bytes, mode: int, owner: Owner, *, size: int = 0, moment: float = 0, link: str = ""
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.mtime, info.linkname = kind, mode, size, int(moment), link
    info.uid, info.gid = owner
    # The one format in which every tar reads long names, and names in any encoding.
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def content_of(entry: Entry) -> Iterator[bytes]:
    """The bytes of a file, in pieces of whole blocks but for the last; nothing for what is no file."""
    left = entry.size
    if not entry.is_file:
        return
    try:
        with open(entry.path, "rb") as file:
            while left:
                piece = file.read(min(left, PIECE))
                if len(piece) < min(left, PIECE):
                    raise Refused(f"{entry.path} became shorter while it was read")
                left -= len(piece)
                yield piece
    except OSError as error:
        raise Refused(f"{entry.path}: {error.strerror}") from error
