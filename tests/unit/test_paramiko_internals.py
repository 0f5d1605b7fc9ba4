"""The list of what is used of Paramiko beyond its documented interface is true and whole."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from pathlib import Path

import otto_docker_sync
from otto_docker_sync._ssh.paramiko_internals import INTERNALS, missing_internals, paramiko_objects

PACKAGE = Path(otto_docker_sync.__file__).parent / "_ssh"


def names_in(node: ast.AST) -> Iterator[str]:
    """Names that a piece of code may have from Paramiko: what it reads, and what its classes define."""
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute):
            yield child.attr
        elif isinstance(child, ast.FunctionDef):
            yield child.name
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            yield child.target.id


def own_names(node: ast.AST) -> Iterator[str]:
    """Names that a piece of code makes itself: variables of a module, and attributes of ``self``."""
    for child in ast.walk(node):
        targets: list[ast.expr] = []
        if isinstance(child, ast.Assign):
            targets = child.targets
        elif isinstance(child, ast.AnnAssign):
            targets = [child.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                yield target.attr
            elif isinstance(target, ast.Name) and isinstance(child, ast.Assign):
                yield target.id


def test_the_installed_paramiko_has_every_name_that_is_used() -> None:
    assert missing_internals() == []


def test_every_private_name_of_paramiko_that_is_used_is_listed() -> None:
    sources = [ast.parse(path.read_text()) for path in PACKAGE.glob("*.py")]
    used = {name for source in sources for name in names_in(source)}
    ours = {name for source in sources for name in own_names(source)} | set(dir(threading.Thread()))
    for kind, example in paramiko_objects().items():
        private = {name for name in dir(example) if name.startswith("_") and not name.startswith("__")}
        assert (private & used) - ours - set(INTERNALS[kind]) == set(), kind


def test_every_listed_name_is_used() -> None:
    text = "".join(path.read_text() for path in PACKAGE.glob("*.py") if path.name != "paramiko_internals.py")
    for names in INTERNALS.values():
        for name in names:
            assert name in text or (name.startswith("_preferred_") and name.removeprefix("_preferred_") in text), name
