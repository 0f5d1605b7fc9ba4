"""Which algorithms a connection uses, and what becomes of a server that has only old ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest

from otto_docker_sync._sandbox import Sshd
from otto_docker_sync._sandbox.sshd import make_key
from otto_docker_sync._ssh import Connections
from otto_docker_sync.errors import AuthenticationError, ConfigError, ConnectError
from tests.integration.ssh.parts import run

Connect = Callable[..., Connections]
MakeSshd = Callable[..., Sshd]

HAS_SHA1 = int(paramiko.__version__.partition(".")[0]) < 5


def login(connections: Connections) -> str:
    try:
        return run(connections, "echo in").out.decode().strip()
    finally:
        connections.close()


def test_the_fastest_cipher_is_agreed_upon(connect: Connect) -> None:
    made = connect()
    assert login(made) == "in"
    assert run(made, "echo in").out == b"in\n"
    assert made.describe()["cipher"] == "aes128-gcm@openssh.com"


@pytest.mark.parametrize(
    ("options", "with_sha1"),
    [
        ({"KexAlgorithms": "diffie-hellman-group14-sha1"}, True),
        ({"Ciphers": "aes128-cbc"}, False),
        ({"MACs": "hmac-md5", "Ciphers": "aes128-ctr"}, False),
    ],
)
def test_old_algorithms_are_off_unless_they_are_asked_for(
    connect: Connect, make_sshd: MakeSshd, options: dict[str, str], with_sha1: bool
) -> None:
    server = make_sshd(**options)
    with pytest.raises(ConnectError, match=r"no algorithm in common: .*SSHOptions\(legacy=True\)"):
        login(connect(server))
    if HAS_SHA1 or not with_sha1:
        assert login(connect(server, legacy=True)) == "in"
    else:
        with pytest.raises(ConnectError, match='pip install "paramiko<5"'):
            login(connect(server, legacy=True))


def test_a_host_key_that_is_proven_with_sha1(connect: Connect, make_sshd: MakeSshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "rsa", "-t", "rsa", "-b", "2048", "-N", "")
    server = make_sshd(HostKey=str(key), HostKeyAlgorithms="ssh-rsa")
    server.known_hosts.write_text(f"[{server.host}]:{server.port} {key.with_suffix('.pub').read_text()}")
    with pytest.raises(ConnectError, match="no algorithm in common"):
        login(connect(server))
    if HAS_SHA1:
        assert login(connect(server, legacy=True)) == "in"


def test_a_login_that_is_signed_with_sha1(connect: Connect, make_sshd: MakeSshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "rsa", "-t", "rsa", "-b", "2048", "-N", "")
    server = make_sshd(PubkeyAcceptedAlgorithms="ssh-rsa")
    (server.directory / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    with pytest.raises(AuthenticationError):
        login(connect(server, identity_file=key))
    config = tmp_path / "config"
    config.write_text("Host *\n  PubkeyAcceptedAlgorithms ssh-rsa\n")
    if HAS_SHA1:
        assert login(connect(server, identity_file=key, config_file=config)) == "in"
    else:
        with pytest.raises(ConfigError, match=r"PubkeyAcceptedAlgorithms .* names nothing that Paramiko has"):
            login(connect(server, identity_file=key, config_file=config))


def test_a_file_that_names_an_old_algorithm_allows_it(connect: Connect, make_sshd: MakeSshd, tmp_path: Path) -> None:
    server = make_sshd(Ciphers="aes128-cbc")
    config = tmp_path / "config"
    config.write_text("Host *\n  Ciphers +aes128-cbc\n")
    assert login(connect(server, config_file=config)) == "in"
