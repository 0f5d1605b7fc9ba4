"""Use hosts from asyncio: many commands wait at once, and a cancelled one is ended in its container.

OTTO_LAB=lab.toml OTTO_HOST=carrot.repo1.api python async_commands.py
"""

import asyncio
import os

from otto_docker_sync import Lab


async def main() -> None:
    with Lab.load(os.environ.get("OTTO_LAB", "lab.toml")) as lab:
        host = lab.get(os.environ.get("OTTO_HOST", "carrot.repo1.api")).aio

        results = await asyncio.gather(*(host.oneshot(f"sleep 1; echo {n}") for n in range(8)))
        print("all at once:", [result.output.strip() for result in results])

        try:
            await asyncio.wait_for(host.run("sleep 60"), timeout=0.5)
        except asyncio.TimeoutError:
            print("cancelled: the sleep is gone, the shell is free")
        print((await host.run("echo still here")).output, end="")


asyncio.run(main())
