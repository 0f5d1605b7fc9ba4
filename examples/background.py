"""Start commands in the background: a server, and a program that watches it.

OTTO_LAB=lab.toml OTTO_HOST=carrot.repo1.api python background.py
"""

import os

from otto_docker_sync import Lab

SERVER = r"""
trap 'echo bye; exit 0' TERM
echo 'listening on port 8080'
while :; do echo "request at $(date)" >>/tmp/access.log; sleep 0.1; done
"""

with Lab.load(os.environ.get("OTTO_LAB", "lab.toml")) as lab:
    host = lab.get(os.environ.get("OTTO_HOST", "carrot.repo1.api"))

    # It runs until the end of the block, where it is stopped.
    with host.start(SERVER) as server:
        port = server.wait_for(r"listening on port (\d+)\n", timeout=20).groups()[0]
        print(f"the server listens on port {port}")

        # Its lines, as they come; the loop may be left at any time.
        for line in host.start("tail -n +1 -f /tmp/access.log").lines():
            print(line)
            break

        result = server.stop()
        print(f"exit status {result.retcode}, last words: {result.stdout.splitlines()[-1]}")

    # A command that takes long, while something else is done.
    check = host.start("sleep 1; echo checked")
    print(host.oneshot("echo meanwhile").output, end="")
    print(check.wait(timeout=60).check().output, end="")
    host.oneshot("rm /tmp/access.log")
