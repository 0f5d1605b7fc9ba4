"""The work that is measured. A job gets a tool ready, and returns what does the work once."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .measure import Meter, Sample
from .target import LINK_DELAY, SMALL_FILES, SMALL_SIZE, Target
from .tools import LocalDocker, Session, Tool
from .tools.base import check_output

Job = Callable[[type[Tool], Target, ExitStack], Sample]

MEGABYTE = 1 << 20


Work = Callable[[], object]
"""Something to be timed."""


MakeWork = Callable[[Tool, Target, ExitStack], Work]
"""Gets ready with a tool, leaves what has to be undone in the stack, and returns the work."""


def timed(make_work: MakeWork, times: int = 1) -> Job:
    """The work, `times` times in a row; the figure is that of one."""

    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:
        work = make_work(tool(target, stack), target, stack)

        def sample(meter: Meter) -> None:
            with meter:
                for _ in range(times):
                    work()
            meter.value /= times

        return sample

    return get_ready


def round_trips(make_work: MakeWork) -> Job:
    """How many round trips the work waits for: what it takes longer over a slow link, in delays of the link."""

    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:
        works = []
        for port in (target.fast_port, target.slow_port):
            reached = target.on_port(port)
            works.append(make_work(tool(reached, stack), reached, stack))

        def sample(meter: Meter) -> None:
            times = []
            for work in works:
                clock = Meter()
                with clock:
                    work()
                times.append(clock.value)
            meter.value = (times[1] - times[0]) / LINK_DELAY

        return sample

    return get_ready


def first_result(*, connects: bool) -> Job:
    """A new session, and the result of its first command; with `connects` on a connection of its own."""

    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:
        opened = None if connects else tool(target, stack)

        def sample(meter: Meter) -> None:
            with ExitStack() as own:
                with meter:
                    session = (opened or tool(target, own)).open_session()
                    output = session.run("echo it works")
                check_output(output, "it works")
                session.close()

        return sample

    return get_ready


def work_true(tool: Tool, target: Target, stack: ExitStack) -> Work:  # noqa: ARG001
    """``true`` on an open session."""
    session = _session(tool, stack)
    # Without an echo ash has no line editor, which would be what takes the time.
    session.run("stty -echo 2>/dev/null; true")
    check_output(session.run("echo it works"), "it works")
    return lambda: session.run("true")


def work_run(tool: Tool, target: Target, stack: ExitStack) -> Work:  # noqa: ARG001
    """A command on an open session."""
    session = _session(tool, stack)
    return lambda: check_output(session.run("echo it works"), "it works")


def work_oneshot(tool: Tool, target: Target, stack: ExitStack) -> Work:  # noqa: ARG001
    """A command in a new process."""
    return lambda: check_output(tool.oneshot("echo it works"), "it works")


def work_open(tool: Tool, target: Target, stack: ExitStack) -> Work:  # noqa: ARG001
    """A new session and its first result. All stay open to the end: what closing one takes does not count."""
    return lambda: check_output(_session(tool, stack).run("echo it works"), "it works")


def work_command(size: int) -> MakeWork:
    """A command of so many bytes on an open session."""

    def make_work(tool: Tool, target: Target, stack: ExitStack) -> Work:  # noqa: ARG001
        session = _session(tool, stack)
        command = f": '{'x' * size}'"
        return lambda: session.run(command)

    return make_work


def work_output(megabytes: int, *, on_session: bool) -> MakeWork:
    """So many MB of text as the output of a command, on an open session or in a new process."""

    def make_work(tool: Tool, target: Target, stack: ExitStack) -> Work:  # noqa: ARG001
        run = _session(tool, stack).run if on_session else tool.oneshot
        return lambda: check_size(run(cat(megabytes)), megabytes)

    return make_work


def work_expect(megabytes: int) -> MakeWork:
    """A marker that comes after so many MB of text that nobody has asked for."""

    def make_work(tool: Tool, target: Target, stack: ExitStack) -> Work:  # noqa: ARG001
        session = _session(tool, stack)
        markers = (f"here it is {number}." for number in itertools.count())

        def work() -> None:
            marker = next(markers)
            session.wait_for(f"{cat(megabytes)}; echo 'here it 'is{marker.removeprefix('here it is')}", marker)

        return work

    return make_work


def work_put(count: int) -> MakeWork:
    """So many small files; a tool that is done with the same files again replaces them."""

    def make_work(tool: Tool, target: Target, stack: ExitStack) -> Work:
        sources = sorted(target.small_files.iterdir())[:count]
        destination = f"/tmp/trips-{type(tool).__name__}-{target.port}-{count}"
        target.in_container(f"mkdir {destination}")
        stack.callback(target.in_container, f"rm -r {destination}")
        return lambda: tool.put(sources, destination)

    return make_work


def _session(tool: Tool, stack: ExitStack) -> Session:
    """An open session, which ends with the stack."""
    session = tool.open_session()
    stack.callback(session.close)
    return session


def put_files(count: int = SMALL_FILES, *, as_directory: bool) -> Job:
    """Small files into the container, as a list or as one directory."""

    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:
        opened = tool(target, stack)
        source = target.small_files if count == SMALL_FILES else target.path / f"small{count}"
        # docker cp takes one source.
        whole = as_directory or tool is LocalDocker
        sources = [source] if whole else sorted(source.iterdir())
        destinations = (f"/tmp/in-{tool.__name__}-{number}" for number in itertools.count())

        def sample(meter: Meter) -> None:
            destination = next(destinations)
            target.in_container(f"rm -rf {destination}; mkdir {destination}")
            with meter:
                opened.put(sources, destination)
            found = target.in_container(f"find {destination} -type f -size {SMALL_SIZE}c | wc -l; rm -r {destination}")
            check_output(f"{found} files", f"{count} files")

        return sample

    return get_ready


def get_files(*, as_directory: bool) -> Job:
    """Small files out of the container, as a list or as one directory."""

    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:
        opened = tool(target, stack)
        whole = as_directory or tool is LocalDocker
        sources = ["/tmp/small"] if whole else [f"/tmp/small/f{number}" for number in range(SMALL_FILES)]

        def sample(meter: Meter) -> None:
            with _directory(target.path / f"out-{tool.__name__}") as destination:
                with meter:
                    opened.get(sources, destination)
                found = [
                    path for path in destination.rglob("*") if path.is_file() and path.stat().st_size == SMALL_SIZE
                ]
                check_output(f"{len(found)} files", f"{SMALL_FILES} files")

        return sample

    return get_ready


def put_large(megabytes: int) -> Job:
    """One large file into the container."""

    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:
        opened = tool(target, stack)
        source = target.path / f"large{megabytes}"
        if not source.exists():
            with source.open("wb") as file, open("/dev/urandom", "rb") as random:
                for _ in range(megabytes):
                    file.write(random.read(MEGABYTE))

        def sample(meter: Meter) -> None:
            target.in_container("rm -rf /tmp/large; mkdir /tmp/large")
            with meter:
                opened.put([source], "/tmp/large")
            size = target.in_container("stat -c %s /tmp/large/*; rm -r /tmp/large")
            check_output(f"{size} bytes", f"{megabytes * MEGABYTE} bytes")

        return sample

    return get_ready


def cat(megabytes: int) -> str:
    """A command that prints so many MB of text."""
    if megabytes == 100:
        return "cat /tmp/100m"
    return f"head -c {megabytes * MEGABYTE} /tmp/100m"


def check_size(output: str | bytes, megabytes: int) -> None:
    """Raise unless all of the output is there. A tty adds a byte to each line, an end marker some."""
    if not megabytes * MEGABYTE * 0.98 < len(output) < megabytes * MEGABYTE * 1.1:
        raise ValueError(f"{len(output)} bytes came in place of {megabytes} MB")


@contextmanager
def _directory(path: Path) -> Iterator[Path]:
    """A new directory for the duration of a ``with`` block."""
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)
