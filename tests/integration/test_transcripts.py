"""The transcripts in docs/transcripts are what the library and its remote processes say to each other today.

``make transcripts`` writes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from otto_docker_sync import DockerContainerHost, UnixHost
from otto_docker_sync._shell import shell
from tests.rig.transcript import Transcript

TRANSCRIPTS = Path(__file__).parents[2] / "docs" / "transcripts"
WRITE = "OTTO_WRITE_TRANSCRIPTS"
"""The environment variable that has the transcripts written, not compared."""


def channel_name(argv: Sequence[str]) -> str:
    if "otto-warden" in argv:
        return "warden"
    if "-it" in argv:
        return "session"
    return "oneshot" if "-e" in argv else "script"


@pytest.fixture
def check(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, unix_host: UnixHost, ctr: DockerContainerHost
) -> Iterator[Callable[[str], Transcript]]:
    """Record what `ctr` and its parent open; in the end the transcript must be that of the named file."""
    # A handshake that a busy machine has not answered yet would be repeated.
    monkeypatch.setattr(shell, "HANDSHAKE_TIME", 30.0)
    transcript = Transcript()

    def start(name: str) -> Transcript:
        nonlocal path
        path = TRANSCRIPTS / f"{name}.txt"
        transcript.record(unix_host, monkeypatch, channel_name)
        return transcript

    path = Path()
    yield start
    text = transcript.text({ctr.container_id: "CONTAINER"})
    if os.environ.get(WRITE):
        path.write_text(text)
    assert path.read_text() == text, f"{path.name} is stale; run: make transcripts"


def test_a_oneshot(check, ctr):
    transcript = check("oneshot")
    transcript.call('oneshot("echo hello; ls /nowhere")')
    ctr.oneshot("echo hello; ls /nowhere")


def test_a_oneshot_that_times_out(check, ctr):
    transcript = check("oneshot-timeout")
    transcript.call('oneshot("echo begun; sleep 60", timeout=1)')
    assert ctr.oneshot("echo begun; sleep 60", timeout=1).output == "begun\n"


def test_a_session(check, ctr):
    transcript = check("session")
    transcript.call('run("cd /tmp")')
    ctr.run("cd /tmp")
    transcript.call('run("pwd; false")')
    ctr.run("pwd; false")
    transcript.call("close()")
    ctr.close()


def test_a_command_that_times_out(check, ctr):
    transcript = check("timeout")
    ctr.run("true")
    transcript.forget()
    transcript.call('run("sleep 60", timeout=1)')
    assert ctr.run("sleep 60", timeout=1).timed_out
    transcript.call('run("pwd")')
    ctr.run("pwd")


def test_a_put(check, ctr, tmp_path):
    (tmp_path / "app.conf").write_text("colour = green\n")
    transcript = check("put")
    transcript.call('put("app.conf", "/tmp")')
    ctr.put(tmp_path / "app.conf", "/tmp")
    transcript.stop()
    ctr.oneshot("rm /tmp/app.conf", check=True)


def test_a_get(check, ctr, tmp_path):
    ctr.oneshot("mkdir /tmp/tree; echo colour = green >/tmp/tree/app.conf", check=True)
    transcript = check("get")
    transcript.call('get(["/tmp/tree/app.conf", "/tmp/tree", "/nothing"], ".")')
    ctr.get(["/tmp/tree/app.conf", "/tmp/tree", "/nothing"], tmp_path)
    transcript.stop()
    ctr.oneshot("rm -r /tmp/tree", check=True)
