"""What is needed to reach a host over SSH: the caller's options, completed by ``~/.ssh/config``."""

from __future__ import annotations

import getpass
import glob
import io
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

import paramiko

from ..errors import ConfigError
from .options import HostKeyPolicy, SSHOptions, StrPath

CONNECT_TIMEOUT = 15.0
KEEPALIVE_INTERVAL = 15.0

_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_DEFAULT_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")
_STRICT: dict[str, HostKeyPolicy] = {
    "yes": "reject",
    "ask": "reject",
    "accept-new": "accept-new",
    "no": "ignore",
    "off": "ignore",
}


@dataclass(frozen=True)
class Jump:
    """One host of a ProxyJump."""

    host: str
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class Target:
    """All that is needed to connect to a host, with nothing left open."""

    host: str
    port: int
    user: str
    known_as: str
    identity_files: tuple[str, ...]
    explicit_identity: bool
    allow_agent: bool
    known_hosts: tuple[str, ...]
    host_key_policy: HostKeyPolicy
    connect_timeout: float
    keepalive_interval: float
    jumps: tuple[Jump, ...] = ()
    proxy_command: str | None = None


def resolve(host: str, port: int | None, user: str | None, options: SSHOptions) -> Target:
    """Complete what the caller said about `host` with what the config file and OpenSSH's defaults say."""
    says = _lookup(host, options.config_file)
    named = [os.path.expanduser(name) for name in cast("list[str]", says.get("identityfile", []))]
    identities = [name for name in named if name.lower() != "none"]
    if options.identity_file is not None:
        identities = [os.path.expanduser(os.fspath(options.identity_file))]
    only_these = _text(says, "identitiesonly").lower() == "yes"
    if not named and not identities and not only_these:
        identities = [name for name in map(os.path.expanduser, _DEFAULT_KEYS) if os.path.exists(name)]
    hostname = _text(says, "hostname") or host
    return Target(
        host=hostname,
        port=port if port is not None else _port(_text(says, "port") or "22", host),
        user=user or _text(says, "user") or _local_user(),
        known_as=_text(says, "hostkeyalias"),
        identity_files=tuple(identities),
        explicit_identity=options.identity_file is not None,
        allow_agent=options.allow_agent and not only_these,
        known_hosts=_known_hosts(says, options),
        host_key_policy=options.host_key_policy or _policy(_text(says, "stricthostkeychecking"), host),
        connect_timeout=options.connect_timeout or _seconds(says, "connecttimeout") or CONNECT_TIMEOUT,
        keepalive_interval=options.keepalive_interval or _seconds(says, "serveraliveinterval") or KEEPALIVE_INTERVAL,
        jumps=_jumps(_text(says, "proxyjump"), host),
        proxy_command=_text(says, "proxycommand") or None,
    )


def names_identity_file(host: str, options: SSHOptions) -> bool:
    """Whether the config file names a private key for `host`."""
    return "identityfile" in _lookup(host, options.config_file)


def _text(says: dict[str, object], key: str) -> str:
    value = says.get(key)
    return value.strip() if isinstance(value, str) else ""


def _seconds(says: dict[str, object], key: str) -> float | None:
    value = _text(says, key)
    return float(value) if value.isdigit() else None


def _port(text: str, host: str) -> int:
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ConfigError(f"port {text!r} of {host}: give a number from 1 to 65535")


def _policy(text: str, host: str) -> HostKeyPolicy:
    if not text:
        return "reject"
    try:
        return _STRICT[text.lower()]
    except KeyError:
        raise ConfigError(f"StrictHostKeyChecking {text!r} of {host}: give one of {', '.join(_STRICT)}") from None


def _known_hosts(says: dict[str, object], options: SSHOptions) -> tuple[str, ...]:
    if options.known_hosts is not None:
        return (os.path.expanduser(os.fspath(options.known_hosts)),)
    named = _text(says, "userknownhostsfile")
    if named.lower() == "none":
        return ()
    return tuple(map(os.path.expanduser, shlex.split(named) if named else _DEFAULT_KNOWN_HOSTS))


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError("user=: give the name to log in with; this process's own user has none") from None


def _jumps(text: str, host: str) -> tuple[Jump, ...]:
    if not text or text.lower() == "none":
        return ()
    jumps = []
    for item in text.split(","):
        match = re.fullmatch(r"(?:ssh://)?(?:([^@\s]+)@)?(\[[^\]\s]+\]|[^:\s]+)(?::(\d+))?/?", item.strip())
        if not match:
            raise ConfigError(f"ProxyJump {text!r} of {host}: {item!r} is not [user@]host[:port]")
        user, name, port = match.groups()
        jumps.append(Jump(name.strip("[]"), user, _port(port, name) if port else None))
    return tuple(jumps)


def _lookup(host: str, config_file: StrPath | None) -> dict[str, object]:
    path = os.path.expanduser("~/.ssh/config" if config_file is None else os.fspath(config_file))
    if not path or (config_file is None and not os.path.exists(path)):
        return {}
    config = paramiko.SSHConfig()
    try:
        config.parse(io.StringIO("\n".join(_lines(path, host, 0))))
        return dict(config.lookup(host))
    except (paramiko.SSHException, ImportError, ValueError, KeyError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} cannot be used for {host}: {error}") from error


def _lines(path: str, host: str, depth: int) -> Iterator[str]:
    """The lines of an ssh_config with its Includes in place: Paramiko does not know them."""
    if depth > 16:
        raise ConfigError(f"{path}: Include goes deeper than 16 files")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines: Sequence[str] = file.read().splitlines()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    block, applies = "Host *", True
    for line in lines:
        keyword, value = _keyword(line)
        if keyword == "include":
            for pattern in shlex.split(value) if applies else ():
                for name in sorted(glob.glob(os.path.join(os.path.expanduser("~/.ssh"), os.path.expanduser(pattern)))):
                    yield from _lines(name, host, depth + 1)
            yield block
            continue
        if keyword in ("host", "match"):
            block, applies = line, keyword == "match" or _matches(value, host)
        yield line


def _keyword(line: str) -> tuple[str, str]:
    match = re.match(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)", line)
    return (match[1].lower(), match[2]) if match else ("", "")


def _matches(patterns: str, host: str) -> bool:
    found = False
    for pattern in patterns.replace('"', "").split():
        if pattern.startswith("!") and fnmatchcase(host, pattern[1:]):
            return False
        found = found or fnmatchcase(host, pattern)
    return found
