"""Keywords that run commands: SSHLibrary's, and those that return a result to assert on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Union

from robot.api.deco import keyword

from ..host import Host
from ..result import Command, CommandResult, RunResult, Status
from ..session import HostSession
from ._hosts import HostKeywords
from ._open_host import HostRef, SecretText, StartedCommand, reveal, seconds

Outputs = Union[str, int, None, tuple[Any, ...]]


class CommandKeywords(HostKeywords):
    """Keywords about commands."""

    # SSHLibrary's names

    @keyword
    def execute_command(
        self,
        command: str,
        return_stdout: bool = True,
        return_stderr: bool = False,
        return_rc: bool = False,
        sudo: bool = False,
        sudo_password: SecretText | None = None,
        timeout: timedelta | None = None,
        host: HostRef = None,
    ) -> Outputs:
        """Run a command in a fresh shell, and return its output without the last newline.

        The three ``return_`` arguments say what is returned: one value, or several in the order stdout, stderr, exit
        status. A non-zero exit status does not fail the keyword; a command that timed out or was lost does.
        See `Run Oneshot` for a result with all of it.

        | ${stdout} =      | Execute Command | hostname |
        | ${stdout}        | ${rc} = | Execute Command | ls /nowhere | return_rc=True |
        """
        script = _with_sudo(command, reveal(sudo_password)) if sudo else command
        result = self._host(host).oneshot(script, timeout)
        return _outputs(result, return_stdout, return_stderr, return_rc)

    @keyword
    def start_command(
        self,
        command: str,
        sudo: bool = False,
        sudo_password: SecretText | None = None,
        host: HostRef = None,
    ) -> None:
        """Start a command in a fresh shell, and return at once; `Read Command Output` waits for it.

        | Start Command | tcpdump -c 10 -i eth0 |
        | Run Command   | ping -c 10 gateway    |
        | ${stdout} =   | Read Command Output   | timeout=30 s |
        """
        script = _with_sudo(command, reveal(sudo_password)) if sudo else command
        target = self._host(host)
        self._connection(host).started.append(StartedCommand(target, script, command))

    @keyword
    def read_command_output(
        self,
        return_stdout: bool = True,
        return_stderr: bool = False,
        return_rc: bool = False,
        timeout: timedelta | None = None,
        host: HostRef = None,
    ) -> Outputs:
        """Wait for the command that was started last on the host, and return as `Execute Command` does.

        When ``timeout`` passes first, the keyword fails, and the command runs on: it can be read again.
        """
        started = self._connection(host).started
        if not started:
            raise AssertionError(f"{self._host(host).id}: no started command to read the output of")
        result = started[-1].result(seconds(timeout))
        if result is None:
            raise AssertionError(f"{self._host(host).id}: {started[-1].shown!r} still runs after {timeout}")
        del started[-1]
        return _outputs(result, return_stdout, return_stderr, return_rc)

    # Ours

    @keyword
    def run_command(
        self,
        command: str,
        *more: str,
        expects: Mapping[str, Any] | None = None,
        timeout: timedelta | None = None,
        check: bool = False,
        session: str | None = None,
        host: HostRef = None,
    ) -> CommandResult | RunResult:
        """Run a command in the host's persistent shell, and return its result. Directory, variables and functions last.

        The result has ``output``, ``rc``, ``ok``, ``status``, ``timed_out``, ``duration`` and more. ``expects`` is a
        dictionary of regular expressions and answers; an answer may be a Secret variable. With ``check`` the keyword
        fails unless the command succeeds; its message then ends with the last lines of the output. ``session`` is a
        shell of its own, see `Open Session`. Several commands give a list of results, with ``timeout`` for all of
        them.

        | Run Command     | cd /srv/app  |
        | ${result} =     | Run Command  | make test | timeout=5 min |
        | Should Be Equal As Integers | ${result.rc} | 0 |
        | &{answers} =    | Create Dictionary | [Pp]assword: | ${PASSWORD} |
        | Run Command     | ./login.sh | expects=${answers} | check=True |
        """
        responders = {pattern: _answer(text) for pattern, text in expects.items()} if expects else None
        shell = self._shell(host, session)
        if more:
            results = shell.run([command, *more], responders, timeout)
            return results.check() if check else results
        return shell.run(command, responders, timeout, check=check)

    @keyword
    def run_oneshot(
        self,
        command: str,
        *arguments: str,
        timeout: timedelta | None = None,
        check: bool = False,
        host: HostRef = None,
    ) -> CommandResult:
        """Run a command in a fresh shell, and return its result, with stdout and stderr apart.

        With ``arguments`` the command is a program, run with exactly these arguments and without a shell.

        | ${result} =    | Run Oneshot | cat /etc/os-release \\| head -n 1 | check=True |
        | Should Contain | ${result.stdout} | NAME |
        | Run Oneshot    | touch | a name with spaces |
        """
        cmd: Command = [command, *arguments] if arguments else command
        return self._host(host).oneshot(cmd, timeout, check=check)

    @keyword
    def result_should_be_ok(self, result: CommandResult | RunResult) -> None:
        """Fail, with the last lines of the output, unless the command, or each of them, ended with exit status 0.

        | ${result} =         | Run Command | make |
        | Result Should Be Ok | ${result} |
        """
        result.check()

    @keyword
    def result_should_have_rc(self, result: CommandResult, rc: int) -> None:
        """Fail, with the last lines of the output, unless the command ended with this exit status.

        | ${result} =           | Run Command | grep root /etc/nowhere |
        | Result Should Have Rc | ${result} | 2 |
        """
        if result.retcode != rc:
            raise AssertionError(f"Expected exit status {rc}.\n{_explain(result)}")

    @keyword
    def open_session(self, name: str, host: HostRef = None) -> HostSession:
        """Get or create a persistent shell of its own; keywords use it with ``session=``.

        | Open Session | monitor |
        | Run Command  | cd /var/log | session=monitor |
        """
        return self._host(host).open_session(name)

    @keyword
    def close_session(self, name: str, host: HostRef = None) -> None:
        """End a persistent shell."""
        self._host(host).open_session(name).close()

    @keyword
    def start_repeat(
        self,
        name: str,
        commands: str | Sequence[str],
        interval: timedelta,
        times: int | None = None,
        duration: timedelta | None = None,
        host: HostRef = None,
    ) -> None:
        """Run a command, or a list of them, again and again in the background, until `Stop Repeat`.

        ``interval`` is from start to start. ``times`` and ``duration`` end it earlier.

        | Start Repeat | load | cat /proc/loadavg | 2 seconds |
        | Sleep        | 10 seconds |
        | ${results} = | Stop Repeat | load |
        """
        every, long = interval.total_seconds(), seconds(duration)
        self._host(host).start_repeat(name, commands, every, times=times, duration=long)

    @keyword
    def stop_repeat(self, name: str, host: HostRef = None) -> list[Any]:
        """Stop repeating, and return the results so far."""
        target = self._host(host)
        target.stop_repeat(name)
        return list(target.repeat_results(name))

    @keyword
    def stop_all_repeats(self, host: HostRef = None) -> None:
        """Stop everything that the host repeats."""
        self._host(host).stop_all_repeats()

    @keyword
    def repeat_results(self, name: str, host: HostRef = None) -> list[Any]:
        """Return the results so far of what is, or was, repeated under this name."""
        return list(self._host(host).repeat_results(name))

    @keyword
    def host_should_be_running(self, host: HostRef = None) -> None:
        """Fail unless the container runs. Starts nothing."""
        target = self._host(host)
        if not target.is_running():
            raise AssertionError(f"{target.id} is not running")

    def _shell(self, host: HostRef, session: str | None) -> Host | HostSession:
        """The default session of a host, or the one of a name."""
        target = self._host(host)
        return target if session is None else target.open_session(session)


def _outputs(result: CommandResult, stdout: bool, stderr: bool, rc: bool) -> Outputs:
    if result.status not in (Status.SUCCESS, Status.FAILED):
        result.check()
    out = result.stdout
    values: list[Any] = []
    if stdout:
        values.append(out.rstrip("\n"))
    if stderr:
        values.append(result.stderr.rstrip("\n"))
    if rc:
        values.append(result.retcode)
    return values[0] if len(values) == 1 else tuple(values) or None


def _with_sudo(command: str, password: str | None) -> str:
    """The script that runs `command` as root. It travels over stdin, so the password shows in no process list."""
    sudo = f"sudo -S -p '' -- sh -c {shlex.quote(command)}"
    return f"printf '%s\\n' {shlex.quote(password or '')} | {sudo}"


def _answer(text: Any) -> str:
    return f"{reveal(text)}\n"


def _explain(result: CommandResult) -> str:
    try:
        result.check()
    except Exception as error:
        return str(error)
    return f"{result.host}: {result.command!r} succeeded"
