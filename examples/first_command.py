"""Run commands in a container on a machine that is reached over SSH.

LAB_MACHINE=lab-17.example.net LAB_CONTAINER=api-1 python first_command.py
"""

import os

from otto_docker_sync import DockerContainerHost, SSHOptions, UnixHost

options = SSHOptions(
    known_hosts=os.environ.get("LAB_KNOWN_HOSTS"),  # None: ~/.ssh/known_hosts
    identity_file=os.environ.get("LAB_IDENTITY_FILE"),  # None: what the SSH agent and ~/.ssh offer
)
machine = UnixHost(
    os.environ["LAB_MACHINE"], os.environ.get("LAB_USER"), port=int(os.environ.get("LAB_PORT", "22")), ssh=options
)
container = DockerContainerHost(
    machine, os.environ["LAB_CONTAINER"], project="demo", service="api", compose_project="demo"
)

with machine, container:
    # A oneshot is a fresh process: nothing lasts, and stdout and stderr are apart.
    result = container.oneshot("cat /etc/hostname; echo oops >&2; exit 3")
    print(f"stdout {result.stdout!r}, stderr {result.stderr!r}, exit status {result.retcode}")

    # run() uses a shell that stays: directory, variables and functions last.
    container.run("cd /tmp")
    container.run("greeting=hello")
    print(container.run('echo "$greeting from $PWD"').output, end="")

    # A command that does not end in time is ended in the container; the shell and its state are kept.
    slow = container.run("echo working; sleep 60", timeout=1)
    print(f"timed out: {slow.timed_out}, output so far {slow.output!r}")
    print(container.run('echo "still $greeting"').output, end="")
