"""Many sessions on few connections: limits of the server, and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from otto_docker_sync._channel.base import Channel
from otto_docker_sync._ssh import Connections
from otto_docker_sync._ssh import pool as ssh_pool
from otto_docker_sync._ssh.channel import SessionChannel
from otto_docker_sync.deadline import Deadline
from otto_docker_sync.errors import AuthenticationError, ConnectError
from otto_docker_sync.limits import MAX_SESSIONS
from tests.integration.ssh.parts import InThread, drain, read_until, run
from tests.rig.proxy import Proxy
from tests.rig.sshd import Sshd

Connect = Callable[..., Connections]
MakeSshd = Callable[..., Sshd]


def hold(connections: Connections, timeout: float = 20) -> Channel:
    """A session that lasts until it is closed, and is known to run."""
    channel = connections.open_channel("echo up; read -r line", deadline=Deadline.after(timeout))
    read_until(channel, b"up\n")
    return channel


def count(connections: Connections) -> object:
    return connections.describe()["connections"]


def test_thirty_commands_at_once_on_a_stock_server(connect: Connect) -> None:
    connections = connect()
    calls = [InThread(lambda n=n: run(connections, f"echo {n}; exit {n}")) for n in range(30)]  # type: ignore[misc]
    for number, call in enumerate(calls):
        assert call.join().value == (b"%d\n" % number, b"", number)
    assert 1 <= int(str(count(connections))) <= 4


def test_two_hundred_sessions_on_a_stock_server(connect: Connect) -> None:
    connections = connect()
    channels: list[Channel] = []

    def open_some() -> None:
        for _ in range(25):
            channels.append(connections.open_channel("read -r x; echo $x", deadline=Deadline.after(50)))

    for call in [InThread(open_some) for _ in range(8)]:
        assert call.join(50).error is None
    assert len(channels) == 200
    assert count(connections) == 20
    for number, channel in enumerate(channels):
        channel.write(b"%d\n" % number, Deadline.after(5))
    for number, channel in enumerate(channels):
        assert drain(channel) == (b"%d\n" % number, b"", 0)
        channel.close()
    assert connections.describe()["sessions"] == 0


def test_a_hundred_sessions_one_after_the_other_at_the_limit(connect: Connect, make_sshd: MakeSshd) -> None:
    """The server lets go of a session some time after it has ended, and refuses one meanwhile."""
    connections = connect(make_sshd(MaxSessions="1"))
    for number in range(100):
        assert run(connections, f"echo {number}").out == b"%d\n" % number
    assert int(str(count(connections))) <= 2


def test_a_server_with_one_session_per_connection(connect: Connect, make_sshd: MakeSshd) -> None:
    connections = connect(make_sshd(MaxSessions="1"))
    held = [hold(connections) for _ in range(4)]
    assert count(connections) == 4
    assert connections.describe()["sessions_per_connection"] == 1
    with connections.open_sftp(Deadline.after(10)) as sftp:
        assert sftp.normalize(".")
    for channel in held:
        channel.close()


def test_a_server_without_any_session(connect: Connect, make_sshd: MakeSshd) -> None:
    with pytest.raises(ConnectError, match=r"carrot \(127.0.0.1:\d+\) allows no sessions.*MaxSessions"):
        run(connect(make_sshd(MaxSessions="0")), "echo in")


def test_beyond_all_connections_a_call_waits_and_then_says_why(connect: Connect, make_sshd: MakeSshd) -> None:
    connections = connect(make_sshd(MaxSessions="2"), max_connections=2)
    held = [hold(connections) for _ in range(4)]
    started = time.monotonic()
    with pytest.raises(ConnectError) as caught:
        run(connections, "echo in", timeout=0.7)
    assert 0.6 < time.monotonic() - started < 2
    assert "no session free: 4 are in use on 2 of max_connections=2 connections, with at most 2 on each" in str(
        caught.value
    )
    waiting = InThread(lambda: run(connections, "echo in"))
    held[2].close()
    assert waiting.join().value.out == b"in\n"
    for channel in held:
        channel.close()


def test_a_further_connection_that_fails_is_named(connect: Connect, make_sshd: MakeSshd) -> None:
    server = make_sshd(MaxSessions="1")
    with Proxy(server.port) as proxy:
        connections = connect(server, port=proxy.port, connect_timeout=0.5)
        held = hold(connections)
        proxy.refuse()
        with pytest.raises(
            ConnectError, match=r"no session free: 1 are in use .* A further connection failed: .*times so far"
        ):
            run(connections, "echo in", timeout=1.5)
        waiting = InThread(lambda: run(connections, "echo in"))
        held.close()
        assert waiting.join().value.out == b"in\n"


def test_sessions_whose_processes_live_on_do_not_use_up_the_host(connect: Connect, make_sshd: MakeSshd) -> None:
    connections = connect(make_sshd(MaxSessions="2"))
    for _ in range(2):
        connections.open_channel("sleep 4 </dev/null", deadline=Deadline.after(10)).close()
    started = time.monotonic()
    assert run(connections, "echo in").out == b"in\n"
    assert time.monotonic() - started < 3
    assert connections.describe()["sessions_per_connection"] == MAX_SESSIONS  # nothing wrong was learned
    assert run(connections, "sleep 2").status == 0


def await_spare(connections: Connections) -> SessionChannel:
    """The channel that was asked for ahead of the next session, when the server has answered."""
    spare = connections._open[0].spare
    assert isinstance(spare, SessionChannel)
    connections._open[0].transport.await_open(spare, Deadline.after(20))
    return spare


def test_the_next_session_waits_for_no_channel(connect: Connect, proxy: Proxy) -> None:
    connections = connect(port=proxy.port)
    assert run(connections, "echo in").out == b"in\n"
    await_spare(connections)
    proxy.stall()
    channel = connections.open_channel("echo soon", deadline=Deadline.after(0.5))
    proxy.resume()
    assert drain(channel) == (b"soon\n", b"", 0)
    channel.close()
    await_spare(connections)
    assert connections.describe()["sessions"] == 0


def test_a_spare_channel_that_ended_is_not_used(connect: Connect) -> None:
    connections = connect()
    for _ in range(3):
        assert run(connections, "echo in").out == b"in\n"
        await_spare(connections).close()
    assert count(connections) == 1


def test_a_spare_channel_that_nobody_came_to_ask_for_is_asked_for_when_it_is_taken(connect: Connect) -> None:
    connections = connect()
    run(connections, "echo in")
    connection = connections._open[0]
    connection.spare = connection.transport.new_channel(SessionChannel)
    assert run(connections, "echo in").out == b"in\n"


def test_a_spare_channel_is_a_session_to_the_server(connect: Connect, make_sshd: MakeSshd) -> None:
    connections = connect(make_sshd(MaxSessions="2"))
    held = hold(connections)
    await_spare(connections)
    with connections.open_sftp(Deadline.after(20)) as sftp:  # it cannot take the spare one
        assert sftp.normalize(".")
    assert (count(connections), connections.describe()["sessions_per_connection"]) == (2, 2)
    others = [hold(connections), hold(connections)]
    assert count(connections) == 2
    for channel in [held, *others]:
        channel.close()


def test_a_server_that_refuses_a_spare_channel_is_not_asked_again_soon(connect: Connect, make_sshd: MakeSshd) -> None:
    connections = connect(make_sshd(MaxSessions="1"))
    held = hold(connections)
    assert await_spare(connections).refusal
    held.close()
    assert run(connections, "echo in").out == b"in\n"
    assert connections._open[0].spare is None
    assert connections.describe()["sessions_per_connection"] == MAX_SESSIONS  # nothing wrong was learned


def test_a_server_at_its_max_startups_is_asked_again(connect: Connect, make_sshd: MakeSshd) -> None:
    server = make_sshd(MaxStartups="2:100:2")
    all_connections = [connect(server) for _ in range(12)]
    calls = [InThread(lambda one=one: run(one, "echo in")) for one in all_connections]  # type: ignore[misc]
    assert [call.join(40).value.out for call in calls] == [b"in\n"] * 12


def test_a_server_that_never_lets_anybody_start(connect: Connect, proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(
        ConnectError, match=r"closed the connection (at once|before sending .*): .*, \d+ times so far.*MaxStartups"
    ):
        run(connect(port=proxy.port, connect_timeout=1), "echo in")
    assert proxy.connections > 2


def test_many_threads_make_one_connection(connect: Connect, proxy: Proxy) -> None:
    connections = connect(port=proxy.port)
    proxy.delay(0.05)
    calls = [InThread(lambda: run(connections, "echo in")) for _ in range(10)]
    assert [call.join().value.out for call in calls] == [b"in\n"] * 10
    assert proxy.connections == 1


def test_many_threads_learn_of_one_failure(connect: Connect, make_sshd: MakeSshd) -> None:
    server = make_sshd(AuthorizedKeysFile="none")
    with Proxy(server.port) as proxy:
        proxy.delay(0.1)
        connections = connect(server, port=proxy.port)
        calls = [InThread(lambda: run(connections, "echo in")) for _ in range(6)]
        assert all(isinstance(call.join().error, AuthenticationError) for call in calls)
        assert proxy.connections == 1


def test_a_short_deadline_does_not_fail_the_other_callers(connect: Connect, proxy: Proxy) -> None:
    connections = connect(port=proxy.port)
    proxy.delay(0.1)
    hurried = InThread(lambda: run(connections, "echo in", timeout=0.15))
    while not connections._connecting:
        time.sleep(0.001)
    patient = InThread(lambda: run(connections, "echo in"))
    hurried.join()
    assert isinstance(hurried.error, ConnectError)
    assert "not reached in time" in str(hurried.error)
    assert patient.join().value.out == b"in\n"


def test_connections_in_surplus_end_by_themselves(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_pool, "IDLE_LIMIT", 0.3)
    connections = connect()
    held = [hold(connections) for _ in range(11)]
    assert count(connections) == 2
    for channel in held:
        channel.close()
    deadline = Deadline.after(5)
    while count(connections) != 1:
        deadline.check()
        time.sleep(0.02)
    assert run(connections, "echo in").out == b"in\n"


def test_a_session_that_nobody_closed_gives_its_place_back(connect: Connect, make_sshd: MakeSshd) -> None:
    connections = connect(make_sshd(MaxSessions="1"), max_connections=1)
    for _ in range(3):
        hold(connections)  # dropped at once
    assert run(connections, "echo in").out == b"in\n"


def test_a_session_can_be_dropped_while_another_thread_asks_for_one(connect: Connect) -> None:
    """The garbage collector runs in any thread: one that waited there could hold what the other thread waits for."""
    connections = connect()
    dropped = [hold(connections)]
    with connections._changed.lock:
        InThread(dropped.clear).join(10)
    assert run(connections, "echo in").out == b"in\n"


def test_dropped_connections_end_without_a_close(connect: Connect, sshd: Sshd) -> None:
    connections = Connections("carrot", sshd.host, port=sshd.port, user=sshd.user, options=connect()._options)
    assert run(connections, "echo in").out == b"in\n"
    del connections
    deadline = Deadline.after(5)
    while any("Transport" in type(thread).__name__ for thread in threading.enumerate()):
        deadline.check()
        time.sleep(0.02)
