"""What this process holds, whichever lab object it was reserved with."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import ConfigError
from .reservation import Reservation


@dataclass(frozen=True)
class _Entry:
    maker: object
    table: str
    reservation: Reservation


class Registry:
    """The reservations of this process. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []
        self._announced: list[tuple[str, frozenset[str]]] = []

    @contextmanager
    def announce(self, table: str, tags: Collection[str]) -> Iterator[None]:
        """Wait for these tags inside the block.

        Raises `ConfigError` when this process holds one of them, or waits for it: it would wait for itself.
        """
        announcement = table, frozenset(tags)
        with self._lock:
            taken = {tag for entry in self._current(table) for tag in entry.reservation.tags}
            waited_for = {tag for other, others in self._announced if other == table for tag in others}
            for tag in sorted(tags):
                if tag in taken:
                    raise ConfigError(f"{tag}: this process holds it already; release that reservation first")
                if tag in waited_for:
                    raise ConfigError(f"{tag}: another thread of this process waits for it already")
            self._announced.append(announcement)
        try:
            yield
        finally:
            with self._lock:
                self._announced.remove(announcement)

    @property
    def is_empty(self) -> bool:
        return not self._entries

    def add(self, maker: object, table: str, reservation: Reservation) -> None:
        with self._lock:
            self._entries.append(_Entry(maker, table, reservation))

    def remove(self, reservation: Reservation) -> None:
        with self._lock:
            self._entries = [entry for entry in self._entries if entry.reservation is not reservation]

    def holds(self, table: str, tags: Collection[str]) -> list[Reservation]:
        """The reservations in this table that hold one of these tags."""
        with self._lock:
            reservations = [entry.reservation for entry in self._current(table)]
        return [reservation for reservation in reservations if not set(tags).isdisjoint(reservation.tags)]

    def made_by(self, maker: object) -> list[Reservation]:
        with self._lock:
            return [entry.reservation for entry in self._entries if entry.maker is maker]

    def _current(self, table: str) -> list[_Entry]:
        # A forked child knows of its parent's reservations, and does not hold them.
        return [entry for entry in self._entries if entry.table == table and entry.reservation.pid == os.getpid()]


registry = Registry()
