"""Local files and trees, and the tar streams that carry them: every remote tar reads these.

A stream for a stage (see ``receive.sh``) holds the sources in ``new``, then the lists of what was sent. The last list
is the last member, so a stream that was cut off is never taken for a whole one.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ..limits import FILE_PIECE, NAMES_PER_CALL, PATH_LIMIT, TREE_DEPTH
from .left_out import LeftOut, describe_type

BLOCK = 512
SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID

Owner = tuple[int, int]


class SourceError(Exception):
    """A source cannot be transferred, and why. Never reaches a user: it becomes the outcome of the source."""

    number: int | None = None
    """Which source it is, if it is one of several in a stream."""


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

    The source itself may be a link, which is followed; links inside are kept as links. A directory stands before what
    is in it. ``left_out`` are the parts of it that cannot go along.
    """

    entries: list[Entry]
    left_out: LeftOut

    @classmethod
    def of(cls, path: str) -> LocalTree:
        """Look at `path`. Raises `FileNotFoundError` if it is not there, `SourceError` if it is neither file nor tree,
        or cannot be read at all."""
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} is neither a file nor a directory")
        tree = cls([Entry(path, "", status)], LeftOut())
        if tree.is_directory:
            tree._walk()
        elif not _is_readable(path):
            raise SourceError(f"{path}: {os.strerror(errno.EACCES)}")
        return tree

    @property
    def is_directory(self) -> bool:
        return self.entries[0].is_directory

    @cached_property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(entry.size for entry in self.entries)

    def _walk(self) -> None:
        """Find all that is below the first entry. Without recursion: a tree may be deeper than Python's stack."""
        waiting = [self.entries[0]]
        while waiting:
            entry = waiting.pop()
            children: list[os.DirEntry[str]] = []
            if entry.is_directory:
                try:
                    with os.scandir(entry.path) as scan:
                        children = sorted(scan, key=lambda child: child.name, reverse=True)
                except OSError as error:
                    if not entry.name:
                        raise SourceError(f"{entry.path}: {error.strerror}") from error
                    self._leave_out(entry.name, error)
                    continue
            if entry.name:
                self.entries.append(entry)
            for child in children:
                inside = f"{entry.name}/{child.name}" if entry.name else child.name
                if (found := self._look_at(child, inside)) is not None:
                    waiting.append(found)

    def _leave_out(self, name: str, error: OSError) -> None:
        """Note what cannot be read. A path that is too long is no such thing: it refuses the whole tree everywhere."""
        if error.errno == errno.ENAMETOOLONG:
            raise SourceError(f"{name[:100]}… is too long a path for this machine") from error
        self.left_out.unreadable(name, error.strerror)

    def _look_at(self, child: os.DirEntry[str], name: str) -> Entry | None:
        try:
            status = child.stat(follow_symlinks=False)
            link = os.readlink(child.path) if stat.S_ISLNK(status.st_mode) else ""
        except FileNotFoundError:
            return None  # gone since the directory was read, as if it had gone before
        except OSError as error:
            self._leave_out(name, error)
            return None
        if len(os.fsencode(name)) > PATH_LIMIT:
            raise SourceError(f"{name[:100]}… is a path of more than {PATH_LIMIT} bytes")
        entry = Entry(child.path, name, status, link)
        if not (entry.is_file or entry.is_directory or link):
            self.left_out.skip(name, describe_type(status.st_mode))
        elif entry.is_file and not _is_readable(child.path):
            self.left_out.unreadable(name, os.strerror(errno.EACCES))
        else:
            return entry
        return None


def _is_readable(path: str) -> bool:
    return os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)


@dataclass(frozen=True)
class TarSource:
    """Local trees on their way, and the tar stream that carries them.

    ``mode`` replaces the permissions of files. Without ``preserve_times``, all modification times are now.
    ``sent(number, size)`` is called after each piece of a file of that source. A stream raises `SourceError` if a file
    cannot be read, or has become shorter; one that has grown is cut at the size that it had.
    """

    trees: list[tuple[int, str, LocalTree]]
    """Number, name at the destination, tree."""
    mode: int | None
    preserve_times: bool
    sent: Callable[[int, int], object]
    _now: float = field(default_factory=time.time)

    def stream(self, owner: Owner = (0, 0), *, staged: bool) -> Iterator[bytes]:
        """Yield the stream: the sources under their own names; or, `staged`, in ``new``, with the lists after them."""
        return self._blocks(owner, staged, content_of)

    def length(self, owner: Owner = (0, 0), *, staged: bool) -> int:
        """Return the bytes of that stream, without reading a file."""
        files = sum(entry.size + -entry.size % BLOCK for _, _, tree in self.trees for entry in tree.entries)
        return files + sum(map(len, self._blocks(owner, staged, lambda _: ())))

    @property
    def estimated_length(self) -> int:
        """The bytes of a stream, more or less."""
        return sum(tree.size + 2 * BLOCK * len(tree.entries) for _, _, tree in self.trees)

    def lists(self) -> list[tuple[str, bytes]]:
        """Return the paths in a stage, and the texts, of what ``receive.sh`` runs when all has arrived, in order."""
        calls = [f"arrived {sum(tree.size for _, _, tree in self.trees)}"]
        for _, name, tree in self.trees:
            for entry in tree.entries:
                mode = self.file_mode(entry)
                if entry.is_file and mode & SPECIAL_BITS:
                    calls.append(f"restore_mode {mode:o} {shlex.quote(_join(name, entry.name))}")
        files = [(number, name) for number, name, tree in self.trees if not tree.is_directory]
        for start in range(0, len(files), NAMES_PER_CALL):
            part = files[start : start + NAMES_PER_CALL]
            numbers = " ".join(str(number) for number, _ in part)
            names = " ".join(shlex.quote(name) for _, name in part)
            calls.append(f"files '{numbers}' {names}")
        directories = [(number, name, tree) for number, name, tree in self.trees if tree.is_directory]
        calls += [f"tree {number} {shlex.quote(name)}" for number, name, _ in directories]
        texts = [(f"lists/{number}", _encode(_list_of(name, tree))) for number, name, tree in directories]
        return [*texts, ("list", _encode(calls))]

    def file_mode(self, entry: Entry) -> int:
        """Return the permissions that a file is to have."""
        return stat.S_IMODE(entry.stat.st_mode) if self.mode is None else self.mode

    def _blocks(self, owner: Owner, staged: bool, content: Callable[[Entry], Iterable[bytes]]) -> Iterator[bytes]:
        if staged:
            yield _header("new", tarfile.DIRTYPE, 0o700, owner)
            yield _header("lists", tarfile.DIRTYPE, 0o700, owner)
        grafts: list[str] = []
        for number, name, tree in self.trees:
            members = self._members(f"new/{name}", tree, owner, grafts) if staged else self._members(name, tree, owner)
            for header, entry in members:
                yield header
                try:
                    for piece in content(entry):
                        self.sent(number, len(piece))
                        yield piece
                        if len(piece) % BLOCK:  # only the last piece of a file
                            yield _padding(len(piece))
                except SourceError as error:
                    error.number = number
                    raise
        if staged:
            for path, text in self.lists():
                if path == "list":
                    text = _encode(grafts[::-1]) + text  # the deepest first
                yield _header(path, tarfile.REGTYPE, 0o600, owner, size=len(text))
                yield text + _padding(len(text))
        yield bytes(2 * BLOCK)

    def _members(
        self, top: str, tree: LocalTree, owner: Owner, grafts: list[str] | None = None
    ) -> Iterator[tuple[bytes, Entry]]:
        """Yield the header of each entry. Directories come again at the end, with the mode and time that they are to
        have: until then their owner must be able to write in them.

        If `grafts` is given, a directory that lies too deep goes to a place of its own, and the call that moves it to
        where it belongs is added to that list.
        """
        closing = []
        paths: dict[str, str] = {}
        for entry in tree.entries:
            parent, _, last = entry.name.rpartition("/")
            name = f"{paths[parent]}/{last}" if entry.name else top
            if entry.is_directory:
                if grafts is not None and name.count("/") >= TREE_DEPTH:
                    place = f"deep/{len(grafts)}"
                    grafts.append(f"graft {place} {shlex.quote(name)}")
                    name = place
                paths[entry.name] = name
            mtime = entry.stat.st_mtime if self.preserve_times else self._now
            if entry.is_directory:
                mode = stat.S_IMODE(entry.stat.st_mode)
                yield _header(name, tarfile.DIRTYPE, mode | 0o700, owner, mtime=mtime), entry
                closing.append((_header(name, tarfile.DIRTYPE, mode, owner, mtime=mtime), entry))
            elif entry.is_file:
                mode = self.file_mode(entry)
                yield _header(name, tarfile.REGTYPE, mode, owner, mtime=mtime, size=entry.size), entry
            else:
                yield _header(name, tarfile.SYMTYPE, 0o777, owner, mtime=mtime, link=entry.link), entry
        yield from reversed(closing)


def _list_of(top: str, tree: LocalTree) -> list[str]:
    """Return the calls that name all of a tree, each directory before what is in it."""
    names: dict[str, list[str]] = {}
    for entry in tree.entries:
        path = _join(top, entry.name)
        if entry.is_directory:
            names[path] = []
        else:
            directory, _, name = path.rpartition("/")
            names[directory].append(shlex.quote(name))
    calls = []
    for directory, entries in names.items():
        quoted = shlex.quote(directory)
        calls.append(f"directory {quoted}")
        for start in range(0, len(entries), NAMES_PER_CALL):
            calls.append(f"entries {quoted} {' '.join(entries[start : start + NAMES_PER_CALL])}")
    return calls


def _encode(calls: list[str]) -> bytes:
    return "".join(f"{call}\n" for call in calls).encode("utf-8", "surrogateescape")


def _join(top: str, name: str) -> str:
    return f"{top}/{name}" if name else top


def _header(
    name: str, kind: bytes, mode: int, owner: Owner, *, size: int = 0, mtime: float = 0, link: str = ""
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.mtime, info.linkname = kind, mode, size, int(mtime), link
    info.uid, info.gid = owner
    # The one format in which every tar reads long names, and names in any encoding.
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def content_of(entry: Entry) -> Iterator[bytes]:
    """Yield the bytes of a file, in pieces of whole blocks but for the last; nothing for what is not a file."""
    left = entry.size
    if not entry.is_file:
        return
    try:
        with open(entry.path, "rb") as file:
            while left:
                piece = file.read(min(left, FILE_PIECE))
                if len(piece) < min(left, FILE_PIECE):
                    raise SourceError(f"{entry.path} became shorter while it was read")
                left -= len(piece)
                yield piece
    except OSError as error:
        raise SourceError(f"{entry.path}: {error.strerror}") from error
