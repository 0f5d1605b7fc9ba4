"""Commands and files on a machine and in its container, with Fabric. Compare it with fabric_after.py.

LAB_MACHINE=lab-17.example.net LAB_CONTAINER=api-1 python fabric_before.py
"""

import os
import shlex
import tempfile
from pathlib import Path

from fabric import Connection
from invoke import Responder
from invoke.exceptions import CommandTimedOut

CONTAINER = os.environ["LAB_CONTAINER"]
key = os.environ.get("LAB_IDENTITY_FILE")

with Connection(
    os.environ["LAB_MACHINE"],
    user=os.environ.get("LAB_USER"),
    port=int(os.environ.get("LAB_PORT", "22")),
    connect_kwargs={"key_filename": key} if key else {},
) as c:
    result = c.run("ls /nowhere", warn=True, hide=True)
    print("exit status:", result.exited)

    # In the container: one more shell, so one more level of quotes.
    inner = shlex.quote("cd /tmp && pwd")
    print(c.run(f"docker exec {CONTAINER} sh -c {inner}", hide=True).stdout, end="")

    ask = "printf 'Sure? '; read -r sure; echo you said $sure"
    yes = Responder(pattern=r"Sure\? ", response="yes\n")
    print(c.run(f"docker exec -it {CONTAINER} sh -c {shlex.quote(ask)}", pty=True, watchers=[yes], hide=True).stdout)

    # The sleep goes on in the container, and docker exec on the machine.
    try:
        c.run(f"docker exec {CONTAINER} sleep 60", timeout=1, hide=True)
    except CommandTimedOut:
        print("timed out")

    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch, "app.conf")
        local.write_text("colour = green\n")
        c.put(local, "/tmp/app.conf")
        c.run(f"docker cp /tmp/app.conf {CONTAINER}:/tmp/app.conf && rm /tmp/app.conf", hide=True)
    print(c.run(f"docker exec {CONTAINER} cat /tmp/app.conf", hide=True).stdout, end="")
    c.run(f"docker exec {CONTAINER} rm /tmp/app.conf", hide=True)
