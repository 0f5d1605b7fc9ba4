"""Who asks: what others get to read of this process."""

from __future__ import annotations

import getpass
import os
import socket

RUN_VARIABLES = ("OTTO_RUN_NAME", "BUILD_TAG", "CI_JOB_URL", "GITHUB_RUN_ID", "BUILDKITE_BUILD_URL", "TF_BUILD_URL")
"""The environment variable that names a run, and those that CI servers set."""


def owner() -> str:
    """The user and the machine, as in ``alice@lab1``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def run() -> str:
    """The run that this process belongs to; empty when nothing names it."""
    return next((os.environ[name] for name in RUN_VARIABLES if os.environ.get(name)), "")
