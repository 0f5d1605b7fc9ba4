"""``docker cp`` as a fallback transport, for containers whose shell has no tar, or in which nothing can be run."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from typing import Any

from .._channel.backend import Backend
from ..deadline import Deadline
from .receiver import Receiver
from .script_channel import ScriptChannel
from .scripts import docker_cp_in_script, docker_cp_look_script, docker_cp_out_script, inspect_script
from .tar_source import Owner, SourceError, TarSource

KERNEL = ("/dev", "/proc", "/sys")
"""Where docker mounts file systems into every container that ``docker cp`` does not see."""
LINK_LIMIT = 40
"""Links that the kernel follows on one path."""


class DockerCopy:
    """``docker cp`` on the parent, with a private stage there, so that the container is not locked for long.

    It needs nothing in the container, which may be stopped. It does not see what is mounted there at run time.
    """

    needs_shell = False

    def __init__(
        self, parent: Backend, container_id: str, deadline: Deadline, *, user: str | None, workdir: str | None
    ) -> None:
        self._parent = parent
        self._docker = parent.docker_command()
        self._id = container_id
        self._user = user
        self._workdir = workdir
        self._deadline = deadline
        self._facts: dict[str, Any] = {}
        self._links: dict[str, str] = {}
        """What is known of paths in the container: the target of a link, '' for what is not one."""

    def put_trees(self, tar_source: TarSource, destination: str, owner: Owner | None, *, staged: bool) -> None:
        """Put the trees into a directory, for whom commands run as unless `owner` is given."""
        destination = self._resolve_or_refuse(destination)
        owner = owner or self._owner()
        target = f"{self._id}:{destination}"
        length = tar_source.length(owner, staged=staged)
        with ScriptChannel.start(
            self._parent, lambda nonce: docker_cp_in_script(nonce, self._docker, target, length), self._deadline
        ) as script:
            answer = script.next()
            if answer.word == "ready":
                script.send(tar_source.stream(owner, staged=staged))
                answer = script.next()
        if answer.word != "finished":
            text = answer.text
            if "resource busy" in text:
                text += (
                    "; a file is mounted there, and docker cp cannot replace it: write it with a command, or use an "
                    "image with sh, tar, mv and cat"
                )
            raise SourceError(text)

    def get_sources(self, sources: dict[int, str], receiver: Receiver) -> None:
        """Get sources by their paths in the container."""
        targets = []
        for number, path in sources.items():
            try:
                targets.append((number, f"{self._id}:{self._resolve_or_refuse(path)}"))
            except SourceError as error:
                receiver.refuse(number, str(error))
        with ScriptChannel.start(
            self._parent, lambda nonce: docker_cp_out_script(nonce, self._docker, targets), self._deadline
        ) as script:
            receiver.listen(script)

    def _resolve_or_refuse(self, path: str) -> str:
        """Return the absolute path that `path` is. Raises `SourceError` where ``docker cp`` would lie: it reaches below
        what is mounted in the running container only."""
        if path == "~" or path.startswith("~/"):
            raise SourceError(
                f"{path}: nothing can be run in the container to find the home directory; give an absolute path"
            )
        if any(0xDC80 <= ord(character) <= 0xDCFF for character in path):
            raise SourceError(
                "docker cp takes no path that is not UTF-8, and nothing else works here: get the directory above it"
            )
        facts = self._inspect()
        path = posixpath.join("/", self._workdir or facts["Config"].get("WorkingDir") or "/", path)
        kinds = dict.fromkeys(KERNEL, "tmpfs")
        kinds |= dict.fromkeys(facts["HostConfig"].get("Tmpfs") or {}, "tmpfs")
        kinds |= {mount["Destination"]: mount["Type"] for mount in facts.get("Mounts") or []}
        path = self._follow_links(path)
        above = [mount for mount in kinds if f"{path}/".startswith(f"{mount.rstrip('/')}/")]
        if above and kinds[max(above, key=len)] == "tmpfs":
            raise SourceError(
                f"{path} is below {max(above, key=len)}, which the running container alone sees, and nothing that "
                "copies files can be run there: start the container, use an image with sh and tar, or mount a volume"
            )
        return path

    def _follow_links(self, path: str) -> str:
        """Return the path without links. ``docker cp`` would follow them below what is mounted in the container."""
        waiting = path.split("/")[::-1]
        place, followed = "", 0
        while waiting:
            part = waiting.pop()
            if part in ("", ".", ".."):
                place = posixpath.dirname(place).rstrip("/") if part == ".." else place
                continue
            inside = f"{place}/{part}"
            if inside not in self._links:
                self._look_at(inside, waiting[::-1])
            to = self._links[inside]
            if not to:
                place = inside
                continue
            followed += 1
            if followed > LINK_LIMIT:
                raise SourceError(f"{path}: too many links")
            place = "" if to.startswith("/") else place
            waiting += to.split("/")[::-1]
        return place or "/"

    def _look_at(self, path: str, rest: list[str]) -> None:
        """Learn whether `path` is a link, and, in the same flight, each path on the way from there to `rest`."""
        paths = [path]
        for part in rest:
            if part in ("", ".", ".."):
                break
            paths.append(f"{paths[-1]}/{part}")
        targets = [f"{self._id}:{path}" for path in paths]
        with ScriptChannel.start(
            self._parent, lambda nonce: docker_cp_look_script(nonce, self._docker, targets), self._deadline
        ) as script:
            for path in paths:
                if script.next().word != "header":
                    raise SourceError("docker cp: the remote shell sent something unexpected")
                self._links[path] = _link_target(script.body())

    def _owner(self) -> Owner:
        """Who commands run as, where that is given by number; else root."""
        user = self._user or self._inspect()["Config"].get("User") or ""
        uid, _, gid = user.partition(":")
        return (int(uid), int(gid) if gid.isdigit() else 0) if uid.isdigit() else (0, 0)

    def _inspect(self) -> dict[str, Any]:
        if not self._facts:
            with ScriptChannel.start(
                self._parent, lambda nonce: inspect_script(nonce, self._docker, self._id), self._deadline
            ) as script:
                script.next()
                text = script.body()
                end = script.next()
            if not end.rest.startswith("0"):
                raise SourceError(f"docker inspect: {end.rest}")
            self._facts = json.loads(text)
        return self._facts


def _link_target(beginning: bytes) -> str:
    """Return where the first member of a tar stream leads to; '' if it is not a link, or there is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(beginning), mode="r:", errors="surrogateescape") as archive:
            member = archive.next()
    except tarfile.TarError:
        return ""
    return member.linkname if member is not None and member.issym() else ""
