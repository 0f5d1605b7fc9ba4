"""The hosts that a suite has at hand, and the keywords that open, choose and close them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from robot.api import logger
from robot.api.deco import keyword

from .._ssh import HostKeyPolicy, SSHOptions
from ..docker_host import DockerContainerHost
from ..errors import ConfigError
from ..host import Host
from ..lab import Lab
from ..unix_host import UnixHost
from ._open_host import HostRef, OpenHost, SecretText, reveal


class HostKeywords:
    """Keywords about hosts as a whole; also the base of the other groups of keywords, which find their hosts by it."""

    def __init__(self) -> None:
        self._connections: list[OpenHost] = []
        self._current: OpenHost | None = None
        self._labs: list[Lab] = []
        self._defaults: dict[str, Any] = {}

    # What the other keywords use

    def _connection(self, host: HostRef = None) -> OpenHost:
        """The connection that ``host=`` means."""
        if host is None:
            if self._current is None:
                raise ConfigError(
                    "No host is open: use `Open Connection`, `Use Container` or `Use Lab` first, or give host="
                )
            return self._current
        if isinstance(host, Host):
            known = next((one for one in self._connections if one.host is host), None)
            return known or self._add(host.id, host.name, host=host)
        for one in reversed(self._connections):
            if str(host) in (one.alias, str(one.index)):
                return one
        for lab in reversed(self._labs):
            if str(host) in lab.hosts:
                return self._connection(lab.hosts[str(host)])
        names = [one.alias or str(one.index) for one in self._connections]
        names += [name for lab in self._labs for name in lab.hosts if name not in names]
        raise ConfigError(f"host={host}: no such host is open; there are: {', '.join(names) or 'none'}")

    def _host(self, host: HostRef = None) -> Host:
        """The host that ``host=`` means, logged in."""
        connection = self._connection(host)
        if connection.host is None:
            raise ConfigError(f"{connection.address}: not logged in: use `Login` or `Login With Public Key` first")
        return connection.host

    def _add(self, alias: str | None, address: str, **settings: Any) -> OpenHost:
        connection = OpenHost(len(self._connections) + 1, alias, address, **{**self._defaults, **settings})
        self._connections.append(connection)
        return connection

    def _close_everything(self) -> None:
        """Containers before their parents: the last opened first."""
        problems: list[str] = []
        for close in [
            *(one.close for one in reversed(self._connections)),
            *(lab.close for lab in reversed(self._labs)),
        ]:
            try:
                close()
            except Exception as error:
                problems.append(str(error))
        self._connections, self._current, self._labs = [], None, []
        if problems:
            raise RuntimeError("\n".join(problems))

    # SSHLibrary's names

    @keyword
    def set_default_configuration(
        self, timeout: timedelta | None = None, newline: str | None = None, prompt: str | None = None
    ) -> None:
        """Set what later `Open Connection`, `Use Container` and lab hosts start with.

        ``timeout`` is for the reading keywords (3 seconds at first), ``newline`` is what `Write` appends (``LF``,
        ``CRLF`` or the characters themselves), ``prompt`` is for `Read Until Prompt`.

        | Set Default Configuration | timeout=10 seconds |
        """
        self._defaults.update(_settings(timeout, newline, prompt))

    @keyword
    def set_client_configuration(
        self,
        timeout: timedelta | None = None,
        newline: str | None = None,
        prompt: str | None = None,
        host: HostRef = None,
    ) -> None:
        """Change the settings of `Set Default Configuration` for one open host.

        | Set Client Configuration | prompt=# |
        """
        for name, value in _settings(timeout, newline, prompt).items():
            setattr(self._connection(host), name, value)

    @keyword
    def open_connection(
        self,
        host: str,
        alias: str | None = None,
        port: int | None = None,
        timeout: timedelta | None = None,
        newline: str | None = None,
        prompt: str | None = None,
        known_hosts: str | None = None,
        host_key_policy: HostKeyPolicy | None = None,
    ) -> int:
        """Name a machine to be reached over SSH, make it the current host, and return its index.

        `Login` or `Login With Public Key` connects. Unlike SSHLibrary, a host key that ``known_hosts`` does
        not hold is refused, unless ``host_key_policy`` is ``accept-new`` or ``ignore``.

        | Open OpenHost | lab-17.example.net | alias=lab |
        | Login           | tester             | ${PASSWORD} |
        """
        ssh = SSHOptions(known_hosts=known_hosts, host_key_policy=host_key_policy)
        settings = _settings(timeout, newline, prompt)
        self._current = self._add(alias, host, port=port, ssh=ssh, **settings)
        return self._current.index

    @keyword
    def login(
        self,
        username: str | None = None,
        password: SecretText | None = None,
        allow_agent: bool = True,
        jumphost_index_or_alias: HostRef = None,
        host: HostRef = None,
    ) -> None:
        """Log in with a password, or without one as the SSH agent and ``~/.ssh/config`` allow.

        ``password`` may be a Secret variable. ``jumphost_index_or_alias`` is another open host, through which this
        one is reached.

        | Login | tester | ${PASSWORD} |
        """
        self._log_in(host, username, jumphost_index_or_alias, reveal(password), {"allow_agent": allow_agent})

    @keyword
    def login_with_public_key(
        self,
        username: str | None = None,
        keyfile: str | None = None,
        password: SecretText | None = None,
        allow_agent: bool = True,
        jumphost_index_or_alias: HostRef = None,
        host: HostRef = None,
    ) -> None:
        """Log in with a key; ``password`` is the key's passphrase, and may be a Secret variable.

        | Login With Public Key | tester | ~/.ssh/id_ed25519 |
        """
        ssh = {"identity_file": keyfile, "passphrase": reveal(password) or None, "allow_agent": allow_agent}
        self._log_in(host, username, jumphost_index_or_alias, None, ssh)

    def _log_in(self, host: HostRef, user: str | None, hop: HostRef, password: str | None, ssh: dict[str, Any]) -> None:
        connection = self._connection(host)
        if connection.host is not None:
            raise ConfigError(f"{connection.address}: already logged in")
        hop_host = None if hop is None else self._host(hop)
        if not (hop_host is None or isinstance(hop_host, UnixHost)):
            raise ConfigError(f"{hop_host.id}: only a machine reached over SSH can be a jump host")
        machine = UnixHost(
            connection.address,
            user,
            id=connection.alias,
            password=password,
            port=connection.port,
            hop=hop_host,
            ssh=replace(connection.ssh, **ssh),
        )
        try:
            machine.oneshot("true").check()
        except BaseException:
            machine.close()
            raise
        connection.host = machine

    @keyword
    def switch_connection(self, index_or_alias: HostRef) -> int | None:
        """Make another open host the current one, and return the index of the one before.

        | ${before} = | Switch OpenHost | lab |
        """
        before = self._current
        self._current = self._connection(index_or_alias)
        return before.index if before else None

    @keyword
    def close_connection(self, host: HostRef = None) -> None:
        """Close a host, the current one unless ``host=`` names another; the next keyword that uses it opens it again.

        A machine is closed after the containers that are reached through it. No other host becomes the current one.
        """
        connection = self._connection(host)
        for one in reversed(self._connections):
            if isinstance(one.host, DockerContainerHost) and one.host.parent is connection.host:
                one.close()
        connection.close()
        if connection is self._current:
            self._current = None

    @keyword
    def close_all_connections(self) -> None:
        """Close every host and lab, containers first, and forget them all; indices start from 1 again.

        What is still open at the end of the run is closed then.

        | Suite Teardown | Close All Connections |
        """
        self._close_everything()

    @keyword
    def get_connection(self, host: HostRef = None) -> OpenHost:
        """Return what is known of an open host: its index, alias, address, port, timeout, newline, prompt and host.

        | ${lab} =        | Get OpenHost | lab |
        | Should Be Equal | ${lab.timeout} | ${{datetime.timedelta(seconds=3)}} |
        """
        return self._connection(host)

    @keyword
    def get_connections(self) -> list[OpenHost]:
        """Return all open hosts, see `Get Connection`."""
        return list(self._connections)

    # Ours

    @keyword
    def use_lab(self, path: str, current: str | None = None) -> Lab:
        """Load a lab file: its hosts are then known to ``host=`` by their ids. Nothing is connected yet.

        ``current`` is the id of the host that becomes the current one.

        | Use Lab     | lab.toml |
        | Run Command | uname -a | host=carrot.repo1.api |
        """
        lab = Lab.load(path)
        self._labs.append(lab)
        logger.info(f"Lab {lab.name}: {', '.join(lab.hosts)}")
        if current is not None:
            self._current = self._connection(current)
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
    ) -> int:
        """Make a container on an open machine the current host, and return its index.

        ``container`` is its name or id, or it is found by ``service`` and ``compose_project``. ``parent`` is the
        machine, the current host unless given.

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
        )
        self._current = self._add(alias or host.id, host.name, host=host, **_settings(timeout, newline, prompt))
        return self._current.index

    @keyword
    def get_host(self, host: HostRef = None) -> Host:
        """Return the host object, for its attributes and verbs.

        | ${api} =        | Get Host | api |
        | Should Be Equal | ${api.service} | api |
        """
        return self._host(host)


def _settings(timeout: timedelta | None, newline: str | None, prompt: str | None) -> dict[str, Any]:
    """The settings that were given."""
    named = {"LF": "\n", "CRLF": "\r\n"}
    given = {"timeout": timeout, "newline": newline and named.get(newline.upper(), newline), "prompt": prompt}
    return {name: value for name, value in given.items() if value is not None}
