"""Proving who the server is: by its host key, which known_hosts must hold."""

from __future__ import annotations

import shlex

from ..errors import HostKeyError
from .config import Target
from .known_hosts import KnownKey, add_key, fingerprint, known_hosts_name, known_keys
from .transport import Transport

# A server proves an RSA key with one of several algorithms; all of them belong to this one kind of key.
_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


def prefer_known_keys(transport: Transport, target: Target) -> None:
    """Ask the server for a key of a kind that known_hosts holds, when it has several.

    Otherwise the server would show the kind that we like best, and that one may be unknown.
    """
    if target.host_key_policy == "ignore":
        return
    kinds = [key.kind for key in _find_known_keys(target)[1] if not key.revoked and not key.authority]
    known = {name for kind in kinds for name in (_RSA_ALGORITHMS if kind == "ssh-rsa" else (kind,))}
    possible = list(transport._preferred_keys)
    transport._preferred_keys = tuple(sorted(possible, key=lambda name: (name not in known, possible.index(name))))


def check_host_key(transport: Transport, target: Target, where: str) -> None:
    """Raise `HostKeyError` unless the server's key is the known one, or may be written down as new.

    The order of the checks matters: a revoked key is refused even where it is also known; a key that differs from a
    known one is refused even with accept-new, or anybody in the middle could replace it.
    """
    if target.host_key_policy == "ignore":
        return
    key = transport.get_remote_server_key()
    kind, blob = key.get_name(), key.asbytes()
    shown = f"{where}: its {kind} key {fingerprint(blob)}"
    name, known = _find_known_keys(target)
    for entry in known:
        if entry.revoked and entry.blob == blob:
            raise HostKeyError(f"{shown} is marked as revoked in {entry.where}. Do not connect; ask who runs the host.")
    # A host may have several keys, so one that is equal is enough. The key of an authority signs other keys: it is
    # never the host's own.
    if any(entry.blob == blob and not entry.authority for entry in known):
        return
    file = target.known_hosts[0] if target.known_hosts else "~/.ssh/known_hosts"
    port = f"-p {target.port} " if target.port != 22 else ""
    on_hop = f"{target.keyscan_on} " if target.keyscan_on else ""
    scan = f"{on_hop}ssh-keyscan {port}{shlex.quote(target.host)} >> {shlex.quote(file)}"
    others = [entry for entry in known if not entry.revoked and not entry.authority]
    if others:
        other = next((entry for entry in others if entry.kind == kind), others[0])
        raise HostKeyError(
            f"{shown} is not the one in {other.where} ({other.kind} {fingerprint(other.blob)}). Either the host was"
            f" set up anew, or somebody else answers in its place. When you know that it is the right one, run:"
            f" ssh-keygen -R {shlex.quote(name)} -f {shlex.quote(file)} && {scan}"
        )
    if target.host_key_policy == "accept-new":
        _add_new_key(target, name, kind, blob, file, shown)
        return
    files = ", ".join(target.known_hosts + target.global_known_hosts) or "any file (UserKnownHostsFile is none)"
    authority = " A @cert-authority line does not count: certificates of hosts are not checked." if known else ""
    raise HostKeyError(
        f"{shown} (known_hosts name {name}) is not in {files}.{authority}{target.host_key_remark} When you know that it"
        f' is the right one, run: {scan} or use host_key_policy="accept-new".'
    )


def _add_new_key(target: Target, name: str, kind: str, blob: bytes, file: str, shown: str) -> None:
    if not target.known_hosts:
        raise HostKeyError(f"{shown} is new, and there is no file to write it to: UserKnownHostsFile is none")
    try:
        add_key(file, name, kind, blob, hashed=target.hash_known_hosts)
    except OSError as error:
        raise HostKeyError(f"{shown} is new, and {file} cannot be written: {error.strerror}") from error


def _find_known_keys(target: Target) -> tuple[str, list[KnownKey]]:
    """The name that known_hosts has for the target, and the keys that count for it."""
    alias = target.host_key_alias
    files = target.known_hosts + target.global_known_hosts
    name = known_hosts_name(alias or target.host, 22 if alias else target.port)
    keys = known_keys(files, name)
    if not keys and target.port != 22 and not alias:
        # As ssh does: where nothing is known of this port, the key of the machine will do.
        keys = known_keys(files, target.host.lower())
    return name, keys
