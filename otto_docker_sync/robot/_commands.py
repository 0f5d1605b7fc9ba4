"""SSHLibrary's keywords that run commands, each in a shell of its own."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import Any

from robot.api import logger

from ..errors import ConfigError
from ..host import Host
from ..logs import masked
from ..result import CommandResult, Status
from ._hosts import HostKeywords
from ._keyword import ssh_keyword
from ._open_host import HostRef, OpenHost, SecretText, SSHClientException, StartedCommand, reveal
from ._settings import seconds

NO_SUBSYSTEM = "invoke_subsystem is not available: a subsystem of the SSH server other than SFTP cannot be started"
NO_AGENT = (
    "forward_agent is not available: the SSH agent is not forwarded to a command; "
    "to reach another machine from there, open it with jumphost_index_or_alias"
)


class CommandKeywords(HostKeywords):
    """Keywords about commands."""

    @ssh_keyword
    def execute_command(
        self,
        command: str,
        return_stdout: bool = True,
        return_stderr: bool = False,
        return_rc: bool = False,
        sudo: bool = False,
        sudo_password: SecretText | None = None,
        timeout: timedelta | None = None,
        output_during_execution: bool = False,
        output_if_timeout: bool = False,
        invoke_subsystem: bool = False,
        forward_agent: bool = False,
        *,
        host: HostRef = None,
    ) -> Any:
        """Run a command in a fresh shell, and return its output without the last newline.

        The shell is the user's login shell on a machine, and ``sh`` in a container. The three ``return_`` arguments
        say what is returned: one value, or several in the order stdout, stderr, exit status; ``stderr`` or ``both`` in
        the place of the first mean what they mean in SSHLibrary. A non-zero exit status does not fail the keyword; a
        command that timed out or was lost does. See `Run Oneshot` for a result with all of it.

        With ``sudo``, ``sudo`` is put in front of the command, which may begin with options of sudo; the password goes
        to its standard input, and so shows in no process list. ``output_during_execution`` shows the output on the
        console as it comes, ``output_if_timeout`` logs it when the command times out. ``invoke_subsystem`` and
        ``forward_agent`` are refused.

        | ${stdout} =      | Execute Command | hostname |
        | ${stdout}        | ${rc} = | Execute Command | ls /nowhere | return_rc=True |
        | Execute Command  | systemctl restart app | sudo=True | sudo_password=${PASSWORD} |
        """
        _refuse_what_is_not_there(invoke_subsystem, forward_agent)
        target, known = self._host(host), self._open_host(host)
        known.log(f"Executing command '{_shown(command, sudo)}'.")
        sink = (lambda text: logger.console(masked(text), newline=False)) if output_during_execution else None
        script, password = _script(target, command, sudo, sudo_password)
        result = target.oneshot(script, timeout, on_output=sink, input=password)
        if result.timed_out and timeout is not None:
            if output_if_timeout:
                known.log(result.output)
            known.log(f"{target.id}: {result.message}", "DEBUG")
            raise SSHClientException(f"Timed out in {int(timeout.total_seconds())} seconds")
        return _outputs(known, result, return_stdout, return_stderr, return_rc)

    @ssh_keyword
    def start_command(
        self,
        command: str,
        sudo: bool = False,
        sudo_password: SecretText | None = None,
        invoke_subsystem: bool = False,
        forward_agent: bool = False,
        *,
        host: HostRef = None,
    ) -> None:
        """Start a command in a fresh shell, and return at once; `Read Command Output` waits for it.

        The arguments are those of `Execute Command`.

        | Start Command | tcpdump -c 10 -i eth0 |
        | Run Command   | ping -c 10 gateway    |
        | ${stdout} =   | Read Command Output   | timeout=30 s |
        """
        _refuse_what_is_not_there(invoke_subsystem, forward_agent)
        target, known = self._host(host), self._open_host(host)
        known.log(f"Starting command '{_shown(command, sudo)}'.")
        known.started.append(StartedCommand(target, *_script(target, command, sudo, sudo_password), command))
        known.last_command = command

    @ssh_keyword
    def read_command_output(
        self,
        return_stdout: bool = True,
        return_stderr: bool = False,
        return_rc: bool = False,
        timeout: timedelta | None = None,
        *,
        host: HostRef = None,
    ) -> Any:
        """Wait for the command that was started last on the host, and return as `Execute Command` does.

        When ``timeout`` passes first, the keyword fails, and the command runs on: it can be read again.
        """
        known = self._open_host(host)
        known.log(f"Reading output of command '{known.last_command}'.")
        if not known.started:
            raise AssertionError("No started commands to read output from.")
        result = known.started[-1].result(seconds(timeout))
        if result is None:
            assert timeout is not None
            known.log(f"{known.started[-1].shown!r} still runs, and can be read again.")
            raise AssertionError(f"Timed out in {int(timeout.total_seconds())} seconds")
        del known.started[-1]
        return _outputs(known, result, return_stdout, return_stderr, return_rc)


def _refuse_what_is_not_there(invoke_subsystem: bool, forward_agent: bool) -> None:
    if invoke_subsystem:
        raise ConfigError(NO_SUBSYSTEM)
    if forward_agent:
        raise ConfigError(NO_AGENT)


def _shown(command: str, sudo: bool) -> str:
    return f"sudo {command}" if sudo else command


def _script(host: Host, command: str, sudo: bool, sudo_password: SecretText | None) -> tuple[str, str | None]:
    """Return the text that runs `command` as the host's SSH server would, or its container, and its input."""
    password = reveal(sudo_password) if sudo else None
    if password is not None:
        command = f'sudo --stdin --prompt "" {command}'
    elif sudo:
        command = f"sudo {command}"
    if host.is_virtual and not sudo:
        return command, None
    shell = shlex.quote(host.shell) if host.is_virtual else '"${SHELL:-sh}"'
    return f"exec {shell} -c {shlex.quote(command)}", None if password is None else f"{password}\n"


def _outputs(known: OpenHost, result: CommandResult, stdout: bool, stderr: bool, rc: bool) -> Any:
    if result.status not in (Status.SUCCESS, Status.FAILED):
        result.check()
    known.log(f"Command exited with return code {result.retcode}.")
    if isinstance(stdout, str):  # Robot Framework leaves a text as it is that is not the name of a boolean
        choice = stdout.lower()
        stdout, stderr = choice != "stderr", stderr or choice in ("stderr", "both")
    values: list[Any] = []
    if stdout:
        values.append(_decode(known, result.stdout_bytes).rstrip("\n"))
    if stderr:
        values.append(_decode(known, result.stderr_bytes).rstrip("\n"))
    if rc:
        values.append(result.retcode)
    return values[0] if len(values) == 1 else values


def _decode(known: OpenHost, output: bytes) -> str:
    return output.decode(known.encoding, known.encoding_errors or "replace")
