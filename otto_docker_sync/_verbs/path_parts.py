"""What a path on a host has in common with a pure one: it asks nobody."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Union

from .._channel.markers import encode_command
from ..errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

Segment = Union[str, "os.PathLike[str]", "PathParts"]
"""What is joined to a path."""


class PathParts:
    """The part of a path's words that ask nobody: those of `pathlib.PurePosixPath`."""

    host: str
    """The id of the host."""

    pure: PurePosixPath
    """The path itself, which knows nothing of the host."""

    def __init__(self, host: str, pure: PurePosixPath) -> None:
        self.host = host
        self.pure = pure

    def with_segments(self, *segments: Segment) -> Self:
        """Another path on the same host, of `segments`."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.pure)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.host!r}, {str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PathParts):
            return NotImplemented
        return (self.host, self.pure) == (other.host, other.pure)

    def __hash__(self) -> int:
        return hash((self.host, self.pure))

    def __lt__(self, other: PathParts) -> bool:
        return (self.host, self.pure) < (other.host, other.pure)

    def __truediv__(self, other: Segment) -> Self:
        return self.joinpath(other)

    def joinpath(self, *others: Segment) -> Self:
        """The path with `others` below it.

        >>> host.path("/etc").joinpath("app", "app.conf")
        RemotePath('carrot', '/etc/app/app.conf')
        """
        return self.with_segments(self.pure, *others)

    @property
    def name(self) -> str:
        """The last part."""
        return self.pure.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self.pure.stem

    @property
    def suffix(self) -> str:
        """The last suffix, such as ``.gz``, or ``""``."""
        return self.pure.suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes, such as ``[".tar", ".gz"]``."""
        return self.pure.suffixes

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts, such as ``("/", "etc", "hosts")``."""
        return self.pure.parts

    @property
    def parent(self) -> Self:
        """The path of the directory that it is in."""
        return self.with_segments(self.pure.parent)

    @property
    def parents(self) -> tuple[Self, ...]:
        """The paths of all directories above it, the nearest first."""
        return tuple(map(self.with_segments, self.pure.parents))

    def with_name(self, name: str) -> Self:
        """The path with another last part, `name`."""
        return self.with_segments(self.pure.with_name(name))

    def with_stem(self, stem: str) -> Self:
        """The path with `stem` in place of the last part without its suffix."""
        return self.with_segments(self.pure.with_stem(stem))

    def with_suffix(self, suffix: str) -> Self:
        """The path with another last suffix, `suffix`; ``""`` takes it away."""
        return self.with_segments(self.pure.with_suffix(suffix))

    def relative_to(self, other: Segment) -> PurePosixPath:
        """The rest of the path below `other`; raises `ValueError` when it is not below it."""
        return self.pure.relative_to(as_pure(other))

    def is_relative_to(self, other: Segment) -> bool:
        """Whether the path is `other`, or below it."""
        return self.pure.is_relative_to(as_pure(other))

    def is_absolute(self) -> bool:
        """Whether the path begins with ``/``."""
        return self.pure.is_absolute()

    def match(self, pattern: str) -> bool:
        """Whether the path matches `pattern`, as `pathlib.PurePath.match` has it."""
        return self.pure.match(pattern)


def as_texts(paths: Any) -> Any:
    """Replace each `RemotePath`, alone or among others, by its text."""
    if isinstance(paths, PathParts):
        return str(paths)
    if isinstance(paths, (str, bytes, os.PathLike)) or not isinstance(paths, Iterable):
        return paths
    return [as_texts(path) for path in paths]


def as_pure(path: object) -> PurePosixPath:
    """Check a path, and return it as a pure one. Raises `ConfigError`."""
    if isinstance(path, PathParts):
        return path.pure
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or "\0" in text:
        raise ConfigError(f"{path!r} is not a valid path: pass a str or an os.PathLike")
    try:
        encode_command(text)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{path!r} is not a valid path: no file system has such a name: {error.reason}") from error
    return PurePosixPath(text)
