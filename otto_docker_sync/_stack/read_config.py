"""Has Compose on the parent read a project's files, and refuses what could not work there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from ..deadline import Deadline, shielded
from ..errors import ComposeFileError, ConfigError
from ..host import Host
from ..limits import MAX_MISSED, ROLLBACK_TIME
from ..project import did_you_mean
from .compose_config import ComposeConfig
from .project_files import ProjectFiles
from .script_runner import ScriptTimedOut, StackScripts


def read_config(scripts: StackScripts, files: ProjectFiles, deadline: Deadline) -> tuple[ComposeConfig, str]:
    """Ask Compose what it reads in the project's files; also return the digest of what the parent has of them."""
    kind = scripts.find_compose(deadline).kind
    for _ in range(MAX_MISSED):
        try:
            report = scripts.call(
                "config",
                deadline,
                "docker compose config",
                archive=files.text_archive(kind),
                format="json" if kind == "2" else "yaml",
                with_profiles="yes" if kind == "2" and files.mentions_profiles() else "",
                # Others know no env file that is not required, or keep its name in their answer.
                with_words="yes" if kind == "2" and files.words_with_variables() else "",
            )
        except ScriptTimedOut as late:
            _remove(scripts.parent, late.report.first("base"))
            raise
        base = report.first("base")
        if "config" in report:
            config = ComposeConfig.parse(report.data("config"), kind, base, files.directory)
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
            raise ComposeFileError(f"{scripts}: Docker Compose refuses the project:\n{_localize(message, base)}")
    raise ComposeFileError(f"{scripts}: the project refers to more than {MAX_MISSED} files that Compose misses")


def _remove(parent: Host, directory: str) -> None:
    shielded(lambda: parent.oneshot(["rm", "-rf", "--", directory], timeout=ROLLBACK_TIME))


def _localize(message: str, base: str) -> str:
    """Show paths as they are here, and say of an absolute one what it means."""
    text = message.replace(f"{base}/tree", "").strip()
    for word in re.findall(r"(?<![\w.])/[^\s:'\"]+", message):
        if not word.startswith(base) and Path(word).exists():
            text += (
                f"\n{word} is on this machine; absolute paths mean the parent's files, so write it as a relative one"
            )
    return text


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


def check_parents_paths(scripts: StackScripts, paths: dict[str, str], deadline: Deadline) -> None:
    """Refuse an absolute path that is here and not on the parent: an empty directory would be made in its place."""
    suspects = [path for path in paths if Path(path).exists()]
    if not suspects:
        return
    report = scripts.call("missing", deadline, "looking for bound files", paths=shlex.join(suspects))
    for path in report.all("missing"):
        raise ConfigError(
            f"{scripts}: {paths.get(path, 'volumes')}: {path} is on this machine, but not on {scripts.parent.id}, "
            "whose files absolute paths mean; write it relative to the compose file to have it copied there"
        )
