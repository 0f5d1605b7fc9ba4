"""The verbs for asyncio: each runs the blocking verb in a thread of its own, and awaits its end."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import copy_context
from threading import Thread
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from ._verbs.path import PathParts, RemotePath, Segment
from .arguments import check_count
from .deadline import Cancellation, Deadline, cancellation
from .host import Host
from .process import Process, Stream
from .session import HostSession

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

P = ParamSpec("P")
R = TypeVar("R")
Opened = TypeVar("Opened", bound=AbstractAsyncContextManager[Any])


async def in_thread(call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking call in a new thread and await it; context variables go with it.

    Unlike ``asyncio.to_thread``, it has no pool of threads, so a call that waits never keeps another from starting.
    When the await is cancelled, the call is asked to stop; the await waits until the call has cleaned up, and only then
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


class Slots:
    """How many calls may run at once; the others wait, in the order in which they came. None is no limit.

    An `asyncio.Semaphore` belongs to one event loop, while a host can be used from several, so each loop has its own.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = None if limit is None else check_count("limit", limit, minimum=1)
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def slot(self) -> AbstractAsyncContextManager[Any]:
        """Return what a call has to enter."""
        if self.limit is None:
            return nullcontext()
        loop = asyncio.get_running_loop()
        if loop not in self._semaphores:
            self._semaphores[loop] = asyncio.Semaphore(self.limit)
        return self._semaphores[loop]


def _shim(verb: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return the async twin of a blocking method, with its name, arguments and documentation."""

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        blocking: Callable[P, R] = getattr(self._blocking, verb.__name__)
        async with self._slots.slot():
            return await in_thread(blocking, *args, **kwargs)

    return functools.wraps(verb)(call)


def _unlimited_shim(verb: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return the async twin of a verb that ends calls: it must not wait for a slot that such a call holds."""

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        blocking: Callable[P, R] = getattr(self._blocking, verb.__name__)
        return await in_thread(blocking, *args, **kwargs)

    return functools.wraps(verb)(call)


def _listing_shim(
    verb: Callable[Concatenate[Any, P], Iterator[RemotePath]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, list[AsyncRemotePath]]]:
    """Return the async twin of a verb that lists paths."""
    listing = _shim(verb)

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> list[AsyncRemotePath]:
        return [AsyncRemotePath(path, slots=self._slots) for path in await listing(self, *args, **kwargs)]

    return functools.wraps(verb)(call)


def _renaming_shim(
    verb: Callable[Concatenate[Any, P], RemotePath],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, AsyncRemotePath]]:
    """Return the async twin of a verb that renames a path."""
    renaming = _shim(verb)

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncRemotePath:
        return AsyncRemotePath(await renaming(self, *args, **kwargs), slots=self._slots)

    return functools.wraps(verb)(call)


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

    oneshot = _shim(Host.oneshot)
    run = _shim(Host.run)
    send = _shim(Host.send)
    sendline = _shim(Host.sendline)
    sendcontrol = _shim(Host.sendcontrol)
    sendeof = _shim(Host.sendeof)
    expect = _shim(Host.expect)
    expect_exact = _shim(Host.expect_exact)
    read_available = _shim(Host.read_available)
    put = _shim(Host.put)
    get = _shim(Host.get)
    interact = _shim(Host.interact)
    forward = _shim(Host.forward)
    wait_for = _shim(Host.wait_for)
    logs = _lines_shim(Host.logs)
    start_repeat = _shim(Host.start_repeat)
    stop_repeat = _unlimited_shim(Host.stop_repeat)
    stop_all_repeats = _unlimited_shim(Host.stop_all_repeats)
    repeat_results = _unlimited_shim(Host.repeat_results)
    is_running = _shim(Host.is_running)
    close_sessions = _unlimited_shim(Host.close_sessions)
    rebuild_connections = _unlimited_shim(Host.rebuild_connections)
    close = _unlimited_shim(Host.close)
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

    run = _shim(HostSession.run)
    send = _shim(HostSession.send)
    sendline = _shim(HostSession.sendline)
    sendcontrol = _shim(HostSession.sendcontrol)
    sendeof = _shim(HostSession.sendeof)
    expect = _shim(HostSession.expect)
    expect_exact = _shim(HostSession.expect_exact)
    read_available = _shim(HostSession.read_available)
    resize = _unlimited_shim(HostSession.resize)
    interrupt = _unlimited_shim(HostSession.interrupt)
    close = _unlimited_shim(HostSession.close)

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

    wait_for = _unlimited_shim(Process.wait_for)
    wait = _unlimited_shim(Process.wait)
    stop = _unlimited_shim(Process.stop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class AsyncRemotePath(PathParts):
    """The verbs of a `RemotePath` for ``async`` callers; ``host.aio.path(…)`` makes one. It owns nothing.

    What needs no answer of the host, such as ``/``, ``name`` and ``parent``, is not awaited. ``iterdir``, ``glob`` and
    ``rglob`` return lists.

    >>> config = host.aio.path("/etc/app") / "app.conf"
    >>> if await config.exists():
    ...     text = await config.read_text()
    """

    def __init__(self, path: RemotePath, *, slots: Slots | None = None) -> None:
        super().__init__(path.host, path.pure)
        self._blocking = path
        self._slots = slots or Slots(None)

    @property
    def path(self) -> RemotePath:
        """The path itself, with the blocking verbs."""
        return self._blocking

    def with_segments(self, *segments: Segment) -> Self:
        return type(self)(self._blocking.with_segments(*segments), slots=self._slots)

    exists = _shim(RemotePath.exists)
    is_file = _shim(RemotePath.is_file)
    is_dir = _shim(RemotePath.is_dir)
    is_symlink = _shim(RemotePath.is_symlink)
    stat = _shim(RemotePath.stat)
    lstat = _shim(RemotePath.lstat)
    read_bytes = _shim(RemotePath.read_bytes)
    read_text = _shim(RemotePath.read_text)
    write_bytes = _shim(RemotePath.write_bytes)
    write_text = _shim(RemotePath.write_text)
    mkdir = _shim(RemotePath.mkdir)
    touch = _shim(RemotePath.touch)
    unlink = _shim(RemotePath.unlink)
    rmdir = _shim(RemotePath.rmdir)
    chmod = _shim(RemotePath.chmod)
    iterdir = _listing_shim(RemotePath.iterdir)
    glob = _listing_shim(RemotePath.glob)
    rglob = _listing_shim(RemotePath.rglob)
    rename = _renaming_shim(RemotePath.rename)
    replace = _renaming_shim(RemotePath.replace)
