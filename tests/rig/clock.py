"""The wall clock of a program, set back and forth while it runs."""

from __future__ import annotations

import itertools
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOUR = 3600


class Clock:
    """The clock of all programs that are started with `environ`; it is right until it is set.

    >>> clock = Clock(tmp_path); server = RedisServer(tmp_path, clock.environ); clock.set(-HOUR)
    """

    def __init__(self, directory: Path) -> None:
        library = directory / "clock.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
        self._file = directory / "clock"
        self._file.write_bytes(bytes(8))
        self.environ = {"LD_PRELOAD": str(library), "OTTO_TEST_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """Set it to so many seconds beside the truth."""
        with open(self._file, "r+b") as file:
            file.write(struct.pack("l", seconds))

    @contextmanager
    def set_back_and_forth(self, interval: float) -> Iterator[None]:
        """Set it an hour back, right, and an hour forth, again and again, each for `interval` seconds."""
        ended = threading.Event()

        def work() -> None:
            for seconds in itertools.cycle((-HOUR, 0, HOUR)):
                self.set(seconds)
                if ended.wait(interval):
                    return

        setting = threading.Thread(target=work)
        setting.start()
        try:
            yield
        finally:
            ended.set()
            setting.join()
