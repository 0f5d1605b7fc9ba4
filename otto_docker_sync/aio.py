"""The verbs for asyncio: each runs the blocking verb in a thread of its own, and awaits its end."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from .deadline import Cancellation, cancellation
from .host import Host
from .session import HostSession

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking call in a new thread and await it; context variables go with it.

    Unlike ``asyncio.to_thread``, it has no pool of threads, so a call that waits never keeps another from starting.
    When the await is cancelled, the call is told to stop; the await waits until the call has cleaned up, and only then
    raises `CancelledError`.

    >>> await in_thread(lab.run_all, "uname -r")
    """
    stop = Cancellation()
    context = copy_context()
    context.run(cancellation.set, stop)
    outcome: Future[R] = Future()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def work() -> None:
        try:
            outcome.set_result(context.run(call, *args, **kwargs))
        except BaseException as error:
            outcome.set_exception(error)
        with suppress(RuntimeError):  # the loop was closed, so nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    # A daemon thread: a loop that was dropped while a call runs must not keep the interpreter from ending.
    thread = Thread(target=work, name=f"otto-aio-{getattr(call, '__name__', 'call')}", daemon=True)
    thread.start()
    cancelled: asyncio.CancelledError | None = None
    # A cancelled await may not return yet: the call still uses the session, and would disturb the next call.
    while not ended.is_set():
        try:
            await ended.wait()
        except asyncio.CancelledError as error:
            cancelled = error
            stop.cancel()
        except BaseException:  # the coroutine is being closed (GeneratorExit), and must not await again
            stop.cancel()
            raise
    thread.join()  # at once: setting the event was the last thing it did
    if cancelled is not None:
        raise cancelled
    return outcome.result()


def _shim(verb: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return the async twin of a blocking method, with its name, arguments and documentation."""

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        blocking: Callable[P, R] = getattr(self._blocking, verb.__name__)
        return await in_thread(blocking, *args, **kwargs)

    return functools.wraps(verb)(call)


class AsyncHost:
    """The verbs of a host for ``async`` callers; ``host.aio`` makes one. It owns nothing: the host does.

    Arguments, results and errors are those of the blocking verbs. Callbacks (``on_output``, ``progress``, responders)
    are called in the thread of the call, not in the event loop. Usable from any number of event loops.

    >>> async with lab.get("carrot.repo1.api").aio as host:
    ...     first, second = await asyncio.gather(host.oneshot("uname -r"), host.oneshot("id -u"))
    """

    def __init__(self, host: Host) -> None:
        self._blocking = host

    @property
    def host(self) -> Host:
        """The host itself, with the blocking verbs."""
        return self._blocking

    def __repr__(self) -> str:
        return f"{self._blocking!r}.aio"

    oneshot = _shim(Host.oneshot)
    run = _shim(Host.run)
    send = _shim(Host.send)
    sendline = _shim(Host.sendline)
    expect = _shim(Host.expect)
    put = _shim(Host.put)
    get = _shim(Host.get)
    interact = _shim(Host.interact)
    start_repeat = _shim(Host.start_repeat)
    stop_repeat = _shim(Host.stop_repeat)
    stop_all_repeats = _shim(Host.stop_all_repeats)
    repeat_results = _shim(Host.repeat_results)
    is_running = _shim(Host.is_running)
    close_sessions = _shim(Host.close_sessions)
    rebuild_connections = _shim(Host.rebuild_connections)
    close = _shim(Host.close)

    async def open_session(self, name: str) -> AsyncSession:
        """Get or create the persistent shell of this name.

        >>> async with await host.aio.open_session("monitor") as session:
        ...     await session.run("cd /var/log")
        """
        return AsyncSession(await in_thread(self._blocking.open_session, name))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncSession:
    """The verbs of a session for ``async`` callers; ``session.aio`` makes one. It owns nothing: the host does.

    >>> match = await session.aio.expect("login: ", timeout=5)
    """

    def __init__(self, session: HostSession) -> None:
        self._blocking = session

    @property
    def session(self) -> HostSession:
        """The session itself, with the blocking verbs."""
        return self._blocking

    @property
    def name(self) -> str:
        """The name under which the host knows the session."""
        return self._blocking.name

    @property
    def alive(self) -> bool:
        """Whether the shell is there."""
        return self._blocking.alive

    def __repr__(self) -> str:
        return f"{self._blocking!r}.aio"

    run = _shim(HostSession.run)
    send = _shim(HostSession.send)
    sendline = _shim(HostSession.sendline)
    expect = _shim(HostSession.expect)
    interrupt = _shim(HostSession.interrupt)
    close = _shim(HostSession.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
