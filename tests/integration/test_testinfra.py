"""testinfra's own modules, on our hosts."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from otto_docker_sync import CommandTimedOut, ConfigError, DockerContainerHost, LocalHost, UnixHost
from tests.rig.account import Account
from tests.rig.containers import Container


@pytest.mark.parametrize("kind", ["busybox", "bash"])
def test_modules_in_a_container(
    kind: str, shared_container: Callable[[str], Container], container_host: Callable[..., DockerContainerHost]
) -> None:
    web = container_host(shared_container(kind))
    infra = web.testinfra
    assert infra is web.testinfra
    passwd = infra.file("/etc/passwd")
    assert passwd.is_file and passwd.user == "root" and "tester" in passwd.content_string
    assert not infra.file("/no/such/file").exists
    assert infra.user("tester").uid == 1000
    if kind == "bash":  # the ps of BusyBox has no times, which testinfra asks for
        assert [process.pid for process in infra.process.filter(args="sleep 2147483")] == [1]
    assert infra.check_output("printf %s", "ü'\"$x") == "ü'\"$x"
    result = infra.run("echo out; echo err >&2; exit 3")
    assert (result.rc, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert infra.backend.get_pytest_id() == f"otto://{web.id}"


def test_modules_on_a_machine(unix_host: UnixHost, account: Account) -> None:
    infra = unix_host.testinfra
    assert infra.user().name == account.name
    assert infra.package("dash").is_installed and not infra.package("no-such-package").is_installed
    assert infra.system_info.type == "linux"
    assert infra.process.filter(comm="sshd")
    assert not infra.service("no-such-service").is_running
    assert infra.file("/etc/passwd").mode == 0o644


def test_a_command_of_unknown_outcome_is_an_error() -> None:
    with LocalHost(default_timeout=0.5) as host, pytest.raises(CommandTimedOut):
        host.testinfra.run("sleep 60")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "otto_docker_sync._verbs.testinfra", raising=False)
    monkeypatch.setitem(sys.modules, "testinfra.host", None)
    with LocalHost() as host, pytest.raises(ConfigError, match=r"pip install 'otto-docker-sync\[testinfra\]'"):
        host.testinfra.file("/etc/passwd")
