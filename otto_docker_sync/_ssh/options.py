"""The options of a host that is reached over SSH. Importing this imports no Paramiko."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Union

from ..arguments import check_choice, check_count, check_flag, check_seconds
from ..errors import ConfigError
from ..secret import Secret, register_secret

StrPath = Union[str, "os.PathLike[str]"]
HostKeyPolicy = Literal["reject", "accept-new", "ignore"]
Answers = Union[Mapping[str, Secret], Callable[[str], Union[str, None]]]
"""What answers prompts of a login: answers by prompt, or a function from prompt to answer."""


@dataclass(frozen=True)
class SSHOptions:
    """How to reach a host over SSH. What is None is taken from ``config_file``, else from OpenSSH's own defaults.

    >>> SSHOptions(identity_file="~/.ssh/lab", host_key_policy="accept-new").allow_agent
    True
    """

    identity_file: StrPath | None = None
    """The key to log in with: a private key, or a public key whose private part the ssh-agent holds. Without one, and
    none in the config file, the usual keys of ``~/.ssh`` are tried."""
    passphrase: Secret = field(default=None, repr=False)
    """What decrypts the private key, or a function that returns it."""
    allow_agent: bool = True
    """Whether the keys of a running ssh-agent are tried, after the private key and the password."""
    look_for_keys: bool = True
    """Whether the usual keys of ``~/.ssh`` are tried where neither ``identity_file`` nor the config file names one."""
    known_hosts: StrPath | None = None
    """The only file of known host keys, in place of the usual ones."""
    host_key_policy: HostKeyPolicy | None = None
    """What to do about an unknown host key: "reject" it (the default), or "accept-new" to write it down. "ignore"
    checks nothing."""
    config_file: StrPath | None = None
    """An ssh_config to read in place of ``~/.ssh/config`` and ``/etc/ssh/ssh_config``; "" reads none."""
    connect_timeout: float | None = None
    """Time limit in seconds for all of connecting: TCP, key exchange and authentication. 15 by default."""
    keepalive_interval: float | None = None
    """Seconds of silence after which the host is asked for a sign of life; the connection is lost after three times
    that. 15 by default."""
    max_connections: int = 32
    """The most connections to open to the host when one does not carry all sessions."""
    answers: Answers | None = field(default=None, repr=False, hash=False)
    """Answers to what the server asks besides the password, say a one-time code. A mapping has a part of the prompt, or
    a regular expression, and the answer or a function that returns it; a function gets the prompt and returns the
    answer. If there is none, a hidden prompt gets the password and a visible one an empty answer."""
    legacy: bool = False
    """Whether algorithms that OpenSSH has given up are allowed: signatures and key exchanges with SHA-1, CBC ciphers,
    MD5. For old devices only. Paramiko 5 has no SHA-1 any more; they need ``pip install "paramiko<5"``."""

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "keepalive_interval"):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name))
        check_count("max_connections", self.max_connections, minimum=1)
        if self.host_key_policy is not None:
            check_choice("host_key_policy", self.host_key_policy, ("reject", "accept-new", "ignore"))
        for name in ("allow_agent", "look_for_keys", "legacy"):
            check_flag(name, getattr(self, name))
        if self.answers is not None and not (isinstance(self.answers, Mapping) or callable(self.answers)):
            raise ConfigError("answers: pass a mapping from prompt to answer, or a function that gets the prompt")
        for name in ("identity_file", "known_hosts", "config_file"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, (str, os.PathLike)):
                raise ConfigError(f"{name}={value!r}: pass a path")
        if self.passphrase is not None and not (isinstance(self.passphrase, str) or callable(self.passphrase)):
            raise ConfigError("passphrase: pass a string, or a function that returns one")
        register_secret(self.passphrase)
        if isinstance(self.answers, Mapping):
            for answer in self.answers.values():
                register_secret(answer)
