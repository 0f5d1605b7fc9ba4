"""Hosts behind hosts: the connection to the far one goes through the near one, and errors name the one at fault."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otto_docker_sync._sandbox.sshd import free_port, make_key
from otto_docker_sync._ssh import Connections
from otto_docker_sync.deadline import Deadline, DeadlineExpired
from otto_docker_sync.errors import AuthenticationError, ConfigError, ConnectError, ConnectionLost, HostKeyError
from tests.integration.ssh.parts import InThread, drain, read_until, run
from tests.rig.proxy import Proxy
from tests.rig.sshd import Sshd

Connect = Callable[..., Connections]
MakeSshd = Callable[..., Sshd]


@pytest.fixture
def chain(connect: Connect) -> Callable[..., list[Connections]]:
    """Connections to the ordinary sshd through as many hops, first hop first."""

    def make(hops: int, **last: object) -> list[Connections]:
        made: list[Connections] = []
        for number in range(hops):
            made.append(connect(label=f"hop{number + 1}", hop=made[-1] if made else None))
        made.append(connect(label="carrot", hop=made[-1], **last))
        return made

    return make


@pytest.mark.parametrize("hops", [1, 2])
def test_commands_run_through_hops(chain: Callable[..., list[Connections]], hops: int) -> None:
    *between, carrot = chain(hops)
    assert run(carrot, "echo in; echo err >&2; exit 4") == (b"in\n", b"err\n", 4)
    assert len(run(carrot, "head -c 20000000 /dev/zero").out) == 20_000_000
    channel = carrot.open_channel("wc -c", deadline=Deadline.after(20))
    channel.write(bytes(20_000_000), Deadline.after(20))
    channel.write_eof()
    assert drain(channel).out == b"20000000\n"
    channel.close()
    assert [hop.describe()["sessions"] for hop in between] == [0] * hops
    facts = carrot.describe()
    assert facts["hop"] == between[-1].describe()


def test_a_hop_is_shared_and_closing_a_target_leaves_it(
    chain: Callable[..., list[Connections]], connect: Connect
) -> None:
    hop, first = chain(1)
    second = connect(label="turnip", hop=hop)
    assert run(first, "echo 1").out + run(second, "echo 2").out == b"1\n2\n"
    assert hop.describe()["connections"] == 1
    first.close()
    assert run(second, "echo 2").out == b"2\n"
    assert run(hop, "echo hop").out == b"hop\n"
    assert run(first, "echo again").out == b"again\n"


def test_more_tunnels_than_sessions_fit_on_one_connection(connect: Connect) -> None:
    hop = connect(label="hop")
    targets = [connect(label=f"carrot{number}", hop=hop) for number in range(12)]
    calls = [InThread(lambda one=one: run(one, "echo in")) for one in targets]  # type: ignore[misc]
    assert [call.join(40).value.out for call in calls] == [b"in\n"] * 12
    assert hop.describe()["connections"] == 1


def test_a_short_deadline_through_a_hop_does_not_fail_the_other_callers(connect: Connect, proxy: Proxy) -> None:
    hop = connect(label="hop", port=proxy.port)
    carrot = connect(hop=hop)
    proxy.delay(0.1)
    hurried = InThread(lambda: run(carrot, "echo in", timeout=0.15))
    while not hop._connecting:
        time.sleep(0.001)
    patient = InThread(lambda: run(carrot, "echo in"))
    also = InThread(lambda: run(hop, "echo in"))
    assert isinstance(hurried.join().error, ConnectError)
    assert patient.join().value.out == also.join().value.out == b"in\n"


class TestErrors:
    def test_a_hop_that_is_not_reached(self, connect: Connect) -> None:
        port = free_port()
        carrot = connect(hop=connect(label="gateway", port=port))
        with pytest.raises(ConnectError) as caught:
            run(carrot, "echo in")
        text = str(caught.value)
        assert "carrot (127.0.0.1:" in text
        assert (
            f"because of its hop: gateway (127.0.0.1:{port}) cannot be reached: 127.0.0.1: Connection refused" in text
        )

    def test_a_hop_that_does_not_let_us_in(self, connect: Connect, tmp_path: Path) -> None:
        carrot = connect(hop=connect(label="gateway", identity_file=make_key(tmp_path / "wrong")))
        with pytest.raises(AuthenticationError, match=r"because of its hop: gateway .* did not let user .* in"):
            run(carrot, "echo in")

    def test_a_hop_with_an_unknown_key(self, connect: Connect, tmp_path: Path) -> None:
        carrot = connect(hop=connect(label="gateway", known_hosts=tmp_path / "none"))
        with pytest.raises(HostKeyError, match="because of its hop: gateway"):
            run(carrot, "echo in")

    def test_a_target_that_refuses_the_hop(self, connect: Connect) -> None:
        port = free_port()
        carrot = connect(port=port, hop=connect(label="gateway"))
        with pytest.raises(ConnectError) as caught:
            run(carrot, "echo in")
        text = str(caught.value)
        assert text.startswith(f"carrot (127.0.0.1:{port}) is not reached: gateway (127.0.0.1:")
        assert f"cannot connect to 127.0.0.1:{port}: Connection refused. Check host= and port= of carrot" in text

    def test_the_advice_about_an_unknown_key_asks_from_the_hop(
        self, connect: Connect, chain: Callable[..., list[Connections]], sshd: Sshd, tmp_path: Path
    ) -> None:
        known, config = tmp_path / "known", tmp_path / "ssh_config"
        *_, carrot = chain(2, known_hosts=known)
        with pytest.raises(HostKeyError) as caught:
            run(carrot, "echo in")
        advice = str(caught.value).partition("run: ")[2].partition(" or use ")[0]
        assert advice.endswith(f"{sshd.user}@127.0.0.1 ssh-keyscan -p {sshd.port} 127.0.0.1 >> {known}")
        config.write_text(f"UserKnownHostsFile {sshd.known_hosts}\n")
        command = advice.replace("ssh -", f"ssh -F {config} -")
        subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=40)
        assert run(connect(hop=connect(label="hop"), known_hosts=known), "echo in").out == b"in\n"

    def test_a_hop_that_does_not_forward(self, connect: Connect, make_sshd: MakeSshd) -> None:
        gateway = connect(make_sshd(AllowTcpForwarding="no"), label="gateway")
        with pytest.raises(ConnectError, match=r"gateway .* forwarding is not allowed .*AllowTcpForwarding"):
            run(connect(hop=gateway), "echo in")

    def test_a_target_with_an_unknown_key_or_a_wrong_login(self, connect: Connect, tmp_path: Path) -> None:
        gateway = connect(label="gateway")
        with pytest.raises(HostKeyError, match=r"carrot .* through gateway: its ssh-ed25519 key"):
            run(connect(hop=gateway, known_hosts=tmp_path / "none"), "echo in")
        with pytest.raises(AuthenticationError, match=r"carrot .* through gateway did not let"):
            run(connect(hop=gateway, identity_file=make_key(tmp_path / "wrong")), "echo in")

    def test_a_hop_that_goes_away_takes_its_targets_with_it(self, connect: Connect, proxy: Proxy) -> None:
        gateway = connect(label="gateway", port=proxy.port)
        carrot = connect(hop=gateway)
        channel = carrot.open_channel("echo up; read -r line", deadline=Deadline.after(20))
        read_until(channel, b"up\n")
        reader = InThread(lambda: channel.read(Deadline.after(None)))
        proxy.drop()
        error = reader.join(5).error
        assert isinstance(error, ConnectionLost)
        assert "the connection to its hop gateway was lost" in str(error)
        channel.close()
        assert run(carrot, "echo in").out == b"in\n"

    def test_a_hop_that_stalls_is_noticed(self, connect: Connect, proxy: Proxy) -> None:
        gateway = connect(label="gateway", port=proxy.port, keepalive_interval=0.3)
        carrot = connect(hop=gateway)
        channel = carrot.open_channel("echo up; read -r line", deadline=Deadline.after(20))
        read_until(channel, b"up\n")
        proxy.stall()
        started = time.monotonic()
        with pytest.raises(ConnectionLost, match=r"hop gateway was lost: no answer for"):
            channel.read(Deadline.after(None))
        assert time.monotonic() - started < 3
        started = time.monotonic()
        with pytest.raises((ConnectError, DeadlineExpired)):
            run(carrot, "echo in", timeout=0.5)
        carrot.close()
        gateway.close()
        assert time.monotonic() - started < 3
        channel.close()

    def test_closing_the_hop_first_ends_the_target(self, chain: Callable[..., list[Connections]]) -> None:
        hop, carrot = chain(1)
        channel = carrot.open_channel("echo up; read -r line", deadline=Deadline.after(20))
        read_until(channel, b"up\n")
        hop.close()
        with pytest.raises(ConnectionLost, match="hop hop1 was lost: it was closed"):
            channel.read(Deadline.after(5))
        channel.close()
        carrot.close()


class TestConfigFile:
    """The words of an ssh_config, each against a real server."""

    @pytest.fixture
    def write(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

        def write(text: str, name: str = "config") -> Path:
            path = home / ".ssh" / name
            path.write_text(text)
            return path

        return write

    def server_lines(self, sshd: Sshd) -> str:
        return (
            f"  HostName {sshd.host}\n  Port {sshd.port}\n  User {sshd.user}\n"
            f"  IdentityFile {sshd.identity_file}\n  UserKnownHostsFile {sshd.known_hosts}\n"
        )

    def alias(self, name: str, **arguments: object) -> Connections:
        return Connections(name, name, **arguments)  # type: ignore[arg-type]

    def echo(self, connections: Connections) -> bytes:
        try:
            return run(connections, "echo in").out
        finally:
            connections.close()

    def test_an_alias_with_all_that_it_needs(self, write: Callable[..., Path], sshd: Sshd) -> None:
        write(f"Host veg other\n{self.server_lines(sshd)}")
        assert self.echo(self.alias("veg")) == b"in\n"
        with pytest.raises(ConnectError, match="no address for 'fruit'"):
            self.echo(self.alias("fruit"))

    def test_wildcards_negation_and_the_first_value_wins(self, write: Callable[..., Path], sshd: Sshd) -> None:
        write(
            f"Host veg-* !veg-bad\n  Port {sshd.port}\n"
            f"Host *\n  HostName {sshd.host}\n  Port 1\n  User={sshd.user}\n"
            f'  IdentityFile "{sshd.identity_file}"\n  UserKnownHostsFile {sshd.known_hosts} /dev/null\n'
        )
        assert self.echo(self.alias("veg-1")) == b"in\n"
        with pytest.raises(ConnectError, match=r"veg-bad .127.0.0.1:1. cannot be reached"):
            self.echo(self.alias("veg-bad"))

    def test_an_explicit_argument_beats_the_file(
        self, write: Callable[..., Path], sshd: Sshd, connect: Connect
    ) -> None:
        write(
            f"Host veg\n  HostName {sshd.host}\n  Port 1\n  User nobody\n  IdentityFile /nonexistent\n"
            "  UserKnownHostsFile /nonexistent\n  ConnectTimeout 1\n"
        )
        options = connect(config_file=None)._options
        made = self.alias("veg", port=sshd.port, user=sshd.user, options=options)
        assert self.echo(made) == b"in\n"

    def test_a_file_elsewhere_or_none(self, write: Callable[..., Path], sshd: Sshd, connect: Connect) -> None:
        elsewhere = write(f"Host veg\n{self.server_lines(sshd)}", "elsewhere")
        options = connect(config_file=elsewhere, identity_file=None, known_hosts=None)._options
        assert self.echo(self.alias("veg", options=options)) == b"in\n"
        write("Host *\n  Port 1\n  Nonsense\n")
        assert self.echo(connect(config_file="")) == b"in\n"
        assert self.echo(connect(config_file=os.devnull)) == b"in\n"
        with pytest.raises(
            ConfigError,
            match=r"home/.ssh/config cannot be used for 127.0.0.1: ssh says: .*line 3: .*nonsense",
        ):
            self.echo(connect(config_file=None))
        with pytest.raises(ConfigError, match="none cannot be read: No such file"):
            self.echo(connect(config_file="/nonexistent/none"))

    def test_include(self, write: Callable[..., Path], sshd: Sshd) -> None:
        write(
            f"Include parts-*\nHost veg\n  HostName {sshd.host}\n  Include inner\n  User {sshd.user}\n"
            "Host else\n  Include missing-*\n  Include wrong\n"
        )
        write(f"Host ve?\n  IdentityFile {sshd.identity_file}\n", "parts-1")
        write(f"UserKnownHostsFile {sshd.known_hosts}\n", "parts-2")
        write(f"Port {sshd.port}\n", "inner")
        write("Nonsense\n", "wrong")
        assert self.echo(self.alias("veg")) == b"in\n"
        write("Include config\n")
        with pytest.raises(ConfigError, match="deeper than 16"):
            self.echo(self.alias("veg"))

    @pytest.mark.parametrize(
        ("word", "taken"), [("yes", False), ("ask", False), ("accept-new", True), ("no", True), ("off", True)]
    )
    def test_strict_host_key_checking(self, write: Callable[..., Path], sshd: Sshd, word: str, taken: bool) -> None:
        lines = self.server_lines(sshd).replace(str(sshd.known_hosts), "~/.ssh/mine")
        write(f"Host veg\n{lines}  StrictHostKeyChecking {word}\n")
        if taken:
            assert self.echo(self.alias("veg")) == b"in\n"
        else:
            with pytest.raises(HostKeyError):
                self.echo(self.alias("veg"))
        write(f"Host veg\n{lines}  StrictHostKeyChecking sometimes\n")
        with pytest.raises(ConfigError, match=r'config line 7: .*"sometimes"'):
            self.echo(self.alias("veg"))

    def test_a_host_key_alias(self, write: Callable[..., Path], sshd: Sshd) -> None:
        known = write(f"vegetable {sshd.host_key}\n", "mine")
        write(
            f"Host veg\n{self.server_lines(sshd).replace(str(sshd.known_hosts), str(known))}  HostKeyAlias vegetable\n"
        )
        assert self.echo(self.alias("veg")) == b"in\n"

    def test_proxy_jump_through_a_chain_that_closes_with_its_target(
        self, write: Callable[..., Path], sshd: Sshd
    ) -> None:
        lines = self.server_lines(sshd)
        write(f"Host veg\n{lines}  ProxyJump gate1,{sshd.user}@gate2:{sshd.port}\nHost gate1 gate2\n{lines}")
        before = threading.active_count()
        veg = self.alias("veg")
        assert run(veg, "echo in").out == b"in\n"
        facts = veg.describe()
        assert str(facts["hop"]).count("gate") >= 2
        assert threading.active_count() == before + 3
        assert self.echo(veg) == b"in\n"
        assert threading.active_count() == before

    def test_proxy_jump_names_the_hop_at_fault(self, write: Callable[..., Path], sshd: Sshd) -> None:
        lines = self.server_lines(sshd)
        write(f"Host veg\n{lines}  ProxyJump gate\nHost gate\n  HostName 127.0.0.1\n  Port 1\n")
        with pytest.raises(ConnectError, match=r"veg .* because of its hop: gate \(127.0.0.1:1\) cannot be reached"):
            self.echo(self.alias("veg"))

    def test_proxy_jump_that_goes_in_a_circle(self, write: Callable[..., Path], sshd: Sshd) -> None:
        lines = self.server_lines(sshd)
        write(f"Host veg\n{lines}  ProxyJump gate\nHost gate\n{lines}  ProxyJump veg\n")
        with pytest.raises(ConfigError, match="ProxyJump goes in a circle: veg -> gate -> veg"):
            self.echo(self.alias("veg"))
        write(f"Host veg\n{lines}  ProxyJump a:b:c\n")
        with pytest.raises(ConfigError, match=r'Invalid ProxyJump "a:b:c"'):
            self.echo(self.alias("veg"))

    def test_an_explicit_hop_beats_proxy_jump(self, write: Callable[..., Path], sshd: Sshd, connect: Connect) -> None:
        write(f"Host veg\n{self.server_lines(sshd)}  ProxyJump nowhere.invalid\n")
        assert self.echo(self.alias("veg", hop=connect(label="gateway"))) == b"in\n"

    def test_the_usual_keys_and_only_those_named(self, write: Callable[..., Path], sshd: Sshd, tmp_path: Path) -> None:
        usual = tmp_path / "home" / ".ssh" / "id_ed25519"
        usual.write_bytes(sshd.identity_file.read_bytes())
        lines = self.server_lines(sshd).replace(f"  IdentityFile {sshd.identity_file}\n", "")
        write(f"Host veg\n{lines}")
        assert self.echo(self.alias("veg")) == b"in\n"
        write(f"Host veg\n{lines}  IdentitiesOnly yes\n  IdentityFile /nonexistent/key\n")
        with pytest.raises(AuthenticationError, match="/nonexistent/key cannot be read"):
            self.echo(self.alias("veg"))
