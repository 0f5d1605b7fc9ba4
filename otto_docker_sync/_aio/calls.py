"""A blocking call in a thread of its own, awaited."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from ..arguments import check_count
from ..deadline import Cancellation, context_with

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking call in a new thread and await it; context variables go with it.

    Unlike ``asyncio.to_thread``, it has no pool of threads, so a call that waits never keeps another from starting.
    When the await is cancelled, the call is asked to stop; the await waits until the call has cleaned up, and only then
    raises `CancelledError`.

    >>> await in_thread(lab.run_all, "uname -r")
    """
    stop = Cancellation()
    context = context_with(stop)
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


def shim(verb: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return the async twin of a blocking method, with its name, arguments and documentation."""

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        blocking: Callable[P, R] = getattr(self._blocking, verb.__name__)
        async with self._slots.slot():
            return await in_thread(blocking, *args, **kwargs)

    return functools.wraps(verb)(call)


def unlimited_shim(verb: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return the async twin of a verb that ends calls: it must not wait for a slot that such a call holds."""

    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        blocking: Callable[P, R] = getattr(self._blocking, verb.__name__)
        return await in_thread(blocking, *args, **kwargs)

    return functools.wraps(verb)(call)
