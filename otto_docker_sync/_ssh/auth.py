"""Proving who the user is: by keys, an ssh-agent, a password, and answers to what the server asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import paramiko
from paramiko.ssh_exception import PartialAuthentication

from ..deadline import Deadline, DeadlineExpired
from ..errors import AuthenticationError, ConfigError, ConnectError
from ..limits import MAX_LOGIN_CONNECTIONS
from ..locks import Signal
from ..secret import Secret, reveal
from .agent import Agent, AgentError, AgentKey
from .auth_handler import AuthHandler
from .config import Target
from .keys import (
    CERTIFICATE,
    FileKey,
    NeedsPassphrase,
    PublicKey,
    SigningKey,
    load_private_key,
    read_certificate,
    read_public_key,
)
from .known_hosts import fingerprint
from .options import Answers
from .transport import Transport

_NOTHING = "nothing, as there is no key, no agent and no password"


class Disconnected(Exception):
    """The server ended the connection while there was more to try (MaxAuthTries)."""


@dataclass
class Credential:
    """One way to log in."""

    method: str
    text: str
    start: Callable[[AuthHandler, str, Signal, Deadline], None]
    """Sends the request, for the user, and sets the event once the server has answered."""
    explicit: bool = True
    """Whether the caller asked for it: then PreferredAuthentications of a file does not exclude it."""


class Credentials:
    """What there is to log in with, in order: ``none``, keys, the password, and the agent's other keys.

    One object serves one connect with all its attempts: after `Disconnected` the next one goes on where it stopped.
    `keys` are those read before, by path: to decrypt one takes time. It owns the connection to the agent.
    """

    def __init__(
        self,
        target: Target,
        password: Secret,
        passphrase: Secret,
        answers: Answers | None,
        keys: dict[str, FileKey],
    ) -> None:
        self.banner = ""
        """What the server says before the login (Banner in its sshd_config)."""
        self.used = ""
        """The one that the server took."""
        self._target = target
        self._password = password
        self._passphrase = passphrase
        self._answers = answers
        self._keys = keys
        self._tried: list[str] = []
        self._allowed: Sequence[str] | None = None
        self._agent: Agent | None = None
        self._pending: list[Credential] = []
        self._connections = 0

    def prepare(self, deadline: Deadline) -> None:
        """Read the keys and ask the agent, before there is a connection.

        A server that penalizes must not see connections which end without a login, so what can fail on this side fails
        here. Raises `ConfigError` for a key that the caller named and that cannot be used.
        """
        others = self._ask_agent(deadline)
        certificates = [found for path in self._target.certificate_files if (found := read_certificate(path))]
        keys = [
            credential
            for path in self._target.identity_files
            for credential in self._credentials_of_file(path, others, certificates)
        ]
        passwords = self._password_credentials()
        rest = [] if self._target.identities_only else [_agent_credential(key) for key in others]
        if self._target.identities_only:
            rest = [
                _agent_credential(key) for key in others if any(cert.blob == key.public.blob for cert in certificates)
            ]
        none = Credential("none", "none", lambda auth, user, done, _: auth.auth_none(user, done))
        self._pending = [none, *self._in_order([*keys, *passwords, *rest])]

    def authenticate(self, transport: Transport, where: str, deadline: Deadline) -> None:
        """Log in. Raises `AuthenticationError` when nothing is left, `Disconnected` when a new connection may go on."""
        self._connections += 1
        while credential := self._next():
            try:
                self._try(credential, transport, deadline)
            except DeadlineExpired:
                self.close()
                raise
            if transport.is_authenticated():
                self.used = credential.text
                return
            if transport.link.ended:
                break
        said = transport.disconnect_message
        if transport.link.ended and said and self._next() and self._connections < MAX_LOGIN_CONNECTIONS:
            raise Disconnected
        if transport.link.ended and not said:
            tried = ", ".join(self._tried) or "none"
            raise ConnectError(f"{where} was lost during the login, after {tried}: {transport.why}")
        raise AuthenticationError(self._refusal(where, said))

    def close(self) -> None:
        """Close the connection to the agent, also while it is asked to sign."""
        if self._agent is not None:
            self._agent.close()

    # In which order

    def _in_order(self, credentials: list[Credential]) -> list[Credential]:
        methods = list(self._target.methods)
        if not methods:
            return credentials
        wanted = [credential for credential in credentials if credential.explicit or credential.method in methods]
        # Those that the caller named and the file leaves out come last.
        return sorted(
            wanted,
            key=lambda credential: methods.index(credential.method) if credential.method in methods else len(methods),
        )

    def _next(self) -> Credential | None:
        for credential in self._pending:
            if self._allowed is None or credential.method in self._allowed:
                return credential
        return None

    def _try(self, credential: Credential, transport: Transport, deadline: Deadline) -> None:
        auth = transport.auth_handler = AuthHandler(transport)
        transport.saved_exception = None
        done = Signal()
        try:
            credential.start(auth, self._target.user, done, deadline)
        except AgentError as error:
            self._finish(credential, f"{credential.text} ({error})")
            return
        except EOFError:  # nothing can be sent any more; unless it has, the transport will end and set `done`
            if transport.link.ended:
                done.set()
        with deadline.waking(done.set):
            while not done.wait(deadline.wait_time()):
                deadline.check()
        if auth.banner:  # it comes once, with the first answer to a login
            self.banner = auth.banner.decode("utf-8", "replace")
        if auth.answer_error is not None:
            raise auth.answer_error
        if deadline.cancelled:
            raise DeadlineExpired("authentication was cancelled")
        answer = transport.saved_exception
        note = credential.text
        if isinstance(answer, paramiko.BadAuthenticationType):
            self._allowed = answer.allowed_types
            if credential.method not in self._allowed and credential.method != "none":
                return  # not refused: it may be wanted later, as a second factor
        elif isinstance(answer, PartialAuthentication):
            self._allowed = answer.allowed_types
            note += " (taken, but more is wanted)"
        self._finish(credential, note)

    def _finish(self, credential: Credential, note: str) -> None:
        self._pending.remove(credential)
        if credential.method != "none":
            self._tried.append(note)

    def _refusal(self, where: str, ended: str) -> str:
        untried = any(credential.method != "none" for credential in self._pending)
        nothing = "nothing, as the server takes none of what there is" if untried else _NOTHING
        text = f"{where} did not let user {self._target.user} in. Tried: {', '.join(self._tried) or nothing}."
        if ended:
            text += f" Then it ended the connection: {ended}."
        if self._allowed is not None:
            text += f" The server takes: {', '.join(self._allowed)}."
        text += self._target.login_remark
        return text + " Give user=, password= or identity_file=, or add a key to your ssh-agent."

    # Keys

    def _credentials_of_file(
        self, path: str, agent_keys: list[AgentKey], certificates: list[PublicKey]
    ) -> Iterator[Credential]:
        """The ways to log in with one identity file. The agent's keys that it names are taken out of `agent_keys`."""
        public = read_public_key(path)
        held = [other for other in agent_keys if public and _belongs(other.public, public)]
        for held_key in held:
            agent_keys.remove(held_key)
        own = [read_certificate(name) for name in (f"{path}-cert.pub", f"{path.removesuffix('.pub')}-cert.pub")]
        known = [*certificates, *dict.fromkeys(found for found in own if found)]
        explicit = self._target.explicit_identity
        keys: list[SigningKey] = list(held)
        try:
            key = self._keys.get(path) or load_private_key(path, lambda: reveal(self._passphrase))
            self._keys[path] = key
            # The agent may hold a certificate of this key that no file has.
            keys = [*(other for other in held if other.public.kind.endswith(CERTIFICATE)), key]
        except NeedsPassphrase:
            if not held:
                self._tried.append(f"key {path} (it is encrypted: give passphrase=, or add it to your ssh-agent)")
        except ConfigError as error:
            if not held and explicit:
                raise
            if not held:
                self._tried.append(str(error))
        for usable in keys:
            text = f"key {path} of the agent" if isinstance(usable, AgentKey) else f"key {path}"
            yield from _publickey(usable, text, known, explicit)

    def _ask_agent(self, deadline: Deadline) -> list[AgentKey]:
        if not self._target.agent_socket:
            return []
        try:
            self._agent = Agent(self._target.agent_socket, deadline)
            return self._agent.keys(deadline)
        except AgentError as error:
            self._tried.append(str(error))
            return []

    # Passwords, and what else the server asks

    def _password_credentials(self) -> list[Credential]:
        @cache
        def password() -> str:
            return reveal(self._password) or ""

        def answer(prompt: str, visible: bool) -> str:
            given = _find_answer(self._answers, prompt)
            if given is not None:
                return given
            return "" if visible or self._password is None else password()

        credentials = []
        if self._password is not None:
            credentials.append(
                Credential(
                    "password", "password", lambda auth, user, done, _: auth.auth_password(user, password(), done)
                )
            )
        if self._password is not None or self._answers is not None:
            text = "the password" if self._answers is None else "answers"
            credentials.append(
                Credential(
                    "keyboard-interactive",
                    f"keyboard-interactive with {text}",
                    lambda auth, user, done, _: auth.start_interactive(user, answer, done),
                )
            )
        return credentials


def _publickey(
    key: SigningKey, text: str, certificates: Sequence[PublicKey] = (), explicit: bool = False
) -> Iterator[Credential]:
    """The credentials of one key: its certificates first, as a server may take nothing else."""

    def credential(public: PublicKey, text: str) -> Credential:
        return Credential(
            "publickey",
            text,
            lambda auth, user, done, deadline: auth.start_publickey(user, key, public, done, deadline),
            explicit,
        )

    for certificate in certificates:
        if certificate.certifies(key.public.blob):
            yield credential(certificate, f"{text} with its certificate")
    yield credential(key.public, text)


def _agent_credential(key: AgentKey) -> Credential:
    text = f"agent key {key.comment or fingerprint(key.public.blob)}"
    if key.public.kind.endswith(CERTIFICATE):
        text += " (a certificate)"
    return next(_publickey(key, text))


def _belongs(key: PublicKey, named: PublicKey) -> bool:
    """Whether an agent's key is the named one, or a certificate of it."""
    return key.blob == named.blob or key.certifies(named.blob)


def _find_answer(answers: Answers | None, prompt: str) -> str | None:
    """Return the caller's answer to a prompt; None if there is none."""
    if answers is None:
        return None
    if not isinstance(answers, Mapping):
        answer = answers(prompt)
        if answer is not None and not isinstance(answer, str):
            raise ConfigError(f"answers: the function returned {type(answer).__name__} for {prompt!r}, not a string")
        return reveal(answer)
    for pattern, secret in answers.items():
        found = pattern in prompt
        if not found:
            with suppress(re.error):  # then it is only a part of the prompt
                found = re.search(pattern, prompt) is not None
        if found:
            return reveal(secret)
    return None
