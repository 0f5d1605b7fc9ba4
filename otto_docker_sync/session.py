"""Persistent shells on a host, and the verbs that talk to one."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, overload

from ._shell import CommandList, Conversation, Runner, Sink
from .arguments import check_typed
from .deadline import Deadline, Timeout
from .errors import ConfigError
from .limits import CLOSE_TIME, KILL_TIME
from .result import CommandResult, ExpectMatch, Expects, Patterns, RunResult

if TYPE_CHECKING:
    from .aio import AsyncSession


DEFAULT_SESSION = "default"


class SessionVerbs(ABC):
    """The verbs that talk to a persistent shell: a host's own, on its default session, and those of each session."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConfigError(
            f"{self!r} cannot be copied or pickled: it owns sessions, and may own connections; "
            "make another one with the same arguments, in a process of its own where that is needed"
        )

    @abstractmethod
    def _conversation(self) -> Conversation:
        """Return what the verbs talk to."""

    @overload
    def run(  # type: ignore[overload-overlap]  # a str is a Sequence[str], too: the first one is meant for it
        self,
        cmd: str,
        expects: Expects = None,
        timeout: Timeout = None,
        *,
        check: bool = False,
        on_output: Sink | None = None,
        log: bool = True,
    ) -> CommandResult: ...
    @overload
    def run(
        self,
        cmd: CommandList,
        expects: Expects = None,
        timeout: Timeout = None,
        *,
        check: bool = False,
        on_output: Sink | None = None,
        log: bool = True,
    ) -> RunResult: ...
    def run(
        self,
        cmd: str | CommandList,
        expects: Expects = None,
        timeout: Timeout = None,
        *,
        check: bool = False,
        on_output: Sink | None = None,
        log: bool = True,
    ) -> CommandResult | RunResult:
        """Run a command on a persistent shell: ``cd``, variables, functions and options last from call to call.

        On a host this is the shell of its default session, on a session its own.

        Args:
            cmd: The command, as text for the shell. A list of commands (strings or `ShellCommand`) is run in order
                under one `timeout`: one that fails does not stop the others, and those for which no time is left
                are SKIPPED.
            expects: Answers prompts while the command runs: pattern to answer, as a mapping or as pairs. An answer
                is sent as it is, so most need a line end.
            timeout: Seconds; None waits as long as the command runs, unless the host has a ``default_timeout``.
                After a timeout the command is gone and the shell is usable, with its state if that is possible;
                ``session_ended`` and ``new_session`` of the result tell when it was not.
            check: Raise a result that is not ok, as `CommandFailed`.
            on_output: Called with each piece of the output as it comes; the result then holds its end (1 MiB) only.
            log: False keeps the command and its output out of every log.

        Raises what kept the command from being started: `ConnectError`, `ContainerNotRunning`, `ShellNotFound`,
        `SessionBusy`, `ConfigError` and their subclasses. What happens later is in the result.

        >>> host.run("sudo -k id", expects={"password": "secret\\n"}, timeout=10).check()
        """
        result = self._conversation().run(cmd, expects, timeout, on_output, log=log)
        return result.check() if check else result

    def send(self, text: str) -> None:
        """Type `text`, and nothing more; opens the shell when there is none.

        Raises `ConfigError` for a line of 4,095 bytes or more, which a terminal would cut, `SessionClosed` when the
        shell ends, `SessionBusy` when the remote terminal accepts no more input before the host's ``default_timeout``.

        >>> session.send("y"); session.expect("sure")
        """
        self._conversation().send(check_typed("send", text))

    def sendline(self, text: str = "") -> None:
        """Type `text` and a line end. Raises as `send`.

        >>> session.sendline("python3"); session.expect(">>> ")
        """
        self.send(check_typed("sendline", text) + "\n")

    def sendcontrol(self, char: str) -> None:
        """Type a control character. `char` is ``"c"`` for Ctrl-C, any letter, or one of ``@[\\]^_?``.

        Raises as `send`, and `ConfigError` for another `char`.

        >>> session.sendcontrol("z")
        """
        number = ord(char.upper()) ^ 0x40 if isinstance(char, str) and len(char) == 1 else -1
        if not (0 <= number < 32 or number == 127):
            raise ConfigError(f"sendcontrol({char!r}): pass one letter, or one of @[\\]^_?")
        self.send(chr(number))

    def sendeof(self) -> None:
        """Type Ctrl-D, which ends the input of a program that reads it line by line, if the line is empty so far.

        The shell itself stays. Raises as `send`.

        >>> session.sendline("cat > notes"); session.sendline("remember"); session.sendeof()
        """
        self.sendcontrol("d")

    def expect(self, pattern: Patterns, timeout: Timeout = 10.0) -> ExpectMatch:
        """Wait for a pattern, and return all data up to and including the match; what follows stays.

        Args:
            pattern: A regex (a string, or bytes in UTF-8, compiled with ``re.DOTALL``), a compiled one,
                ``pexpect.EOF``, ``pexpect.TIMEOUT``, or a list of these: the earliest match in the stream wins, ties
                go to the order of the list. Line ends of the stream are ``\\n``; ``\\r\\n`` in a pattern matches them.
            timeout: Seconds; None waits forever.

        Raises `ExpectTimeout` (what arrived is in ``before``, and stays for the next call), `SessionClosed` when the
        shell ends, `SessionBusy` when another thread uses the session, `ConfigError` for a pattern that is not valid.

        After the end of the shell, ``pexpect.EOF`` is found as often as it is expected, and everything else raises
        `SessionClosed`, until `run`, `close` or ``open_session`` lets a new shell be opened.

        >>> session.sendline("passwd"); session.expect(["New password: ", "denied"]).index
        0
        """
        return self._conversation().expect(pattern, timeout)

    def expect_exact(self, pattern: Patterns, timeout: Timeout = 10.0) -> ExpectMatch:
        """Wait for a text in which no character has a special meaning; otherwise as `expect`.

        Args:
            pattern: A string, bytes in UTF-8, ``pexpect.EOF``, ``pexpect.TIMEOUT``, or a list of these.
            timeout: Seconds; None waits forever.

        >>> session.expect_exact("Continue? [y/n] ")
        """
        return self._conversation().expect_exact(pattern, timeout)

    def read_available(self, timeout: Timeout = 0.0) -> str:
        """Return, and consume, all that has arrived and that no `expect` has taken.

        Args:
            timeout: How long, in seconds, to wait for the first of it where there is nothing yet.

        Raises `SessionClosed` when there is nothing and the shell has ended, `SessionBusy` as `expect`.

        >>> session.sendline("date"); session.read_available(timeout=1)
        """
        return self._conversation().read_available(timeout)


class HostSession(SessionVerbs):
    """A shell of its own on a host, opened when first used. `run` opens it again after it has ended.

    It owns that shell. Any thread may call: `run` and `expect` take turns; `send` gets through while an `expect`
    waits. Made by ``host.open_session(name)``.

    >>> with host.open_session("build") as build:
    ...     build.run("cd /src")
    ...     build.run("make", timeout=600).check()
    """

    def __init__(self, conversation: Conversation) -> None:
        self._own = conversation

    def _conversation(self) -> Conversation:
        return self._own

    def __repr__(self) -> str:
        return f"<HostSession {self.name!r} of {self._own.host_id} {'alive' if self.alive else 'not open'}>"

    def __enter__(self) -> HostSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The name under which the host knows it."""
        return self._own.name

    @property
    def alive(self) -> bool:
        """Whether its shell is open, as far as anybody noticed. Asks nobody."""
        return self._own.alive

    @property
    def aio(self) -> AsyncSession:
        """The same verbs for ``async`` callers.

        >>> await session.aio.run("make")
        """
        from .aio import AsyncSession

        return AsyncSession(self)

    def resize(self, columns: int, rows: int) -> None:
        """Give the session's terminal a size in `columns` and `rows`, also for shells that are opened later.

        Raises `ConfigError` for numbers below 1.

        >>> session.resize(132, 43)
        """
        self._own.resize(columns, rows)

    def interrupt(self) -> None:
        """Type Ctrl-C, from any thread: a command in flight gets it, and ends as it likes.

        >>> threading.Timer(5, session.interrupt).start(); session.run("make test").retcode
        130
        """
        self._own.interrupt()

    def close(self) -> None:
        """End the shell and everything that was started from it.

        From any thread, in seconds also when the connection is dead; a command in flight ends with a result that says
        so. Idempotent; use after close opens a new shell.
        """
        self._own.close(Deadline.grace(KILL_TIME))


class Sessions:
    """The sessions of one host, by name. Any thread may call."""

    make_conversation = Conversation
    """What a new session talks through is made by this."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._lock = threading.Lock()
        self._by_name: dict[str, tuple[HostSession, Conversation]] = {}

    def open(self, name: str, size: tuple[int, int] | None = None) -> HostSession:
        """Return the session called `name`, made when there is none."""
        session, conversation = self._get(name)
        conversation.reopen()
        if size is not None:
            if not isinstance(size, tuple) or len(size) != 2:
                raise ConfigError(f"open_session({name!r}): size={size!r}: pass (columns, rows)")
            conversation.resize(*size)
        return session

    def conversation(self, name: str) -> Conversation:
        """Return what the session called `name` talks through."""
        return self._get(name)[1]

    def _get(self, name: str) -> tuple[HostSession, Conversation]:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{self._runner.backend.id}: open_session({name!r}): name the session with a string")
        with self._lock:
            if name not in self._by_name:
                conversation = self.make_conversation(self._runner, name)
                self._by_name[name] = HostSession(conversation), conversation
            return self._by_name[name]

    def close(self) -> None:
        """End the shells of all sessions. The sessions stay, and open new ones when they are used."""
        with self._lock:
            conversations = [conversation for _, conversation in self._by_name.values()]
        deadline = Deadline.grace(CLOSE_TIME)
        wardens = self._runner.wardens
        # One order to the warden ends all shells at once. What is left are those of wardens that were killed.
        wardens.close(deadline)
        for conversation in conversations:
            conversation.close(deadline)
        wardens.close(deadline)  # of one that was started to end what a killed one had left
