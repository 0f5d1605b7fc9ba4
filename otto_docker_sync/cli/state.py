"""What the global options say, and how the commands speak: results to stdout, messages for people to stderr."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import logs
from ..deadline import Cancellation, cancellation
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..lab import Lab

LAB_FILE = "lab.toml"
Result = TypeVar("Result")


def find_lab_file(given: Path | None) -> Path:
    """The lab file that was given, or the nearest ``lab.toml`` from here upwards."""
    if given is not None:
        return given
    for directory in (here := Path.cwd(), *here.parents):
        if (directory / LAB_FILE).is_file():
            return directory / LAB_FILE
    raise ConfigError(f"there is no {LAB_FILE} in {here} or above: give one with --lab FILE, or in OTTO_LAB")


@dataclass
class State:
    """One run of the command line. It owns the lab, which is read when first needed and closed at the end."""

    lab_file: Path | None = None
    json: bool = False
    dry_run: bool = False
    verbose: int = 0
    log_dir: Path | None = None
    interrupted: bool = False
    out: Console = field(default_factory=lambda: Console(soft_wrap=True, highlight=False))
    err: Console = field(default_factory=lambda: Console(stderr=True, soft_wrap=True, highlight=False))
    _log_setups: list[logs.LoggingSetup] = field(default_factory=list)

    def start_logs(self) -> None:
        if self.log_dir is not None:
            self._log_setups.append(logs.configure(self.log_dir))
        if self.verbose:
            to_stderr = logging.StreamHandler(sys.stderr)
            to_stderr.setLevel(logging.INFO if self.verbose == 1 else logging.DEBUG)
            to_stderr.setFormatter(logs.LineFormatter())
            self._log_setups.append(logs.LoggingSetup([to_stderr], logging.DEBUG))

    @cached_property
    def lab(self) -> Lab:
        from ..lab import Lab  # what needs no lab starts quicker without it

        return Lab.load(find_lab_file(self.lab_file))

    def close(self) -> None:
        if "lab" in vars(self):
            self.lab.close()
        for handlers in reversed(self._log_setups):
            handlers.close()
        self._log_setups.clear()

    # Speaking

    def tell(self, text: str, style: str = "") -> None:
        """Say something to the person who runs this."""
        self.err.print(Text(text, style))

    def error(self, text: str) -> None:
        self.err.print(Text.assemble(("otto-docker: ", "bold red"), logs.masked(text)))

    def busy(self, text: str) -> AbstractContextManager[Any]:
        """Show on a terminal that something is being done; nothing in a pipe."""
        return self.err.status(Text(text)) if self.err.is_terminal and not self.json else nullcontext()

    def report_dry_run(self, text: str, **details: Any) -> int:
        """Say what a dry run would have done."""
        if self.json:
            self.print_json({"dry_run": True, "would": text, **details})
        else:
            self.tell(f"would {text}", "cyan")
        return 0

    def print_json(self, value: Any) -> None:
        indent = 2 if self.out.is_terminal else None
        self.write(json.dumps(value, indent=indent, ensure_ascii=False, default=str) + "\n")

    def print_table(self, columns: list[str], rows: list[list[str]], styles: dict[str, str] | None = None) -> None:
        """A table for people on a terminal; tab-separated lines in a pipe. `styles` are for cells with that text."""
        if not self.out.is_terminal:
            self.write("".join("\t".join(cell.replace("\n", " ") for cell in row) + "\n" for row in rows))
            return
        table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell, (styles or {}).get(cell, "")) for cell in row))
        self.out.print(table, soft_wrap=False)

    def write(self, text: str, to_stderr: bool = False) -> None:
        """Write a command's output as it is, at once."""
        stream = sys.stderr if to_stderr else sys.stdout
        stream.buffer.write(text.encode("utf-8", "surrogateescape"))
        stream.buffer.flush()

    # Calling

    def call(self, work: Callable[[], Result], interrupt: Callable[[], bool] = lambda: False) -> Result:
        """Do `work` on a thread of its own, so that Ctrl-C is heard: once interrupts the work, twice leaves.

        `interrupt` is called for the first; where it says that it reached nobody, the work is cancelled.
        """
        cancel = Cancellation()
        context = contextvars.copy_context()
        context.run(cancellation.set, cancel)
        outcome: Future[Result] = Future()

        def worker() -> None:
            try:
                outcome.set_result(context.run(work))
            except BaseException as error:
                outcome.set_exception(error)

        threading.Thread(target=worker, name="otto-docker", daemon=True).start()
        try:
            return outcome.result()
        except KeyboardInterrupt:
            self.interrupted = True
            self.tell("interrupting; Ctrl-C again leaves", "yellow")
            try:
                if not interrupt():
                    cancel.cancel()
                return outcome.result()
            except KeyboardInterrupt:
                cancel.cancel()
                raise
