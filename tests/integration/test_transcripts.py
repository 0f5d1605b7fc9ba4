"""The transcripts in docs/transcripts are what the library and its remote processes say to each other today.

``make transcripts`` writes them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from otto_docker_sync import DockerContainerHost, Lab, Project, UnixHost
from otto_docker_sync._shell import Capture, shell, spares, stdin
from otto_docker_sync.deadline import Deadline
from tests.rig.transcript import Transcript, script_words

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
    compare(path, transcript.text({ctr.container_id: "CONTAINER"}))


def compare(path: Path, text: str) -> None:
    if os.environ.get(WRITE):
        path.write_text(text)
    assert path.read_text() == text, f"{path.name} is stale; run: make transcripts"


def test_a_oneshot(check, ctr):
    transcript = check("oneshot")
    transcript.call('oneshot("echo hello; ls /nowhere")')
    ctr.oneshot("echo hello; ls /nowhere")


def test_a_oneshot_with_an_input(check, ctr, monkeypatch):
    monkeypatch.setattr(stdin, "INPUT_FIRST", 11)
    transcript = check("oneshot-input")
    transcript.call('oneshot("wc -c", input="first line\\nsecond line\\n")')
    assert ctr.oneshot("wc -c", input="first line\nsecond line\n").output == "23\n"


def test_a_oneshot_on_a_spare_shell(check, unix_host, ctr, monkeypatch):
    monkeypatch.setattr(spares, "SPARE_WAIT", 30.0)
    transcript = check("spare")
    with unix_host.container(ctr.container_id, warm=1) as host:
        spare = spares.Spare.start(host.backend, "", Deadline.after(30))
        spare.is_ready(Deadline.after(30))
        transcript.call('oneshot("echo hello")')
        spare.run(host.backend, "echo hello", {}, Deadline.after(30), Capture(None, print))
        spare.is_ready(Deadline.after(30))
        transcript.call("close()")
        spare.channel.write_eof()
        while not spare.channel.read(Deadline.after(30)).ended:
            pass
        spare.channel.close()


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


def test_a_stack(unix_host, rig, compose, tmp_path, monkeypatch):
    """Only what the scripts are given and say: Compose's own output differs from run to run."""
    monkeypatch.setenv("OTTO_COMPOSE_SUFFIX", f"transcript-{rig.worker}")
    service = f"{{image: {rig.image('busybox')}, command: sleep 600, network_mode: none, stop_signal: SIGKILL}}"
    (tmp_path / "compose.yml").write_text(f"services:\n  api: {service}\n")
    project = Project("shop", [tmp_path / "compose.yml"], default_host="carrot", services=["api"])
    transcript = Transcript()
    leases = iter(["lease.sh", "lease.sh while sending"])
    transcript.record(unix_host, monkeypatch, lambda argv: next(leases) if "say held" in argv[-1] else "script")
    with Lab("bench", [unix_host], [project]).stack("shop").shared(own=True) as stack:
        assert list(stack) == ["api"]
    words = script_words(transcript.entries, {"wanted", "expected", "options", "stop_timeout"})
    words = re.sub(r"\S+/otto-shop-transcript-\w+(?=/| |$)", "DIRECTORY", words, flags=re.MULTILINE)
    words = re.sub(r"says base \S+", "says base PRIVATE-DIRECTORY", words)
    words = re.sub(r"says config \S+", "says config ANSWER-OF-COMPOSE", words)
    words = re.sub(r"[0-9a-f]{64}", "CONTAINER", words)
    words = re.sub(
        r"(CONTAINER\|)otto-shop-transcript-\w+(\|.*?\|)[^|]*T[^|]*\|.*", r"\1PROJECT\2STARTED-AT|NAME|IMAGE", words
    )
    words = re.sub(r"(status CONTAINER)\|.*", r"\1|STATUS", words)
    compare(TRANSCRIPTS / "stack.txt", words)
