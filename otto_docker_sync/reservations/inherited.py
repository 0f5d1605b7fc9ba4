"""A hold that a process hands on to the commands it starts.

``otto-docker reserve … -- CMD`` publishes its hold in a private directory, and names that in the environment of CMD.
Whatever descends from CMD, on the same machine, counts as a holder for as long as the publisher lives and holds: the
directory has a file that the publisher keeps locked, and one that says until when the hold is good.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..deadline import Deadline
from ..errors import ReservationLost
from ..limits import HOLD_POLL
from .backend import Lease, boot_time
from .file_backend import OwnedFile, is_unlocked
from .request import Request
from .reservation import Reservation

VARIABLE = "OTTO_RESERVATION"
"""Names the directories of the published holds that a process counts as a holder of."""
HOSTS_VARIABLE = "OTTO_RESERVED"
"""Names the hosts that a published hold is for, for scripts."""


class Publication:
    """A published hold. Owns its directory."""

    def __init__(self, reservation: Reservation, table: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="otto-reservation-"))
        self._table = table
        self._published: dict[str, object] = {}
        self._lock = OwnedFile(self.directory / "lock", 0o600)
        self._lock.lock(Deadline.grace(0))
        self._hosts = [host.id for host in reservation.hosts]
        reservation.follow(self._publish)

    def _publish(self, reservation: Reservation) -> None:
        """Tell until when the hold is good, or why it is lost. Called after each renewal."""
        lease = reservation.lease
        content = {
            "table": self._table,
            "table_id": lease.table_id,
            "request": reservation.request.to_json(),
            "valid_until": lease.valid_until,
            "loss": reservation.describe_loss() if reservation.lost else "",
        }
        if content == self._published:
            return
        self._published = content
        new = self.directory / "hold.new"
        new.write_text(json.dumps(content))
        os.replace(new, self.directory / "hold.json")

    def environment(self) -> dict[str, str]:
        """What to put into the environment of a command."""
        outer = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
        return {VARIABLE: os.pathsep.join([*outer, str(self.directory)]), HOSTS_VARIABLE: " ".join(self._hosts)}

    def close(self) -> None:
        """End the publication: who inherited the hold has it no more. Idempotent."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()


@dataclass(frozen=True)
class _Told:
    table: str
    table_id: str
    request: Request
    valid_until: float
    loss: str


class InheritedLease(Lease):
    """A hold that another process of this machine publishes, and keeps."""

    interval = HOLD_POLL

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._told = self._read()
        self.table_id = self._told.table_id
        self._version: object = None
        self._loss = ""

    @property
    def table(self) -> str:
        """What the lab of the publisher calls the table."""
        return self._told.table

    @property
    def request(self) -> Request:
        return self._told.request

    @property
    def valid_until(self) -> float:
        return self._told.valid_until

    def wait(self, deadline: Deadline) -> bool:  # noqa: ARG002 (the base has it)
        return True

    def keep(self) -> None:
        """The publisher does."""

    def loss(self) -> str:
        if not self._loss:
            self._loss = self._look()
        return self._loss

    def release(self) -> None:
        """It is not ours to release; what a publisher that was killed left is removed."""
        if is_unlocked(self.directory / "lock"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def _look(self) -> str:
        ended = f"process {self.request.pid}, which reserved it for this command, has ended or released it"
        if is_unlocked(self.directory / "lock"):
            return ended
        with suppress(FileNotFoundError):
            status = os.stat(self.directory / "hold.json")
            # Replaced a few times a second at most, and never the same file twice in a row.
            if (status.st_ino, status.st_mtime_ns) != self._version:
                self._told = self._read()
                self._version = status.st_ino, status.st_mtime_ns
        if self._told.loss:
            return self._told.loss
        if boot_time() >= self._told.valid_until:
            return f"process {self.request.pid}, which reserved it for this command, did not renew it in time"
        return ""

    def _read(self) -> _Told:
        content = json.loads((self.directory / "hold.json").read_text())
        request = Request.from_json(content["request"])
        return _Told(content["table"], content["table_id"], request, float(content["valid_until"]), content["loss"])


def has_inherited() -> bool:
    """Whether this process inherited any hold."""
    return bool(os.environ.get(VARIABLE))


def inherited_leases(table: str) -> list[InheritedLease]:
    """The holds in this table that the process inherited, lost ones too.

    Raises `ReservationLost` when the environment names a hold that is not there: its publisher has ended.
    """
    leases = []
    for name in os.environ.get(VARIABLE, "").split(os.pathsep):
        if name:
            try:
                lease = InheritedLease(Path(name))
            except (OSError, ValueError, KeyError):
                raise ReservationLost(
                    f"the reservation that this command was started with has ended ({VARIABLE}={name})"
                ) from None
            if lease.table == table:
                leases.append(lease)
    return leases
