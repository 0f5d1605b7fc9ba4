"""What the global options say, and how the commands speak: results to stdout, messages for people to stderr."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import logs
from ..arguments import find_lab_file
from ..deadline import Cancellation, context_with
from ..errors import UnknownHost
from ..limits import SIGNAL_POLL

if TYPE_CHECKING:
    from rich.console import Console

    from ..host import Host
    from ..lab import Lab

Result = TypeVar("Result")


@dataclass
class State:
    """One run of the command line. It owns the lab, which is read when first needed and closed at the end."""

    lab_file: Path | None = None
    json: bool = False
    dry_run: bool = False
    verbose: int = 0
    log_dir: Path | None = None
    interrupted: bool = False
    _log_setups: list[logs.LoggingSetup] = field(default_factory=list)

    def start_logs(self) -> None:
        """Write logs where the options say."""
        if self.log_dir is not None:
            self._log_setups.append(logs.configure(self.log_dir))
        if self.verbose:
            to_stderr = logging.StreamHandler(sys.stderr)
            to_stderr.setLevel(logging.INFO if self.verbose == 1 else logging.DEBUG)
            to_stderr.setFormatter(logs.LineFormatter())
            self._log_setups.append(logs.LoggingSetup([to_stderr], logging.DEBUG))

    @cached_property
    def lab(self) -> Lab:
        """The lab. Raises `ConfigError` for a lab file that is not there or not valid."""
        from ..lab import Lab  # `--help` and the like start quicker without it

        return Lab.load(find_lab_file(self.lab_file))

    def targets(self, host: str) -> list[Host]:
        """Return the hosts that an id or a pattern on the command line names. Raises `UnknownHost`."""
        if not is_pattern(host):
            return [self.lab.get(host)]
        found = self.lab.select(host)
        if not found:
            ids = ", ".join(self.lab.hosts)
            raise UnknownHost(f"no host of lab {self.lab.name} matches {host!r}; there are: {ids}")
        return found

    def close(self) -> None:
        """Close the lab and the logs. Idempotent."""
        if "lab" in vars(self):
            self.lab.close()
        for setup in reversed(self._log_setups):
            setup.close()
        self._log_setups.clear()

    # Speaking. Rich is imported for terminals only: in a pipe there is nothing to colour, and it takes a while.

    @property
    def out_is_terminal(self) -> bool:
        """Whether results are read by a person."""
        return sys.stdout.isatty()

    @property
    def err_is_terminal(self) -> bool:
        """Whether messages are read by a person as they come."""
        return sys.stderr.isatty()

    @cached_property
    def out(self) -> Console:
        """Rich's view of stdout."""
        from rich.console import Console

        return Console(soft_wrap=True, highlight=False)

    @cached_property
    def err(self) -> Console:
        """Rich's view of stderr."""
        from rich.console import Console

        return Console(stderr=True, soft_wrap=True, highlight=False)

    def tell(self, text: str, style: str = "") -> None:
        """Say something to the person who runs this."""
        if self.err_is_terminal:
            from rich.text import Text

            self.err.print(Text(text, style))
        else:
            self.write(text + "\n", to_stderr=True)

    def error(self, text: str) -> None:
        """Say what went wrong."""
        if self.err_is_terminal:
            from rich.text import Text

            self.err.print(Text.assemble(("otto-docker: ", "bold red"), logs.masked(text)))
        else:
            self.write(f"otto-docker: {logs.masked(text)}\n", to_stderr=True)

    def fail(self, text: str, kind: str, status: int) -> int:
        """Say why a command could not be run, as JSON too where that is asked for, and return the exit status."""
        if self.json:
            self.print_json({"error": logs.masked(text), "kind": kind, "status": status})
        self.error(text)
        return status

    def busy(self, text: str) -> AbstractContextManager[Any]:
        """Show on a terminal that something is being done; nothing in a pipe, nor where the log is shown."""
        if not self.err_is_terminal or self.json or self.verbose:
            return nullcontext()
        from rich.text import Text

        return self.err.status(Text(text))

    def report_dry_run(self, text: str, **details: Any) -> int:
        """Say what would have been done, and return the exit status of a dry run."""
        if self.json:
            self.print_json({"dry_run": True, "would": text, **details})
        else:
            self.tell(f"would {text}", "cyan")
        return 0

    def print_json(self, value: Any) -> None:
        """Write a value to stdout, indented for people and on one line for programs."""
        indent = 2 if self.out_is_terminal else None
        self.write(json.dumps(value, indent=indent, ensure_ascii=False, default=str) + "\n")

    def print_table(
        self, columns: list[str], rows: list[list[str]], styles: dict[str, str] | None = None, whole: int = 1
    ) -> None:
        """Write a table for people on a terminal, tab-separated lines in a pipe.

        `styles` are for cells with that text. The first `whole` columns hold what a reader wants to copy: they are
        never cut, even where the line then is longer than the terminal is wide.
        """
        if not self.out_is_terminal:
            self.write("".join("\t".join(cell.replace("\n", " ") for cell in row) + "\n" for row in rows))
            return
        from rich.table import Table
        from rich.text import Text

        gap = 2
        table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
        needed = 0
        for number, column in enumerate(columns):
            if number < whole:
                width = max(len(cell) for cell in [column, *(row[number] for row in rows)])
                table.add_column(column, min_width=width, no_wrap=True)
            else:
                width = len(column)
                table.add_column(column, min_width=width, overflow="fold")
            needed += width + gap
        for row in rows:
            table.add_row(*(Text(cell, (styles or {}).get(cell, "")) for cell in row))
        self.out.print(table, soft_wrap=False, crop=False, width=max(self.out.width, needed))

    def write(self, text: str, to_stderr: bool = False) -> None:
        """Write text as it is, at once."""
        self.write_bytes(text.encode("utf-8", "surrogateescape"), to_stderr)

    def write_bytes(self, data: bytes, to_stderr: bool = False) -> None:
        """Write bytes as they are, at once."""
        stream = sys.stderr if to_stderr else sys.stdout
        stream.buffer.write(data)
        stream.buffer.flush()

    # Calling

    def call(
        self,
        work: Callable[[], Result],
        interrupt: Callable[[], bool] = lambda: False,
        hint: str = "interrupting; press Ctrl-C again to leave",
    ) -> Result:
        """Do `work` in a thread of its own, so that Ctrl-C is noticed: once interrupts the work, twice leaves.

        `interrupt` is called at the first Ctrl-C; when it returns False, because it reached nobody, the work is
        cancelled. `hint` is then shown.
        """
        cancel = Cancellation()
        context = context_with(cancel)
        outcome: Future[Result] = Future()

        def worker() -> None:
            try:
                outcome.set_result(context.run(work))
            except BaseException as error:
                outcome.set_exception(error)

        threading.Thread(target=worker, name="otto-docker", daemon=True).start()
        try:
            return _wait_for(outcome)
        except KeyboardInterrupt:
            self.interrupted = True
            if hint:
                self.tell(hint, "yellow")
            try:
                if not interrupt():
                    cancel.cancel()
                return _wait_for(outcome)
            except KeyboardInterrupt:
                cancel.cancel()
                raise


def _wait_for(outcome: Future[Result]) -> Result:
    while not outcome.done():
        wait([outcome], SIGNAL_POLL)
    return outcome.result()


def is_pattern(host: str) -> bool:
    """Whether a HOST of the command line stands for several hosts.

    >>> is_pattern("*.api")
    True
    """
    return any(character in host for character in "*?[")
