"""OpenSSH's known_hosts files: which keys a host is known by, and writing down a new one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from ..errors import ConfigError


class KnownKey(NamedTuple):
    """One line of a known_hosts file that names the host asked for."""

    kind: str
    blob: bytes
    where: str
    revoked: bool = False
    authority: bool = False


def known_hosts_name(host: str, port: int) -> str:
    """The name under which known_hosts holds a host.

    >>> known_hosts_name("carrot", 2222)
    '[carrot]:2222'
    """
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def fingerprint(blob: bytes) -> str:
    """The fingerprint of a public key as ``ssh-keygen -l`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def known_keys(files: Iterable[str], name: str) -> list[KnownKey]:
    """The keys that `files` hold for `name`, in their order. A file that is not there holds none."""
    return [key for path in files for key in _keys_in(path, name)]


def add_key(path: str, name: str, kind: str, blob: bytes, hashed: bool = False) -> None:
    """Append a host's key to the file `path`, made with mode 0600 where it is not there. Raises `OSError`.

    With `hashed`, the name is written so that nobody can read it, as HashKnownHosts demands.
    """
    if hashed:
        salt = os.urandom(20)
        name = "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, _digest(salt, name)))
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    line = f"{name} {kind} {base64.b64encode(blob).decode()}\n".encode()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)


def _keys_in(path: str, name: str) -> Iterator[KnownKey]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"the known hosts in {path} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or not _names(words[0], name):
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield KnownKey(words[1], blob, f"{path} line {number}", marker == "@revoked", marker == "@cert-authority")


def _names(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        return _hashed(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        if pattern.startswith("!") and _like(name, pattern[1:]):
            return False
        found = found or _like(name, pattern)
    return found


def _like(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _hashed(pattern: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in pattern.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(_digest(salt, name), digest)


def _digest(salt: bytes, name: str) -> bytes:
    return hmac.new(salt, name.encode(), "sha1").digest()
