"""Checks of what users pass: each returns the value, or raises `ConfigError` that names the argument and the fix.

A check runs when the argument is given, not when it is first used: a wrong type found later, in another thread or after
a connection was made, is much harder to trace back.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Union

from .errors import ConfigError
from .limits import FOREVER, SHOWN_VALUE

Timeout = Union[float, timedelta, None]
"""What a public ``timeout=`` takes: seconds, a ``timedelta``, or None to wait forever."""

MAX_PORT = 65535


def timeout_seconds(timeout: Timeout, what: str = "timeout") -> float | None:
    """Check a timeout, and return it in seconds; infinity, and more than FOREVER, is None.

    >>> timeout_seconds(timedelta(minutes=2))
    120.0
    """
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if timeout is None:
        return None
    # bool is an int: run("ls", True) is a mistake, not a timeout of one second.
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise _refusal(what, timeout, "pass seconds (0 or more), a timedelta, or None to wait forever")
    return None if timeout > FOREVER else float(timeout)


def check_typed(what: str, value: Any) -> str:
    """Check what is to be typed: any string.

    >>> check_typed("send", "yes")
    'yes'
    """
    if not isinstance(value, str):
        raise _refusal(what, value, "pass a string")
    return value


def check_callback(what: str, value: Any) -> None:
    """Check something that is called, or None.

    >>> check_callback("on_output", print)
    """
    if value is not None and not callable(value):
        raise _refusal(what, value, "pass a function, or None")


def check_commands(what: str, value: Any) -> None:
    """Check a command, or a list of commands; their items are checked when they run.

    >>> check_commands("cmds", ["cd /tmp", "ls"])
    """
    if not isinstance(value, Iterable) or isinstance(value, (bytes, bytearray)):
        raise _refusal(what, value, "pass a string, or a list of strings and ShellCommands")


def check_seconds(what: str, value: Any) -> float:
    """Check a number of seconds that must be more than 0.

    >>> check_seconds("interval", 0.5)
    0.5
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
        raise _refusal(what, value, "pass seconds, more than 0")
    return float(seconds)


def check_since(what: str, value: Any) -> float | datetime | None:
    """Check where a log is to begin: seconds before now, a ``timedelta``, an aware ``datetime``, or None.

    >>> check_since("since", timedelta(minutes=5))
    300.0
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _refusal(what, value, "pass a datetime with a time zone, as datetime.now(timezone.utc)")
        return value
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 <= seconds < math.inf):
        raise _refusal(what, value, "pass seconds before now (0 or more), a timedelta, or an aware datetime")
    return seconds


def check_count(what: str, value: Any, minimum: int = 0) -> int:
    """Check a whole number of at least `minimum`.

    >>> check_count("max_parallel", 4, minimum=1)
    4
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise _refusal(what, value, f"pass a whole number, {minimum} or more")
    return value


def check_port(what: str, value: Any) -> int:
    """Check a TCP port.

    >>> check_port("port", 22)
    22
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_PORT:
        raise _refusal(what, value, f"pass a number from 1 to {MAX_PORT}")
    return value


def check_flag(what: str, value: Any) -> bool:
    """Check a True or False.

    >>> check_flag("allow_agent", False)
    False
    """
    if not isinstance(value, bool):
        raise _refusal(what, value, "pass True or False")
    return value


def check_text(what: str, value: Any, advice: str = "pass a string", *, may_be_empty: bool = False) -> str:
    """Check a string that a program can be given: not empty, and without a NUL character.

    >>> check_text("shell", "bash")
    'bash'
    """
    if not isinstance(value, str) or "\0" in value or not (value or may_be_empty):
        raise _refusal(what, value, advice)
    return value


USER = re.compile(r"[^-:\s\0][^:\s\0]*(:[^-:\s\0][^:\s\0]*)?\Z")
VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


def check_user(what: str, value: Any) -> str:
    """Check a user that a program is to run as: a name or a number, with or without a group.

    >>> check_user("user", "www-data:www-data")
    'www-data:www-data'
    """
    if not isinstance(value, str) or not USER.match(value):
        raise _refusal(what, value, "pass a name or a number, as 'www-data', '1000' or '1000:1000'")
    return value


def check_directory(what: str, value: Any) -> str:
    """Check a directory of a host, to start a program in.

    >>> check_directory("workdir", "/srv/app")
    '/srv/app'
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise _refusal(what, value, "pass the absolute path of a directory of the host")
    return path


def check_environment(what: str, value: Any) -> dict[str, str]:
    """Check variables for the environment of a program, and return a copy of them.

    >>> check_environment("env", {"LANG": "C"})
    {'LANG': 'C'}
    """
    if not isinstance(value, Mapping):
        raise _refusal(what, value, "pass a dict of strings")
    for name, text in value.items():
        if not isinstance(name, str) or not VARIABLE.match(name):
            raise _refusal(f"a name in {what}", name, "pass letters, digits and '_', the first no digit")
        if not isinstance(text, str) or "\0" in text:
            raise ConfigError(f"{what}: the value of {name} is not a string that a shell can take")
    return dict(value)


def check_path(what: str, value: Any) -> Path:
    """Check a path of this machine, and expand ``~`` and environment variables in it.

    >>> check_path("log_dir", "~/logs").is_absolute()
    True
    """
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise _refusal(what, value, "pass a path, as a str or an os.PathLike")
    return Path(os.path.expandvars(text)).expanduser()


def check_choice(what: str, value: Any, choices: Iterable[str]) -> str:
    """Check that a string is one of `choices`.

    >>> check_choice("term", "ssh", ("ssh", "telnet"))
    'ssh'
    """
    known = list(choices)
    if value not in known:
        raise _refusal(what, value, f"pass {' or '.join(repr(choice) for choice in known)}")
    return str(value)


class Address(NamedTuple):
    """Where a machine is, as ``ssh`` has it on its command line."""

    user: str | None
    host: str
    port: int | None


def parse_address(what: str, value: Any) -> Address:
    """Read ``host``, ``user@host``, ``host:port`` or ``user@host:port``; an IPv6 address with a port is in brackets.

    >>> parse_address("host", "me@lab-17:2222")
    Address(user='me', host='lab-17', port=2222)
    """
    advice = "pass a host name or an address, as 'lab-17', 'me@lab-17' or 'me@lab-17:2222'"
    text = check_text(what, value, advice)
    user, separator, rest = text.rpartition("@")
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.%\w]+)\](?::(.*))?", rest)
    if bracketed:
        host, port_text = bracketed[1], bracketed[2]
    elif rest.count(":") == 1:
        host, port_text = rest.split(":")
    else:  # several colons are an IPv6 address
        host, port_text = rest, None
    is_wrong = not host or host.startswith("-") or any(character.isspace() for character in text)
    if is_wrong or (separator and not user) or (port_text is not None and not port_text.isdecimal()):
        raise _refusal(what, value, advice)
    port = None if port_text is None else check_port(f"the port of {what}={text!r}", int(port_text))
    return Address(user or None, host, port)


LAB_FILE = "lab.toml"


def find_lab_file(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the lab file to use: `given`, else that of ``OTTO_LAB``, else the nearest ``lab.toml`` from here upwards.

    Raises `ConfigError` when there is none.

    >>> find_lab_file()
    PosixPath('/home/me/repo1/lab.toml')
    """
    given = given or os.environ.get("OTTO_LAB")
    if given:
        return check_path("lab", given)
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / LAB_FILE).is_file():
            return directory / LAB_FILE
    raise ConfigError(
        f"there is no {LAB_FILE} in {here} or above; name one with --lab FILE or in OTTO_LAB, or write one: "
        "otto-docker init"
    )


def _refusal(what: str, value: Any, advice: str) -> ConfigError:
    shown = repr(value)
    if len(shown) > SHOWN_VALUE:
        shown = shown[: SHOWN_VALUE - 1] + "…"
    return ConfigError(f"{what}={shown}: {advice}")
