"""The same as fabric_before.py.

LAB_MACHINE=lab-17.example.net LAB_CONTAINER=api-1 python fabric_after.py
"""

import os
import tempfile
from pathlib import Path

from otto_docker_sync import DockerContainerHost, SSHOptions, UnixHost

machine = UnixHost(
    os.environ["LAB_MACHINE"],
    os.environ.get("LAB_USER"),
    port=int(os.environ.get("LAB_PORT", "22")),
    ssh=SSHOptions(
        known_hosts=os.environ.get("LAB_KNOWN_HOSTS"),
        identity_file=os.environ.get("LAB_IDENTITY_FILE"),
    ),
)
container = DockerContainerHost(
    machine, os.environ["LAB_CONTAINER"], project="demo", service="api", compose_project="demo"
)

with machine, container:
    print("exit status:", machine.oneshot("ls /nowhere").retcode)

    print(container.oneshot("cd /tmp && pwd", check=True).stdout, end="")

    ask = "printf 'Sure? '; read -r sure; echo you said $sure"
    print(container.run(ask, expects={r"Sure\? ": "yes\n"}, check=True).output)

    # The command is killed in the container.
    if container.oneshot("sleep 60", timeout=1).timed_out:
        print("timed out")

    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch, "app.conf")
        local.write_text("colour = green\n")
        container.put(local, "/tmp").check()
    print(container.oneshot("cat /tmp/app.conf", check=True).stdout, end="")
    container.oneshot("rm /tmp/app.conf", check=True)
