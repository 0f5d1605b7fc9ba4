"""The hosts that a suite has open, and the library's own keywords that choose them."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from robot.api import logger

from .._ssh import HostKeyPolicy, SSHOptions
from ..docker_host import DockerContainerHost
from ..errors import ConfigError
from ..host import Host
from ..lab import Lab
from ._keyword import keyword
from ._open_host import HostRef, OpenHost
from ._settings import Settings


class HostKeywords:
    """Keywords about hosts as a whole; also the base of the other groups of keywords, which find their hosts by it.

    It owns the hosts and labs that the suite has opened.
    """

    def __init__(self, settings: Settings, known_hosts: str | None, host_key_policy: HostKeyPolicy | None) -> None:
        self._defaults = settings
        self._ssh = SSHOptions(known_hosts=known_hosts, host_key_policy=host_key_policy)
        self._open_hosts: dict[int, OpenHost] = {}
        self._last_index = 0
        self._current: OpenHost | None = None
        self._labs: list[Lab] = []
        self._held_stacks = ExitStack()
        """The stacks that came up because a keyword used one of their containers."""

    # What the other keywords use

    def _open_host(self, host: HostRef = None) -> OpenHost:
        """Return the open host that ``host=`` means. A host of a lab, or a host object, is opened by that."""
        if host is None:
            if self._current is None:
                logger.info("Use `Open Connection`, `Use Container` or `Use Lab` first, or name a host with host=.")
                raise RuntimeError("No open connection.")
            return self._current
        if isinstance(host, Host):
            known = next((known for known in self._open_hosts.values() if known.target is host), None)
            return known or self._add(host.id, host.name, target=host)
        for known in reversed(self._open_hosts.values()):
            if str(host) in (known.alias, str(known.index)):
                return known
        for lab in reversed(self._labs):
            if str(host) in lab.hosts:
                return self._open_host(lab.hosts[str(host)])
        names = [known.alias or str(known.index) for known in self._open_hosts.values()]
        names += [name for lab in self._labs for name in lab.hosts if name not in names]
        logger.info(f"These hosts are open, or known by a lab file: {', '.join(names) or 'none'}.")
        raise RuntimeError(f"Non-existing index or alias '{host}'.")

    def _host(self, host: HostRef = None) -> Host:
        """Return the host object that ``host=`` means, logged in."""
        known = self._open_host(host)
        if known.target is None:
            raise AssertionError(
                f"Connection not open\n{known.host}: not logged in: use `Login` or `Login With Public Key` first"
            )
        return known.target

    def _add(self, alias: str | None, name: str, **given: Any) -> OpenHost:
        """Open a host: with the next index, and the default settings."""
        self._last_index += 1
        added = OpenHost(**vars(self._defaults), index=self._last_index, alias=alias, host=name, **given)
        self._open_hosts[self._last_index] = added
        return added

    def _close(self, closed: OpenHost) -> None:
        """Close a host after the containers that are reached through it, and forget them all."""
        for known in reversed(list(self._open_hosts.values())):
            behind = known.target and known.target.is_virtual and known.target.reached_through is closed.target
            if behind or known is closed:
                known.close()
                self._open_hosts.pop(known.index or 0)
                if known is self._current:
                    self._current = None

    def _close_everything(self) -> None:
        """Close and forget all hosts and labs, containers before their parents: the last opened first.

        The stacks that came up by their use are taken down before, while their parents are still connected.
        """
        problems: list[str] = []
        for close in [
            self._held_stacks.close,
            *(known.close for known in reversed(self._open_hosts.values())),
            *(lab.close for lab in reversed(self._labs)),
        ]:
            try:
                close()
            except Exception as error:
                problems.append(str(error))
        self._open_hosts, self._last_index, self._current, self._labs = {}, 0, None, []
        if problems:
            raise RuntimeError("\n".join(problems))

    # Keywords

    @keyword
    def use_lab(self, path: str, current: str | None = None) -> Lab:
        """Load a lab file: its hosts are then known to ``host=`` by their ids. Nothing is connected yet.

        ``current`` is the id of the host that becomes the current one. A stack that comes up because a keyword uses
        one of its containers is taken down by `Close All Connections`, or else at the end of the run; one that was up
        before, or that `Docker Compose Up` started, stays.

        | Use Lab     | lab.toml |
        | Run Command | uname -a | host=carrot.repo1.api |
        """
        lab = Lab.load(path)
        self._labs.append(lab)
        self._held_stacks.enter_context(lab.hold_stacks())
        logger.info(f"Lab {lab.name}: {', '.join(lab.hosts)}")
        if current is not None:
            self._current = self._open_host(current)
        return lab

    @keyword
    def use_container(
        self,
        container: str = "",
        parent: HostRef = None,
        alias: str | None = None,
        service: str | None = None,
        compose_project: str | None = None,
        shell: str = "sh",
        user: str | None = None,
        workdir: str | None = None,
        timeout: timedelta | None = None,
        newline: str | None = None,
        prompt: str | None = None,
        *,
        warm: int = 0,
    ) -> int:
        """Make a container on an open machine the current host, and return its index.

        ``container`` is its name or id, or it is found by ``service`` and ``compose_project``. ``parent`` is the
        machine, the current host unless given. ``timeout``, ``newline`` and ``prompt`` are `Settings`. ``warm`` is how
        many shells may wait in it, so that `Run Oneshot` and `Execute Command` begin sooner.

        | Use Container | parent=lab | container=api-1 | alias=api |
        | Use Container | parent=lab | service=api     | compose_project=otto-repo1-tester |
        """
        if not container and not (service and compose_project):
            raise ConfigError("Use Container: give container=, or both service= and compose_project=")
        host = DockerContainerHost(
            self._host(parent),
            container,
            project=compose_project or "containers",
            service=service or container,
            compose_project=compose_project or "",
            shell=shell,
            user=user,
            workdir=workdir,
            warm=warm,
        )
        added = self._add(alias or host.id, host.name, target=host)
        added.update(timeout=timeout, newline=newline, prompt=prompt)
        self._current = added
        return added.index or 0

    @keyword
    def get_host(self, host: HostRef = None) -> Host:
        """Return the host object, for its attributes and verbs.

        | ${api} =        | Get Host | api |
        | Should Be Equal | ${api.service} | api |
        """
        return self._host(host)

    @keyword
    def host_should_be_running(self, *, host: HostRef = None) -> None:
        """Fail unless the container runs. Starts nothing."""
        target = self._host(host)
        if not target.is_running():
            raise AssertionError(f"{target.id} is not running")
