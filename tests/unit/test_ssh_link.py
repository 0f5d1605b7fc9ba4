"""The socket below an SSH connection, on a pair of sockets: what it keeps, and when it gives the far end up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from otto_docker_sync._channel.tcp import SocketStream
from otto_docker_sync._ssh import link as ssh_link
from otto_docker_sync._ssh.link import Link


@pytest.fixture
def pair() -> Iterator[tuple[Link, socket.socket]]:
    ours, theirs = socket.socketpair()
    link = Link(SocketStream(ours))
    with theirs:
        yield link, theirs
    link.close()


def receive(link: Link) -> bytes:
    """All that is read until the end."""
    seen = b""
    while True:
        try:
            data = link.recv(4096)
        except TimeoutError:
            continue
        if not data:
            return seen
        seen += data


def test_what_the_far_end_does_not_take_is_kept_and_goes_out_first(pair: tuple[Link, socket.socket]) -> None:
    link, theirs = pair
    data = bytes(range(256)) * 20_000
    started = time.monotonic()
    assert link.send(data) == len(data)
    assert link.send(b"last") == 4
    assert time.monotonic() - started < 1
    assert not link.writable
    seen = bytearray()
    theirs.settimeout(5)
    while len(seen) < len(data) + 4:
        seen += theirs.recv(1 << 20)
        assert link.writable in (True, False)  # asking sends on
    assert seen == data + b"last"
    assert link.writable


def test_a_send_that_fails_loses_nothing_that_arrived_before(pair: tuple[Link, socket.socket]) -> None:
    link, theirs = pair
    theirs.send(b"last words")
    theirs.close()
    link.send(b"x")
    with pytest.raises(EOFError):
        link.send(b"x")
    assert not link.ended
    assert receive(link) == b"last words"
    assert link.reason == "Broken pipe"


def test_silence_is_asked_about_three_times_and_then_is_death(
    pair: tuple[Link, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_link, "SSH_READ_WAIT", 0.02)
    link, _ = pair
    asked: list[float] = []
    link.ping = lambda: asked.append(1)
    link.watch(0.1)
    assert receive(link) == b""
    assert len(asked) == 2
    assert link.reason.startswith("no answer for 0.3")


def test_any_answer_is_a_sign_of_life(pair: tuple[Link, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_link, "SSH_READ_WAIT", 0.02)
    link, theirs = pair
    answers: list[int] = []

    def answer() -> None:
        answers.append(theirs.send(b"."))
        if len(answers) == 5:
            theirs.close()

    link.ping = answer
    link.watch(0.05)
    assert receive(link) == b"....."
    assert link.reason == "the remote side closed the connection"


def test_before_a_login_silence_is_no_death(pair: tuple[Link, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_link, "SSH_READ_WAIT", 0.001)
    link, _ = pair
    for _ in range(20):
        with pytest.raises(TimeoutError):
            link.recv(1)
    assert not link.ended


def test_ending_from_another_thread_wakes_the_reader(
    pair: tuple[Link, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_link, "SSH_READ_WAIT", 30)
    link, _ = pair
    reader = threading.Thread(target=receive, args=(link,))
    reader.start()
    link.end("enough")
    link.end("and more")
    reader.join(5)
    assert not reader.is_alive()
    assert link.reason == "enough"
    with pytest.raises(EOFError):
        link.send(b"x")
