"""An ssh-agent that answers what no agent should: an `AgentError` that names it, and never a crash or a wait."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otto_docker_sync._ssh.agent import Agent, AgentError
from otto_docker_sync.deadline import Deadline, DeadlineExpired
from otto_docker_sync.limits import AGENT_MESSAGE

IDENTITIES = b"\x0c"


@pytest.fixture
def answer(tmp_path: Path) -> Iterator[Callable[[bytes | None], str]]:
    """Starts an agent that gives each request these bytes as its answer and hangs up; None never answers."""
    listeners: list[socket.socket] = []
    ended = threading.Event()

    def serve(listener: socket.socket, data: bytes | None) -> None:
        connection = listener.accept()[0]
        with connection:
            connection.recv(4096)
            if data is None:
                ended.wait(60)
            else:
                connection.sendall(data)

    def start(data: bytes | None) -> str:
        path = str(tmp_path / "agent.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()
        listeners.append(listener)
        threads.append(threading.Thread(target=serve, args=(listener, data)))
        threads[-1].start()
        return path

    threads: list[threading.Thread] = []
    yield start
    ended.set()
    for thread in threads:
        thread.join(20)
    for listener in listeners:
        listener.close()


def message(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (message(IDENTITIES + struct.pack(">I", 2) + b"\0\0\0\7ssh"), "gave an incomplete answer"),
        (message(IDENTITIES + struct.pack(">I", 2**31)), "gave an incomplete answer"),
        (struct.pack(">I", AGENT_MESSAGE + 1), f"gave an answer of {AGENT_MESSAGE + 1} bytes"),
        (struct.pack(">I", 0), "gave an answer of 0 bytes"),
        (struct.pack(">I", 9) + IDENTITIES, "closed the connection"),
        (b"", "closed the connection"),
        (message(b"\x05"), "the ssh-agent refused"),
    ],
)
def test_an_answer_that_is_none(answer: Callable[[bytes | None], str], data: bytes, text: str) -> None:
    agent = Agent(answer(data), Deadline.after(20))
    with pytest.raises(AgentError, match=text):
        agent.keys(Deadline.after(20))
    agent.close()


def test_an_agent_that_never_answers_ends_with_the_deadline(answer: Callable[[bytes | None], str]) -> None:
    agent = Agent(answer(None), Deadline.after(20))
    with pytest.raises(DeadlineExpired, match="the ssh-agent did not answer"):
        agent.keys(Deadline.after(0.2))
    agent.close()


def test_an_agent_that_has_gone(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="No such file"):
        Agent(str(tmp_path / "gone.sock"), Deadline.after(20))
