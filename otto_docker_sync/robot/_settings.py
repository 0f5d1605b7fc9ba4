"""SSHLibrary's settings: given at import or by default, and then for each open host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from robot.api import logger
from robot.utils import secs_to_timestr  # type: ignore[import-untyped]

from ..errors import ConfigError
from ..logs import masked

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "HTML", "NONE")
REGEXP = "REGEXP:"
ANSI_SEQUENCE = re.compile(r"(?:\x1B[@-_]|[\x80-\x9F])[0-?]*[ -/]*[@-~]")


@dataclass
class Settings:
    """What SSHLibrary calls the configuration of a connection, with its names, defaults and types."""

    timeout: float = 3.0
    """Seconds for the keywords that read."""
    newline: str = "\n"
    prompt: str | None = None
    loglevel: str = "INFO"
    term_type: str = "vt100"
    width: int = 80
    height: int = 24
    path_separator: str = "/"
    encoding: str = "UTF-8"
    escape_ansi: str = "False"
    encoding_errors: str | None = None
    """None is "strict" on a terminal, and "replace" for the output of commands."""

    def update(self, **given: Any) -> None:
        """Change what is given and not None."""
        for name, value in given.items():
            if value is not None:
                setattr(self, name, PARSERS.get(name, str)(value))

    @property
    def shown_timeout(self) -> str:
        """The timeout as SSHLibrary's messages have it, for example ``3 seconds``."""
        return str(secs_to_timestr(self.timeout))

    @property
    def prompt_regexp(self) -> re.Pattern[str]:
        """What the prompt looks like. Raises when none is set."""
        if not self.prompt:
            raise AssertionError("Prompt is not set.")
        is_regexp = self.prompt.startswith(REGEXP)
        return compile_regexp(self.prompt[len(REGEXP) :] if is_regexp else re.escape(self.prompt))

    def clean(self, output: str) -> str:
        """Return `output` without the control sequences of a terminal, if ``escape_ansi`` is set."""
        return ANSI_SEQUENCE.sub("", output) if self.escape_ansi == "True" else output

    def log(self, text: str, loglevel: str | None = None) -> None:
        """Log a text at a level, or at the one that is set; masked values are hidden, and nothing is logged for NONE.

        >>> Settings().log("Logging into 'lab-17:22' as 'tester'.")
        """
        level = parse_loglevel(self.loglevel if loglevel is None else loglevel)
        text = masked(text).strip()
        if text and level != "NONE":
            logger.write(text, level)  # type: ignore[arg-type]


def parse_loglevel(value: object) -> str:
    """Return the name of a log level. Raises for another text, for example a misspelt ``name=value``."""
    level = str(value).upper()
    if level not in LOG_LEVELS:
        raise AssertionError(f"Invalid log level '{value}'.")
    return level


def compile_regexp(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression of a suite."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"'{pattern}' is not a valid regular expression: {error}") from None


def seconds(timeout: timedelta | float | None) -> float | None:
    """Return a time of Robot Framework as seconds."""
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout


NEWLINES = {"LF": "\n", "CR": "\r", "CRLF": "\r\n"}

PARSERS: dict[str, Any] = {
    "timeout": seconds,
    "newline": lambda value: NEWLINES.get(value.upper(), value),
    "loglevel": parse_loglevel,
    "width": int,
    "height": int,
}
"""What makes the value of a setting out of an argument; ``str`` for the others."""
