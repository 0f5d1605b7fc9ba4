"""Waits for the services of a stack at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from .._verbs import Condition, Patience, wait_until
from ..deadline import Cancellation
from ..docker_host import DockerContainerHost


def wait_for_all(
    hosts: Sequence[DockerContainerHost],
    conditions_for: Callable[[DockerContainerHost], Sequence[Condition]],
    patience: Patience,
) -> None:
    """Wait for each host, each in a thread of its own. The first error ends the other waits, and is raised."""
    stop = Cancellation("another service ended the wait")
    patience = patience._replace(deadline=patience.deadline.also(stop))
    errors: list[BaseException] = []

    def work(host: DockerContainerHost) -> None:
        try:
            wait_until(host.runner, conditions_for(host), patience)
        except BaseException as error:
            errors.append(error)
            stop.cancel()

    with ThreadPoolExecutor(max(1, len(hosts)), thread_name_prefix="otto-wait") as pool:
        try:
            for future in [pool.submit(work, host) for host in hosts]:
                future.result()
        except BaseException:  # KeyboardInterrupt
            stop.cancel()
            raise
    if errors:
        raise errors[0]
