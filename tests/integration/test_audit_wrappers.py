"""Machines that wrap every command of a login, to record it: sshd's ForceCommand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from otto_docker_sync import ConnectError, DockerContainerHost, Host, OttoError, UnixHost
from tests.rig.containers import Container
from tests.rig.sshd import Sshd

MakeWrapped = Callable[[str, str], Host]

BANNER = 'echo "** recorded **"; echo "** behave **" >&2'
TERMINAL = 'script -qec "$SSH_ORIGINAL_COMMAND" /dev/null'
RELAY = "import pty, sys; pty.spawn(['docker', *sys.argv[1:]])"

on_both = pytest.mark.parametrize("where", ["machine", "container"])


@pytest.fixture
def wrapped(
    make_sshd: Callable[..., Sshd],
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
    shared_container: Callable[[str], Container],
) -> MakeWrapped:
    """Make a machine whose ForceCommand is given, or a container on it."""

    def make(wrapper: str, where: str) -> Host:
        machine = make_unix_host(make_sshd(ForceCommand=wrapper))
        return machine if where == "machine" else container_host(shared_container("busybox"), machine)

    return make


def every_verb(host: Host, tmp_path: Path) -> dict[str, Callable[[], object]]:
    """What is not done in a session. Each returns what was printed, or how often it was copied."""
    local = tmp_path / "local"
    local.write_text("hi\n")
    return {
        "oneshot": lambda: host.oneshot("echo hi; echo err >&2", timeout=20).check().stdout,
        "input": lambda: host.oneshot("cat", input="hi\n", timeout=20).check().stdout,
        "start": lambda: host.start("echo hi").wait(20).check().stdout,
        "path": lambda: host.path("/etc/hostname").read_text() and "hi\n",
        "get": lambda: host.get("/etc/hostname", tmp_path, timeout=20).check() and "hi\n",
        "put": lambda: host.put(local, "/tmp", timeout=20).check() and "hi\n",
    }


@on_both
def test_a_wrapper_that_only_prints_a_banner_changes_nothing(wrapped: MakeWrapped, tmp_path: Path, where: str) -> None:
    host = wrapped(f'{BANNER}; exec $SHELL -c "$SSH_ORIGINAL_COMMAND"', where)
    for verb, call in every_verb(host, tmp_path).items():
        assert call() == "hi\n", verb
    host.oneshot("rm /tmp/local", timeout=20).check()
    assert host.run("echo hi", timeout=20).output == "hi\n"


@on_both
@pytest.mark.parametrize("wrapper", [TERMINAL, f"{BANNER}; exec {TERMINAL}"])
def test_a_wrapper_with_a_terminal_is_named_before_anything_is_run(
    wrapped: MakeWrapped, tmp_path: Path, where: str, wrapper: str
) -> None:
    host = wrapped(wrapper, where)
    for call in every_verb(host, tmp_path).values():
        with pytest.raises(ConnectError, match=r"has put a terminal around the command.*nothing was run.*ForceCommand"):
            call()
    result = host.run("echo hi; exit 3", timeout=20)
    assert (result.output, result.retcode) == ("hi\n", 3)


def test_a_docker_client_behind_a_terminal_is_named(
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
    shared_container: Callable[[str], Container],
    tmp_path: Path,
) -> None:
    host = container_host(shared_container("busybox"), make_unix_host(docker_command=("python3", "-c", RELAY)))
    for call in every_verb(host, tmp_path).values():
        with pytest.raises(ConnectError, match="has put a terminal around the command"):
            call()


@on_both
def test_a_wrapper_that_joins_stdout_and_stderr_is_named(wrapped: MakeWrapped, tmp_path: Path, where: str) -> None:
    host = wrapped('$SHELL -c "$SSH_ORIGINAL_COMMAND" 2>&1 | tee /dev/null', where)
    verbs = every_verb(host, tmp_path)
    for verb in ("oneshot", "input", "start"):
        with pytest.raises(OttoError, match=r"joined stdout and stderr of the command.*ForceCommand") as raised:
            verbs[verb]()
        assert "<" not in str(raised.value)


@on_both
def test_a_wrapper_that_keeps_stderr_is_named(wrapped: MakeWrapped, where: str) -> None:
    host = wrapped('exec $SHELL -c "$SSH_ORIGINAL_COMMAND" 2>/dev/null', where)
    result = host.oneshot("echo out; exit 3", timeout=30)
    assert (result.retcode, result.output) == (None, "out\n")
    assert re.search(r"keeps the command's stderr; the command has ended with status 3.*ForceCommand", result.message)


@on_both
def test_a_wrapper_that_keeps_stdin_is_named(wrapped: MakeWrapped, tmp_path: Path, where: str) -> None:
    host = wrapped('exec $SHELL -c "$SSH_ORIGINAL_COMMAND" </dev/null', where)
    for call in every_verb(host, tmp_path).values():
        with pytest.raises(ConnectError, match=r"keeps the stdin of the command from it.*ForceCommand"):
            call()


def test_a_forward_to_a_container_says_what_keeps_its_address_from_us(wrapped: MakeWrapped) -> None:
    with pytest.raises(ConnectError, match="has put a terminal around the command"):
        wrapped(TERMINAL, "container").forward(80)
