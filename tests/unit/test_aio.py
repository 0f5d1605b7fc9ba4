"""The shims' thread and cancellation, on a blocking call that waits as all of the library's do."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
import time

import pytest

from otto_docker_sync import aio
from otto_docker_sync.aio import in_thread
from otto_docker_sync.deadline import Deadline

who = contextvars.ContextVar("who", default="nobody")


class Waiter:
    """A blocking call: waits until released or cancelled, then cleans up as long as it is told to."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.released = threading.Event()
        self.may_clean_up = threading.Event()
        self.may_clean_up.set()
        self.ended = False
        self._change = threading.Event()

    def release(self) -> None:
        self.released.set()
        self._change.set()

    def wait(self) -> str:
        deadline = Deadline.after(None)
        self.started.set()
        with deadline.waking(self._change.set):
            self._change.wait(deadline.remaining())
        self.may_clean_up.wait()
        self.ended = True
        return "cancelled" if deadline.cancelled else "released"

    async def running(self) -> asyncio.Task[str]:
        task = asyncio.create_task(in_thread(self.wait))
        await asyncio.to_thread(self.started.wait)
        return task


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("otto-aio")]


def test_result_error_and_context_come_through():
    def call(text: str, *, twice: bool) -> str:
        assert threading.current_thread() is not threading.main_thread()
        return f"{text * (2 if twice else 1)} for {who.get()}"

    async def main() -> str:
        who.set("me")
        with pytest.raises(ZeroDivisionError):
            await in_thread(divmod, 1, 0)
        return await in_thread(call, "a", twice=True)

    assert asyncio.run(main()) == "aa for me"
    assert threads() == []


def test_an_error_that_ends_iterations_is_no_hang():
    def call() -> None:
        raise StopIteration

    async def main() -> None:
        with pytest.raises(RuntimeError):
            await in_thread(call)

    asyncio.run(main())


def test_a_cancelled_await_ends_the_wait_and_returns_after_the_clean_up():
    waiter = Waiter()

    async def main() -> None:
        task = await waiter.running()
        waiter.may_clean_up.clear()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=0.05)
        assert not done, "the await ended before the call did"
        waiter.may_clean_up.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiter.ended

    asyncio.run(main())
    assert threads() == []


def test_a_second_cancel_loses_no_thread():
    waiter = Waiter()

    async def main() -> None:
        task = await waiter.running()
        waiter.may_clean_up.clear()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        waiter.may_clean_up.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiter.ended

    asyncio.run(main())
    assert threads() == []


def test_a_call_that_ends_well_in_spite_of_the_cancel_is_cancelled_all_the_same():
    async def main() -> None:
        release = threading.Event()
        task = asyncio.create_task(in_thread(release.wait))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_wait_for_and_timeouts_are_timeouts():
    waiter = Waiter()

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(in_thread(waiter.wait), 0.05)

    asyncio.run(main())
    assert waiter.ended


def test_64_waits_keep_neither_each_other_nor_the_default_executor_from_running():
    waiters = [Waiter() for _ in range(64)]

    async def main() -> list[str]:
        tasks = [asyncio.create_task(in_thread(waiter.wait)) for waiter in waiters]
        for waiter in waiters:
            await asyncio.to_thread(waiter.started.wait)
        assert await in_thread(str, 5) == "5"
        for waiter in waiters:
            await asyncio.to_thread(waiter.release)
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == ["released"] * 64
    assert threads() == []


def test_asyncio_run_ends_at_once_when_main_leaves_a_call_behind():
    waiter = Waiter()

    async def main() -> None:
        main.task = await waiter.running()

    started_at = time.monotonic()
    asyncio.run(main())
    assert waiter.ended and main.task.cancelled()
    assert time.monotonic() - started_at < 5
    assert threads() == []


def test_a_loop_that_is_dropped_half_way_ends_the_call():
    waiter = Waiter()
    loop = asyncio.new_event_loop()
    shim = in_thread(waiter.wait)

    async def main() -> None:
        main.task = loop.create_task(shim)
        await asyncio.to_thread(waiter.started.wait)

    task = loop.create_task(main())
    loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    for pending in asyncio.all_tasks(loop):
        pending._log_destroy_pending = False
    shim.close()
    del task
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("otto-aio"):
            thread.join(5)
    assert waiter.ended
    assert threads() == []


def test_a_limit_holds_in_each_event_loop_and_none_starves(monkeypatch):
    from otto_docker_sync import LocalHost
    from otto_docker_sync.aio import AsyncHost

    host = LocalHost()
    running, most = set(), 0
    lock = threading.Lock()

    def oneshot(number: int) -> int:
        nonlocal most
        with lock:
            running.add(number)
            most = max(most, len(running))
        time.sleep(0.001)
        with lock:
            running.remove(number)
        return number

    monkeypatch.setattr(host, "oneshot", oneshot)
    limited = AsyncHost(host, limit=5)

    async def main() -> list[int]:
        return await asyncio.gather(*(limited.oneshot(number) for number in range(1000)))

    for _ in range(2):  # a second event loop
        assert asyncio.run(main()) == list(range(1000))
    assert 1 <= most <= 5


def test_what_ends_calls_does_not_wait_for_their_slot():
    from otto_docker_sync import LocalHost
    from otto_docker_sync.aio import AsyncHost

    limited = AsyncHost(LocalHost(), limit=1)

    async def main() -> None:
        task = asyncio.create_task(limited.oneshot("sleep 4711"))
        await asyncio.sleep(0.2)
        await asyncio.wait_for(limited.close(), 20)
        assert not (await task).ok

    asyncio.run(main())


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, "5"])
def test_a_limit_that_is_not_valid_is_refused(limit):
    from otto_docker_sync import ConfigError, LocalHost
    from otto_docker_sync.aio import AsyncHost

    with pytest.raises(ConfigError, match="limit="):
        AsyncHost(LocalHost(), limit=limit)


def test_every_verb_of_a_host_and_of_a_session_has_its_shim():
    from otto_docker_sync.host import Host
    from otto_docker_sync.session import HostSession

    for blocking, shims in ((Host, aio.AsyncHost), (HostSession, aio.AsyncSession)):
        verbs = {name for name, value in vars(blocking).items() if callable(value) and not name.startswith("_")}
        assert verbs <= set(vars(shims)), f"{shims.__name__} lacks verbs"
        for verb in verbs:
            # A session is opened by an await or by `async with`, so there it is an object that can do both.
            assert inspect.iscoroutinefunction(getattr(shims, verb)) or verb in ("open_session", "start")
            assert getattr(shims, verb).__doc__


def test_a_path_has_awaited_verbs_and_pure_parts(tmp_path):
    from otto_docker_sync import LocalHost, RemotePath

    with LocalHost() as host:

        async def main() -> None:
            folder = host.aio.path(tmp_path) / "folder"
            await folder.mkdir()
            await (folder / "a.txt").write_text("text")
            renamed = await (folder / "a.txt").rename(folder / "b.txt")
            assert renamed.name == "b.txt" and await renamed.read_text() == "text"
            assert await folder.iterdir() == await folder.glob("*") == await folder.parent.rglob("*.txt") == [renamed]
            with pytest.raises(FileNotFoundError):
                await (folder / "a.txt").read_text()
            assert (folder.path, renamed.parent) == (host.path(tmp_path / "folder"), folder)

        asyncio.run(main())
    verbs = {name for name in vars(RemotePath) if not name.startswith("_")} - {"with_segments"}
    assert verbs <= set(vars(aio.AsyncRemotePath))
