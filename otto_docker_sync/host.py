"""What every host can do. Each public verb is written once: here, or in `SessionVerbs`, `FileVerbs`, `ServiceVerbs`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from ._channel.backend import Backend
from ._channel.descriptors import explain_no_descriptors
from ._channel.forward import Forwards
from ._shell import CommandList, Conversation, Input, Runner, Sink
from ._verbs import FileVerbs, ServiceVerbs
from .deadline import Deadline, Timeout, timeout_seconds
from .errors import ConfigError, OttoError
from .limits import CLOSE_TIME
from .process import Process
from .repeat import Repeated, Repeats
from .result import Command, CommandResult, RunResult
from .session import DEFAULT_SESSION, HostSession, Sessions, SessionVerbs

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._ssh.connections import Connections
    from .aio import AsyncHost


class Host(SessionVerbs, FileVerbs, ServiceVerbs):
    """A machine, or a container, to run commands on.

    It owns its sessions and repeats; everything is opened when first used, and again after `close`. Any thread may
    call any verb. What a host is made with is read when it is made; only ``default_timeout`` may change later.
    """

    is_virtual: bool = False
    """Whether it is a container on another host."""

    kind: str
    """One word for what it is: container, ssh, telnet or local."""

    docker_capable: bool = False
    """Whether it runs a docker daemon, and can be the parent of containers."""

    connections: Connections | None = None
    """Its own SSH connections; None for a host that has none."""

    id: str
    name: str
    shell: str
    log: bool
    log_stdout: bool
    resources: set[str]
    default_timeout: Timeout

    backend: Backend
    """What this kind of host can do: the object that everything below the verbs works on."""

    def _init(self, backend: Backend, *, runner: Runner | None = None, sessions: Sessions | None = None) -> None:
        """Set up what all kinds have. Called by a kind's constructor when its fields are set.

        `runner` and `sessions` are for a kind that answers commands in a way of its own.
        """
        timeout_seconds(self.default_timeout)
        self.resources = set(self.resources)
        self.backend = backend
        self.runner = runner or Runner(backend, lambda: self.default_timeout)
        self._sessions = sessions or Sessions(self.runner)
        self._repeats = Repeats(self.runner, self._sessions)
        self._forwards = Forwards(self.id, backend.log)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    @property
    def description(self) -> str:
        """Where it is, in a few words, for lists that people read.

        >>> UnixHost("192.0.2.10", "tester", hop=UnixHost("gateway")).description
        'tester@192.0.2.10 via gateway'
        """
        return self.id

    @property
    def reached_through(self) -> Host | None:
        """The host that this one is reached through: a container's parent, a machine's hop; None if there is none.

        >>> web.reached_through.id
        'lab1'
        """
        return None

    def _conversation(self) -> Conversation:
        return self._sessions.conversation(DEFAULT_SESSION)

    # Commands

    def oneshot(
        self,
        cmd: Command,
        timeout: Timeout = None,
        *,
        check: bool = False,
        on_output: Sink | None = None,
        log: bool = True,
        input: Input | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | os.PathLike[str] | None = None,
        user: str | None = None,
    ) -> CommandResult:
        """Run a command in a fresh process that shares no state with others; safe from many threads at once.

        What a command leaves in the background stays when the command ends, and is ended with it when it is cut off.

        Args:
            cmd: A string is run by the host's shell; a list is run as argv, without a shell.
            timeout: Seconds; None waits as long as the command runs, unless the host has a ``default_timeout``. After
                a timeout the command is ended with all that it started, and the result says so.
            check: Raise a result that is not ok, as `CommandFailed`.
            on_output: Called with each piece of the output as it comes; the result then holds its end (1 MiB) only.
            log: False keeps the command and its output out of every log.
            input: What the command reads on stdin: a string, bytes, or a file opened in binary, which is read in pieces
                as the command takes them, a pipe as they come. None is an empty stdin.
            env: Variables for this one call, on top of the host's own. They travel as input, and show in no process
                list.
            workdir: The directory to run in, an absolute path; None is the host's own.
            user: Whom to run as: a name or a number, with or without a group as in ``"1000:1000"``. None is the host's
                own. In a container docker changes the user, on a machine sudo does: without a password, or with the
                ``sudo_password`` of `UnixHost`.

        Raises what kept the command from being started: `ConnectError`, `ContainerNotRunning`, `ShellNotFound`,
        `ConfigError` and their subclasses, also for an unknown user or directory; `AuthenticationError` when sudo
        refuses.

        >>> host.oneshot(["ls", "-l", "name with spaces"], timeout=10).stdout
        >>> host.oneshot(["psql", "shop"], input=open("dump.sql", "rb")).check()
        >>> host.oneshot("make install", user="root", workdir="/srv/app", env={"DESTDIR": "/opt"}).check()
        """
        result = self.runner.oneshot(
            cmd, timeout, on_output=on_output, log=log, input=input, env=env, workdir=workdir, user=user
        )
        return result.check() if check else result

    def start(
        self,
        cmd: Command,
        *,
        input: Input | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | os.PathLike[str] | None = None,
        user: str | None = None,
    ) -> Process:
        """Start a command in the background, and return its handle when it has begun.

        It is a `oneshot` otherwise: it ends with all that it started when its host or the parent is closed, when the
        connection is lost, and when this program ends. It has no time limit.

        Args:
            cmd: A string is run by the host's shell; a list is run as argv, without a shell.
            input: What the command reads on stdin, as for `oneshot`; ``""`` is nothing. None, the default, is what
                `Process.send` sends.
            env: As for `oneshot`; `workdir` and `user` as well.

        Raises what kept the command from being started, as `oneshot`.

        >>> with web.start(["python3", "-u", "server.py"]) as server:
        ...     server.wait_for("ready", timeout=30)
        """
        return Process(self.runner, cmd, self.runner.deadline(None), input=input, env=env, workdir=workdir, user=user)

    def open_session(self, name: str, *, size: tuple[int, int] | None = None) -> HostSession:
        """Get the persistent shell called `name`, or make one. It is opened when first used.

        Args:
            name: Any text; the same name is the same session.
            size: Columns and rows of its terminal; None is what it has, at first 200 and 50.

        Raises `ConfigError` for an empty name, and for a size below 1.

        >>> with host.open_session("log") as log:
        ...     log.sendline("tail -f /var/log/app.log"); log.expect("ready", timeout=60)
        """
        self.backend.require_sessions()
        return self._sessions.open(name, size)

    def interact(self, *, transcript: str | os.PathLike[str] | None = None) -> int | None:
        """Give the user's terminal to a shell on this host, on a channel of its own; Ctrl-] leaves.

        Returns the shell's exit status, None when the user left before it ended. The terminal is always restored.
        `transcript` names a file to record to, as asciinema v2; None records nothing. Raises `UnsupportedParentError`
        where no session can be, and what kept the shell from being started.

        >>> host.interact()
        """
        from ._shell import terminal

        with (
            self.runner.use(self.runner.deadline(None)) as deadline,
            terminal.open_terminal(
                self.runner, os.environ.get("TERM", "xterm"), terminal.local_size(), deadline
            ) as channel,
            deadline.waking(channel.close),
        ):
            return terminal.interact(channel, transcript=transcript)

    # Repeats

    @overload
    def start_repeat(
        self,
        name: str,
        cmds: str,
        interval: float,
        *,
        times: int | None = None,
        duration: float | None = None,
        until: Callable[[CommandResult], object] | None = None,
        on_result: Callable[[CommandResult], object] | None = None,
        max_history: int = 1000,
    ) -> None: ...
    @overload
    def start_repeat(
        self,
        name: str,
        cmds: CommandList,
        interval: float,
        *,
        times: int | None = None,
        duration: float | None = None,
        until: Callable[[RunResult], object] | None = None,
        on_result: Callable[[RunResult], object] | None = None,
        max_history: int = 1000,
    ) -> None: ...
    def start_repeat(
        self,
        name: str,
        cmds: str | CommandList,
        interval: float,
        *,
        times: int | None = None,
        duration: float | None = None,
        until: Callable[..., object] | None = None,
        on_result: Callable[..., object] | None = None,
        max_history: int = 1000,
    ) -> None:
        """Run commands every `interval` seconds on a thread of their own, until stopped.

        A run that takes longer than the interval delays the next; a failure is recorded, and does not end the repeat.

        Args:
            name: What `stop_repeat` and `repeat_results` call it.
            cmds: A command, or a list of them, as `run` takes it.
            interval: Seconds from one start to the next.
            times: Ends after so many runs; None does not.
            duration: Ends after so many seconds; None does not.
            until: Ends when ``until(result)`` is true.
            on_result: Called with each result.
            max_history: How many results are kept.

        Raises `ConfigError` for a name that runs already, and for numbers that are not positive.

        >>> host.start_repeat("load", "cat /proc/loadavg", 5.0)
        """
        self._repeats.start(
            name,
            cmds,
            interval,
            times=times,
            duration=duration,
            until=until,
            on_result=on_result,
            max_history=max_history,
        )

    def stop_repeat(self, name: str) -> None:
        """Stop the repeat called `name`, and wait for it to end; its results stay. Raises `ConfigError` if unknown."""
        self._repeats.stop(name)

    def stop_all_repeats(self) -> None:
        """Stop every repeat of this host."""
        self._repeats.stop_all()

    def repeat_results(self, name: str) -> list[Repeated]:
        """Return what the repeat called `name` has returned so far, oldest first.

        A `CommandResult` for each run, a `RunResult` where a list of commands is repeated.
        """
        return self._repeats.results(name)

    # Life

    def is_running(self) -> bool:
        """Return whether commands can be run on this host now. Starts nothing.

        >>> host.is_running()
        True
        """
        try:
            return self.oneshot(":", timeout=10, log=False).ok
        except OttoError:
            return False

    def close_sessions(self) -> None:
        """End all sessions and what was started from them; connections and oneshots stay. The next call opens anew.

        >>> host.close_sessions()
        """
        self._sessions.close()

    def rebuild_connections(self) -> None:
        """Drop sessions and all that may be stale; the next call opens anew. Connects nothing itself."""
        self._end_calls("the connections were rebuilt")

    def close(self) -> None:
        """Stop repeats and forwards, end sessions and what is in flight, and close the connections this host owns.

        From any thread. Idempotent; use after close opens anew.
        """
        self._repeats.stop_all()
        self._forwards.close()
        self._end_calls("the host was closed")

    def _end_calls(self, reason: str) -> None:
        with self.runner.cancel_calls(reason):
            self._sessions.close()
            self.runner.spares.close(Deadline.grace(CLOSE_TIME))
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def aio(self) -> AsyncHost:
        """The same verbs for ``async`` callers.

        >>> await host.aio.run("make")
        """
        from .aio import AsyncHost

        return AsyncHost(self)

    @cached_property
    def testinfra(self) -> Any:
        """The modules of pytest-testinfra on this host: ``file``, ``service``, ``package``, ``process``, and so on.

        Each of their commands is a `oneshot`. Needs the extra ``testinfra``; raises `ConfigError` without it.

        >>> assert host.testinfra.file("/etc/passwd").mode == 0o644
        >>> assert host.testinfra.service("sshd").is_running
        """
        try:
            with explain_no_descriptors(f"{self.id}: the library cannot load its code for testinfra"):
                from ._verbs.testinfra import open_testinfra
        except ModuleNotFoundError as missing:
            raise ConfigError(
                f"{self.id}: host.testinfra needs {missing.name}, which is not installed: "
                "pip install 'otto-docker-sync[testinfra]'"
            ) from missing
        return open_testinfra(self.runner)
