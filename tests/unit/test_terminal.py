"""The user's terminal, given away and taken back: a program on a real terminal, and a screen to look at it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otto_docker_sync import logs
from otto_docker_sync._channel.local import LocalChannel, reap
from otto_docker_sync._shell.terminal import Recording, interact
from otto_docker_sync.deadline import Deadline
from otto_docker_sync.errors import ConfigError
from tests.rig.pty_user import PtyUser

PROGRAM = """
import os, sys, termios, signal, threading
from otto_docker_sync._channel.local import LocalChannel
from otto_docker_sync.errors import OttoError
from otto_docker_sync._shell.terminal import interact, local_size
def modes():
    return termios.tcgetattr(0) if os.isatty(0) else None
before, handler = modes(), signal.getsignal(signal.SIGWINCH)
channel = LocalChannel(sys.argv[1:], tty=True, term=os.environ.get("TERM", "xterm"), size=local_size())
def main():
    print("BEFORE", flush=True)
    status = error = None
    try:
        status = interact(channel, transcript=os.environ.get("TRANSCRIPT"))
    except BaseException as raised:
        error = raised
    channel.close()
    same = modes() == before and signal.getsignal(signal.SIGWINCH) == handler and threading.active_count() <= 2
    print(f"\\nAFTER status={status} error={error!r} same={same}", flush=True)
if os.environ.get("THREAD"):
    worker = threading.Thread(target=main)
    worker.start()
    worker.join()
else:
    main()
if os.environ.get("ASK"):
    print("next key:", repr(input()), flush=True)
"""


@pytest.fixture
def pty_user() -> Iterator[Callable[..., PtyUser]]:
    people: list[PtyUser] = []

    def make(*argv: str, **environ: str) -> PtyUser:
        people.append(PtyUser(PROGRAM, *argv, **environ))
        people[-1].see("BEFORE")
        return people[-1]

    yield make
    for each in people:
        each.leave()


def test_exit_status_and_terminal_come_back(pty_user: Callable[..., PtyUser]) -> None:
    someone = pty_user("sh")
    someone.see("$")
    someone.type("stty size; echo term=$TERM; exit 7\n")
    someone.see("24 80")
    someone.see("term=linux")
    someone.see("AFTER status=7 error=None same=True")


def test_ctrl_c_goes_to_the_far_side(pty_user: Callable[..., PtyUser]) -> None:
    someone = pty_user("sh", "-c", "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.1; done")
    someone.see("ready")
    someone.type(b"\x03")
    someone.see("caught")
    someone.see("AFTER status=3 error=None same=True")


def test_ctrl_bracket_leaves_and_takes_no_key_of_what_follows(pty_user: Callable[..., PtyUser]) -> None:
    someone = pty_user("sh", ASK="1")
    someone.see("$")
    someone.type("echo typed; sleep 0.1\n")
    someone.see("typed")
    someone.type(b"echo unfinished\x1d")
    someone.see("AFTER status=None error=None same=True")
    someone.type("hello\n")
    someone.see("next key: 'hello'")


def test_the_end_of_the_far_side_takes_no_key_of_what_follows(pty_user: Callable[..., PtyUser]) -> None:
    someone = pty_user("sh", "-c", "echo gone", ASK="1")
    someone.see("AFTER status=0 error=None same=True")
    someone.type("h\n")
    someone.see("next key: 'h'")


def test_a_pager_and_a_resize_fill_the_screen(pty_user: Callable[..., PtyUser], tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("".join(f"line {number} ☃ é\n" for number in range(1, 200)))
    someone = pty_user("less", str(text))
    rows = someone.see("line 23 ☃ é")
    assert rows[:2] == ["line 1 ☃ é", "line 2 ☃ é"]
    someone.type(" ")
    assert someone.see("line 46 ☃ é")[0] == "line 24 ☃ é"
    someone.resize(60, 10)
    someone.type("g")
    assert someone.see(lambda rows: rows[0] == "line 1 ☃ é")[8] == "line 9 ☃ é"
    someone.type("q")
    someone.see("AFTER status=0")


def test_a_character_cut_in_two_is_shown_whole(pty_user: Callable[..., PtyUser], tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    recording.touch(0o644)  # what everybody may read until now
    halves = r"printf '\303'; sleep 0.2; printf '\251t\303\251\n'"
    someone = pty_user("sh", "-c", halves, TRANSCRIPT=str(recording))
    someone.see("été")
    someone.see("AFTER status=0")
    header, *events = map(json.loads, recording.read_text().splitlines())
    assert (header["version"], header["width"], header["height"], header["env"]["TERM"]) == (2, 80, 24, "linux")
    assert "".join(text for _, kind, text in events if kind == "o") == "été\r\n"
    assert events[0][0] >= 0.15
    assert recording.stat().st_mode & 0o777 == 0o600


def test_a_recording_notes_a_resize(pty_user: Callable[..., PtyUser], tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    someone = pty_user("sh", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done",
                     TRANSCRIPT=str(recording))  # fmt: skip
    someone.see("ready")
    someone.resize(100, 30)
    someone.see("30 100")
    someone.type(b"\x1d")
    someone.see("AFTER status=None error=None same=True")
    events = [json.loads(line) for line in recording.read_text().splitlines()[1:]]
    assert ["r", "100x30"] in [event[1:] for event in events]


def test_a_recording_hides_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", ())
    logs.mask("hunter2")
    with Recording(tmp_path / "recording", (80, 24)) as recording:
        for piece in (b"token hun", b"ter2, end"):
            recording.output(piece)
    events = [json.loads(line) for line in (tmp_path / "recording").read_text().splitlines()[1:]]
    assert "".join(event[2] for event in events) == "token ***, end"


def test_an_editor(pty_user: Callable[..., PtyUser], tmp_path: Path) -> None:
    someone = pty_user("sh", "-c", f"cd {tmp_path} && exec busybox vi text")  # a long path would not fit into a line
    someone.see(lambda rows: rows[0] == "" and rows[1] == "~")
    someone.type("ihello\x1b")
    assert someone.see(lambda rows: rows[23].startswith("- ") and "[Modified]" in rows[23])[0] == "hello"
    someone.type("yyp0rJ:wq\n")
    someone.see("AFTER status=0 error=None same=True")
    assert (tmp_path / "text").read_text() == "hello\nJello\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_program_restores_the_terminal(pty_user: Callable[..., PtyUser], number: int) -> None:
    someone = pty_user("sh")
    someone.see("$")
    os.kill(someone.child.pid, number)
    someone.see(f"AFTER status=None error=SystemExit({128 + number}) same=True")


def test_an_interrupt_from_outside_restores_the_terminal(pty_user: Callable[..., PtyUser]) -> None:
    someone = pty_user("sh")
    someone.see("$")
    os.kill(someone.child.pid, signal.SIGINT)
    someone.see("AFTER status=None error=KeyboardInterrupt() same=True")


def test_another_thread_than_the_main_one(pty_user: Callable[..., PtyUser]) -> None:
    someone = pty_user("sh", THREAD="1")
    someone.see("$")
    someone.type("exit 4\n")
    someone.see("AFTER status=4 error=None same=True")


def test_a_flood_can_be_left(pty_user: Callable[..., PtyUser]) -> None:
    someone = pty_user("yes")
    someone.see("y\ny\ny")
    someone.type(b"\x1d")
    someone.see("AFTER status=None error=None same=True")


@pytest.mark.parametrize("shell", [["sh"], ["bash", "--norc"], ["busybox", "sh"]])
@pytest.mark.parametrize("line_end", ["\n", ""])
def test_stdin_that_is_no_terminal_is_typed_then_ended(shell: list[str], line_end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *shell],
        input=f"echo he''llo\nstty size\n(exit 5){line_end}",
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=True,
    )
    assert "hello\n" in done.stdout.replace("\r", "")
    assert "24 80" in done.stdout
    assert "AFTER status=5 error=None" in done.stdout


def test_a_stream_without_a_descriptor_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    channel = LocalChannel(["cat"], tty=True)
    with pytest.raises(ConfigError, match="not a terminal, file or pipe"):
        interact(channel)
    channel.close()
    reap(Deadline.grace(5))
