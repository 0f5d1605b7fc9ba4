"""Shells other than sh, bash and busybox, as the shell of commands and as the login shell of a machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otto_docker_sync import DockerContainerHost, Host, LocalHost, ShellNotFound, UnixHost
from tests.rig.account import Account
from tests.rig.containers import Container

SHELLS = ["dash", "bash", "ksh", "mksh", "zsh", "yash"]
LOGIN_SHELLS = ["tcsh", "fish", "zsh", "ksh", "mksh", "yash"]
CONTROLS = "".join(map(chr, [*range(1, 9), *range(11, 32), 127]))


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest) -> Iterator[LocalHost]:
    with LocalHost(shell=request.param) as made:
        yield made


def test_both_ways_to_run_a_command(host: LocalHost) -> None:
    assert host.oneshot("echo hi; (exit 3)", timeout=20).retcode == 3
    assert host.oneshot("echo ü☃", timeout=20).output == "ü☃\n"
    assert host.run("cd /tmp; X=kept", timeout=20).ok
    assert host.run("echo ü☃ $X; pwd", timeout=20).output == "ü☃ kept\n/tmp\n"
    assert host.run("echo a\necho b '\n'; cat <<END\nc\nEND", timeout=20).output == "a\nb \n\nc\n"
    assert host.run("fi", timeout=20).retcode not in (0, None)
    assert host.run("echo on", timeout=20).output == "on\n"


def test_the_command_runs_in_the_shell_that_was_chosen(host: LocalHost) -> None:
    assert Path(host.oneshot("readlink /proc/$$/exe", timeout=20).output.strip()).name.startswith(host.shell)
    assert Path(host.run("readlink /proc/$$/exe", timeout=20).output.strip()).name.startswith(host.shell)


def test_a_oneshot_that_kills_itself_says_so_at_once(host: LocalHost) -> None:
    result = host.oneshot("echo a; kill -9 $$", timeout=20)
    assert (result.retcode, result.output) == (137, "a\n")
    assert host.oneshot("kill -TERM $$", timeout=20).retcode == 143
    assert result.duration < 2


@pytest.mark.parametrize("setting", ["stty raw", "stty sane", "stty -icanon", "stty -iexten", "stty echo"])
def test_control_bytes_arrive_whatever_the_terminal_was_set_to(host: LocalHost, setting: str) -> None:
    assert host.run(setting, timeout=20).ok
    assert host.run(f"printf %s 'a{CONTROLS}b' | wc -c", timeout=20).output.strip() == str(2 + len(CONTROLS))
    assert host.run("printf 'a\tb'", timeout=20).output == "a\tb"


def test_a_timed_out_command_ends_and_the_shell_keeps_its_state(host: LocalHost) -> None:
    assert host.run("KEPT=yes", timeout=20).ok
    for _ in range(3):
        assert host.run("sleep 9001", timeout=0.3).timed_out
        result = host.run("echo $KEPT", timeout=20)
        assert (result.output, result.new_session) == ("yes\n", False)


NAMES = ["command", "printf", "eval", "export", "set", "test", "[", "trap", "unset", "read", ":"]


def test_functions_with_the_names_of_commands_change_nothing_for_others(host: LocalHost) -> None:
    for name in NAMES:
        # Not every shell lets a function have the name of a special built-in.
        host.run(f"{name}() {{ echo mine; return 7; }}", timeout=20)
        assert host.run("echo 'a\tb'; (exit 3)", timeout=20).output == "a\tb\n", name
    assert host.run("cd /; pwd", timeout=20).output == "/\n"
    assert host.run("sleep 9001", timeout=0.3).timed_out
    result = host.run("pwd", timeout=20)
    assert (result.output, result.new_session) == ("/\n", False)


def test_aliases_with_the_names_of_commands_change_nothing_for_others(host: LocalHost) -> None:
    for name in NAMES[:-5]:
        assert host.run(f"alias {name}='echo mine'", timeout=20).ok
        assert host.run("echo 'a\tb'; (exit 3)", timeout=20).retcode == 3, name
        assert host.run("echo 'a\tb'", timeout=20).output == "a\tb\n", name


@pytest.fixture(params=["bash", "bash as sh in a container", "bash in a container"])
def bash(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "bash":
        with LocalHost(shell="bash") as made:
            yield made
    else:
        container = request.getfixturevalue("shared_container")("bash")
        shell = "sh" if " as sh" in request.param else "bash"
        yield request.getfixturevalue("container_host")(container, shell=shell)


@pytest.mark.parametrize("option", ["", "set -T; ", "set -T -E; "])
def test_a_trap_of_bash_shows_the_users_commands_only(bash: Host, option: str) -> None:
    assert bash.run(f"{option}trap 'echo +$BASH_COMMAND' DEBUG", timeout=20).output == ""
    assert bash.run("echo 'a\tb'", timeout=20).output == "+echo 'a b'\na\tb\n"
    assert bash.run("true\n(exit 4)", timeout=20).retcode == 4
    assert bash.run("trap - DEBUG", timeout=20).output == "+trap - DEBUG\n"
    assert bash.run("trap 'echo failed $?' ERR; trap 'echo returned' RETURN", timeout=20).output == ""
    result = bash.run("f() { :; }; f; false", timeout=20)
    assert result.output == ("returned\n" if option else "") + "failed 1\n"
    assert (result.retcode, bash.run("echo $?", timeout=20).output) == (1, "1\n")


@pytest.mark.parametrize("shell", ["ksh", "mksh", "zsh", "bash"])
def test_an_error_trap_runs_once(shell: str) -> None:
    with LocalHost(shell=shell) as host:
        assert host.run("trap 'echo failed' ERR", timeout=20).output == ""
        result = host.run("(exit 3)", timeout=20)
        assert (result.output, result.retcode) == ("failed\n", 3)
        # Here nothing may follow the command: it would become a part of it.
        assert host.run("echo on \\", timeout=20).output.rstrip(" \\\n") == "on"
        assert host.run("cat <<END\na\nEND", timeout=20).output == "a\n"
        assert host.run("false |", timeout=20).failed


@pytest.mark.parametrize("editor", ["vi", "emacs"])
def test_bash_takes_its_line_editor(bash: Host, editor: str) -> None:
    assert bash.run("KEPT=yes; false", timeout=20).retcode == 1
    result = bash.run(f"echo $?\nset -o {editor}; echo $?\necho last; (exit 5)", timeout=20)
    assert (result.output, result.retcode) == ("1\n0\nlast\n", 5)
    assert bash.run("printf 'a\tb'; echo $KEPT", timeout=20).output == "a\tbyes\n"
    assert bash.run("set -o", timeout=20).output.count("on\n") and bash.run(f"set +o {editor}", timeout=20).ok
    result = bash.run("echo $KEPT", timeout=20)
    assert (result.output, result.new_session) == ("yes\n", False)


@pytest.mark.parametrize("editor", ["vi", "emacs"])
@pytest.mark.parametrize("shell", ["dash", "mksh", "yash", "zsh"])
def test_control_bytes_arrive_while_a_line_editor_is_on(shell: str, editor: str) -> None:
    with LocalHost(shell=shell) as host:
        host.run(f"set -o {editor}", timeout=20)
        assert [host.run("printf 'a\tb'", timeout=20).output for _ in range(6)] == ["a\tb"] * 6


@pytest.mark.parametrize("start_up", ["trap 'printf x' DEBUG", "set -x", "exec fish", "exit 3"])
def test_start_up_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_up: str) -> None:
    for name in (".bashrc", ".bash_profile", ".zshrc", ".yashrc", ".mkshrc", ".kshrc"):
        (tmp_path / name).write_text(f"{start_up}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for shell in ("bash", "zsh", "yash", "mksh", "ksh"):
        with LocalHost(shell=shell) as host:
            assert host.run("echo hi", timeout=20).output == "hi\n", shell


def test_a_session_says_to_programs_that_no_person_waits(
    ctr: DockerContainerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMOUT", "1")
    for host in (ctr, LocalHost()):
        with host:
            assert host.run("echo $PAGER $GIT_PAGER $TMOUT", timeout=20).output == "cat cat 0\n"


@pytest.mark.parametrize(
    "value", ["x" * 5000, "x" * 200_000, "a\rb", "a\x16b", "a\x04b", "a\x11b\x13c", "a\x7fb", "a'b\"c\\d\n\ne\n"]
)
def test_a_value_of_the_environment_arrives_as_it_is(
    container_host: Callable[..., DockerContainerHost],
    shared_container: Callable[[str], Container],
    shell_kind: str,
    value: str,
) -> None:
    host = container_host(shared_container(shell_kind), env={"A": value, "B": "after"})
    assert host.run('printf "%s|" "$A" "$B"', timeout=30).output == f"{value}|after|"
    assert host.oneshot('printf "%s|" "$A" "$B"', timeout=30).output == f"{value}|after|"


def test_a_shell_that_is_not_there_is_named(
    container_host: Callable[..., DockerContainerHost], shared_container: Callable[[str], Container]
) -> None:
    host = container_host(shared_container("busybox"), shell="zsh")
    with pytest.raises(ShellNotFound, match="zsh"):
        host.run("true", timeout=20)
    result = host.oneshot("true", timeout=20)
    assert result.retcode == 127 and "zsh" in result.stderr


@pytest.fixture(params=LOGIN_SHELLS)
def login_shell(request: pytest.FixtureRequest, account: Account) -> Iterator[str]:
    """The shell that the logins of this machine's account get for the time of a test."""
    path = shutil.which(request.param)
    assert path is not None
    usual = subprocess.run(["getent", "passwd", account.name], capture_output=True, text=True, check=True)
    subprocess.run(["usermod", "--shell", path, account.name], check=True)
    yield path
    subprocess.run(["usermod", "--shell", usual.stdout.strip().rpartition(":")[2], account.name], check=True)


def test_any_login_shell_will_do(
    login_shell: str,
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., Any],
    shared_container: Callable[[str], Container],
) -> None:
    parent = make_unix_host()
    host = container_host(shared_container("busybox"), parent)
    for each in (parent, host):
        assert each.oneshot("echo 'a!b' \"$(echo c\\\\d)\"", timeout=20).output == "a!b c\\d\n"
        assert each.run("X='!'; echo \"$X\"", timeout=20).output == "!\n"
        assert each.oneshot(["printf", "%s|", "it's", "a!b", "c\nd", "\\"], timeout=20).output == "it's|a!b|c\nd|\\|"


def test_the_job_of_an_earlier_command_survives_the_timeout_of_the_next(shell_ctr: DockerContainerHost) -> None:
    for _ in range(10):
        shell_ctr.run("sleep 555 &", timeout=20)
        assert shell_ctr.run("read -r x", timeout=0.3).timed_out
        assert shell_ctr.run("kill -0 $!", timeout=20).ok


@pytest.mark.parametrize("shell", ["dash", "bash", "ksh", "mksh", "zsh"])
def test_a_shell_that_cannot_redirect_any_more_is_named_and_replaced(shell: str) -> None:
    with LocalHost(shell=shell) as host:
        assert host.run("X=1", timeout=20).ok
        result = host.run("ulimit -n 4", timeout=600)
        assert result.retcode is None and result.session_ended and not result.timed_out
        assert "could not redirect" in result.message and "ulimit -n" in result.message
        assert host.run("echo ${X:-new}", timeout=20).output == "new\n"


def test_the_text_of_a_command_is_not_run_again_where_nothing_can_be_redirected() -> None:
    with LocalHost(shell="bash") as host:
        assert host.run("N=0; N=$((N + 1)); echo $N", timeout=20).output == "1\n"
        host.sendline("ulimit -n 4")
        result = host.run("echo after", timeout=600)
        assert result.retcode is None and "could not redirect" in result.message
        assert "N=" not in result.output and host.run("echo ok", timeout=20).output == "ok\n"


def test_a_busybox_that_cannot_redirect_any_more_is_replaced(ctr: DockerContainerHost) -> None:
    result = ctr.run("ulimit -n 4", timeout=600)
    assert not result.ok and result.session_ended and not result.timed_out
    assert ctr.run("echo ok", timeout=20).output == "ok\n"
