"""A client of the ssh-agent, whose every wait ends with the deadline."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

from ..deadline import Deadline, DeadlineExpired
from ..limits import AGENT_MESSAGE
from .keys import CERTIFICATE, PublicKey, string, take_string

_REQUEST_IDENTITIES, _IDENTITIES = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
"""Without one of these flags an agent signs with SHA-1 where the key is an RSA key."""


class AgentError(Exception):
    """The agent cannot be asked, or refused what it was asked for."""


class Agent:
    """A connection to an ssh-agent. One thread uses it; `close` it from any thread."""

    def __init__(self, path: str, deadline: Deadline) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_timeout(deadline))
            self._socket.connect(path)
        except TimeoutError:
            self._socket.close()
            raise DeadlineExpired("the ssh-agent did not answer") from None
        except OSError as error:
            self._socket.close()
            raise AgentError(f"the ssh-agent at {path}: {error.strerror or error}") from None

    def keys(self, deadline: Deadline) -> list[AgentKey]:
        """The keys and certificates that the agent holds, in its order."""
        answer = self._ask(_REQUEST_IDENTITIES, b"", _IDENTITIES, deadline)
        count, rest = int.from_bytes(answer[:4], "big"), answer[4:]
        found = []
        try:
            for _ in range(count):
                blob, rest = take_string(rest)
                comment, rest = take_string(rest)
                kind = take_string(blob)[0].decode(errors="replace")
                found.append(AgentKey(self, PublicKey(kind, blob), comment.decode(errors="replace")))
        except ValueError:
            raise AgentError(f"the ssh-agent at {self._path} gave an incomplete answer") from None
        return found

    def sign(self, blob: bytes, data: bytes, algorithm: str, deadline: Deadline) -> bytes:
        """Let the agent sign. Raises `AgentError` when it refuses, for example because its user said no."""
        flags = _FLAGS.get(algorithm.removesuffix(CERTIFICATE), 0)
        request = string(blob) + string(data) + struct.pack(">I", flags)
        answer = self._ask(_SIGN_REQUEST, request, _SIGN_RESPONSE, deadline)
        try:
            return take_string(answer)[0]
        except ValueError:
            raise AgentError(f"the ssh-agent at {self._path} gave an incomplete answer") from None

    def close(self) -> None:
        """End the connection, also while another thread waits on it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _ask(self, kind: int, body: bytes, wanted: int, deadline: Deadline) -> bytes:
        try:
            with deadline.waking(self._abort):
                self._socket.settimeout(_timeout(deadline))
                self._socket.sendall(string(bytes([kind]) + body))
                size = int.from_bytes(self._receive(4, deadline), "big")
                if not 0 < size <= AGENT_MESSAGE:
                    raise AgentError(f"the ssh-agent at {self._path} gave an answer of {size} bytes")
                answer = self._receive(size, deadline)
        except TimeoutError:
            raise DeadlineExpired("the ssh-agent did not answer") from None
        except OSError as error:
            deadline.check()
            raise AgentError(f"the ssh-agent at {self._path}: {error.strerror or error}") from None
        if answer[0] != wanted:
            raise AgentError("the ssh-agent refused")
        return answer[1:]

    def _receive(self, size: int, deadline: Deadline) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(_timeout(deadline))
            piece = self._socket.recv(size - len(data))
            if not piece:
                deadline.check()
                raise AgentError(f"the ssh-agent at {self._path} closed the connection")
            data += piece
        return bytes(data)

    def _abort(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class AgentKey:
    """A key that an ssh-agent holds."""

    def __init__(self, agent: Agent, public: PublicKey, comment: str) -> None:
        self.public = public
        self.comment = comment
        self._agent = agent

    def sign(self, data: bytes, algorithm: str, deadline: Deadline) -> bytes:
        return self._agent.sign(self.public.blob, data, algorithm, deadline)


def _timeout(deadline: Deadline) -> float | None:
    remaining = deadline.remaining()
    return None if remaining is None else max(remaining, 0.001)  # 0 would make the socket non-blocking
