"""Moves what was built in a stage to its local place: as a whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress

from .tar_source import SourceError


def put_in_place(source: str, destination: str) -> None:
    """Move a file or a tree to `destination`: directories into those that are there, all else over what is there.

    A link there is replaced, never followed. Where a file is mounted, its content is replaced. Raises `SourceError` for
    what is in the way, `OSError` for what the file system refuses; both with everything as it was before.
    """
    moves = _plan(source, destination)
    placed: list[_Replacement] = []
    try:
        for new, target in moves:
            # One file that is renamed over another needs no second name: it is in place or it is not.
            placed.append(_Replacement(target, f"{source}.{len(placed)}"))
            placed[-1].place(new, alone=len(moves) == 1)
    except BaseException:
        for replacement in reversed(placed):
            replacement.undo()
        raise


def _plan(source: str, destination: str) -> list[tuple[str, str]]:
    """Return what is to be moved where. A directory that is not there yet is moved with all that is in it."""
    moves = []
    waiting = [(source, destination)]
    while waiting:
        new, target = waiting.pop()
        is_directory = stat.S_ISDIR(os.lstat(new).st_mode)
        there = _lstat(target)
        if there is not None and stat.S_ISDIR(there.st_mode):
            if not is_directory:
                raise SourceError(f"{target} is a directory")
            waiting += [(os.path.join(new, name), os.path.join(target, name)) for name in os.listdir(new)]
        elif is_directory and there is not None and not stat.S_ISLNK(there.st_mode):
            raise SourceError(f"{target} is not a directory")
        elif not os.access(os.path.dirname(target) or ".", os.W_OK):
            raise SourceError(f"no permission to write in {os.path.dirname(target)}")
        else:
            moves.append((new, target))
    return moves


class _Replacement:
    """What replaces one file, link or directory, and how to take that back."""

    def __init__(self, target: str, saved: str) -> None:
        self._target = target
        self._saved = saved
        self._was_there = _lstat(target) is not None
        self._moved = False

    def place(self, new: str, *, alone: bool) -> None:
        is_directory = stat.S_ISDIR(os.lstat(new).st_mode)
        if self._was_there and (is_directory or not alone):
            self._save(is_directory)
        self._moved = True
        try:
            os.replace(new, self._target)
        except OSError as error:
            self._moved = False
            if error.errno != errno.EBUSY or is_directory:
                raise
            # A file that is mounted can be written, and neither renamed nor replaced.
            if not os.path.lexists(self._saved):
                shutil.copyfile(self._target, self._saved)
            self._moved = True
            shutil.copyfile(new, self._target)

    def undo(self) -> None:
        if os.path.lexists(self._saved):
            try:
                if stat.S_ISLNK(os.lstat(self._saved).st_mode) and os.path.isdir(self._target):
                    remove_tree(self._target)
                os.replace(self._saved, self._target)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                shutil.copyfile(self._saved, self._target)
        elif self._moved and not self._was_there:
            remove_tree(self._target)

    def _save(self, is_directory: bool) -> None:
        """Keep what is there: under a second name where that is possible, so that it is never missing."""
        try:
            if is_directory:  # over a link: no directory can be renamed over it
                os.rename(self._target, self._saved)
            else:
                os.link(self._target, self._saved, follow_symlinks=False)
        except OSError:
            try:
                os.rename(self._target, self._saved)
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EXDEV):
                    raise
                shutil.copyfile(self._target, self._saved)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def remove_tree(path: str) -> None:
    """Remove a file or a tree, as far as that is possible. Does not raise.

    Without recursion, as `shutil.rmtree` has it: a tree may be deeper than Python's stack.
    """
    directories = []
    waiting = [path]
    while waiting:
        path = waiting.pop()
        with suppress(OSError):
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                continue
            directories.append(path)
            os.chmod(path, 0o700)
            waiting += [os.path.join(path, name) for name in os.listdir(path)]
    for directory in reversed(directories):
        with suppress(OSError):
            os.rmdir(directory)
