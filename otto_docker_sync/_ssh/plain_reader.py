"""A small reader of ssh_config, for machines without OpenSSH's client.

It splits lines as OpenSSH does, and knows Host, Include, and Match with the criteria that need no other program. What
it does not know is an error, never a guess. Tokens and variables are left to the caller, as ``ssh -G`` leaves them.
"""

from __future__ import annotations

import getpass
import glob
import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import ConfigError
from ..limits import INCLUDE_DEPTH

# Each further value is one more; of all other keywords the first value wins.
_REPEATED = frozenset({"identityfile", "certificatefile", "localforward", "remoteforward", "sendenv", "setenv"})
# The shell reads the rest of the line, whatever it looks like.
_COMMANDS = frozenset({"proxycommand", "localcommand", "remotecommand", "knownhostscommand"})
# Of these two, the one that comes first excludes the other.
_EXCLUSIVE = frozenset({"proxycommand", "proxyjump"})
_PATHS = frozenset({"identityfile", "certificatefile", "userknownhostsfile", "globalknownhostsfile", "identityagent"})


def read_files(files: list[str], host: str, port: int | None, user: str | None) -> dict[str, list[str]]:
    """Read the files in their order. Raises `ConfigError` for what this reader does not understand."""
    reader = _Reader(host, port, user)
    reader.read_all(files)
    if reader.saw_final:
        reader.final = True
        reader.read_all(files)
    settings = {keyword: [value for value in values if value] for keyword, values in reader.found.items()}
    name = settings.get("hostname", [host])[0]
    settings["hostname"] = [re.sub("%[%h]", lambda token: host if token[0] == "%h" else "%", name)]
    return settings


def split_words(text: str) -> list[str]:
    """Split the rest of a line as OpenSSH does: quotes of both kinds, backslashes, and a comment that ends it.

    >>> split_words('"a b" c\\\\ d # the rack')
    ['a b', 'c d']
    """
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            escaped = following in ("'", '"', "\\") or (following == " " and not quote)
            word = (word or "") + (following if escaped else character + following)
        elif quote:
            if character == quote:
                quote = ""
            else:
                word = (word or "") + character
        elif character in "\"'":
            quote, word = character, word or ""
        elif character in " \t":
            if word is not None:
                words.append(word)
            word = None
        elif character == "#" and word is None:
            break
        else:
            word = (word or "") + character
    if quote:
        raise ConfigError(f"a quote is not closed in {text!r}")
    return words if word is None else [*words, word]


def copy_for_home(files: list[str], host: str, home: str, directory: Path) -> dict[str, str]:
    """Copy the files, and what they include for `host`, into `directory`, with ``~`` written out as `home`.

    Returns the original of each copy, the first being the file to read.
    """
    copies = _HomeCopies(host, home, directory)
    included = [copies.copy(path, 0) for path in files]
    default = f'"{home}/.ssh/known_hosts" "{home}/.ssh/known_hosts2"'
    text = "".join(f'Include "{path}"\n' for path in included) + f"Match all\n  UserKnownHostsFile {default}\n"
    top = directory / "0"
    top.write_text(text, errors="surrogateescape")
    return {str(top): files[0], **copies.originals}


def _lines(path: str) -> Iterator[tuple[int, str, str, str]]:
    """The lines that say something: their number, keyword in lower case, the rest, and all of it."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file.read().splitlines(), 1):
            match = re.match(r'\s*"?([^\s="#]+)"?(?:[ \t]*=[ \t]*|[ \t]+)?(.*?)\s*$', line)
            if match:
                yield number, match[1].lower(), match[2], line


def _included(words: list[str], home: str) -> list[str]:
    """Return the files that an Include names. What is not a file, or cannot be read, is ignored, as ssh does."""
    found = []
    for word in words:
        path = home + word[1:] if word.startswith("~/") else word
        found += sorted(glob.glob(os.path.join(home, ".ssh", path)))
    return [path for path in found if os.path.isfile(path) and os.access(path, os.R_OK)]


class _Reader:
    def __init__(self, host: str, port: int | None, user: str | None) -> None:
        self.found: dict[str, list[str]] = {}
        self.final = False
        self.saw_final = False
        self._host = host
        if port is not None:
            self.found["port"] = [str(port)]
        if user:
            self.found["user"] = [user]

    def read_all(self, files: list[str]) -> None:
        for path in files:
            self._read(path, 0)

    def _read(self, path: str, depth: int) -> None:
        if depth > INCLUDE_DEPTH:
            raise ConfigError(f"{path}: Include goes deeper than {INCLUDE_DEPTH} files")
        applies = True
        for number, keyword, rest, line in _lines(path):
            try:
                words = [rest] if keyword in _COMMANDS else split_words(rest)
                if keyword == "include":
                    for name in _included(words, os.path.expanduser("~")) if applies else ():
                        self._read(name, depth + 1)
                elif keyword == "host":
                    applies = _matches_any(self._host, words)
                elif keyword == "match":
                    applies = self._match(words)
                elif not rest:
                    raise ConfigError(f"{line.strip()!r} has no value")
                elif applies:
                    self._set(keyword, " ".join(words))
            except ConfigError as error:
                if str(error).startswith("/"):
                    raise  # it names the file already
                raise ConfigError(f"{path} line {number}: {error}") from None

    def _set(self, keyword: str, value: str) -> None:
        if keyword in _EXCLUSIVE and any(other in self.found for other in _EXCLUSIVE - {keyword}):
            return
        values = self.found.setdefault(keyword, [])
        if not values or (keyword in _REPEATED and value not in values):
            values.append(value)

    def _match(self, words: list[str]) -> bool:
        applies = True
        pending = [part for word in words for part in word.partition("=")[::2] if part]
        while pending:
            criterion = pending.pop(0).lower()
            negated = criterion.startswith("!")
            name = criterion.lstrip("!")
            if name == "all":
                result = True
            elif name == "final":
                self.saw_final = True
                result = self.final
            elif name in ("host", "originalhost", "user", "localuser"):
                if not pending:
                    raise ConfigError(f"Match {name} has no value")
                result = _matches_any(self._value(name), pending.pop(0).split(","))
            else:
                raise ConfigError(f"Match {name} is understood by OpenSSH's own client only: install it (ssh)")
            applies = applies and result != negated
        return applies

    def _value(self, criterion: str) -> str:
        if criterion == "host":
            return self.found.get("hostname", [self._host])[0].replace("%h", self._host)
        if criterion == "originalhost":
            return self._host
        local = getpass.getuser()
        return local if criterion == "localuser" else self.found.get("user", [local])[0]


class _HomeCopies:
    def __init__(self, host: str, home: str, directory: Path) -> None:
        self._host = host
        self._home = home
        self._directory = directory
        self.originals: dict[str, str] = {}

    def copy(self, path: str, depth: int) -> Path:
        if depth > INCLUDE_DEPTH:
            raise ConfigError(f"{path}: Include goes deeper than {INCLUDE_DEPTH} files")
        lines: list[str] = []
        line_count = 0
        may_apply = True
        for number, keyword, rest, line in _lines(path):
            lines += [""] * (number - line_count - 1)  # so that ssh names the line of the original
            line_count = number
            if keyword in ("host", "match"):
                may_apply = keyword == "match" or _matches_any(self._host, split_words(rest))
            if keyword == "include":
                included = _included(split_words(rest), self._home) if may_apply else []
                copies = [self.copy(name, depth + 1) for name in included]
                line = "Include " + " ".join(f'"{name}"' for name in copies) if copies else ""
            elif keyword in _PATHS:
                line = re.sub(r"""(["']?)(?<![^\s="'])~(?=/)""", self._written_out, line)
            lines.append(line)
        copy = self._directory / str(len(self.originals) + 1)
        self.originals[str(copy)] = path
        copy.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
        return copy

    def _written_out(self, match: re.Match[str]) -> str:
        """The home directory in place of ``~``: a backslash before a space counts outside of quotes only."""
        return match[1] + (self._home if match[1] else self._home.replace(" ", "\\ "))


def _matches_any(value: str, patterns: list[str]) -> bool:
    found = False
    for pattern in patterns:
        if pattern.startswith("!") and _like(value, pattern[1:]):
            return False
        found = found or _like(value, pattern)
    return found


def _like(value: str, pattern: str) -> bool:
    return fnmatchcase(value, pattern.replace("[", "[[]"))  # ssh knows * and ? only
