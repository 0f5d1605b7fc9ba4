"""``otto-docker init``: a first lab file, from what OpenSSH knows or from questions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..arguments import LAB_FILE
from ..errors import ConfigError
from .state import State

SSH_CONFIG = Path("~/.ssh/config")
COMPOSE_FILES = ("compose.yml", "compose.yaml", "docker-compose.yml", "docker-compose.yaml")


def init(
    ctx: typer.Context,
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HOST", help="Only these hosts of the SSH configuration; or an address, for one that is not in it."
        ),
    ] = None,
    ask: Annotated[
        bool, typer.Option("--ask", metavar="", help="Ask for one host, and read no configuration.")
    ] = False,
    ssh_config: Annotated[
        Path, typer.Option(metavar="FILE", help="The SSH configuration to read the hosts from.")
    ] = SSH_CONFIG,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace a lab.toml that exists.")] = False,
) -> int:
    """Write a first lab.toml into this directory.

    Example: otto-docker init carrot

    Its hosts are those of ~/.ssh/config. When there are none, it asks for one. Contacts no host; otto-docker doctor
    then says what works.
    """
    state: State = ctx.obj
    path = state.lab_file or Path(LAB_FILE)
    if path.exists() and not force:
        raise ConfigError(f"{path} exists; --force replaces it")
    known = {} if ask else dict(read_ssh_config(ssh_config.expanduser()))
    if hosts:
        tables = [host_table(name, known.get(name, "")) for name in hosts]
    elif known:
        tables = [host_table(name, about) for name, about in known.items()]
    else:
        tables = [_ask(state)]
    text = "\n".join([f"name = {json.dumps(Path.cwd().name or 'lab')}\n", *tables, *_project_table(len(tables))])
    if state.dry_run:
        return state.report_dry_run(f"write {path}:\n\n{text}", path=str(path), content=text)
    path.write_text(text, encoding="utf-8")
    if state.json:
        state.print_json({"path": str(path), "content": text})
    else:
        state.tell(f"{path} is written, with {len(tables)} host{'s' if len(tables) != 1 else ''}")
        state.tell("next: otto-docker doctor")
    return 0


def read_ssh_config(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each host that an SSH configuration names, and what it is; not the patterns, and not what it includes.

    Only names are read here: what they mean is left to OpenSSH's own rules, when the lab file is used.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    names: list[str] = []
    address = ""
    for line in [*lines, "Host"]:
        match = re.match(r"\s*(\w+)(?:\s*=\s*|\s+|$)(.*)", line)
        if match is None:
            continue
        keyword, value = match[1].lower(), match[2].strip()
        if keyword in ("host", "match"):
            about = f"{address} in the SSH configuration" if address else ""
            yield from ((name, about) for name in names)
            listed = value.replace('"', "").split() if keyword == "host" else []
            names = [name for name in listed if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name)]
            address = ""
        elif keyword == "hostname":
            address = value.strip('"')


def host_table(name: str, about: str = "", keys: Mapping[str, str | int] | None = None) -> str:
    """Return a host's table of a lab file; `keys` are those beside its name, `about` is a comment.

    >>> print(host_table("carrot", "192.0.2.10 in the SSH configuration"))
    [hosts.carrot]
    host = "carrot"  # 192.0.2.10 in the SSH configuration
    """
    comment = f"  # {about}" if about else ""
    table = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    written = {"host": name, **(keys or {})}
    first, *others = [f"{key} = {json.dumps(value)}" for key, value in written.items()]
    return "\n".join([f"[hosts.{table}]", first + comment, *others, ""])


def _ask(state: State) -> str:
    """Ask for one host."""
    if not state.err_is_terminal:
        raise ConfigError(
            f"{SSH_CONFIG} names no hosts, and nobody can be asked here; name one: otto-docker init ADDRESS"
        )
    address = typer.prompt("Address of a machine that runs Docker", err=True).strip()
    user = typer.prompt("User to log in as", default="", show_default=False, err=True).strip()
    port = typer.prompt("Port", default=22, type=int, err=True)
    name = typer.prompt("Short name for it", default=re.split(r"[.:]", address)[0] or address, err=True).strip()
    keys: dict[str, str | int] = {"host": address}
    if user:
        keys["user"] = user
    if port != 22:
        keys["port"] = port
    return host_table(name, keys=keys)


def _project_table(hosts: int) -> list[str]:
    """Return a table for the Compose file in this directory, if there is one."""
    found = next((name for name in COMPOSE_FILES if Path(name).is_file()), None)
    if found is None:
        return []
    name = re.sub(r"[^A-Za-z0-9_-]", "-", Path.cwd().name).strip("-_") or "project"
    lines = [f"[projects.{name}]", f"compose_files = [{json.dumps(found)}]"]
    if hosts != 1:
        lines.append('# default_host = "…"    # the host that runs it')
    lines.append('# services = ["…"]       # those that are to be hosts before the stack is up')
    return ["\n".join([*lines, ""])]
