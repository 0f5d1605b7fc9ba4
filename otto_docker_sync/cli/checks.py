"""What the doctor checks. Each check is a `Finding`; when one fails, those that need it are left out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from .._channel.base import Channel
from .._channel.scripts import script
from .._ssh import Connections
from ..compose import compose_ps
from ..deadline import Deadline, DeadlineExpired
from ..docker_host import DockerContainerHost
from ..errors import AuthenticationError, ConfigError, HostKeyError, OttoError
from ..host import Host
from ..lab import Lab
from ..limits import CLOCK_TOLERANCE, MAX_SESSIONS, SLOW_START
from ..result import CommandResult, shorten


class Verdict(Enum):
    """What a check says."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What one check found on one host, and what to do about it."""

    host: str
    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(lab: Lab, host: Host, timeout: float, parent_is_well: bool = True) -> Iterator[Finding]:
    """Check one host; each single check takes at most `timeout` seconds. An error is a finding, and is not raised."""
    kind = _Container if host.is_virtual else _Machine
    yield from kind(lab, host, timeout).checks(parent_is_well)


class _Examination:
    """What both kinds of examination need."""

    def __init__(self, lab: Lab, host: Host, timeout: float) -> None:
        self.lab = lab
        self.host = host
        self.timeout = timeout

    def ask(self, command: str | list[str]) -> CommandResult:
        result = self.host.oneshot(command, timeout=self.timeout)
        if result.retcode is None:
            raise OttoError(result.message)
        return result

    def ok(self, check: str, found: str) -> Finding:
        return Finding(self.host.id, check, Verdict.OK, found)

    def note(self, check: str, found: str, advice: str = "") -> Finding:
        return Finding(self.host.id, check, Verdict.NOTE, found, advice)

    def wrong(self, check: str, found: str, advice: str = "") -> Finding:
        return Finding(self.host.id, check, Verdict.WRONG, found.removeprefix(f"{self.host.id}: "), advice)

    def skipped(self, check: str, found: str) -> Finding:
        return Finding(self.host.id, check, Verdict.SKIPPED, found)


class _Machine(_Examination):
    """A parent, a hop, or this machine."""

    def checks(self, _: bool) -> Iterator[Finding]:
        facts: dict[str, str] = {}
        for finding in self._connection(facts):
            yield finding
            if finding.verdict is Verdict.WRONG:
                return
        if facts:
            yield from self._clock(facts)
        if self.host.connections is not None:
            yield from self._start_up(facts)
            yield from self._sftp(self.host.connections)
            yield from self._sessions(self.host.connections)
            yield from self._server(self.host.connections.describe())
        if self.host.docker_capable:
            yield from self._docker()
        else:
            yield self.skipped("docker", "docker_capable is false for this host")

    def _connection(self, facts: dict[str, str]) -> Iterator[Finding]:
        host = self.host
        hops: list[Host] = []
        hop = host.reached_through
        while hop is not None:
            hops.insert(0, hop)
            hop = hop.reached_through
        for hop in hops:
            try:
                hop.oneshot(":", timeout=self.timeout)
            except OttoError as error:
                yield self.wrong(f"hop {hop.id}", str(error))
                return
            yield self.ok(f"hop {hop.id}", f"{hop.description} answers")
        begin = time.time()
        try:
            result = self.ask(script(__package__, "probe"))
        except HostKeyError as error:
            yield self.ok("reach", "answers")
            yield self.wrong("host key", str(error))
            return
        except AuthenticationError as error:
            yield self.ok("reach", "answers")
            yield self.ok("host key", "accepted")
            yield self.wrong("login", str(error))
            return
        except OttoError as error:
            yield self.wrong("reach", str(error))
            return
        end = time.time()
        for line in result.output.splitlines():
            name, _, value = line.partition("=")
            facts[name] = value
        # The remote clock was read at some moment of the question.
        facts["asked_at"], facts["uncertainty"] = str((begin + end) / 2), str((end - begin) / 2)
        if host.connections is not None:
            about = host.connections.describe()
            yield self.ok("reach", f"{facts.get('system', 'answers')}, {about.get('server', 'SSH')}")
            if about.get("host_key_policy") == "ignore":
                yield self.note("host key", "not looked at", 'host_key_policy = "accept-new" would notice a change')
            else:
                yield self.ok("host key", f"{about.get('host_key', '')} is the known one".strip())
            yield self.ok("login", f"{about.get('login', '')}")
        else:
            yield self.ok("reach", facts.get("system", "answers"))
            yield self.ok("login", f"{facts.get('user', '?')}")

    def _clock(self, facts: dict[str, str]) -> Iterator[Finding]:
        if not facts.get("time", "").isdigit():
            yield self.skipped("clock", "the host does not say what time it is")
            return
        # The remote time comes in whole seconds: half of one is the best guess, and the largest error.
        skew = int(facts["time"]) + 0.5 - float(facts["asked_at"])
        uncertainty = float(facts["uncertainty"]) + 0.5
        if abs(skew) <= max(CLOCK_TOLERANCE, uncertainty):
            yield self.ok("clock", f"within {max(1, round(uncertainty + abs(skew)))} s of this machine's")
        else:
            where = "ahead of" if skew > 0 else "behind"
            advice = "start a time service there, such as systemd-timesyncd; files and certificates look wrong in time"
            yield self.note("clock", f"{abs(skew):.0f} s {where} this machine's", advice)

    def _start_up(self, facts: dict[str, str]) -> Iterator[Finding]:
        noise, start = facts.get("noise", "0"), facts.get("start", "")
        if noise != "0":
            advice = "end the file early where there is no terminal: [ -t 1 ] || return"
            yield self.note("start-up file", "the shell's start-up file prints something, which breaks SFTP", advice)
        elif start.isdigit() and int(start) / 1000 >= SLOW_START:
            advice = "keep version managers and the like out of it where there is no terminal: [ -t 1 ] || return"
            yield self.note("start-up file", f"each command waits {start} ms for the shell's start-up file", advice)
        elif start.isdigit():
            yield self.ok("start-up file", f"silent, and a login shell is ready after {start} ms")

    def _sftp(self, connections: Connections) -> Iterator[Finding]:
        try:
            with connections.open_sftp(Deadline.after(self.timeout)) as sftp:
                sftp.normalize(".")
        except (OttoError, OSError, DeadlineExpired) as error:
            yield self.note("sftp", str(error) or "no answer in time", "put and get go without it, by slower ways")
        else:
            yield self.ok("sftp", "works")

    def _sessions(self, connections: Connections) -> Iterator[Finding]:
        """Open sessions until one connection takes no more. Each runs a program that ends with its channel."""
        deadline = Deadline.after(self.timeout)
        opened: list[Channel] = []
        limit = MAX_SESSIONS
        try:
            for _ in range(MAX_SESSIONS):
                opened.append(connections.open_channel("cat", deadline=deadline))
                if connections.describe()["connections"] != 1:
                    limit = len(opened) - 1
                    break
        except (OttoError, DeadlineExpired) as error:
            yield self.note("sessions", f"after {len(opened)} at once: {error or 'no answer in time'}")
            return
        finally:
            for channel in opened:
                channel.close()
        if limit >= MAX_SESSIONS:
            yield self.ok("sessions", f"{MAX_SESSIONS} at once on one connection")
        else:
            advice = f"further connections are opened where more are needed; MaxSessions {MAX_SESSIONS} is usual"
            yield self.note("sessions", f"{limit} at once on one connection", advice)

    def _server(self, about: dict[str, object]) -> Iterator[Finding]:
        """Say what slows down all work with this server: it locks addresses out, or encrypts slowly."""
        if has_penalties(str(about.get("server", ""))):
            found = "this version of OpenSSH locks an address out for a while after failed logins (PerSourcePenalties)"
            advice = "name the addresses of your test machines in its sshd_config: PerSourcePenaltyExemptList"
            yield self.note("penalties", found, advice)
        else:
            yield self.ok("penalties", "this version of the server locks no address out")
        cipher, compression = str(about.get("cipher", "")), str(about.get("compression", "none"))
        if cipher.endswith("-cbc"):
            found = f"{cipher} is slow: 3des takes some ten times as long as aes-gcm, aes-cbc half as long again"
            yield self.note("cipher", found, "allow aes128-gcm@openssh.com: Ciphers in its sshd_config and ssh_config")
        elif compression != "none":
            found = f"{cipher}, and all data is compressed ({compression})"
            yield self.note("cipher", found, "on a fast network that costs time: Compression no in ssh_config")
        else:
            yield self.ok("cipher", cipher)

    def _docker(self) -> Iterator[Finding]:
        docker = list(self.host.backend.docker_command())
        name = " ".join(docker)
        try:
            result = self.ask([*docker, "version", "--format", "{{json .}}"])
        except OttoError as error:
            yield self.wrong("docker", str(error))
            return
        text = (result.stderr or result.output).strip()
        last = shorten(text.splitlines()[-1] if text else f"exit status {result.retcode}")
        client, server = _versions(result.output)
        if not client and not server:
            advice = 'install docker there, or say where it is: docker_command = ["/path/to/docker"]'
            yield self.wrong("docker", f"{name}: {last}", advice)
            return
        if result.retcode != 0:
            if "permission denied" in text:
                advice = 'add the user to the group docker, or set docker_command = ["sudo", "-n", "docker"]'
            else:
                advice = "start the daemon: systemctl start docker"
            yield self.wrong("docker", f"client {client}; {last}", advice)
            return
        versions = f"client {client}, server {server}" if server else f"client {client}"
        yield self.ok("docker", versions)
        yield from self._compose(docker)

    def _compose(self, docker: list[str]) -> Iterator[Finding]:
        for command in ([*docker, "compose"], [*docker[:-1], "docker-compose"]):
            result = self.ask([*command, "version", "--short"])
            if result.ok and result.output.strip():
                yield self.ok("compose", f"{result.output.strip()} ({' '.join(command)})")
                return
        yield self.note("compose", "not installed", "to use stacks, install docker-compose-plugin")


class _Container(_Examination):
    """A container on its parent."""

    host: DockerContainerHost

    def checks(self, parent_is_well: bool) -> Iterator[Finding]:
        if not parent_is_well:
            yield self.skipped("container", f"see {self.host.parent.id}")
            return
        try:
            finding = self._state()
        except OttoError as error:
            yield self.wrong("container", str(error))
            return
        yield finding
        if finding.verdict is not Verdict.OK:
            return
        try:
            result = self.ask('command -v tar; id -un 2>/dev/null || echo "${USER:-?}"')
        except OttoError as error:
            found = str(error).removeprefix(f"{self.host.id}: ")
            yield self.note("shell", found, "put and get work without a shell, commands do not")
            return
        yield self.ok("shell", f"{self.host.shell} works, as {result.output.split()[-1]}")
        if "tar" in result.output.split("\n")[0]:
            yield self.ok("tar", "is there")
        else:
            yield self.note("tar", "is not there", "put and get go by docker cp, so not into tmpfs mounts")

    def _state(self) -> Finding:
        """Say whether commands can run in the container, and what it needs otherwise."""
        host = self.host
        bring_up = f"otto-docker up {host.project}" if host.compose_project else ""
        container = host.container_id or self._find()
        if not container:
            if refusal := self._compose_refusal():
                return self.wrong("container", f"does not exist yet, and its stack would not come up: {refusal}")
            return self.note("container", "does not exist yet", bring_up or "start it on its parent: docker run")
        docker = " ".join(host.parent.backend.docker_command())
        row = "{{.State.Status}} {{.State.ExitCode}} {{.Name}}"
        asked = host.parent.oneshot(
            [*host.parent.backend.docker_command(), "inspect", "-f", row, "--type", "container", container],
            timeout=self.timeout,
        )
        if not asked:
            if asked.retcode is None:
                raise OttoError(asked.message)
            return self.note("container", f"there is no container {container[:12]} any more", bring_up)
        state, status, name = asked.stdout.split(maxsplit=2)
        name = name.strip().lstrip("/")
        if state == "running":
            return self.ok("container", "runs")
        logs = f"{docker} logs {name}"
        if state == "paused":
            return self.wrong("container", "is paused; commands wait in it", f"{docker} unpause {name}")
        if state == "restarting":
            return self.wrong("container", f"is restarting; it last exited with {status}", f"see why: {logs}")
        if state == "exited":
            advice = bring_up or f"{docker} start {name}"
            return self.note("container", f"exited with {status}", f"see why: {logs}; then: {advice}")
        return self.note("container", f"does not run (it is {state})", bring_up or f"{docker} start {name}")

    def _compose_refusal(self) -> str:
        """Return why the stack of a declared container would not come up; "" when nothing is known against it."""
        if self.host.project not in self.lab.projects:
            return ""
        try:
            self.lab.stack(self.host.project, on=self.host.parent).check(timeout=self.timeout)
        except ConfigError as error:
            return str(error)
        return ""

    def _find(self) -> str:
        """Return the id of the container of a declared service, running or not; "" when there is none.

        A service is its lowest replica that runs, else the lowest that exists.
        """
        service, _, number = self.host.service.partition("#")
        found = [
            item
            for item in compose_ps(self.host.parent)
            if item.compose_project == self.host.compose_project and item.compose_service == service
        ]
        running = [item for item in found if item.status.startswith("Up")]
        chosen = [item for item in found if str(item.number) == number] if number else running or found
        return min(chosen, key=lambda item: item.number).container_id if chosen else ""


def has_penalties(server: str) -> bool:
    """Whether a server with this identification has PerSourcePenalties: they came with OpenSSH 9.8, and are on."""
    version = re.search(r"OpenSSH_(\d+)\.(\d+)", server)
    return version is not None and (int(version[1]), int(version[2])) >= (9, 8)


def _versions(text: str) -> tuple[str, str]:
    """Return the client's and the server's version from the output of ``docker version``; "" for what is missing."""
    try:
        versions = json.loads(next((line for line in text.splitlines() if line.startswith("{")), ""))
        client, server = versions.get("Client") or {}, versions.get("Server") or {}
        return str(client.get("Version", "")), str(server.get("Version", ""))
    except (ValueError, AttributeError):
        return "", ""
