"""Robot Framework's SSHLibrary, called from Python."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.target import Target

from .base import Marker, Session, Tool, load


class SSHLibrarySession(Session):
    """A shell of a connection of its own: a connection has one."""

    def __init__(self, library: Any, argv: list[str]) -> None:
        self._library = library
        self._library.write(shlex.join(argv))

    def run(self, command: str) -> str:
        marker = Marker()
        # `Write` would read a line, which is the output's where nothing is echoed.
        self._library.write_bare(f"{command}; {marker.command}\n")
        output: str = self._library.read_until(marker.shown)
        return output

    def close(self) -> None:
        self._library.write_bare("exit\n")
        self._library.close_connection()


class SSHLibrary(Tool):
    """One connection for everything but shells."""

    name = "SSHLibrary"
    package = "robotframework-sshlibrary"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        self._library = self.connect()
        stack.callback(self._library.close_all_connections)

    def connect(self) -> Any:
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        library = load("SSHLibrary").SSHLibrary()
        library.open_connection(self.target.host, port=self.target.port, timeout="120 s")
        library.login_with_public_key(self.target.user, self.target.identity_file)
        return library

    def open_session(self, number: int = 0) -> Session:
        return SSHLibrarySession(self.connect(), self.docker_exec("-it", container=self.container_of(number)))

    def oneshot(self, command: str) -> str:
        text = shlex.join([*self.docker_exec("-i"), "-c", command])
        output, status = self._library.execute_command(text, return_rc=True)
        if status:
            raise OSError(f"the command failed with {status}")
        return str(output)

    def on_parent(self, command: str) -> None:
        output, status = self._library.execute_command(command, return_stdout=False, return_stderr=True, return_rc=True)
        if status:
            raise OSError(output)

    def put(self, sources: Sequence[Path], directory: str) -> None:
        stage = self.new_stage()
        for source in sources:
            if source.is_dir():
                self._library.put_directory(str(source), stage)
            else:
                self._library.put_file(str(source), f"{stage}/")
        self.stage_to_container(stage, directory)

    def get(self, sources: Sequence[str], directory: Path) -> None:
        stage = self.new_stage()
        self.container_to_stage(sources, stage)
        self._library.get_directory(stage, str(directory), recursive=True)
        self.on_parent(f"rm -rf {stage}")
