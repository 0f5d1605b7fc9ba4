"""The reference for what goes over SSH: Paramiko, used as directly as can be."""

from __future__ import annotations

import shlex
import socket
from contextlib import ExitStack

import paramiko

from bench.target import Target
from otto_docker_sync._shell.framing import Prompt, SessionFrame, handshake

from .base import Session, Tool

READ = 1 << 16


class RawSession(Session):
    """A shell on a channel. A command that is run again costs one write of the same bytes, and the reading."""

    def __init__(self, transport: paramiko.Transport, argv: list[str]) -> None:
        self._channel = transport.open_session()
        self._channel.get_pty()
        self._channel.exec_command(shlex.join([*argv, "-c", "stty -echo; echo ready; exec sh"]))
        self._read_until(b"ready")
        self._prompt = Prompt()
        self._channel.sendall(handshake(self._prompt))
        self._frames: dict[str, tuple[bytes, bytes]] = {}
        """By command: what is typed, and how its end looks."""

    def run(self, command: str) -> bytes:
        if command not in self._frames:
            return self._run_first(command)
        frame, end = self._frames[command]
        self._channel.sendall(frame)
        return self._read_until(end)

    def _run_first(self, command: str) -> bytes:
        """Run a command with a frame of the library, and learn how its end looks."""
        frame = SessionFrame(command, self._prompt, len(self._frames) + 1)
        data = frame.upload + frame.start
        self._channel.sendall(data)
        output = b""
        while not frame.ended:
            output += frame.feed(self._channel.recv(READ))
        self._frames[command] = data, frame.end_shown
        return output

    def _read_until(self, end: bytes) -> bytes:
        data = b""
        while end not in data:
            piece = self._channel.recv(READ)
            if not piece:
                raise EOFError(data[-200:].decode(errors="replace"))
            data += piece
        return data

    def close(self) -> None:
        self._channel.sendall(b"exit\n")
        while self._channel.recv(READ):
            pass
        self._channel.close()


class RawParamiko(Tool):
    """One transport, and a channel for each process."""

    name = "raw Paramiko"
    package = "paramiko"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        self._transport = connect(target)
        stack.callback(self._transport.close)

    def open_session(self, number: int = 0) -> Session:
        return RawSession(self._transport, self.docker_exec("-it", container=self.container_of(number)))

    def oneshot(self, command: str) -> bytes:
        channel = self._transport.open_session()
        channel.exec_command(shlex.join([*self.docker_exec("-i"), "-c", command]))
        channel.shutdown_write()
        pieces = []
        while piece := channel.recv(READ):
            pieces.append(piece)
        if channel.recv_exit_status():
            raise OSError("the command failed")
        channel.close()
        return b"".join(pieces)


def connect(target: Target) -> paramiko.Transport:
    """Log in. The socket sends at once, which Paramiko leaves to its user."""
    sock = socket.create_connection((target.host, target.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(sock)
    transport.connect(username=target.user, pkey=paramiko.Ed25519Key.from_private_key_file(target.identity_file))
    return transport
