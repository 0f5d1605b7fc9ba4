"""Log records of other threads, which Robot Framework does not take, in the keyword that runs when they are made."""

from __future__ import annotations

import logging
import threading
from collections import deque

from robot.api import logger

from ..logs import PACKAGE

MAX_RECORDS = 10_000
"""So many records are kept for one keyword; of more, the last."""


class BackgroundLogHandler(logging.Handler):
    """Keeps the library's records of other threads until the main thread hands them to Robot Framework."""

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[logging.LogRecord] = deque(maxlen=MAX_RECORDS)
        self.setFormatter(logging.Formatter("%(asctime)s %(threadName)s: %(message)s"))

    def start(self) -> None:
        logging.getLogger(PACKAGE).addHandler(self)

    def stop(self) -> None:
        self.flush()
        logging.getLogger(PACKAGE).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is not threading.main_thread():
            self._records.append(record)

    def flush(self) -> None:
        """Hand over what was kept. Does nothing in another thread, which Robot Framework would not listen to."""
        if threading.current_thread() is not threading.main_thread():
            return
        while self._records:
            record = self._records.popleft()
            text = self.format(record)
            if record.levelno >= logging.WARNING:
                logger.warn(text)
            elif record.levelno >= logging.INFO:
                logger.info(text)
            else:
                logger.debug(text)
