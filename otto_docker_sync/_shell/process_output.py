"""What a started process has written: kept within limits, and handed to those who read.

The plan. One thread adds what arrives; any thread takes it, in three ways:

    text      the end of each stream, TAIL_BYTES of it: for `Process.output` and the result
    lines     whole lines, in a queue for each choice of `Process.lines`
    matcher   the text that `Process.wait_for` has not consumed

The thread that adds waits when somebody would lose something, and then the remote program waits too, as at the end of a
full pipe. A loop over `lines` loses nothing, however slow it is. When nobody reads, UNREAD_BYTES are taken. Who waits
for a pattern, or for the end, reads as well: of what it passes over, the queues keep as much.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from ..deadline import Deadline
from ..limits import UNREAD_BYTES
from ..locks import Monitor
from ..result import ExpectMatch
from .capture import Capture, Sink
from .matcher import Matcher
from .patterns import CompiledPatterns

STREAMS = {None: (0, 1), "stdout": (0,), "stderr": (1,)}
"""The choices of `Process.lines`, and the streams of each."""


class LineQueue:
    """The lines of one choice that nobody has taken. They stay bytes, in the blocks in which they came, until then."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._at = 0
        """Where the next line begins in the first block."""
        self.size = 0
        """The bytes of all lines."""

    def add(self, block: bytes, limit: int | None) -> None:
        """Add whole lines. Where more than `limit` bytes would stay, the first go; None keeps all."""
        self._blocks.append(block)
        self.size += len(block)
        while limit is not None and self.size - (len(self._blocks[0]) - self._at) >= limit:
            self._drop_first_block()

    def take(self) -> str | None:
        """Return the next line without its end, and forget it; None when there is none."""
        if not self._blocks:
            return None
        block = self._blocks[0]
        end = block.find(b"\n", self._at)
        if end < 0:
            end = len(block)
        line = block[self._at : end].decode("utf-8", "replace")
        if end + 1 >= len(block):
            self._drop_first_block()
        else:
            self.size -= end + 1 - self._at
            self._at = end + 1
        return line

    def _drop_first_block(self) -> None:
        self.size -= len(self._blocks.popleft()) - self._at
        self._at = 0


class LineReader:
    """One loop over the lines. While it exists, none of its lines is dropped."""

    def __init__(self, output: ProcessOutput, queue: LineQueue) -> None:
        self._output = output
        self.queue = queue
        self.thread_id = threading.get_ident()

    def take(self) -> str | None:
        """Return the next line, None when it has not come yet. Does not wait."""
        self.thread_id = threading.get_ident()
        return self._output.take_line(self.queue)

    def wait(self, deadline: Deadline) -> bool:
        """Wait until there is a line; False at the end of the output. Raises `DeadlineExpired`."""
        return self._output.wait_for_line(self.queue, deadline)


class ProcessOutput(Capture):
    """The output of one started process; see above. One thread adds, any thread takes."""

    where_dropped = "are not kept"

    def __init__(self, log: Sink) -> None:
        super().__init__(self._add_text, log)
        self._changed = Monitor()
        self._matcher = Matcher(waiting_limit=UNREAD_BYTES)
        self._queues = {choice: LineQueue() for choice in STREAMS}
        self._partial = bytearray(), bytearray()
        """Of each stream, the line whose end has not come yet."""
        self._readers: list[LineReader] = []
        self._waiting: Counter[int] = Counter()
        """The threads that wait for a pattern or for the end."""
        self._unread = 0
        """Bytes that arrived since anybody last read."""
        self._unsearched = 0
        """Bytes that arrived since a pattern was last searched for."""
        self._released = False
        self.ended = False

    # The thread that adds

    def keep(self, data: bytes, stream: int) -> None:
        with self._changed.lock:
            while self._is_full():
                self._changed.wait(None)
            super().keep(data, stream)
            self._unread += len(data)
            self._unsearched += len(data)
            partial = self._partial[stream]
            partial += data
            end = data.rfind(b"\n") + 1
            # A line that never ends must not take all memory: it comes in pieces.
            if end or len(partial) >= UNREAD_BYTES:
                self._add_lines(len(partial) - len(data) + end if end else len(partial), stream)

    def _add_lines(self, size: int, stream: int) -> None:
        """Move so many bytes of a partial line into the queues."""
        partial = self._partial[stream]
        block = bytes(partial[:size])
        del partial[:size]
        if not block:
            return
        read_by_loops = [reader.queue for reader in self._active_readers()]
        # As long as nobody reads at all, it is `_is_full` that keeps the queues small.
        is_read = bool(self._waiting or read_by_loops)
        for choice, queue in self._queues.items():
            if stream in STREAMS[choice]:
                queue.add(block, UNREAD_BYTES if is_read and queue not in read_by_loops else None)

    def _add_text(self, text: str) -> None:
        with self._changed.lock:
            self._matcher.add(text)
            self._changed.notify_all()

    def _is_full(self) -> bool:
        if self._released:
            return False
        if self._waiting and self._unsearched >= UNREAD_BYTES:
            return True
        readers = self._active_readers()
        if readers:
            return max(reader.queue.size for reader in readers) >= UNREAD_BYTES
        return not self._waiting and self._unread >= UNREAD_BYTES

    def _active_readers(self) -> list[LineReader]:
        """The loops that may go on now; not one whose own thread waits for something else."""
        return [reader for reader in self._readers if reader.thread_id not in self._waiting]

    def release(self) -> None:
        """Hold nothing back any more: the process is being ended."""
        with self._changed.lock:
            self._released = True
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more will come, and the result is there. Called after `finish`."""
        with self._changed.lock:
            for stream, partial in enumerate(self._partial):
                self._add_lines(len(partial), stream)
            self.ended = True
            self._changed.notify_all()

    # Those who read

    def text(self) -> str:
        """The end of the output so far. A look only: nothing more is taken for it."""
        with self._changed.lock:
            return self.output.text()

    @contextmanager
    def reading(self, choice: str | None) -> Iterator[LineReader]:
        """Let a loop take the lines of a choice."""
        reader = LineReader(self, self._queues[choice])
        with self._changed.lock:
            self._readers.append(reader)
        try:
            yield reader
        finally:
            with self._changed.lock:
                self._readers.remove(reader)
                self._changed.notify_all()

    def take_line(self, queue: LineQueue) -> str | None:
        with self._changed.lock:
            line = queue.take()
            self._note_read()
            return line

    def wait_for_line(self, queue: LineQueue, deadline: Deadline) -> bool:
        with self._changed.lock, deadline.waking(self._wake):
            while not queue.size and not self.ended:
                self._wait(deadline)
            return queue.size > 0

    def wait_for_end(self, deadline: Deadline) -> None:
        """Wait until `end`. Raises `DeadlineExpired`."""
        with self._changed.lock, self._wanting_more(), deadline.waking(self._wake):
            while not self.ended:
                self._note_searched()
                self._wait(deadline)

    def wait_for_match(self, patterns: CompiledPatterns, deadline: Deadline) -> ExpectMatch | None:
        """Wait for a pattern, and consume the text up to its end; None when the output ended without it.

        Raises `DeadlineExpired`.
        """
        with self._changed.lock, self._wanting_more(), deadline.waking(self._wake):
            while True:
                has_ended = self.ended
                match = self._matcher.at_end(patterns) if has_ended else self._matcher.search(patterns)
                self._note_searched()
                if match or has_ended:
                    return match
                self._wait(deadline)

    def unmatched(self) -> str:
        """The text that `wait_for_match` has not consumed. It stays."""
        with self._changed.lock:
            return self._matcher.text

    def at_timeout(self, patterns: CompiledPatterns) -> ExpectMatch | None:
        """See `Matcher.at_timeout`."""
        with self._changed.lock:
            return self._matcher.at_timeout(patterns)

    @contextmanager
    def _wanting_more(self) -> Iterator[None]:
        """Have the thread that adds go on while this one waits."""
        thread_id = threading.get_ident()
        self._waiting[thread_id] += 1
        self._note_read()
        try:
            yield
        finally:
            self._waiting -= Counter([thread_id])
            self._note_read()

    def _note_read(self) -> None:
        self._unread = 0
        self._changed.notify_all()

    def _note_searched(self) -> None:
        # Only when something arrived since, because two threads that wait would wake each other forever.
        if self._unsearched:
            self._unsearched = 0
            self._changed.notify_all()

    def _wait(self, deadline: Deadline) -> None:
        deadline.check()
        self._changed.wait(deadline.wait_time())

    def _wake(self) -> None:
        with self._changed.lock:
            self._changed.notify_all()
