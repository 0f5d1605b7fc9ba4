"""The awaited verbs of a path on a host."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from .._verbs.path import RemotePath
from .._verbs.path_parts import PathParts, Segment
from .calls import Slots, shim

if TYPE_CHECKING:
    from typing_extensions import Self

P = ParamSpec("P")


def _listing_shim(
    verb: Callable[Concatenate[Any, P], Iterator[RemotePath]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, list[AsyncRemotePath]]]:
    """Return the async twin of a verb that lists paths."""
    listing = shim(verb)

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> list[AsyncRemotePath]:
        return [AsyncRemotePath(path, slots=self._slots) for path in await listing(self, *args, **kwargs)]

    return functools.wraps(verb)(call)


def _renaming_shim(
    verb: Callable[Concatenate[Any, P], RemotePath],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, AsyncRemotePath]]:
    """Return the async twin of a verb that renames a path."""
    renaming = shim(verb)

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncRemotePath:
        return AsyncRemotePath(await renaming(self, *args, **kwargs), slots=self._slots)

    return functools.wraps(verb)(call)


class AsyncRemotePath(PathParts):
    """The verbs of a `RemotePath` for ``async`` callers; ``host.aio.path(…)`` makes one. It owns nothing.

    What needs no answer of the host, such as ``/``, ``name`` and ``parent``, is not awaited. ``iterdir``, ``glob`` and
    ``rglob`` return lists.

    >>> config = host.aio.path("/etc/app") / "app.conf"
    >>> if await config.exists():
    ...     text = await config.read_text()
    """

    def __init__(self, path: RemotePath, *, slots: Slots | None = None) -> None:
        super().__init__(path.host, path.pure)
        self._blocking = path
        self._slots = slots or Slots(None)

    @property
    def path(self) -> RemotePath:
        """The path itself, with the blocking verbs."""
        return self._blocking

    def with_segments(self, *segments: Segment) -> Self:
        return type(self)(self._blocking.with_segments(*segments), slots=self._slots)

    exists = shim(RemotePath.exists)
    is_file = shim(RemotePath.is_file)
    is_dir = shim(RemotePath.is_dir)
    is_symlink = shim(RemotePath.is_symlink)
    stat = shim(RemotePath.stat)
    lstat = shim(RemotePath.lstat)
    read_bytes = shim(RemotePath.read_bytes)
    read_text = shim(RemotePath.read_text)
    write_bytes = shim(RemotePath.write_bytes)
    write_text = shim(RemotePath.write_text)
    mkdir = shim(RemotePath.mkdir)
    touch = shim(RemotePath.touch)
    unlink = shim(RemotePath.unlink)
    rmdir = shim(RemotePath.rmdir)
    chmod = shim(RemotePath.chmod)
    iterdir = _listing_shim(RemotePath.iterdir)
    glob = _listing_shim(RemotePath.glob)
    rglob = _listing_shim(RemotePath.rglob)
    rename = _renaming_shim(RemotePath.rename)
    replace = _renaming_shim(RemotePath.replace)
