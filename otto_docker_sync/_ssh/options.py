"""The options of a host that is reached over SSH. Importing this imports no Paramiko."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Literal, Union

from ..errors import ConfigError
from ..secret import Secret, register_secret

StrPath = Union[str, "os.PathLike[str]"]
HostKeyPolicy = Literal["reject", "accept-new", "ignore"]


@dataclass(frozen=True)
class SSHOptions:
    """How to reach a host over SSH. What is None is taken from ``config_file``, else from OpenSSH's own defaults.

    >>> SSHOptions(identity_file="~/.ssh/lab", host_key_policy="accept-new").allow_agent
    True
    """

    identity_file: StrPath | None = None
    """The private key to use. Without one, and none in the config file, the usual keys of ``~/.ssh`` are tried."""
    passphrase: Secret = field(default=None, repr=False)
    """What decrypts the private key, or a call that returns it."""
    allow_agent: bool = True
    """Whether the keys of a running ssh-agent are tried, after the private key and the password."""
    known_hosts: StrPath | None = None
    """The only file of known host keys, in place of the usual ones."""
    host_key_policy: HostKeyPolicy | None = None
    """An unknown host key: "reject" (the default), or "accept-new" to write it down. "ignore" checks nothing."""
    config_file: StrPath | None = None
    """An ssh_config to read in place of ``~/.ssh/config``; "" reads none."""
    connect_timeout: float | None = None
    """Seconds for all of connecting: TCP, key exchange and authentication. 15 by default."""
    keepalive_interval: float | None = None
    """Seconds of silence until the far end is asked for a sign of life; it is dead after three times that. 15 by
    default."""
    max_connections: int = 32
    """Connections to open to the host when one does not carry all sessions."""

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "keepalive_interval"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigError(f"{name}={value!r}: give seconds, more than 0")
        if isinstance(self.max_connections, bool) or not isinstance(self.max_connections, int):
            raise ConfigError(f"max_connections={self.max_connections!r}: give a whole number")
        if self.max_connections < 1:
            raise ConfigError(f"max_connections={self.max_connections}: at least 1 is needed")
        if self.host_key_policy not in (None, "reject", "accept-new", "ignore"):
            raise ConfigError(f'host_key_policy={self.host_key_policy!r}: give "reject", "accept-new" or "ignore"')
        if not isinstance(self.allow_agent, bool):
            raise ConfigError(f"allow_agent={self.allow_agent!r}: give True or False")
        for name in ("identity_file", "known_hosts", "config_file"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, (str, os.PathLike)):
                raise ConfigError(f"{name}={value!r}: give a path")
        if self.passphrase is not None and not (isinstance(self.passphrase, str) or callable(self.passphrase)):
            raise ConfigError("passphrase: give a text, or a call that returns one")
        register_secret(self.passphrase)
