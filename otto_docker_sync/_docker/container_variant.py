"""A container as one call sees it, with a user and a directory of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .._channel.base import SIZE, Channel
from .._channel.variant import Variant
from ..deadline import Deadline
from ..errors import OttoError

if TYPE_CHECKING:
    from .backend import ContainerBackend


class ContainerVariant(Variant):
    """A container, for a call with a `user` and a `workdir` of its own."""

    def __init__(self, container: ContainerBackend, user: str | None, workdir: str | None) -> None:
        super().__init__(container)
        self._container = container
        self._place = user, workdir

    def open_channel(
        self,
        argv: Sequence[str],
        *,
        marker_env: Mapping[str, str] | None = None,
        tty: bool = False,
        deadline: Deadline,
        term: str = "dumb",
        size: tuple[int, int] = SIZE,
    ) -> Channel:
        return self._container.open_exec(
            argv, *self._place, marker_env=marker_env, tty=tty, deadline=deadline, term=term, size=size
        )

    def startup_error(self, out: bytes, err: bytes, status: int | None, deadline: Deadline) -> OttoError:
        return self._container.exec_error(out, err, status, deadline, *self._place)
