"""Fabric."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.target import Target

from .base import Tool, load


class Fabric(Tool):
    """One `Connection`."""

    name = "Fabric"
    package = "fabric"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        self._connection = load("fabric").Connection(
            target.host, user=target.user, port=target.port, connect_kwargs={"key_filename": target.identity_file}
        )
        stack.callback(self._connection.close)
        self.on_parent("true")

    def oneshot(self, command: str) -> str:
        text = shlex.join([*self.docker_exec("-i"), "-c", command])
        # For each piece of output it joins all that came before: 100 MB would take it most of an hour.
        output: str = self._connection.run(text, hide=True, in_stream=False, timeout=60).stdout
        return output

    def on_parent(self, command: str) -> None:
        self._connection.run(command, hide=True, in_stream=False)

    def put(self, sources: Sequence[Path], directory: str) -> None:
        stage = self.new_stage()
        for source in sources:
            for file in sorted(source.iterdir()) if source.is_dir() else [source]:
                self._connection.put(str(file), f"{stage}/{file.name}")
        self.stage_to_container(stage, directory)

    def get(self, sources: Sequence[str], directory: Path) -> None:
        stage = self.new_stage()
        self.container_to_stage(sources, stage)
        for file in sorted(Path(stage).rglob("*")):  # the parent is this machine, so no listing is counted
            if file.is_file():
                self._connection.get(str(file), str(directory / file.name))
        self.on_parent(f"rm -rf {stage}")
