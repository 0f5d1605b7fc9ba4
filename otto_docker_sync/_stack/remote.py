"""One Compose stack on one parent: brought up, taken down, listed, held, and its log read."""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
import tempfile
from collections.abc import Generator, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from .._channel import scripts
from .._docker import read_log_text
from .._shell import TextStream
from .._transfer import put
from ..deadline import Deadline, shielded
from ..errors import ComposeError, ConnectionLost
from ..host import Host
from ..limits import MAX_RESTARTS, ROLLBACK_TIME, RUNNING_TIME, SHOWN_COMPOSE
from .compose_config import add_places
from .containers import StackContainer, read_containers
from .lease import Lease
from .project_files import ProjectFiles
from .read_config import check_parents_paths, check_services, read_config
from .report import LoggedLines, ScriptReport
from .script_runner import ScriptTimedOut, StackScripts
from .tree import Tree

Lines = Generator[str, None, None]

logger = logging.getLogger("otto_docker_sync.compose")


class RemoteStack:
    """The containers of one compose project on one parent. It has no state; any thread may use it.

    All state is on the parent, see ``prelude.sh``.
    """

    def __init__(self, parent: Host, compose_project: str) -> None:
        self.parent = parent
        self.compose_project = compose_project
        self._scripts = StackScripts(parent, compose_project)

    def __str__(self) -> str:
        return str(self._scripts)

    def up(
        self,
        files: ProjectFiles,
        declared: Iterable[str],
        deadline: Deadline,
        *,
        build: bool,
        keep: bool = False,
        ensure: str = "",
    ) -> list[StackContainer]:
        """Bring the stack up, and return its containers. Those of the `declared` services run, and no other is dead.

        With `keep`, it outlives the runs that share it. With `ensure`, nothing is done when this service runs already.
        Raises `ComposeError`, after what was not up before has been taken down, and `ConfigError` before anything was
        started.
        """
        compose = self._scripts.find_compose(deadline)
        declared = list(declared)
        logger.info("%s: up", self)
        config, present = read_config(self._scripts, files, deadline)
        check_services(config.services, declared, files.compose_files)
        chosen = config.chosen(declared)
        check_parents_paths(self._scripts, config.parents_paths(chosen), deadline)
        places = list(config.places(chosen))
        root = files.root_with([place.path if place.is_context else place.path.parent for place in places])
        tree = Tree(root)
        for path in files.texts:
            tree.add_file(path)
        add_places(tree, places)
        if tree.left_out.message:
            logger.warning("%s: %s", self, tree.left_out.message)
        texts = {
            **files.side_files(root, compose.kind),
            "files": tree.manifest().encode("utf-8", "surrogateescape"),
            "services": "".join(f"{name}\n" for name in config.services).encode(),
        }
        digest = hashlib.sha256(b"\0".join(texts.values())).hexdigest()
        all_active = set(chosen) <= set(config.active)
        values: dict[str, str | int] = {
            "digest": digest,
            "options": "--build" if build else compose.start_only,
            # Naming a service starts it though its profile is not active.
            "names": "" if all_active else " ".join(["--", *chosen]),
            "wanted": " ".join(declared),
            "expected": " ".join(chosen),
            "ensure": ensure,
            "keep": "keep" if keep else "",
            "update": scripts.script(__package__, "update"),
            "moment": str(RUNNING_TIME),
            "restarts": MAX_RESTARTS,
            "tail": SHOWN_COMPOSE,
        }
        try:
            report = self._send_and_start(tree, texts, present, values, deadline)
        except ScriptTimedOut as late:
            if not ensure:
                self._take_back(late.report)
            raise
        if "lost" in report:
            raise ComposeError(f"{self}: after docker compose up, {_describe_losses(report)}")
        return read_containers(report)

    def check(self, files: ProjectFiles, declared: Iterable[str], deadline: Deadline) -> None:
        """Raise `ConfigError` for what `up` would refuse before it starts anything. Starts nothing."""
        config, _ = read_config(self._scripts, files, deadline)
        check_services(config.services, declared, files.compose_files)

    def _send_and_start(
        self, tree: Tree, texts: dict[str, bytes], present: str, values: dict[str, str | int], deadline: Deadline
    ) -> ScriptReport:
        """Run ``up.sh``, after sending it the project where what is `present` has another digest."""
        digest = str(values["digest"])
        with tempfile.TemporaryDirectory(prefix="otto-docker-") as scratch:
            archive = Path(scratch) / f"{digest}.tgz"
            while True:
                with ExitStack() as sending:
                    if present != digest:
                        if not archive.exists():
                            tree.pack(archive, texts)
                        # Or else somebody who takes the stack down could remove the directory before it is used.
                        lease = self.lease(deadline)
                        sending.callback(lease.release)
                        self._upload(archive, lease.directory, deadline)
                    report = self._scripts.call("up", deadline, "docker compose up", LoggedLines(f"{self}: "), **values)
                if "again" not in report:
                    return report
                present = ""  # somebody else took the stack down, or brought up another version, meanwhile

    def _take_back(self, report: ScriptReport) -> None:
        """Take down what ``up.sh`` had started when it was cut off."""
        limit = Deadline.grace(ROLLBACK_TIME)
        if "was-up" not in report:
            return
        if not report.first("was-up"):
            shielded(lambda: self.down(limit, if_last=True, settling=True))
        elif "starting" in report:
            before = {
                name: report.first(name.replace("_", "-")) for name in ("was_up", "services_before", "networks_before")
            }
            shielded(lambda: self._scripts.call("roll_back", limit, "taking back what was started", **before))

    def _upload(self, archive: Path, directory: str, deadline: Deadline) -> None:
        result = put(self.parent.backend, archive, directory, mode=0o600, progress=None, deadline=deadline)
        if not result.ok:
            deadline.check()
            result.check()

    def down(
        self,
        deadline: Deadline,
        *,
        stop_timeout: int = 1,
        volumes: bool = False,
        if_last: bool = False,
        settling: bool = False,
    ) -> bool:
        """Take the stack down, and its directory away; returns whether it was.

        With `if_last`, it stays when others use it. `settling`: a Compose that was cut off may have left work behind.
        """
        logger.info("%s: %s", self, "leave" if if_last else "down")
        report = self._scripts.call(
            "down",
            deadline,
            "docker compose down",
            stop_timeout=stop_timeout,
            volumes="--volumes" if volumes else "",
            if_last="yes" if if_last else "",
            settling="yes" if settling else "",
        )
        if "left" in report:
            logger.warning(
                "%s: %s holds files that containers wrote as another user; remove it there", self, report.first("left")
            )
        return not ("kept" in report or "shared" in report)

    def containers(self, deadline: Deadline, *, everywhere: bool = False) -> list[StackContainer]:
        """Return its containers in the order of services and numbers, stopped ones too, but no one-off ones.

        With `everywhere`, those of all stacks of the parent.
        """
        report = self._scripts.call("list", deadline, "docker ps", everywhere="yes" if everywhere else "")
        return read_containers(report)

    def lease(self, deadline: Deadline) -> Lease:
        """Hold the stack: until the lease ends, nobody's leaving takes it down."""
        return Lease(*self._scripts.start("lease", deadline), deadline)

    def logs(
        self, files: ProjectFiles, service: str | None, *, follow: bool, tail: int | None, deadline: Deadline
    ) -> Lines:
        """The lines that its containers wrote; with `follow`, until these end or the iterator is closed."""
        options = [*(["--follow"] if follow else []), *([f"--tail={tail}"] if tail is not None else [])]
        compose = self._scripts.find_compose(deadline)
        channel, nonce = self._scripts.start("logs", deadline, options=shlex.join(options), service=service or "")
        stream, text = TextStream(newlines=True), ""
        try:
            while not (chunk := channel.read(deadline)).ended:
                *lines, text = (text + stream.feed(chunk.out)).split("\n")
                report = ScriptReport.parse("\n".join(lines), nonce)
                if "down" in report:
                    if service is not None:
                        services = read_config(self._scripts, files, deadline)[0].services
                        check_services(services, [service], files.compose_files)
                    raise ComposeError(f"{self} is not up")
                if "unknown" in report:
                    check_services(report.first("unknown").split(), [str(service)], files.compose_files)
                yield from (line for line in lines if _is_log_line(line, compose.kind))
            if text:
                yield text
        finally:
            with suppress(ConnectionLost):
                channel.write_some(b"end\n")
            channel.close()


def _describe_losses(report: ScriptReport) -> str:
    texts = []
    for service, section in report.sections("lost"):
        states = " and ".join(section.all("state")) or "there is no such container"
        words = read_log_text("\n".join(section.other))[-SHOWN_COMPOSE:]
        shown = "\n".join(words) or section.last_lines()
        texts.append(f"{service.removesuffix('#1')} does not run: {states}.\n{shown}")
    return "\n".join(texts)


def _is_log_line(line: str, kind: str) -> bool:
    """Whether a container wrote it: Compose puts the container's name in front."""
    return kind == "podman" or re.match(r"\S+ +\|", line) is not None
