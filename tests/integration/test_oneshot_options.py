"""What a single oneshot may be given: another user, another directory, an environment."""

from __future__ import annotations

import logging
import os
import pwd
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from otto_docker_sync import (
    AuthenticationError,
    ConfigError,
    DockerContainerHost,
    LocalHost,
    UnixHost,
)
from otto_docker_sync.host import Host
from tests.faults.helpers import Call, on_this_machine, until
from tests.rig.account import Account
from tests.rig.containers import Container
from tests.rig.telnetd import Telnetd

MakeUnixHost = Callable[..., UnixHost]

SHOW_UID = "while read -r line; do case $line in Uid*) echo $line ;; esac; done </proc/self/status"
"""There is no id program in every container."""


@contextmanager
def sudo_rule(account: Account, rule: str) -> Iterator[None]:
    """Let the account use sudo as `rule` says."""
    entry = Path("/etc/sudoers.d") / f"{account.name.replace('.', '_')}-oneshot"
    entry.write_text(f"{account.name} ALL=(ALL:ALL) {rule}\n")
    entry.chmod(0o440)
    try:
        yield
    finally:
        entry.unlink()


@pytest.fixture
def sudo_without_password(account: Account) -> Iterator[None]:
    with sudo_rule(account, "NOPASSWD: ALL"):
        yield


@pytest.fixture
def sudo_with_password(account: Account) -> Iterator[None]:
    with sudo_rule(account, "ALL"):
        yield


@pytest.fixture(params=["local", "ssh", "telnet"])
def machine(
    request: pytest.FixtureRequest, make_unix_host: MakeUnixHost, sudo_without_password: None
) -> Iterator[Host]:
    """A machine whose login may use sudo without a password."""
    if request.param == "ssh":
        yield make_unix_host()
        return
    if request.param == "local":
        made: Host = LocalHost()
    else:
        server: Telnetd = request.getfixturevalue("telnetd")
        made = UnixHost(server.host, server.user, password=server.password, port=server.port, term="telnet", id="old")
    with made:
        yield made


# Containers


def test_a_container_runs_it_as_any_user_that_docker_takes(shell_ctr: DockerContainerHost) -> None:
    for user, shown in (("tester", "1000"), ("1234", "1234"), ("1000:7", "1000")):
        assert shell_ctr.oneshot(SHOW_UID, user=user).check().output.split()[1] == shown
    assert shell_ctr.oneshot(SHOW_UID).check().output.split()[1] == "0"


def test_a_container_has_directory_and_environment_for_one_call(
    container_host: Callable[..., DockerContainerHost], shared_container: Callable[[str], Container]
) -> None:
    host = container_host(shared_container("busybox"), env={"KEPT": "kept", "CHANGED": "before"}, workdir="/etc")
    value = "two\nlines, it's $HOME\n"
    result = host.oneshot('pwd; printf "%s|%s" "$KEPT" "$CHANGED"', env={"CHANGED": value}, workdir="/proc/self")
    assert result.output.partition("\n")[2] == f"kept|{value}"
    assert host.oneshot("pwd; echo $CHANGED").output == "/etc\nbefore\n"
    assert host.oneshot(["pwd"], workdir="/tmp").output == "/tmp\n"


def test_a_container_says_which_user_or_directory_it_has_not(ctr: DockerContainerHost) -> None:
    with pytest.raises(ConfigError, match="no user 'nobody-here'"):
        ctr.oneshot("true", user="nobody-here")
    with pytest.raises(ConfigError, match="no directory '/not/here'"):
        ctr.oneshot("true", workdir="/not/here")
    assert ctr.oneshot("true").ok


# Machines


def test_a_machine_runs_it_as_another_user_through_sudo(machine: Host) -> None:
    assert machine.oneshot("id -un; id -gn", user="root").check().output == "root\nroot\n"
    assert machine.oneshot(["id", "-un"], user="1").output == f"{pwd.getpwuid(1).pw_name}\n"
    assert machine.oneshot("id -u; id -g", user="root:1").output == "0\n1\n"
    with pytest.raises(ConfigError, match="no user 'nobody-here'"):
        machine.oneshot("true", user="nobody-here")


def test_a_machine_has_directory_and_environment_for_one_call(machine: Host) -> None:
    value = "two\nlines, it's $HOME\n"
    given: dict[str, str] = {"GIVEN": value}
    assert machine.oneshot('printf "%s" "$GIVEN"; exit 3', env=given).output == value
    assert machine.oneshot("pwd; echo ${OLDPWD-unset}", workdir="/usr/bin").output == "/usr/bin\nunset\n"
    with_all = machine.oneshot('id -un; pwd; printf "%s" "$GIVEN"', env=given, workdir=Path("/"), user="root")
    assert with_all.output == f"root\n/\n{value}"
    for user in (None, "root"):
        with pytest.raises(ConfigError, match="no directory '/not/here'"):
            machine.oneshot("true", workdir="/not/here", user=user)


def test_a_command_of_another_user_that_is_out_of_time_leaves_nothing(machine: Host) -> None:
    seconds = f"9{time.monotonic_ns()}"
    for user in ("root", "daemon"):
        result = machine.oneshot(f"echo begun; sleep {seconds} & sleep {seconds}", timeout=2.0, user=user)
        assert (result.timed_out, result.output) == (True, "begun\n")
        until(lambda: not on_this_machine(seconds), 10, "the command has ended")
    until(lambda: not on_this_machine("sudo -n -u daemon -- sh"), 10, "sudo has ended")
    assert machine.oneshot("true", user="daemon").ok


def test_a_machine_that_has_no_sudo_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for program in ("sh", "env"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with LocalHost() as host, pytest.raises(ConfigError, match="has no sudo"):
        host.oneshot("true", user="root")


def test_the_password_is_given_when_sudo_asks_and_shows_nowhere(
    make_unix_host: MakeUnixHost,
    account: Account,
    sudo_with_password: None,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    host = make_unix_host(sudo_password=account.password)
    go_on = tmp_path / "go-on"
    call = Call(lambda: host.oneshot(f"id -un; while [ ! -e {go_on} ]; do sleep 0.1; done", user="root", timeout=60))
    until(lambda: "root" in caplog.text, 20, "the command runs")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                assert account.password.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    go_on.touch()
    assert call.result(20).output == "root\n"
    assert account.password not in caplog.text + repr(host)
    # The second call of a login may find sudo satisfied, so that it does not ask.
    assert host.oneshot("cat; echo end", user="root").output == "end\n"


def test_a_wrong_password_is_refused_once_and_not_shown(
    make_unix_host: MakeUnixHost, account: Account, sudo_with_password: None
) -> None:
    host = make_unix_host(sudo_password="not the password")
    with pytest.raises(AuthenticationError, match="sudo refused the password") as caught:
        host.oneshot("true", user="root")
    assert "not the password" not in str(caught.value)
    with pytest.raises(AuthenticationError, match="asks for a password"):
        make_unix_host().oneshot("true", user="root")


def test_a_password_that_nobody_asks_for_reaches_no_command(
    make_unix_host: MakeUnixHost, sudo_without_password: None
) -> None:
    host = make_unix_host(sudo_password="never asked for")
    assert host.oneshot("cat; echo end", user="root").output == "end\n"


# Arguments


@pytest.mark.parametrize(
    "options",
    [
        {"user": "-u root"},
        {"user": ""},
        {"user": 1000},
        {"workdir": "relative"},
        {"workdir": "/a\0b"},
        {"workdir": 3},
        {"env": {"A B": "x"}},
        {"env": {"A": 3}},
        {"env": ["A=b"]},
    ],
    ids=str,
)
def test_arguments_are_checked_at_once(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        LocalHost().oneshot("true", **options)  # type: ignore[arg-type]
