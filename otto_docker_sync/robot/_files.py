"""Keywords about files: SSHLibrary's, and two for small texts."""

from __future__ import annotations

import fnmatch
import glob
import os
import posixpath
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from .._channel.scripts import script
from ..host import Host
from ._hosts import HostKeywords
from ._keyword import keyword, ssh_keyword
from ._open_host import HostRef

ENDS_OF_DIRECTORIES = ("/", os.sep)

Scp = Literal["OFF", "TRANSFER", "ALL"]
"""What SSHLibrary's ``scp`` takes. Files go the same way here in all cases."""

LINE_END = re.compile(rb"\r\n|\r|\n")
NEWLINES = {"LF": b"\n", "CRLF": b"\r\n"}


class FileKeywords(HostKeywords):
    """Keywords about files."""

    @ssh_keyword
    def put_file(
        self,
        source: str,
        destination: str = ".",
        mode: str = "0744",
        newline: str = "",
        scp: Scp = "OFF",  # noqa: ARG002 (SSHLibrary has it; it changes nothing here)
        scp_preserve_times: bool = False,
        *,
        host: HostRef = None,
    ) -> None:
        """Copy a local file, or all that a pattern like ``*.txt`` matches, to the host.

        ``destination`` is a directory if it exists as one or ends with ``/``, and else the name of the file;
        directories that are missing are made. ``mode`` is octal, or ``None`` to keep the file's own. ``newline``
        (``LF`` or ``CRLF``) changes the line ends of a text on its way. ``scp_preserve_times`` keeps the times of the
        file; ``scp`` changes nothing.

        | Put File | app.conf | /etc/app/app.conf | mode=0644 |
        | Put File | data/*.csv | /srv/data/ |
        """
        target = self._host(host)
        sources = [Path(source)] if Path(source).is_file() else sorted(Path(name) for name in glob.glob(source))
        sources = [path for path in sources if path.is_file()]
        if not sources:
            raise AssertionError(f"There are no source files matching '{source}'.")
        into_directory = destination.endswith("/") or _test(target, "-d", destination)
        if not into_directory and len(sources) > 1:
            raise ValueError("It is not possible to copy multiple source files to one destination file.")
        directory = destination if into_directory else posixpath.dirname(destination) or "."
        _make_directory(target, directory)
        with TemporaryDirectory(prefix="otto-robot-") as scratch:
            files = {path: path.name if into_directory else posixpath.basename(destination) for path in sources}
            sent = [_prepare(path, Path(scratch, name), newline) for path, name in files.items()]
            accessed = {posixpath.join(directory, path.name): path.stat().st_atime for path in sent}
            if _test(target, "-w", directory):
                target.put(sent, directory, mode=_octal(mode), preserve_times=scp_preserve_times).check()
            else:
                _overwrite(target, sent, directory)
            if scp_preserve_times:
                _set_access_times(target, accessed)
        for path, name in files.items():
            self._log_copy(host, path, posixpath.join(directory, name))

    @ssh_keyword
    def put_directory(
        self,
        source: str,
        destination: str = ".",
        mode: str = "0744",
        newline: str = "",
        recursive: bool = False,
        scp: Scp = "OFF",
        scp_preserve_times: bool = False,
        *,
        host: HostRef = None,
    ) -> None:
        """Copy a local directory to the host: its files, and with ``recursive`` its directories too.

        If ``destination`` exists, the directory is copied into it; else ``destination`` is made, and gets the
        contents. ``mode`` is for the files, and for new directories, which may be entered by whoever may read them;
        with ``None`` they keep their own. ``scp=ALL`` is recursive. The other arguments are those of `Put File`.

        | Put Directory | fixtures | /srv/fixtures | recursive=True |
        """
        target = self._host(host)
        directory = Path(source)
        if not directory.is_dir():
            raise AssertionError(f"There was no source path matching '{source}'.")
        recursive = recursive or scp == "ALL"
        parent, name = posixpath.split(destination.rstrip("/"))
        if _test(target, "-e", destination):
            parent, name = destination, directory.resolve().name
        destination = posixpath.join(parent, name)
        _make_directory(target, parent or ".")
        with TemporaryDirectory(prefix="otto-robot-") as scratch:
            if newline or not recursive or name != directory.resolve().name:
                directory = _copy_tree(directory, Path(scratch, name), newline, recursive=recursive)
            tree = [directory, *directory.rglob("*")]
            places = {posixpath.join(destination, path.relative_to(directory).as_posix()): path for path in tree}
            accessed = {place: path.lstat().st_atime for place, path in places.items()}
            folders = [place for place, path in places.items() if path.is_dir()]
            made = sorted(set(folders) - _existing(target, folders))
            target.put(directory.resolve(), parent or ".", mode=_octal(mode), preserve_times=scp_preserve_times).check()
            if made and _octal(mode) is not None:
                target.oneshot(["chmod", f"{_mode_of_directories(mode):o}", "--", *made], log=False).check()
            if scp_preserve_times:
                _set_access_times(target, accessed)
        self._log_copy(host, source, destination)

    @ssh_keyword
    def get_file(
        self,
        source: str,
        destination: str = ".",
        scp: Scp = "OFF",  # noqa: ARG002 (SSHLibrary has it; it changes nothing here)
        scp_preserve_times: bool = False,
        *,
        host: HostRef = None,
    ) -> None:
        """Copy a file, or all that a pattern like ``/var/log/*.log`` matches, from the host.

        ``destination`` is a directory if it exists as one or ends with ``/``, and else the name of the file;
        directories that are missing are made. ``scp_preserve_times`` keeps the times of the file; ``scp`` changes
        nothing.

        | Get File | /var/log/app.log | ${OUTPUT_DIR}/ |
        """
        target = self._host(host)
        sources = _matching(target, source, "-f")
        if not sources:
            raise AssertionError(f"There were no source files matching '{source}'.")
        into_directory = destination.endswith(ENDS_OF_DIRECTORIES) or Path(destination).is_dir()
        if not into_directory and len(sources) > 1:
            raise AssertionError("Cannot copy multiple source files to one destination file.")
        folder = Path(destination) if into_directory else Path(destination).parent
        folder.mkdir(parents=True, exist_ok=True)
        if into_directory:
            target.get(sources, folder, preserve_times=scp_preserve_times).check()
        else:
            with TemporaryDirectory(prefix=".otto-robot-", dir=folder) as scratch:
                target.get(sources, scratch, preserve_times=scp_preserve_times).check()
                os.replace(Path(scratch, posixpath.basename(sources[0])), destination)
        for path in sources:
            self._log_copy(host, path, folder / posixpath.basename(path) if into_directory else destination)

    @ssh_keyword
    def get_directory(
        self,
        source: str,
        destination: str = ".",
        recursive: bool = False,
        scp: Scp = "OFF",
        scp_preserve_times: bool = False,
        *,
        host: HostRef = None,
    ) -> None:
        """Copy a directory from the host: its files, and with ``recursive`` its directories too.

        If ``destination`` exists, the directory is copied into it; else ``destination`` is made, and gets the
        contents. ``scp=ALL`` is recursive; ``scp_preserve_times`` keeps the times of the files.

        | Get Directory | /var/log/app | ${OUTPUT_DIR}/logs | recursive=True |
        """
        target = self._host(host)
        _require_directory(target, source)
        folder = Path(destination)
        if folder.exists():
            folder /= posixpath.basename(posixpath.normpath(source))
        folder.mkdir(parents=True, exist_ok=True)
        kind = "-e" if recursive or scp == "ALL" else "-f"
        contents = [posixpath.join(source, name) for name in _names(target, source, kind)]
        if contents:
            target.get(contents, folder, preserve_times=scp_preserve_times).check()
        self._log_copy(host, source, folder)

    @keyword
    def read_remote_file(self, path: str, encoding: str = "UTF-8", *, host: HostRef = None) -> str:
        """Return the text of a file on the host.

        | ${text} =      | Read Remote File | /etc/app.conf |
        | Should Contain | ${text}          | colour = red  |
        """
        return self._host(host).path(path).read_text(encoding)

    @keyword
    def write_remote_file(self, path: str, text: str, encoding: str = "UTF-8", *, host: HostRef = None) -> None:
        """Write a file on the host, whole or not at all. One that is there keeps its permissions.

        | Write Remote File | /etc/app.conf | colour = red\\n |
        """
        self._host(host).path(path).write_text(text, encoding)

    @ssh_keyword
    def file_should_exist(self, path: str, *, host: HostRef = None) -> None:
        """Fail unless there is a file of this name on the host; the name may be a pattern like ``/etc/app*.conf``.

        | File Should Exist | /etc/app.conf |
        """
        if not _matching(self._host(host), path, "-f"):
            raise AssertionError(f"File '{path}' does not exist.")

    @ssh_keyword
    def file_should_not_exist(self, path: str, *, host: HostRef = None) -> None:
        """Fail if there is a file of this name on the host, see `File Should Exist`."""
        if _matching(self._host(host), path, "-f"):
            raise AssertionError(f"File '{path}' exists.")

    @ssh_keyword
    def directory_should_exist(self, path: str, *, host: HostRef = None) -> None:
        """Fail unless there is a directory of this name on the host; the name may be a pattern like ``/srv/app*``."""
        if not _matching(self._host(host), path, "-d"):
            raise AssertionError(f"Directory '{path}' does not exist.")

    @ssh_keyword
    def directory_should_not_exist(self, path: str, *, host: HostRef = None) -> None:
        """Fail if there is a directory of this name on the host, see `Directory Should Exist`."""
        if _matching(self._host(host), path, "-d"):
            raise AssertionError(f"Directory '{path}' exists.")

    @ssh_keyword
    def list_directory(
        self, path: str = ".", pattern: str | None = None, absolute: bool = False, *, host: HostRef = None
    ) -> list[str]:
        """Return the names in a directory of the host, sorted: all, or those that a pattern like ``*.log`` matches.

        With ``absolute`` they are whole paths.

        | @{names} = | List Directory | /var/log | *.log |
        """
        return self._list(path, pattern, absolute, host, "-e", ("item", "items"))

    @ssh_keyword
    def list_files_in_directory(
        self, path: str = ".", pattern: str | None = None, absolute: bool = False, *, host: HostRef = None
    ) -> list[str]:
        """Return the names of the files in a directory of the host, see `List Directory`."""
        return self._list(path, pattern, absolute, host, "-f", ("file", "files"))

    @ssh_keyword
    def list_directories_in_directory(
        self, path: str = ".", pattern: str | None = None, absolute: bool = False, *, host: HostRef = None
    ) -> list[str]:
        """Return the names of the directories in a directory of the host, see `List Directory`."""
        return self._list(path, pattern, absolute, host, "-d", ("directory", "directories"))

    def _list(
        self,
        path: str,
        pattern: str | None,
        absolute: bool,
        host: HostRef,
        kind: str,
        words: tuple[str, str],
    ) -> list[str]:
        target = self._host(host)
        _require_directory(target, path)
        names = [name for name in _names(target, path, kind) if fnmatch.fnmatchcase(name, pattern or "*")]
        if absolute:
            root = target.oneshot(f"cd -- {shlex.quote(path)} && pwd -P", log=False).check().output.rstrip("\n")
            names = [posixpath.join(root, name) for name in names]
        self._open_host(host).log("\n".join([f"{len(names)} {words[len(names) != 1]}:", *names]))
        return names

    def _log_copy(self, host: HostRef, source: object, destination: object) -> None:
        self._open_host(host).log(f"'{source}' -> '{destination}'")


def _test(host: Host, kind: str, path: str) -> bool:
    """Return what the shell's ``[ -f path ]`` says."""
    result = host.oneshot(f"[ {kind} {shlex.quote(path)} ]", log=False)
    if result.retcode not in (0, 1):
        result.check()
    return result.ok


def _require_directory(host: Host, path: str) -> None:
    if not _test(host, "-d", path):
        raise AssertionError(f"There was no directory matching '{path}'.")


def _matching(host: Host, path: str, kind: str) -> Sequence[str]:
    """Return the path itself, if there is a file of that kind; else those whose names its last part matches."""
    if _test(host, kind, path):
        return [path]
    folder, pattern = posixpath.split(path)
    if not glob.has_magic(pattern) or not _test(host, "-d", folder or "."):
        return []
    names = fnmatch.filter(_names(host, folder or ".", kind), pattern)
    return [posixpath.join(folder, name) for name in names]


def _names(host: Host, directory: str, kind: str) -> list[str]:
    text = script(__package__, "list_names", otto_directory=directory, otto_kind=kind)
    output = host.oneshot(text, log=False).check().output_bytes
    return sorted(os.fsdecode(name) for name in output.split(b"\0") if name)


def _make_directory(host: Host, path: str) -> None:
    if path not in (".", "/") and not _test(host, "-d", path):
        host.oneshot(f"mkdir -p -- {shlex.quote(path)}", log=False).check()


def _existing(host: Host, paths: Sequence[str]) -> set[str]:
    """Return those of the paths that there are on the host."""
    script = "".join(f"[ -e {shlex.quote(path)} ] && printf '%s\\0' {shlex.quote(path)}\n" for path in paths)
    output = host.oneshot(f"{script}:", log=False).check().output_bytes
    return {os.fsdecode(path) for path in output.split(b"\0") if path}


def _overwrite(host: Host, sources: Sequence[Path], directory: str) -> None:
    """Write into existing files of a directory in which the user can make none, as `put` would want to."""
    staging = host.oneshot("mktemp -d", log=False).check().output.rstrip("\n")
    try:
        host.put(sources, staging).check()
        for path in sources:
            copy, file = (shlex.quote(posixpath.join(folder, path.name)) for folder in (staging, directory))
            host.oneshot(f"cat < {copy} > {file}", log=False).check()
    finally:
        host.oneshot(["rm", "-rf", "--", staging], log=False)


def _set_access_times(host: Host, times: Mapping[str, float]) -> None:
    """Give files the times at which they were read last, which `put` does not keep and scp does."""
    script = ""
    for path, seconds in times.items():
        moment = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        script += f"TZ=UTC touch -a -d '{moment}' -- {shlex.quote(path)} || exit\n"
    host.oneshot(script, log=False).check()


def _mode_of_directories(mode: str) -> int:
    """Return the mode with "may enter" for all who may read."""
    bits = int(mode, 8)
    return bits | (bits & 0o444) >> 2


def _octal(mode: str) -> int | None:
    return None if mode.lower() in ("none", "") else int(mode, 8)


def _prepare(source: Path, copy: Path, newline: str) -> Path:
    """Return what to send: the file, or a copy of it with another name or other line ends."""
    if not newline and copy.name == source.name:
        return source
    shutil.copy2(source, copy)
    if newline:
        _convert(copy, newline)
    return copy


def _copy_tree(source: Path, copy: Path, newline: str, *, recursive: bool) -> Path:
    """Copy what is to be sent of a directory, with other line ends if any are named."""
    if recursive:
        shutil.copytree(source, copy)
    else:
        copy.mkdir()
        for path in source.iterdir():
            if path.is_file():
                shutil.copy2(path, copy)
    if newline:
        for path in copy.rglob("*"):
            if path.is_file():
                _convert(path, newline)
    return copy


def _convert(path: Path, newline: str) -> None:
    times = path.stat()
    end = NEWLINES.get(newline.upper(), newline.encode())
    path.write_bytes(LINE_END.sub(end, path.read_bytes()))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
