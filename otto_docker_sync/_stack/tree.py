"""The files of a project as they travel: listed, compared with what the parent has, packed as one archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .._transfer import LeftOut, describe_type
from ..errors import ConfigError
from ..limits import STACK_TREE_READ
from .dockerignore import DockerIgnore

TREE = "tree"
"""The archive's directory that holds the project's files, laid out as they are here."""


@dataclass(frozen=True)
class Member:
    """One file, directory or link of the tree. `state` is its kind, mode and a hash of its content, as one word."""

    path: Path
    state: str
    status: os.stat_result
    target: str = ""


class Tree:
    """The files that a project needs on the parent, below the directory that holds them all.

    Modes and links travel; owners and the times of directories do not.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._members: dict[str, Member] = {}
        self.left_out = LeftOut()
        """Sockets and their like, which cannot travel."""

    def add_file(self, path: Path) -> None:
        """Add a file; for a link, what it leads to."""
        with _named(path):
            self._add(path, path.resolve(strict=True))

    def add_directory(self, directory: Path, ignore: DockerIgnore | None = None) -> None:
        """Add a directory and all that is in it, but for what `ignore` excludes.

        A link to a directory travels as the directory; links inside it travel as links.
        """
        ignore = ignore or DockerIgnore()
        with _named(directory):
            source = directory.resolve(strict=True)
            self._add(directory, source)
        for path in _walk(source, ignore):
            if path != source:
                # Not there any more: what comes and goes need not travel.
                with _named(path, missing_ok=True):
                    self._add(directory / path.relative_to(source), path)

    def name_of(self, path: Path) -> str:
        """Return the name in the archive for a path of this machine."""
        relative = path.relative_to(self._root).as_posix()
        return TREE if relative == "." else f"{TREE}/{relative}"

    def manifest(self) -> str:
        """Return a line for each member: its state, a space, and its name. The scripts on the parent compare these."""
        lines = []
        for name, member in sorted(self._members.items()):
            encoded = name.replace("\\", "\\\\").replace("\n", "\\n")
            lines.append(f"{member.state} {encoded}\n")
        return "".join(lines)

    def pack(self, archive: Path, texts: dict[str, bytes]) -> None:
        """Write the archive: the tree, and files of our own beside it."""
        with (
            archive.open("wb") as file,
            gzip.GzipFile("", "wb", 3, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for name, content in texts.items():
                add_text(tar, name, content)
            for name, member in sorted(self._members.items()):
                with _named(member.path):
                    _pack_member(tar, name, member)

    def _add(self, path: Path, source: Path) -> None:
        name = self.name_of(path)
        # The directories on the way to it, which need not belong to what was asked for.
        parent = path
        while parent != self._root:
            parent = parent.parent
            known = self._members.get(self.name_of(parent))
            if known is not None and stat.S_ISDIR(known.status.st_mode):
                break
            status = parent.stat()
            self._members[self.name_of(parent)] = Member(parent, _directory_state(status), status)
        status = source.lstat()
        known = self._members.get(name)
        if known is not None and stat.S_ISDIR(known.status.st_mode):
            return  # also as a link: what is bound by its name has to be there
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(source)
            state = f"l:{hashlib.sha256(os.fsencode(target)).hexdigest()}"
            self._members[name] = Member(source, state, status, target)
        elif stat.S_ISDIR(status.st_mode):
            self._members[name] = Member(source, _directory_state(status), status)
        elif stat.S_ISREG(status.st_mode):
            self._members[name] = Member(source, f"f{stat.S_IMODE(status.st_mode):o}:{_hash(source)}", status)
        else:
            self.left_out.skip(str(source), describe_type(status.st_mode))


@contextmanager
def _named(path: Path, *, missing_ok: bool = False) -> Iterator[None]:
    """Turn what the file system says about a file into a `ConfigError` that names it."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        if not missing_ok:
            raise ConfigError(f"{error.filename or path}: {error.strerror}; the stack needs it") from None
    except OSError as error:
        reason = error.strerror or "it changed while it was read"
        raise ConfigError(f"{error.filename or path}: {reason}; the stack needs it on the parent") from None
    except RuntimeError:  # from resolve(), for links in a circle, before Python 3.13
        raise ConfigError(f"{path}: the links go in a circle") from None


def _walk(directory: Path, ignore: DockerIgnore) -> Iterator[Path]:
    """Go through a directory, but not into links, nor into what is excluded.

    Not with os.walk(), which calls itself for each level before Python 3.12.
    """
    waiting = [directory]
    while waiting:
        place = waiting.pop()
        with _named(place, missing_ok=True), os.scandir(place) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
            for entry in found:
                path = place / entry.name
                is_excluded = ignore.excludes(path.relative_to(directory).as_posix())
                if not is_excluded:
                    yield path
                if entry.is_dir(follow_symlinks=False) and (not is_excluded or ignore.has_exceptions):
                    waiting.append(path)


def _directory_state(status: os.stat_result) -> str:
    # Whatever its mode here, we have to be able to write into it there.
    return f"d{stat.S_IMODE(status.st_mode) | 0o700:o}:"


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(STACK_TREE_READ), b""):
            digest.update(block)
    return digest.hexdigest()


def _pack_member(tar: tarfile.TarFile, name: str, member: Member) -> None:
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(member.status.st_mode)
    info.mtime = int(member.status.st_mtime)
    if stat.S_ISLNK(member.status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, member.target
        tar.addfile(info)
    elif stat.S_ISDIR(member.status.st_mode):
        info.type = tarfile.DIRTYPE
        info.mode |= 0o700
        info.mtime = 0  # it changes with every file in it, and nobody reads it
        tar.addfile(info)
    else:
        with member.path.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, file)


def add_text(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file of our own, which only the login on the parent may read."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    file: BinaryIO = io.BytesIO(content)
    tar.addfile(info, file)


def common_root(paths: Iterable[Path]) -> Path:
    """Return the directory that holds all of these."""
    return Path(os.path.commonpath(list(paths)))
