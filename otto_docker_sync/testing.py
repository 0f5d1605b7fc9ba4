"""A host for unit tests of your own code: it answers what you scripted, and runs nothing.

>>> from otto_docker_sync.testing import Reply, ScriptedHost
>>> host = ScriptedHost({"uname -s": "Linux\\n", "systemctl is-active app": Reply("failed\\n", retcode=3)})
>>> host.oneshot("uname -s").output
'Linux\\n'
>>> host.commands
['uname -s']
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ._channel.backend import Backend, Program
from ._channel.base import Channel
from ._shell import Capture, CommandInput, Conversation, Input, Outcome, Runner, command_text
from ._testing.script import AnyReply, Reply, Script, UnexpectedCommand
from ._transfer import PathOperations
from ._verbs import FileVerbs
from ._verbs.path import RemotePath, RemotePaths
from ._verbs.path_parts import as_pure, as_texts
from ._verbs.waiting import LogPattern, Patience, conditions_of
from .deadline import Deadline, DeadlineExpired, Timeout
from .errors import RemoteFileError, WaitTimedOut
from .host import Host
from .local_host import LocalBackend
from .logs import HostLog
from .process import Process
from .result import Command, ExpectMatch, FileProgress, Paths, TransferResult
from .session import Sessions

__all__ = ["Reply", "ScriptedHost", "UnexpectedCommand"]

LOOKS = 20
"""How often ``wait_for(command=…)`` runs a command that fails."""


class ScriptedBackend(Backend):
    """What is below the scripted host. It starts nothing; its files are in a directory of this machine."""

    def __init__(self, id: str, log: HostLog, script: Script, root: Path | None) -> None:
        super().__init__(id, "sh", log)
        self.script = script
        self._root = root
        self._local = LocalBackend(id, "sh", HostLog(id, log=False), ())
        self.local_runner = Runner(self._local, lambda: None)

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        del deadline
        raise UnexpectedCommand(
            f"{self.id}: a scripted host starts no program, and the code under test needs {program.argv!r}"
        )

    def run_as(self, user: str | None, workdir: str | None) -> Backend:  # noqa: ARG002 (the script does not ask)
        return self

    def locate(self, path: str) -> str:
        """Where a path of the host is on this machine."""
        if self._root is None:
            raise UnexpectedCommand(
                f"{self.id}: the code under test uses the file {path}: pass files=, a directory to be the host's /"
            )
        return str(self._root / path.removeprefix("~").lstrip("/"))

    def shown(self, path: str) -> str:
        """The host's name of a path on this machine."""
        return f"/{os.path.relpath(path, self._root)}" if self._root else path

    def close(self) -> None:
        self._local.close()


class ScriptedRunner(Runner):
    """Answers oneshots."""

    backend: ScriptedBackend

    def _run_to_end(
        self,
        backend: Backend,  # noqa: ARG002 (it is ours)
        cmd: Command,
        deadline: Deadline,  # noqa: ARG002 (there is nothing to wait for)
        capture: Capture,
        environment: Mapping[str, str],  # noqa: ARG002 (the script does not ask)
        stdin: CommandInput | None,
    ) -> Outcome:
        capture.separate_streams = True
        if stdin is not None:
            self.backend.script.inputs.append(stdin.read_all())
        return self.backend.script.run(command_text(cmd), capture)


class ScriptedConversation(Conversation):
    """Answers what is run and typed in a session."""

    _backend: ScriptedBackend
    _is_open = False

    @property
    def alive(self) -> bool:
        return self._is_open

    def _ready_shell(self, deadline: Deadline) -> Any:  # noqa: ARG002 (there is nothing to wait for)
        self._end = None
        self._is_open = True
        return None, False

    def _run_locked(self, command: str, responder: Any, deadline: Deadline, capture: Capture) -> Outcome:
        self._ready_shell(deadline)
        script = self._backend.script
        outcome = script.run(command, capture)
        for answer in responder.feed(capture.output.text()):
            script.typed.append(answer if isinstance(answer, str) else answer.decode())
        return outcome

    def _type(self, data: bytes, action: str, deadline: Deadline) -> None:  # noqa: ARG002
        self._matcher.feed(self._backend.script.type(data.decode()))

    def _pump_and_search(self, shell: Any, patterns: Any, deadline: Deadline) -> ExpectMatch | None:  # noqa: ARG002
        raise DeadlineExpired  # nothing more will come, however long anybody waits

    def close(self, deadline: Deadline) -> None:
        super().close(deadline)
        self._is_open = False
        self._matcher.take()


class ScriptedSessions(Sessions):
    """The sessions of a scripted host."""

    make_conversation = ScriptedConversation


class ScriptedProcess(Process):
    """A started command that has written all, and ended, at once."""

    def _run(self, deadline: Deadline) -> Outcome:  # noqa: ARG002 (there is nothing to wait for)
        backend: Any = self._runner.backend
        self._record.capture.separate_streams = True
        if given := self._stdin.read_all():
            backend.script.inputs.append(given)
        return backend.script.run(self.command, self._record.capture)  # type: ignore[no-any-return]


class ScriptedOperations(PathOperations):
    """What can be done with a path, in a directory of this machine."""

    def __init__(self, backend: ScriptedBackend, path: str) -> None:
        super().__init__(backend.local_runner, backend.locate(path))
        self._backend = backend
        self._shown = path

    @property
    def _label(self) -> str:
        return f"{self._backend.id}: {self._shown}"

    def _error(self, text: str) -> RemoteFileError:
        error = super()._error(text)
        error.filename = self._shown
        return error

    def change(self, function: str, *arguments: str) -> None:
        # Some of them have another path among their arguments.
        index = {"rename_to": 0, "make_directory": 1}.get(function)
        if index is not None and arguments[index]:
            located = self._backend.locate(arguments[index])
            arguments = (*arguments[:index], located, *arguments[index + 1 :])
        super().change(function, *arguments)


class ScriptedPath(RemotePath):
    """A path of a scripted host."""

    def _operations(self) -> PathOperations:
        backend: Any = self._runner.backend
        return ScriptedOperations(backend, str(self))


class ScriptedHost(Host):
    """A host that answers what it was told to, in tests of code that takes a host. Needs no machine and no docker.

    It is a `Host`: `run`, `oneshot`, `start`, sessions, `send`, `expect` and ``aio`` work on the script, and their
    results are made as those of any host. An `expect` of what is not there ends at once. A command that is not scripted
    raises `UnexpectedCommand`, an ``AssertionError``.

    Args:
        replies: What each command does. A key is the text of a command (for a list, as `shlex.join` writes it), or a
            compiled pattern that matches all of it; texts are looked at first, then patterns in their order. A value is
            what it prints on stdout (``str`` or ``bytes``), a `Reply`, a `CommandResult`, an error that is raised, a
            function that is called with the command, or with the match, and returns one of these, or a list: one for
            each time, the last for all later ones. What is typed by ``send`` is a key as well, without the line end.
        id: The id of the host.
        files: A directory of this machine that is the host's ``/`` for `path`, `put` and `get`. None, the default,
            refuses these.
        default_timeout: As that of other hosts; a scripted command takes no time.
        log: False keeps commands and output out of the log.

    >>> host = ScriptedHost({"su": "Password: ", "secret": "# ", re.compile("kill -9 [0-9]+"): ""})
    >>> host.sendline("su"); host.expect("word: "); host.sendline("secret")
    >>> host.typed
    ['su\\n', 'secret\\n']
    """

    kind = "scripted"

    def __init__(
        self,
        replies: Mapping[str | re.Pattern[str], AnyReply] | None = None,
        *,
        id: str = "scripted",
        files: str | os.PathLike[str] | None = None,
        default_timeout: Timeout = None,
        log: bool = True,
    ) -> None:
        self.id = self.name = id
        self.shell = "sh"
        self.log, self.log_stdout = log, True
        self.resources = set()
        self.default_timeout = default_timeout
        self._script = Script(replies or {})
        self._scripted = ScriptedBackend(id, HostLog(id, log), self._script, None if files is None else Path(files))
        runner = ScriptedRunner(self._scripted, lambda: self.default_timeout)
        self._init(self._scripted, runner=runner, sessions=ScriptedSessions(runner))

    @property
    def replies(self) -> dict[str | re.Pattern[str], AnyReply]:
        """The script. What is changed in it holds from now on."""
        return self._script.replies

    @property
    def commands(self) -> list[str]:
        """The commands that were run so far, in order, as text."""
        return self._script.commands

    @property
    def typed(self) -> list[str]:
        """What was typed so far, by ``send``, ``sendline`` and as answers to prompts (``expects=``)."""
        return self._script.typed

    @property
    def inputs(self) -> list[bytes]:
        """What ``oneshot(input=…)`` and ``start(input=…)`` gave the commands that were given any, in order."""
        return self._script.inputs

    def is_running(self) -> bool:
        """Return True; change ``host.is_running`` where a test needs another answer."""
        return True

    def start(
        self,
        cmd: Command,
        *,
        input: Input | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | os.PathLike[str] | None = None,
        user: str | None = None,
    ) -> Process:
        deadline = self.runner.deadline(None)
        return ScriptedProcess(self.runner, cmd, deadline, input=input, env=env, workdir=workdir, user=user)

    def wait_for(
        self,
        *,
        healthy: bool = False,
        port: int | None = None,
        http: str | None = None,
        log: LogPattern | None = None,
        command: Command | None = None,
        timeout: Timeout = 60.0,
    ) -> None:
        """As `Host.wait_for`, without waiting: a `command` is asked for LOOKS times, once with a `timeout` of 0, and
        everything else holds."""
        conditions_of(self.id, healthy=healthy, port=port, http=http, log=log, command=command)
        looks = 1 if Patience.after(timeout).once else LOOKS
        if command is not None and not any(self.oneshot(command) for _ in range(looks)):
            raise WaitTimedOut(f"{self.id}: command {command_text(command)!r} did not hold in time")

    def path(self, path: str | os.PathLike[str]) -> RemotePath:
        return ScriptedPath(self.runner, as_pure(path))

    def put(
        self,
        src_files: Paths,
        dest_dir: str | os.PathLike[str] | RemotePath,
        *,
        timeout: Timeout = None,
        mode: int | None = None,
        owner: str | None = None,
        preserve_times: bool = False,
        progress: Callable[[FileProgress], object] | None = None,
    ) -> TransferResult:
        del owner  # everything here belongs to who runs the test
        destination = self._scripted.locate(str(as_pure(dest_dir)))
        result = LocalFiles(self._scripted.local_runner).put(
            src_files, destination, timeout=timeout, mode=mode, preserve_times=preserve_times, progress=progress
        )
        shown = {
            source: replace(each, destination=self._scripted.shown(each.destination)) for source, each in result.items()
        }
        return TransferResult(shown, self.id)

    def get(
        self,
        src_files: RemotePaths,
        dest_dir: str | os.PathLike[str],
        *,
        timeout: Timeout = None,
        preserve_times: bool = False,
        progress: Callable[[FileProgress], object] | None = None,
    ) -> TransferResult:
        texts = as_texts(src_files)
        given = [os.fspath(path) for path in (texts if isinstance(texts, list) else [texts])]
        located = {self._scripted.locate(path): path for path in given}
        result = LocalFiles(self._scripted.local_runner).get(
            list(located), dest_dir, timeout=timeout, preserve_times=preserve_times, progress=progress
        )
        shown = {located[source]: replace(each, source=located[source]) for source, each in result.items()}
        return TransferResult(shown, self.id)


class LocalFiles(FileVerbs):
    """The verbs for files of this machine."""

    def __init__(self, runner: Runner) -> None:
        self.backend = runner.backend
        self.runner = runner
