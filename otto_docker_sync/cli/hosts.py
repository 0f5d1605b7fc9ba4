"""Host ids on the command line: completion, and a host in a few words."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OttoError
from .state import find_lab_file

if TYPE_CHECKING:
    from ..host import Host
    from ..lab import Lab


def _lab_in_completion(ctx: Any) -> Lab | None:
    """The lab as its file declares it; None when it cannot be read, as completion has nobody to tell."""
    from ..lab import Lab

    given = ctx.find_root().params.get("lab")
    with contextlib.suppress(OttoError, OSError):
        return Lab.load(find_lab_file(Path(given) if given else None))
    return None


def complete_hosts(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The host ids that begin so. Reads the lab file only."""
    lab = _lab_in_completion(ctx)
    return [(host.id, describe(host)) for host in lab.hosts.values() if host.id.startswith(incomplete)] if lab else []


def complete_projects(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of projects that begin so. Reads the lab file only."""
    lab = _lab_in_completion(ctx)
    return [name for name in lab.projects if name.startswith(incomplete)] if lab else []


HostId = Annotated[str, typer.Argument(metavar="HOST", help="A host's id.", autocompletion=complete_hosts)]


def kind(host: Host) -> str:
    """One word for what a host is: container, ssh, telnet or local."""
    return "container" if host.is_virtual else getattr(host, "term", "local")


def describe(host: Host) -> str:
    """What a host is and how it is reached.

    >>> describe(lab.hosts["carrot"])
    'tester@192.0.2.10:22 via gateway'
    """
    from ..docker_host import DockerContainerHost
    from ..unix_host import UnixHost

    if isinstance(host, DockerContainerHost):
        return f"service {host.service} of {host.project} on {host.parent.id}"
    if isinstance(host, UnixHost):
        address = f"{host.user}@{host.host}" if host.user else host.host
        port = f":{host.port}" if host.port else ""
        via = f" via {host.hop.id}" if host.hop else ""
        return f"{address}{port}{via}"
    return "this machine"
