"""A path on a host, with pathlib's words."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Union

from .._shell import Runner
from ..errors import ConfigError, RemoteFileNotFound
from .path_parts import PathParts, Segment, as_pure

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._transfer import PathOperations

RemotePaths = Union[str, "os.PathLike[str]", "RemotePath", Iterable[Union[str, "os.PathLike[str]", "RemotePath"]]]
"""One path of a host, or many."""


class RemotePath(PathParts):
    """A path on a host, with the words of `pathlib.Path`, their arguments and their errors. Made by `Host.path`.

    Each verb is one flight to the host, and asks anew: nothing is remembered. Any thread may use it. ``~`` in front is
    the home directory of the user; another relative path starts where a command does.

    A verb ends after the host's ``default_timeout``, if it has one, with `RemoteFileTimedOut`. Errors are
    `RemoteFileError` and its subclasses, which are also ``FileNotFoundError``, ``FileExistsError``,
    ``PermissionError``, ``IsADirectoryError`` and ``NotADirectoryError``; and, when the host cannot be reached, those
    of `Host.oneshot`.

    >>> config = host.path("/etc/app") / "app.conf"
    >>> if config.exists():
    ...     config.write_text(config.read_text().replace("debug = no", "debug = yes"))
    """

    def __init__(self, runner: Runner, pure: PurePosixPath) -> None:
        super().__init__(runner.backend.id, pure)
        self._runner = runner

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConfigError(f"{self!r} cannot be copied or pickled: its host owns connections; pass str(path) on")

    def with_segments(self, *segments: Segment) -> Self:
        return type(self)(self._runner, PurePosixPath(*map(as_pure, segments)))

    def _operations(self) -> PathOperations:
        from .._transfer import PathOperations

        return PathOperations(self._runner, str(self))

    # Questions

    def exists(self) -> bool:
        """Whether something is there; a link counts if its target does.

        >>> host.path("/run/app.pid").exists()
        True
        """
        return self._operations().test("-e")

    def is_file(self) -> bool:
        """Whether it is a file, or a link to one.

        >>> host.path("/etc/hosts").is_file()
        True
        """
        return self._operations().test("-f")

    def is_dir(self) -> bool:
        """Whether it is a directory, or a link to one.

        >>> host.path("/etc").is_dir()
        True
        """
        return self._operations().test("-d")

    def is_symlink(self) -> bool:
        """Whether it is a link, also one to nothing.

        >>> host.path("/proc/self").is_symlink()
        True
        """
        return self._operations().test("-L")

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """What the file system knows of it: size, mode, owner, times. Needs ``stat`` on the host.

        Args:
            follow_symlinks: False asks for a link itself. True, the default, asks for its target.

        >>> host.path("/etc/hosts").stat().st_size
        127
        """
        return self._operations().stat(follow=follow_symlinks)

    def lstat(self) -> os.stat_result:
        """As `stat`, of a link itself.

        >>> oct(host.path("/usr/bin/python3").lstat().st_mode)
        '0o120777'
        """
        return self.stat(follow_symlinks=False)

    def read_bytes(self) -> bytes:
        """The content of the file.

        >>> host.path("/bin/true").read_bytes()[:4]
        b'\\x7fELF'
        """
        return self._operations().read()

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """The content of the file as text.

        Args:
            encoding: None, the default, is UTF-8.
            errors: What to do with bytes that are not valid, as `open` has it. None, the default, is ``"strict"``.
            newline: None, the default, makes every line end a ``\\n``; ``""`` leaves them as they are.

        Raises `UnicodeDecodeError` for bytes that are not valid.

        >>> host.path("/etc/hostname").read_text()
        'carrot\\n'
        """
        content = io.BytesIO(self.read_bytes())
        with io.TextIOWrapper(content, encoding or "utf-8", errors, newline) as text:
            return text.read()

    def iterdir(self) -> Iterator[RemotePath]:
        """What is in the directory, in no particular order; asked for at once, and not piece by piece.

        >>> sorted(path.name for path in host.path("/etc/app").iterdir())
        ['app.conf', 'keys']
        """
        return map(self.joinpath, self._operations().list())

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """What is below the directory and matches a pattern. Nothing, for a directory that is not there.

        Args:
            pattern: As `pathlib.Path.glob` has it, with ``*``, ``?``, ``[a-z]``, and ``**`` for any number of
                directories. The newest Python's meaning holds: ``**`` at the end is all that is below. Below ``**``,
                links to directories are not followed.

        >>> [log.name for log in host.path("/var/log").glob("*.log")]
        ['app.log']
        """
        from .._transfer import Pattern

        return map(self.joinpath, self._operations().glob(Pattern(pattern)))

    def rglob(self, pattern: str) -> Iterator[RemotePath]:
        """As `glob`, with ``**/`` in front of `pattern`.

        >>> list(host.path("/etc").rglob("*.pem"))
        []
        """
        return self.glob(f"**/{pattern}")

    # Changes

    def write_bytes(self, data: bytes) -> int:
        """Give the file a new content, and return its length. As a whole or not at all.

        The file keeps its mode and its owner; a link is followed. A new file gets the mode that the umask there gives
        it; its directory must exist. Where the file cannot be replaced, because it is a mount, has more than one name,
        or belongs to somebody else, the content is copied into it when all of it has arrived.

        Args:
            data: The new content.

        >>> host.path("/etc/app/key").write_bytes(b"\\x00\\x01")
        2
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise ConfigError(f"write_bytes: {type(data).__name__} is not a valid content: pass bytes")
        content = bytes(data)
        self._operations().write(content)
        return len(content)

    def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        """Give the file a new content, as `write_bytes`, and return the number of characters.

        Args:
            data: The new content.
            encoding: None, the default, is UTF-8.
            errors: What to do with characters that it does not have, as `open` has it. None, the default, is
                ``"strict"``.
            newline: What each ``\\n`` becomes. None, the default, leaves them.

        Raises `UnicodeEncodeError` for characters that the encoding does not have.

        >>> host.path("/etc/app/app.conf").write_text("debug = yes\\n")
        12
        """
        if not isinstance(data, str):
            raise ConfigError(f"write_text: {type(data).__name__} is not a valid content: pass a string")
        content = io.BytesIO()
        text = io.TextIOWrapper(content, encoding or "utf-8", errors, newline or "")
        text.write(data)
        text.flush()
        self._operations().write(content.getvalue())
        return len(data)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the directory.

        Args:
            mode: Its permissions, from which the umask there takes some away.
            parents: Make the directories above it, too. False, the default, needs them to exist.
            exist_ok: True is content with a directory that exists.

        >>> host.path("/srv/app/data").mkdir(parents=True, exist_ok=True)
        """
        above = str(self.parent) if parents else ""
        self._operations().change("make_directory", f"{mode:o}", above, "1" if exist_ok else "")

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        """Make an empty file, or give one that exists the present time.

        Args:
            mode: Its permissions when it is made, from which the umask there takes some away.
            exist_ok: False raises `RemoteFileExists` for a file that exists.

        >>> host.path("/run/app/ready").touch()
        """
        self._operations().change("touch_file", f"{mode:o}", "1" if exist_ok else "")

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file, or the link.

        Args:
            missing_ok: True is content when nothing is there.

        >>> host.path("/run/app.pid").unlink(missing_ok=True)
        """
        try:
            self._operations().change("remove_file")
        except RemoteFileNotFound:
            if not missing_ok:
                raise

    def rmdir(self) -> None:
        """Remove the directory, which must be empty.

        >>> host.path("/srv/app/data").rmdir()
        """
        self._operations().change("remove_directory")

    def rename(self, target: Segment) -> RemotePath:
        """Rename it, and return the new path. A file that has that name is replaced.

        Between two file systems it is copied, which is not done at once.

        Args:
            target: The new path on the same host.

        >>> host.path("/etc/app.conf.new").rename("/etc/app.conf")
        RemotePath('carrot', '/etc/app.conf')
        """
        new = self.with_segments(target)
        self._operations().change("rename_to", str(new))
        return new

    def replace(self, target: Segment) -> RemotePath:
        """The same as `rename`; `target` as there.

        >>> host.path("/etc/app.conf.new").replace("/etc/app.conf")
        RemotePath('carrot', '/etc/app.conf')
        """
        return self.rename(target)

    def chmod(self, mode: int) -> None:
        """Set the permissions; those of a link's target.

        Args:
            mode: Such as ``0o755``.

        >>> host.path("/srv/app/run.sh").chmod(0o755)
        """
        self._operations().change("change_mode", f"{mode:05o}")
