"""Keys in every format, certificates, agents, and what a server asks besides, against a real sshd."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import TracebackException

import pytest

from otto_docker_sync._sandbox.sshd import make_key
from otto_docker_sync._ssh import Connections, SSHOptions
from otto_docker_sync.deadline import Cancellation, Deadline, DeadlineExpired, cancellation
from otto_docker_sync.errors import AuthenticationError, ConfigError, HostKeyError
from tests.integration.ssh.parts import run, ssh_agent
from tests.rig.account import Account
from tests.rig.sshd import Sshd, with_pam_rules

Connect = Callable[..., Connections]
MakeSshd = Callable[..., Sshd]

FORMATS = {
    "rsa in PKCS#8": ("-t", "rsa", "-b", "2048", "-m", "PKCS8"),
    "ecdsa in PKCS#8": ("-t", "ecdsa", "-m", "PKCS8"),
    "ecdsa in PEM": ("-t", "ecdsa", "-b", "521", "-m", "PEM"),
    "ecdsa": ("-t", "ecdsa", "-b", "384"),
    "AES-GCM": ("-t", "ed25519", "-Z", "aes256-gcm@openssh.com"),
    "AES-CBC": ("-t", "ed25519", "-Z", "aes256-cbc"),
}


def login(connections: Connections) -> str:
    try:
        return run(connections, "echo in").out.decode().strip()
    finally:
        connections.close()


def authorize(server: Sshd, *keys: Path) -> None:
    (server.directory / "authorized_keys").write_text("".join(key.with_suffix(".pub").read_text() for key in keys))


def sign(authority: Path, key: Path, user: str) -> Path:
    """Make a certificate for `key`, and return its file."""
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", user, f"{key}.pub"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return key.with_name(f"{key.name}-cert.pub")


class TestFormats:
    @pytest.mark.parametrize("passphrase", ["", "secret phrase"])
    @pytest.mark.parametrize("kind", FORMATS)
    def test_a_format_that_ssh_takes(
        self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path, kind: str, passphrase: str
    ) -> None:
        key = make_key(tmp_path / "key", *FORMATS[kind], "-N", passphrase)
        server = make_sshd()
        authorize(server, key)
        assert login(connect(server, identity_file=key, passphrase=passphrase or None)) == "in"
        if passphrase:
            with pytest.raises(ConfigError, match=f"identity_file {key} .*: the passphrase is wrong"):
                login(connect(server, identity_file=key, passphrase="not it"))
            with pytest.raises(AuthenticationError, match="it is encrypted"):
                login(connect(server, identity_file=key))

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (
                ("-Z", "chacha20-poly1305@openssh.com"),
                "its cipher chacha20-poly1305@openssh.com is not supported; .*ssh-keygen -p",
            ),
            (("-Z", "aes128-cbc"), "its cipher aes128-cbc is not supported; .*ssh-keygen -p"),
        ],
    )
    def test_a_cipher_that_cannot_be_read_is_named(
        self, connect: Connect, tmp_path: Path, arguments: tuple[str, ...], reason: str
    ) -> None:
        key = make_key(tmp_path / "key", "-t", "ed25519", *arguments, "-N", "secret")
        with pytest.raises(ConfigError, match=reason):
            login(connect(identity_file=key, passphrase="secret"))

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", "it is a PuTTY key; convert it: puttygen"),
            ("ssh-ed25519 AAAA me\n", "it is a public key, and the ssh-agent does not hold its private key"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\n", "it is a public key: pass the file of the private one"),
            ("-----BEGIN CERTIFICATE-----\n", "it is a TLS certificate"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END", "it is damaged"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "it is damaged"),
            ("hello", "it is not a private key in OpenSSH or PEM format"),
        ],
    )
    def test_what_is_no_private_key_is_named(self, connect: Connect, tmp_path: Path, text: str, reason: str) -> None:
        file = tmp_path / "key"
        file.write_text(text)
        with pytest.raises(ConfigError, match=reason):
            login(connect(identity_file=file, passphrase="secret"))

    @pytest.mark.parametrize("kind", ["rsa in PKCS#8", "AES-GCM"])
    def test_a_report_with_local_variables_shows_no_passphrase(
        self, connect: Connect, tmp_path: Path, kind: str
    ) -> None:
        key = make_key(tmp_path / "key", *FORMATS[kind], "-N", "secret phrase")
        with pytest.raises(ConfigError, match="the passphrase is wrong") as caught:
            login(connect(identity_file=key, passphrase="wr0ng phrase"))
        report = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert "load_private_key" in report
        assert "wr0ng" not in report.replace('passphrase="wr0ng phrase"', "")

    def test_a_dsa_key_is_named(self, connect: Connect, tmp_path: Path) -> None:
        parameters, key = tmp_path / "parameters", tmp_path / "key"
        subprocess.run(["openssl", "dsaparam", "-out", parameters, "1024"], check=True, capture_output=True)
        subprocess.run(["openssl", "gendsa", "-out", key, parameters], check=True, capture_output=True)
        with pytest.raises(ConfigError, match="DSA"):
            login(connect(identity_file=key))

    def test_a_key_of_the_config_file_that_cannot_be_used_is_only_told_when_the_login_fails(
        self, connect: Connect, sshd: Sshd, tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken"
        broken.write_text("hello")
        config = tmp_path / "config"
        config.write_text(f"Host *\n  IdentityFile {broken}\n  IdentityFile {sshd.identity_file}\n")
        assert login(connect(identity_file=None, config_file=config)) == "in"
        config.write_text(f"Host *\n  IdentityFile {broken}\n")
        with pytest.raises(AuthenticationError, match="broken cannot be used as a private key: it is not"):
            login(connect(identity_file=None, config_file=config))


class TestCertificates:
    @pytest.fixture(params=["ed25519", "rsa", "ecdsa"])
    def key(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        return make_key(tmp_path / "key", "-t", request.param, "-N", "")

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return make_key(tmp_path / "authority")

    @pytest.fixture
    def server(self, make_sshd: MakeSshd, authority: Path) -> Sshd:
        made = make_sshd(TrustedUserCAKeys=f"{authority}.pub")
        (made.directory / "authorized_keys").write_text("")
        return made

    def test_a_certificate_beside_the_key(self, connect: Connect, server: Sshd, authority: Path, key: Path) -> None:
        with pytest.raises(AuthenticationError):
            login(connect(server, identity_file=key))
        sign(authority, key, server.user)
        made = connect(server, identity_file=key)
        assert run(made, "echo in").out == b"in\n"
        assert str(made.describe()["login"]).endswith("with its certificate")

    def test_a_certificate_file(
        self, connect: Connect, server: Sshd, authority: Path, key: Path, tmp_path: Path
    ) -> None:
        certificate = tmp_path / "elsewhere"
        sign(authority, key, server.user).rename(certificate)
        config = tmp_path / "config"
        config.write_text(f"Host *\n  IdentityFile {key}\n  CertificateFile {certificate}\n")
        assert login(connect(server, identity_file=None, config_file=config)) == "in"

    @pytest.mark.parametrize("only", ["yes", "no"])
    def test_a_certificate_in_the_agent(
        self,
        connect: Connect,
        server: Sshd,
        authority: Path,
        key: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        only: str,
    ) -> None:
        sign(authority, key, server.user)
        config = tmp_path / "config"
        config.write_text(f"Host *\n  IdentityFile {key}\n  IdentitiesOnly {only}\n")
        with ssh_agent(tmp_path, key) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            for name in (key, key.with_name("key-cert.pub")):
                name.unlink()  # the public key stays: it tells which key of the agent is meant
            made = connect(server, identity_file=None, allow_agent=True, config_file=config)
            assert login(made) == "in"
            if only == "no":
                monkeypatch.setenv("HOME", str(tmp_path))
                assert login(connect(server, identity_file=None, allow_agent=True)) == "in"


class TestAgent:
    def test_an_agent_that_refuses_to_sign_is_passed_over(
        self, connect: Connect, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As when its user says no: ``ssh-add -c`` without a program that could ask."""
        monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
        monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
        monkeypatch.setenv("HOME", str(tmp_path))
        asked = make_key(tmp_path / "asked")
        with ssh_agent(tmp_path) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            subprocess.run(["ssh-add", "-q", "-c", str(asked)], check=True, stdin=subprocess.DEVNULL)
            subprocess.run(["ssh-add", "-q", str(sshd.identity_file)], check=True, stdin=subprocess.DEVNULL)
            assert login(connect(identity_file=None, allow_agent=True)) == "in"
            subprocess.run(["ssh-add", "-q", "-d", str(sshd.identity_file)], check=True, stdin=subprocess.DEVNULL)
            with pytest.raises(AuthenticationError, match=r"agent key \S+ \(the ssh-agent refused\)"):
                login(connect(identity_file=None, allow_agent=True))

    def test_an_encrypted_key_that_the_agent_holds_needs_no_passphrase(
        self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = make_key(tmp_path / "locked", "-t", "ed25519", "-N", "secret")
        plain = tmp_path / "plain"
        shutil.copy(key, plain)
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", plain], check=True)
        server = make_sshd(MaxAuthTries="1")
        authorize(server, key)
        others = [make_key(tmp_path / f"other{number}") for number in range(2)]
        with ssh_agent(tmp_path, *others, plain) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            made = connect(server, identity_file=key, allow_agent=True)
            assert run(made, "echo in").out == b"in\n"
            assert str(made.describe()["login"]).endswith(f"key {key} of the agent")

    def test_a_call_that_is_cancelled_while_the_agent_says_nothing_ends(
        self, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = str(tmp_path / "agent")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            monkeypatch.setenv("SSH_AUTH_SOCK", path)
            cancel = Cancellation("stopped")
            token = cancellation.set(cancel)
            try:
                threading.Timer(0.3, cancel.cancel).start()
                with pytest.raises(DeadlineExpired):
                    connect(allow_agent=True).connect(Deadline.after(30))
            finally:
                cancellation.reset(token)


class TestNone:
    def test_a_user_without_a_password_gets_in_though_there_is_a_key(
        self, connect: Connect, make_sshd: MakeSshd, account: Account, tmp_path: Path
    ) -> None:
        server = make_sshd(PermitEmptyPasswords="yes", PasswordAuthentication="yes", PubkeyAuthentication="no")
        wrong = make_key(tmp_path / "wrong")
        subprocess.run(["passwd", "-q", "-d", server.user], check=True, capture_output=True)
        try:
            for options in ({"identity_file": wrong}, {"identity_file": None, "password": "some"}):
                made = connect(server, **options)
                assert run(made, "echo in").out == b"in\n"
                assert str(made.describe()["login"]).endswith("by none")
                made.close()
        finally:
            subprocess.run(["chpasswd"], input=f"{server.user}:{account.password}", text=True, check=True)


def hotp(secret: bytes, counter: int) -> str:
    """A one-time code, as RFC 4226 has it."""
    digest = hmac.new(secret, struct.pack(">Q", counter), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


class TestAnswers:
    SECRET = b"12345678901234567890"

    @pytest.fixture
    def server(
        self, make_sshd: MakeSshd, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Sshd]:
        """An sshd that wants the password, and then a one-time code, each asked for by PAM."""
        codes = tmp_path / "oath"
        codes.write_text(f"HOTP {account.name} - {self.SECRET.hex()}\n")
        codes.chmod(0o600)
        rules = (
            f"auth required pam_unix.so nodelay\nauth required pam_oath.so usersfile={codes} window=20\n"
            "account required pam_permit.so\nsession required pam_permit.so\n"
        )
        keyboard = "keyboard-interactive"
        made = make_sshd(KbdInteractiveAuthentication="yes", UsePAM="yes", AuthenticationMethods=keyboard)
        with with_pam_rules(made, rules, tmp_path, monkeypatch) as server:
            yield server

    @pytest.mark.parametrize("kind", ["mapping", "pattern", "called", "function"])
    def test_a_one_time_code_besides_the_password(
        self, connect: Connect, server: Sshd, account: Account, kind: str
    ) -> None:
        code = hotp(self.SECRET, 0)
        asked: list[str] = []

        def answer(prompt: str) -> str | None:
            asked.append(prompt)
            return code if "One-time" in prompt else None

        answers = {
            "mapping": {"One-time password": code},
            "pattern": {r"(?i)one-time.*: *$": code},
            "called": {"One-time": lambda: code},
            "function": answer,
        }[kind]
        made = connect(server, identity_file=None, password=account.password, answers=answers)
        assert run(made, "echo in").out == b"in\n"
        assert str(made.describe()["login"]).endswith("by keyboard-interactive with answers")
        assert code not in f"{made._options!r}"
        if kind == "function":
            assert len(asked) == 2

    def test_a_function_that_fails_is_the_error(self, connect: Connect, server: Sshd, account: Account) -> None:
        def answer(prompt: str) -> str:
            raise LookupError("no token in the drawer")

        with pytest.raises(LookupError, match="no token in the drawer"):
            login(connect(server, identity_file=None, password=account.password, answers=answer))
        with pytest.raises(ConfigError, match="the function returned int"):
            login(connect(server, identity_file=None, password=account.password, answers=lambda _: 5))

    def test_wrong_answers_are_refused(self, connect: Connect, server: Sshd, account: Account) -> None:
        made = connect(server, identity_file=None, password=account.password, answers={"One-time": "000000"})
        with pytest.raises(AuthenticationError, match="keyboard-interactive with answers") as caught:
            login(made)
        assert "000000" not in str(caught.value)

    def test_what_is_no_mapping_and_no_function_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="answers: pass a mapping"):
            SSHOptions(answers=5)  # type: ignore[arg-type]


class TestPenalties:
    """A server that penalizes counts connections that end without an attempt to log in."""

    def test_every_connection_that_was_made_has_tried_to_log_in(
        self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path
    ) -> None:
        server = make_sshd(LogLevel="DEBUG1")
        unreadable = tmp_path / "key"
        unreadable.write_text("hello")
        with pytest.raises(ConfigError):
            login(connect(server, identity_file=unreadable))
        assert "Connection from" not in server.log.read_text()
        with pytest.raises(AuthenticationError):
            login(connect(server, identity_file=None))
        log = server.log.read_text()
        assert log.count("Connection from") == 1
        assert f"userauth-request for user {server.user} service ssh-connection method none" in log

    def test_few_connections_are_made_for_many_wrong_keys(
        self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = make_sshd(LogLevel="VERBOSE", MaxAuthTries="2")
        monkeypatch.setenv("HOME", str(tmp_path))
        with ssh_agent(tmp_path, *(make_key(tmp_path / f"key{number}") for number in range(12))) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            with pytest.raises(AuthenticationError, match="Too many authentication failures"):
                login(connect(server, identity_file=None, allow_agent=True))
        assert server.log.read_text().count("Connection from") == 3

    def test_a_revoked_or_unknown_host_key_sends_no_password(
        self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path
    ) -> None:
        server = make_sshd(LogLevel="DEBUG1", PasswordAuthentication="yes")
        with pytest.raises(HostKeyError):
            login(connect(server, known_hosts=tmp_path / "none", password="secret"))
        assert "userauth-request for user" not in server.log.read_text()
