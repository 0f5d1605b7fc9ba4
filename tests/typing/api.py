"""A user's program. The type checker reads it, nobody runs it."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import pexpect
from typing_extensions import assert_type

import otto_docker_sync as otto
from otto_docker_sync import (
    CommandFailed,
    CommandResult,
    DockerContainerHost,
    ExpectMatch,
    FileProgress,
    FileResult,
    Host,
    HostSession,
    Lab,
    LocalHost,
    OttoError,
    Project,
    RunResult,
    ShellCommand,
    SSHOptions,
    Status,
    TelnetOptions,
    TransferFailed,
    TransferResult,
    UnixHost,
    all_hosts,
    compose_down,
    compose_logs,
    compose_ps,
    compose_up,
    composed,
)
from otto_docker_sync.aio import AsyncHost, AsyncLines, AsyncProcess, AsyncRemotePath, AsyncSession, in_thread
from otto_docker_sync.logs import configure, mask, masked
from otto_docker_sync.testing import Reply, ScriptedHost, UnexpectedCommand

assert_type(otto.__version__, str)

# Forwards

with LocalHost() as forwarding, forwarding.forward(8080, to=None) as forward:
    assert_type(forward, otto.Forward)
    assert_type(forward.port, int)
    assert_type(forward.url, str)
with UnixHost("192.0.2.10") as daemon, daemon.forward_socket("/var/run/docker.sock") as docker_socket:
    assert_type(docker_socket, otto.SocketForward)
    assert_type(docker_socket.docker_host, str)

# Waiting

LocalHost().wait_for(port=22, command=["true"], timeout=timedelta(seconds=5))
LocalHost().container("web").wait_for(healthy=True, http=":80/", log=re.compile("ready"), timeout=None)

def wait_for_stack(lab: Lab) -> None:
    stack = lab.stack("repo1").up(wait=True, timeout=60)
    stack.wait_for(healthy=True, timeout=timedelta(seconds=30))
    stack.wait_for("api", http=":8080/health")
    compose_up("repo1", lab, wait=True)
    with composed("repo1", lab, wait=True) as services:
        services["api"].wait_for(port=8080)


# Commands in the background

with (
    LocalHost() as starting,
    starting.start(["tail", "-f", "log"], env={"LC_ALL": "C"}, workdir=Path("/var/log"), user="root") as process,
):
    assert_type(process, otto.Process)
    assert_type(process.wait_for(["up", re.compile("ready")], timeout=30), ExpectMatch)
    assert_type(list(process.lines()), list[str])
    assert_type(list(process.lines(stream="stderr")), list[str])
    assert_type(process.output, str)
    assert_type(process.running, bool)
    assert_type(process.command, str)
    try:
        assert_type(process.wait(timeout=timedelta(minutes=1)), CommandResult)
    except otto.WaitTimedOut as not_yet:
        assert_type(isinstance(not_yet, TimeoutError), bool)
    process.send("yes\n")
    process.send(b"\0")
    process.send_eof()
    assert_type(process.stop("INT", grace=1), CommandResult)

# Hosts

gateway = UnixHost("gateway.example.net")
machine = UnixHost(
    "192.0.2.10",
    "tester",
    id="carrot",
    name="the carrot",
    password=None,
    port=22,
    term="ssh",
    hop=gateway,
    ssh=SSHOptions(
        identity_file=Path("~/.ssh/id_ed25519"),
        passphrase="secret",
        allow_agent=True,
        known_hosts="~/.ssh/known_hosts",
        host_key_policy="accept-new",
        config_file="~/.ssh/config",
        connect_timeout=10.0,
        keepalive_interval=5.0,
        max_connections=4,
    ),
    telnet=TelnetOptions(),
    docker_capable=True,
    docker_command=("sudo", "-n", "docker"),
    sudo_password=lambda: "secret",
    resources={"carrot"},
    log=True,
    log_stdout=False,
)
api = DockerContainerHost(
    machine, "api-1", "repo1", "api", "otto-repo1-me", resources={"api"}, shell="bash", user="app"
)
api = DockerContainerHost(machine, "", "repo1", "api#2", "", workdir="/srv", env={"A": "b"}, warm=2, default_timeout=60)
hosts: list[Host] = [machine, api, LocalHost()]

assert_type(api.id, str)
assert_type(api.name, str)
assert_type(api.resources, set[str])
assert_type(api.parent, Host)
assert_type(api.container_id, str)
assert_type(api.is_running(), bool)
assert_type(api.mounts(), list[otto.Mount])
assert_type([mount.source + mount.destination + mount.type + mount.volume for mount in api.mounts()], list[str])
assert_type(api.mounts()[0].read_only, bool)

# Logs

assert_type(api.logs(), list[str])
assert_type(api.logs(tail=5, since=timedelta(minutes=5), timeout=10), list[str])
for log_line in api.logs(follow=True, since=datetime.now(timezone.utc)):
    assert_type(log_line, str)

# Commands

assert_type(api.oneshot("true"), CommandResult)
assert_type(api.oneshot(["ls", "-l"], 10, check=True), CommandResult)
api.oneshot("cat", input="text")
with open("data", "rb") as data, gzip.open("data.gz") as packed:
    api.oneshot("cat", input=data)
    api.oneshot(["cat"], input=packed)
api.oneshot("cat", input=3)  # type: ignore[arg-type]
api.oneshot("id", env={"LANG": "C"}, workdir=Path("/srv"), user="root")
api.oneshot("id", env={"PORT": 80})  # type: ignore[dict-item]
assert_type(api.run("true", timeout=timedelta(minutes=1)), CommandResult)
assert_type(api.run("make", {"sure?": "y\n"}, 5.0, check=True, on_output=print), CommandResult)
assert_type(api.run(["cd /src", ShellCommand("make", timeout=60)]), RunResult)
api.run("su", expects=[(re.compile("word:"), lambda _: "secret\n"), ("again", b"secret\n")])

result = api.run("make", log=False)
assert_type(result.command, str)
assert_type(result.output, str)
assert_type(result.output_bytes, bytes)
assert_type(result.stdout, str)
assert_type(result.stderr, str)
assert_type(result.stdout_bytes, bytes)
assert_type(result.stderr_bytes, bytes)
assert_type(result.status, Status)
assert_type(result.retcode, "int | None")
assert_type(result.returncode, "int | None")
assert_type(result.timed_out, bool)
assert_type(result.session_ended, bool)
assert_type(result.new_session, bool)
assert_type(result.message, str)
assert_type(result.duration, float)
assert_type(result.host, str)
assert_type(result.ok, bool)
assert_type(result.failed, bool)
assert_type(result.check(), CommandResult)
assert_type([Status.SUCCESS, Status.FAILED, Status.ERROR, Status.SKIPPED], list[Status])

results = api.run(["a", "b"])
assert_type(results[0], CommandResult)
assert_type(results[0:1], Sequence[CommandResult])
assert_type([one.ok for one in results], list[bool])
assert_type(results.check().only, CommandResult)
assert_type(results.status, Status)
assert_type(results.output, str)
if result and results:
    print("both are ok")

# Sessions

with api.open_session("build") as session:
    assert_type(session, HostSession)
    assert_type(session.run("make"), CommandResult)
    assert_type(session.run(["make", "make check"]), RunResult)
    session.send("y")
    session.sendline()
    match = session.expect(["a", re.compile("b"), pexpect.EOF, pexpect.TIMEOUT], timeout=3)
    assert_type(match, ExpectMatch)
    assert_type(match.index, int)
    assert_type(match.before, str)
    assert_type(match.match, "re.Match[str] | None")
    assert_type(match.groups(), "tuple[str | None, ...]")
    session.interrupt()
    assert_type(session.alive, bool)
    assert_type(session.name, str)
    session.close()
assert_type(session.expect_exact(["[y/n]", b"$ ", pexpect.EOF], timeout=1), ExpectMatch)
assert_type(session.read_available(timeout=1), str)
session.sendcontrol("c")
session.sendeof()
session.resize(80, 24)
session.expect(b"bytes")
session.expect(3.5)  # type: ignore[arg-type]
session.expect([3])  # type: ignore[list-item]
api.put(3, "/tmp")  # type: ignore[arg-type]
api.get([3], ".")  # type: ignore[list-item]
api.oneshot(3)  # type: ignore[arg-type]
api.run("make", {"sure?": 3})  # type: ignore[arg-type]
prompts = {"sure?": "y\n"}
api.run("make", prompts)
api.send("y")
api.sendline("y")
assert_type(api.expect("ready"), ExpectMatch)
assert_type(api.interact(), "int | None")

# Files


def show(progress: FileProgress) -> None:
    assert_type(progress.source, str)
    assert_type(progress.done, int)
    assert_type(progress.total, "int | None")


copied = api.put([Path("a"), "b"], "/tmp", mode=0o755, progress=show)
api.put("a", "/tmp", timeout=timedelta(minutes=1), owner="app:app", preserve_times=True)
api.put("a", "/tmp", owner=1000)  # type: ignore[arg-type]
assert_type(copied, TransferResult)
assert_type(copied.check()["b"], FileResult)
assert_type(copied["b"].status, Status)
assert_type(copied["b"].destination, str)
assert_type(copied["b"].size, int)
assert_type(copied["b"].message, str)
assert_type(copied.ok, bool)
assert_type(api.get("/tmp/a", Path("here"), progress=show, timeout=2.5, preserve_times=True), TransferResult)

config = api.path("/etc/app") / "app.conf"
assert_type(config, otto.RemotePath)
assert_type(config.parent, otto.RemotePath)
assert_type(config.name + config.suffix + config.stem + config.host, str)
assert_type(config.parts, tuple[str, ...])
assert_type(config.with_name("x").with_suffix(".y").joinpath("z", Path("w")), otto.RemotePath)
assert_type(config.relative_to("/etc"), PurePosixPath)
assert_type(config.exists() and config.is_file() and config.is_dir() and config.is_symlink(), bool)
assert_type(config.stat(follow_symlinks=False).st_size + config.lstat().st_mode, int)
assert_type(config.read_text("latin-1", errors="replace", newline=""), str)
assert_type(config.read_bytes(), bytes)
assert_type(config.write_text("x", encoding="utf-8"), int)
assert_type(config.write_bytes(b"x"), int)
assert_type([path.name for path in config.parent.iterdir()], list[str])
assert_type(list(config.parent.glob("*.conf")), list[otto.RemotePath])
assert_type(next(config.parent.rglob("*")), otto.RemotePath)
config.parent.mkdir(0o755, parents=True, exist_ok=True)
config.touch(exist_ok=False)
config.chmod(0o644)
assert_type(config.rename("/etc/app/old"), otto.RemotePath)
assert_type(config.replace(config.parent / "old"), otto.RemotePath)
config.unlink(missing_ok=True)
config.parent.rmdir()
config.write_text(b"x")  # type: ignore[arg-type]
os.fspath(config)  # type: ignore[call-overload]
api.get(config.parent.glob("*"), ".")
api.get([config, "/etc/hosts"], ".")
api.put("a", config.parent)

# Repeats and life


def is_done(result: CommandResult) -> bool:
    return result.ok


def show_all(results: RunResult) -> None:
    print(results.output)


api.start_repeat("load", "uptime", 5, times=3, duration=60, until=is_done, on_result=print, max_history=10)
api.start_repeat("both", ["uptime", "id"], 0.5, until=lambda results: results[0].ok, on_result=show_all)
assert_type(api.repeat_results("load"), "list[CommandResult | RunResult]")
api.stop_repeat("load")
api.stop_all_repeats()
api.rebuild_connections()
api.close()
with machine, api, LocalHost() as here:
    assert_type(here, LocalHost)

# Labs and stacks

with Lab.load("lab.toml") as lab:
    assert_type(lab, Lab)
    assert_type(lab.name, str)
    assert_type(lab.hosts, dict[str, Host])
    assert_type(lab.get("carrot"), Host)
    assert_type(lab.containers(), list[DockerContainerHost])
    assert_type(lab.select("*.api"), list[Host])
    answers: Mapping[str, CommandResult] = lab.run_all("id", hosts=["carrot", api], max_parallel=4, timeout=10)
    lab.add(machine)
    lab.rebuild_connections()
    project = Project("repo1", ["compose.yml"], default_host="carrot", services=["api"])
    services: Mapping[str, DockerContainerHost] = compose_up(project, lab, on=machine, project_name="x", build=False)
    with composed("repo1", lab, own=True) as stack:
        assert_type(stack["api"].oneshot("id"), CommandResult)
    assert_type(compose_ps(machine), list[otto.StackContainer])
    print(compose_logs("repo1", lab, service="api", tail=10))
    compose_down("repo1", lab, stop_timeout=1)
    with lab.stack("repo1", on=machine) as entered:
        assert_type(entered, otto.Stack)
        assert_type(entered["api"], DockerContainerHost)
    assert_type(lab.stack().up(build=False, timeout=60).ps(), list[otto.StackContainer])
    assert_type(lab.stack().logs("api", tail=3), list[str])
    lab.stack().down(volumes=True)
    for host in all_hosts():
        print(host)

shared = Lab("bench", [machine], reservations=otto.ReservationOptions("file", ttl=30.0, required=True))
with shared.reserve("carrot", wait=5, reason="nightly") as reservation:
    assert_type(reservation, otto.Reservation)

# Errors

error: OttoError
for error in (
    otto.AuthenticationError(),
    otto.ComposeError(),
    otto.ComposeFileError(),
    otto.ConfigError(),
    otto.ConnectError(),
    otto.ConnectionLost(),
    otto.ContainerNotRunning(),
    otto.DockerUnavailable(),
    otto.ForkError(),
    otto.HostKeyError(),
    otto.LocalFileError(),
    otto.NoSuchContainer(),
    otto.RemoteFileError("text"),
    otto.RemoteFileExists("text"),
    otto.RemoteFileNotFound("text"),
    otto.RemoteFileTimedOut("text"),
    otto.RemoteIsADirectory("text"),
    otto.RemoteNotADirectory("text"),
    otto.RemotePermissionDenied("text"),
    otto.ReservationError(),
    otto.ReservationLost(),
    otto.ReservationTimedOut(),
    otto.SessionBusy(),
    otto.ShellNotFound(),
    otto.UnknownHost(),
    otto.UnsupportedParentError(),
):
    print(error)
try:
    api.run("false", check=True)
except otto.CommandTimedOut as too_slow:
    assert_type(too_slow.result, CommandResult)
except CommandFailed as failed:
    assert_type(failed.result, CommandResult)
except TransferFailed as not_copied:
    assert_type(not_copied.result, TransferResult)
except otto.ExpectTimeout as late:
    assert_type(late.before, str)
except otto.SessionClosed as closed:
    assert_type(closed.before, str)
    assert_type(closed.retcode, "int | None")

# Unit tests

scripted = ScriptedHost(
    {
        "uname": "Linux\n",
        "cat": b"\xff",
        "make": Reply("out", stderr="err", retcode=2),
        "late": CommandResult("late", timed_out=True),
        "lost": otto.ConnectError("lost"),
        re.compile("echo (.*)"): lambda match: str(match[1]),
        "twice": ["first", Reply(retcode=1)],
    },
    id="web",
    files=Path("root"),
)
hosts.append(scripted)
assert_type(scripted.commands, list[str])
assert_type(scripted.typed, list[str])
assert_type(scripted.inputs, list[bytes])
assert_type(scripted.oneshot("uname"), CommandResult)
scripted.replies["more"] = "output"
print(UnexpectedCommand("text"))

# Logs

mask("secret", None)
assert_type(masked("secret"), str)
with configure("logs", stdout=True):
    pass

# Asyncio


async def main() -> None:
    async with api.aio as host:
        assert_type(host.logs(tail=1), AsyncLines)
        assert_type(await host.logs(tail=1), list[str])
        async for async_line in host.logs(follow=True):
            assert_type(async_line, str)
        assert_type(host, AsyncHost)
        assert_type(host.host, Host)
        assert_type(await host.oneshot("id", 5, check=True), CommandResult)
        assert_type(await host.run("id", timeout=5), CommandResult)
        assert_type(await host.run(["id", "id"]), RunResult)
        await host.send("y")
        await host.sendline("y")
        assert_type(await host.expect(["a", "b"], timeout=1), ExpectMatch)
        assert_type(await host.put("a", "/tmp", mode=0o644, owner="1000", timeout=5), TransferResult)
        assert_type(await host.get("/tmp/a", "."), TransferResult)
        assert_type(await host.interact(), "int | None")
        remote = host.path("/etc") / "hosts"
        assert_type(remote, AsyncRemotePath)
        assert_type(await remote.exists(), bool)
        assert_type(await remote.read_text(encoding="utf-8"), str)
        assert_type(await remote.parent.glob("*"), list[AsyncRemotePath])
        assert_type(await remote.rename("/etc/old"), AsyncRemotePath)
        await host.start_repeat("load", "uptime", 5)
        print(await host.repeat_results("load"))
        await host.stop_repeat("load")
        await host.stop_all_repeats()
        assert_type(await host.is_running(), bool)
        await host.rebuild_connections()
        assert_type(AsyncHost(api, limit=20), AsyncHost)
        async with host.start("tail -f log") as started:
            assert_type(started, AsyncProcess)
            assert_type(started.process, otto.Process)
            assert_type(await started.wait_for("up"), ExpectMatch)
            assert_type([line async for line in started.lines("stdout")], list[str])
            assert_type(await started.wait(5), CommandResult)
            await started.send("x")
            await started.send_eof()
            assert_type(await started.stop(), CommandResult)
            assert_type((started.output, started.running), tuple[str, bool])
        assert_type((await host.start("true")).process.aio, AsyncProcess)
        assert_type(await host.open_session("build"), AsyncSession)
        async with host.open_session("build") as session:
            assert_type(session, AsyncSession)
            assert_type(session.session, HostSession)
            assert_type(await session.run("make"), CommandResult)
            assert_type(await session.run(["make"]), RunResult)
            await session.send("y")
            await session.sendline()
            assert_type(await session.expect("x"), ExpectMatch)
            await session.interrupt()
            assert_type(session.alive, bool)
            await session.close()
        assert_type(await in_thread(lab.run_all, "id"), dict[str, CommandResult])


asyncio.run(main())
