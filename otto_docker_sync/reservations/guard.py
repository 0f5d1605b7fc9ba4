"""What a host of a lab asks before each verb: may it begin, what interrupts it, and which fence it carries."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Sequence

from .._channel.backend import Backend, Guard
from .._channel.scripts import script
from .._shell import Capture, kill_tree, run_oneshot
from ..deadline import Cancellation, Deadline
from ..errors import ContainerNotRunning, NoSuchContainer, ReservationError, ShellNotFound
from ..limits import SWEEP_TIME
from .reservation import Reservation

VARIABLE = "OTTO_LEASE"
"""In the environment of all that is started under a reservation: for each tag ``,HASH:FENCE:MODE``, then ``,;``.

The hash keeps the tags' names out of it, and any text a tag may have. MODE is ``x`` or ``s``.
"""


class ReservationGuard(Guard):
    """The guard of one host of a lab.

    `holds` returns the reservations of this process that hold a tag of the host, lost ones too; `require` raises when
    these are not enough for a verb.

    The first verb under a reservation first ends what runs on the host under older fences of its tags.
    """

    def __init__(
        self,
        backend: Backend,
        holds: Callable[[], list[Reservation]],
        require: Callable[[list[Reservation]], object],
    ) -> None:
        self._backend = backend
        self._holds = holds
        self._require = require
        self._sweeping = threading.Lock()
        self._swept: set[Reservation] = set()

    def enter(self) -> Sequence[Cancellation]:
        holds = self._holds()
        self._require(holds)
        for hold in holds:
            if hold not in self._swept:
                self._sweep(hold)
        return [hold.interruption for hold in holds]

    def check(self) -> None:
        for hold in self._holds():
            hold.check()

    def marker_env(self) -> dict[str, str]:
        marks = [
            f"{_hash(hold, tag)}:{hold.fence}:{'s' if hold.shared else 'x'}"
            for hold in self._holds()
            for tag in hold.tags
            if not hold.lost
        ]
        return {VARIABLE: f",{','.join(marks)},;"} if marks else {}

    def _sweep(self, hold: Reservation) -> None:
        """End what runs under older fences: of a holder that was stopped, or whose machine is gone."""
        with self._sweeping:
            if hold in self._swept:
                return
            text = sweep_script([_hash(hold, tag) for tag in hold.tags], hold.fence, shared=hold.shared)
            deadline = Deadline.grace(SWEEP_TIME).also(hold.interruption)
            try:
                outcome = run_oneshot(self._backend, text, deadline, Capture(None, lambda _: None))
            except (ContainerNotRunning, NoSuchContainer, ShellNotFound):
                return  # nothing runs there now; what runs later is swept then
            hold.check()
            if outcome.retcode != 0:
                why = outcome.message or f"status {outcome.retcode}"
                raise ReservationError(
                    f"{self._backend.id}: what an earlier holder of {' '.join(hold.tags)} left running could not be "
                    f"ended: {why}"
                )
            self._swept = {known for known in self._swept if not known.released} | {hold}


def _hash(hold: Reservation, tag: str) -> str:
    return hashlib.sha256(f"{hold.lease.table_id}\0{tag}".encode()).hexdigest()[:16]


def sweep_script(hashes: Collection[str], fence: int, *, shared: bool) -> str:
    """The shell text that ends all that carries an older fence of one of these tags.

    A holder that shares its tags spares the others that share them.
    """
    modes = "x" if shared else "xs"
    values = script(__package__, "sweep", otto_hashes=" ".join(hashes), otto_fence=fence, otto_modes=modes)
    return kill_tree() + values
