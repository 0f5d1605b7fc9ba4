"""Programs that have less than others: no ``select.poll``, no file descriptor left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.rig.sshd import Sshd

ROOT = Path(__file__).parents[2]
HOSTS = """
import sys
from otto_docker_sync import LocalHost, SSHOptions, UnixHost
port, user, key, known, directory = sys.argv[1:]
machine = UnixHost("127.0.0.1", user, port=int(port), ssh=SSHOptions(identity_file=key, known_hosts=known))
local = LocalHost()
"""
WITHOUT_POLL = f"""
import select
del select.poll  # as eventlet.monkey_patch() does
{HOSTS}
for host in (local, machine):
    with host:
        assert host.oneshot("echo hi", timeout=20).output == "hi\\n"
        assert host.run("echo hi", timeout=20).output == "hi\\n"
        assert host.run("sleep 3600", timeout=0.5).timed_out
        host.get("/etc/hostname", directory, timeout=20).check()
        process = host.start("read line; echo $line")
        process.send("hi\\n")
        assert process.wait(20).output == "hi\\n"
"""
WITHOUT_DESCRIPTORS = f"""
import os, resource
from contextlib import suppress
{HOSTS}
from otto_docker_sync import OttoError
assert machine.run("true", timeout=20).ok and machine.oneshot("true", timeout=20).ok
resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
with suppress(OSError):
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
for host in (machine, local):
    for call in (
        lambda: host.put("/etc/hostname", directory, timeout=20),
        lambda: host.get("/etc/hostname", directory, timeout=20),
        lambda: host.path("/etc/hostname").read_text(),
        lambda: host.start("true").wait(20),
        lambda: machine.forward(9),
        lambda: host.wait_for(port=9, timeout=1),
        lambda: host.testinfra,
        lambda: local.oneshot("true", timeout=20),
        lambda: local.run("true", timeout=20),
    ):
        try:
            assert not call().ok
        except OttoError as error:
            assert "Too many open files" in str(error), error
assert machine.run("true", timeout=20).ok and machine.oneshot("true", timeout=20).ok
for descriptor in taken:
    os.close(descriptor)
for host in (local, machine):
    host.get("/etc/hostname", directory, timeout=20).check()
    host.close()
"""


def run_program(program: str, sshd: Sshd, directory: Path) -> None:
    arguments = [sshd.port, sshd.user, sshd.identity_file, sshd.known_hosts, directory]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr


def test_every_verb_works_without_poll(sshd: Sshd, tmp_path: Path) -> None:
    run_program(WITHOUT_POLL, sshd, tmp_path)


def test_without_a_descriptor_left_every_error_is_ours_and_what_is_open_goes_on(sshd: Sshd, tmp_path: Path) -> None:
    run_program(WITHOUT_DESCRIPTORS, sshd, tmp_path)
