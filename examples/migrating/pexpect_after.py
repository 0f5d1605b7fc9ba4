"""The same dialogue as in pexpect_before.py.

LAB_MACHINE=lab-17.example.net LAB_CONTAINER=api-1 python pexpect_after.py
"""

import os

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

with machine, container.open_session("dialogue") as session:
    session.sendline("printf 'New password: '; read -r word; echo; echo changed")
    if session.expect(["New password: ", "denied"]).index == 0:
        session.sendline("secret")
    match = session.expect("changed")
    print("before the match:", repr(match.before))

    result = session.run("ls /nowhere")
    print("exit status:", result.retcode)

    result = session.run("sleep 60", timeout=1)
    print("timed out" if result.timed_out else result.output)
