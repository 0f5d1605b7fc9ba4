"""How hosts log: standard loggers, silent until somebody configures them, and never with a secret in them.

Text is masked before a log record is made of it, so no handler, ours or an application's, ever sees a secret. Records
of hosts carry ``otto_host`` (the id), ``otto_kind`` (``"command"``, ``"output"``, ``"outcome"`` or ``"event"``) and
``otto_stdout`` (whether stdout may show it).
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
import threading
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from .arguments import check_path
from .limits import LONG_LINE

PACKAGE = "otto_docker_sync"
HIDDEN = "***"

logging.getLogger(PACKAGE).addHandler(logging.NullHandler())

_lock = threading.Lock()
_secrets: tuple[str, ...] = ()


def mask(*secrets: str | None) -> None:
    """Keep these values out of every log, error and ``repr`` of the library, from now on.

    They are hidden in the usual quotings as well: of a shell, of Python's ``repr``, of JSON. None and empty strings are
    ignored. What a command prints still stands as it is in its result.

    >>> mask(os.environ["API_TOKEN"])
    """
    global _secrets
    with _lock:
        known = set(_secrets)
        for secret in secrets:
            text = (secret or "").strip("\r\n")
            if text:
                known |= _spellings(text)
        # A new tuple, so that readers need no lock.
        _secrets = tuple(sorted(known))


def _spellings(text: str) -> set[str]:
    """The forms in which `text` may appear in a message or an output."""
    on_terminal = text.replace("\n", "\r\n")
    # Without the quotes around it: they may be a few words away, as in the repr of a whole command.
    in_shell = {shlex.quote(text)[1:-1], text.replace("'", r"'\''")} if "'" in text else set()
    plain = {text, on_terminal, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], *in_shell}
    # A repr escapes the single quotes where the whole text has both kinds.
    return plain | {repr(form)[1:-1] for form in plain} | {repr(form + "'\"")[1:-4] for form in plain}


def masked(text: str) -> str:
    """Return `text` with every secret in it hidden.

    >>> mask("hunter2"); masked("login -p hunter2")
    'login -p ***'
    """
    if not _secrets:
        return text
    masker = Masker()
    return masker.feed(text) + masker.flush(whole=True)


class Masker:
    """Hides secrets in a text that arrives in pieces, wherever the borders of the pieces fall.

    A piece may end with the beginning of a secret. Such an end is kept back until the next piece shows what it is; it
    is never longer than the longest secret. Where two secrets overlap, everything that one of them covers is hidden.
    """

    def __init__(self) -> None:
        self._text = ""
        # Characters at the start of the text that are part of a secret which has been replaced already.
        self._hidden = 0

    def feed(self, piece: str) -> str:
        """Take the next piece, and return the text that is now safe to show."""
        self._text += piece
        if not _secrets:
            return self._show(len(self._text), [])
        return self._show(len(self._text) - self._undecided(), list(self._found()))

    def flush(self, whole: bool = False) -> str:
        """Return the rest.

        Unless the text is `whole`, the beginning of a secret at its end is hidden too: the output of a command may have
        been cut off in the middle of a password.
        """
        end = len(self._text)
        found = list(self._found())
        if not whole and (undecided := self._undecided()):
            found.append((end - undecided, end))
        return self._show(end, found)

    def _found(self) -> Iterator[tuple[int, int]]:
        for secret in _secrets:
            at = self._text.find(secret)
            while at >= 0:
                yield at, at + len(secret)
                at = self._text.find(secret, at + 1)

    def _undecided(self) -> int:
        """Return the length of the longest end of the text that may be the beginning of a secret."""
        longest = 0
        for secret in _secrets:
            at = self._text.find(secret[0], max(0, len(self._text) - len(secret) + 1))
            while at >= 0 and not secret.startswith(self._text[at:]):
                at = self._text.find(secret[0], at + 1)
            if at >= 0:
                longest = max(longest, len(self._text) - at)
        return longest

    def _show(self, end: int, found: list[tuple[int, int]]) -> str:
        shown = []
        at = self._hidden
        for start, stop in sorted(found):
            if start >= end:
                break
            if start >= at:
                shown += [self._text[at:start], HIDDEN]
            at = max(at, stop)
        shown.append(self._text[at:end])
        self._text = self._text[end:]
        self._hidden = max(0, at - end)
        return "".join(shown)


class HostLog:
    """The log of one host: the logger ``otto_docker_sync.host.<id>``, so a container's is below its parent's.

    With ``log=False`` commands and their output are logged nowhere, with ``log_stdout=False`` not on stdout. Safe from
    any thread.

    >>> log = HostLog("carrot.repo1.api")
    >>> log.event("the container came back as 4f2a")
    """

    def __init__(self, host_id: str, log: bool = True, log_stdout: bool = True) -> None:
        self.host_id = host_id
        self.log = log
        self.log_stdout = log_stdout
        self.logger = logging.getLogger(f"{PACKAGE}.host.{host_id}")

    def event(self, text: str, level: int = logging.INFO) -> None:
        """Log what happened to the host itself: connected, a new shell, another container."""
        self.write(level, "event", text)

    def command(self, text: str, *, log: bool = True) -> CommandLog:
        """Log a command, and return where its output goes. With ``log=False`` neither is logged."""
        wanted = log and self.log
        if wanted:
            self.write(logging.INFO, "command", text)
        return CommandLog(self, wanted)

    def write(self, level: int, kind: str, text: str, is_masked: bool = False) -> None:
        """Log a text of a kind: ``event``, ``command``, ``output`` or ``outcome``."""
        if not self.logger.isEnabledFor(level):
            return
        to_stdout = self.log_stdout or kind == "event"
        extra = {"otto_host": self.host_id, "otto_kind": kind, "otto_stdout": to_stdout}
        record = self.logger.makeRecord(
            self.logger.name, level, "", 0, text if is_masked else masked(text), (), None, extra=extra
        )
        if to_stdout:
            self.logger.handle(record)
        else:
            _handle_off_stdout(self.logger, record)


class CommandLog:
    """Logs the output of one command, by whole lines. For one thread at a time.

    >>> call = log.command("make")
    >>> call.output("cc -c"); call.output(" main.c\\n"); call.end("exit status 0 in 1.2 s")
    """

    def __init__(self, host_log: HostLog, wanted: bool = True) -> None:
        self._host_log = host_log
        self._wanted = wanted
        self._masker = Masker()
        self._line: list[str] = []
        self._length = 0

    def output(self, text: str) -> None:
        """Take the next piece of the output. It may be cut anywhere."""
        if self._wanted and self._host_log.logger.isEnabledFor(logging.DEBUG):
            self._add(self._masker.feed(text))

    def end(self, outcome: str = "") -> None:
        """Log the rest of the output, then how the command ended."""
        self._add(self._masker.flush())
        self._log_lines()
        if outcome and self._wanted:
            self._host_log.write(logging.INFO, "outcome", outcome)

    def _add(self, text: str) -> None:
        lines, newline, rest = text.rpartition("\n")
        if newline:
            self._line.append(lines)
            self._log_lines()
        if rest:
            self._line.append(rest)
            self._length += len(rest)
            if self._length >= LONG_LINE:
                self._log_lines()

    def _log_lines(self) -> None:
        if self._line:
            self._host_log.write(logging.DEBUG, "output", "".join(self._line), is_masked=True)
        self._line = []
        self._length = 0


def _handle_off_stdout(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Do what ``logger.handle(record)`` does, but leave out every handler that writes to stdout.

    The handlers of the application as well: ``log_stdout=False`` is a promise about stdout, not about our handlers. So
    the walk up the tree of loggers is done here, as `logging.Logger.callHandlers` does it.
    """
    if logger.disabled or not logger.filter(record):
        return
    ancestor: logging.Logger | None = logger
    while ancestor:
        for handler in ancestor.handlers:
            stream = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
            if record.levelno >= handler.level and stream not in (sys.stdout, sys.__stdout__):
                handler.handle(record)
        ancestor = ancestor.parent if ancestor.propagate else None


class LineFormatter(logging.Formatter):
    """Formats each line of text as one line: time, host, a mark, text.

    The mark is ``$`` for a command, ``|`` for output, ``*`` for anything else.
    """

    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        host = getattr(record, "otto_host", record.name)
        mark = {"command": "$", "output": "|"}.get(getattr(record, "otto_kind", ""), "*")
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        start = f"{self.formatTime(record)} {host} {mark} "
        return "\n".join(start + line for line in text.split("\n"))


class PerHostFileHandler(logging.Handler):
    """Writes the records of each host to a file of its own: ``<directory>/<host id>.log``, opened when first needed."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._files: dict[str, logging.FileHandler] = {}

    def emit(self, record: logging.LogRecord) -> None:
        host_id = getattr(record, "otto_host", None)
        if host_id is None:
            return
        name = re.sub(r"[^\w.#@-]|^\.", "_", host_id) + ".log"
        if name == "all.log":
            name = "all_.log"  # all.log holds the records of all hosts
        if name not in self._files:
            self._files[name] = _log_file(self._directory / name)
        self._files[name].handle(record)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        super().close()


class LoggingSetup:
    """The handlers that one call of `configure` added. It owns them; `close` removes them. A context manager.

    >>> setup = configure("logs")
    >>> setup.close()
    """

    def __init__(self, handlers: list[logging.Handler], level: int) -> None:
        self._logger = logging.getLogger(PACKAGE)
        self._handlers = handlers
        self._level = self._logger.level
        self._logger.setLevel(level)
        for handler in handlers:
            self._logger.addHandler(handler)

    def close(self) -> None:
        """Remove the handlers, close their files, and restore the level of the logger. Idempotent."""
        if self._handlers:
            self._logger.setLevel(self._level)
        for handler in self._handlers:
            self._logger.removeHandler(handler)
            handler.close()
        self._handlers = []

    def __enter__(self) -> LoggingSetup:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def configure(
    log_dir: str | os.PathLike[str] | None = None, *, stdout: bool = False, level: int = logging.DEBUG
) -> LoggingSetup:
    """Write the logs of all hosts.

    Args:
        log_dir: A directory for ``all.log`` and one ``<host id>.log`` for each host; it is created if needed, and only
            the user may read the files. None, the default: no files.
        stdout: Whether to write to stdout as well; default False.
        level: At ``logging.INFO`` commands and events are logged; at ``logging.DEBUG``, the default, also the output
            of the commands.

    Returns a `LoggingSetup`, whose ``close`` ends it. Raises `ConfigError` when `log_dir` is not a path, ``OSError``
    when it cannot be created.

    >>> with configure("logs", stdout=True):
    ...     host.run("uname -a")
    """
    handlers: list[logging.Handler] = []
    if log_dir is not None:
        directory = check_path("log_dir", log_dir)
        directory.mkdir(parents=True, exist_ok=True)
        handlers += [_log_file(directory / "all.log"), PerHostFileHandler(directory)]
    if stdout:
        handlers.append(logging.StreamHandler(sys.stdout))
        handlers[-1].setFormatter(LineFormatter())
    return LoggingSetup(handlers, level)


class _PrivateFileHandler(logging.FileHandler):
    """Makes files that only their owner may read: they hold what commands print. One that is there keeps its mode."""

    def _open(self) -> TextIOWrapper:
        return open(
            self.baseFilename,
            "a",
            encoding=self.encoding,
            errors=self.errors,
            opener=lambda name, flags: os.open(name, flags, 0o600),
        )


def _log_file(path: Path) -> logging.FileHandler:
    handler = _PrivateFileHandler(path, encoding="utf-8", errors="backslashreplace", delay=True)
    handler.setFormatter(LineFormatter())
    return handler
