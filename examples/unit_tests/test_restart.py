"""Unit tests of code that takes a host: no machine, no docker, milliseconds.

pytest test_restart.py
"""

import re

import pytest

from otto_docker_sync import CommandFailed, Host
from otto_docker_sync.testing import Reply, ScriptedHost


def restart(host: Host, service: str) -> int:
    """Restart a service, and return its process id. This is the code under test."""
    host.oneshot(["systemctl", "restart", service], timeout=30, check=True)
    for _ in range(10):
        if host.oneshot(["systemctl", "is-active", service]):
            return int(host.path(f"/run/{service}.pid").read_text())
    raise TimeoutError(f"{service} did not start")


def test_it_waits_until_the_service_is_active(tmp_path):
    host = ScriptedHost(
        {
            "systemctl restart app": "",
            "systemctl is-active app": [Reply("activating\n", retcode=3), "active\n"],
        },
        files=tmp_path,
    )
    host.path("/run").mkdir()
    host.path("/run/app.pid").write_text("42\n")
    assert restart(host, "app") == 42
    assert host.commands == ["systemctl restart app"] + 2 * ["systemctl is-active app"]


def test_a_restart_that_fails_is_an_error():
    host = ScriptedHost({re.compile(r"systemctl restart \w+"): Reply(stderr="Unit not found.\n", retcode=5)})
    with pytest.raises(CommandFailed, match="Unit not found"):
        restart(host, "nothing")
