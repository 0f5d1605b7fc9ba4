"""Proving who is who: the server by its host key, the user by keys and passwords."""

from __future__ import annotations

import os
import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import paramiko
from paramiko.agent import AgentSSH
from paramiko.auth_handler import AuthHandler
from paramiko.ssh_exception import PartialAuthentication

from ..deadline import Deadline, DeadlineExpired
from ..errors import AuthenticationError, ConfigError, ConnectError, HostKeyError
from ..secret import Secret, reveal
from .config import Target
from .known_hosts import KnownKey, add_key, fingerprint, known_keys, name_of
from .transport import Transport

_NOTHING = "nothing, as there is no key, no agent and no password"
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


def _known(target: Target) -> tuple[str, list[KnownKey]]:
    """The name that known_hosts has for the target, and the keys that count for it."""
    name = name_of(target.known_as or target.host, 22 if target.known_as else target.port)
    keys = known_keys(target.known_hosts, name)
    if not keys and target.port != 22 and not target.known_as:
        keys = known_keys(target.known_hosts, target.host.lower())  # as ssh does: the key of the machine will do
    return name, keys


def prefer_known_keys(transport: Transport, target: Target) -> None:
    """Ask the server for a key of a kind that known_hosts holds, when it has several."""
    if target.host_key_policy == "ignore":
        return
    kinds = [key.kind for key in _known(target)[1] if not key.revoked and not key.authority]
    wanted = [name for kind in kinds for name in _ALGORITHMS.get(kind, (kind,))]
    possible = list(transport._preferred_keys)
    transport._preferred_keys = tuple(sorted(possible, key=lambda name: (name not in wanted, possible.index(name))))


def check_host_key(transport: Transport, target: Target, where: str) -> None:
    """Raise `HostKeyError` unless the server's key is the known one, or may be written down as new."""
    if target.host_key_policy == "ignore":
        return
    key = transport.get_remote_server_key()
    kind, blob = key.get_name(), key.asbytes()
    shown = f"{where}: its {kind} key {fingerprint(blob)}"
    name, known = _known(target)
    for entry in known:
        if entry.revoked and entry.blob == blob:
            raise HostKeyError(f"{shown} is marked as revoked in {entry.where}. Do not connect; ask who runs the host.")
    if any(entry.blob == blob and not entry.authority for entry in known):
        return
    file = target.known_hosts[0] if target.known_hosts else "~/.ssh/known_hosts"
    port = f"-p {target.port} " if target.port != 22 else ""
    scan = f"ssh-keyscan {port}{shlex.quote(target.host)} >> {shlex.quote(file)}"
    others = [entry for entry in known if not entry.revoked and not entry.authority]
    if others:
        other = next((entry for entry in others if entry.kind == kind), others[0])
        raise HostKeyError(
            f"{shown} is not the one in {other.where} ({other.kind} {fingerprint(other.blob)}). Either the host was"
            f" set up anew, or somebody else answers in its place. When you know that it is the right one, run:"
            f" ssh-keygen -R {shlex.quote(name)} -f {shlex.quote(file)} && {scan}"
        )
    if target.host_key_policy == "accept-new":
        try:
            add_key(file, name, kind, blob)
        except OSError as error:
            raise HostKeyError(f"{shown} is new, and {file} cannot be written: {error.strerror}") from error
        return
    files = ", ".join(target.known_hosts) or "any file (UserKnownHostsFile is none)"
    authority = " A @cert-authority line does not count: certificates of hosts are not checked." if known else ""
    raise HostKeyError(
        f"{shown} (known_hosts name {name}) is not in {files}.{authority} When you know that it is the right one, run:"
        f' {scan} or use host_key_policy="accept-new".'
    )


class Disconnected(Exception):
    """The server ended the connection while there was more to try (MaxAuthTries)."""


@dataclass
class Credential:
    """One way to log in."""

    method: str
    text: str
    start: Callable[[AuthHandler, str, threading.Event], None]


class Credentials:
    """What there is to log in with, in order: the private keys, the password, the agent's keys.

    One object serves one connect with all its attempts: after `Disconnected` the next one goes on where it stopped.
    `keys` are those read before, by path: to decrypt one takes time.
    """

    def __init__(self, target: Target, password: Secret, passphrase: Secret, keys: dict[str, paramiko.PKey]) -> None:
        self.used = ""
        """The one that the server took."""
        self._target = target
        self._tried: list[str] = []
        self._allowed: Sequence[str] | None = None
        self._blobs: set[bytes] = set()
        self._agent: Any = None
        self._pending = [*self._keys_of_files(passphrase, keys), *_passwords(password)]

    def authenticate(self, transport: Transport, where: str, deadline: Deadline) -> None:
        """Log in. Raises `AuthenticationError` when nothing is left, `Disconnected` when a new connection may go on."""
        if self._agent is None and self._target.allow_agent:
            self._ask_agent(deadline)
        if not self._pending and not self._tried:
            self._pending.append(Credential("none", _NOTHING, lambda auth, *args: auth.auth_none(*args)))
        while credential := self._next():
            try:
                self._try(credential, transport, deadline)
            except DeadlineExpired:
                self.close()
                raise
            if transport.is_authenticated():
                self.used = credential.text
                return
            if transport.link.ended and transport.last_words and self._next():
                raise Disconnected
            if transport.link.ended:
                break
        if transport.link.ended and not transport.last_words:
            tried = ", ".join(self._tried)
            raise ConnectError(f"{where} was lost during the login, after {tried}: {transport.why}")
        raise AuthenticationError(self._refused(where, transport.last_words))

    def close(self) -> None:
        """Let go of the agent, also while it is asked to sign."""
        if self._agent is not None and self._agent._conn is not None:
            with suppress(OSError):
                self._agent._conn.shutdown(socket.SHUT_RDWR)
            self._agent._close()

    def _next(self) -> Credential | None:
        for credential in self._pending:
            if self._allowed is None or credential.method in self._allowed:
                return credential
        return None

    def _try(self, credential: Credential, transport: Transport, deadline: Deadline) -> None:
        auth = transport.auth_handler = AuthHandler(transport)
        transport.saved_exception = None
        done = threading.Event()
        try:
            credential.start(auth, self._target.user, done)
        except EOFError:  # nothing can be sent any more; unless it has, the transport will end and tell `done`
            if transport.link.ended:
                done.set()
        with deadline.waking(done.set):
            while not done.wait(deadline.remaining()):
                deadline.check()
        answer = transport.saved_exception
        if deadline.cancelled:
            raise DeadlineExpired("authentication was cancelled")
        note = credential.text
        if isinstance(answer, paramiko.BadAuthenticationType):
            self._allowed = answer.allowed_types
            if credential.method not in self._allowed and credential.method != "none":
                return  # not refused: it may be wanted later, as a second factor
        elif isinstance(answer, PartialAuthentication):
            self._allowed = answer.allowed_types
            note += " (taken, but more is wanted)"
        self._pending.remove(credential)
        self._tried.append(note)

    def _refused(self, where: str, ended: str) -> str:
        tried = ", ".join(self._tried) or "nothing, as the server takes none of what there is"
        text = f"{where} did not let user {self._target.user} in. Tried: {tried}."
        if ended:
            text += f" Then it ended the connection: {ended}."
        if self._allowed is not None:
            text += f" The server takes: {', '.join(self._allowed)}."
        return text + " Give user=, password= or identity_file=, or add a key to your ssh-agent."

    def _keys_of_files(self, passphrase: Secret, keys: dict[str, paramiko.PKey]) -> Iterator[Credential]:
        for path in self._target.identity_files:
            try:
                key = keys[path] = keys.get(path) or _load_key_asking(path, passphrase)
            except _NeedsPassphrase:
                self._tried.append(f"key {path} (it is encrypted: give passphrase=, or add it to your ssh-agent)")
            except ConfigError as error:
                if self._target.explicit_identity:
                    raise
                self._tried.append(str(error))
            else:
                self._blobs.add(key.asbytes())
                yield _publickey(key, f"key {path}")

    def _ask_agent(self, deadline: Deadline) -> None:
        path = os.environ.get("SSH_AUTH_SOCK")
        if not path:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        agent: Any = AgentSSH()
        self._agent = agent
        agent._conn = sock
        sock.settimeout(deadline.remaining())
        try:
            sock.connect(path)
            agent._connect(sock)
        except TimeoutError:
            raise DeadlineExpired("the ssh-agent did not answer") from None
        except (OSError, paramiko.SSHException) as error:
            self._tried.append(f"the ssh-agent at {path} ({error})")
        for key in agent.get_keys():
            if key.asbytes() not in self._blobs:
                self._pending.append(_publickey(key, f"agent key {key.comment or fingerprint(key.asbytes())}"))


class _NeedsPassphrase(Exception):
    pass


def _load_key_asking(path: str, passphrase: Secret) -> paramiko.PKey:
    try:
        return load_key(path, None)
    except _NeedsPassphrase:
        if passphrase is None:
            raise
        return load_key(path, reveal(passphrase))


def load_key(path: str, passphrase: str | None) -> paramiko.PKey:
    """Read a private key. Raises `ConfigError` for what is none."""
    try:
        return paramiko.PKey.from_path(path, passphrase.encode() if passphrase else None)  # type: ignore[arg-type]
    except TypeError as error:  # so cryptography says both that a passphrase is missing and that one is not needed
        if passphrase:
            return load_key(path, None)
        raise _NeedsPassphrase from error
    except paramiko.PasswordRequiredException as error:
        raise _NeedsPassphrase from error
    except OSError as error:
        raise ConfigError(f"identity_file {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # cryptography has no common root for what it finds wrong with a file
        hint = "the passphrase is wrong" if passphrase else "give the file of an OpenSSH or PEM private key"
        raise ConfigError(f"identity_file {path} cannot be used as a private key: {hint}") from error


def _publickey(key: paramiko.PKey, text: str) -> Credential:
    return Credential("publickey", text, lambda auth, user, done: auth.auth_publickey(user, key, done))


def _passwords(password: Secret) -> list[Credential]:
    if password is None:
        return []

    @cache
    def text() -> str:
        return reveal(password) or ""

    def answer(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        return ["" if echo else text() for _, echo in prompts]

    return [
        Credential("password", "password", lambda auth, user, done: auth.auth_password(user, text(), done)),
        Credential(
            "keyboard-interactive",
            "keyboard-interactive with the password",
            lambda auth, user, done: auth.auth_interactive(user, answer, done),
        ),
    ]
