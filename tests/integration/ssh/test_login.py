"""Who is who: host keys, private keys, agents and passwords; and hosts that are not reached at all."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from otto_docker_sync._sandbox.sshd import free_port, make_key
from otto_docker_sync._ssh import Connections, SSHOptions
from otto_docker_sync.deadline import Deadline
from otto_docker_sync.errors import AuthenticationError, ConfigError, ConnectError, ConnectionLost, HostKeyError
from tests.integration.ssh.parts import InThread, run, ssh_agent
from tests.rig.account import Account
from tests.rig.proxy import Proxy
from tests.rig.sshd import Sshd

Connect = Callable[..., Connections]
MakeSshd = Callable[..., Sshd]


def works(connections: Connections) -> bool:
    return run(connections, "echo in").out == b"in\n"


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return tmp_path / "ssh" / "known_hosts"


def keygen(*arguments: object) -> None:
    subprocess.run(["ssh-keygen", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def with_key(server: Sshd, key: Path) -> Sshd:
    """Let another key log in."""
    (server.directory / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    return server


class TestHostKeys:
    def test_an_unknown_key_is_refused_and_the_text_says_how_to_accept_it(
        self, connect: Connect, sshd: Sshd, known: Path
    ) -> None:
        with pytest.raises(HostKeyError) as caught:
            run(connect(known_hosts=known), "echo in")
        text = str(caught.value)
        assert "ssh-ed25519 key SHA256:" in text
        assert f"known_hosts name [127.0.0.1]:{sshd.port}" in text
        assert f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> {known}" in text
        assert not known.exists()

    def test_accept_new_writes_it_down_for_nobody_else_to_write(self, connect: Connect, known: Path) -> None:
        assert works(connect(known_hosts=known, host_key_policy="accept-new"))
        assert stat.S_IMODE(known.stat().st_mode) == 0o600
        assert works(connect(known_hosts=known))
        assert works(connect(known_hosts=known, host_key_policy="accept-new"))
        assert len(known.read_text().splitlines()) == 1

    def test_accept_new_does_not_join_onto_an_unfinished_line(
        self, connect: Connect, sshd: Sshd, tmp_path: Path
    ) -> None:
        file = tmp_path / "known"
        file.write_text("other ssh-ed25519 AAAA")
        assert works(connect(known_hosts=file, host_key_policy="accept-new"))
        assert file.read_text().splitlines() == ["other ssh-ed25519 AAAA", f"[127.0.0.1]:{sshd.port} {sshd.host_key}"]

    def test_accept_new_that_cannot_write_is_an_error(self, connect: Connect, tmp_path: Path) -> None:
        with pytest.raises(HostKeyError, match="cannot be written: Is a directory"):
            run(connect(known_hosts=tmp_path / "no" / "..", host_key_policy="accept-new"), "echo in")

    @pytest.mark.parametrize("policy", ["reject", "accept-new"])
    def test_a_changed_key_is_refused_and_the_text_says_how_to_replace_it(
        self, connect: Connect, sshd: Sshd, tmp_path: Path, policy: str
    ) -> None:
        other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
        file = tmp_path / "known"
        file.write_text(f"# mine\n[127.0.0.1]:{sshd.port} {other}")
        with pytest.raises(HostKeyError) as caught:
            run(connect(known_hosts=file, host_key_policy=policy), "echo in")
        text = str(caught.value)
        assert f"is not the one in {file} line 2" in text
        assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {file} && ssh-keyscan" in text
        assert works(connect(known_hosts=file, host_key_policy="ignore"))

    def test_hashed_names_and_patterns_and_the_name_without_port_are_known(
        self, connect: Connect, sshd: Sshd, tmp_path: Path
    ) -> None:
        file = tmp_path / "known"
        file.write_text(sshd.known_hosts.read_text())
        keygen("-H", "-f", file)
        assert file.read_text().startswith("|1|")
        assert works(connect(known_hosts=file))
        for names in (f"[127.0.0.*]:{sshd.port}", "127.0.0.1", f"a,[127.0.0.1]:{sshd.port}", "*"):
            file.write_text(f"nonsense\n\n{names} {sshd.host_key} a comment\n")
            assert works(connect(known_hosts=file)), names

    def test_names_that_do_not_match_do_not_count(self, connect: Connect, sshd: Sshd, tmp_path: Path) -> None:
        file = tmp_path / "known"
        for names in ("[127.0.0.1]:1", f"*,!127.0.0.*,![127.0.0.1]:{sshd.port}", "127.0.0.2", "|1|bm8=|bm8="):
            file.write_text(f"{names} {sshd.host_key}\n")
            with pytest.raises(HostKeyError):
                run(connect(known_hosts=file), "echo in")

    def test_a_revoked_key_is_refused_even_where_it_is_known(
        self, connect: Connect, sshd: Sshd, tmp_path: Path
    ) -> None:
        file = tmp_path / "known"
        file.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n@revoked * {sshd.host_key}\n")
        with pytest.raises(HostKeyError, match=f"marked as revoked in {file} line 2"):
            run(connect(known_hosts=file), "echo in")

    def test_the_key_of_an_authority_is_not_taken_for_the_hosts_own(
        self, connect: Connect, sshd: Sshd, tmp_path: Path
    ) -> None:
        file = tmp_path / "known"
        file.write_text(f"@cert-authority * {sshd.host_key}\n")
        with pytest.raises(HostKeyError, match="@cert-authority line does not count"):
            run(connect(known_hosts=file), "echo in")

    def test_of_several_host_keys_the_known_kind_is_asked_for(
        self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path
    ) -> None:
        rsa = make_key(tmp_path / "rsa", "-t", "rsa", "-b", "2048", "-N", "")
        ecdsa = make_key(tmp_path / "ecdsa", "-t", "ecdsa", "-N", "")
        server = make_sshd()
        server.stop()
        server._settings["HostKey"] = f"{server._host_key}\nHostKey {rsa}\nHostKey {ecdsa}"
        server.start()
        file = tmp_path / "known"
        for key, kind in ((rsa, "rsa-sha2-512"), (ecdsa, "ecdsa-sha2-nistp256"), (server._host_key, "ssh-ed25519")):
            file.write_text(f"[127.0.0.1]:{server.port} {key.with_suffix('.pub').read_text()}")
            connections = connect(server, known_hosts=file)
            assert works(connections)
            assert connections.describe()["host_key"] == kind


class TestKeys:
    def test_a_wrong_key_is_named_with_what_the_server_takes(
        self, connect: Connect, sshd: Sshd, tmp_path: Path
    ) -> None:
        wrong = make_key(tmp_path / "wrong")
        with pytest.raises(AuthenticationError) as caught:
            run(connect(identity_file=wrong), "echo in")
        text = str(caught.value)
        assert f"carrot (127.0.0.1:{sshd.port}) did not let user {sshd.user} in. Tried: key {wrong}." in text

    def test_an_encrypted_key_wants_its_passphrase(self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path) -> None:
        key = make_key(tmp_path / "locked", "-t", "ed25519", "-N", "s3cret phrase")
        server = with_key(make_sshd(), key)
        with pytest.raises(AuthenticationError, match=f"key {key} .it is encrypted: give passphrase="):
            run(connect(server, identity_file=key), "echo in")
        with pytest.raises(ConfigError, match="the passphrase is wrong"):
            run(connect(server, identity_file=key, passphrase="not it"), "echo in")
        connections = connect(server, identity_file=key, passphrase="s3cret phrase")
        assert works(connections)
        assert (
            "s3cret" not in f"{connections!r} {connections.describe()} {connections._options!r} {connections._target!r}"
        )

    def test_a_key_without_passphrase_does_not_mind_one(self, connect: Connect) -> None:
        assert works(connect(passphrase="not needed"))

    @pytest.mark.parametrize("kind", ["rsa", "ecdsa", "pem"])
    def test_other_kinds_of_key(self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path, kind: str) -> None:
        arguments = {
            "rsa": ("-t", "rsa", "-b", "2048"),
            "ecdsa": ("-t", "ecdsa"),
            "pem": ("-t", "rsa", "-b", "2048", "-m", "PEM"),
        }[kind]
        key = make_key(tmp_path / kind, *arguments, "-N", "")
        assert works(connect(with_key(make_sshd(), key), identity_file=key))

    def test_a_file_that_is_no_private_key(self, connect: Connect, sshd: Sshd, tmp_path: Path) -> None:
        garbage = tmp_path / "garbage"
        garbage.write_bytes(b"\x00\xff not a key")
        for path, text in (
            (garbage, "cannot be used as a private key"),
            (sshd.identity_file.with_suffix(".pub"), "cannot be used as a private key"),
            (tmp_path / "none", "cannot be read: No such file or directory"),
        ):
            with pytest.raises(ConfigError, match=rf"carrot .*: identity_file {path} {text}"):
                run(connect(identity_file=path), "echo in")

    def test_the_last_of_eight_keys_is_found_though_the_server_gives_up_after_six(
        self, connect: Connect, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = [make_key(tmp_path / f"key{number}") for number in range(7)]
        with ssh_agent(tmp_path, *keys, sshd.identity_file) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            connections = connect(identity_file=None, allow_agent=True)
            monkeypatch.setenv("HOME", str(tmp_path))
            assert works(connections)
            assert "by agent key" in str(connections.describe()["login"])
            connections.close()
            with pytest.raises(AuthenticationError, match="nothing, as there is no key"):
                run(connect(identity_file=None, allow_agent=False), "echo in")

    def test_the_usual_keys_are_tried_unless_told_not_to(
        self, connect: Connect, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".ssh").mkdir()
        shutil.copy(sshd.identity_file, tmp_path / ".ssh" / "id_ed25519")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert works(connect(identity_file=None))
        with pytest.raises(AuthenticationError, match="nothing, as there is no key"):
            run(connect(identity_file=None, look_for_keys=False), "echo in")
        with pytest.raises(ConfigError, match="look_for_keys='no'"):
            connect(look_for_keys="no")

    def test_too_many_wrong_keys_are_told_with_what_the_server_said(
        self, connect: Connect, make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ssh_agent(tmp_path, *(make_key(tmp_path / f"key{number}") for number in range(2))) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            monkeypatch.setenv("HOME", str(tmp_path))
            server = make_sshd(MaxAuthTries="2")
            with pytest.raises(AuthenticationError, match=r"Tried: agent key .*, agent key .*Then it ended .*Too many"):
                run(connect(server, identity_file=None, allow_agent=True), "echo in")

    def test_a_connection_that_is_lost_on_the_way_in_is_no_refusal(self, connect: Connect, sshd: Sshd) -> None:
        texts = []
        for size in range(100, 3400, 100):
            with Proxy(sshd.port) as proxy:
                proxy.drop_after(size)
                try:
                    run(connect(port=proxy.port), "echo in")
                except ConnectError as error:
                    assert not isinstance(error, AuthenticationError)
                    texts.append(str(error))
                except ConnectionLost as error:
                    texts.append(str(error))
        assert any("the key exchange failed" in text for text in texts), texts
        assert any("was lost during the login, after key" in text for text in texts), texts

    def test_an_agent_that_says_nothing_is_left_at_the_deadline(
        self, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = str(tmp_path / "agent")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            monkeypatch.setenv("SSH_AUTH_SOCK", path)
            with pytest.raises(ConnectError, match=r"the ssh-agent did not answer in 0.5 s"):
                run(connect(allow_agent=True, connect_timeout=0.5), "echo in")

    def test_an_agent_that_is_gone_does_no_harm(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent/agent")
        assert works(connect(allow_agent=True))


class TestPasswords:
    def test_a_password(self, connect: Connect, make_sshd: MakeSshd, account: Account) -> None:
        server = make_sshd(PasswordAuthentication="yes", PubkeyAuthentication="no")
        assert works(connect(server, password=account.password, identity_file=None))
        with pytest.raises(AuthenticationError) as caught:
            run(connect(server, password="wrong pw", identity_file=None), "echo in")
        text = str(caught.value)
        assert "Tried: " in text
        assert "The server takes: password." in text
        assert "wrong pw" not in text

    def test_a_password_after_a_key(self, connect: Connect, make_sshd: MakeSshd, account: Account) -> None:
        server = make_sshd(PasswordAuthentication="yes", AuthenticationMethods="publickey,password")
        connections = connect(server, password=account.password)
        assert works(connections)
        with pytest.raises(AuthenticationError, match=r"id_ed25519 \(taken, but more is wanted\)"):
            run(connect(server), "echo in")

    def test_a_password_by_keyboard_interactive(self, connect: Connect, make_sshd: MakeSshd, account: Account) -> None:
        server = make_sshd(
            KbdInteractiveAuthentication="yes", UsePAM="yes", AuthenticationMethods="keyboard-interactive"
        )
        connections = connect(server, password=account.password)
        assert works(connections)
        assert str(connections.describe()["login"]).endswith("by keyboard-interactive with the password")


class TestUnreachable:
    def test_a_name_that_does_not_resolve(self, connect: Connect) -> None:
        with pytest.raises(ConnectError, match=r"carrot \(no-such-host.invalid:\d+\) cannot be reached: no address"):
            run(connect(host="no-such-host.invalid"), "echo in")

    def test_a_port_on_which_nobody_listens(self, connect: Connect, sshd: Sshd) -> None:
        port = free_port()
        with pytest.raises(ConnectError, match=rf"carrot \(127.0.0.1:{port}\) .* 127.0.0.1: Connection refused"):
            run(connect(port=port), "echo in")

    def test_an_address_to_which_there_is_no_way(self, connect: Connect) -> None:
        with pytest.raises(ConnectError, match=r"cannot be reached: 255.255.255.255: \w"):
            run(connect(host="255.255.255.255"), "echo in")

    def test_every_address_of_a_name_is_tried(
        self, connect: Connect, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, sshd.port)) for host in ("127.1.2.3", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: found)
        assert works(connect())

    def test_a_server_that_says_nothing(self, connect: Connect) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            started = time.monotonic()
            with pytest.raises(ConnectError, match=r"no SSH banner arrived in 0.5 s \(connect_timeout\)\. Is it"):
                run(connect(port=port, connect_timeout=0.5), "echo in")
            with pytest.raises(ConnectError, match="not reached in time: no SSH banner arrived"):
                run(connect(port=port), "echo in", timeout=0.5)
            assert time.monotonic() - started < 3

    def test_a_server_that_stops_after_its_banner(self, connect: Connect) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            caller = InThread(lambda: run(connect(port=port, connect_timeout=1), "echo in"))
            with listener.accept()[0] as peer:
                peer.send(b"SSH-2.0-silence\r\n")
                caller.join()
        assert isinstance(caller.error, ConnectError)
        assert "the key exchange did not end in 1 s" in str(caller.error)

    def test_a_port_that_swallows_packets(self, connect: Connect) -> None:
        with socket.socket() as full:  # a listener whose queue is full drops what comes
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            with ExitStack() as stack:
                for _ in range(2):
                    one = stack.enter_context(socket.socket())
                    one.setblocking(False)
                    one.connect_ex(("127.0.0.1", port))
                with pytest.raises(ConnectError, match=r"no answer to the TCP connection in 0.5 s"):
                    run(connect(port=port, connect_timeout=0.5), "echo in")

    def test_something_that_is_no_ssh_server(self, connect: Connect) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            caller = InThread(lambda: run(connect(port=port), "echo in"))
            with listener.accept()[0] as peer:
                peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                peer.shutdown(socket.SHUT_WR)
                caller.join()
        assert isinstance(caller.error, ConnectError)
        assert "is not an SSH server; it sent 'HTTP/1.1 400 Bad Request'" in str(caller.error)

    def test_a_proxy_command(self, connect: Connect, sshd: Sshd, tmp_path: Path) -> None:
        config = tmp_path / "config"
        forward = f"import socket,sys,threading,os; s=socket.create_connection(('127.0.0.1',{sshd.port})); "
        forward += (
            "threading.Thread(target=lambda:[s.sendall(d) for d in iter(lambda:os.read(0,9999),b'')],daemon=True)"
        )
        forward += ".start(); [os.write(1,d) for d in iter(lambda:s.recv(9999),b'')]"
        (tmp_path / "forward.py").write_text(forward)
        config.write_text(f"Host *\nProxyCommand python3 {tmp_path}/forward.py\n")
        assert works(connect(config_file=config))
        config.write_text("Host *\nProxyCommand exit 3\n")
        with pytest.raises(ConnectError, match="its ProxyCommand ended with status 3"):
            run(connect(config_file=config, connect_timeout=1), "echo in")


class TestArguments:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"connect_timeout": 0},
            {"connect_timeout": True},
            {"keepalive_interval": float("nan")},
            {"keepalive_interval": "5"},
            {"max_connections": 0},
            {"max_connections": 1.5},
            {"host_key_policy": "maybe"},
            {"allow_agent": "yes"},
            {"identity_file": 5},
            {"passphrase": b"bytes"},
        ],
    )
    def test_wrong_options_are_refused_by_name(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            SSHOptions(**wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize("wrong", [{"host": ""}, {"host": "-oProxyCommand=x"}, {"host": "a b"}, {"port": 65536}])
    def test_wrong_addresses_are_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ConfigError):
            Connections("carrot", **{"host": "127.0.0.1", **wrong})  # type: ignore[arg-type]

    def test_making_connections_connects_nothing(self) -> None:
        connections = Connections("carrot", "no-such-host.invalid", password="hunter2")
        assert repr(connections) == "<Connections to carrot (no-such-host.invalid), not connected>"
        assert os.getpid() == connections._pid
        connections.close()
        connections.close()


def test_connecting_leaves_nothing_behind_when_it_fails(connect: Connect, sshd: Sshd, tmp_path: Path) -> None:
    connections = connect(identity_file=make_key(tmp_path / "wrong"))
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            connections.connect(Deadline.after(10))
    assert connections.describe() == {"host": f"carrot (127.0.0.1:{sshd.port})", "connections": 0}
