"""One Compose stack on one parent: the scripts that work on it, called and understood."""

from __future__ import annotations

import hashlib
import logging
import math
import posixpath
import re
import shlex
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, suppress
from contextvars import copy_context
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from .._channel import scripts
from .._channel.base import Channel
from .._channel.markers import new_nonce
from .._docker import docker_error, read_log_text
from .._shell import TextStream
from .._transfer import put
from ..deadline import Deadline, DeadlineExpired, cancellation
from ..errors import ComposeError, ComposeFileError, ConfigError, ConnectionLost
from ..host import Host
from ..limits import MAX_MISSED, MAX_RESTARTS, ROLLBACK_TIME, RUNNING_TIME, SHOWN_COMPOSE
from ..project import did_you_mean
from ..result import CommandResult, Status
from .compose_config import ComposeConfig, add_places
from .containers import ROW, StackContainer, read_containers
from .lease import Lease
from .project_files import ProjectFiles
from .report import LoggedLines, ScriptReport
from .tree import Tree

T = TypeVar("T")
Lines = Generator[str, None, None]

logger = logging.getLogger("otto_docker_sync.compose")


class Compose(NamedTuple):
    """How Compose is called on a parent, of which kind it is, and the options that keep ``up`` from building.

    `kind` is "2", "1" or "podman".
    """

    command: list[str]
    kind: str
    start_only: str


class ScriptTimedOut(DeadlineExpired):
    """A script was cut off, after it had reported so much."""

    def __init__(self, report: ScriptReport) -> None:
        super().__init__()
        self.report = report


class RemoteStack:
    """The containers of one compose project on one parent. Holds nothing; any thread may use it.

    All state is on the parent, see ``prelude.sh``.
    """

    _known_compose: ClassVar[WeakKeyDictionary[Host, Compose]] = WeakKeyDictionary()

    def __init__(self, parent: Host, compose_project: str) -> None:
        self.parent = parent
        self.compose_project = compose_project
        self._docker = list(parent.backend.docker_command())

    def __str__(self) -> str:
        return f"stack {self.compose_project} on {self.parent.id}"

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
        compose = self._compose(deadline)
        declared = list(declared)
        logger.info("%s: up", self)
        config, present = self._read_config(files, compose, deadline)
        check_services(config.services, declared, files.compose_files)
        chosen = config.chosen(declared)
        self._check_parents_paths(config.parents_paths(chosen), deadline)
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
        compose = self._compose(deadline)
        config, _ = self._read_config(files, compose, deadline)
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
                    report = self._call("up", deadline, "docker compose up", LoggedLines(f"{self}: "), **values)
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
            shielded(lambda: self._call("roll_back", limit, "taking back what was started", **before))

    def _read_config(self, files: ProjectFiles, compose: Compose, deadline: Deadline) -> tuple[ComposeConfig, str]:
        """Ask Compose what it reads in the project's files; also return the digest of what the parent has of them."""
        for _ in range(MAX_MISSED):
            try:
                report = self._call(
                    "config",
                    deadline,
                    "docker compose config",
                    archive=files.text_archive(compose.kind),
                    format="json" if compose.kind == "2" else "yaml",
                    with_profiles="yes" if compose.kind == "2" and files.mentions_profiles() else "",
                    # Others know no env file that is not required, or keep its name in their answer.
                    with_words="yes" if compose.kind == "2" and files.words_with_variables() else "",
                )
            except ScriptTimedOut as late:
                self._remove(late.report.first("base"))
                raise
            base = report.first("base")
            if "config" in report:
                config = ComposeConfig.parse(report.data("config"), compose.kind, base, files.directory)
                if files.make_directories(config.unresolved_contexts()):
                    continue
                if "words" in report and files.take_words(report.data("words")):
                    continue
                if "active" in report:
                    config.activate_services(report.first("active").split())
                else:
                    config.activate_profiles(files.profiles())
                return config, report.first("digest")
            message = report.data("refused").decode("utf-8", "replace")
            if not files.find_missed(message, base):
                raise ComposeFileError(f"{self}: Docker Compose refuses the project:\n{_localize(message, base)}")
        raise ComposeFileError(f"{self}: the project refers to more than {MAX_MISSED} files that Compose misses")

    def _remove(self, directory: str) -> None:
        shielded(lambda: self.parent.oneshot(["rm", "-rf", "--", directory], timeout=ROLLBACK_TIME))

    def _check_parents_paths(self, paths: dict[str, str], deadline: Deadline) -> None:
        """Refuse an absolute path that is here and not on the parent: an empty directory would be made in its place."""
        suspects = [path for path in paths if Path(path).exists()]
        if not suspects:
            return
        report = self._call("missing", deadline, "looking for bound files", paths=shlex.join(suspects))
        for path in report.all("missing"):
            raise ConfigError(
                f"{self}: {paths.get(path, 'volumes')}: {path} is on this machine, but not on {self.parent.id}, whose "
                "files absolute paths mean; write it relative to the compose file to have it copied there"
            )

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
        report = self._call(
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
        report = self._call("list", deadline, "docker ps", everywhere="yes" if everywhere else "")
        return read_containers(report)

    def lease(self, deadline: Deadline) -> Lease:
        """Hold the stack: until the lease ends, nobody's leaving takes it down."""
        return Lease(*self._start("lease", deadline), deadline)

    def logs(
        self, files: ProjectFiles, service: str | None, *, follow: bool, tail: int | None, deadline: Deadline
    ) -> Lines:
        """The lines that its containers wrote; with `follow`, until these end or the iterator is closed."""
        options = [*(["--follow"] if follow else []), *([f"--tail={tail}"] if tail is not None else [])]
        compose = self._compose(deadline)
        channel, nonce = self._start("logs", deadline, options=shlex.join(options), service=service or "")
        stream, text = TextStream(newlines=True), ""
        try:
            while not (chunk := channel.read(deadline)).ended:
                *lines, text = (text + stream.feed(chunk.out)).split("\n")
                report = ScriptReport.parse("\n".join(lines), nonce)
                if "down" in report:
                    if service is not None:
                        services = self._read_config(files, compose, deadline)[0].services
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

    def _compose(self, deadline: Deadline) -> Compose:
        """Return how Compose is called there: the plugin, or the older program of its own where there is no plugin."""
        known = self._known_compose.get(self.parent)
        if known is None:
            old = [*self._docker[:-1], f"{posixpath.basename(self._docker[-1])}-compose"]
            report = self._call("find_compose", deadline, "looking for Docker Compose", old_compose=shlex.join(old))
            if "no-docker" in report:
                said = report.last_lines().encode()
                raise docker_error(self.parent.id, "", "", said, None, None, None)
            version, _, kind = report.first("compose").partition(" ")
            if not version:
                raise ComposeError(
                    f"{self.parent.id} has no Docker Compose: neither {shlex.join([*self._docker, 'compose'])} nor "
                    f"{shlex.join(old)} works there; install the package docker-compose-plugin"
                )
            command = [*self._docker, "compose"] if version == "2" else old
            known = Compose(command, kind, "--no-build --pull never" if "pull" in report else "--no-build")
            self._known_compose[self.parent] = known
        return known

    def _script(self, name: str, nonce: str, values: dict[str, str | int]) -> str:
        known = self._known_compose.get(self.parent)
        return scripts.script(
            __package__,
            name,
            project=self.compose_project,
            nonce=nonce,
            docker=shlex.join(self._docker),
            compose=shlex.join(known.command) if known else "exit",
            row=ROW,
            **values,
        )

    def _call(
        self, name: str, deadline: Deadline, what: str, lines: LoggedLines | None = None, /, **values: str | int
    ) -> ScriptReport:
        """Run a script there. Raises `ComposeError` with its last lines, `ScriptTimedOut` when the time is spent.

        `lines` gets the output as it comes.
        """
        nonce = new_nonce()
        on_output = None
        if lines is not None:
            lines.nonce = nonce
            on_output = lines.add
        remaining = deadline.remaining()
        # Not None for "no end", which stands for the parent's own default.
        seconds = math.inf if remaining is None else remaining
        result = self.parent.oneshot(self._script(name, nonce, values), timeout=seconds, log=False, on_output=on_output)
        # A result whose output went to a callback holds only the end of it.
        output = result.output if lines is None else lines.text
        report = ScriptReport.parse(output.replace("\r\n", "\n"), nonce)
        if result.ok:
            return report
        if result.timed_out or deadline.cancelled:
            raise ScriptTimedOut(report)
        raise self._script_error(what, result, report)

    def _script_error(self, what: str, result: CommandResult, report: ScriptReport) -> ComposeError:
        if result.status is Status.ERROR:
            return ComposeError(f"{self}: {what}: {result.message}")
        return ComposeError(f"{self}: {what} failed with status {result.retcode}:\n{report.last_lines()}")

    def _start(self, name: str, deadline: Deadline, **values: str | int) -> tuple[Channel, str]:
        nonce = new_nonce()
        self._compose(deadline)
        script = self._script(name, nonce, values)
        return self.parent.backend.open_shell(["-c", script], deadline=deadline), nonce


def check_services(services: Iterable[str], declared: Iterable[str], compose_files: Iterable[Path]) -> None:
    """Raise `ConfigError` for a declared service that there is not, and for names that differ in case only."""
    known = set(services)
    for service in declared:
        name = service.partition("#")[0]
        if name not in known:
            where = ", ".join(map(str, compose_files))
            raise ConfigError(f"there is no service {name!r} in {where}{did_you_mean(name, known)}")
    by_id: dict[str, str] = {}
    for name in sorted(known):
        other = by_id.setdefault(name.lower(), name)
        if other != name:
            raise ConfigError(
                f"the services {other!r} and {name!r} differ in upper and lower case only, and would be the same host; "
                "rename one of them"
            )


def _describe_losses(report: ScriptReport) -> str:
    texts = []
    for service, section in report.sections("lost"):
        states = " and ".join(section.all("state")) or "there is no such container"
        words = read_log_text("\n".join(section.other))[-SHOWN_COMPOSE:]
        shown = "\n".join(words) or section.last_lines()
        texts.append(f"{service.removesuffix('#1')} does not run: {states}.\n{shown}")
    return "\n".join(texts)


def _localize(message: str, base: str) -> str:
    """Show paths as they are here, and say of an absolute one what it means."""
    text = message.replace(f"{base}/tree", "").strip()
    for word in re.findall(r"(?<![\w.])/[^\s:'\"]+", message):
        if not word.startswith(base) and Path(word).exists():
            text += (
                f"\n{word} is on this machine; absolute paths mean the parent's files, so write it as a relative one"
            )
    return text


def _is_log_line(line: str, kind: str) -> bool:
    """Whether a container wrote it: Compose puts the container's name in front."""
    return kind == "podman" or re.match(r"\S+ +\|", line) is not None


def shielded(call: Callable[[], T]) -> T:
    """Call what has to be done also after the calls of this context were cancelled."""
    context = copy_context()
    context.run(cancellation.set, None)
    return context.run(call)
