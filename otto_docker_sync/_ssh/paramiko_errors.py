"""What Paramiko raises, and what it becomes: the one table of them. Nothing of Paramiko reaches a user raw."""

from __future__ import annotations

import re
from dataclasses import dataclass

import paramiko

from .._channel.tcp import ForwardingForbidden, NotReachedFromHost
from ..errors import ConnectError, ConnectionLost, HostKeyError, OttoError


@dataclass(frozen=True)
class _Rule:
    """An error of a kind, with a text that matches, becomes `error` with the text `text`."""

    kind: type[BaseException]
    pattern: str
    error: type[OttoError]
    text: str


_OLD = (
    " An old server may need SSHOptions(legacy=True), which allows SHA-1; Paramiko 5 has no SHA-1, so also:"
    ' pip install "paramiko<5".'
)

HANDSHAKE = (
    _Rule(paramiko.SSHException, "ignature", HostKeyError, "{where} does not hold the host key that it shows: {said}"),
    _Rule(
        paramiko.SSHException,
        r"no acceptable|Incompatible",
        ConnectError,
        "{where}: the key exchange failed, as the server and this library have no algorithm in common: {said}." + _OLD,
    ),
    _Rule(BaseException, "", ConnectError, "{where}: the key exchange failed: {said}"),
)
"""Errors from the banner to the end of the key exchange."""

SFTP_REFUSED = (_Rule(BaseException, "", ConnectError, "{where} has no SFTP: its sshd_config has no Subsystem sftp"),)
"""Errors when the request for SFTP was refused."""

SFTP_START = (
    _Rule(
        BaseException,
        "",
        ConnectError,
        "{where} does not speak SFTP: {said}. A start-up file of its shell may print something, or the Subsystem sftp "
        "of its sshd_config is another program.",
    ),
)
"""Errors until an SFTP server has answered."""

SFTP = (_Rule(BaseException, "", ConnectionLost, "the file transfer with {where} broke off: {said}"),)
"""Errors of a file transfer that are not about a file."""


FORBIDDEN = 1
"""SSH's code for a channel that the server's configuration forbids; the others are failures of the moment."""

_ADVICE = {
    FORBIDDEN: "forwarding is not allowed ({text}): AllowTcpForwarding or PermitOpen in its sshd_config",
    3: "it does not know that kind of tunnel ({text}): OpenSSH 6.7 and later can forward unix sockets",
}
"""By code: what to say about a refused tunnel. Without an entry, the server's own text is enough."""


def refused_tunnel(where: str, to: str, refusal: tuple[int, str] | None, otherwise: str) -> ConnectError:
    """The error for a tunnel that was not opened; without a refusal, the connection was lost: `otherwise` says why."""
    code, text = refusal or (0, otherwise)
    if refusal and to.startswith("/"):
        # OpenSSH says no more than "open failed", whatever the reason is.
        text += "; is the socket there, may the user open it, and does AllowStreamLocalForwarding of sshd allow it?"
    kind = ForwardingForbidden if code == FORBIDDEN else NotReachedFromHost if refusal else ConnectError
    return kind(f"{where} cannot connect to {to}: {_ADVICE.get(code, '{text}').format(text=text)}")


def map_error(rules: tuple[_Rule, ...], error: BaseException | None, where: str, otherwise: str) -> OttoError:
    """The error of ours for one of Paramiko's; `otherwise` is said where Paramiko says nothing."""
    said = str(error or "") or otherwise
    for rule in rules:
        if isinstance(error or EOFError(), rule.kind) and re.search(rule.pattern, said):
            return rule.error(rule.text.format(where=where, said=said))
    raise AssertionError("the last rule of a table takes every error")
