"""Local channels: real pipes, a real terminal, real processes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from otto_docker_sync._channel import local
from otto_docker_sync._channel.base import Chunk
from otto_docker_sync._channel.local import LocalChannel, reap
from otto_docker_sync.deadline import Cancellation, Deadline, DeadlineExpired, cancellation
from otto_docker_sync.errors import ConfigError


def soon() -> Deadline:
    return Deadline.after(10)


def read_all(channel: LocalChannel) -> Chunk:
    out, err = bytearray(), bytearray()
    while not (chunk := channel.read(soon())).ended:
        out += chunk.out
        err += chunk.err
    return Chunk(bytes(out), bytes(err))


def read_until(channel: LocalChannel, text: bytes) -> bytes:
    seen = bytearray()
    while text not in seen:
        chunk = channel.read(soon())
        assert not chunk.ended, bytes(seen)
        seen += chunk.out
    return bytes(seen)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before, children = set(os.listdir("/proc/self/fd")), children_of_ours()
    yield
    reap(Deadline.grace(5))
    assert not local._processes
    assert set(os.listdir("/proc/self/fd")) <= before
    assert children_of_ours() <= children


def children_of_ours() -> set[str]:
    """The processes that this one has to wait for, zombies included."""
    found: set[str] = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError):  # a thread that has just ended
            found.update(Path(f"/proc/self/task/{task}/children").read_text().split())
    return found


def test_pipes_keep_the_streams_apart() -> None:
    channel = LocalChannel(["sh", "-c", "printf o; printf e >&2; exit 7"])
    assert read_all(channel) == (b"o", b"e")
    assert channel.exit_status(soon()) == 7
    channel.close()
    channel.close()


def test_argv_is_not_read_by_a_shell() -> None:
    channel = LocalChannel(["printf", "%s|", "a b", "$HOME", "*", "", "-n", "é\n"])
    assert read_all(channel).out.decode() == "a b|$HOME|*||-n|é\n|"
    channel.close()


def test_a_program_that_is_not_there_says_so_as_a_remote_shell_does() -> None:
    channel = LocalChannel(["no-such-program"])
    assert b"not found" in read_all(channel).err
    assert channel.exit_status(soon()) == 127
    channel.close()


def test_a_nul_in_an_argument_is_refused() -> None:
    with pytest.raises(ConfigError):
        LocalChannel(["echo", "a\0b"])


def test_death_by_a_signal_reads_128_and_n() -> None:
    channel = LocalChannel(["sh", "-c", "kill -TERM $$"])
    assert read_all(channel).ended
    assert channel.exit_status(soon()) == 128 + signal.SIGTERM
    channel.close()


def test_eof_reaches_the_process_and_output_comes_back_whole() -> None:
    channel = LocalChannel(["cat"])
    sent, received, eof = bytes(range(256)) * 20_000, bytearray(), False
    view = memoryview(sent)
    while True:
        view = view[channel.write_some(bytes(view[:65536])) :]
        if not view and not eof:
            channel.write_eof()
            eof = True
        chunk = channel.read(soon())
        if chunk.ended:
            break
        received += chunk.out
    assert bytes(received) == sent
    assert channel.exit_status(soon()) == 0
    channel.close()


def test_much_on_stderr_does_not_block_stdout() -> None:
    channel = LocalChannel(["sh", "-c", "head -c 3000000 /dev/zero >&2; echo done"])
    out, err = read_all(channel)
    assert (out, len(err)) == (b"done\n", 3_000_000)
    channel.close()


def test_writing_takes_nothing_when_the_far_end_is_full_and_all_when_it_is_gone() -> None:
    channel = LocalChannel(["sleep", "0.5"])
    assert channel.write_some(b"x" * 65536) == 65536
    began = time.monotonic()
    channel.pause(Deadline.after(0.05))
    assert time.monotonic() - began >= 0.05
    assert channel.write_some(b"\n") == 0
    channel.close()

    gone = LocalChannel(["true"])
    assert read_all(gone).ended
    assert gone.exit_status(soon()) == 0
    gone.write(b"x" * 200_000, soon())
    gone.close()
    gone.write(b"x" * 200_000, soon())


def test_a_terminal_has_a_size_a_name_and_controls() -> None:
    channel = LocalChannel(["sh", "-c", "stty size; echo $TERM; tty </dev/tty >/dev/null && exec cat"], tty=True,
                           term="vt220", size=(133, 44))  # fmt: skip
    assert read_until(channel, b"vt220\r\n") == b"44 133\r\nvt220\r\n"
    channel.write(b"hello\n", soon())
    assert read_until(channel, b"hello\r\nhello\r\n")
    channel.write(b"\x03", soon())
    while not channel.read(soon()).ended:
        pass
    assert channel.exit_status(soon()) == 128 + signal.SIGINT
    channel.close()


def test_a_resize_reaches_the_program() -> None:
    channel = LocalChannel(
        ["sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"], tty=True
    )
    read_until(channel, b"ready")
    channel.resize(100, 30)
    read_until(channel, b"30 100")
    channel.close()
    channel.resize(1, 1)


def test_closing_hangs_the_terminal_up() -> None:
    channel = LocalChannel(["sh", "-c", "echo ready; exec sleep 1000"], tty=True)
    read_until(channel, b"ready")
    channel.close()
    began = time.monotonic()
    reap(Deadline.grace(5))
    assert time.monotonic() - began < 4
    assert channel.exit_status(soon()) == 128 + signal.SIGHUP
    assert channel.read(soon()).ended


def test_closing_ends_stdin_and_leaves_the_rest_to_the_process() -> None:
    channel = LocalChannel(["sh", "-c", "cat; exit 5"])
    channel.close()
    reap(Deadline.grace(5))
    assert channel.exit_status(soon()) == 5


def test_a_dropped_channel_closes_itself() -> None:
    channel = LocalChannel(["sh", "-c", "echo ready; exec sleep 1000"], tty=True)
    read_until(channel, b"ready")
    del channel
    gc.collect()


@pytest.mark.parametrize("tty", [False, True])
def test_time_ends_a_read(tty: bool) -> None:
    channel = LocalChannel(["cat"], tty=tty)
    began = time.monotonic()
    with pytest.raises(DeadlineExpired):
        channel.read(Deadline.after(0.1))
    with pytest.raises(DeadlineExpired):
        channel.read(Deadline.after(0))
    with pytest.raises(DeadlineExpired):
        channel.exit_status(Deadline.after(0.1))
    assert 0.2 <= time.monotonic() - began < 2
    channel.close()


@pytest.mark.parametrize("wait", ["read", "exit_status"])
@pytest.mark.parametrize("handles", [True, False])
def test_cancelling_and_closing_end_a_wait(wait: str, handles: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not handles:  # as on macOS, which has no pidfd
        monkeypatch.setattr(local, "_end_of", lambda _process, _undo: [])
    cancel = Cancellation()
    token = cancellation.set(cancel)
    endless = Deadline.after(None)
    cancellation.reset(token)
    channel = LocalChannel(["cat"])
    threading.Timer(0.1, cancel.cancel).start()
    with pytest.raises(DeadlineExpired):
        getattr(channel, wait)(endless)
    threading.Timer(0.1, channel.close).start()
    assert getattr(channel, wait)(soon()) in (None, Chunk())
    cancel.cancel()


def test_without_a_handle_the_end_of_a_process_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_end_of", lambda _process, _undo: [])
    channel = LocalChannel(["sh", "-c", "exec >/dev/null 2>&1; sleep 0.2; exit 9"])
    assert read_all(channel).ended
    assert channel.exit_status(soon()) == 9
    channel.close()


def test_many_threads_start_and_close_channels() -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(15):
                channel = LocalChannel(["sh", "-c", f"echo {number}"], tty=number % 2 == 0)
                assert read_all(channel).out.strip() == str(number).encode()
                assert channel.exit_status(soon()) == 0
                channel.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_channel_that_is_dropped_in_a_circle_makes_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an error's traceback does, which holds the frames that hold the error."""
    complaints = []
    monkeypatch.setattr("sys.unraisablehook", lambda told: complaints.append(told.exc_value))
    circle: list[object] = [LocalChannel(["cat"])]
    circle.append(circle)
    del circle
    gc.collect()
    assert complaints == []


def test_a_program_that_closes_nothing_ends_without_noise() -> None:
    program = "from otto_docker_sync import LocalHost; LocalHost().oneshot('echo done', check=True)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
