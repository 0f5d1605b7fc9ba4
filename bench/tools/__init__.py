"""The tools that are compared. Each has the same few verbs, as far as it can."""

from __future__ import annotations

from .base import Session, Tool
from .docker_client import LocalDocker
from .docker_py import DockerPy
from .fabric import Fabric
from .openssh import OpenSSH, Pexpect, PexpectTuned
from .otto_docker_sync import Ours, OursWarm
from .otto_sh import OttoSh
from .plumbum import Plumbum
from .raw_asyncssh import AsyncSSH
from .raw_paramiko import RawParamiko
from .sshlibrary import SSHLibrary

__all__ = [
    "AsyncSSH",
    "DockerPy",
    "Fabric",
    "LocalDocker",
    "OpenSSH",
    "OttoSh",
    "Ours",
    "OursWarm",
    "Pexpect",
    "PexpectTuned",
    "Plumbum",
    "RawParamiko",
    "SSHLibrary",
    "Session",
    "Tool",
]
