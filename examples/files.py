"""Copy files to a container and back.

OTTO_LAB=lab.toml OTTO_HOST=carrot.repo1.api python files.py
"""

import os
import tempfile
from pathlib import Path

from otto_docker_sync import FileProgress, Lab


def show(progress: FileProgress) -> None:
    print(f"{progress.source}: {progress.done} of {progress.total} bytes")


with Lab.load(os.environ.get("OTTO_LAB", "lab.toml")) as lab, tempfile.TemporaryDirectory() as scratch:
    host = lab.get(os.environ.get("OTTO_HOST", "carrot.repo1.api"))
    script = Path(scratch, "hello.sh")
    script.write_text("#!/bin/sh\necho hello from $0 > /tmp/greeting\n")

    host.put(script, "/tmp", mode=0o755, progress=show).check()
    host.run("/tmp/hello.sh", check=True)

    back = Path(scratch, "back")
    back.mkdir()
    result = host.get(["/tmp/greeting", "/no/such/file"], back)
    for source, outcome in result.items():
        print(f"{source}: {outcome.status.name} {outcome.message}")
    print(Path(back, "greeting").read_text(), end="")
