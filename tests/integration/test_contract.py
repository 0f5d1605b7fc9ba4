"""One contract for every kind of host: this machine, SSH, hops, telnet, and containers on each of them."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pexpect
import pytest

from otto_docker_sync import (
    CommandFailed,
    ConfigError,
    DockerContainerHost,
    ExpectTimeout,
    LocalHost,
    SessionClosed,
    ShellCommand,
    Status,
    UnixHost,
    UnsupportedParentError,
)
from otto_docker_sync.host import Host
from tests.rig.containers import Container
from tests.rig.rig import Rig

from .docker_run_host import DockerRunHost

MACHINES = ["local", "ssh", "ssh+hop", "ssh+2 hops", "telnet"]
CONTAINERS = ["busybox on ssh", "dash on ssh", "bash on ssh", "dash on ssh+hop", "bash on ssh+2 hops"]
SESSIONLESS = ["busybox on local", "dash on local", "bash on telnet"]
NEW_KIND = ["docker run on ssh"]
# One of each sort, where the kinds differ in nothing but their channels.
SOME_MACHINES = ["local", "ssh+2 hops", "telnet"]
SOME_CONTAINERS = ["busybox on ssh", "dash on ssh+hop", "bash on ssh"]
SOME_SESSIONLESS = ["busybox on local", "bash on telnet"]

Make = Callable[[str], Host]


@pytest.fixture
def make(
    request: pytest.FixtureRequest,
    rig: Rig,
    make_unix_host: Callable[..., UnixHost],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Make]:
    """Make a host of any kind; closed after the test, containers before their parents."""
    with ExitStack() as stack:

        def machine(kind: str) -> Host:
            if kind == "local":
                for name, value in rig.environ.items():
                    monkeypatch.setenv(name, value)
                return stack.enter_context(LocalHost())
            if kind == "telnet":
                server = request.getfixturevalue("telnetd")
                return stack.enter_context(
                    UnixHost(
                        server.host, server.user, password=server.password, port=server.port, term="telnet", id="old"
                    )
                )
            hop = None
            for number in range(["ssh", "ssh+hop", "ssh+2 hops"].index(kind)):
                hop = make_unix_host(id=f"hop{number}", hop=hop)
            return make_unix_host(hop=hop)

        def any_kind(kind: str) -> Host:
            shell, on, parent = kind.rpartition(" on ")
            if not on:
                return machine(kind)
            if shell == "docker run":
                run_args = ("--network=none", "--label", rig.workspace.label, rig.image("busybox"))
                return stack.enter_context(DockerRunHost(machine(parent), *run_args))
            container: Container = request.getfixturevalue("shared_container")(shell)
            made = DockerContainerHost(machine(parent), container.id, "repo1", "api", "")
            return stack.enter_context(made)

        yield any_kind


@pytest.fixture
def host(request: pytest.FixtureRequest, make: Make) -> Host:
    return make(request.param)


def every(*kinds: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("host", [kind for each in kinds for kind in each], indirect=True)


def streams_are_apart(host: Host) -> bool:
    return getattr(getattr(host, "parent", host), "term", "ssh") != "telnet"


def is_running(argument: str) -> bool:
    """Whether a process has this argument: all hosts of the rig are on this machine, containers as well."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except OSError:
            continue
        if argument.encode() in words and state != "Z":
            return True
    return False


def soon(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@every(MACHINES, CONTAINERS, SESSIONLESS, NEW_KIND)
def test_oneshot(host: Host) -> None:
    result = host.oneshot("echo out; sleep 0.1; echo err >&2; exit 3")
    assert (result.status, result.retcode, result.ok, result.host) == (Status.FAILED, 3, False, host.id)
    assert result.output == "out\nerr\n"
    if streams_are_apart(host):
        assert (result.stdout, result.stderr) == ("out\n", "err\n")
    else:
        assert (result.stdout, result.stderr) == ("out\nerr\n", "")

    words = ["a b", "$HOME", "*", "it's", "", "é"]
    assert host.oneshot(["sh", "-c", 'printf "%s|" "$@"', "sh", *words]).output == "a b|$HOME|*|it's||é|"
    assert host.oneshot(r"printf 'a\r\nb\rc\n\000\377'").output_bytes == b"a\r\nb\rc\n\0\xff"
    assert host.oneshot("read -r line; echo $?; test -t 0; echo $?").output == "1\n1\n"
    assert host.oneshot("exit 125").retcode == 125
    assert host.oneshot("echo 'abc").retcode not in (0, None)
    assert host.oneshot(": " + "x" * 150_000 + "\necho ok").output == "ok\n"
    with pytest.raises(CommandFailed):
        host.oneshot("false", check=True)


@every(SOME_MACHINES, SOME_CONTAINERS, SOME_SESSIONLESS, NEW_KIND)
def test_a_started_process_is_talked_to_and_stopped(host: Host) -> None:
    seconds = f"8{time.monotonic_ns()}"
    process = host.start(f"read -r line; echo \"got <$line>\"; sleep {seconds}")
    process.send("some text\n")
    assert process.wait_for(r"got <(.*)>\n", timeout=30).groups() == ("some text",)
    assert process.stop(grace=30).retcode == 143
    assert next(process.lines()) == "got <some text>"
    assert not is_running(seconds)
    host.wait_for(command="true", timeout=30)


@every(SOME_MACHINES, SOME_CONTAINERS, SOME_SESSIONLESS, NEW_KIND)
def test_a_oneshot_out_of_time_leaves_nothing(host: Host) -> None:
    seconds = f"9{time.monotonic_ns()}"
    result = host.oneshot(f"echo begun; sleep {seconds} & sleep {seconds}", timeout=2.0)
    assert (result.status, result.retcode, result.timed_out, result.output) == (Status.ERROR, None, True, "begun\n")
    soon(lambda: not is_running(seconds))


@every(SOME_MACHINES, SOME_CONTAINERS, SOME_SESSIONLESS, NEW_KIND)
def test_oneshots_from_many_threads(host: Host) -> None:
    with ThreadPoolExecutor(4) as pool:
        outputs = pool.map(lambda number: host.oneshot(f"echo {number}").output, range(6))
    assert list(outputs) == [f"{number}\n" for number in range(6)]


@every(MACHINES, CONTAINERS, NEW_KIND)
def test_run(host: Host) -> None:
    assert host.run('cd /tmp; x=one; f() { echo "f $1"; }; umask 027').ok
    assert host.run("pwd; echo $x; f 2; umask").output == "/tmp\none\nf 2\n0027\n"
    result = host.run("printf 'a\\r\\nb'; echo c >&2; (exit 4)")
    assert (result.output, result.retcode, result.stdout) == ("a\r\nbc\n", 4, "a\r\nbc\n")
    assert host.run("echo 'abc").retcode not in (0, None)
    assert host.run("read -r l <<EOF  # a comment\n$x\nEOF\necho $l  # another").output == "one\n"
    answered = host.run("printf 'Name: '; read -r n; echo \"<$n>\"", expects={"Name: ": "bob\n"}, timeout=20)
    assert answered.output.endswith("<bob>\n")

    results = host.run(["echo 1", "false", ShellCommand("echo $x")])
    assert [each.output for each in results] == ["1\n", "", "one\n"]
    assert results.status is Status.FAILED

    seconds = f"9{time.monotonic_ns()}"
    late = host.run(f"echo begun; sleep {seconds}", timeout=2.0)
    assert (late.status, late.timed_out, late.output) == (Status.ERROR, True, "begun\n")
    soon(lambda: not is_running(seconds))
    assert host.run("echo $x").output == "one\n"

    gone = host.run("echo bye; exit 3")
    assert (gone.output.removesuffix("exit\n"), gone.retcode, gone.session_ended) == ("bye\n", 3, True)  # bash tells
    anew = host.run("echo ${x-unset}")
    assert (anew.output, anew.new_session) == ("unset\n", True)


@every(SOME_MACHINES, SOME_CONTAINERS, NEW_KIND)
def test_sessions_and_dialogue(host: Host) -> None:
    host.send("read -r a && echo got$((40+2)) $a\n")
    host.sendline("this")
    match = host.expect([r"never", r"got42 (\w+)\n"])
    assert (match.index, match.groups()) == (1, ("this",))
    with pytest.raises(ExpectTimeout):
        host.expect("nothing like it", timeout=0.2)

    with host.open_session("second") as second:
        assert host.open_session("second") is second
        second.run("y=2")
        assert host.run("echo ${y-unset}").output == "unset\n"
        assert second.run("echo $y").output == "2\n"
        # A shell may miss a Ctrl-C that comes while it starts a program; this one is there when it says so.
        second.sendline("sh -c 'trap exit INT; echo here$((40+1)); while :; do sleep 0.1; done'")
        second.expect("here41\n")
        second.interrupt()
        assert second.run("echo $y").output == "2\n"
        assert second.alive
        second.sendline("exit 5")
        with pytest.raises(SessionClosed) as closed:
            second.expect("nothing")
        assert closed.value.retcode == 5
    assert not second.alive


@every(SOME_MACHINES, ["busybox on ssh", "bash on ssh"], NEW_KIND)
def test_the_words_of_pexpect(host: Host) -> None:
    session = host.open_session("words", size=(101, 31))
    assert session.run("stty size", timeout=20).output == "31 101\n"
    session.run("x=1")
    session.sendline("echo $((40+2)) [$x]?")
    assert session.expect_exact(["[x]", b"42 [1]?\r\n"], timeout=20).index == 1
    assert session.read_available() == ""

    session.sendline("echo typed$((40+2)); cat; echo over$((40+2))")
    session.expect("typed42\n")
    session.sendline("first")
    session.sendeof()
    assert session.expect(rb"over(\d+)\r\n").groups() == ("42",)
    session.sendline("sh -c 'trap \"echo caught; exit\" INT; echo ready$((40+2)); while :; do sleep 0.1; done'")
    session.expect("ready42\n")
    session.sendcontrol("c")
    session.expect_exact("caught")
    session.sendline("echo one; echo two$((40+2)); sleep 0.1; echo three$((40+2))")
    session.expect("one\n")
    text = ""
    while "three42\n" not in text:
        text += session.read_available(timeout=10)
    assert "two42\n" in text
    for wrong in ("", "cc", "é", 3):
        with pytest.raises(ConfigError, match="sendcontrol"):
            session.sendcontrol(wrong)  # type: ignore[arg-type]
    with pytest.raises(ExpectTimeout, match=r"may find nothing"):
        session.expect(re.compile("x\r"), timeout=0.1)

    # Now that docker's client has given the terminal its first size: until then it loses a change.
    session.resize(133, 43)
    session.sendline("while [ \"$(stty size)\" != '43 133' ]; do sleep 0.1; done; echo resized$((40+2))")
    session.expect_exact("resized42", timeout=20)


@every(SOME_MACHINES, SOME_CONTAINERS)
def test_nothing_is_typed_into_another_shell_after_the_end(host: Host) -> None:
    session = host.open_session("ending")
    session.sendline("echo last$((40+2)); exit 5")
    assert "last42" in session.expect(pexpect.EOF).before
    assert session.expect([pexpect.TIMEOUT, pexpect.EOF]).index == 1
    for attempt in (lambda: session.sendline("rm -rf data"), lambda: session.expect("x"), session.read_available):
        with pytest.raises(SessionClosed, match=r"the shell has ended \(status 5\); run\(\) or open_session") as closed:
            attempt()
        assert closed.value.retcode == 5
    host.open_session("ending").sendline("echo again$((40+2))")
    session.expect("again42\n")
    session.sendline("exit 6")
    with pytest.raises(SessionClosed):
        session.expect("nothing")
    result = session.run("echo anew")
    assert (result.output, result.new_session) == ("anew\n", True)
    session.sendline("echo text; exit")
    text = ""
    with pytest.raises(SessionClosed):
        while True:
            text += session.read_available(timeout=10)
    assert "text\n" in text


@every(MACHINES, CONTAINERS, SESSIONLESS, NEW_KIND)
def test_put_and_get(host: Host, tmp_path: Path) -> None:
    name = f"otto {time.monotonic_ns()}"
    data = bytes(range(256)) * 300
    (tmp_path / name).write_bytes(data)
    tree = tmp_path / f"{name}.d"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "é").write_text("text\n")
    (tree / "empty").write_bytes(b"")

    sent = host.put([tmp_path / name, tree], "/tmp", mode=0o750).check()
    assert sent[tmp_path / name].size == len(data)
    assert host.oneshot(f"test -x '/tmp/{name}' && read -r l <'/tmp/{tree.name}/deep/é' && echo $l").output == "text\n"

    back = tmp_path / "back"
    back.mkdir()
    got = host.get([f"/tmp/{name}", f"/tmp/{tree.name}", "/tmp/missing"], back)
    assert [each.ok for each in got.values()] == [True, True, False]
    assert (back / name).read_bytes() == data
    assert (back / tree.name / "deep" / "é").read_text() == "text\n"
    assert (back / tree.name / "empty").read_bytes() == b""

    assert not host.put(tmp_path / name, f"/tmp/{name}/below a file").ok
    with pytest.raises((OSError, ConfigError)):
        host.put(tmp_path / "not there", "/tmp")
    host.oneshot(f"rm -r '/tmp/{name}' '/tmp/{tree.name}'")  # the dash image has no rm


@every(MACHINES, CONTAINERS, SESSIONLESS)
def test_paths(host: Host) -> None:
    directory = host.path("/tmp")
    path = directory / f"otto {time.monotonic_ns()}\n"
    data = bytes(range(256)) * 4
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match=re.escape(host.id)):
        path.read_bytes()
    assert path.write_bytes(data) == len(data)
    assert path.read_bytes() == data
    assert (path.exists(), path.is_file(), path.is_dir()) == (True, True, False)
    assert path in directory.iterdir()
    assert list(directory.glob(f"{path.stem[:-3]}*")) == [path]
    host.oneshot(["rm", str(path)])  # the dash image has none


@every(NEW_KIND)
def test_questions_about_paths(host: Host) -> None:
    assert host.path("/etc").is_dir()
    assert "root:" in host.path("/etc/passwd").read_text()


@every(SOME_MACHINES, SOME_CONTAINERS, SOME_SESSIONLESS, NEW_KIND)
def test_repeats(host: Host) -> None:
    done = threading.Event()
    results: list[Any] = []

    def seen(result: Any) -> None:
        results.append(result)
        if len(results) == 3:
            done.set()

    host.start_repeat("beat", "n=$((n+1)); echo $n; false", 0.05, on_result=seen)
    assert done.wait(20)
    host.stop_repeat("beat")
    state_lasts = not host.backend.sessions_refusal()
    assert [result.output for result in results[:3]] == (["1\n", "2\n", "3\n"] if state_lasts else ["1\n"] * 3)
    assert host.repeat_results("beat")[:3] == results[:3]
    assert all(result.retcode == 1 for result in results[:3])


@every(SOME_MACHINES, SOME_CONTAINERS, NEW_KIND)
def test_rebuild_close_and_use_after_close(host: Host) -> None:
    assert host.is_running()
    host.run("x=1")
    host.rebuild_connections()
    again = host.run("echo ${x-unset}")
    assert (again.output, again.new_session) == ("unset\n", True)
    host.close()
    host.close()
    assert host.run("echo after").output == "after\n"
    assert host.oneshot("echo after").output == "after\n"


@every(SESSIONLESS)
def test_what_a_container_on_a_parent_without_sessions_refuses(host: Host) -> None:
    assert host.is_running()
    for verb in (
        lambda: host.run("true"),
        lambda: host.open_session("x").run("true"),
        lambda: host.send("x"),
        lambda: host.sendline("x"),
        lambda: host.expect("x"),
        lambda: host.interact(),
    ):
        with pytest.raises(UnsupportedParentError, match=r"oneshot\(\)") as refused:
            verb()
        assert isinstance(refused.value, NotImplementedError)
    assert host.oneshot("echo works").output == "works\n"
