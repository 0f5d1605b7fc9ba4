"""SSHLibrary's keywords that open, choose and close connections, and tell about them."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .._ssh import Connections, HostKeyPolicy
from ..deadline import Deadline
from ..errors import AuthenticationError, ConfigError
from ..limits import BANNER_TIME
from ..logs import PACKAGE
from ._hosts import HostKeywords
from ._keyword import ssh_keyword
from ._open_host import SSH_PORT, HostRef, OpenHost

LOOPBACK = ("127.0.0.1", "localhost")


class ConnectionKeywords(HostKeywords):
    """Keywords about connections."""

    _ssh_log: logging.Handler | None = None

    @ssh_keyword
    def set_default_configuration(
        self,
        timeout: timedelta | None = None,
        newline: str | None = None,
        prompt: str | None = None,
        loglevel: str | None = None,
        term_type: str | None = None,
        width: int | None = None,
        height: int | None = None,
        path_separator: str | None = None,
        encoding: str | None = None,
        escape_ansi: bool | None = None,
        encoding_errors: str | None = None,
    ) -> None:
        """Set the `Settings` that hosts have which are opened from now on; what is not given stays.

        | Set Default Configuration | timeout=10 seconds |
        """
        self._defaults.update(
            timeout=timeout,
            newline=newline,
            prompt=prompt,
            loglevel=loglevel,
            term_type=term_type,
            width=width,
            height=height,
            path_separator=path_separator,
            encoding=encoding,
            escape_ansi=escape_ansi,
            encoding_errors=encoding_errors,
        )

    @ssh_keyword
    def set_client_configuration(
        self,
        timeout: timedelta | None = None,
        newline: str | None = None,
        prompt: str | None = None,
        term_type: str | None = None,
        width: int | None = None,
        height: int | None = None,
        path_separator: str | None = None,
        encoding: str | None = None,
        escape_ansi: bool | None = None,
        encoding_errors: str | None = None,
        *,
        host: HostRef = None,
    ) -> None:
        """Change the `Settings` of one open host; what is not given stays.

        A terminal that is open takes another size at once, another ``term_type`` when it is opened anew.

        | Set Client Configuration | prompt=# | width=160 |
        """
        self._open_host(host).update(
            timeout=timeout,
            newline=newline,
            prompt=prompt,
            term_type=term_type,
            width=width,
            height=height,
            path_separator=path_separator,
            encoding=encoding,
            escape_ansi=escape_ansi,
            encoding_errors=encoding_errors,
        )

    @ssh_keyword
    def open_connection(
        self,
        host: str,
        alias: str | None = None,
        port: int | None = None,
        timeout: timedelta | None = None,
        newline: str | None = None,
        prompt: str | None = None,
        term_type: str | None = None,
        width: int | None = None,
        height: int | None = None,
        path_separator: str | None = None,
        encoding: str | None = None,
        escape_ansi: bool | None = None,
        encoding_errors: str | None = None,
        *,
        known_hosts: str | None = None,
        host_key_policy: HostKeyPolicy | None = None,
    ) -> int:
        """Name a machine to be reached over SSH, make it the current host, and return its index.

        `Login` or `Login With Public Key` connects. Unlike SSHLibrary, a host key that ``known_hosts`` does not hold
        is refused, unless ``host_key_policy`` is ``accept-new`` or ``ignore``; both can be given for all connections
        at the import. ``port`` is the one in ``~/.ssh/config`` unless given, else 22. The other arguments are
        `Settings`.

        | Open Connection | lab-17.example.net | alias=lab   |
        | Login           | tester             | ${PASSWORD} |
        """
        ssh = replace(
            self._ssh,
            known_hosts=known_hosts or self._ssh.known_hosts,
            host_key_policy=host_key_policy or self._ssh.host_key_policy,
        )
        added = self._add(alias, host, port=port or SSH_PORT, port_is_given=port is not None, ssh=ssh)
        added.update(
            timeout=timeout,
            newline=newline,
            prompt=prompt,
            term_type=term_type,
            width=width,
            height=height,
            path_separator=path_separator,
            encoding=encoding,
            escape_ansi=escape_ansi,
            encoding_errors=encoding_errors,
        )
        self._current = added
        return added.index or 0

    @ssh_keyword
    def switch_connection(self, index_or_alias: HostRef) -> int | None:
        """Make another open host the current one, and return the index of the one before.

        With ``${NONE}`` the current host is closed.

        | ${before} = | Switch Connection | lab |
        """
        before = self._current.index if self._current else None
        if index_or_alias is None:
            self._close(self._open_host())
        else:
            self._current = self._open_host(index_or_alias)
        return before

    @ssh_keyword
    def close_connection(self, *, host: HostRef = None) -> None:
        """Close a host, the current one unless ``host=`` names another, and forget it.

        A machine is closed after the containers that are reached through it. No other host becomes the current one.
        """
        self._close(self._open_host(host))

    @ssh_keyword
    def close_all_connections(self) -> None:
        """Close every host and lab, containers first, and forget them all; indices start from 1 again.

        What is still open at the end of the run is closed then.

        | Suite Teardown | Close All Connections |
        """
        self._close_everything()

    @ssh_keyword
    def get_connection(
        self,
        index_or_alias: HostRef = None,
        index: bool = False,
        host: bool = False,
        alias: bool = False,
        port: bool = False,
        timeout: bool = False,
        newline: bool = False,
        prompt: bool = False,
        term_type: bool = False,
        width: bool = False,
        height: bool = False,
        encoding: bool = False,
        escape_ansi: bool = False,
    ) -> Any:
        """Return what is known of an open host, the current one unless ``index_or_alias`` names another.

        The object has ``index``, ``host`` (the name or address), ``alias``, ``port``, ``timeout`` (seconds),
        ``newline``, ``prompt``, ``term_type``, ``width``, ``height``, ``path_separator``, ``encoding`` and
        ``escape_ansi``. Without such a host, ``index`` and ``host`` are None. Where the other arguments are true, only
        what they name is returned, in the order of the arguments. `Get Host` returns the host object.

        | ${lab} =        | Get Connection | lab |
        | Should Be Equal As Numbers | ${lab.timeout} | 3 |
        | ${name}         | ${port} = | Get Connection | host=True | port=True |
        """
        if isinstance(host, str):
            raise ConfigError(f"host={host}: it chooses a field here; name the host first: Get Connection    {host}")
        known = self._known(index_or_alias)
        self._defaults.log(str(known))
        chosen = {
            "index": index,
            "host": host,
            "alias": alias,
            "port": port,
            "timeout": timeout,
            "newline": newline,
            "prompt": prompt,
            "term_type": term_type,
            "width": width,
            "height": height,
            "encoding": encoding,
            "escape_ansi": escape_ansi,
        }
        values = [getattr(known, name) for name, is_chosen in chosen.items() if is_chosen]
        if not values:
            return known
        return values[0] if len(values) == 1 else values

    def _known(self, index_or_alias: HostRef) -> OpenHost:
        """The open host, or one that stands for none."""
        if index_or_alias is None and self._current is not None:
            return self._current
        for known in reversed(self._open_hosts.values()):
            if index_or_alias is known.target is not None or str(index_or_alias) in (known.alias, str(known.index)):
                return known
        return OpenHost(encoding="utf8")

    @ssh_keyword
    def get_connections(self) -> list[OpenHost]:
        """Return all open hosts, see `Get Connection`."""
        for known in self._open_hosts.values():
            self._defaults.log(str(known))
        return list(self._open_hosts.values())

    @ssh_keyword
    def get_pre_login_banner(self, host: str | None = None, port: int = SSH_PORT) -> str:
        """Return what a server says before the login: of the current connection, or of the server that is named.

        ``host`` is a name or an address here; nobody is logged in for it.

        | ${banner} = | Get Pre Login Banner | lab-17.example.net |
        """
        if host is None:
            connections = self._host().connections
            if connections is None:
                raise ConfigError(f"{self._host().id} is not reached over SSH: only an SSH server has a banner")
            return connections.banner
        options = replace(self._ssh, allow_agent=False, look_for_keys=False)
        connections = Connections(host, host, port=port, options=options)
        try:
            with suppress(AuthenticationError):  # the banner comes before that
                connections.connect(Deadline.after(BANNER_TIME))
        finally:
            connections.close()
        return connections.banner

    @ssh_keyword
    def create_local_ssh_tunnel(
        self,
        local_port: int,
        remote_host: str,
        remote_port: int = SSH_PORT,
        bind_address: str | None = None,
        *,
        host: HostRef = None,
    ) -> None:
        """Open a local port that leads to ``remote_port`` of ``remote_host``, as the current connection reaches it.

        The tunnel stays until the connection is closed. Unlike SSHLibrary's, it listens on the loopback address only,
        so that nobody else can use the login; another ``bind_address`` is refused. On a container, ``remote_host``
        is ``localhost``: a port of the container, published or not.

        | Create Local SSH Tunnel | 9191 | secure.example.net | 80 |
        """
        if bind_address not in (None, *LOOPBACK):
            raise ConfigError(f"bind_address={bind_address}: a tunnel listens on 127.0.0.1 only")
        address = None if remote_host in LOOPBACK else remote_host
        self._host(host).forward(remote_port, to=local_port, address=address)
        self._open_host(host).log(f"Now forwarding port {local_port} to {remote_host}:{remote_port} ...")

    @ssh_keyword
    def enable_ssh_logging(self, logfile: str) -> None:
        """Write what happens in the SSH protocol to a file, from now on and for all connections; what it held is lost.

        Another call goes on in another file.

        | Enable Ssh Logging | ${OUTPUT_DIR}/ssh.log |
        """
        self._stop_ssh_logging()
        handler = self._ssh_log = logging.FileHandler(logfile, mode="w", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(levelname).3s [%(asctime)s.%(msecs)03d] %(threadName)s: %(message)s"))
        protocol = logging.getLogger(f"{PACKAGE}.paramiko")
        protocol.addHandler(handler)
        protocol.setLevel(logging.DEBUG)
        protocol.propagate = False
        logging.getLogger(f"{PACKAGE}.ssh").addHandler(handler)
        self._defaults.log(f'SSH log is written to <a href="{logfile}">file</a>.', "HTML")

    def _stop_ssh_logging(self) -> None:
        handler, self._ssh_log = self._ssh_log, None
        if handler is not None:
            for name in ("paramiko", "ssh"):
                logging.getLogger(f"{PACKAGE}.{name}").removeHandler(handler)
            handler.close()
