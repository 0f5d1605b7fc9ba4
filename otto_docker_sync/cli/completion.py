"""Completion of commands, host ids and projects, without Typer and without the library: a TAB must feel instant.

The shell calls ``otto-docker`` with the words so far in its environment, as the scripts have it that
``--install-completion`` installs. What is answered here are the first words of a command line; for everything else
(options, fish's way of asking) Typer's own completion is asked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from .registry import COMMANDS, GLOBAL_VALUES

ASKED = "_OTTO_DOCKER_COMPLETE"
LAB_FILE = "lab.toml"


class Names(NamedTuple):
    """What a lab file declares."""

    hosts: dict[str, str]
    """Host id → what it is, in a few words."""
    projects: dict[str, list[str]]
    """Project → its declared services."""


def answer() -> bool:
    """Print the completions that a shell asks for. Returns False when nobody asks, or when Typer has to answer."""
    way = os.environ.get(ASKED)
    if way == "complete_bash":
        line = os.environ.get("COMP_WORDS", "")
        words = line.split("\n" if "\n" in line else " ")
        before = words[1 : int(os.environ.get("COMP_CWORD", "1") or 1)]
        beginning = words[len(before) + 1] if len(words) > len(before) + 1 else ""
    elif way == "complete_zsh":
        line = os.environ.get("_TYPER_COMPLETE_ARGS", "")
        words = line.split()[1:]
        beginning = "" if not words or line[-1:].isspace() else words.pop()
        before = words
    else:
        return False
    found = complete(before, beginning)
    if found is None:
        return False
    if way == "complete_bash":
        print("\n".join(found))
    elif found:
        print(f"_arguments '*: :(({' '.join(map(_zsh_item, found.items()))}))'")
    else:
        print("_files")
    return True


def complete(before: list[str], beginning: str) -> dict[str, str] | None:
    """Return word → help for the words that may come next and begin so; None when it is not known here."""
    lab_file: str | None = None
    words = list(before)
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in GLOBAL_VALUES and words:
            value = words.pop(0)
            lab_file = value if option == "--lab" else lab_file
        elif option.startswith("--lab="):
            lab_file = option.removeprefix("--lab=")
    if beginning.startswith("-") or (before and before[-1] in GLOBAL_VALUES):
        return None
    if not words:
        return {name: "" for name in COMMANDS if name.startswith(beginning)}
    entry = COMMANDS.get(words[0])
    if entry is None or any(word.startswith("-") for word in words):
        return None
    if not entry.completes or (len(words) > 1 and not entry.repeats):
        return {}
    names = read_names(lab_file)
    known: dict[str, str] = dict.fromkeys(names.projects, "") if entry.completes != "host" else names.hosts
    if entry.completes == "printer":
        known |= {name: about for name, about in names.hosts.items() if "." in name}
    return {name: about for name, about in known.items() if name.startswith(beginning)}


def read_names(lab_file: str | None = None) -> Names:
    """Read what a lab file declares. Checks nothing, and is empty for a file that cannot be read.

    >>> read_names("lab.toml").hosts
    {'carrot': 'tester@192.0.2.10', 'carrot.repo1.api': 'service api of repo1'}
    """
    try:
        tables = _read_toml(Path(lab_file) if lab_file else _nearest())
    except (OSError, ValueError, ImportError):
        return Names({}, {})
    hosts: dict[str, str] = {}
    projects: dict[str, list[str]] = {}
    machines = _tables(tables, "hosts")
    for name, host in machines.items():
        user = f"{host['user']}@" if "user" in host else ""
        hosts[name.lower()] = f"{user}{host.get('host', 'this machine')}"
    capable = [name for name, host in machines.items() if host.get("docker_capable", True)]
    for name, project in _tables(tables, "projects").items():
        services = [service for service in project.get("services", []) if isinstance(service, str)]
        projects[name] = services
        parent = project.get("default_host", capable[0] if len(capable) == 1 else None)
        if isinstance(parent, str):
            hosts.update((f"{parent}.{name}.{service}".lower(), f"service {service} of {name}") for service in services)
    for name, container in _tables(tables, "containers").items():
        hosts[f"{container.get('parent')}.docker.{name}".lower()] = f"container {container.get('container', name)}"
    return Names(hosts, projects)


def _nearest() -> Path:
    given = os.environ.get("OTTO_LAB")
    if given:
        return Path(given)
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / LAB_FILE).is_file():
            return directory / LAB_FILE
    raise FileNotFoundError(LAB_FILE)


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    with path.open("rb") as file:
        return tomllib.load(file)


def _tables(tables: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    listed = tables.get(kind)
    if not isinstance(listed, dict):
        return {}
    return {name: table for name, table in listed.items() if isinstance(table, dict)}


def _zsh_item(item: tuple[str, str]) -> str:
    word, about = (text.replace('"', '""').replace("'", "''").replace("$", r"\$").replace("`", r"\`") for text in item)
    return f'"{word}":"{about}"' if about else f'"{word}"'
