"""Telnet, against a real telnetd and a real login."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otto_docker_sync import AuthenticationError, ConfigError, ConnectError, ConnectionLost, TelnetOptions, UnixHost
from otto_docker_sync._telnet import TelnetChannel
from otto_docker_sync.deadline import Deadline, DeadlineExpired
from tests.rig.proxy import Proxy
from tests.rig.telnetd import Telnetd

Open = Callable[..., TelnetChannel]

BYTES = bytes(range(256)) + b"\r\0\r\n\r\r\0\xff\xff\xff\xf0\xff\r" + bytes(reversed(range(256)))


@pytest.fixture
def open_channel(telnetd: Telnetd) -> Iterator[Open]:
    opened: list[TelnetChannel] = []

    def make(*argv: str, **arguments: Any) -> TelnetChannel:
        given = {"port": telnetd.port, "user": telnetd.user, "password": telnetd.password, "options": TelnetOptions(),
                 "deadline": Deadline.after(20), "size": (101, 33), "term": "vt220", **arguments}  # fmt: skip
        opened.append(TelnetChannel.open(telnetd.host, argv=argv, **given))
        return opened[-1]

    yield make
    for channel in opened:
        channel.close()


def soon() -> Deadline:
    return Deadline.after(10)


def read_all(channel: TelnetChannel) -> bytes:
    seen = bytearray()
    while not (chunk := channel.read(soon())).ended:
        seen += chunk.out
    return bytes(seen)


def read_until(channel: TelnetChannel, text: bytes) -> bytes:
    seen = bytearray()
    while text not in seen:
        chunk = channel.read(soon())
        assert not chunk.ended, bytes(seen)
        seen += chunk.out
    return bytes(seen)


def test_a_program_has_pipes_and_a_status(open_channel: Open) -> None:
    channel = open_channel("sh", "-c", "echo o; echo e >&2; for f in 0 1 2; do test -t $f; echo $?; done; kill -9 $$")
    assert read_all(channel) == b"o\ne\n1\n1\n1\n"
    assert channel.exit_status(soon()) == 137


def test_argv_is_not_read_by_a_shell(open_channel: Open) -> None:
    words = ["a b", "$HOME", "*", "'\"", "", "line\nfeed", "é☃", "x" * 5000, "%s\\n", "-"]
    assert read_all(open_channel("printf", "%s|", *words)).decode() == "".join(f"{word}|" for word in words)


def test_every_byte_goes_both_ways_and_stdin_has_an_end(open_channel: Open) -> None:
    channel = open_channel("cat")
    channel.write(BYTES, soon())
    channel.write_eof()
    assert read_all(channel) == BYTES
    assert channel.exit_status(soon()) == 0


def test_much_goes_both_ways_at_once(open_channel: Open) -> None:
    channel = open_channel("cat")
    sent, received = os.urandom(200_000), bytearray()
    view = memoryview(sent)
    while len(received) < len(sent):
        view = view[channel.write_some(bytes(view)) :]
        try:
            received += channel.read(Deadline.after(0.02 if view else 10)).out
        except DeadlineExpired:
            assert view
    assert bytes(received) == sent


def test_output_that_looks_like_a_mark_is_output(open_channel: Open) -> None:
    channel = open_channel("sh", "-c", r"printf '\036'; sleep 0.2; printf '\036abc:0\036'; printf '\036'; exit 3")
    assert read_all(channel) == b"\x1e\x1eabc:0\x1e\x1e"
    assert channel.exit_status(soon()) == 3


def test_a_program_that_reads_nothing_ends_all_the_same(open_channel: Open) -> None:
    channel = open_channel("true")
    assert read_all(channel) == b""
    assert channel.exit_status(soon()) == 0
    assert channel.write_some(b"x") == 1


def test_a_terminal_has_a_size_a_name_and_controls(open_channel: Open) -> None:
    channel = open_channel("sh", "-c", "stty size; echo $TERM; exec cat", tty=True)
    assert b"33 101\r\nvt220\r\n" in read_until(channel, b"vt220\r\n")
    channel.write("é\r".encode(), soon())
    read_until(channel, "é\r\né\r\n".encode())
    channel.write(b"\x03", soon())
    read_all(channel)
    assert channel.exit_status(soon()) == 130


def test_a_resize_reaches_the_program(open_channel: Open) -> None:
    channel = open_channel(
        "sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done", tty=True
    )
    read_until(channel, b"ready")
    channel.resize(120, 40)
    read_until(channel, b"40 120")


def test_the_login_shell(open_channel: Open) -> None:
    channel = open_channel(tty=True)
    channel.write(b"shopt -q login_shell; exit 4$?\n", soon())
    read_all(channel)
    assert channel.exit_status(soon()) == 40


@pytest.mark.parametrize("tty", [False, True])
def test_closing_hangs_up(open_channel: Open, tty: bool, tmp_path: os.PathLike[str]) -> None:
    witness = os.path.join("/tmp", f"hangup-{os.path.basename(tmp_path)}")
    waiting = f"trap 'echo hup >{witness}; exit' HUP; while :; do sleep 0.05; done"
    told = waiting if tty else f"cat >/dev/null; echo eof >{witness}"
    channel = open_channel("sh", "-c", f"echo ready; {told}", tty=tty)
    read_until(channel, b"ready")
    channel.close()
    assert channel.read(soon()).ended
    until = time.monotonic() + 5
    while not os.path.exists(witness):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.unlink(witness)


def test_a_wrong_password(open_channel: Open) -> None:
    with pytest.raises(AuthenticationError, match="incorrect"):
        open_channel("true", password="wrong")


def test_no_password(open_channel: Open) -> None:
    with pytest.raises(AuthenticationError, match="password="):
        open_channel("true", password=None)


def test_nobody_listens(open_channel: Open) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError, match="refused"):
            open_channel("true", port=unused.getsockname()[1])


def test_a_silent_server(open_channel: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ConnectError, match=r"within 0\.3 s"):
            open_channel("true", port=port, options=TelnetOptions(connect_timeout=0.3))
        with pytest.raises(DeadlineExpired):
            open_channel("true", port=port, deadline=Deadline.after(0.3))


def test_prompts_that_are_not_those_of_the_options(open_channel: Open) -> None:
    with pytest.raises(ConnectError, match=r"login:.*TelnetOptions"):
        open_channel("true", options=TelnetOptions(login_prompt="Benutzer:", connect_timeout=1.0))


def test_a_lost_connection(open_channel: Open, telnetd: Telnetd) -> None:
    with Proxy(telnetd.port) as proxy:
        channel = open_channel("sh", "-c", "printf before; exec cat", port=proxy.port)
        read_until(channel, b"before")
        proxy.drop()
        with pytest.raises(ConnectionLost):
            channel.read(soon())


@pytest.mark.parametrize(
    "wrong", [{"login_prompt": "("}, {"encoding": "nonsense"}, {"connect_timeout": -1}, {"connect_timeout": None}]
)
def test_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TelnetOptions(**wrong)


def test_through_a_hop(make_unix_host: Callable[..., UnixHost], telnetd: Telnetd) -> None:
    hop = make_unix_host(id="gateway")
    host = UnixHost(telnetd.host, telnetd.user, password=telnetd.password, port=telnetd.port, term="telnet", hop=hop)
    with host:
        assert host.oneshot("echo $((6*7))").output == "42\n"
        assert host.run("cd /tmp; pwd").output == "/tmp\n"
        assert host.run("pwd").output == "/tmp\n"
        assert host.oneshot("head -c 300000 /dev/zero").output_bytes == bytes(300_000)
