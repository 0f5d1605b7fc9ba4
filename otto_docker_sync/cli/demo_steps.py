"""What the demo shows. The reader sees each function as it stands here, then what it prints."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .._ssh import SSHOptions
from ..docker_host import DockerContainerHost
from ..unix_host import UnixHost


def connect(port: int, key: Path, known_hosts: Path, container: str) -> DockerContainerHost:
    """A machine behind SSH, and a container on it: a host like any other"""
    ssh = SSHOptions(identity_file=key, known_hosts=known_hosts)
    parent = UnixHost("127.0.0.1", port=port, ssh=ssh)
    host = DockerContainerHost(parent, container, "demo", "box", "")
    print(host.oneshot("echo hello from $(hostname)").output)
    return host


def state_lasts(host: DockerContainerHost) -> None:
    """A shell that remembers: directory, variables, functions"""
    host.run("cd /tmp; name=world")
    host.run('shout() { echo "$*" | tr a-z A-Z; }')
    result = host.run("shout hello $name from $PWD; false")
    print(result.output, "exit status", result.retcode)


def prompts(host: DockerContainerHost) -> None:
    """A program asks, and gets its answers"""
    host.run("ask() { read -p 'Where? ' dir; read -p 'Sure (y/n)? ' sure; }")
    answers = {"Where": "/opt\n", "Sure": "y\n"}
    print(host.run("ask", expects=answers, timeout=10).status)
    print(host.run("echo $dir, $sure").output)


def time_out(host: DockerContainerHost) -> None:
    """A command that never ends is ended, in the container too"""
    result = host.run("echo begun; sleep 1000; echo never", timeout=1)
    print(result.output, result.status, "-", result.message)
    print(host.run("echo the shell is alive, and in $PWD").output)
    left = host.oneshot("ps | grep '[s]leep 1000'").output
    print("left in the container:", left or "nothing")


def oneshots(host: DockerContainerHost) -> None:
    """A fresh process for each command, from many threads at once"""
    result = host.oneshot("echo good; echo bad >&2; exit 3")
    print(f"{result.stdout=} {result.stderr=} {result.retcode=}")
    with ThreadPoolExecutor(12) as pool:
        squares = pool.map(lambda n: host.oneshot(f"echo $(({n}*{n}))"), range(12))
        print(*(square.output.strip() for square in squares))


def dialogue(host: DockerContainerHost) -> None:
    """A talk with a program, in a session of its own"""
    with host.open_session("calculator") as session:
        session.sendline("bc")
        session.sendline("6 * 7")
        print("bc says", session.expect(r"\n(\d+)\n").groups())


def files(host: DockerContainerHost) -> None:
    """Files, there and back"""
    Path("notes.txt").write_text("as it was\n")
    host.put("notes.txt", "/tmp").check()
    host.run("tr a-z A-Z <notes.txt >loud.txt").check()
    host.get("/tmp/loud.txt", ".").check()
    print(Path("loud.txt").read_text())


STEPS = (state_lasts, prompts, time_out, oneshots, dialogue, files)
