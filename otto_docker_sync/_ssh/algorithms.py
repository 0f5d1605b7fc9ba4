"""Which algorithms a connection may use: our choice, the file's, and with ``legacy`` what OpenSSH has given up."""

from __future__ import annotations

from ..errors import ConfigError
from .config import Target
from .transport import Transport

# In the order of preference. AES-GCM comes first, as it encrypts and authenticates in one step: it is the fastest.
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")

# Paramiko below 5 still offers these. SHA-1 can no longer be trusted to tell two texts apart, so neither a host key nor
# a key exchange that rests on it proves anything; CBC and MD5 have been broken in other ways.
LEGACY = frozenset(
    {
        "ssh-rsa",
        "diffie-hellman-group1-sha1",
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group-exchange-sha1",
        "aes128-cbc",
        "aes192-cbc",
        "aes256-cbc",
        "3des-cbc",
        "hmac-md5",
        "hmac-md5-96",
        "hmac-sha1-96",
    }
)

_KEYWORDS = {
    "kex": "KexAlgorithms",
    "ciphers": "Ciphers",
    "macs": "MACs",
    "keys": "HostKeyAlgorithms",
    "pubkeys": "PubkeyAcceptedAlgorithms",
}


def choose_algorithms(transport: Transport, target: Target) -> None:
    """Set what `transport` offers. Raises `ConfigError` when a file names nothing that Paramiko has.

    A file that names an old algorithm, such as ``KexAlgorithms +diffie-hellman-group14-sha1``, allows it: somebody has
    written it there for this host.
    """
    for kind in _KEYWORDS:
        attribute = f"_preferred_{kind}"
        available: tuple[str, ...] = getattr(transport, attribute)
        named = target.algorithms.get(kind)
        if named is not None:
            chosen = tuple(name for name in named if name in available)
            if not chosen:
                raise ConfigError(
                    f"{_KEYWORDS[kind]} in ssh_config for {target.host} names nothing that Paramiko has:"
                    f" it has {', '.join(available)}"
                )
        elif kind == "ciphers":
            old = [name for name in available if name in LEGACY and target.legacy]
            chosen = tuple(name for name in (*CIPHERS, *old) if name in available)
        else:
            chosen = tuple(name for name in available if target.legacy or name not in LEGACY)
        setattr(transport, attribute, chosen)
    if target.compression:
        transport.use_compression(compress=True)
