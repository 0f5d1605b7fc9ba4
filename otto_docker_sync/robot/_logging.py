"""What the library logs, in Robot Framework's log: also from other threads, and less of it in SSHLibrary's keywords."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from robot.api import logger

from ..limits import MAX_RECORDS
from ..logs import PACKAGE

_at_debug = ContextVar("_at_debug", default=False)


@contextmanager
def library_records_at_debug() -> Iterator[None]:
    """Show the library's own records of this thread at level DEBUG, whatever their level, inside the block."""
    token = _at_debug.set(True)
    try:
        yield
    finally:
        _at_debug.reset(token)


class _LibraryFilter(logging.Filter):
    """Keeps the library's records from Robot Framework's handler while they are to appear at level DEBUG only."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING or not _at_debug.get() or not record.name.startswith(PACKAGE):
            return True
        logger.debug(record.getMessage())
        return False


class BackgroundLogHandler(logging.Handler):
    """Keeps the library's records of other threads until the main thread hands them to Robot Framework.

    Robot Framework itself drops what other threads log.
    """

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[tuple[logging.LogRecord, int]] = deque(maxlen=MAX_RECORDS)
        self._filter = _LibraryFilter()
        self.setFormatter(logging.Formatter("%(asctime)s %(threadName)s: %(message)s"))

    def start(self) -> None:
        """Begin to keep records."""
        logging.getLogger(PACKAGE).addHandler(self)
        for handler in _robot_handlers():
            handler.addFilter(self._filter)

    def stop(self) -> None:
        """Hand over what was kept, and keep no more."""
        self.flush()
        logging.getLogger(PACKAGE).removeHandler(self)
        for handler in _robot_handlers():
            handler.removeFilter(self._filter)

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is not threading.main_thread():
            quiet = _at_debug.get() and record.levelno < logging.WARNING
            self._records.append((record, logging.DEBUG if quiet else record.levelno))

    def flush(self) -> None:
        """Hand over what was kept. Does nothing in another thread, which Robot Framework would not listen to."""
        if threading.current_thread() is not threading.main_thread():
            return
        while self._records:
            record, level = self._records.popleft()
            text = self.format(record)
            if level >= logging.WARNING:
                logger.warn(text)
            elif level >= logging.INFO:
                logger.info(text)
            else:
                logger.debug(text)


def _robot_handlers() -> list[logging.Handler]:
    """The handlers by which Robot Framework takes what is logged with the standard module."""
    handlers = logging.getLogger().handlers
    return [handler for handler in handlers if type(handler).__module__.split(".")[0] == "robot"]
