"""One process over SSH: its bytes, its end, and who waits for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from paramiko.packet import Packetizer

from otto_docker_sync._ssh import Connections
from otto_docker_sync.deadline import Cancellation, Deadline, DeadlineExpired, cancellation
from otto_docker_sync.errors import ConfigError, ConnectError
from tests.integration.ssh.parts import InThread, drain, read_until, run
from tests.rig.sshd import Sshd

Connect = Callable[..., Connections]


def test_stdout_and_stderr_come_apart_and_the_status_after_them(connect: Connect) -> None:
    assert run(connect(), "echo out; echo err >&2; exit 3") == (b"out\n", b"err\n", 3)


@pytest.mark.parametrize("status", [0, 1, 125, 126, 127, 137, 255])
def test_any_exit_status_is_a_plain_number(connect: Connect, status: int) -> None:
    assert run(connect(), f"exit {status}").status == status


@pytest.mark.parametrize(("name", "number"), [("KILL", 9), ("TERM", 15), ("SEGV", 11)])
def test_death_by_a_signal_reads_128_and_its_number(connect: Connect, name: str, number: int) -> None:
    assert run(connect(), f"kill -{name} $$").status == 128 + number


def test_a_megabyte_that_comes_after_the_exit_status_is_complete(connect: Connect) -> None:
    channel = connect().open_channel("head -c 1500000 /dev/zero", deadline=Deadline.after(20))
    deadline = Deadline.after(20)
    assert channel.exit_status(deadline) == 0  # the status is there, most of the output unread
    assert len(drain(channel).out) == 1500000
    channel.close()


def test_an_end_of_input_that_is_sent_too_late_costs_no_connection(connect: Connect) -> None:
    connections = connect()
    channel = connections.open_channel("sleep 1", deadline=Deadline.after(20))
    raw = channel._raw
    with raw.lock:
        late = raw._send_eof()  # as by a thread that stops here
    drain(channel)
    assert channel.exit_status(Deadline.after(20)) == 0
    channel.close()
    assert run(connections, "echo on").out == b"on\n"  # by now the server has done with the channel
    raw.transport._send_user_message(late)
    assert run(connections, "echo on").out == b"on\n"
    assert raw.transport.is_active()


def test_a_flood_on_stderr_does_not_stop_stdout(connect: Connect) -> None:
    ended = run(connect(), "head -c 5000000 /dev/zero >&2; echo done")
    assert (ended.out, len(ended.err), ended.status) == (b"done\n", 5000000, 0)


def test_twenty_megabytes_on_both_streams(connect: Connect) -> None:
    ended = run(connect(), "head -c 20000000 /dev/zero & head -c 20000000 /dev/zero >&2; wait")
    assert (len(ended.out), len(ended.err), ended.status) == (20000000, 20000000, 0)


def test_five_megabytes_through_cat_in_both_directions(connect: Connect) -> None:
    channel = connect().open_channel("cat", deadline=Deadline.after(20))
    data = bytes(range(256)) * 20000
    rest, seen = data, []
    while rest:
        rest = rest[channel.write_some(rest[:65536]) :]
        try:
            seen.append(channel.read(Deadline.after(0)).out)
        except DeadlineExpired:
            channel.pause(Deadline.after(0.001))
    channel.write_eof()
    ended = drain(channel)
    channel.close()
    assert b"".join(seen) + ended.out == data
    assert ended.status == 0


def test_writing_to_one_who_does_not_read_stops_at_the_deadline(connect: Connect) -> None:
    channel = connect().open_channel("sleep 2", deadline=Deadline.after(20))
    started = time.monotonic()
    with pytest.raises(DeadlineExpired):
        channel.write(bytes(20_000_000), Deadline.after(0.5))
    assert time.monotonic() - started < 2
    channel.close()


def test_what_is_written_after_the_end_is_dropped(connect: Connect) -> None:
    channel = connect().open_channel("exit 4", deadline=Deadline.after(20))
    assert drain(channel).status == 4
    channel.write(b"nobody reads this", Deadline.after(5))
    channel.write_eof()
    channel.close()


def test_a_terminal_has_its_name_and_size_and_is_told_of_a_new_one(connect: Connect) -> None:
    command = "trap 'stty size; exit 7' WINCH; echo $TERM; stty size; while :; do sleep 0.05; done"
    channel = connect().open_channel(command, tty=True, term="vt100", size=(133, 44), deadline=Deadline.after(20))
    assert channel.tty
    assert read_until(channel, b"44 133\r\n") == b"vt100\r\n44 133\r\n"
    channel.resize(90, 33)
    assert drain(channel) == (b"33 90\r\n", b"", 7)
    channel.close()


def test_no_command_is_the_login_shell(connect: Connect) -> None:
    channel = connect().open_channel("", tty=True, deadline=Deadline.after(20))
    channel.write(b"echo $-; exit 5\n", Deadline.after(5))
    ended = drain(channel)
    channel.close()
    assert ended.status == 5
    assert b"i" in ended.out.split(b"exit 5\r\n")[-1]


def test_bytes_that_are_no_utf8_reach_the_command(connect: Connect) -> None:
    command = b"printf %s 'n\xffme'".decode(errors="surrogateescape")
    assert run(connect(), command).out == b"n\xffme"


def test_commands_that_would_break_the_connection_are_refused(connect: Connect) -> None:
    connections = connect()
    with pytest.raises(ConfigError, match="NUL"):
        connections.open_channel("echo \0", deadline=Deadline.after(5))
    with pytest.raises(ConfigError, match="300002 bytes; send what is longer over stdin"):
        connections.open_channel(": " + "x" * 300_000, deadline=Deadline.after(5))
    assert run(connections, ": " + "x" * 130_000 + "; echo ok").out == b"ok\n"


def test_with_no_time_left_reading_gives_what_is_there(connect: Connect) -> None:
    channel = connect().open_channel("echo here; read -r line", deadline=Deadline.after(20))
    while True:
        try:
            assert channel.read(Deadline.after(0)).out == b"here\n"
            break
        except DeadlineExpired:
            channel.pause(Deadline.after(0.01))
    with pytest.raises(DeadlineExpired):
        channel.read(Deadline.after(0))
    with pytest.raises(DeadlineExpired):
        channel.exit_status(Deadline.after(0.05))
    channel.close()


def test_closing_from_another_thread_ends_a_read(connect: Connect) -> None:
    channel = connect().open_channel("read -r line", deadline=Deadline.after(20))
    reader = InThread(lambda: channel.read(Deadline.after(None)))
    channel.close()
    channel.close()
    assert reader.join(3).value == (b"", b"")
    assert channel.exit_status(Deadline.after(1)) in (None, 1)  # that of `read` at the end of its input may have come


def test_cancelling_ends_each_kind_of_wait(connect: Connect) -> None:
    channel = connect().open_channel("read -r line", deadline=Deadline.after(20))
    for wait in (channel.read, channel.exit_status, channel.pause):
        cancel = Cancellation()
        token = cancellation.set(cancel)
        deadline = Deadline.after(None)
        cancellation.reset(token)
        waiter = InThread(lambda wait=wait, deadline=deadline: wait(deadline))  # type: ignore[misc]
        threading.Timer(0.1, cancel.cancel).run()
        waiter.join(3)
        if wait != channel.pause:
            assert isinstance(waiter.error, DeadlineExpired)
    channel.close()


def test_a_terminal_that_the_server_does_not_give_is_an_error(connect: Connect, make_sshd: Callable[..., Sshd]) -> None:
    connections = connect(make_sshd(PermitTTY="no"))
    channel = connections.open_channel("echo hi", tty=True, deadline=Deadline.after(20))
    with pytest.raises(ConnectError, match=r"carrot \(127.0.0.1:\d+\) .* refused a terminal .*PermitTTY"):
        drain(channel)
    channel.close()


def test_new_keys_after_each_megabyte_change_nothing(connect: Connect, make_sshd: Callable[..., Sshd]) -> None:
    connections = connect(make_sshd(RekeyLimit="1M"))
    other = connections.open_channel("cat", deadline=Deadline.after(20))
    assert len(run(connections, "head -c 12000000 /dev/zero").out) == 12000000
    channel = connections.open_channel("wc -c", deadline=Deadline.after(20))
    channel.write(bytes(6_000_000), Deadline.after(20))
    channel.write_eof()
    assert drain(channel).out == b"6000000\n"
    channel.close()
    other.write(b"still there\n", Deadline.after(5))
    assert read_until(other, b"\n") == b"still there\n"
    other.close()


def test_new_keys_at_our_own_wish_while_other_channels_end(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paramiko's own thread would wait for itself when the server closes a channel during such an exchange."""
    monkeypatch.setattr(Packetizer, "REKEY_BYTES", 1 << 19)
    connections = connect()
    flood = connections.open_channel("yes", deadline=Deadline.after(20))

    def read_on() -> None:
        while not flood.read(Deadline.after(20)).ended:
            pass

    reader = InThread(read_on)
    started = time.monotonic()
    for number in range(40):
        assert run(connections, f"echo {number}").out == b"%d\n" % number
    assert time.monotonic() - started < 25
    flood.close()
    reader.join()
    assert connections.describe()["connections"] == 1
