"""What the tests need of this machine, found out before the first of them runs."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection

from otto_docker_sync._sandbox import Docker, SandboxError
from otto_docker_sync._sandbox.images import busybox_binary
from otto_docker_sync._sandbox.processes import program

from .compose import version_1, version_2

PROGRAMS = {
    "account": [("useradd", "passwd"), ("userdel", "passwd"), ("openssl", "openssl")],
    "sshd": [("sshd", "openssh-server"), ("ssh-keygen", "openssh-client")],
    "docker": [("docker", "docker-cli"), ("dash", "dash"), ("bash", "bash"), ("ldd", "libc-bin")],
    "telnetd": [("login", "login")],
    "black_hole": [("iptables", "iptables")],
    "sudoers": [("sudo", "sudo")],
    "podman": [("podman", "podman"), ("newuidmap", "uidmap")],
    "podman_container": [("podman", "podman")],
}
"""Fixture → programs, and the Debian package of each."""


def missing(fixtures: Collection[str]) -> list[str]:
    """What this machine lacks for the tests that use these fixtures, a sentence each."""
    checks: list[Callable[[], object]] = []
    if "account" in fixtures:
        checks.append(_root)
    for fixture, programs in PROGRAMS.items():
        if fixture in fixtures:
            checks += [functools.partial(program, *each) for each in programs]
    if "docker" in fixtures:
        checks += [busybox_binary, _docker]
    if "compose" in fixtures:
        checks += [version_1, version_2]
    sentences = []
    for check in checks:
        try:
            check()
        except SandboxError as error:
            sentences.append(str(error))
    return sentences


def _root() -> None:
    if os.geteuid():
        raise SandboxError("the tests make users, daemons and mounts: run them as root, on a machine of their own")


def _docker() -> None:
    """A daemon that answers, or what it takes to start one."""
    if not os.geteuid() and not Docker().answers():
        for name, package in (("dockerd", "docker.io"), ("containerd", "containerd"), ("ip", "iproute2")):
            program(name, package)
