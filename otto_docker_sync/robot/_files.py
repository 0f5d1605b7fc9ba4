"""SSHLibrary's keywords about files."""

from __future__ import annotations

import fnmatch
import glob
import os
import posixpath
import shlex
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from robot.api import logger
from robot.api.deco import keyword

from ..host import Host
from ._hosts import HostKeywords
from ._open_host import HostRef

FOLLOWED_BY_SLASH = ("/", os.sep)
LIST = """
cd -- {path} || exit
for name in * .*; do
  case $name in .|..) continue;; esac
  if [ -e "$name" ] || [ -L "$name" ]; then printf '%s\\0' "$name"; fi
done
"""
"""Prints the names in a directory with nothing but the shell."""


class FileKeywords(HostKeywords):
    """Keywords about files."""

    @keyword
    def put_file(
        self, source: str, destination: str = ".", mode: str = "0744", newline: str = "", host: HostRef = None
    ) -> None:
        """Copy a local file, or all that a pattern like ``*.txt`` matches, to the host.

        ``destination`` is a directory if it exists as one or ends with ``/``, and else the name of the file;
        directories that are missing are made. ``mode`` is octal, or ``None`` to keep the file's own. ``newline``
        (``LF`` or ``CRLF``) changes the line ends of a text on its way.

        | Put File | app.conf | /etc/app/app.conf | mode=0644 |
        | Put File | data/*.csv | /srv/data/ |
        """
        target = self._host(host)
        sources = [Path(source)] if Path(source).is_file() else sorted(Path(one) for one in glob.glob(source))
        sources = [one for one in sources if one.is_file()]
        if not sources:
            raise AssertionError(f"There are no source files matching '{source}'.")
        into_directory = destination.endswith("/") or _test(target, "-d", destination)
        if not into_directory and len(sources) > 1:
            raise AssertionError(f"'{destination}' is not a directory on {target.id}, and '{source}' is several files.")
        with TemporaryDirectory(prefix="otto-robot-") as scratch:
            for one in sources:
                name = one.name if into_directory else posixpath.basename(destination)
                directory = destination if into_directory else posixpath.dirname(destination) or "."
                sent = one
                if newline or name != one.name:
                    sent = Path(scratch, name)
                    _copy(one, sent, newline)
                _make_directory(target, directory)
                target.put(sent, directory, mode=_octal(mode)).check()
                _log_copy(one, posixpath.join(directory, name))

    @keyword
    def put_directory(
        self,
        source: str,
        destination: str = ".",
        mode: str = "0744",
        recursive: bool = False,
        host: HostRef = None,
    ) -> None:
        """Copy a local directory to the host: its files, and with ``recursive`` its directories too.

        If ``destination`` exists, the directory is copied into it; else ``destination`` is made, and gets the
        contents. ``mode`` is for the files; with ``None`` they keep their own.

        | Put Directory | fixtures | /srv/fixtures | recursive=True |
        """
        target = self._host(host)
        directory = Path(source)
        if not directory.is_dir():
            raise AssertionError(f"There was no source path matching '{source}'.")
        if _test(target, "-e", destination):
            destination = posixpath.join(destination, directory.resolve().name)
        contents = [one for one in sorted(directory.iterdir()) if recursive or one.is_file()]
        _make_directory(target, destination)
        if contents:
            target.put(contents, destination, mode=_octal(mode)).check()
        _log_copy(directory, destination)

    @keyword
    def get_file(self, source: str, destination: str = ".", host: HostRef = None) -> None:
        """Copy a file, or all that a pattern like ``/var/log/*.log`` matches, from the host.

        ``destination`` is a directory if it exists as one or ends with ``/``, and else the name of the file;
        directories that are missing are made.

        | Get File | /var/log/app.log | ${OUTPUT_DIR}/ |
        """
        target = self._host(host)
        sources = [source]
        if glob.has_magic(source) and not _test(target, "-f", source):
            folder, pattern = posixpath.split(source)
            sources = [posixpath.join(folder, name) for name in fnmatch.filter(_names(target, folder or "."), pattern)]
            sources = [one for one in sources if _test(target, "-f", one)]
        elif not _test(target, "-f", source):
            sources = []
        if not sources:
            raise AssertionError(f"There are no source files matching '{source}' on {target.id}.")
        into_directory = destination.endswith(FOLLOWED_BY_SLASH) or Path(destination).is_dir()
        if not into_directory and len(sources) > 1:
            raise AssertionError(f"'{destination}' is not a directory, and '{source}' is several files on {target.id}.")
        folder_path = Path(destination) if into_directory else Path(destination).parent
        folder_path.mkdir(parents=True, exist_ok=True)
        if into_directory:
            target.get(sources, folder_path).check()
        else:
            with TemporaryDirectory(prefix=".otto-robot-", dir=folder_path) as scratch:
                target.get(source, scratch).check()
                os.replace(Path(scratch, posixpath.basename(source)), destination)
        for one in sources:
            _log_copy(one, folder_path / posixpath.basename(one) if into_directory else destination)

    @keyword
    def get_directory(self, source: str, destination: str = ".", recursive: bool = False, host: HostRef = None) -> None:
        """Copy a directory from the host: its files, and with ``recursive`` its directories too.

        If ``destination`` exists, the directory is copied into it; else ``destination`` is made, and gets the
        contents.

        | Get Directory | /var/log/app | ${OUTPUT_DIR}/logs | recursive=True |
        """
        target = self._host(host)
        if not _test(target, "-d", source):
            raise AssertionError(f"There was no source path matching '{source}' on {target.id}.")
        folder = Path(destination)
        if folder.exists():
            folder /= posixpath.basename(posixpath.normpath(source))
        folder.mkdir(parents=True, exist_ok=True)
        contents = [posixpath.join(source, name) for name in _names(target, source)]
        if not recursive:
            contents = [one for one in contents if _test(target, "-f", one)]
        if contents:
            target.get(contents, folder).check()
        _log_copy(source, folder)

    @keyword
    def file_should_exist(self, path: str, host: HostRef = None) -> None:
        """Fail unless there is a file of this name on the host.

        | File Should Exist | /etc/app.conf |
        """
        target = self._host(host)
        if not _test(target, "-f", path):
            raise AssertionError(f"File '{path}' does not exist on {target.id}.")

    @keyword
    def file_should_not_exist(self, path: str, host: HostRef = None) -> None:
        """Fail if there is a file of this name on the host."""
        target = self._host(host)
        if _test(target, "-f", path):
            raise AssertionError(f"File '{path}' exists on {target.id}.")

    @keyword
    def directory_should_exist(self, path: str, host: HostRef = None) -> None:
        """Fail unless there is a directory of this name on the host."""
        target = self._host(host)
        if not _test(target, "-d", path):
            raise AssertionError(f"Directory '{path}' does not exist on {target.id}.")

    @keyword
    def directory_should_not_exist(self, path: str, host: HostRef = None) -> None:
        """Fail if there is a directory of this name on the host."""
        target = self._host(host)
        if _test(target, "-d", path):
            raise AssertionError(f"Directory '{path}' exists on {target.id}.")

    @keyword
    def list_directory(
        self, path: str = ".", pattern: str | None = None, absolute: bool = False, host: HostRef = None
    ) -> list[str]:
        """Return the names in a directory of the host, sorted: all, or those that a pattern like ``*.log`` matches.

        | @{names} = | List Directory | /var/log | *.log |
        """
        return self._listed(path, pattern, absolute, host, "-e")

    @keyword
    def list_files_in_directory(
        self, path: str = ".", pattern: str | None = None, absolute: bool = False, host: HostRef = None
    ) -> list[str]:
        """Return the names of the files in a directory of the host, see `List Directory`."""
        return self._listed(path, pattern, absolute, host, "-f")

    @keyword
    def list_directories_in_directory(
        self, path: str = ".", pattern: str | None = None, absolute: bool = False, host: HostRef = None
    ) -> list[str]:
        """Return the names of the directories in a directory of the host, see `List Directory`."""
        return self._listed(path, pattern, absolute, host, "-d")

    def _listed(self, path: str, pattern: str | None, absolute: bool, host: HostRef, kind: str) -> list[str]:
        target = self._host(host)
        names = [name for name in _names(target, path, kind) if fnmatch.fnmatchcase(name, pattern or "*")]
        if absolute:
            here = target.oneshot(f"cd -- {shlex.quote(path)} && pwd -P").check().output.rstrip("\n")
            names = [posixpath.join(here, name) for name in names]
        return names


def _test(host: Host, kind: str, path: str) -> bool:
    """What the shell's ``[ -f path ]`` says."""
    result = host.oneshot(f"[ {kind} {shlex.quote(path)} ]")
    if result.retcode not in (0, 1):
        result.check()
    return result.ok


def _names(host: Host, directory: str, kind: str = "") -> list[str]:
    script = LIST.format(path=shlex.quote(directory))
    if kind not in ("", "-e"):
        script = script.replace('[ -e "$name" ] || [ -L "$name" ]', f'[ {kind} "$name" ]')
    output = host.oneshot(script).check().output_bytes
    return sorted(os.fsdecode(name) for name in output.split(b"\0") if name)


def _make_directory(host: Host, path: str) -> None:
    if path not in (".", "/") and not _test(host, "-d", path):
        host.oneshot(f"mkdir -p -- {shlex.quote(path)}").check()


def _octal(mode: str) -> int | None:
    return None if mode.lower() in ("none", "") else int(mode, 8)


def _copy(source: Path, target: Path, newline: str) -> None:
    shutil.copy2(source, target)
    if newline:
        ends = {"LF": b"\n", "CRLF": b"\r\n"}.get(newline.upper(), newline.encode())
        target.write_bytes(source.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", ends))


def _log_copy(source: object, destination: object) -> None:
    logger.info(f"'{source}' -> '{destination}'")
