"""Reservations of the processes of one machine, in a directory. The kernel's lock is the lease.

Each request has a file of its own, which its process keeps locked (``flock``) for as long as it lives. So a process is
dead when somebody else can lock its file: there is no time limit to wait for and no clock to compare, and the kernel
ends the lease of a process that was killed at that moment. A process that is stopped keeps its lease.

The table of requests is ``state.json``. It is changed under the lock ``state.lock``, and replaced as a whole, so a
process that dies in the middle of a change leaves the table as it was, and the lock free.

``fcntl.flock`` and not a library: the lock has to be the kernel's, on a descriptor that nothing but the process holds.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import secrets
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import ClassVar, TypeVar

from ..deadline import Deadline
from ..errors import ConfigError, ReservationError
from ..limits import HEARING_TIME, HOLD_POLL, LONGEST_POLL, RELEASE_TIME, SHORTEST_POLL, TABLE_TIME
from .backend import Backend, Finding, Lease, boot_time
from .request import Request
from .table import Table

Result = TypeVar("Result")


NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "gfs", "ocfs", "lustre", "gpfs", "beegfs", "fuse.")
"""File systems where ``flock`` is not the kernel's own, or lasts longer than its process."""
LOCAL_FUSE = ("fuse.fuse-overlayfs", "fuse.ntfs", "fuse.exfat")

REMOVED = "; if the directory was removed, try again"


class OwnedFile:
    """A lock file that this process keeps locked, and that a forked child lets go of."""

    _all: ClassVar[weakref.WeakSet[OwnedFile]] = weakref.WeakSet()

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self.descriptor = os.open(path, flags)
        except FileNotFoundError:
            self.descriptor = os.open(path, flags | os.O_CREAT, mode)
            os.fchmod(self.descriptor, mode)  # the umask has no say in who shares the directory
        self._all.add(self)

    def lock(self, deadline: Deadline) -> bool:
        """Wait for the lock; whether it came in time."""
        pause = 0.001
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
            if deadline.expired:
                return False
            # flock() has no time limit of its own, and a signal would reach the main thread only.
            time.sleep(pause)
            pause = min(pause * 1.5, 0.01)

    def close(self) -> None:
        if self.descriptor >= 0:
            # A child that was forked meanwhile has the descriptor too: closing ours alone would not unlock.
            with suppress(OSError):
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
            self.close_descriptor()

    def close_descriptor(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)

    @classmethod
    def close_in_child(cls) -> None:
        """A child that kept the descriptor would keep the lease of a parent that dies."""
        for each in list(cls._all):
            if each.descriptor >= 0:
                each.close_descriptor()
        cls._all.clear()


os.register_at_fork(after_in_child=OwnedFile.close_in_child)


class FileBackend(Backend):
    """The table of a lab's requests in a directory of this machine, made when it is first used.

    With `shared`, other users can use it too.
    """

    def __init__(self, directory: Path, *, shared: bool = False) -> None:
        self.directory = directory
        self.name = f"file:{directory}" if shared else "file"
        self._directory_mode, self._mode = (0o777, 0o666) if shared else (0o700, 0o600)
        self._cached: tuple[object, Table] | None = None
        self._changing = Lock()

    # The protocol

    def submit(self, request: Request, deadline: Deadline) -> FileLease:
        with self.translated("enter a request"):
            self._prepare()
            owned = OwnedFile(self._lock_path(request.id), self._mode)
            try:
                # Locked before anybody can find it in the table: it never looks dead.
                owned.lock(Deadline.grace(0))
                self._change(lambda table: table.submit(request, time.time()), deadline)
            except BaseException:
                self._discard(owned)
                raise
            return FileLease(self, request, owned)

    def requests(self) -> list[Request]:
        with self.translated("read the table"):
            if not (self.directory / "state.json").exists():
                return []
            self._remove_dead()
            return list(self.read().requests.values())

    def force(self, request_ids: list[str], text: str) -> None:
        def mark(table: Table) -> None:
            for request_id in request_ids:
                table.force(request_id, text)

        with self.translated("take a hold away"):
            self._change(mark, Deadline.grace(RELEASE_TIME))

    def examine(self) -> list[Finding]:
        try:
            with self.translated("use the directory"):
                self._prepare()
                self._change(lambda _: None, Deadline.grace(RELEASE_TIME))
        except (ReservationError, ConfigError) as error:
            return [Finding("backend", "wrong", str(error))]
        found = f"{self.name}: for the processes of this machine, in {self.directory}"
        return [Finding("backend", "ok", found)]

    def close(self) -> None:
        pass

    # The table

    def read(self) -> Table:
        """The table as it is now. Cheap when it has not changed since the last look."""
        path = self.directory / "state.json"
        with self._changing:
            try:
                status = os.stat(path)
                version = status.st_ino, status.st_mtime_ns  # the second is a number that rises, see _write
                if self._cached is None or self._cached[0] != version:
                    self._cached = version, _table(path.read_bytes())
                return self._cached[1]
            except FileNotFoundError:
                return Table()

    def _change(self, change: Callable[[Table], Result], deadline: Deadline) -> Result:
        """Change the table, under its lock."""
        remaining = deadline.remaining()
        in_a_hurry = remaining is not None and remaining < TABLE_TIME
        lock = OwnedFile(self.directory / "state.lock", self._mode)
        try:
            if not lock.lock(Deadline.grace(TABLE_TIME) if in_a_hurry else deadline):
                raise ReservationError(
                    f"{self.name}: another process keeps the table in {self.directory} locked, which takes "
                    f"milliseconds unless it is stopped; find it with: fuser -v {lock.path}"
                )
            path = self.directory / "state.json"
            content = path.read_bytes() if path.exists() else b""
            table = _table(content)
            self._check_machine(content)
            result = change(table)
            self._write(path, table)
            return result
        finally:
            lock.close()

    def _write(self, path: Path, table: Table) -> None:
        requests = [request.to_json() for request in table.requests.values()]
        table.version += 1
        table.id = table.id or secrets.token_hex(8)
        counters = {"version": table.version, "sequence": table.sequence, "fence": table.fence}
        content = {**_this_machine(), "id": table.id, **counters, "requests": requests}
        new = self.directory / "state.new"
        new.unlink(missing_ok=True)  # of a process that died here
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, self._mode)
        with open(descriptor, "w") as file:
            os.fchmod(descriptor, self._mode)
            json.dump(content, file)
        # The time of the file is its version: the clock of a file system ticks too slowly to tell two versions apart,
        # and readers look at nothing else.
        os.utime(new, (table.version, table.version))
        os.replace(new, path)

    def _prepare(self) -> None:
        if not self.directory.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(self._directory_mode)
        kind = file_system(self.directory)
        if kind.startswith(NETWORK) and not kind.startswith(LOCAL_FUSE):
            raise ConfigError(
                f"{self.name}: {self.directory} is on a network file system ({kind}), where a lock can outlive its "
                "process: use a local directory, or a redis:// backend for several machines"
            )

    def _check_machine(self, content: bytes) -> None:
        """The kernel's locks are known to its own processes only, whatever directory they can see."""
        known = json.loads(content) if content else {}
        ours = _this_machine()
        # Containers on one machine have names of their own, and one kernel; a reboot changes the second.
        same_boot = known.get("boot") == ours["boot"] != ""
        if known and not same_boot and known.get("machine") != ours["machine"]:
            raise ConfigError(
                f"{self.name}: {self.directory} was used by another machine, {known.get('machine')}; use a redis:// "
                f"backend for several machines, or remove {self.directory / 'state.json'} if this one was renamed"
            )

    # Life and death

    def _lock_path(self, request_id: str) -> Path:
        return self.directory / f"{request_id}.lock"

    def is_dead(self, request_id: str) -> bool:
        """Whether nobody holds the lock of this request."""
        return is_unlocked(self._lock_path(request_id))

    def remove(self, request_ids: list[str], deadline: Deadline) -> None:
        """Remove requests, and grant what that frees."""

        def change(table: Table) -> None:
            for request_id in request_ids:
                table.remove(request_id, time.time())

        self._change(change, deadline)
        for request_id in request_ids:
            self._lock_path(request_id).unlink(missing_ok=True)

    def _remove_dead(self) -> None:
        dead = [request_id for request_id in self.read().requests if self.is_dead(request_id)]
        if dead:
            self.remove(dead, Deadline.grace(RELEASE_TIME))

    def _discard(self, owned: OwnedFile) -> None:
        owned.path.unlink(missing_ok=True)
        owned.close()

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            advice = REMOVED if isinstance(error, FileNotFoundError) else ""
            raise ReservationError(f"{self.name}: cannot {doing} in {self.directory}: {error}{advice}") from error


class FileLease(Lease):
    """A request whose lock file this process holds."""

    interval = HOLD_POLL

    def __init__(self, backend: FileBackend, request: Request, owned: OwnedFile) -> None:
        self._backend = backend
        self._request = request
        self._owned = owned
        self.table_id = backend.read().id
        self._taken_away: dict[str, float] = {}

    @property
    def request(self) -> Request:
        return self._backend.read().requests.get(self._request.id, self._request)

    @property
    def valid_until(self) -> float:
        return float("inf")

    def wait(self, deadline: Deadline) -> bool:
        pause = SHORTEST_POLL
        version: object = None
        while not self.request.granted:
            table = self._backend.read()
            if table is not version:
                version, pause = table, SHORTEST_POLL
                if self._request.id not in table.requests:
                    raise ReservationError(f"{' '.join(self._request.tags)}: {self.loss()}{REMOVED}")
            self._remove_who_is_gone(table, deadline)
            if self.request.granted:
                break
            if deadline.expired:
                return False
            remaining = deadline.remaining()
            # Processes that wait for the same thing do not all look at the same moment.
            seconds = pause * random.uniform(0.7, 1.3)
            time.sleep(seconds if remaining is None else min(seconds, remaining))
            pause = min(pause * 1.3, LONGEST_POLL)
        self._request = self.request
        return True

    def _remove_who_is_gone(self, table: Table, deadline: Deadline) -> None:
        """Remove dead requests that are in our way, and holds that were taken away and whose owner does not answer."""
        now = boot_time()
        gone = []
        for other in table.requests.values():
            if other.id == self._request.id or not other.conflicts_with(self._request):
                continue
            since = self._taken_away.setdefault(other.id, now) if other.forced else now
            if self._backend.is_dead(other.id) or now - since >= HEARING_TIME:
                gone.append(other.id)
        if gone:
            with self._backend.translated("remove a dead request"):
                self._backend.remove(gone, deadline)

    def keep(self) -> None:
        pass

    def loss(self) -> str:
        try:
            request = self._backend.read().requests.get(self._request.id)
        except (OSError, ValueError) as error:
            return f"the table in {self._backend.directory} cannot be read: {error}"
        if request is None:
            return f"it is not in the table in {self._backend.directory} any more"
        return request.forced

    def release(self) -> None:
        try:
            if self._owned.descriptor >= 0:
                with self._backend.translated("release"):
                    self._backend.remove([self._request.id], Deadline.grace(RELEASE_TIME))
        finally:
            self._owned.close()


def is_unlocked(path: Path) -> bool:
    """Whether nobody has this lock file locked, or it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        # Shared: two who look at once do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def _table(content: bytes) -> Table:
    if not content:
        return Table()
    told = json.loads(content)
    requests = [Request.from_json(text) for text in told["requests"]]
    by_id = {request.id: request for request in requests}
    return Table(by_id, told["sequence"], told["fence"], told["version"], told.get("id", ""))


def _this_machine() -> dict[str, str]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return {"machine": socket.gethostname(), "boot": boot}


def file_system(path: Path) -> str:
    """The kind of file system that `path` is on; empty where the system does not say."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            words = line.split()
            if words[2] == wanted:
                return words[words.index("-") + 1]
    return ""
