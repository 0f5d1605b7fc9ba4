"""What a oneshot is given on stdin."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otto_docker_sync import ConfigError, DockerContainerHost, LocalHost, UnixHost
from otto_docker_sync.host import Host
from tests.faults.helpers import Call, on_this_machine, until
from tests.rig.containers import Container
from tests.rig.telnetd import Telnetd

ALL_BYTES = bytes(range(256)) * 3 + b"-no line end %s \\n %%"
ECHO = "while IFS= read -r line; do printf '%s\\n' \"$line\"; done; printf 'rest=%s' \"$line\""
"""There is no cat in every container."""


@pytest.fixture(
    params=["local", "ssh", "telnet", "busybox on ssh", "bash on ssh", "bash on telnet", "busybox on local"]
)
def host(
    request: pytest.FixtureRequest,
    make_unix_host: Callable[..., UnixHost],
    shared_container: Callable[[str], Container],
) -> Iterator[Host]:
    kind, _, on = request.param.rpartition(" on ")
    if on == "ssh":
        parent: Host = make_unix_host()
    elif on == "local":
        parent = LocalHost()
    else:
        server: Telnetd = request.getfixturevalue("telnetd")
        parent = UnixHost(server.host, server.user, password=server.password, port=server.port, term="telnet", id="old")
    with parent:
        if not kind:
            yield parent
            return
        with DockerContainerHost(parent, shared_container(kind).id, "repo1", "api", "") as container:
            yield container


def test_a_command_reads_text_bytes_and_files(host: Host, tmp_path: Path) -> None:
    assert host.oneshot("cat; echo end", input="grüße\n").output == "grüße\nend\n"
    assert host.oneshot("cat", input=ALL_BYTES).output_bytes == ALL_BYTES
    assert host.oneshot(["cat"], input=io.BytesIO(ALL_BYTES)).output_bytes == ALL_BYTES
    assert host.oneshot("cat; echo end", input="").output == "end\n"
    assert host.oneshot("cat; echo end", input=io.BytesIO()).output == "end\n"
    assert host.oneshot("read -r a; read -r b; echo $b $a; exit 3", input="1\n2\n3\n").output == "2 1\n"
    data = os.urandom(2_500_000)
    (tmp_path / "data").write_bytes(data)
    with open(tmp_path / "data", "rb") as file:
        result = host.oneshot("echo begun >&2; sha256sum", input=file)
    assert hashlib.sha256(data).hexdigest() in result.check().output
    assert "<" not in result.output


def test_a_command_that_does_not_read_all_of_its_input_ends_as_ever(host: Host) -> None:
    much = b"x" * 3_000_000
    assert host.oneshot("exit 5", input=much).retcode == 5
    assert host.oneshot("head -c 3; exit 6", input=much).output == "xxx"
    assert host.oneshot("exec <&-; echo closed", input=much).output == "closed\n"
    # Its stdin stays open in a process that nobody waits for.
    result = host.oneshot("sleep 987650 <&0 >/dev/null 2>&1 & echo $!; read -r line", input=b"line\n" + much)
    assert host.oneshot(["kill", result.output.strip()]).ok


def test_a_command_that_is_out_of_time_leaves_nothing_whether_it_reads_or_not(host: Host) -> None:
    seconds = f"9{time.monotonic_ns()}"
    much = b"x" * 3_000_000
    for command, given in (("cat >/dev/null;", b"a\n"), ("head -c 9 >/dev/null;", much)):
        result = host.oneshot(f"{command} echo begun; sleep {seconds} & sleep {seconds}", timeout=3.0, input=given)
        assert (result.timed_out, result.output) == (True, "begun\n"), command
        until(lambda: not on_this_machine(f"sleep {seconds}"), 10, "the command has ended")
    assert host.oneshot("cat", input="after").output == "after"


def test_without_any_program_the_shell_alone_is_enough(
    container_host: Callable[..., DockerContainerHost], shared_container: Callable[[str], Container]
) -> None:
    host = container_host(shared_container("dash"))
    lines = "".join(f"line {number} %s \\n -\n" for number in range(5_000))
    assert host.oneshot(ECHO, input=lines + "-e").output == lines + "rest=-e"
    assert host.oneshot("exit 4", input="x" * 500_000).retcode == 4


def test_an_answer_that_comes_early_is_not_missed(ctr: DockerContainerHost) -> None:
    # The pipe to the command takes the first piece before there is a command.
    for _ in range(20):
        assert ctr.oneshot("wc -c", input=b"x" * 5000, timeout=30).output.strip() == "5000"


@pytest.mark.parametrize("kind", ["busybox", "bash"])
def test_no_zombie_is_left_where_nobody_collects_them(
    kind: str, container_host: Callable[..., DockerContainerHost], container: Callable[..., Container]
) -> None:
    host = container_host(container(kind))
    much = b"x" * 3_000_000
    for _ in range(8):
        for command in ("exit 3", "head -c 9", "cat >/dev/null", "exec <&-; sleep 0.1"):
            host.oneshot(command, input=much, timeout=60)
    show = "for dir in /proc/[0-9]*; do read -r line <$dir/stat; case ${line##*)} in ' Z '*) echo $line ;; esac; done"
    assert host.oneshot(show).stdout == ""


def test_errors_and_output_of_the_command_are_its_own(ctr: DockerContainerHost) -> None:
    result = ctr.oneshot("cat >&2; echo out", input=b"y" * 3_000_000)
    assert result.stderr == "y" * 3_000_000 and result.stdout == "out\n"


def test_what_the_command_starts_has_its_stdin_and_no_descriptor_of_ours(ctr: DockerContainerHost) -> None:
    assert ctr.oneshot("sh -c 'cat; echo end'", input="a").output == "aend\n"
    descriptors = "ls /proc/self/fd | tr '\\n' ' '"
    assert ctr.oneshot(descriptors, input="a").output == ctr.oneshot(descriptors).output


def test_a_pipe_is_passed_on_as_it_comes_and_need_not_end(ctr: DockerContainerHost) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb", buffering=0) as writer:
        lines: list[str] = []
        call = Call(
            lambda: ctr.oneshot("read -r a; echo got $a; read -r b; echo got $b", input=file, on_output=lines.append)
        )
        writer.write(b"one\n")
        until(lambda: lines == ["got one\n"], 20, "the first line has arrived")
        writer.write(b"two\n")
        assert call.result(20).output == "got one\ngot two\n"
        assert ctr.oneshot("echo did not read", input=file, timeout=30).output == "did not read\n"


def test_a_compressed_file_is_read_in_pieces(ctr: DockerContainerHost, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "zeros.gz", "wb") as packed:
        for _ in range(60):
            packed.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with gzip.open(tmp_path / "zeros.gz", "rb") as file:
            assert ctr.oneshot("wc -c", input=file).output.split() == [str(60 << 20)]
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_input_environment_and_user_go_together(ctr: DockerContainerHost) -> None:
    result = ctr.oneshot("id -un; pwd; cat; echo $A", input="in ", env={"A": "b"}, user="tester", workdir="/tmp")
    assert result.output == "tester\n/tmp\nin b\n"


def test_what_cannot_be_an_input_is_refused(tmp_path: Path) -> None:
    host = LocalHost()
    for wrong in (3, io.StringIO("a"), tmp_path, ["a"]):
        with pytest.raises(ConfigError, match=r"input=.*bytes"):
            host.oneshot("true", input=wrong)  # type: ignore[arg-type]
    closed = open(os.devnull, "rb")  # noqa: SIM115
    closed.close()
    with pytest.raises(ConfigError, match="cannot be read"):
        host.oneshot("true", input=closed)
    host.close()
