"""A Compose project as a lab declares it, and the name its stack has on a parent."""

from __future__ import annotations

import difflib
import getpass
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .arguments import check_count
from .errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SERVICE = re.compile(r"[A-Za-z0-9._-]+(#[1-9][0-9]*)?")
COMPOSE_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class Project:
    """Compose files, the host they usually run on, and the services that are hosts before they run.

    Args:
        name: Names the project in the lab; part of its containers' ids.
        compose_files: Paths; relative ones start at the working directory.
        default_host: The id of the host that it runs on; default: the only host of the lab that runs containers.
        services: Those that are hosts before they run: ``api``, or ``api#2`` for replica number 2. Default: none.
        warm: What each of its containers gets as ``warm``, see `DockerContainerHost`. Default 0.

    Raises `ConfigError` for a name that is not valid, and without a compose file.

    >>> Project("repo1", ["docker/compose.yml"], default_host="carrot", services=["api", "db"])
    """

    name: str
    compose_files: Sequence[str | os.PathLike[str]]
    default_host: str | None = None
    services: Sequence[str] = ()
    warm: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ConfigError(f"project name {self.name!r}: use letters, digits, _ and -, the first a letter or digit")
        for key in ("compose_files", "services"):
            if isinstance(getattr(self, key), (str, os.PathLike)):
                raise ConfigError(f"project {self.name}: {key}={getattr(self, key)!r}: pass a list")
        check_count(f"project {self.name}: warm", self.warm)
        if not self.compose_files:
            raise ConfigError(f"project {self.name}: compose_files needs at least one file")
        for service in self.services:
            if not isinstance(service, str) or not SERVICE.fullmatch(service):
                raise ConfigError(f'project {self.name}: {service!r} is not a valid service; pass a name, or "name#2"')
        object.__setattr__(self, "compose_files", tuple(Path(os.path.abspath(path)) for path in self.compose_files))
        object.__setattr__(self, "services", tuple(dict.fromkeys(self.services)))


def compose_project_name(project: Project | str, suffix: str | None = None) -> str:
    """Return the name of a project's stack, Compose's ``-p``: ``otto-<project>-<suffix>``.

    The suffix keeps people apart who share a machine: the argument, else ``OTTO_COMPOSE_SUFFIX``, else the user's name.

    >>> compose_project_name("repo1", "ci-42")
    'otto-repo1-ci-42'
    """
    name = project if isinstance(project, str) else project.name
    suffix = suffix or os.environ.get("OTTO_COMPOSE_SUFFIX") or _user()
    return re.sub(r"[^a-z0-9_-]+", "-", f"otto-{name}-{suffix}".lower()).rstrip("-_")


def check_compose_project(name: str) -> str:
    """Return `name` if Compose takes it as a project's name, else raise `ConfigError`."""
    if not isinstance(name, str) or not COMPOSE_PROJECT.fullmatch(name):
        raise ConfigError(f"project_name={name!r}: Compose takes a-z, 0-9, _ and -, the first a letter or digit")
    return name


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this uid, as in many containers
        return f"uid{os.getuid()}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the known ones that resemble it, or all of them."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; there are: {', '.join(words)}" if words else "; there is none"
