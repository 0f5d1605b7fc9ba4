"""A container as one call sees it, with a user and a directory of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._channel.backend import Program
from .._channel.base import Channel
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

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        return self._container.open_exec(program, *self._place, deadline)

    def startup_error(self, out: bytes, err: bytes, status: int | None, deadline: Deadline) -> OttoError:
        return self._container.exec_error(out, err, status, deadline, *self._place)
