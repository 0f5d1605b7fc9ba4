"""Telnet, against a real telnetd and a real login."""

from __future__ import annotations

import pytest

from otto_docker_sync.channel import Chunk
from otto_docker_sync.deadline import Deadline
from otto_docker_sync.telnet import TelnetChannel
from otto_docker_sync.telnet_options import TelnetOptions
from tests.lab.telnetd import Telnetd


def open_channel(telnetd: Telnetd, *argv: str, tty: bool = False) -> TelnetChannel:
    return TelnetChannel.open(
        telnetd.host, telnetd.port, telnetd.user, telnetd.password, TelnetOptions(), argv, tty=tty,
        deadline=Deadline.after(20), size=(101, 33), term="vt220",
    )  # fmt: skip


def read_all(channel: TelnetChannel) -> bytes:
    seen = bytearray()
    while not (chunk := channel.read(Deadline.after(10))).ended:
        seen += chunk.out
    return bytes(seen)


def test_a_program(telnetd: Telnetd) -> None:
    channel = open_channel(telnetd, "sh", "-c", "echo o; echo e >&2; test -t 1; echo $?; exit 7")
    assert read_all(channel) == b"o\ne\n1\n"
    assert channel.exit_status(Deadline.after(1)) == 7
    channel.close()
