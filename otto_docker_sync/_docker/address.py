"""Where a container's ports are: the address that its parent reaches it by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from ..deadline import Deadline
from ..errors import ConnectError, ContainerNotRunning
from ..limits import ADDRESS_TIME


class NetworkAddress(NamedTuple):
    """How a parent reaches the ports of a container."""

    address: str = ""
    is_host: bool = False
    """Whether the ports are those of the parent itself (network ``host``)."""


class AddressLookup:
    """Asks docker for the address of a container, and keeps the answer for ADDRESS_TIME. Any thread may use it.

    `ask_docker` returns, for a container, its state, its network mode and its addresses, with spaces in between.
    """

    def __init__(self, host_id: str, ask_docker: Callable[[str, Deadline], str]) -> None:
        self._host_id = host_id
        self._ask_docker = ask_docker
        self._lock = threading.Lock()
        self._kept: tuple[str, float, NetworkAddress] | None = None

    def find(self, container: str, deadline: Deadline) -> NetworkAddress:
        """Return the address. Raises `ContainerNotRunning`, `ConnectError` where it has none, `NoSuchContainer`."""
        with self._lock:
            kept = self._kept
        if kept is not None and kept[0] == container and monotonic() - kept[1] < ADDRESS_TIME:
            return kept[2]
        asked_at = monotonic()
        found = self._ask(container, deadline)
        with self._lock:
            self._kept = (container, asked_at, found)
        return found

    def _ask(self, container: str, deadline: Deadline) -> NetworkAddress:
        state, mode, *addresses = [*self._ask_docker(container, deadline).split(), "", ""]
        if state != "running":
            raise ContainerNotRunning(
                f"{self._host_id}: the container is not running (it is {state}), so it has no ports;"
                f" docker start {container}, or bring its stack up"
            )
        if mode == "host":
            return NetworkAddress(is_host=True)
        if mode.startswith("container:"):  # it shares the network of another container
            return self._ask(mode.removeprefix("container:"), deadline)
        found = [address for address in addresses if address and address != "invalid"]
        if not found:
            reason = "its network is none" if mode == "none" else f"docker shows none for its network {mode}"
            raise ConnectError(
                f"{self._host_id}: the container has no address that its parent could connect to: {reason}"
            )
        return NetworkAddress(found[0])
