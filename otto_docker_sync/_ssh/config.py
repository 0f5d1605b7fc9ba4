"""What is needed to reach a host over SSH: the caller's options, completed by what ssh_config says.

Which keyword is honoured, ignored or refused is a table in docs/howto/connect.rst.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from ..deadline import Deadline
from ..errors import ConfigError
from ..limits import CONNECT_TIMEOUT, KEEPALIVE_COUNT, KEEPALIVE_INTERVAL
from .options import HostKeyPolicy, SSHOptions
from .ssh_config import Settings, read_settings

_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_DEFAULT_USER_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_DEFAULT_GLOBAL_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_STRICT: dict[str, HostKeyPolicy] = {
    "yes": "reject",
    "true": "reject",
    "ask": "reject",
    "accept-new": "accept-new",
    "no": "ignore",
    "false": "ignore",
    "off": "ignore",
}
_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
# The kinds of algorithm, as ssh_config names them and as Paramiko does.
_ALGORITHMS = {
    "kexalgorithms": "kex",
    "ciphers": "ciphers",
    "macs": "macs",
    "hostkeyalgorithms": "keys",
    "pubkeyacceptedalgorithms": "pubkeys",
}
# Keywords that change where or how one connects, and that nothing here can do: going on without them would lead to the
# wrong place, or past a check that the user wants.
_REFUSED = {
    "bindinterface": "set the interface's address as BindAddress",
    "proxyusefdpass": "use a ProxyCommand that carries the connection itself",
    "revokedhostkeys": "write the keys as @revoked lines into a known_hosts file",
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
    host_key_alias: str
    identity_files: tuple[str, ...]
    explicit_identity: bool
    """Whether the identity file is an argument of the caller's: then it must be usable."""
    certificate_files: tuple[str, ...]
    agent_socket: str
    """The ssh-agent to ask; "" asks none."""
    identities_only: bool
    """Whether of the agent's keys only those count that an identity file or a certificate names."""
    methods: tuple[str, ...]
    """PreferredAuthentications: the methods to use, in order; empty is our own order."""
    known_hosts: tuple[str, ...]
    """The user's files; a new key is added to the first."""
    global_known_hosts: tuple[str, ...]
    hash_known_hosts: bool
    host_key_policy: HostKeyPolicy
    connect_timeout: float
    keepalive_interval: float
    keepalive_count: int
    jumps: tuple[Jump, ...]
    proxy_command: str | None
    bind_address: str
    family: int
    compression: bool
    algorithms: Mapping[str, tuple[str, ...]]
    """The algorithms that a file names, by Paramiko's word for their kind; without an entry, our own choice counts."""
    legacy: bool
    login_remark: str = ""
    """What an error about a refused login says in addition."""
    host_key_remark: str = ""
    """What an error about an unknown host key says in addition."""
    keyscan_on: str = ""
    """The command that logs in to the hop: only there can ``ssh-keyscan`` ask this host. Empty without a hop."""


def resolve(
    host: str,
    port: int | None,
    user: str | None,
    options: SSHOptions,
    deadline: Deadline,
    prefer_file_identity: bool = False,
) -> Target:
    """Complete what the caller said about `host` with what ssh_config and OpenSSH's defaults say.

    With `prefer_file_identity`, an IdentityFile beats ``options.identity_file``: for a jump host, which the options of
    the host behind it are not meant for. Raises `ConfigError`, or `DeadlineExpired` when a ``Match exec`` does not end.
    """
    settings = read_settings(host, port, user, options.config_file, deadline)
    for keyword, advice in _REFUSED.items():
        if settings.text(keyword).lower() not in ("", "none", "no", "false"):
            raise ConfigError(f"{keyword} of {host} in ssh_config is not supported: {advice}")
    tokens = _Tokens(
        host=host,
        name=settings.text("hostname") or host,
        port=port if port is not None else _port(settings.text("port") or "22", host),
        user=user or settings.text("user") or _local_user(),
        settings=settings,
    )
    named = _named_identities(settings, tokens)
    explicit = options.identity_file
    if explicit is not None and named and prefer_file_identity:
        explicit = None
    return Target(
        host=tokens.name,
        port=tokens.port,
        user=tokens.user,
        host_key_alias=settings.text("hostkeyalias"),
        identity_files=_identities(settings, named, explicit, look_for_keys=options.look_for_keys),
        explicit_identity=explicit is not None,
        certificate_files=tuple(
            tokens.path(value) for value in settings.lines("certificatefile") if value.lower() != "none"
        ),
        agent_socket=_agent_socket(settings, options, tokens),
        identities_only=settings.is_yes("identitiesonly"),
        methods=_methods(settings),
        known_hosts=_user_known_hosts(settings, options, tokens),
        global_known_hosts=_global_known_hosts(settings, options),
        hash_known_hosts=settings.is_yes("hashknownhosts"),
        host_key_policy=options.host_key_policy or _policy(settings.text("stricthostkeychecking"), host),
        connect_timeout=options.connect_timeout or settings.seconds("connecttimeout") or CONNECT_TIMEOUT,
        keepalive_interval=options.keepalive_interval or settings.seconds("serveraliveinterval") or KEEPALIVE_INTERVAL,
        keepalive_count=int(settings.seconds("serveralivecountmax") or KEEPALIVE_COUNT),
        jumps=_jumps(tokens.expand(settings.text("proxyjump"), "hnpr"), host),
        proxy_command=_proxy_command(settings, tokens),
        bind_address="" if settings.text("bindaddress").lower() == "none" else settings.text("bindaddress"),
        family=_FAMILIES.get(settings.text("addressfamily").lower(), socket.AF_UNSPEC),
        compression=settings.is_yes("compression"),
        algorithms={
            kind: tuple(settings.text(keyword).split(","))
            for keyword, kind in _ALGORITHMS.items()
            if settings.text(keyword) and settings.changed(keyword)
        },
        legacy=options.legacy,
        login_remark=_login_remark(settings),
        host_key_remark=_host_key_remark(settings),
    )


class _Tokens:
    """Expands what ``ssh -G`` leaves to its reader: tokens such as %h, variables such as ${HOME}, and ~."""

    def __init__(self, host: str, name: str, port: int, user: str, settings: Settings) -> None:
        self.name = name
        self.port = port
        self.user = user
        self._host = host
        self._settings = settings

    def expand(self, text: str, allowed: str = "CdhijkLlnpru") -> str:
        """Expand the tokens that the keyword may have. Raises `ConfigError` for another one."""

        def value(match: re.Match[str]) -> str:
            token = match[1]
            if token == "%":
                return "%"
            if token and token in allowed:
                return self._value(token)
            raise ConfigError(f"%{token} in {text!r}, in ssh_config for {self._host}, is not a token of that keyword")

        return re.sub("%(.?)", value, text)

    def path(self, text: str) -> str:
        """Expand a file name: variables, tokens, and ~ at its start."""

        def variable(match: re.Match[str]) -> str:
            if match[1] in os.environ:
                return os.environ[match[1]]
            raise ConfigError(f"{text!r}, in ssh_config for {self._host}: the variable {match[1]} is not set")

        # The value of a variable or token is not expanded again.
        parts = re.split(r"(\$\{\w+\})", text)
        expanded = "".join(
            re.sub(r"\$\{(\w+)\}", variable, part) if part.startswith("${") else self.expand(part) for part in parts
        )
        return os.path.expanduser(expanded)

    def _value(self, token: str) -> str:
        hostname = socket.gethostname()
        jump = self._settings.text("proxyjump")
        return {
            "C": hashlib.sha1(f"{hostname}{self.name}{self.port}{self.user}{jump}".encode()).hexdigest,
            "d": lambda: os.path.expanduser("~"),
            "h": lambda: self.name,
            "i": lambda: str(os.getuid()),
            "j": lambda: jump,
            "k": lambda: self._settings.text("hostkeyalias") or self._host,
            "L": lambda: hostname.partition(".")[0],
            "l": lambda: hostname,
            "n": lambda: self._host,
            "p": lambda: str(self.port),
            "r": lambda: self.user,
            "u": _local_user,
        }[token]()


def _named_identities(settings: Settings, tokens: _Tokens) -> list[str]:
    """The IdentityFiles that a file names; OpenSSH also prints its defaults where none does."""
    if not settings.changed("identityfile"):
        return []
    return [value if value.lower() == "none" else tokens.path(value) for value in settings.lines("identityfile")]


def _identities(
    settings: Settings, named: list[str], explicit: str | os.PathLike[str] | None, *, look_for_keys: bool
) -> tuple[str, ...]:
    if explicit is not None:
        return (os.path.expanduser(os.fspath(explicit)),)
    if settings.is_no("pubkeyauthentication"):
        return ()
    if named:
        return tuple(path for path in named if path.lower() != "none")
    usual = _DEFAULT_KEYS if look_for_keys else ()
    return tuple(path for path in map(os.path.expanduser, usual) if os.path.exists(path))


def _agent_socket(settings: Settings, options: SSHOptions, tokens: _Tokens) -> str:
    named = settings.text("identityagent")
    if not options.allow_agent or named.lower() == "none" or settings.is_no("pubkeyauthentication"):
        return ""
    if not named or named == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK", "")
    if named.startswith("$") and not named.startswith("${"):
        return os.environ.get(named[1:], "")
    return tokens.path(named)


def _methods(settings: Settings) -> tuple[str, ...]:
    named = settings.text("preferredauthentications")
    return tuple(named.split(",")) if named and settings.changed("preferredauthentications") else ()


def _user_known_hosts(settings: Settings, options: SSHOptions, tokens: _Tokens) -> tuple[str, ...]:
    if options.known_hosts is not None:
        return (os.path.expanduser(os.fspath(options.known_hosts)),)
    named = settings.text("userknownhostsfile")
    if named.lower() == "none":
        return ()
    if not named or not settings.changed("userknownhostsfile"):
        return tuple(map(os.path.expanduser, _DEFAULT_USER_HOSTS))
    return tuple(tokens.path(name) for name in _split_paths(named))


def _global_known_hosts(settings: Settings, options: SSHOptions) -> tuple[str, ...]:
    if options.known_hosts is not None:
        return ()
    named = settings.text("globalknownhostsfile")
    if named.lower() == "none":
        return ()
    return tuple(_split_paths(named)) if named else _DEFAULT_GLOBAL_HOSTS


def _split_paths(text: str) -> list[str]:
    """Split a list of file names. It comes without quotes, so a name with a space in it is known by its existence."""
    words = text.split()
    names = []
    while words:
        size = next((size for size in range(len(words), 1, -1) if os.path.exists(" ".join(words[:size]))), 1)
        names.append(" ".join(words[:size]))
        del words[:size]
    return names


def _policy(text: str, host: str) -> HostKeyPolicy:
    if not text:
        return "reject"
    try:
        return _STRICT[text.lower()]
    except KeyError:
        choices = "yes, ask, accept-new, no, off"
        raise ConfigError(f"StrictHostKeyChecking {text!r} of {host} is not one of {choices}") from None


def _port(text: str, host: str) -> int:
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ConfigError(f"port {text!r} of {host} is not a number from 1 to 65535")


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError("user=: pass the name to log in with; this process's own user has none") from None


def _jumps(text: str, host: str) -> tuple[Jump, ...]:
    if not text or text.lower() == "none":
        return ()
    jumps = []
    for item in text.split(","):
        # The last @ divides: a user of a directory service may have one in the name.
        match = re.fullmatch(r"(?:ssh://)?(?:(\S+)@)?(\[[^\]\s@]+\]|[^:\s@]+)(?::(\d+))?/?", item.strip())
        if not match:
            raise ConfigError(f"ProxyJump {text!r} of {host}: {item!r} is not [user@]host[:port]")
        user, name, port = match.groups()
        jumps.append(Jump(name.strip("[]"), user, _port(port, name) if port else None))
    return tuple(jumps)


def _proxy_command(settings: Settings, tokens: _Tokens) -> str | None:
    """The command, with its tokens expanded. Everything else in it, ~ and variables too, is for the shell to read."""
    command = settings.text("proxycommand")
    if not command or command.lower() == "none":
        return None
    return tokens.expand(command, "hnpr")


def _login_remark(settings: Settings) -> str:
    provider = settings.text("pkcs11provider")
    if not provider or provider.lower() == "none":
        return ""
    return f" Keys of PKCS11Provider are not used; add them to your ssh-agent: ssh-add -s {provider}."


def _host_key_remark(settings: Settings) -> str:
    command = settings.text("knownhostscommand")
    return " KnownHostsCommand of ssh_config is not run." if command and command.lower() != "none" else ""
