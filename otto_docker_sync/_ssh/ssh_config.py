"""What ssh_config files say about one host.

OpenSSH is the reader of its own files: where ``ssh`` is installed, ``ssh -G`` is asked, once per connected host. It
gets what the caller gave (host, user, port), and knows every criterion of Match and the files of the system. Only
if there is no usable ``ssh``, a small reader takes its place: see `plain_reader`.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..deadline import Deadline, DeadlineExpired
from ..errors import ConfigError
from ..limits import SSH_DEFAULTS_TIME
from .plain_reader import copy_for_home, read_files

SYSTEM_FILE = "/etc/ssh/ssh_config"

# What ssh says when it cannot read any file, whatever stands in it: no -G (before 6.8, and Dropbear's), or a user id
# without an entry in the passwd database (containers that run under any number).
_UNUSABLE = re.compile(r"(illegal|invalid|unknown|unrecognized) option|^usage:|No user exists for uid", re.I | re.M)


class Settings:
    """The values of one host, by keyword in lower case, as ``ssh -G`` prints them. A keyword may have several lines.

    `defaults` are those of a host that no file speaks of.
    """

    def __init__(self, lines: Mapping[str, list[str]], defaults: Mapping[str, list[str]]) -> None:
        self._lines = lines
        self._defaults = defaults

    def lines(self, keyword: str) -> list[str]:
        """Every value of a keyword that may be repeated."""
        return self._lines.get(keyword, [])

    def text(self, keyword: str) -> str:
        """Return the value; "" if there is none."""
        return self._lines.get(keyword, [""])[0]

    def changed(self, keyword: str) -> bool:
        """Whether a file gives the keyword another value than OpenSSH's own default."""
        return self._lines.get(keyword, []) != self._defaults.get(keyword, [])

    def is_yes(self, keyword: str) -> bool:
        return self.text(keyword).lower() in ("yes", "true")

    def is_no(self, keyword: str) -> bool:
        return self.text(keyword).lower() in ("no", "false")

    def seconds(self, keyword: str) -> float | None:
        """Return the seconds of a time such as ``90``, ``1m`` or ``1h30m``; None if there is none, or 0."""
        value = self.text(keyword).lower()
        if not re.fullmatch(r"(\d+[smhdw]?)+", value):
            return None
        units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
        return float(sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhdw]?)", value))) or None


def read_settings(
    host: str, port: int | None, user: str | None, config_file: str | os.PathLike[str] | None, deadline: Deadline
) -> Settings:
    """Read what the files say about `host`, for the port and user that the caller asked for (None: not given).

    `config_file` None reads ``~/.ssh/config`` and the file of the system, "" reads nothing. Raises `ConfigError` with
    the reader's own words for a file that cannot be used, `DeadlineExpired` when a ``Match exec`` does not end.
    """
    if config_file is None:
        files = [path for path in (os.path.expanduser("~/.ssh/config"), SYSTEM_FILE) if os.path.exists(path)]
    else:
        files = [os.path.expanduser(os.fspath(config_file))] if os.fspath(config_file) else []
    for path in files:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if not files:
        return Settings({}, {})
    ssh = shutil.which("ssh")
    if ssh is not None and (defaults := _defaults(ssh)) is not None:
        try:
            return Settings(_ask_ssh(ssh, host, port, user, files, config_file is not None, deadline), defaults)
        except _Unusable:
            pass
    return Settings(read_files(files, host, port, user), {})


class _Unusable(Exception):
    """This ``ssh`` cannot be asked."""


def _ask_ssh(
    ssh: str, host: str, port: int | None, user: str | None, files: list[str], only_these: bool, deadline: Deadline
) -> dict[str, list[str]]:
    arguments = [*(["-p", str(port)] if port is not None else []), *(["-l", user] if user else []), "--", host]
    home = os.path.expanduser("~")
    if home == _passwd_home():
        chosen = ["-F", files[0]] if only_these else []
        return _run([ssh, "-G", *chosen, *arguments], host, files[0], deadline)
    # ssh takes ~ from the passwd database. Everything else in this library, and most other tools, take $HOME: where the
    # two differ, ssh reads a copy of the files in which $HOME is written out.
    with tempfile.TemporaryDirectory(prefix="otto-ssh-") as directory:
        originals = copy_for_home(files, host, home, Path(directory))
        return _run([ssh, "-G", "-F", next(iter(originals)), *arguments], host, files[0], deadline, originals)


def _run(
    command: list[str], host: str, path: str, deadline: Deadline, originals: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    # A process group of its own: a command of ``Match exec`` that does not end is killed with ssh.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    with process, deadline.waking(kill):
        try:
            out, err = process.communicate(timeout=deadline.remaining())
        except subprocess.TimeoutExpired:
            kill()
            raise DeadlineExpired(f"ssh -G did not answer what {path} says about {host}") from None
        except BaseException:
            kill()
            raise
    deadline.check()
    if process.returncode == 0 and b"\nhostname " in b"\n" + out:
        return _parse(out)
    words = " ".join(err.decode(errors="replace").split())
    if process.returncode == 0 or _UNUSABLE.search(words):
        raise _Unusable
    for copy, original in reversed(list((originals or {}).items())):  # the last first: "…/12" begins as "…/1" does
        words = words.replace(copy, original)
    raise ConfigError(f"{path} cannot be used for {host}: ssh says: {words[-500:]}")


def _parse(out: bytes) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for line in os.fsdecode(out).splitlines():
        keyword, _, value = line.partition(" ")
        lines.setdefault(keyword.lower(), []).append(value.strip())
    return lines


@cache
def _defaults(ssh: str) -> dict[str, list[str]] | None:
    """What this ssh says about a host of which no file speaks; None when it cannot be asked."""
    argv = [ssh, "-G", "-F", os.devnull, "placeholder"]
    try:
        return _run(argv, "placeholder", os.devnull, Deadline.grace(SSH_DEFAULTS_TIME))
    except (_Unusable, OSError, ConfigError, DeadlineExpired):
        return None


def _passwd_home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
