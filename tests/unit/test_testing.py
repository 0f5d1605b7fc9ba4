"""The scripted host: it answers as a real one would, and nothing else."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path

import pytest

from otto_docker_sync import (
    CommandFailed,
    CommandResult,
    CommandTimedOut,
    ConfigError,
    ConnectError,
    ExpectTimeout,
    Host,
    RemoteFileNotFound,
    ShellCommand,
    Status,
    UnsupportedParentError,
    WaitTimedOut,
)
from otto_docker_sync import testing as module
from otto_docker_sync._shell import Conversation, Runner
from otto_docker_sync._transfer import PathOperations
from otto_docker_sync.process import Process
from otto_docker_sync.testing import Reply, ScriptedHost, UnexpectedCommand


def test_a_oneshot_has_the_result_of_a_real_one() -> None:
    host = ScriptedHost({"uname -s": "Linux\n", "make": Reply("out\n", b"err\n", 2), "ls -l 'a b'": b"\xff"}, id="web")
    result = host.oneshot("uname -s")
    assert (result.output, result.stdout, result.status, result.retcode) == ("Linux\n", "Linux\n", Status.SUCCESS, 0)
    assert (result.host, result.command) == ("web", "uname -s")
    seen: list[str] = []
    failed = host.oneshot("make", 5, on_output=seen.append, env={"A": "b"}, workdir="/src", user="app")
    assert (failed.stdout, failed.stderr, failed.output, failed.retcode) == ("out\n", "err\n", "out\nerr\n", 2)
    assert "".join(seen) == "out\nerr\n"
    assert host.oneshot(["ls", "-l", "a b"]).output_bytes == b"\xff"
    with pytest.raises(CommandFailed, match=r"web: 'make': exit status 2"):
        host.oneshot("make", check=True)
    assert host.commands == ["uname -s", "make", "ls -l 'a b'", "make"]
    host.oneshot("uname -s", input=b"\x00" * 300_000)
    host.oneshot("uname -s", input="text")
    assert host.inputs == [b"\x00" * 300_000, b"text"]
    with pytest.raises(ConfigError):
        host.oneshot("make", input=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        host.oneshot("make", timeout=-1)
    with pytest.raises(ConfigError):
        host.oneshot(5)  # type: ignore[arg-type]
    assert isinstance(host, Host) and host.is_running() and host.kind == "scripted"


def test_what_a_reply_may_be() -> None:
    late = CommandResult("", output="so far", message="timed out after 5.0 s", timed_out=True)
    host = ScriptedHost(
        {
            "late": late,
            "failed": CommandResult("", status=Status.FAILED, retcode=3, stdout="o", stderr="e"),
            "failed, too": CommandResult("", status=Status.FAILED),
            "lost": ConnectError("no route"),
            "also lost": ConnectError,
            re.compile(r"echo (\w+)"): lambda match: match[1] + "\n",
            re.compile(r".*"): ["first", "second"],
            "echo special": lambda command: Reply(command, retcode=1),
            "wrong": 5,  # type: ignore[dict-item]
        }
    )
    result = host.oneshot("late")
    assert (result.timed_out, result.retcode, result.status, result.output) == (True, None, Status.ERROR, "so far")
    with pytest.raises(CommandTimedOut):
        result.check()
    result = host.oneshot("failed")
    assert (result.retcode, result.stdout, result.stderr, result.output) == (3, "o", "e", "oe")
    assert host.oneshot("failed, too").status is Status.FAILED
    for command in ("lost", "also lost"):
        with pytest.raises(ConnectError):
            host.oneshot(command)
    assert host.oneshot("echo it").output == "it\n"
    assert (host.oneshot("echo special").output, host.oneshot("echo special").retcode) == ("echo special", 1)
    assert [host.oneshot(f"other {number}").output for number in range(3)] == ["first", "second", "second"]
    with pytest.raises(ConfigError, match="5 is not a valid reply"):
        host.oneshot("wrong")
    host.replies["echo it"] = "changed"
    assert host.oneshot("echo it").output == "changed"


def test_a_command_that_is_not_scripted_is_a_clear_failure() -> None:
    host = ScriptedHost({"uname -s": "", re.compile("kill [0-9]+"): ""})
    for verb in (host.oneshot, host.run, host.sendline, lambda text: host.start(text).wait()):
        with pytest.raises(UnexpectedCommand, match=r"'reboot now', which is not scripted; scripted are:") as failure:
            verb("reboot now")
        assert "\n  uname -s\n  re.compile('kill [0-9]+')" in str(failure.value)
        assert isinstance(failure.value, AssertionError)
    with pytest.raises(UnexpectedCommand, match="no commands at all"):
        ScriptedHost().run("x")
    with pytest.raises(UnexpectedCommand, match="starts no program"):
        host.interact()
    with pytest.raises(UnexpectedCommand, match=r"the file /etc/hosts: pass files="):
        host.path("/etc/hosts").read_text()
    with pytest.raises(UnsupportedParentError):
        host.forward(80)


def test_run_lists_prompts_and_sessions() -> None:
    host = ScriptedHost({"cd /src": "", "make": Reply("sure? ", retcode=1), "passwd": "New: ", "secret": "done\n"})
    results = host.run(["cd /src", ShellCommand("make", expects={"sure": "y\n"})])
    assert ([result.retcode for result in results], host.typed) == ([0, 1], ["y\n"])
    with host.open_session("second", size=(80, 24)) as session:
        assert session.run("make", {"sure": "n\n"}).output == "sure? "
        session.sendline("passwd")
        match = session.expect(["never", r"New(:) "], timeout=60)
        assert (match.index, match.groups(), session.alive) == (1, (":",), True)
        session.sendline("secret")
        assert session.read_available() == "done\n"
        with pytest.raises(ExpectTimeout):
            session.expect("more", timeout=600)
        session.sendcontrol("c")
    assert not session.alive
    assert host.typed == ["y\n", "n\n", "passwd\n", "secret\n", "\x03"]
    assert host.commands == ["cd /src", "make", "make"]


def test_a_process_repeats_and_asyncio() -> None:
    host = ScriptedHost({"serve": Reply("listening on 80\n", "a warning\n", 3), "beat": ["1", "2"], "id": "root"})
    with host.start("serve") as process:
        assert process.wait_for(r"listening on (\d+)", timeout=60).groups() == ("80",)
        result = process.wait(60)
    assert (result.retcode, result.stdout, result.stderr) == (3, "listening on 80\n", "a warning\n")
    assert not process.running
    host.start_repeat("beat", "beat", 0.01, until=lambda result: result.output == "2")
    while len(host.repeat_results("beat")) < 2:
        pass
    host.stop_repeat("beat")
    assert [result.output for result in host.repeat_results("beat")] == ["1", "2"]

    async def main() -> str:
        return (await host.aio.oneshot("id")).output

    assert asyncio.run(main()) == "root"
    host.close()


def test_wait_for_waits_for_nothing() -> None:
    host = ScriptedHost({"ready": [Reply(retcode=1), Reply(retcode=1), ""], "never": Reply(retcode=1)})
    host.wait_for(port=80, http="/health", log="listening", healthy=True)
    host.wait_for(command="ready", timeout=600)
    assert host.commands == ["ready"] * 3
    with pytest.raises(WaitTimedOut, match="'never' did not hold"):
        host.wait_for(command="never", timeout=600)
    with pytest.raises(ConfigError):
        host.wait_for()


def test_files_are_in_a_directory_of_this_machine(tmp_path: Path) -> None:
    root, local = tmp_path / "root", tmp_path / "local"
    for directory in (root / "etc", local):
        directory.mkdir(parents=True)
    (root / "etc" / "app.conf").write_text("debug = no\n")
    with ScriptedHost(files=root) as host:
        config = host.path("/etc/app.conf")
        assert config.read_text() == "debug = no\n" and host.path("/etc").is_dir()
        (config.parent / "sub" / "deep").mkdir(parents=True)
        host.path("new").mkdir(parents=True)
        assert config.rename("/etc/sub/app.conf").exists() and not config.exists()
        assert [str(path) for path in host.path("/etc").rglob("*.conf")] == ["/etc/sub/app.conf"]
        with pytest.raises(RemoteFileNotFound, match=r"^scripted: /etc/app.conf: No such file") as missing:
            config.read_text()
        assert missing.value.filename == "/etc/app.conf"
        config.write_text("debug = yes\n")
        got = host.get([config, "/etc/none"], local)
        assert {source: result.ok for source, result in got.items()} == {"/etc/app.conf": True, "/etc/none": False}
        (local / "b.txt").write_text("b")
        put = host.put(local / "b.txt", host.path("/etc"), mode=0o600, owner="app").check()
        assert put[local / "b.txt"].destination == "/etc/b.txt"
    assert (root / "etc" / "b.txt").read_text() == "b" and host.commands == []


@pytest.mark.parametrize(
    ("scripted", "real"),
    [
        (module.ScriptedHost, Host),
        (module.ScriptedRunner, Runner),
        (module.ScriptedConversation, Conversation),
        (module.ScriptedProcess, Process),
        (module.ScriptedOperations, PathOperations),
    ],
)
def test_signatures_are_those_of_the_real_classes(scripted: type, real: type) -> None:
    overridden = {name for name, value in vars(scripted).items() if inspect.isfunction(value)} - {"__init__"}
    assert overridden
    for name in overridden:
        ours, theirs = (inspect.signature(getattr(kind, name)).parameters.values() for kind in (scripted, real))
        assert [(each.name, each.kind, each.default) for each in ours] == [
            (each.name, each.kind, each.default) for each in theirs
        ], name
