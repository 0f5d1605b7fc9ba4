"""What happens to Redis, its clock, its data and the way to it: never two holders, clear errors, no endless wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from otto_docker_sync._sandbox.sshd import free_port
from otto_docker_sync.deadline import Deadline
from otto_docker_sync.errors import ReservationError
from otto_docker_sync.reservations.backend import Lease
from otto_docker_sync.reservations.redis_backend import BELIEVE, EVICT, QUARANTINE, RedisBackend
from tests.rig.proxy import Proxy

from .conformance import PATIENCE, wanted

TTL = 3.0


@pytest.fixture
def opened() -> Iterator[Callable[..., RedisBackend]]:
    """Open a backend; closed after the test, and so are the leases that `submit` made."""
    with ExitStack() as stack:

        def make(url: str, lab: str = "faults", **how: object) -> RedisBackend:
            backend = RedisBackend(url, lab, **how)  # type: ignore[arg-type]
            stack.callback(backend.close)
            return backend

        yield make


def submit(backend: RedisBackend, *tags: str, **how: object) -> Lease:
    return backend.submit(wanted(tags, **{"ttl": TTL, **how}), Deadline.after(PATIENCE))


def granted(backend: RedisBackend, *tags: str, **how: object) -> Lease:
    lease = submit(backend, *tags, **how)
    assert lease.wait(Deadline.after(PATIENCE))
    return lease


class Keeper:
    """Keeps a lease as the thread of a reservation does, and knows when it was lost."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.lost_at: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(self.lease.interval):
            self.lease.keep()
            if self.lease.loss():
                self.lost_at = monotonic()
                return

    def lost(self) -> bool:
        """Wait until it is lost."""
        self._thread.join(PATIENCE)
        return self.lost_at is not None

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_a_holder_gives_up_before_anybody_evicts_it():
    assert BELIEVE < EVICT < QUARANTINE


def test_a_holder_that_does_not_beat_is_evicted_within_half_its_ttl_and_knows_it_before(make_redis, opened):
    server = make_redis()
    first, second = opened(server.url), opened(server.url)
    holder = granted(first, "a")
    begun = monotonic()
    other = granted(second, "a")
    assert holder.loss(), "it counts itself lost before another is granted"
    assert monotonic() - begun < TTL / 2 + 1.0
    assert other.request.fence > holder.request.fence


def test_dead_requests_that_wait_are_all_passed_over_at_once(make_redis, opened):
    server = make_redis()
    first, second = opened(server.url), opened(server.url)
    granted(first, "a")
    for _ in range(5):
        submit(first, "a")
    begun = monotonic()
    granted(second, "a")
    assert monotonic() - begun < TTL, "they are not passed over one after the other"


def test_a_server_that_starts_grants_nothing_for_half_a_ttl_and_says_so(make_redis, opened):
    server = make_redis()
    backend = opened(server.url)
    begun = monotonic()
    lease = submit(backend, "a")
    assert not lease.wait(Deadline.after(0))
    assert "nothing is granted for 1.5 s" in lease.obstacle
    assert lease.wait(Deadline.after(PATIENCE))
    assert monotonic() - begun >= QUARANTINE * TTL
    assert lease.obstacle == ""


@pytest.mark.parametrize("options", [{}, {"appendonly": "yes"}], ids=["empty", "with its data"])
def test_a_killed_server_comes_back_and_the_holder_keeps_its_hold(make_redis, opened, options):
    server = make_redis(**options)
    holder = granted(opened(server.url), "a", "b")
    with Keeper(holder) as keeper:
        server.kill()
        server.start()
        other = submit(opened(server.url), "b")
        assert not other.wait(Deadline.after(TTL))
        assert keeper.lost_at is None
        assert not holder.loss()
        later = granted(opened(server.url), "c")
        assert later.request.fence > holder.request.fence
    holder.release()
    assert other.wait(Deadline.after(PATIENCE))


def test_an_emptied_server_lets_the_holder_register_again(make_redis, opened):
    server = make_redis()
    holder = granted(opened(server.url), "a")
    waiting = submit(opened(server.url), "a")
    with Keeper(holder) as keeper, server.client as client:
        client.flushall()
        other = submit(opened(server.url), "a")
        assert not other.wait(Deadline.after(TTL))
        assert keeper.lost_at is None
        holder.release()
        assert waiting.wait(Deadline.after(PATIENCE)), "who waited before has kept its place"
        assert not other.request.granted


def test_a_holder_that_was_away_when_data_was_lost_does_not_come_back(make_redis, opened):
    server = make_redis()
    holder = granted(opened(server.url), "a")
    with server.client as client:
        client.flushall()
    other = granted(opened(server.url), "a")
    holder.keep()
    assert holder.loss()
    assert not other.loss()


def test_a_paused_server_costs_the_hold_and_grants_it_to_nobody(make_redis, opened):
    server = make_redis()
    holder = granted(opened(server.url), "a")
    waiting = submit(opened(server.url), "a")
    with Keeper(holder) as keeper:
        server.pause()
        assert keeper.lost()
        begun = monotonic()
        assert not waiting.wait(Deadline.after(0.5))
        assert monotonic() - begun < 0.5 + 4.0, "a wait ends although the server is silent"
        server.resume()
        assert waiting.wait(Deadline.after(PATIENCE))
    assert "did not confirm it" in holder.loss()


@pytest.mark.parametrize("script", ["submit", "beat", "release", "force"])
def test_a_reply_that_is_lost_changes_nothing(make_redis, opened, script):
    server = make_redis()
    direct = opened(server.url)
    with Proxy(server.port) as proxy:
        backend = opened(f"redis://127.0.0.1:{proxy.port}/0")
        if script == "submit":
            backend.client(TTL).check_server()
            proxy.drop_after(0)
        lease = granted(backend, "a")
        request = lease.request
        assert [other.id for other in direct.requests()] == [request.id]
        if script != "submit":
            proxy.drop_after(0)
        if script == "beat":
            lease.keep()
            lease.keep()
            assert lease.loss() == "" and lease.valid_until > 0
        elif script == "force":
            backend.force([request.id], "why")
            assert [other.forced for other in direct.requests()] == ["why"]
        lease.release()
        assert direct.requests() == []


def test_a_link_that_swallows_everything_costs_the_hold_in_time(make_redis, opened):
    server = make_redis()
    with Proxy(server.port) as proxy:
        holder = granted(opened(f"redis://127.0.0.1:{proxy.port}/0"), "a")
        with Keeper(holder) as keeper:
            proxy.stall()
            other = granted(opened(server.url), "a")
            now = monotonic()
            assert keeper.lost()
            assert keeper.lost_at is not None and keeper.lost_at < now
        proxy.resume()
        assert not other.loss()


def refused(opened, url: str, **how: object) -> str:
    with pytest.raises(ReservationError) as caught:
        submit(opened(url, **how), "a")
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


def test_a_server_that_is_not_there(opened):
    assert "is the server up" in refused(opened, "redis://127.0.0.1:1/0")


def test_passwords(make_redis, opened):
    server = make_redis(requirepass="hunter2")
    assert "check the user and password" in refused(opened, server.url)
    assert "check the user and password" in refused(opened, server.url, password="wrong")
    wrong = f"redis://:hunter22@127.0.0.1:{server.port}/0"
    assert "check the user and password" in refused(opened, wrong)
    assert submit(opened(server.url, password=lambda: "hunter2"), "a").request.id


def test_a_user_who_may_not(make_redis, opened):
    server = make_redis(user="weak on >hunter2 ~* +info")
    text = refused(opened, f"redis://weak@127.0.0.1:{server.port}/0", password="hunter2")
    assert "allow the user" in text


def test_a_server_that_forgets_leases_when_it_is_full(make_redis, opened):
    server = make_redis(maxmemory="50mb", **{"maxmemory-policy": "allkeys-lru"})
    assert "maxmemory-policy is allkeys-lru" in refused(opened, server.url)
    (finding,) = opened(server.url).examine()
    assert finding.verdict == "wrong" and "allkeys-lru" in finding.found


def test_a_full_server(make_redis, opened):
    server = make_redis()
    holder = granted(opened(server.url), "a")
    with Keeper(holder) as keeper, server.client as client:
        client.config_set("maxmemory", "1")
        assert "its memory is full" in refused(opened, server.url)
        assert keeper.lost(), "it could not be renewed"
        client.config_set("maxmemory", "0")
    granted(opened(server.url), "a")


def test_a_server_that_does_not_know_the_newest_protocol(make_redis, opened):
    """As one before Redis 6: it can say how old it is."""
    server = make_redis(rename_command='HELLO ""')
    (finding,) = opened(server.url).examine()
    assert f"{server.url}: Redis" in finding.found


def test_a_cluster(make_redis, opened):
    # Its nodes talk on another port: by default 10,000 above, which may be none.
    server = make_redis(cluster_enabled="yes", cluster_port=str(free_port()))
    assert "is a Redis cluster" in refused(opened, server.url)


def test_a_replica_is_refused_and_serves_once_it_is_promoted(make_redis, opened):
    primary = make_redis()
    replica = make_redis(replicaof=f"127.0.0.1 {primary.port}")
    granted(opened(primary.url), "a")
    text = refused(opened, replica.url)
    assert "replica" in text
    with replica.client as client, primary.client as first:
        first.wait(1, 5000)
        client.replicaof("NO", "ONE")
    assert not submit(opened(replica.url), "a").wait(Deadline.after(0)), "a failover begins with a quarantine"


def test_what_the_doctor_is_told(make_redis, opened):
    server = make_redis()
    (finding,) = opened(server.url).examine()
    assert finding.verdict == "ok" and f"{server.url}: Redis" in finding.found
    replica = make_redis(replicaof=f"127.0.0.1 {server.port}")
    with server.client as client:
        client.set("x", "y")
        while not client.wait(1, 1000):
            pass
    found = opened(server.url).examine()
    assert [finding.check for finding in found] == ["backend", "replicas"]
    assert "min-replicas-to-write" in found[1].advice
    replica.stop()
