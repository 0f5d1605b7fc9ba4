"""The verbs for asyncio: each runs the blocking verb in a thread of its own, and awaits its end."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

from ._aio.calls import Slots, shim, unlimited_shim
from ._aio.calls import in_thread as in_thread
from ._aio.path import AsyncRemotePath as AsyncRemotePath
from .deadline import Deadline
from .host import Host
from .process import Process, Stream
from .session import HostSession

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

P = ParamSpec("P")
R = TypeVar("R")
Opened = TypeVar("Opened", bound=AbstractAsyncContextManager[Any])


class Opening(Generic[Opened]):
    """What is about to be opened: await it, or enter it with ``async with``, which also closes it.

    >>> async with host.aio.open_session("monitor") as session:
    ...     await session.run("cd /var/log")
    >>> session = await host.aio.open_session("monitor")
    """

    def __init__(self, open_it: Callable[[], Coroutine[Any, Any, Opened]]) -> None:
        self._open = open_it
        self._opened: Opened | None = None

    def __await__(self) -> Generator[Any, None, Opened]:
        return self._open().__await__()

    async def __aenter__(self) -> Opened:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)


def _opening_shim(
    verb: Callable[Concatenate[Any, P], R], wrap: Callable[[R, Slots], Opened]
) -> Callable[Concatenate[Any, P], Opening[Opened]]:
    """Return the async twin of a verb that opens something, with its arguments and documentation."""

    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Opening[Opened]:
        blocking: Callable[P, R] = getattr(self._blocking, verb.__name__)

        async def open_it() -> Opened:
            return wrap(await in_thread(blocking, *args, **kwargs), self._slots)

        return Opening(open_it)

    return functools.wraps(verb)(call)


class AsyncLines:
    """The lines of a log: await them all, or take them as they come with ``async for``.

    >>> lines = await host.aio.logs(tail=10)
    >>> async for line in host.aio.logs(follow=True):
    ...     print(line)
    """

    def __init__(self, read: Callable[[], list[str] | Generator[str, None, None]], slots: Slots) -> None:
        self._read = read
        self._slots = slots

    def __await__(self) -> Generator[Any, None, list[str]]:
        return self._all().__await__()

    async def _all(self) -> list[str]:
        async with self._slots.slot():
            return await in_thread(lambda: list(self._read()))

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        lines = await in_thread(lambda: iter(self._read()))
        try:
            while (line := await in_thread(next, lines, None)) is not None:
                yield line
        finally:
            if isinstance(lines, Generator):
                lines.close()


def _lines_shim(
    verb: Callable[Concatenate[Any, P], list[str] | Generator[str, None, None]],
) -> Callable[Concatenate[Any, P], AsyncLines]:
    """Return the async twin of ``logs``, with its arguments and documentation."""

    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncLines:
        blocking: Callable[P, list[str] | Generator[str, None, None]] = getattr(self._blocking, verb.__name__)
        return AsyncLines(lambda: blocking(*args, **kwargs), self._slots)

    return functools.wraps(verb)(call)


class AsyncHost:
    """The verbs of a host for ``async`` callers; ``host.aio`` makes one. It owns nothing: the host does.

    Arguments, results and errors are those of the blocking verbs. Callbacks (``on_output``, ``progress``, responders)
    are called in the thread of the call, not in the event loop. Usable from any number of event loops.

    Args:
        host: The host.
        limit: How many calls may run at once, from one event loop; further calls wait until one ends. None, the
            default, is no limit. Each call that runs has a thread here and a process on the host, so set a limit when
            you start hundreds at once.

    Raises `ConfigError` for a limit below 1.

    >>> async with lab.get("carrot.repo1.api").aio as host:
    ...     first, second = await asyncio.gather(host.oneshot("uname -r"), host.oneshot("id -u"))
    >>> host = AsyncHost(lab.get("carrot"), limit=20)
    >>> results = await asyncio.gather(*(host.oneshot(f"check {number}") for number in range(1000)))
    """

    def __init__(self, host: Host, *, limit: int | None = None) -> None:
        self._blocking = host
        self._slots = Slots(limit)

    @property
    def host(self) -> Host:
        """The host itself, with the blocking verbs."""
        return self._blocking

    def __repr__(self) -> str:
        limit = "" if self._slots.limit is None else f" limit={self._slots.limit}"
        return f"<AsyncHost {self._blocking.id}{limit}>"

    oneshot = shim(Host.oneshot)
    run = shim(Host.run)
    send = shim(Host.send)
    sendline = shim(Host.sendline)
    sendcontrol = shim(Host.sendcontrol)
    sendeof = shim(Host.sendeof)
    expect = shim(Host.expect)
    expect_exact = shim(Host.expect_exact)
    read_available = shim(Host.read_available)
    put = shim(Host.put)
    get = shim(Host.get)
    interact = shim(Host.interact)
    forward = shim(Host.forward)
    wait_for = shim(Host.wait_for)
    logs = _lines_shim(Host.logs)
    start_repeat = shim(Host.start_repeat)
    stop_repeat = unlimited_shim(Host.stop_repeat)
    stop_all_repeats = unlimited_shim(Host.stop_all_repeats)
    repeat_results = unlimited_shim(Host.repeat_results)
    is_running = shim(Host.is_running)
    close_sessions = unlimited_shim(Host.close_sessions)
    rebuild_connections = unlimited_shim(Host.rebuild_connections)
    close = unlimited_shim(Host.close)
    open_session = _opening_shim(Host.open_session, lambda session, slots: AsyncSession(session, slots=slots))
    start = _opening_shim(Host.start, lambda process, _: AsyncProcess(process))

    def path(self, path: str | os.PathLike[str]) -> AsyncRemotePath:
        """As `Host.path`, for a path whose verbs are awaited. Is not awaited itself.

        >>> text = await host.aio.path("/etc/hostname").read_text()
        """
        return AsyncRemotePath(self._blocking.path(path), slots=self._slots)

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

    def __init__(self, session: HostSession, *, slots: Slots | None = None) -> None:
        self._blocking = session
        self._slots = slots or Slots(None)

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

    run = shim(HostSession.run)
    send = shim(HostSession.send)
    sendline = shim(HostSession.sendline)
    sendcontrol = shim(HostSession.sendcontrol)
    sendeof = shim(HostSession.sendeof)
    expect = shim(HostSession.expect)
    expect_exact = shim(HostSession.expect_exact)
    read_available = shim(HostSession.read_available)
    resize = unlimited_shim(HostSession.resize)
    interrupt = unlimited_shim(HostSession.interrupt)
    close = unlimited_shim(HostSession.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncProcess:
    """The verbs of a started process for ``async`` callers; ``process.aio`` makes one. It owns nothing: the host does.

    >>> async with host.aio.start("tail -f /var/log/app.log") as process:
    ...     async for line in process.lines():
    ...         print(line)
    """

    def __init__(self, process: Process) -> None:
        self._blocking = process
        self._slots = Slots(None)

    @property
    def process(self) -> Process:
        """The process itself, with the blocking verbs."""
        return self._blocking

    @property
    def running(self) -> bool:
        """Whether it runs, as far as is known."""
        return self._blocking.running

    @property
    def output(self) -> str:
        """What it has written so far; see `Process.output`."""
        return self._blocking.output

    def __repr__(self) -> str:
        return f"{self._blocking!r}.aio"

    async def lines(self, stream: Stream = None) -> AsyncIterator[str]:
        """Yield the lines that it writes; see `Process.lines`. `stream` chooses one of the two.

        >>> async for line in process.lines("stderr"):
        ...     print(line)
        """
        with self._blocking.reading(stream) as reader:
            while True:
                line = reader.take()
                if line is not None:
                    yield line
                elif not await in_thread(lambda: reader.wait(Deadline.after(None))):
                    return

    wait_for = unlimited_shim(Process.wait_for)
    wait = unlimited_shim(Process.wait)
    stop = unlimited_shim(Process.stop)
    send = unlimited_shim(Process.send)
    send_eof = unlimited_shim(Process.send_eof)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
