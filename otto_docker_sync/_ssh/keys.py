"""Private keys of files, and certificates: read by cryptography's own loaders, signed with here.

An error names what the file is (its format, its cipher, its kind of key) and what to do. A wrong reason would be worse
than none.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from ..deadline import Deadline
from ..errors import ConfigError

CERTIFICATE = "-cert-v01@openssh.com"
_OPENSSH_MAGIC = b"openssh-key-v1\0"
_PUBLIC_KINDS = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-", "rsa-sha2-")
_RSA_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "rsa-sha2-512": hashes.SHA512,
    "rsa-sha2-256": hashes.SHA256,
    "ssh-rsa": hashes.SHA1,
}
_CURVE_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "ecdsa-sha2-nistp256": hashes.SHA256,
    "ecdsa-sha2-nistp384": hashes.SHA384,
    "ecdsa-sha2-nistp521": hashes.SHA512,
}


class NeedsPassphrase(Exception):
    """The file is encrypted, and there is no passphrase."""


class PublicKey(NamedTuple):
    """A public key or certificate, as it goes over the wire."""

    kind: str
    blob: bytes

    def certifies(self, key: bytes) -> bool:
        """Whether this is a certificate of the public key `key`."""
        kind, rest = take_string(key)
        if self.kind.encode() != kind + CERTIFICATE.encode():
            return False
        _, after_kind = take_string(self.blob)
        _, after_nonce = take_string(after_kind)
        return after_nonce.startswith(rest)


class SigningKey(Protocol):
    """A private key: one of a file, or of an ssh-agent."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, data: bytes, algorithm: str, deadline: Deadline, /) -> bytes:
        """Sign `data`, as SSH writes signatures down."""


class FileKey:
    """A private key read from a file."""

    def __init__(self, private: object) -> None:
        if not isinstance(private, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, Ed25519PrivateKey)):
            raise ConfigError(f"its kind of key ({type(private).__name__.strip('_')}) is not supported")
        self._private = private
        kind, text = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[:2]
        self.public = PublicKey(kind.decode(), base64.b64decode(text))

    def sign(self, data: bytes, algorithm: str, _deadline: Deadline) -> bytes:
        algorithm = algorithm.removesuffix(CERTIFICATE)
        private = self._private
        if isinstance(private, rsa.RSAPrivateKey):
            signature = private.sign(data, padding.PKCS1v15(), _RSA_HASHES[algorithm]())
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(private.sign(data, ec.ECDSA(_CURVE_HASHES[algorithm]())))
            signature = string(_mpint(r)) + string(_mpint(s))
        else:
            signature = private.sign(data)
        return string(algorithm.encode()) + string(signature)


def load_private_key(path: str, passphrase: Callable[[], str | None]) -> FileKey:
    """Read a private key. `passphrase` is called when the file turns out to be encrypted.

    Raises `NeedsPassphrase` when that returns None, `ConfigError` with the reason for a file that cannot be used.
    """
    data = _read(path)
    opening = data.lstrip()[:64]
    if opening.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----"):
        return _load_openssh(path, data, passphrase)
    if opening.startswith(b"-----BEGIN ") and b"PRIVATE KEY-----" in opening:
        return _load_pem(path, data, passphrase)
    raise _wrong(path, _describe(path, opening))


def read_public_key(path: str) -> PublicKey | None:
    """The public key that belongs to `path`: its own text, its ``.pub`` file, or what an OpenSSH private key shows."""
    for name in (path, f"{path}.pub"):
        try:
            data = _read(name)
        except ConfigError:
            continue
        if public := _parse_public(data):
            return public
        if b"-----BEGIN OPENSSH PRIVATE KEY-----" in data:
            try:
                blob = _openssh_header(path, data)[1]
                return PublicKey(take_string(blob)[0].decode(), blob)
            except (ConfigError, ValueError):
                continue
    return None


def read_certificate(path: str) -> PublicKey | None:
    """Return the certificate in a file such as ``id_ed25519-cert.pub``; None if there is none."""
    try:
        public = _parse_public(_read(path))
    except ConfigError:
        return None
    return public if public and public.kind.endswith(CERTIFICATE) else None


def string(data: bytes) -> bytes:
    """Bytes as SSH writes them down: their length, then they."""
    return struct.pack(">I", len(data)) + data


def _load_openssh(path: str, data: bytes, passphrase: Callable[[], str | None]) -> FileKey:
    cipher, public = _openssh_header(path, data)
    kind = take_string(public)[0].decode(errors="replace")
    if kind.startswith("sk-"):
        raise _wrong(path, f"it is a key of a security token ({kind}): add it to your ssh-agent")
    if kind == "ssh-dss":
        raise _wrong(path, "it is a DSA key, which servers no longer accept: make a new one (ssh-keygen -t ed25519)")
    encrypted = cipher != "none"
    try:
        return FileKey(load_ssh_private_key(data, _ask(passphrase) if encrypted else None))
    except NeedsPassphrase:
        raise
    except UnsupportedAlgorithm:
        if encrypted:
            advice = f"ssh-keygen -p -Z aes256-ctr -f {path}"
            reason = f"its cipher {cipher} is not supported; write it anew with another: {advice}"
        else:
            reason = f"its kind of key ({kind}) is not supported"
        raise _wrong(path, reason) from None
    except Exception as error:  # cryptography has no common root for what it finds wrong with a file
        # Not chained: a report that shows the variables of each frame would show cryptography's, the passphrase too.
        raise _wrong(path, "the passphrase is wrong" if encrypted else f"it is damaged ({error})") from None


def _load_pem(path: str, data: bytes, passphrase: Callable[[], str | None]) -> FileKey:
    encrypted = b"ENCRYPTED" in data
    try:
        return FileKey(load_pem_private_key(data, _ask(passphrase) if encrypted else None))
    except NeedsPassphrase:
        raise
    except ConfigError as error:
        raise _wrong(path, str(error)) from None
    except UnsupportedAlgorithm as error:
        raise _wrong(path, f"its format is not supported ({error}); write it anew: ssh-keygen -p -f {path}") from None
    except Exception as error:  # as above
        if b"BEGIN DSA PRIVATE KEY" in data:
            reason = "it is a DSA key, which servers no longer accept: make a new one (ssh-keygen -t ed25519)"
        elif encrypted:
            reason = "the passphrase is wrong"
        else:
            reason = f"it is damaged ({error})"
        raise _wrong(path, reason) from None  # as above


def _ask(passphrase: Callable[[], str | None]) -> bytes:
    text = passphrase()
    if text is None:
        raise NeedsPassphrase
    return text.encode()


def _openssh_header(path: str, data: bytes) -> tuple[str, bytes]:
    """The cipher and the public key, which the file of an OpenSSH private key shows without a passphrase."""
    try:
        body = data.partition(b"-----BEGIN OPENSSH PRIVATE KEY-----")[2].partition(b"-----END")[0]
        raw = base64.b64decode(b"".join(body.split()), validate=True)
        if not raw.startswith(_OPENSSH_MAGIC):
            raise ValueError("it does not begin as one")
        cipher, rest = take_string(raw[len(_OPENSSH_MAGIC) :])
        _, rest = take_string(rest)  # how the key is derived from the passphrase
        _, rest = take_string(rest)
        public, _ = take_string(rest[4:])  # after the number of keys, which is always 1
    except (binascii.Error, ValueError) as error:
        raise _wrong(path, f"it is damaged ({error})") from error
    return cipher.decode(errors="replace"), public


def _describe(path: str, opening: bytes) -> str:
    if opening.startswith(b"PuTTY-User-Key-File-"):
        return f"it is a PuTTY key; convert it: puttygen {path} -O private-openssh -o {path}.openssh"
    if opening.startswith((b"---- BEGIN SSH2 PUBLIC KEY", b"-----BEGIN PUBLIC KEY")):
        return "it is a public key: pass the file of the private one"
    if opening.startswith(tuple(kind.encode() for kind in _PUBLIC_KINDS)):
        return "it is a public key, and the ssh-agent does not hold its private key"
    if opening.startswith(b"-----BEGIN CERTIFICATE"):
        return "it is a TLS certificate"
    return "it is not a private key in OpenSSH or PEM format"


def _wrong(path: str, reason: str) -> ConfigError:
    return ConfigError(f"identity_file {path} cannot be used as a private key: {reason}")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise ConfigError(f"identity_file {path} cannot be read: {error.strerror}") from error


def _parse_public(data: bytes) -> PublicKey | None:
    words = data.split(None, 2)
    if len(words) < 2 or not words[0].startswith(tuple(kind.encode() for kind in _PUBLIC_KINDS)):
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
        return PublicKey(words[0].decode(), blob) if take_string(blob)[0] == words[0] else None
    except (binascii.Error, ValueError):
        return None


def take_string(data: bytes) -> tuple[bytes, bytes]:
    """Return the string at the start of `data`, and the rest. Raises `ValueError` if it is cut."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise ValueError("it ends too early")
    return data[4 : 4 + size], data[4 + size :]


def _mpint(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")
