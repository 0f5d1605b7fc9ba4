"""lab.toml: what it may say, and how what it may not say is told."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from otto_docker_sync._lab.tables import HostTable, TelnetTable
from otto_docker_sync._ssh import SSHOptions
from otto_docker_sync._telnet import TelnetOptions
from otto_docker_sync.errors import ConfigError
from otto_docker_sync.lab import Lab
from otto_docker_sync.local_host import LocalHost
from otto_docker_sync.secret import reveal
from otto_docker_sync.unix_host import UnixHost

Load = Callable[[str], Lab]

FULL = """
name = "bench"
resources = ["rack 7"]

[hosts.carrot]
host = "192.0.2.10"
user = "tester"
port = 2222
identity_file = "~/keys/id"
known_hosts = "known_hosts"
config_file = "$OTTO_TEST_PLACE/config"
password_env = "CARROT_PASSWORD"
hop = "gateway"
docker_command = ["sudo", "-n", "docker"]
resources = ["carrot"]
connect_timeout = 5
host_key_policy = "accept-new"
log_stdout = false

[hosts.gateway]
host = "gateway.example"
docker_capable = false

[hosts.old]
host = "192.0.2.20"
term = "telnet"
telnet.login_prompt = "User: $"

[hosts.here]
term = "local"

[reservations]
backend = "redis://lab-redis:6379/0"
password_env = "CARROT_PASSWORD"
ttl = 30
required = true

[projects.repo1]
compose_files = ["docker/compose.yml", "extra.yml"]
default_host = "carrot"
services = ["api", "db", "db#2"]
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str) -> Lab:
        (tmp_path / "lab.toml").write_text(text)
        with Lab.load(tmp_path / "lab.toml") as lab:
            return lab

    return load


@pytest.fixture
def refusal(load: Load) -> Callable[[str], str]:
    """The message about a lab file that is refused."""

    def refusal(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text)
        assert "lab.toml" in str(caught.value)
        return str(caught.value)

    return refusal


class TestWhatItSays:
    @pytest.fixture
    def lab(self, load: Load, monkeypatch: pytest.MonkeyPatch) -> Lab:
        monkeypatch.setenv("OTTO_TEST_PLACE", "/place")
        monkeypatch.setenv("HOME", "/home/tester")
        return load(FULL)

    def test_hosts_are_there_under_their_ids(self, lab: Lab) -> None:
        assert (lab.name, lab.resources) == ("bench", {"rack 7"})
        assert list(lab.hosts)[:4] == ["carrot", "gateway", "old", "here"]

    def test_arguments_of_unix_host_and_ssh_options_are_keys(self, lab: Lab) -> None:
        carrot = lab.hosts["carrot"]
        assert isinstance(carrot, UnixHost)
        assert (carrot.host, carrot.user, carrot.port, carrot.hop) == (
            "192.0.2.10",
            "tester",
            2222,
            lab.hosts["gateway"],
        )
        assert (carrot.docker_command, carrot.resources) == (("sudo", "-n", "docker"), {"carrot"})
        assert (carrot.ssh.connect_timeout, carrot.ssh.host_key_policy) == (5, "accept-new")
        assert (carrot.log, carrot.log_stdout) == (True, False)

    def test_paths_start_at_the_file_and_expand(self, lab: Lab, tmp_path: Path) -> None:
        carrot = lab.hosts["carrot"]
        assert isinstance(carrot, UnixHost)
        assert carrot.ssh.identity_file == "/home/tester/keys/id"
        assert carrot.ssh.known_hosts == str(tmp_path / "known_hosts")
        assert carrot.ssh.config_file == "/place/config"
        assert lab.projects["repo1"].compose_files == (tmp_path / "docker/compose.yml", tmp_path / "extra.yml")

    def test_telnet_and_this_machine(self, lab: Lab) -> None:
        old = lab.hosts["old"]
        assert isinstance(old, UnixHost)
        assert (old.term, old.telnet.login_prompt) == ("telnet", "User: $")
        assert isinstance(lab.hosts["here"], LocalHost)

    def test_reservations_and_where_they_are_kept(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARROT_PASSWORD", "hunter2")
        options = lab.reservations.options
        assert (options.backend, options.ttl, options.required) == ("redis://lab-redis:6379/0", 30.0, True)
        assert reveal(options.password) == "hunter2"

    def test_declared_services_are_hosts(self, lab: Lab) -> None:
        names = ["carrot.repo1.api", "carrot.repo1.db", "carrot.repo1.db#2"]
        assert [host.id for host in lab.containers()] == names
        assert {host.container_id for host in lab.containers()} == {""}

    def test_without_a_name_it_is_that_of_the_directory(self, load: Load, tmp_path: Path) -> None:
        assert load("").name == tmp_path.name

    def test_the_tables_know_every_option(self) -> None:
        ssh = {field.name for field in dataclasses.fields(SSHOptions)} - {"passphrase", "answers"}
        assert ssh < set(HostTable.model_fields)
        assert {field.name for field in dataclasses.fields(TelnetOptions)} == set(TelnetTable.model_fields)


class TestPasswords:
    def password(self, load: Load, key: str) -> str | None:
        host = load(f'[hosts.carrot]\nhost = "192.0.2.1"\n{key}').hosts["carrot"]
        assert isinstance(host, UnixHost)
        return reveal(host.connections._password)

    def test_from_the_environment_when_needed(self, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARROT_PASSWORD", "hunter2")
        assert self.password(load, 'password_env = "CARROT_PASSWORD"') == "hunter2"

    def test_a_variable_that_is_not_set_is_told_when_needed(self, load: Load) -> None:
        with pytest.raises(ConfigError, match=r"\[hosts.carrot\] password_env.*no variable NO_SUCH_THING"):
            self.password(load, 'password_env = "NO_SUCH_THING"')

    @pytest.mark.parametrize("command", ["\"printf 'a b\\n'\"", '["printf", "a b\\n"]'])
    def test_from_a_command(self, load: Load, command: str) -> None:
        assert self.password(load, f"password_command = {command.replace(chr(10), chr(92) + 'n')}") == "a b"

    def test_a_command_is_asked_once(self, load: Load, tmp_path: Path) -> None:
        count = tmp_path / "count"
        host = load(f'[hosts.a]\nhost = "x"\npassword_command = ["sh", "-c", "echo >>{count}; echo pw"]').hosts["a"]
        assert isinstance(host, UnixHost)
        assert not count.exists()
        assert [reveal(host.connections._password), reveal(host.connections._password)] == ["pw", "pw"]
        assert count.read_text() == "\n"

    @pytest.mark.parametrize(
        ("command", "what"),
        [("/no/such/thing", "could not be run"), ("false", "failed with status 1")],
    )
    def test_a_command_that_fails(self, load: Load, command: str, what: str) -> None:
        with pytest.raises(ConfigError, match=rf"\[hosts.carrot\] password_command: {command} {what}"):
            self.password(load, f'password_command = "{command}"')

    def test_of_sudo(self, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARROT_SUDO", "hunter3")
        host = load('[hosts.carrot]\nhost = "192.0.2.1"\nsudo_password_env = "CARROT_SUDO"').hosts["carrot"]
        assert reveal(host.backend.sudo_password) == "hunter3"

    @pytest.mark.parametrize("key", ["password", "passphrase", "sudo_password"])
    def test_never_in_the_file(self, refusal: Callable[[str], str], key: str) -> None:
        message = refusal(f'[hosts.carrot]\nhost = "x"\n{key} = "hunter2"')
        assert f"[hosts.carrot] {key}" in message and f"{key}_env" in message and f"{key}_command" in message
        assert "hunter2" not in message

    def test_one_source_only(self, refusal: Callable[[str], str]) -> None:
        both = '[hosts.a]\nhost = "x"\npassword_env = "A"\npassword_command = "b"'
        assert "one of the two" in refusal(both)


HOST = '[hosts.carrot]\nhost = "192.0.2.1"\n'
CONTAINER = HOST + "[containers.web]\nparent = 'carrot'\ncontainer = 'web-1'\n"
PROJECT = '[projects.repo1]\ncompose_files = ["compose.yml"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "name = a",
            r"not valid TOML, line 1: .*\n    name = a\na string stands in quotes: name = \"a\"$",
            id="broken TOML",
        ),
        pytest.param("[hosts.a]\n[hosts.a]", r"not valid TOML, line 2: (?s:.*)twice", id="a table twice"),
        pytest.param('nam = "bench"', r"toml: nam: there is no such key; did you mean 'name'\?", id="unknown key"),
        pytest.param(HOST + 'usr = "x"', r"\[hosts.carrot\] usr: .*did you mean 'user'\?", id="unknown host key"),
        pytest.param(
            HOST + "[hosts.carrot.telnet]\nlogin_promt = '$'",
            r"\[hosts.carrot.telnet\] login_promt: .*'login_prompt'",
            id="unknown telnet key",
        ),
        pytest.param(PROJECT + "service = []", r"\[projects.repo1\] service: .*'services'", id="unknown project key"),
        pytest.param(
            HOST + 'port = "22"',
            r'\[hosts.carrot\] port = "22": it should be a whole number, without quotes',
            id="type",
        ),
        pytest.param(HOST + "port = 70000", r"port = 70000: it should be less than", id="range"),
        pytest.param(HOST + "docker_capable = 1", r"docker_capable = 1: .*true or false", id="a number for a boolean"),
        pytest.param(HOST + 'docker_command = "docker"', r"docker_command = .*a list", id="a text for a list"),
        pytest.param(HOST + 'term = "serial"', r"term = .*'ssh', 'telnet' or 'local'", id="choice"),
        pytest.param(HOST + 'host_key_policy = "none"', r"host_key_policy = .*'reject'", id="host key policy"),
        pytest.param("hosts = 3", r"toml: hosts = 3: it should be a table", id="no table"),
        pytest.param('[hosts]\ncarrot = "x"', r'\[hosts\] carrot = "x": it should be a table', id="no table of a host"),
        pytest.param('[hosts.carrot]\nuser = "x"', r"\[hosts.carrot\] host: missing", id="no address"),
        pytest.param('[hosts."a b"]\nhost = "x"', r"\[hosts.a b\]: a host's id is made of", id="host id"),
        pytest.param(
            '[hosts.a]\nhost = "x"\n[hosts.A]\nhost = "y"', r"\[hosts\].*upper and lower case", id="ids alike"
        ),
        pytest.param('[hosts.a]\nhost = "-oProxy"', r"\[hosts.a\].*-oProxy", id="an option for an address"),
        pytest.param('[hosts.a]\nterm = "local"\nuser = "x"', r"\[hosts.a\] user: .*this machine", id="local"),
        pytest.param(HOST + 'hop = "carot"', r"\[hosts.carrot\] hop = 'carot': .*'carrot'", id="unknown hop"),
        pytest.param(HOST + 'hop = "carrot"', r"hop: .*circle: carrot → carrot", id="its own hop"),
        pytest.param(
            HOST + 'hop = "b"\n[hosts.b]\nhost = "x"\nhop = "c"\n[hosts.c]\nhost = "y"\nhop = "carrot"',
            r"circle: carrot → b → c → carrot",
            id="hops in a circle",
        ),
        pytest.param(
            HOST + 'hop = "t"\n[hosts.t]\nhost = "x"\nterm = "telnet"', r"\[hosts.carrot\].*over SSH", id="telnet hop"
        ),
        pytest.param(HOST + 'hop = "h"\n[hosts.h]\nterm = "local"', r"carrot\] hop.*this machine", id="no hop"),
        pytest.param(HOST + 'known_hosts = "$NO_SUCH_THING/x"', r"known_hosts = .*NO_SUCH_THING", id="variable"),
        pytest.param(PROJECT + 'default_host = "carrt"\n' + HOST, r"repo1\] default_host.*'carrot'", id="host"),
        pytest.param(
            HOST + "docker_capable = false\n" + PROJECT + 'default_host = "carrot"',
            r"\[projects.repo1\] default_host.*not docker_capable",
            id="a parent without docker",
        ),
        pytest.param("[projects.repo1]", r"\[projects.repo1\] compose_files: .*missing", id="no compose file"),
        pytest.param("[reservations]\nbackend = 'x'", r"\[reservations\] .*backend='x': use 'file'", id="backend"),
        pytest.param("[reservations]\nttl = 0", r"\[reservations\] ttl = 0: .*greater than 0", id="ttl"),
        pytest.param("[reservations]\nrequire = true", r"\[reservations\] require: .*'required'", id="reservations"),
        pytest.param("[reservations]\npassword = 'x'", r"\[reservations\] password: .*password_env", id="redis"),
        pytest.param(PROJECT + 'services = ["a b"]', r"repo1\] services = .*'a b' is not a valid", id="service"),
        pytest.param(HOST + 'user: "x"', r"line 3: (?s:.*)user = \"x\"$", id="a colon"),
        pytest.param(HOST + "user = tester # me", r"user = \"tester\"$", id="no quotes"),
        pytest.param(HOST + "log = True", r"log = true, or false$", id="capital letters"),
        pytest.param(HOST + "user =", r"the value is missing: user", id="no value"),
        pytest.param(HOST + 'identity_file = "C:\\keys"', r"use single quotes, identity_file", id="a backslash"),
        pytest.param(HOST + "resources = [a, b]", r"resources = \[\"one\", \"two\"\]$", id="a list without quotes"),
        pytest.param(HOST + 'user = "tester', r"the quote at the end is missing: user", id="no second quote"),
        pytest.param("[hosts.carrot\nhost = 'x'", r"line 1: (?s:.*)bracket at the end", id="no bracket"),
        pytest.param("hosts.carrot", r"a line is a table, \[hosts.carrot\]", id="neither table nor key"),
        pytest.param(HOST + "[containers.web]\nparent = 'carrot'", r"web\] container: .*missing", id="no container"),
        pytest.param(CONTAINER.replace("'carrot'", "'carot'"), r"web\] parent = 'carot'.*'carrot'", id="parent"),
        pytest.param(CONTAINER + "contaner = 'x'", r"web\] contaner: .*'container'", id="unknown container key"),
        pytest.param(CONTAINER + "user = 'a b'", r"\[containers.web\] user='a b'", id="a user of a container"),
        pytest.param(CONTAINER.replace("'web-1'", "'-x'"), r"web\] container = .*docker ps", id="container id"),
        pytest.param(
            CONTAINER + "[containers.WEB]\nparent = 'carrot'\ncontainer = 'x'",
            r"\[containers\].*upper and lower case",
            id="containers alike",
        ),
        pytest.param("[projects.'a.b']\ncompose_files = ['x']", r"\[projects.a.b\]: a project's name", id="project"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(refusal: Callable[[str], str], text: str, message: str) -> None:
    told = refusal(text)
    assert re.search(message, told), told


def test_a_file_with_a_byte_order_mark(load: Load) -> None:
    assert list(load("\ufeff" + HOST).hosts) == ["carrot"]


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_bytes(b'name = "\xe4"')
    with pytest.raises(ConfigError, match=r"lab\.toml is not UTF-8: .* at byte 8"):
        Lab.load(tmp_path / "lab.toml")


def test_containers_that_no_compose_file_made(load: Load) -> None:
    options = 'user = "1000"\nshell = "bash"\nwarm = 2\nresources = ["gpu"]\n'
    lab = load(HOST + 'resources = ["carrot"]\n' + CONTAINER.removeprefix(HOST) + options)
    (web,) = lab.containers()
    assert web is lab.get("carrot.docker.web")
    assert (web.container_id, web.service, web.project, web.compose_project) == ("web-1", "web", "docker", "")
    assert (web.user, web.shell, web.warm, web.resources) == ("1000", "bash", 2, {"carrot", "gpu"})


def test_containers_of_a_project_have_its_spare_shells(load: Load) -> None:
    lab = load(HOST + PROJECT + 'services = ["api", "db"]\nwarm = 3')
    assert [container.warm for container in lab.containers()] == [3, 3]


def test_all_that_is_wrong_is_told_at_once(refusal: Callable[[str], str]) -> None:
    assert len(refusal(HOST + 'usr = "x"\nport = "22"\npassword = "x"').splitlines()) == 3


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lab file .*none\.toml: No such file"):
        Lab.load(tmp_path / "none.toml")


def test_loading_contacts_nothing_and_runs_nothing(load: Load, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    load(HOST + f'password_command = "touch {ran}"\n' + PROJECT + 'services = ["api"]')
    assert not ran.exists()
    assert not os.path.exists(tmp_path / "compose.yml")
