"""Reservations of many machines, in one Redis server. Needs the extra ``redis``.

All decisions are made inside the server by a few scripts (``*.lua``), each in one step. No clock is trusted, neither
the server's nor anybody else's: owners *beat*, and who watches decides by how long it has itself seen no beat.

- An owner beats every ``BEAT * ttl`` seconds, and counts its hold lost ``BELIEVE * ttl`` seconds after it *sent* the
  last beat that was answered.
- Anybody may have an owner evicted that it has not seen beat for ``EVICT * ttl`` seconds of its own clock (see
  ``common.lua``). It cannot have seen that last beat before the server took it, which was after it was sent.
- ``BELIEVE < EVICT``. So an owner has given up before anybody else is granted its tags, whatever the clocks show.

Each script is given the id of the request, and can be called again when its reply was lost.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from threading import Event, Lock
from typing import Any
from urllib.parse import quote

import redis
import redis.backoff
import redis.exceptions
import redis.retry

from ..deadline import Deadline
from ..errors import ReservationError
from ..limits import LONGEST_BELL, LONGEST_CALL, REDIS_CONNECTIONS, REDIS_OBSERVED, REDIS_RECENT, REDIS_TRIES
from ..logs import masked
from .backend import Backend, Finding, Lease, boot_time, without_password
from .request import Request

logger = logging.getLogger("otto_docker_sync.reservations")

BEAT = 0.1
BELIEVE = 1 / 3
EVICT = 0.4
"""As in ``common.lua``. What is between the two is the time in which a holder that lost its hold ends what it runs."""
QUARANTINE = 0.5
"""As in ``common.lua``: after data may have been lost, this part of the ttl passes before the first grant."""

OLDEST_SERVER = (6, 2)
NO_CLUSTER = "only a single server, or one with replicas, is supported"

SCRIPTS = ("submit", "beat", "release", "force")

Away = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
"""What may pass: the server is restarted, paused, loads its data, or is behind a link that is down."""
Refusals = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)
"""These are connection errors too, for redis-py."""


class ServerAway(ReservationError):
    """The server does not answer, or not any more."""


class RedisBackend(Backend):
    """The table of a lab's requests in a Redis server. Owns its connections."""

    def __init__(self, url: str, lab: str, *, password: Callable[[], str] | str | None = None) -> None:
        self._url = url
        self._password = password
        self.name = without_password(url)
        # The braces keep all keys of a lab on one server, wherever Redis is spread over several.
        self._prefix = f"{{otto:{quote(lab, safe='')}}}"
        self._keys = [f"{self._prefix}:{name}" for name in ("requests", "beats", "state", "bell:")]
        self._lock = Lock()
        self._clients: dict[tuple[float, bool], Client] = {}

    def submit(self, request: Request, deadline: Deadline) -> RedisLease:  # noqa: ARG002 (the base has it)
        client = self.client(request.ttl)
        client.check_server()
        bells = self.client(request.ttl, blocking=True)
        lease = RedisLease(client, bells, self._keys[3] + request.id, request, f"{self.name} {self._prefix}")
        try:
            lease.submit()
        except BaseException:
            with suppress(ReservationError):
                lease.release()
            raise
        return lease

    def requests(self) -> list[Request]:
        client = self.client()
        texts = client.call(lambda server: server.hvals(self._keys[0]), "read the table")
        return [Request.from_json(text) for text in texts]

    def force(self, request_ids: list[str], text: str) -> None:
        self.client().run("force", json.dumps(request_ids), text)

    def examine(self) -> list[Finding]:
        client = self.client()
        try:
            version = client.check_server()
            info = client.call(lambda server: server.info("replication"), "look at its replication")
        except ReservationError as error:
            return [Finding("backend", "wrong", str(error))]
        found = [Finding("backend", "ok", f"{self.name}: Redis {version}")]
        if info.get("connected_slaves") and not _number(client.setting("min-replicas-to-write")):
            advice = "set min-replicas-to-write 1 on the server, or a network split can leave two servers that grant"
            replicas = f"{info['connected_slaves']} of them, none has to answer"
            found.append(Finding("replicas", "note", replicas, advice))
        return found

    def close(self) -> None:
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()

    def client(self, ttl: float = 60.0, *, blocking: bool = False) -> Client:
        """The connections for requests of this ttl; those that listen for a bell have longer."""
        seconds = min(LONGEST_CALL, ttl * BEAT / 2)
        if blocking:
            # Redis measures how long it blocks by its wall clock: when that is set back, only we end the wait, in time
            # for the next beat.
            seconds = min(LONGEST_BELL, ttl * BEAT) * 2
        with self._lock:
            if (seconds, blocking) not in self._clients:
                self._clients[seconds, blocking] = Client(self.name, self._url, self._password, self._keys, seconds)
            return self._clients[seconds, blocking]


class Client:
    """redis-py with our scripts, time limits and errors."""

    def __init__(
        self, name: str, url: str, password: Callable[[], str] | str | None, keys: Sequence[str], seconds: float
    ) -> None:
        self.name = name
        self.seconds = seconds
        self._keys = keys
        secret = password() if callable(password) else password
        options: dict[str, Any] = {} if secret is None else {"password": secret}
        try:
            self._server = redis.Redis.from_url(
                url,
                protocol=2,  # a server too old for the other would refuse it before it could be asked for its version
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                max_connections=REDIS_CONNECTIONS,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # whoever calls knows until when to try again
                **options,
            )
        except ValueError as error:
            raise ReservationError(f"{name} is not a valid Redis URL: {error}") from None
        folder = resources.files(__package__)
        common = (folder / "common.lua").read_text("utf-8")
        sources = {script: common + (folder / f"{script}.lua").read_text("utf-8") for script in SCRIPTS}
        self._scripts = {script: self._server.register_script(source) for script, source in sources.items()}

    def run(self, script: str, *args: str | int, tries: int = REDIS_TRIES) -> dict[str, Any]:
        """Run one of our scripts. As `call`."""
        reply = self.call(lambda _: self._scripts[script](self._keys, list(args)), f"run {script}", tries=tries)
        told: dict[str, Any] = json.loads(reply)
        return told

    def call(self, what: Callable[[redis.Redis], Any], doing: str, *, tries: int = REDIS_TRIES) -> Any:
        """Call the server. Raises `ReservationError` for what it refuses, `ServerAway` when it does not answer."""
        while True:
            tries -= 1
            try:
                return what(self._server)
            except Refusals as error:
                raise self._error(doing, error, "check the user and password of [reservations]") from None
            except Away as error:
                if tries <= 0:
                    text = f"{self.name}: cannot {doing}: {error}; is the server up, and reachable from here?"
                    raise ServerAway(masked(text)) from None
            except redis.exceptions.RedisError as error:
                raise self._error(doing, error, _advice(str(error))) from None

    def hear(self, bell: str, seconds: float) -> bool:
        """Listen for a bell, at most so long. Returns whether it rang."""
        seconds = min(max(seconds, 0.01), LONGEST_BELL)  # for Redis, 0 is forever
        begun = boot_time()
        try:
            return self.call(lambda server: server.blpop([bell], timeout=seconds), "wait", tries=1) is not None
        except ServerAway:
            # It may refuse at once, and be asked again at once.
            Event().wait(max(0.0, begun + seconds - boot_time()))
            return False

    def check_server(self) -> str:
        """Raise `ReservationError` for a server that cannot be relied on. Returns its version."""
        about = self.call(lambda server: {**server.info("server"), **server.info("memory")}, "ask for its version")
        version = str(about.get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise ReservationError(f"{self.name}: Redis {version} is too old; {oldest} or later is needed")
        if about.get("redis_mode") == "cluster":
            raise ReservationError(f"{self.name} is a Redis cluster: {NO_CLUSTER}")
        policy = about.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ReservationError(
                f"{self.name}: its maxmemory-policy is {policy}, so it may drop reservations silently; "
                "set maxmemory-policy noeviction"
            )
        return version

    def setting(self, name: str) -> str:
        """A setting of the server; empty where we may not ask."""
        try:
            told = self._server.config_get(name)
        except redis.exceptions.RedisError:
            return ""
        return str(told.get(name, ""))

    def close(self) -> None:
        self._server.close()

    def _error(self, doing: str, error: Exception, advice: str) -> ReservationError:
        return ReservationError(masked(f"{self.name}: cannot {doing}: {error}" + (f"; {advice}" if advice else "")))


class RedisLease(Lease):
    """A request in Redis. It beats while it waits, and `keep` beats while it is held."""

    def __init__(self, client: Client, bells: Client, bell: str, request: Request, table_id: str) -> None:
        self.interval = request.ttl * BEAT
        self.table_id = table_id
        self._client = client
        self._bells = bells
        self._bell = bell
        self._request = request
        self._valid_until = 0.0
        self._lost = ""
        self._released = False
        self._life = ""
        self._observed: list[tuple[int, float]] = []
        self._in_quarantine = False

    @property
    def request(self) -> Request:
        return self._request

    @property
    def valid_until(self) -> float:
        return self._valid_until

    @property
    def obstacle(self) -> str:
        if not self._in_quarantine:
            return ""
        seconds = QUARANTINE * self._request.ttl
        return f"{self._client.name} was started, or emptied, not long ago: nothing is granted for {seconds:g} s"

    def submit(self, tries: int = REDIS_TRIES) -> None:
        sent = boot_time()
        self._learn(self._client.run("submit", self._request.to_json(), _nonce(), tries=tries), sent)

    def wait(self, deadline: Deadline) -> bool:
        next_beat = boot_time() + self.interval
        while not self._request.granted:
            if deadline.expired:
                return False
            remaining = deadline.remaining()
            seconds = max(0.0, next_beat - boot_time())
            rang = self._bells.hear(self._bell, seconds if remaining is None else min(seconds, remaining))
            if rang or boot_time() >= next_beat:
                next_beat = boot_time() + self.interval
                with suppress(ServerAway):
                    self._beat()
        return True

    def keep(self) -> None:
        # One that cannot end before the hold does would only keep its end from being noticed.
        if not self.loss() and boot_time() + self._client.seconds < self._valid_until:
            with suppress(ReservationError):  # of no use to anybody here: `valid_until` says the rest
                self._beat()

    def _beat(self) -> None:
        """Beat, and report what was observed. Raises `ReservationError`."""
        sent = boot_time()
        observed = [(time, sent - seen) for time, seen in self._observed]
        args = (self._request.id, self._request.fence, self._life, json.dumps(observed), _nonce())
        reply = self._client.run("beat", *args, tries=1)
        if reply["state"] == "unknown":
            self.submit(tries=1)
        else:
            self._learn(reply, sent)

    def _learn(self, reply: dict[str, Any], sent: float) -> None:
        """Take in what a script answered to a call that was made at `sent`."""
        self._observe(int(reply["time"]), str(reply["life"]))
        self._in_quarantine = bool(reply["quarantine"])
        if reply["state"] == "gone":
            self._lost = f"{self._client.name} gave it up, having heard nothing of this process for too long"
            return
        told = Request.from_json(json.dumps(reply["request"]))
        if told.forced:
            self._lost = self._lost or told.forced
        elif told.granted and (not self._request.granted or boot_time() < self._valid_until):
            # A hold that was counted as lost stays lost, even when the server has not noticed.
            self._valid_until = sent + BELIEVE * self._request.ttl
        self._request = told

    def _observe(self, time: int, life: str) -> None:
        """Remember that this logical time had come by now."""
        if life != self._life:
            self._life = life
            self._observed.clear()
        self._observed.append((time, boot_time()))
        if len(self._observed) > REDIS_OBSERVED:
            self._observed = self._observed[:-REDIS_RECENT:2] + self._observed[-REDIS_RECENT:]

    def loss(self) -> str:
        if not self._lost and boot_time() >= self._valid_until:
            self._lost = f"{self._client.name} did not confirm it for {BELIEVE * self._request.ttl:.1f} s"
        return self._lost

    def release(self) -> None:
        if not self._released:
            self._client.run("release", self._request.id, _nonce())
            self._released = True


def _nonce() -> str:
    return uuid.uuid4().hex


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _advice(text: str) -> str:
    """What to do about an error of the server."""
    if text.startswith("OOM") or "maxmemory" in text:
        return "its memory is full: raise maxmemory"
    if text.startswith("NOPERM") or "permissions" in text:
        return "allow the user INFO, EVALSHA, SCRIPT LOAD, BLPOP and the keys {otto:*"
    if text.startswith(("MOVED", "CROSSSLOT", "ASK")):
        return NO_CLUSTER
    if "read only replica" in text.lower():
        return "it is a replica: use the address of the primary"
    return ""
