"""The library's own keywords about commands: they return a result to assert on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from ..host import Host
from ..result import Command, CommandResult, RunResult
from ..session import HostSession
from ._hosts import HostKeywords
from ._keyword import keyword
from ._open_host import HostRef, reveal
from ._settings import seconds


class ResultKeywords(HostKeywords):
    """Keywords about commands and their results, sessions and repeats."""

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
        input: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        host: HostRef = None,
    ) -> CommandResult:
        """Run a command in a fresh shell, and return its result, with stdout and stderr separate.

        With ``arguments`` the command is a program, run with exactly these arguments and without a shell. ``input`` is
        what it reads on stdin. ``env``, ``workdir`` and ``user`` hold for this one command; on a machine sudo changes
        the user.

        | ${result} =    | Run Oneshot | cat /etc/os-release \\| head -n 1 | check=True |
        | Should Contain | ${result.stdout} | NAME |
        | Run Oneshot    | touch | a name with spaces |
        | Run Oneshot    | psql | shop | input=${QUERY} | user=postgres | check=True |
        """
        cmd: Command = [command, *arguments] if arguments else command
        target = self._host(host)
        return target.oneshot(cmd, timeout, check=check, input=input, env=env, workdir=workdir, user=user)

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
    def open_session(self, name: str, *, host: HostRef = None) -> HostSession:
        """Get or create a persistent shell of its own; keywords use it with ``session=``.

        | Open Session | monitor |
        | Run Command  | cd /var/log | session=monitor |
        """
        return self._host(host).open_session(name)

    @keyword
    def close_session(self, name: str, *, host: HostRef = None) -> None:
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
        *,
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
    def stop_repeat(self, name: str, *, host: HostRef = None) -> list[Any]:
        """Stop repeating, and return the results so far."""
        target = self._host(host)
        target.stop_repeat(name)
        return list(target.repeat_results(name))

    @keyword
    def stop_all_repeats(self, *, host: HostRef = None) -> None:
        """Stop everything that the host repeats."""
        self._host(host).stop_all_repeats()

    @keyword
    def repeat_results(self, name: str, *, host: HostRef = None) -> list[Any]:
        """Return the results so far of what is, or was, repeated under this name."""
        return list(self._host(host).repeat_results(name))

    def _shell(self, host: HostRef, session: str | None) -> Host | HostSession:
        """The default session of a host, or the one of a name."""
        target = self._host(host)
        return target if session is None else target.open_session(session)


def _answer(text: Any) -> str:
    return f"{reveal(text)}\n"


def _explain(result: CommandResult) -> str:
    try:
        result.check()
    except Exception as error:
        return str(error)
    return f"{result.host}: {result.command!r} succeeded"
