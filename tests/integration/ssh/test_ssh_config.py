"""What ssh_config may say, against a real server: read by OpenSSH, and by the plain reader where there is no ssh."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otto_docker_sync._sandbox import Sshd
from otto_docker_sync._sandbox.sshd import make_key
from otto_docker_sync._ssh import Connections, SSHOptions
from otto_docker_sync._ssh.config import Target, resolve
from otto_docker_sync.deadline import Deadline
from otto_docker_sync.errors import AuthenticationError, ConfigError, ConnectError, HostKeyError
from tests.integration.ssh.parts import run, ssh_agent

MakeSshd = Callable[..., Sshd]

FORWARD = """
import os, socket, sys, threading
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def send():
    for data in iter(lambda: os.read(0, 9999), b""):
        sock.sendall(data)
threading.Thread(target=send, daemon=True).start()
for data in iter(lambda: sock.recv(9999), b""):
    os.write(1, data)
"""


@pytest.fixture(params=["ssh -G", "plain"])
def reader(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who reads the file: OpenSSH, or, as on a machine without it, the plain reader."""
    if request.param == "plain":
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in ("sh", "sleep", "ssh-agent", "ssh-add", "ssh-keygen"):
            (programs / name).symlink_to(str(shutil.which(name)))
        monkeypatch.setenv("PATH", str(programs))
        assert shutil.which("ssh") is None
    kind: str = request.param
    return kind


class Config:
    """An ssh_config for one server, and logins by it."""

    def __init__(self, path: Path, server: Sshd) -> None:
        self.path = path
        self.server = server
        self.known = f"UserKnownHostsFile {server.known_hosts}\n  GlobalKnownHostsFile none\n"
        self.key = f"IdentityFile {server.identity_file}\n"
        self.lines = f"  HostName {server.host}\n  Port {server.port}\n  User {server.user}\n  {self.key}  {self.known}"

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def login(self, alias: str = "lab1", *, user: str | None = None, port: int | None = None, **options: object) -> str:
        given = {"config_file": self.path, "allow_agent": False, **options}
        made = Connections(alias, alias, user=user, port=port, options=SSHOptions(**given))  # type: ignore[arg-type]
        try:
            return run(made, "echo in").out.decode().strip()
        finally:
            made.close()

    def resolve(self, alias: str = "lab1", user: str | None = None, **options: object) -> Target:
        given = {"config_file": self.path, **options}
        return resolve(alias, None, user, SSHOptions(**given), Deadline.after(10))  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path, sshd: Sshd) -> Config:
    return Config(tmp_path / "config", sshd)


class TestLines:
    def test_a_comment_after_a_value_does_not_belong_to_it(self, config: Config, reader: str) -> None:
        lines = config.lines.replace("\n", " # it's here\n")
        config.write(f"Host lab1 # Bob's \"server\n{lines}\n")
        assert config.login() == "in"

    @pytest.mark.parametrize("criterion", ["all # tunnel setup", "final all"])
    def test_match_all_and_final(self, config: Config, reader: str, criterion: str) -> None:
        config.write(f"Match {criterion}\n  Compression no\nHost lab1\n{config.lines}")
        assert config.login() == "in"

    def test_match_final_applies_after_everything_else(self, config: Config, reader: str) -> None:
        lines = config.lines.replace(f"  Port {config.server.port}\n", "")
        config.write(f"Match final host 127.0.0.1\n  Port {config.server.port}\nHost lab1\n{lines}")
        assert config.login() == "in"

    def test_match_and_tokens_see_the_user_that_was_asked_for(
        self, config: Config, reader: str, tmp_path: Path
    ) -> None:
        user = config.server.user
        assert user != getpass.getuser()
        shutil.copy(config.server.identity_file, tmp_path / f"key-{user}")
        lines = config.lines.replace(config.key, f"IdentityFile {tmp_path}/key-%r\n").replace(f"  User {user}\n", "")
        config.write(f"Match host lab1 user {user}\n{lines}")
        assert config.login(user=user) == "in"
        with pytest.raises(ConnectError, match="no address for 'lab1'"):
            config.login(user="somebody")

    def test_match_with_an_equals_sign(self, config: Config, reader: str) -> None:
        config.write(f"Match host=lab1\n{config.lines}")
        assert config.login() == "in"

    @pytest.mark.parametrize("criterion", ["localnetwork 203.0.113.0/24", "tagged rack", "nonsense yes"])
    def test_a_criterion_that_is_not_known_is_named(self, config: Config, reader: str, criterion: str) -> None:
        config.write(f"Match {criterion}\n  ProxyJump nowhere.invalid\nHost lab1\n{config.lines}")
        try:
            assert config.login() == "in"  # a newer ssh may know it
        except ConfigError as error:
            assert criterion.split()[0] in str(error)

    def test_an_include_that_meets_a_directory_or_an_unreadable_file(
        self, config: Config, reader: str, tmp_path: Path
    ) -> None:
        parts = tmp_path / "parts"
        (parts / "directory").mkdir(parents=True)
        (parts / "part").write_text(f"Host lab1\n{config.lines}")
        (parts / "dangling").symlink_to("nothing")
        config.write(f"Include {parts}/*\n")
        assert config.login() == "in"

    def test_a_user_name_with_a_backslash_in_quotes(self, config: Config, reader: str) -> None:
        config.write(f'Host lab1\n  User "DOM\\\\joe"\n{config.lines}')
        assert config.resolve().user == "DOM\\joe"

    def test_canonicalize_without_domains_changes_nothing(self, config: Config, reader: str) -> None:
        config.write(f"CanonicalizeHostname yes\nHost lab1\n{config.lines}")
        assert config.login() == "in"

    def test_a_name_with_a_token(self, config: Config, reader: str) -> None:
        config.write(f"Host 1\n  HostName 127.0.0.%h\n{config.lines}")
        assert config.login("1") == "in"

    def test_the_same_words_mean_the_same_to_both_readers(
        self, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config.write(
            f"Include {tmp_path}/inner\n"
            'Host lab* !lab2\n  User=joe\n  Port = 77 # high\n  IdentityFile "a b"\n  IdentityFile c\n'
            "  ProxyCommand ssh -W '[%h]:%p' # not a comment\n  ProxyJump too.late\n  ConnectTimeout 1m30s\n"
            "Match originalhost lab1 !localuser nobody\n  ServerAliveInterval 7\n  ServerAliveCountMax 5\n"
            "Host *\n  User ann\n  HashKnownHosts yes\n  HostKeyAlias rack-%\n  UserKnownHostsFile a ~/b\n"
        )
        (tmp_path / "inner").write_text("Host lab1\n  HostName %h.example\nHost lab2\n  HostName wrong\n")
        by_ssh = [config.resolve(alias) for alias in ("lab1", "lab2", "lab3", "other")]
        monkeypatch.setenv("PATH", str(tmp_path))
        plain = [config.resolve(alias) for alias in ("lab1", "lab2", "lab3", "other")]
        assert plain == by_ssh
        assert by_ssh[0].proxy_command == "ssh -W '[lab1.example]:77' # not a comment"
        assert (by_ssh[0].connect_timeout, by_ssh[0].keepalive_interval, by_ssh[0].keepalive_count) == (90, 7, 5)

    def test_the_file_of_the_system_is_read_after_the_users(
        self, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from otto_docker_sync._ssh import ssh_config

        system = tmp_path / "system"
        system.write_text(f"Host lab1\n  Port 1\n{config.lines}")
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "config").write_text(f"Host lab1\n  Port {config.server.port}\n")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setattr(ssh_config, "SYSTEM_FILE", str(system))
        assert config.login(config_file=None) == "in"
        (home / ".ssh" / "config").unlink()
        with pytest.raises(ConnectError, match=r"127.0.0.1:1"):
            config.login(config_file=None)


class TestFiles:
    def test_a_variable_in_identity_file(self, config: Config, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LABKEY", str(config.server.identity_file))
        config.write(f"Host lab1\n{config.lines.replace(config.key, 'IdentityFile ${LABKEY}' + chr(10))}")
        assert config.login() == "in"
        monkeypatch.delenv("LABKEY")
        with pytest.raises(ConfigError, match="the variable LABKEY is not set"):
            config.login()

    def test_the_files_of_the_user_and_the_machine_both_count(
        self, config: Config, reader: str, tmp_path: Path
    ) -> None:
        other = tmp_path / "mine"
        other.write_text("")
        files = f"UserKnownHostsFile {other}\n  GlobalKnownHostsFile /nonexistent {config.server.known_hosts}\n"
        config.write(f"Host lab1\n{config.lines.replace(config.known, files)}")
        assert config.login() == "in"
        with pytest.raises(HostKeyError, match=str(other)):
            config.login(known_hosts=other)

    def test_a_known_hosts_file_with_a_space_in_its_name(self, config: Config, reader: str, tmp_path: Path) -> None:
        file = tmp_path / "known hosts"
        shutil.copy(config.server.known_hosts, file)
        lines = config.lines.replace(str(config.server.known_hosts), f'/nonexistent "{file}" /dev/null')
        config.write(f"Host lab1\n{lines}")
        assert config.login() == "in"

    def test_a_new_key_is_written_without_its_name_where_the_file_says_so(
        self, config: Config, reader: str, tmp_path: Path
    ) -> None:
        known = tmp_path / "mine"
        lines = config.lines.replace(str(config.server.known_hosts), str(known))
        config.write(f"Host lab1\n{lines}  HashKnownHosts yes\n  StrictHostKeyChecking accept-new\n")
        assert config.login() == "in"
        assert known.read_text().startswith("|1|")
        assert config.login(host_key_policy="reject") == "in"


class TestTheWay:
    def test_a_bind_address(self, config: Config, reader: str, make_sshd: MakeSshd) -> None:
        server = make_sshd()
        keys = server.directory / "authorized_keys"
        keys.write_text(f'from="127.0.0.9" {keys.read_text()}')
        own = Config(config.path, server)
        own.write(f"Host lab1\n{own.lines}  BindAddress 127.0.0.9\nHost lab2\n{own.lines}")
        assert own.login() == "in"
        with pytest.raises(AuthenticationError):
            own.login("lab2")
        own.write(f"Host lab1\n{own.lines}  BindAddress 192.0.2.1\n")
        with pytest.raises(ConnectError, match=r"BindAddress 192.0.2.1 cannot be used"):
            own.login()

    def test_an_address_family(self, config: Config, reader: str) -> None:
        lines = config.lines.replace(f"HostName {config.server.host}", "HostName localhost")
        config.write(f"Host lab1\n  HostKeyAlias [127.0.0.1]:{config.server.port}\n  AddressFamily inet\n{lines}")
        assert config.login() == "in"
        config.write(f"Host lab1\n  AddressFamily inet6\n{config.lines}")
        with pytest.raises(ConnectError, match=r"no address for '127.0.0.1'"):
            config.login()

    def test_compression(self, config: Config, reader: str, make_sshd: MakeSshd) -> None:
        config.write(f"Host lab1\n{config.lines}  Compression yes\n")
        given = SSHOptions(config_file=config.path, allow_agent=False)
        made = Connections("lab1", "lab1", options=given)
        assert run(made, "head -c 3000000 /dev/zero | wc -c; cat /dev/null").out == b"3000000\n"
        assert len(run(made, "head -c 3000000 /dev/zero").out) == 3_000_000
        assert made.describe()["compression"] == "zlib@openssh.com"
        made.close()

    def test_a_jump_by_a_user_with_an_at_sign(self, config: Config, reader: str) -> None:
        config.write("Host lab1\n  ProxyJump joe@corp.com@bastion:77,ann@[::1]\n")
        assert [(jump.user, jump.host, jump.port) for jump in config.resolve().jumps] == [
            ("joe@corp.com", "bastion", 77),
            ("ann", "::1", None),
        ]

    def test_a_jump_has_words_of_its_own(self, config: Config, reader: str) -> None:
        config.write(
            f"Match host 127.0.0.1 user {config.server.user}\n  {config.known}"
            f"Host lab1\n{config.lines}  ProxyJump gate\nHost gate\n{config.lines}  ProxyJump %n-outer\n"
            f"Host gate-outer\n{config.lines}"
        )
        assert config.login() == "in"

    def test_tokens_of_a_proxy_command_and_what_is_left_to_the_shell(
        self, config: Config, reader: str, tmp_path: Path
    ) -> None:
        (tmp_path / "forward.py").write_text(FORWARD)
        seen = tmp_path / "seen"
        command = f"echo %n%% x~1 ~ '$HOME' >{seen}; exec {sys.executable} {tmp_path}/forward.py %h %p"
        config.write(f"Host lab1\n{config.lines}  ProxyCommand {command}\n")
        assert config.login() == "in"
        assert seen.read_text() == f"lab1% x~1 {os.path.expanduser('~')} $HOME\n"

    def test_a_proxy_command_that_fails_is_tried_once_and_its_words_are_in_the_error(
        self, config: Config, reader: str, tmp_path: Path
    ) -> None:
        count = tmp_path / "count"
        command = f"echo x >>{count}; echo no route to the rack >&2; exit 7"
        config.write(f"Host lab1\n{config.lines}  ProxyCommand {command}\n")
        started = time.monotonic()
        with pytest.raises(ConnectError, match=r"lab1 .* its ProxyCommand ended with status 7: no route to the rack"):
            config.login()
        assert count.read_text() == "x\n"
        assert time.monotonic() - started < 5
        config.write(f"Host lab1\n{config.lines}  ProxyCommand echo still trying >&2; sleep 60\n")
        with pytest.raises(ConnectError, match=r"no SSH banner arrived \(its ProxyCommand says: still trying\)"):
            config.login(connect_timeout=1)

    def test_a_proxy_command_that_is_not_there(self, config: Config, reader: str) -> None:
        config.write(f"Host lab1\n{config.lines}  ProxyCommand /nonexistent/corkscrew %h\n")
        with pytest.raises(ConnectError, match=r"ended with status 127: .*corkscrew.*not found"):
            config.login()

    @pytest.mark.parametrize(
        "line", ["BindInterface lo", "ProxyCommand x\n  ProxyUseFdpass yes", "RevokedHostKeys /dev/null"]
    )
    def test_what_cannot_be_done_is_refused_by_name(self, config: Config, reader: str, line: str) -> None:
        config.write(f"Host lab1\n  {line}\n{config.lines}")
        with pytest.raises(ConfigError, match=f"(?i){line.split()[-2]} of lab1 in ssh_config is not supported"):
            config.login()

    @pytest.mark.parametrize("host", ["joe@lab1", "lab1:22", "ssh://lab1"])
    def test_a_host_with_user_or_port_in_it_says_where_they_go(self, host: str) -> None:
        with pytest.raises(ConfigError, match="user as user= and the port as port="):
            Connections("lab1", host)

    def test_a_match_exec_that_does_not_end_is_ended_with_the_deadline(self, config: Config) -> None:
        config.write(f'Match exec "sleep 77"\n  Port 1\nHost lab1\n{config.lines}')
        with pytest.raises(ConnectError, match="ssh -G did not answer"):
            config.login(connect_timeout=1)
        config.write(f'Match exec "test %h = lab1"\n{config.lines}')
        assert config.login() == "in"

    def test_a_closed_file_of_many_hosts_is_read_once_a_host(self, config: Config, tmp_path: Path) -> None:
        count = tmp_path / "count"
        config.write(f'Match exec "echo x >>{count}"\nHost lab1\n{config.lines}')
        made = Connections("lab1", "lab1", options=SSHOptions(config_file=config.path, allow_agent=False))
        for _ in range(3):
            assert run(made, "echo in").out == b"in\n"
        made.close()
        assert count.read_text() == "x\n"


class TestLogin:
    def test_identities_only_keeps_the_keys_of_the_agent_that_are_named(
        self, config: Config, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others = [make_key(tmp_path / f"other{number}") for number in range(7)]
        public = tmp_path / "lab.pub"
        shutil.copy(config.server.identity_file.with_suffix(".pub"), public)
        with ssh_agent(tmp_path, *others, config.server.identity_file) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            lines = config.lines.replace(config.key, f"IdentityFile {public}\n  IdentitiesOnly yes\n")
            config.write(f"Host lab1\n{lines}")
            assert config.login(allow_agent=True) == "in"
            assert config.login(allow_agent=True, identity_file=public) == "in"
            config.write(f"Host lab1\n{lines.replace(str(public), f'{others[0]}')}")
            with pytest.raises(AuthenticationError, match=r"Tried: key \S*other0\. The server takes"):
                config.login(allow_agent=True)

    def test_an_identity_agent(
        self, config: Config, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = config.lines.replace(config.key, "IdentityFile none\n")
        with ssh_agent(tmp_path, config.server.identity_file) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent")
            monkeypatch.setenv("LAB_AGENT", agent)
            for named in (agent, "$LAB_AGENT", "${LAB_AGENT}"):
                config.write(f"Host lab1\n{lines}  IdentityAgent {named}\n")
                assert config.login(allow_agent=True) == "in", named
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            config.write(f"Host lab1\n{lines}  IdentityAgent none\n")
            with pytest.raises(AuthenticationError, match="nothing, as there is no key"):
                config.login(allow_agent=True)
            config.write(f"Host lab1\n{lines}  IdentityAgent SSH_AUTH_SOCK\n")
            assert config.login(allow_agent=True) == "in"

    def test_preferred_authentications(
        self, config: Config, reader: str, tmp_path: Path, make_sshd: MakeSshd, account: object
    ) -> None:
        server = make_sshd(PasswordAuthentication="yes", MaxAuthTries="1")
        own = Config(config.path, server)
        wrong = make_key(tmp_path / "wrong")
        lines = own.lines.replace(own.key, f"IdentityFile {wrong}\n")
        made = Connections(
            "lab1",
            "lab1",
            password=account.password,  # type: ignore[attr-defined]
            options=SSHOptions(config_file=own.path, allow_agent=False),
        )
        own.write(f"Host lab1\n{lines}  PreferredAuthentications password\n")
        assert run(made, "echo in").out == b"in\n"
        made.close()
        own.write(f"Host lab1\n{own.lines}  PubkeyAuthentication no\n")
        with pytest.raises(AuthenticationError, match="nothing, as there is no key"):
            own.login()
        assert own.login(identity_file=server.identity_file) == "in"

    def test_algorithms_of_a_file(self, config: Config, reader: str) -> None:
        config.write(f"Host lab1\n{config.lines}  Ciphers aes256-ctr\n  MACs hmac-sha2-512\n")
        made = Connections("lab1", "lab1", options=SSHOptions(config_file=config.path, allow_agent=False))
        assert run(made, "echo in").out == b"in\n"
        assert made.describe()["cipher"] == "aes256-ctr"
        made.close()
        config.write(f"Host lab1\n{config.lines}  Ciphers chacha20-poly1305@openssh.com\n")
        with pytest.raises(ConfigError, match=r"Ciphers in ssh_config .* names nothing that Paramiko has"):
            config.login()


def test_a_home_that_is_not_that_of_the_passwd_database_counts_for_tildes(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "the home"
    (home / ".ssh" / "conf.d" / "directory").mkdir(parents=True)
    shutil.copy(config.server.identity_file, home / ".ssh" / "lab")
    shutil.copy(config.server.known_hosts, home / ".ssh" / "known_hosts")
    monkeypatch.setenv("HOME", str(home))
    lines = config.lines.replace(config.key, "IdentityFile ~/.ssh/lab\n").replace(config.known, "")
    (home / ".ssh" / "config").write_text("Include ~/.ssh/conf.d/*\n")
    (home / ".ssh" / "conf.d" / "lab").write_text(f"Host lab1\n{lines}")
    assert config.login(config_file=None) == "in"
    before = threading.active_count()
    (home / ".ssh" / "conf.d" / "lab").write_text(f"Host lab1\n{lines}  Nonsense 5\n")
    with pytest.raises(ConfigError, match=r"conf.d/lab: line 6: Bad configuration option: nonsense"):
        config.login(config_file=None)
    assert threading.active_count() == before
