"""What the docker client says, as errors that tell what to do."""

from __future__ import annotations

import re

from ..errors import ConfigError, ContainerNotRunning, DockerUnavailable, NoSuchContainer, OttoError, ShellNotFound

KNOWN: list[tuple[str, type[OttoError], str]] = [
    (r"No such (container|object)|no container with name", NoSuchContainer, "no such container; see {program} ps -a"),
    (r"is paused|container is paused", ContainerNotRunning, "the container is paused; {program} unpause {container}"),
    (r"is restarting", ContainerNotRunning, "the container is restarting; see {program} logs {container}"),
    (
        r"is not running|can only create exec sessions on running|container (\S+ )?(is )?(stopped|exited)"
        r"|exec in a stopped state",
        ContainerNotRunning,
        "the container is not running; {program} start {container}, or bring its stack up",
    ),
    (
        r"Cannot connect to the Docker daemon|error during connect|Is the docker daemon running",
        DockerUnavailable,
        "the docker daemon of the parent does not answer; is it started, and DOCKER_HOST right?",
    ),
    (
        r"permission denied while trying to connect|Got permission denied",
        DockerUnavailable,
        "the user may not use docker on the parent; add it to the group docker, or set "
        "docker_command=('sudo', '-n', 'docker')",
    ),
    (
        r"sudo: .*must have a tty",
        DockerUnavailable,
        "sudo on the parent wants a terminal, which docker is not given; add 'Defaults:USER !requiretty' to sudoers",
    ),
    (
        r"sudo: (.*password|no tty present|.*not allowed)|is not in the sudoers file|may not run sudo",
        DockerUnavailable,
        "sudo on the parent does not let the user run docker without a password; add a NOPASSWD entry to sudoers",
    ),
    (
        r"unable to find user|no matching entries in passwd|no such user",
        ConfigError,
        "the container has no user {user!r}; pass one that it has, or a number, as user=",
    ),
    (
        r"chdir to cwd|Cwd must be an absolute path|workdir .*(invalid|does not exist)|working directory .* is invalid",
        ConfigError,
        "the container has no directory {workdir!r}, or it cannot be entered; pass another workdir=, such as '/'",
    ),
    (
        r"exec: \\?\"?[^:]*\"?: (stat .*)?(no such file or directory|executable file not found|permission denied)"
        r"|executable file .* not found",
        ShellNotFound,
        "the image has no shell {shell!r}, and nothing can be run in it without; "
        "pass one that it has as shell=, or use put() and get(), which need none",
    ),
    (
        r"logging driver does not support reading",
        DockerUnavailable,
        "the container's logging driver keeps nothing that docker could show; see where it sends the log to",
    ),
    (
        r"OCI runtime|runc",
        DockerUnavailable,
        "docker could not start a program in the container, for a reason that lies with the container or its machine; "
        "if it stays, try {program} restart {container}",
    ),
    (
        r"(command )?not found|No such file or directory",
        DockerUnavailable,
        "the parent has no docker client in its PATH; install one, or give its path in docker_command=",
    ),
]

DIRECTORY = re.compile(r'(?:chdir to cwd \(\\?"|working directory "|workdir ")([^"\\]+)')
"""Where docker and podman name the directory that a program was to start in."""


def docker_error(
    host: str,
    container: str,
    shell: str,
    said: bytes,
    status: int | None,
    user: str | None,
    workdir: str | None,
    program: str = "docker",
    failed: str = "docker exec did not start the shell",
) -> OttoError:
    """Return the error that `said` stands for, when something did not start in `container`.

    `program` is the client to use in advice, `failed` says what did not work where `said` is not understood.
    """
    text = said.decode("utf-8", "replace").replace("\r", "").strip()
    last = "\n".join(text.splitlines()[-5:])[-1000:]
    for pattern, kind, advice in KNOWN:
        if re.search(pattern, text, re.IGNORECASE):
            directory = DIRECTORY.search(text)  # also one that is the image's, and not ours
            workdir = workdir or (directory[1] if directory else None)
            what = advice.format(container=container, shell=shell, user=user, workdir=workdir, program=program)
            return kind(f"{host}: {what}{'' if what.endswith('?') else '.'} Docker said: {last}")
    return DockerUnavailable(
        f"{host}: {failed} in container {container!r} (status {status}) and said: {last or 'nothing'}"
    )
