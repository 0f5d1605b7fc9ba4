"""The client dies without a word: its shells and commands in the container go, and so does all of it on the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.rig.account import Account
from tests.rig.containers import Container
from tests.rig.sshd import Sshd

from .helpers import on_this_machine, running, until

CLIENT = """
import os, sys, threading, time
from otto_docker_sync import DockerContainerHost, SSHOptions, UnixHost

host, port, user, key, known_hosts, container = sys.argv[1:]
parent = UnixHost(host, user, id="carrot", port=int(port), ssh=SSHOptions(identity_file=key, known_hosts=known_hosts))
ctr = DockerContainerHost(parent, container, "repo1", "api", "", warm=1)
ctr.oneshot("true").check()
ctr.run("sleep 9004 & (setsid sleep 9004 &)", timeout=20)
for on in (ctr, parent):
    threading.Thread(target=on.run, args=("sleep 9004",), daemon=True).start()
    threading.Thread(target=on.oneshot, args=("trap '' TERM INT; sleep 9004",), daemon=True).start()
    threading.Thread(target=on.oneshot, args=("sleep 9004",), kwargs={"input": b"x" * 500_000}, daemon=True).start()
ctr.start("trap '' TERM INT; sleep 9004")
ctr.open_session("talk").sendline("sleep 9004")
threading.Thread(target=lambda: list(ctr.logs(follow=True)), daemon=True).start()
print("ready", flush=True)
if sys.stdin.read(1) == "x":
    os._exit(1)
"""


def clients(account: Account, container: Container) -> list[int]:
    """What there is on the parent of the library's use of the container."""
    return [pid for pid in on_this_machine(container.id) if os.stat(f"/proc/{pid}").st_uid == account.uid]


@pytest.mark.parametrize("end", ["SIGKILL", "os._exit"])
@pytest.mark.parametrize("kind", ["busybox", "dash"])
def test_a_killed_client_leaves_no_process(
    sshd: Sshd,
    account: Account,
    shared_container: Callable[[str], Container],
    kind: str,
    end: str,
) -> None:
    container = shared_container(kind)
    before = container.processes()
    command = CLIENT if kind == "busybox" else CLIENT.replace("setsid ", "")
    arguments = [sshd.host, str(sshd.port), sshd.user, str(sshd.identity_file), str(sshd.known_hosts), container.id]
    client = subprocess.Popen(
        [sys.executable, "-c", command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert client.stdin is not None and client.stdout is not None
    with client:
        try:
            assert client.stdout.readline() == "ready\n"
            until(lambda: len(running(container, "sleep 9004")) == 7, 10, "seven sleeps in the container")
            until(lambda: len(on_this_machine("sleep 9004")) >= 10, 10, "three more on the parent")
            until(lambda: on_this_machine(f"--follow -- {container.id}"), 10, "the client that follows the log")
        finally:
            if end == "SIGKILL":
                client.send_signal(signal.SIGKILL)
            else:
                client.stdin.write("x")
                client.stdin.flush()
        client.wait(10)
        until(lambda: set(container.processes()) <= set(before), 20, "nothing is left in the container")
        until(lambda: not clients(account, container), 20, "no docker client is left on the parent")
        until(lambda: not on_this_machine("sleep 9004"), 20, "no command is left on the parent")
