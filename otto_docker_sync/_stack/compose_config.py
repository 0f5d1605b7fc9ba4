"""What ``docker compose config`` on the parent says of a project: its services, and which files they need."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .dockerignore import DockerIgnore
from .tree import TREE, Tree

FREE_TEXT = frozenset(
    "annotations args command develop entrypoint environment healthcheck hostname labels logging sysctls".split()
)
"""Keys whose values are for the program in the container: Compose neither reads nor binds a path in them."""

TOP_LEVEL = re.compile(r"(services|networks|volumes|secrets|configs|version|name|x-[^:]*):")


@dataclass(frozen=True)
class Place:
    """A file or directory that a project needs, and the key that names it."""

    path: Path
    key: str
    recipe: Path | None = None
    """For a build context: its Dockerfile."""
    is_context: bool = False
    is_required: bool = False
    """Whether Compose would put an empty directory in its place if it is not there."""


class ComposeConfig:
    """What Compose has read, with all paths resolved.

    `base` is the directory in which our files were: a path below it stands for the file of the same path here.
    `services` are all of them, `active` those that start without being named.
    """

    def __init__(self, document: Mapping[str, Any], base: str) -> None:
        self._document = document
        self._prefix = f"{base}/{TREE}/"
        self.services: dict[str, Mapping[str, Any]] = {
            str(name): _mapping(service) for name, service in _mapping(document.get("services")).items()
        }
        self.active = list(self.services)

    @classmethod
    def parse(cls, answer: bytes, kind: str, base: str, directory: Path) -> ComposeConfig:
        """Read the answer of ``config``: JSON of version 2, YAML of the others.

        `directory` is the project's, here: podman-compose does not resolve what is relative to it.
        """
        text = answer.decode("utf-8", "replace")
        if kind == "2":
            document = json.loads(text)
        else:
            document = _load_yaml(text)
            if kind == "podman":
                document = _resolve_all(document, f"{base}/{TREE}{directory}")
        return cls(_mapping(document), base)

    def activate_services(self, names: Iterable[str]) -> None:
        """Note which services Compose itself called active. Names that it has not are a wrapper's words."""
        active = set(names)
        self.active = [name for name in self.services if name in active]

    def activate_profiles(self, profiles: Iterable[str]) -> None:
        """Note which services are active with these profiles: version 1 lists them all."""
        active = set(profiles)
        self.active = [
            name
            for name, service in self.services.items()
            if not service.get("profiles") or active & set(_names(service["profiles"]))
        ]

    def chosen(self, declared: Iterable[str]) -> list[str]:
        """Return the services that are to start: active ones, declared ones, and what these depend on."""
        chosen: dict[str, None] = {}
        waiting = [*self.active, *(service.partition("#")[0] for service in declared)]
        while waiting:
            name = waiting.pop(0)
            if name in self.services and name not in chosen:
                chosen[name] = None
                waiting += _names(self.services[name].get("depends_on"))
        return [name for name in self.services if name in chosen]

    def unresolved_contexts(self) -> list[str]:
        """Return build contexts that are relative: early versions of Compose 2 leave those that they do not see."""
        contexts = (_mapping(service.get("build")).get("context") for service in self.services.values())
        return [str(context) for context in contexts if _is_relative(context)]

    def places(self, services: Iterable[str]) -> Iterator[Place]:
        """Return the local files and directories that these services need, and what the whole project declares."""
        for name in services:
            service = dict(self.services[name])
            build = service.pop("build", None)
            yield from self._build_places(_mapping(build), f"services.{name}.build")
            yield from self._file_places(service, f"services.{name}")
        for kind, table in self._document.items():
            if kind != "services" and not str(kind).startswith("x-"):
                yield from self._file_places(table, str(kind), is_required=kind in ("secrets", "configs"))

    def parents_paths(self, services: Iterable[str]) -> dict[str, str]:
        """Return the paths of the parent's own that these services bind: path → key."""
        found = {}
        for name in services:
            for volume in self.services[name].get("volumes") or []:
                if isinstance(volume, dict):
                    source = volume.get("source") if volume.get("type") == "bind" else None
                else:
                    source = str(volume).partition(":")[0]  # version 1 keeps the short form
                if isinstance(source, str) and source.startswith("/") and self._local(source) is None:
                    found[source] = f"services.{name}.volumes"
        return found

    def _build_places(self, build: Mapping[str, Any], key: str) -> Iterator[Place]:
        context = self._local(build.get("context"))
        if context is not None:
            recipe = Path(os.path.normpath(context / str(build.get("dockerfile") or "Dockerfile")))
            dockerfile = self._local(build.get("dockerfile"))
            yield Place(context, f"{key}.context", dockerfile or recipe, is_context=True)
        for name, value in _mapping(build.get("additional_contexts")).items():
            path = self._local(value)
            if path is not None:
                yield Place(path, f"{key}.additional_contexts.{name}", is_context=True)
        rest = {name: value for name, value in build.items() if name not in ("context", "dockerfile", "args")}
        rest.pop("additional_contexts", None)
        yield from self._file_places(rest, key)

    def _file_places(self, value: Any, key: str, *, is_required: bool = False) -> Iterator[Place]:
        """Return what is named anywhere in `value` by a path that Compose has resolved."""
        if isinstance(value, dict):
            for name, item in value.items():
                if name not in FREE_TEXT:
                    yield from self._file_places(item, f"{key}.{name}", is_required=is_required)
        elif isinstance(value, list):
            for item in value:
                yield from self._file_places(item, key, is_required=is_required)
        else:
            # Version 1 keeps the short form of a volume, SOURCE:TARGET:MODE.
            text = value.partition(":")[0] if isinstance(value, str) and key.endswith(".volumes") else value
            path = self._local(text)
            if path is not None:
                yield Place(path, key, is_required=is_required)

    def _local(self, text: object) -> Path | None:
        """Return the path here that a path of the answer stands for; None for what is elsewhere."""
        if not isinstance(text, str) or not f"{text}/".startswith(self._prefix):
            return None
        # A dollar is written twice in Compose's answer.
        return Path(os.path.normpath("/" + text[len(self._prefix) :].replace("$$", "$")))


def add_places(tree: Tree, places: Iterable[Place]) -> None:
    """Add what a project needs to its tree. Raises `ConfigError` for what is not there and has to be."""
    for place in places:
        try:
            exists = place.path.exists()
            is_directory = exists and place.path.is_dir()
        except OSError as error:
            raise ConfigError(f"{place.key}: {place.path}: {error.strerror}") from None
        if not exists:
            if place.is_required:
                raise ConfigError(f"{place.key}: {place.path}: there is no such file")
            if place.path.is_symlink():
                raise ConfigError(f"{place.key}: {place.path}: the link leads to nothing")
        elif place.is_context and is_directory:
            _add_context(tree, place)
        elif is_directory:
            tree.add_directory(place.path)
        else:
            tree.add_file(place.path)


def _add_context(tree: Tree, place: Place) -> None:
    recipe = place.recipe or place.path / "Dockerfile"
    own_rules, rules = recipe.with_name(recipe.name + ".dockerignore"), place.path / ".dockerignore"
    for path in (recipe, own_rules, rules):
        if path.is_file():
            tree.add_file(path)
    chosen = next((path for path in (own_rules, rules) if path.is_file()), None)
    try:
        lines = chosen.read_text("utf-8", "replace").splitlines() if chosen else []
    except OSError as error:
        raise ConfigError(f"{chosen}: {error.strerror}") from None
    tree.add_directory(place.path, DockerIgnore(lines))


def _load_yaml(text: str) -> Any:
    """Read YAML that Compose has written, in its plainest form. Lines in front of it are those of a wrapper."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise ConfigError(
            "Docker Compose version 1 and podman-compose answer in YAML, and PyYAML is not installed: "
            "pip install 'otto-docker-sync[lab]'"
        ) from None
    lines = text.splitlines(keepends=True)
    start = next((index for index, line in enumerate(lines) if TOP_LEVEL.match(line)), 0)
    try:
        return yaml.safe_load("".join(lines[start:]))
    except yaml.YAMLError as error:
        raise ConfigError(f"Compose's answer cannot be read: {error}") from None


def _resolve_all(document: Any, directory: str) -> Any:
    """Resolve the relative paths of a configuration, as podman-compose does when it uses them."""

    def resolve(text: Any) -> Any:
        return os.path.normpath(f"{directory}/{text}") if _is_relative(text) else text

    def is_named(volume: str) -> bool:
        return not volume.startswith(".")

    document = dict(_mapping(document))
    services = {}
    for name, service in _mapping(document.get("services")).items():
        service = dict(_mapping(service))
        if isinstance(service.get("build"), str):
            service["build"] = {"context": service["build"]}
        if service.get("build"):
            service["build"] = {**service["build"], "context": resolve(service["build"].get("context", "."))}
        volumes = []
        for volume in service.get("volumes") or []:
            if isinstance(volume, dict):
                volumes.append(
                    {**volume, "source": resolve(volume.get("source"))} if volume.get("type") == "bind" else volume
                )
            elif is_named(str(volume)):
                volumes.append(volume)
            else:
                source, colon, rest = str(volume).partition(":")
                volumes.append(resolve(source) + colon + rest)
        service["volumes"] = volumes
        env_files = service.get("env_file") or []
        env_files = env_files if isinstance(env_files, list) else [env_files]
        service["env_file"] = [resolve(_mapping(env_file).get("path", env_file)) for env_file in env_files]
        services[name] = service
    document["services"] = services
    for kind in ("secrets", "configs"):
        tables = _mapping(document.get(kind))
        document[kind] = {
            name: {**table, "file": resolve(table["file"])} if "file" in _mapping(table) else table
            for name, table in tables.items()
        }
    return document


def _is_relative(text: object) -> bool:
    return isinstance(text, str) and not text.startswith(("/", "~")) and "://" not in text


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(value: Any) -> list[str]:
    return list(map(str, value or []))
