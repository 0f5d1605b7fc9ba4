"""asyncio programs against the real rig."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from otto_docker_sync import ExpectTimeout, NoSuchContainer


def shim_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("otto-aio")]


@pytest.fixture(autouse=True)
def no_thread_outlives():
    yield
    assert shim_threads() == []


def test_the_verbs_are_those_of_the_host(ctr):
    async def main() -> None:
        async with ctr.aio as host:
            assert host.host is ctr
            assert (await host.oneshot("echo out; echo err >&2; exit 3")).retcode == 3
            await host.run("cd /tmp")
            assert (await host.run("pwd", check=True)).output == "/tmp\n"
            assert [one.output for one in await host.run(["echo a", "echo b"])] == ["a\n", "b\n"]
            async with host.open_session("talk") as session:
                assert session.name == "talk"
                await session.sendline("read -r name; echo hello $name")
                await session.sendline("otto")
                match = await session.expect(r"hello (\w+)", timeout=10)
                assert match.groups() == ("otto",)
                assert session.alive
            assert not session.alive
            async with await host.open_session("talk") as again:
                assert (await again.run("echo again")).output == "again\n"
            assert await host.is_running()

    asyncio.run(main())


def test_errors_are_those_of_the_host(ctr, container_host):
    async def main() -> None:
        await ctr.aio.run("true")
        with pytest.raises(ExpectTimeout):
            await ctr.aio.expect("never", timeout=0.1)
        with pytest.raises(NoSuchContainer):
            await container_host("no-such-container").aio.oneshot("true")

    asyncio.run(main())


def test_64_commands_wait_at_once_and_nobody_starves(ctr):
    """More than the default executor has threads, and more than one connection has sessions."""

    async def main() -> None:
        flag = f"/tmp/go-{time.monotonic_ns()}"
        waiting = [
            asyncio.create_task(
                ctr.aio.oneshot(f"echo ready >> {flag}.here; while [ ! -e {flag} ]; do sleep 0.2; done")
            )
            for _ in range(64)
        ]
        await ctr.aio.oneshot(f"touch {flag}.here")
        count = f"while [ $(wc -l < {flag}.here) -lt 64 ]; do sleep 0.2; done; touch {flag}; rm {flag}.here"
        assert await asyncio.to_thread(lambda: "still free") == "still free"
        assert (await ctr.aio.oneshot(count, timeout=100)).ok
        assert all(result.ok for result in await asyncio.gather(*waiting))
        assert (await ctr.aio.oneshot(f"rm {flag}")).ok

    asyncio.run(main())


def test_a_send_gets_through_while_32_expects_wait(ctr):
    async def main() -> None:
        session = await ctr.aio.open_session("shared")
        await session.run("true")
        waiting = [asyncio.create_task(session.expect("marker", timeout=30)) for _ in range(32)]
        await asyncio.sleep(0)
        for _ in range(32):
            await asyncio.wait_for(session.sendline("echo marker"), 20)
        assert len(await asyncio.gather(*waiting)) == 32
        await session.close()

    asyncio.run(main())


def processes(container, text: str) -> list[str]:
    return [args for args in container.processes().values() if text in args]


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_cancelling_ends_the_command_and_frees_the_session(ctr, shared_container, verb):
    box = shared_container("busybox")

    async def main() -> None:
        await ctr.aio.run("kept=yes")
        task = asyncio.create_task(getattr(ctr.aio, verb)("sleep 4321"))
        while not processes(box, "sleep 4321"):
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not processes(box, "sleep 4321")
        assert (await ctr.aio.run("echo $kept", timeout=10)).output == "yes\n"

    asyncio.run(main())


def test_wait_for_cancels_in_the_container_and_asyncio_run_ends_promptly(ctr, shared_container):
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ctr.aio.run("sleep 4322"), 0.5)
        main.left = asyncio.create_task(ctr.aio.run("sleep 4323"))
        while not processes(shared_container("busybox"), "sleep 4323"):
            await asyncio.sleep(0.05)
        main.ended_at = time.monotonic()

    asyncio.run(main())
    assert time.monotonic() - main.ended_at < 10
    assert main.left.cancelled()
    assert not processes(shared_container("busybox"), "sleep 432")
    assert ctr.run("echo ok", timeout=10).output == "ok\n"


def test_cancelling_an_expect_leaves_its_text_for_the_next(ctr):
    async def main() -> None:
        await ctr.aio.sendline("echo first")
        task = asyncio.create_task(ctr.aio.expect("never", timeout=None))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "first" in await ctr.aio.expect("first\n", timeout=10)

    asyncio.run(main())


def test_cancelling_while_another_call_has_the_session_leaves_that_call_alone(ctr):
    async def main() -> None:
        first = asyncio.create_task(ctr.aio.run("read -t 30 line; echo got $line", timeout=40))
        await asyncio.sleep(0.3)
        second = asyncio.create_task(ctr.aio.run("echo second"))
        await asyncio.sleep(0.1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert not first.done()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())


def test_cancelling_while_a_connection_is_made_ends_the_attempt(make_unix_host):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = make_unix_host(port=silent.getsockname()[1])

        async def main() -> float:
            task = asyncio.create_task(host.aio.oneshot("true"))
            connection, _ = await asyncio.to_thread(silent.accept)
            task.cancel()
            cancelled_at = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            connection.close()
            return time.monotonic() - cancelled_at

        assert asyncio.run(main()) < 5


def test_cancelling_a_put_leaves_nothing_behind(ctr, tmp_path, shared_container):
    box = shared_container("busybox")
    (tmp_path / "big").write_bytes(bytes(64 << 20))
    begun = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(ctr.aio.put(tmp_path / "big", "/tmp", progress=lambda _: begun.set()))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert box.exec("sh", "-c", "ls -A /tmp") == ""


def test_one_host_in_several_event_loops(ctr):
    async def main(name: str) -> str:
        earlier = (await ctr.aio.run("echo $last")).output
        await ctr.aio.run(f"last={name}")
        return earlier.strip()

    assert [asyncio.run(main(name)) for name in ("a", "b", "c")] == ["", "a", "b"]


def test_a_host_can_be_closed_while_its_calls_wait(ctr):
    async def main() -> None:
        waiting = [asyncio.create_task(ctr.aio.oneshot("sleep 4324")) for _ in range(4)]
        await asyncio.sleep(0.5)
        await ctr.aio.close()
        results = await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert not any(result.ok for result in results)

    asyncio.run(main())


def test_a_started_process_has_its_verbs(ctr):
    async def main() -> None:
        async with ctr.aio.start("echo up; echo oops >&2; sleep 60") as process:
            assert (await process.wait_for("up\n", timeout=10)) == "up\n"
            lines = []
            async for line in process.lines():
                lines.append(line)
                if len(lines) == 2:
                    break
            assert sorted(lines) == ["oops", "up"]
            assert [await anext(process.lines(stream)) for stream in ("stdout", "stderr")] == ["up", "oops"]
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), 0.2)
            assert process.running
        assert not process.running and "up\n" in process.output
        assert (await (await ctr.aio.start("exit 3")).wait()).retcode == 3

    asyncio.run(main())


def test_a_start_that_is_cancelled_leaves_nothing(ctr, shared_container):
    async def main() -> None:
        starting = [asyncio.ensure_future(ctr.aio.start("sleep 9015").__aenter__()) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in starting:
            task.cancel()
        for outcome in await asyncio.gather(*starting, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                await outcome.stop()

    asyncio.run(main())
    assert not [line for line in shared_container("busybox").processes().values() if "9015" in line]
