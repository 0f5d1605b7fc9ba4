"""Files on a host: `put`, `get` and `path`."""

from __future__ import annotations

import os
from collections.abc import Callable

from .. import _transfer
from .._channel.backend import Backend
from .._shell import Runner
from ..deadline import Deadline, Timeout
from ..result import FileProgress, Paths, TransferResult
from .path import RemotePath, RemotePaths
from .path_parts import as_pure, as_texts


class FileVerbs:
    """The verbs that every host has for files."""

    backend: Backend
    runner: Runner

    def put(
        self,
        src_files: Paths,
        dest_dir: str | os.PathLike[str] | RemotePath,
        *,
        timeout: Timeout = None,
        mode: int | None = None,
        owner: str | None = None,
        preserve_times: bool = False,
        progress: Callable[[FileProgress], object] | None = None,
    ) -> TransferResult:
        """Copy local files and directories into a directory of this host.

        Args:
            src_files: One path or many, ``str`` or ``os.PathLike``.
            dest_dir: A directory of this host; a `RemotePath`, too.
            timeout: Seconds; None, the default, is no limit: the host's ``default_timeout`` is for commands.
            mode: Permissions to set on files, such as ``0o644``; None, the default, keeps each file's own.
            owner: Whom all of it is to belong to: ``"user"`` or ``"user:group"``, by name or number. None, the default,
                is the user that commands run as. Another user takes the rights of root.
            preserve_times: Keep the times of modification. False, the default, makes them those of the arrival.
            progress: Called with a `FileProgress` now and then.

        The result says for each source how it ended: success means that a process on the host sees exactly
        these bytes, failure leaves what was there before. Raises when nothing can be tried: `LocalFileError` for a
        source that is not there, `ConnectError` and its subclasses for a host that cannot be reached.

        >>> host.put(["app.conf", "data"], "/etc/app").check()
        """
        with self.runner.call(Deadline.after(timeout)) as deadline:
            return _transfer.put(
                self.backend,
                src_files,
                as_texts(dest_dir),
                mode=mode,
                owner=owner,
                preserve_times=preserve_times,
                progress=progress,
                deadline=deadline,
            )

    def get(
        self,
        src_files: RemotePaths,
        dest_dir: str | os.PathLike[str],
        *,
        timeout: Timeout = None,
        preserve_times: bool = False,
        progress: Callable[[FileProgress], object] | None = None,
    ) -> TransferResult:
        """Copy files and directories of this host into a local directory; the mirror of `put`.

        Args:
            src_files: One path of this host or many, ``str``, ``os.PathLike`` or `RemotePath`.
            dest_dir: A local directory. A file in it is replaced only when the new one is complete.
            timeout: Seconds; None, the default, is no limit: the host's ``default_timeout`` is for commands.
            preserve_times: Keep the times of modification. False, the default, makes them those of the arrival.
            progress: Called with a `FileProgress` now and then.

        Raises as `put`.

        >>> host.get("/var/log/app.log", "logs").check()
        """
        with self.runner.call(Deadline.after(timeout)) as deadline:
            return _transfer.get(
                self.backend,
                as_texts(src_files),
                dest_dir,
                preserve_times=preserve_times,
                progress=progress,
                deadline=deadline,
            )

    def path(self, path: str | os.PathLike[str]) -> RemotePath:
        """Return a path of this host, with the words of `pathlib.Path`. Asks the host nothing.

        Args:
            path: The path. ``~`` in front is the home directory of the user that commands run as.

        Raises `ConfigError` for what is not a path.

        >>> host.path("/etc/hostname").read_text()
        'carrot\\n'
        """
        return RemotePath(self.runner, as_pure(path))
