"""TOML files, and errors in them that show the line and say what to write."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")

KEY = r"[\w.\-\"']+"

HINTS: list[tuple[str, str]] = [
    (rf"\s*({KEY})\s*:\s*(.*)", "TOML has '=' between key and value: {0} = {1}"),
    (rf"\s*({KEY})\s*=\s*(True|False)\b", "write it in lower case: {0} = true, or false"),
    (rf"\s*({KEY})\s*=\s*(#.*)?$", 'the value is missing: {0} = "…"'),
    (rf"\s*({KEY})\s*=.*\\", "in double quotes a backslash begins an escape: use single quotes, {0} = '…'"),
    (rf"\s*({KEY})\s*=\s*\[", 'a list has its strings in quotes, with commas: {0} = ["one", "two"]'),
    (rf"\s*({KEY})\s*=\s*(\"[^\"]*|'[^']*)$", "the quote at the end is missing: {0} = {1}…"),
    (rf"\s*({KEY})\s*=\s*([^\"'\[{{\s#][^#]*)", 'a string stands in quotes: {0} = "{1}"'),
    (r"\s*\[\[?[^\]]*$", "the bracket at the end of the table's name is missing"),
    (r"\s*(\w[\w.-]*)\s*$", 'a line is a table, [{0}], or a key with its value, {0} = "…"'),
]
"""What a line that does not parse looks like, and what to write instead: the first that fits."""


def load_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file, also one with a byte order mark. Raises `ConfigError` that shows the line that is wrong."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"lab file {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"lab file {file} is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"lab file {file} is not valid TOML{_explain(str(error), text)}") from None


def _explain(message: str, text: str) -> str:
    """Return the end of an error: which line is wrong, the line itself, and what to write."""
    place = PLACE.search(message)
    reason = PLACE.sub("", message)
    lines = text.splitlines()
    if place is None or not lines:
        return f": {message}"
    number = min(int(place[1]), len(lines)) if place[1] else len(lines)
    line = lines[number - 1].expandtabs(4)
    if "overwrite" in reason.lower() or "declare" in reason.lower() or "mutate" in reason.lower():
        hint = "it stands in the file twice, or is a value in one place and a table in another"
    else:
        fitting = ((re.match(pattern, line), advice) for pattern, advice in HINTS)
        hint = next((advice.format(*_words(match)) for match, advice in fitting if match), "")
    return f", line {number}: {reason}\n    {line.strip()}" + (f"\n{hint}" if hint else "")


def _words(match: re.Match[str]) -> list[str]:
    return [(group or "").strip() for group in match.groups()]
