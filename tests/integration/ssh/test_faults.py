"""Connections that die, stall, are closed or are forked: whoever waits learns it, and the next call connects anew."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from otto_docker_sync._channel.base import Channel
from otto_docker_sync._sandbox.processes import with_descendants
from otto_docker_sync._ssh import Connections
from otto_docker_sync._ssh import link as ssh_link
from otto_docker_sync.deadline import Deadline, DeadlineExpired
from otto_docker_sync.errors import ConnectError, ConnectionLost, ForkError
from tests.faults.helpers import until
from tests.integration.ssh.parts import InThread, drain, read_until, run
from tests.rig.containers import arguments
from tests.rig.proxy import Proxy
from tests.rig.sshd import Sshd

Connect = Callable[..., Connections]
MakeSshd = Callable[..., Sshd]


def opened(connections: Connections, command: str = "echo up; read -r line") -> Channel:
    channel = connections.open_channel(command, deadline=Deadline.after(20))
    read_until(channel, b"up\n")
    return channel


def loss(call: InThread) -> str:
    assert isinstance(call.join().error, ConnectionLost), call.error or call.value
    return str(call.error)


class TestDeath:
    def test_a_killed_server_process_ends_every_wait(self, connect: Connect, make_sshd: MakeSshd) -> None:
        server = make_sshd()
        connections = connect(server)
        channels = [opened(connections) for _ in range(3)]
        readers = [InThread(lambda one=one: one.read(Deadline.after(None))) for one in channels[:2]]  # type: ignore[misc]
        statuses = [InThread(lambda: channels[2].exit_status(Deadline.after(None)))]
        for pid in with_descendants(server.logins()):
            if arguments(pid).startswith("sshd"):
                os.kill(pid, signal.SIGKILL)
        for call in [*readers, *statuses]:
            assert f"the connection to carrot (127.0.0.1:{server.port}) was lost: " in loss(call)
        for channel in channels:
            with pytest.raises(ConnectionLost):
                channel.write_some(b"x")
            channel.close()
        assert run(connections, "echo again").out == b"again\n"

    def test_what_arrived_before_is_read_before_the_loss(self, connect: Connect, proxy: Proxy) -> None:
        command = "echo up; read -r line; head -c 1000000 /dev/zero; read -r line"
        channel = opened(connect(port=proxy.port), command)
        proxy.drop_after(500_000, reset=False)
        channel.write(b"go\n", Deadline.after(20))
        size = 0
        with pytest.raises(ConnectionLost):
            while True:
                size += len(channel.read(Deadline.after(20)).out)
        assert 450_000 < size < 500_000
        channel.close()

    def test_ten_threads_after_a_loss_make_one_new_connection(self, connect: Connect, proxy: Proxy) -> None:
        connections = connect(port=proxy.port)
        assert run(connections, "echo in").out == b"in\n"
        proxy.drop()
        proxy.delay(0.02)
        calls = [InThread(lambda: run(connections, "echo in")) for _ in range(10)]
        assert [call.join().value.out for call in calls] == [b"in\n"] * 10
        assert proxy.connections == 2

    def test_a_loss_that_nobody_has_read_of_yet_costs_no_call(self, connect: Connect, proxy: Proxy) -> None:
        """The channel that is kept ready is not used on a connection whose end has just arrived."""
        connections = connect(port=proxy.port)
        assert run(connections, "echo in").out == b"in\n"
        (connection,) = connections._open
        spare = connection.spare
        assert spare is not None
        until(lambda: spare.active, 10, "the channel is ready")
        reading_stopped, go_on = threading.Event(), threading.Event()
        connection.transport.link.housekeep = lambda: (reading_stopped.set(), go_on.wait(20))
        assert reading_stopped.wait(20)
        proxy.drop()
        call = InThread(lambda: run(connections, "echo in"))
        until(lambda: connection.spare is not spare, 10, "the call has looked at the connection")
        go_on.set()
        assert call.join().error is None
        assert call.value.out == b"in\n"

    def test_a_server_that_comes_back_is_found_again(self, connect: Connect, make_sshd: MakeSshd) -> None:
        server = make_sshd()
        connections = connect(server)
        assert run(connections, "echo in").out == b"in\n"
        server.stop()
        with pytest.raises(ConnectError, match="Connection refused"):
            run(connections, "echo in")
        server.start()
        assert run(connections, "echo in").out == b"in\n"


class TestStall:
    def test_a_far_end_that_says_nothing_is_dead_within_the_liveness(self, connect: Connect, proxy: Proxy) -> None:
        connections = connect(port=proxy.port, keepalive_interval=0.3)
        channels = [opened(connections) for _ in range(3)]
        proxy.stall()
        started = time.monotonic()
        waits = [
            InThread(lambda: channels[0].read(Deadline.after(None))),
            InThread(lambda: channels[1].exit_status(Deadline.after(None))),
            InThread(lambda: channels[2].write(bytes(40_000_000), Deadline.after(None))),
            InThread(lambda: run(connections, "echo in", timeout=0.4)),
        ]
        for call in waits[:3]:
            assert "no answer for 0.9 s" in loss(call) or "no answer for 1." in loss(call)
        assert time.monotonic() - started < 3
        assert isinstance(waits[3].join().error, DeadlineExpired)
        for channel in channels:
            channel.close()
        proxy.resume()
        assert run(connections, "echo in").out == b"in\n"

    def test_an_idle_connection_is_kept_as_long_as_the_server_answers(self, connect: Connect, proxy: Proxy) -> None:
        # Three times this is how long an answer may take, on a busy machine too.
        connections = connect(port=proxy.port, keepalive_interval=0.6)
        channel = opened(connections)
        channel.pause(Deadline.after(2.5))
        channel.write(b"\n", Deadline.after(5))
        assert drain(channel).status == 0
        channel.close()
        assert proxy.connections == 1

    def test_writing_into_silence_does_not_hide_it(self, connect: Connect, proxy: Proxy) -> None:
        channel = opened(connect(port=proxy.port, keepalive_interval=0.2), "echo up; cat >/dev/null")
        proxy.stall()
        deadline = Deadline.after(5)
        with pytest.raises(ConnectionLost, match="no answer for"):
            while True:
                channel.write(b"x", deadline)
                channel.pause(deadline.at_most(0.02))
        channel.close()

    def test_time_asleep_is_no_silence(self, connect: Connect, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        """A laptop that wakes after hours still has its connection, when the far end has."""
        connections = connect(port=proxy.port, keepalive_interval=1.0)
        channel = opened(connections)
        ahead = [0.0]
        monkeypatch.setattr(ssh_link, "monotonic", lambda: time.monotonic() + ahead[0])
        ahead[0] = 10_000.0
        channel.pause(Deadline.after(0.5))
        channel.write(b"\n", Deadline.after(5))
        assert drain(channel).status == 0
        channel.close()

    def test_opening_a_session_ends_at_the_deadline_and_keeps_no_session_at_the_server(
        self, connect: Connect, make_sshd: MakeSshd
    ) -> None:
        server = make_sshd(MaxSessions="1")
        with Proxy(server.port) as proxy:
            connections = connect(server, port=proxy.port, max_connections=1)
            connections.connect(Deadline.after(10))
            proxy.stall()
            started = time.monotonic()
            with pytest.raises(DeadlineExpired):
                run(connections, "echo in", timeout=0.3)
            assert time.monotonic() - started < 1
            proxy.resume()
            assert run(connections, "echo in").out == b"in\n"

    @pytest.mark.parametrize("sent", [0, 30_000_000])
    def test_closing_on_a_stalled_link_does_not_wait(self, connect: Connect, proxy: Proxy, sent: int) -> None:
        connections = connect(port=proxy.port)
        channel = opened(connections, "echo up; cat >/dev/null")
        reader = InThread(lambda: channel.read(Deadline.after(None)))
        proxy.stall()
        if sent:
            with pytest.raises(DeadlineExpired):
                channel.write(bytes(sent), Deadline.after(0.5))
        started = time.monotonic()
        channel.resize(10, 10)
        channel.write_eof()
        channel.close()
        assert time.monotonic() - started < 0.5
        assert reader.join(2).value == (b"", b"")
        connections.close()
        assert time.monotonic() - started < 1


class TestClose:
    def test_calls_in_flight_end_and_say_so(self, connect: Connect) -> None:
        connections = connect()
        channel = opened(connections)
        calls = [
            InThread(lambda: channel.read(Deadline.after(None))),
            InThread(lambda: channel.exit_status(Deadline.after(None))),
        ]
        connections.close()
        for call in calls:
            assert "was lost: it was closed by close()" in loss(call)
        channel.close()
        connections.close()
        assert run(connections, "echo in").out == b"in\n"

    def test_a_connection_that_is_being_made_is_broken_off(self, connect: Connect, proxy: Proxy) -> None:
        connections = connect(port=proxy.port)
        proxy.stall()
        call = InThread(lambda: run(connections, "echo in"))
        while connections._starting is None:
            time.sleep(0.001)
        connections.close()
        error = call.join(3).error
        assert isinstance(error, ConnectError)
        assert "closed" in str(error)

    def test_nothing_is_printed_when_a_connection_breaks(self, sshd: Sshd, connect: Connect) -> None:
        connections = connect()
        options = connections._options
        code = f"""
import os, signal, sys
from otto_docker_sync._ssh import Connections, SSHOptions
from otto_docker_sync.deadline import Deadline
options = SSHOptions(identity_file={str(options.identity_file)!r}, known_hosts={str(options.known_hosts)!r},
                     config_file="", allow_agent=False)
connections = Connections("carrot", "127.0.0.1", port={sshd.port}, user={sshd.user!r}, options=options)
channel = connections.open_channel("kill -9 $PPID", deadline=Deadline.after(10))
try:
    while not channel.read(Deadline.after(10)).ended: pass
except ConnectionError as error:
    print(error)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
        assert done.stderr == ""
        assert "was lost" in done.stdout


class TestFork:
    def in_child(self, call: Callable[[], object]) -> str:
        """What `call` returns or raises in a forked child, which leaves by the ordinary way out of Python."""
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                try:
                    text = repr(call())
                except BaseException as error:
                    text = f"{type(error).__name__}: {error}"
                os.write(into, text.encode())
                gc.collect()
                __import__("atexit")._run_exitfuncs()
            finally:
                os._exit(0)
        os.close(into)
        with os.fdopen(out) as file:
            text = file.read()
        os.waitpid(pid, 0)
        return text

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_child_is_refused_and_the_parents_connection_lives_on(self, connect: Connect, proxy: Proxy) -> None:
        connections = connect(port=proxy.port)
        held = [opened(connections)]
        assert "ForkError" in self.in_child(lambda: run(connections, "echo in"))
        assert "ForkError" in self.in_child(lambda: held[0].read(Deadline.after(5)))
        assert "ForkError" in self.in_child(lambda: held[0].write_some(b"x"))
        assert self.in_child(connections.close) == "None"
        assert self.in_child(held[0].close) == "None"
        assert self.in_child(held.clear) == "None"  # what is garbage in the child is alive in the parent
        held[0].write(b"\n", Deadline.after(5))
        assert drain(held[0]).status == 0
        held[0].close()
        assert run(connections, "echo in").out == b"in\n"
        assert proxy.connections == 1

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_child_may_have_connections_of_its_own(self, connect: Connect, sshd: Sshd) -> None:
        connections = connect()
        assert run(connections, "echo in").out == b"in\n"

        def child() -> bytes:
            own = Connections("carrot", sshd.host, port=sshd.port, user=sshd.user, options=connections._options)
            try:
                return run(own, "echo child").out
            finally:
                own.close()

        assert self.in_child(child) == "b'child\\n'"
        assert run(connections, "echo in").out == b"in\n"

    def test_the_error_says_what_to_do(self) -> None:
        connections = Connections("carrot", "127.0.0.1")
        connections._pid = 0
        with pytest.raises(ForkError, match="make a host of its own"):
            connections.connect(Deadline.after(1))


class TestTransfers:
    def test_files_go_both_ways_through_a_channel_of_their_own(self, connect: Connect, sshd: Sshd) -> None:
        connections = connect()
        data = os.urandom(3_000_000)
        with connections.open_sftp(Deadline.after(20)) as sftp:
            with sftp.open("file", "wb") as file:
                file.set_pipelined(True)
                file.write(data)
            with sftp.open("file") as file:
                assert file.read() == data
            with pytest.raises(FileNotFoundError):
                sftp.stat("no such file")
            sftp.remove("file")
        assert connections.describe()["sessions"] == 0

    def test_errors_of_files_and_of_the_caller_stay_what_they_are(self, connect: Connect) -> None:
        connections = connect()
        with pytest.raises(FileNotFoundError), connections.open_sftp(Deadline.after(20)) as sftp:
            sftp.stat("no such file")
        with pytest.raises(KeyError), connections.open_sftp(Deadline.after(20)):
            raise KeyError("mine")

    def test_a_server_without_sftp(self, connect: Connect, make_sshd: MakeSshd) -> None:
        connections = connect(make_sshd(Subsystem=None))
        with (
            pytest.raises(ConnectError, match=r"carrot .* has no SFTP: its sshd_config has no Subsystem"),
            connections.open_sftp(Deadline.after(20)),
        ):
            pass

    @pytest.mark.parametrize("program", ["echo Welcome to this machine", "true"])
    def test_another_program_answers(self, program: str, connect: Connect, make_sshd: MakeSshd) -> None:
        server = make_sshd(Subsystem=f"sftp {program}")
        with (
            pytest.raises(ConnectError, match=r"does not speak SFTP: .* start-up file of its shell"),
            connect(server).open_sftp(Deadline.after(20)),
        ):
            pass

    def test_a_stall_ends_at_the_deadline_and_a_loss_is_a_loss(self, connect: Connect, proxy: Proxy) -> None:
        connections = connect(port=proxy.port)
        with pytest.raises(DeadlineExpired), connections.open_sftp(Deadline.after(1)) as sftp:
            proxy.stall()
            sftp.listdir(".")
        proxy.resume()
        with (
            pytest.raises(ConnectionLost, match=r"the connection to carrot .* was lost"),
            connections.open_sftp(Deadline.after(20)) as sftp,
        ):
            proxy.drop()
            sftp.listdir(".")
        with connections.open_sftp(Deadline.after(20)) as sftp:
            assert sftp.listdir(".") is not None


def test_log_records_name_no_secret(connect: Connect, make_sshd: MakeSshd, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "otto_docker_sync.paramiko")
    with pytest.raises(ConnectError) as caught:
        run(connect(make_sshd(PasswordAuthentication="yes"), identity_file=None, password="hunter2"), "echo in")
    assert "connecting to carrot" in caplog.text
    assert "userauth" in caplog.text
    assert "hunter2" not in caplog.text + str(caught.value) + repr(caught.value.__context__)
