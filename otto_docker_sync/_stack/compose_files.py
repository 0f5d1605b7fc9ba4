"""What of a compose directory goes to the parent: read from the compose files themselves, packed as one archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError

TREE = Path("tree")
"""The archive's directory that holds the files, laid out as they are here."""

PARENTS_OWN = frozenset({"HOME", "LOGNAME", "OLDPWD", "PATH", "PWD", "SHELL", "TMPDIR", "USER"})
"""Variables that mean something else on the parent, so our values of them stay here."""

VARIABLE = re.compile(r"\$(?:(\$)|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-?+])([^{}]*))?\})")
MENTION = re.compile(r"\$\$|\$\{?([A-Za-z_]\w*)")


class ComposeDirectory:
    """The compose files of a project and what they refer to on this machine.

    Compose files (also by ``extends`` and ``include``), env files, configs, secrets, relative binds and build contexts
    without what their ``.dockerignore`` names. What is not there is left for Compose to complain about, or to create.

    >>> ComposeDirectory([Path("docker/compose.yml")]).services
    {'api', 'db'}
    """

    def __init__(self, compose_files: Iterable[Path], environment: Mapping[str, str] | None = None) -> None:
        self.compose_files = [Path(os.path.abspath(path)) for path in compose_files]
        if not self.compose_files:
            raise ConfigError("a project needs at least one compose file")
        self.services: set[str] = set()
        self.complete = True
        """Whether `services` holds them all: not so when an ``include`` comes from elsewhere."""
        self.variables: set[str] = {"COMPOSE_PROFILES"}
        self._environment = dict(os.environ if environment is None else environment)
        self._files: set[Path] = set()
        self._directories: list[tuple[Path, DockerIgnore]] = []
        self._read: set[Path] = set()
        self.directory = self.compose_files[0].parent
        self._dotenv = self._read_dotenv(self.directory / ".env")
        for path in self.compose_files:
            self._read_compose_file(path, self.directory)

    def pack(self, archive: Path) -> str:
        """Write the archive, and return the digest that tells whether a parent has it already.

        It holds ``tree/`` with the files, ``setup`` for the shell, and ``files``, the names of those under ``tree/``.
        """
        wanted = {*self._files, *self.compose_files}
        places = [directory for directory, _ in self._directories]
        root = Path(os.path.commonpath([self.directory, *(path.parent for path in wanted), *places]))
        members: dict[str, Path] = {}
        for directory, ignore in self._directories:
            for path in _walk(directory, ignore):
                members[(TREE / path.relative_to(root)).as_posix()] = path
        for path in wanted:
            members[(TREE / path.relative_to(root)).as_posix()] = path.resolve()
        names = "".join(f"{name}\n" for name, path in sorted(members.items()) if _is_file(path))
        with (
            archive.open("wb") as file,
            gzip.GzipFile("", "wb", 3, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            _add_text(tar, "setup", self._setup(root))
            _add_text(tar, "files", names)
            for name, path in sorted(members.items()):
                tar.add(path, name, recursive=False, filter=_anonymous)
        digest = hashlib.sha256()
        with archive.open("rb") as written:
            for block in iter(lambda: written.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()

    def _setup(self, root: Path) -> str:
        """What the shell at the far end reads before it calls Compose: variables, directory, and the ``-f`` options.

        Values go in this file and in no argument, where other users of the parent could read them.
        """
        values = {name: self._environment[name] for name in sorted(self.variables) if name in self._environment}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items() if name not in PARENTS_OWN]
        place = '"$d"/' + shlex.quote((TREE / self.directory.relative_to(root)).as_posix())
        options = " ".join(f"-f {shlex.quote(os.path.relpath(path, self.directory))}" for path in self.compose_files)
        return "\n".join([*lines, f"mkdir -p {place}", f"cd {place} || exit", f"set -- {options}", ""])

    def _read_dotenv(self, path: Path) -> dict[str, str]:
        if not path.is_file():
            return {}
        self._files.add(path)
        lines = path.read_text("utf-8", "replace").splitlines()
        pairs = (line.removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
        return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs if name.strip()}

    def _read_compose_file(self, path: Path, base: Path, *, services: bool = True) -> None:
        """Collect what `path` refers to; its relative names start at `base`."""
        if path in self._read:
            return
        self._read.add(path)
        text, content = _parse(path)
        self._files.add(path)
        self.variables.update(name for name in MENTION.findall(text) if name)
        declared = _mapping(content.get("services"))
        if services:
            self.services.update(declared)
        for service in declared.values():
            self._read_service(_mapping(service), base, path)
        for kind in ("configs", "secrets"):
            for entry in _mapping(content.get(kind)).values():
                entry = _mapping(entry)
                self._add(entry.get("file"), base)
                self.variables.update(_texts(entry.get("environment")))
        for entry in _list(content.get("include")):
            self._read_include(entry, base)

    def _read_service(self, service: Mapping[str, Any], base: Path, path: Path) -> None:
        build = service.get("build")
        build = {"context": build} if isinstance(build, str) else _mapping(build)
        if build:
            self._add_context(build.get("context", "."), build.get("dockerfile"), base)
            for context in _values(build.get("additional_contexts")):
                self._add_context(context, None, base)
            self.variables.update(_without_value(build.get("args")))
        for key in ("env_file", "label_file"):
            for entry in _list(service.get(key)):
                self._add(entry.get("path") if isinstance(entry, dict) else entry, base)
        self.variables.update(_without_value(service.get("environment")))
        for volume in _list(service.get("volumes")):
            source = volume.get("source") if isinstance(volume, dict) else self._expand(str(volume)).partition(":")[0]
            if not isinstance(volume, dict) or volume.get("type") == "bind":
                self._add(source, base, only_dotted=not isinstance(volume, dict))
        other = _mapping(service.get("extends")).get("file")
        if isinstance(other, str):
            extended = self._local(other, base)
            if extended and extended.is_file():
                self._read_compose_file(extended, extended.parent, services=False)
            else:
                raise ConfigError(f"{path}: extends {other!r}, and there is no such file")

    def _read_include(self, entry: Any, base: Path) -> None:
        entry = entry if isinstance(entry, dict) else {"path": entry}
        paths = [self._local(path, base) for path in _texts(entry.get("path"))]
        for path in paths:
            if path is None or not path.is_file():
                self.complete = False
                continue
            home = self._local(entry.get("project_directory"), base) or (paths[0] or path).parent
            self._dotenv.update(self._read_dotenv(home / ".env"))
            self._read_compose_file(path, home)
        for name in _texts(entry.get("env_file")):
            self._add(name, base)

    def _local(self, name: object, base: Path) -> Path | None:
        """The path on this machine that `name` stands for; None for what is elsewhere or stays on the parent."""
        if not isinstance(name, str) or not name:
            return None
        name = self._expand(name)
        if not name or "://" in name or name.startswith(("~", "/", "git@", "github.com/", "service:")):
            return None
        return Path(os.path.normpath(base / name))

    def _expand(self, text: str) -> str:
        """Put in the variables, by Compose's rules."""

        def value(match: re.Match[str]) -> str:
            dollar, plain, braced, operator, other = match.groups()
            if dollar:
                return "$"
            found = self._environment.get(plain or braced, self._dotenv.get(plain or braced))
            missing = found is None or (not found and (operator or "").startswith(":"))
            if (operator or "").endswith("+"):
                return "" if missing else str(other)
            return (str(other) if missing and (operator or "").endswith("-") else found) or ""

        return VARIABLE.sub(value, text)

    def _add(self, name: object, base: Path, *, only_dotted: bool = False) -> None:
        path = self._local(name, base)
        if path is None or (only_dotted and not str(name).startswith(".")):
            return
        if path.is_dir():
            self._directories.append((path, DockerIgnore()))
        elif path.is_file():
            self._files.add(path)

    def _add_context(self, context: object, dockerfile: object, base: Path) -> None:
        directory = self._local(context, base)
        if directory is None or not directory.is_dir():
            return
        recipe = directory / self._expand(dockerfile if isinstance(dockerfile, str) else "Dockerfile")
        recipe = Path(os.path.normpath(recipe))
        own_ignore, ignore = recipe.with_name(recipe.name + ".dockerignore"), directory / ".dockerignore"
        self._files.update(path for path in (recipe, own_ignore, ignore) if path.is_file())
        rules = next((path for path in (own_ignore, ignore) if path.is_file()), None)
        lines = rules.read_text("utf-8", "replace").splitlines() if rules else []
        self._directories.append((directory, DockerIgnore(lines)))


class DockerIgnore:
    """What a ``.dockerignore`` leaves out of its context.

    >>> DockerIgnore(["*.log", "!keep.log"]).leaves_out("a.log")
    True
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for line in lines:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            pattern = os.path.normpath(line.removeprefix("!").strip()).strip("/")
            if pattern != ".":
                regex = re.compile(_regex(pattern) + "(?:/.*)?", re.DOTALL)
                self._rules.append((regex, not line.startswith("!")))

    def leaves_out(self, path: str) -> bool:
        """Whether `path`, relative to the context, stays here. The last rule that fits it or what holds it counts."""
        return next((leave_out for regex, leave_out in reversed(self._rules) if regex.fullmatch(path)), False)

    @property
    def has_exceptions(self) -> bool:
        """Whether something below a directory that is left out may go all the same."""
        return not all(leave_out for _, leave_out in self._rules)


def _regex(pattern: str) -> str:
    parts = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|\\.|.", pattern, re.DOTALL)
    return "".join(
        parts.get(token) or (token if len(token) > 2 and token[0] == "[" else re.escape(token[-1])) for token in tokens
    )


def _walk(directory: Path, ignore: DockerIgnore) -> Iterator[Path]:
    """The directory and all in it that is not left out."""
    yield directory
    for place, directories, names in os.walk(directory):
        here = Path(place)
        for name in list(directories):
            left_out = ignore.leaves_out((here / name).relative_to(directory).as_posix())
            if (here / name).is_symlink():
                directories.remove(name)
                names.append(name)
            elif not left_out:
                yield here / name
            elif not ignore.has_exceptions:
                directories.remove(name)
        for name in names:
            path = here / name
            if _is_file(path) and not ignore.leaves_out(path.relative_to(directory).as_posix()):
                yield path


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = int(info.mtime)
    if info.isdir():
        info.mode |= 0o700
        info.mtime = 0  # a directory's own time changes with every file in it, and nobody reads it
    return info


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    tar.addfile(info, io.BytesIO(content))


def _parse(path: Path) -> tuple[str, Mapping[str, Any]]:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ConfigError(
            "reading compose files needs PyYAML, which is not installed: pip install 'otto-docker-sync[lab]'"
        ) from None

    class Loader(yaml.SafeLoader):
        """Compose's own tags, ``!reset`` and ``!override``, change nothing for what we look for."""

    Loader.add_multi_constructor("!", _plain)
    try:
        text = path.read_text("utf-8")
        content = yaml.load(text, Loader)
    except OSError as error:
        raise ConfigError(f"compose file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"compose file {path} does not parse: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"compose file {path} does not parse: it holds no table of services")
    return text, content


def _plain(loader: Any, _suffix: str, node: Any) -> Any:
    construct = {"mapping": loader.construct_mapping, "sequence": loader.construct_sequence}
    return construct.get(node.id, loader.construct_scalar)(node)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _texts(value: Any) -> list[str]:
    return [item for item in _list(value) if isinstance(item, str)]


def _values(value: Any) -> list[Any]:
    """The right sides of a mapping, or of a list of ``name=value``."""
    return list(value.values()) if isinstance(value, dict) else [item.partition("=")[2] for item in _texts(value)]


def _without_value(value: Any) -> list[str]:
    """The names in a mapping or list of variables that come without a value: theirs is that of our environment."""
    if isinstance(value, dict):
        return [name for name, given in value.items() if given is None]
    return [item for item in _texts(value) if "=" not in item]
