"""Paramiko's side of a login: one request to the server, and its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paramiko
import paramiko.auth_handler

from ..deadline import Deadline
from ..locks import Signal
from .keys import CERTIFICATE, PublicKey, SigningKey

AnswerPrompt = Callable[[str, bool], str]
"""Answers a prompt; the second argument is whether the answer would be visible."""

# The type stubs of Paramiko leave out what is needed of it here.
_AuthHandler: Any = paramiko.auth_handler.AuthHandler


class AuthHandler(_AuthHandler):  # type: ignore[misc]
    """Paramiko's handler, for signatures that were made before. It asks once a connection for the service."""

    answer_error: Exception | None = None
    """What the caller's own function raised, when it was asked for an answer."""

    def start_publickey(self, user: str, key: SigningKey, public: PublicKey, done: Signal, deadline: Deadline) -> None:
        """Sign, and send the request. Raises `AgentError` before anything was sent.

        The caller's thread signs, under its deadline: an agent may ask its user first. Paramiko would let the thread
        sign that reads the connection.
        """
        algorithm = self._choose_algorithm(public.kind)
        signed = _Signed(public, algorithm)
        data = self._get_session_blob(signed, "ssh-connection", user, algorithm)
        signed.signature = key.sign(data, algorithm, deadline)
        self.auth_publickey(user, signed, done)

    def start_interactive(self, user: str, answer: AnswerPrompt, done: Signal) -> None:
        def answer_all(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            try:
                return [answer(prompt, visible) for prompt, visible in prompts]
            except Exception as error:  # on Paramiko's thread it would end the connection, and be lost
                self.answer_error = error
                done.set()
                return ["" for _ in prompts]

        self.auth_interactive(user, answer_all, done)

    def _choose_algorithm(self, kind: str) -> str:
        """The algorithm to sign with: for RSA, the first of ours that the server takes."""
        if not kind.startswith("ssh-rsa"):
            return kind
        preferred: tuple[str, ...] = self.transport.preferred_pubkeys
        ours = [name for name in preferred if name in ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")]
        theirs = self.transport.server_extensions.get("server-sig-algs", b"").decode(errors="replace").split(",")
        chosen = next((name for name in ours if name in theirs), ours[0] if ours else "rsa-sha2-512")
        return chosen + CERTIFICATE if kind.endswith(CERTIFICATE) else chosen

    def _finalize_pubkey_algorithm(self, _key_type: str) -> str:
        algorithm: str = self.private_key.algorithm  # the key is a _Signed
        return algorithm

    def _request_auth(self) -> None:
        if not self.transport.has_auth_service:
            super()._request_auth()
            return
        # The server needs to be asked for its service only once: this saves a round trip for each further method.
        accepted = paramiko.Message()
        accepted.add_string("ssh-userauth")
        accepted.rewind()
        self._parse_service_accept(accepted)

    def _parse_service_accept(self, m: paramiko.Message) -> None:
        super()._parse_service_accept(m)
        self.transport.has_auth_service = True


class _Signed:
    """A key for one request, whose signature was made before. It has what Paramiko's handler asks of a key."""

    def __init__(self, public: PublicKey, algorithm: str) -> None:
        self.key_type, self.key_blob = public
        self.algorithm = algorithm
        self.signature = b""
        self.public_blob = self

    def sign_ssh_data(self, _data: bytes, _algorithm: str | None = None) -> bytes:
        return self.signature
