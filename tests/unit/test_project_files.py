"""What of a project is sent to the parent: its texts, the variables, the tree and what Compose's answer names."""

from __future__ import annotations

import base64
import io
import os
import pwd
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from otto_docker_sync._stack.compose_config import ComposeConfig, add_places
from otto_docker_sync._stack.dockerignore import DockerIgnore
from otto_docker_sync._stack.project_files import ProjectFiles, env_text
from otto_docker_sync._stack.tree import Tree
from otto_docker_sync.errors import ConfigError

Write = Callable[[Mapping[str, str]], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def members_of(tree: Tree, archive: Path, texts: Mapping[str, bytes] | None = None) -> dict[str, tarfile.TarInfo]:
    tree.pack(archive, dict(texts or {}))
    with tarfile.open(archive) as tar:
        return {member.name: member for member in tar}


class TestTexts:
    def test_what_compose_has_missed_is_found_in_its_error(self, tmp_path: Path, write: Write) -> None:
        write({"compose.yml": "services: {}", "a b.env": "", "sub/x.yml": "", "sub/ctx/f": ""})
        files = ProjectFiles([tmp_path / "compose.yml"], {})
        place = f"/base/tree{tmp_path}"
        assert files.find_missed(f"env file {place}/a b.env not found: stat {place}/a b.env: no such file", "/base")
        assert tmp_path / "a b.env" in files.texts
        assert not files.find_missed(f"env file {place}/a b.env not found", "/base")
        assert files.find_missed(f"[Errno 2] No such file or directory: '{place}/sub/x.yml'", "/base")
        assert files.find_missed(f"build path {place}/./sub/ctx either does not exist", "/base")
        assert tmp_path / "sub/ctx" in files.directories
        assert not files.find_missed(f"open {place}/none.yml: no such file", "/base")

    def test_words_that_are_names_of_files_go_at_once(self, tmp_path: Path, write: Write) -> None:
        text = "services: {api: {env_file: [{path: 'my own.env', required: false}, other.env], build: ./ctx}}"
        write({"compose.yml": text, "my own.env": "", "other.env": "", "ctx/Dockerfile": "", ".env": "", "not.env": ""})
        files = ProjectFiles([tmp_path / "compose.yml"], {})
        assert {path.name for path in files.texts} == {"compose.yml", "my own.env", "other.env", ".env"}
        assert files.directories >= {tmp_path / "ctx"}

    def test_what_is_large_or_no_text_does_not_go_on_suspicion(self, tmp_path: Path, write: Write) -> None:
        write({"compose.yml": "services: {api: {volumes: ['./disk:/d', './data:/e']}}", "disk": "x" * 300_000})
        (tmp_path / "data").write_bytes(b"\0")
        assert len(ProjectFiles([tmp_path / "compose.yml"], {}).texts) == 1

    def test_the_archive_has_whole_paths(self, tmp_path: Path, write: Write) -> None:
        write({"compose.yml": "services: {api: {build: ctx}}", "ctx/f": ""})
        packed = base64.b64decode(ProjectFiles([tmp_path / "compose.yml"], {}).text_archive("2"))
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            names = tar.getnames()
        assert f"tree{tmp_path}/compose.yml" in names and f"tree{tmp_path}/ctx" in names
        assert not [name for name in names if name.endswith("ctx/f")]

    @pytest.mark.parametrize("name", ["COMPOSE_ENV_FILES", ""])
    def test_a_file_that_is_not_there(self, tmp_path: Path, write: Write, name: str) -> None:
        environment = {name: str(tmp_path / "none.env")} if name else {}
        if name:
            write({"compose.yml": "services: {}"})
        with pytest.raises(ConfigError, match=r"(none\.env|compose\.yml): No such file"):
            ProjectFiles([tmp_path / "compose.yml"], environment)


class TestVariables:
    def test_those_that_are_mentioned_in_whatever_form(self, tmp_path: Path, write: Write) -> None:
        text = "services: {api: {image: 'i:${TAG:-${LATEST}}', environment: [TOKEN, G=1], command: $HOME $DOCKER_HOST"
        write({"compose.yml": text, ".env": "FROM_DOT=${BASE}\n"})
        names = ["TAG", "LATEST", "TOKEN", "BASE", "OTHER", "HOME", "DOCKER_HOST", "COMPOSE_PROFILES"]
        files = ProjectFiles([tmp_path / "compose.yml"], dict.fromkeys(names, "x"))
        assert list(files.variables()) == ["BASE", "COMPOSE_PROFILES", "LATEST", "TAG", "TOKEN"]

    def test_the_setup_is_what_a_shell_reads(self, tmp_path: Path, write: Write) -> None:
        write({"docker/compose.yml": "$TAG $PWD", "docker/.env": "A=1\n"})
        values = {"TAG": "$(x) it's\nline", "PWD": str(tmp_path / "docker/deep er")}
        files = ProjectFiles([tmp_path / "docker/compose.yml"], values)
        root = files.root_with([])
        for name, content in files.side_files(root, "2").items():
            (tmp_path / name).write_bytes(content)
        shell = subprocess.run(
            ["sh", "-c", 'base=.; base=$(pwd); . ./setup; printf "%s|" "$TAG" "$PWD" "$@"'],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        options = [
            "--env-file",
            "values.env",
            "--env-file",
            "tree/.env",
            "--env-file",
            "values.env",
            "-f",
            "compose.yml",
        ]
        here = str(tmp_path)
        shown = [word.removeprefix(f"{here}/") for word in shell.stdout.split("|")]
        assert shown == [values["TAG"], "tree/deep er", *options, ""]

    def test_each_kind_of_compose_has_quotes_of_its_own(self) -> None:
        value = {"A": 'it\'s "q" $x ${y} \\n'}
        assert env_text(value, "2") == 'A="it\'s \\"q\\" \\$x \\${y} \\\\n"\n'
        assert env_text(value, "1") == "LITERAL_DOLLAR='$'\nA='it\\'s \"q\" $x ${LITERAL_DOLLAR}{y} \\\\n'\n"

    def test_one_env_file_holds_all_where_compose_takes_one_only(self, tmp_path: Path, write: Write) -> None:
        write({"compose.yml": "$TAG", ".env": "\ufeffA=1"})
        files = ProjectFiles([tmp_path / "compose.yml"], {"TAG": "x"})
        assert files.side_files(tmp_path, "1")["values.env"] == (
            b"LITERAL_DOLLAR='$'\nTAG='x'\nA=1\nLITERAL_DOLLAR='$'\nTAG='x'\n"
        )


class TestConfig:
    def config(self, tmp_path: Path, document: dict[str, object]) -> ComposeConfig:
        return ComposeConfig(document, "/base")

    def test_every_path_that_compose_resolved_is_a_place(self, tmp_path: Path) -> None:
        api = {
            "build": {"context": "/base/tree/w/ctx", "dockerfile": "../Dockerfile", "args": {"X": "/base/tree/w/x"}},
            "volumes": [{"type": "bind", "source": "/base/tree/w/a$$b"}, "/base/tree/w/short:/x:ro", "named:/y"],
            "env_file": [{"path": "/base/tree/w/e"}],
            "environment": {"DIR": "/base/tree/w/free"},
            "credential_spec": {"file": "/base/tree/w/spec"},
        }
        document = {
            "services": {"api": api},
            "secrets": {"s": {"file": "/base/tree/w/s"}},
            "volumes": {"v": {"driver_opts": {"device": "/base/tree/w/dev"}}},
        }
        places = list(self.config(tmp_path, document).places(["api"]))
        assert {str(place.path) for place in places} == {
            *("/w/ctx", "/w/a$b", "/w/short", "/w/e", "/w/spec", "/w/s", "/w/dev")
        }
        (context,) = [place for place in places if place.is_context]
        assert (context.recipe, context.key) == (Path("/w/Dockerfile"), "services.api.build.context")

    def test_what_a_declared_service_depends_on_starts_too(self, tmp_path: Path) -> None:
        services = {"api": {}, "dbg": {"depends_on": {"db": {}}}, "db": {"depends_on": ["x"]}, "x": {}, "other": {}}
        config = self.config(tmp_path, {"services": services})
        config.activate_services(["api", "notice:"])
        assert config.chosen(["dbg#2"]) == ["api", "dbg", "db", "x"]

    def test_profiles_where_compose_does_not_tell(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, {"services": {"a": {}, "b": {"profiles": ["p"]}, "c": {"profiles": ["q"]}}})
        config.activate_profiles(["p"])
        assert config.active == ["a", "b"]

    def test_podman_resolves_when_it_uses_them(self) -> None:
        text = b"""notice: of a wrapper
services:
  api:
    build: .
    env_file: {path: x.env, required: false}
    volumes: ['./a:/x', 'named:/y', {type: bind, source: b, target: /z}]
secrets: {s: {file: s.txt}}
"""
        config = ComposeConfig.parse(text, "podman", "/base", Path("/w"))
        assert {str(place.path) for place in config.places(["api"])} == {"/w", "/w/a", "/w/b", "/w/s.txt", "/w/x.env"}

    def test_a_secret_that_is_not_there(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, {"secrets": {"s": {"file": f"/base/tree{tmp_path}/none"}}})
        with pytest.raises(ConfigError, match=r"secrets\.s\.file: .*none: there is no such file"):
            add_places(Tree(tmp_path), config.places([]))

    def test_a_context_travels_without_what_is_ignored(self, tmp_path: Path, write: Write) -> None:
        write(
            {"ctx/a": "", "ctx/b.key": "", ".dockerignore": "a", "Dockerfile.dockerignore": "*.key", "Dockerfile": ""}
        )
        build = {"context": f"/base/tree{tmp_path}/ctx", "dockerfile": "../Dockerfile"}
        tree = Tree(tmp_path)
        add_places(tree, self.config(tmp_path, {"services": {"api": {"build": build}}}).places(["api"]))
        names = [line.split(" ", 1)[1] for line in tree.manifest().splitlines()]
        assert names == ["tree", "tree/Dockerfile", "tree/Dockerfile.dockerignore", "tree/ctx", "tree/ctx/a"]


class TestTree:
    def test_modes_and_links_are_kept_owners_are_not(self, tmp_path: Path, write: Write) -> None:
        write({"d/run": "x"})
        (tmp_path / "d/run").chmod(0o755)
        (tmp_path / "d/empty").mkdir(mode=0o500)
        (tmp_path / "d/link").symlink_to("run")
        (tmp_path / "d/dirlink").symlink_to("empty")
        tree = Tree(tmp_path)
        tree.add_directory(tmp_path / "d")
        members = members_of(tree, tmp_path / "archive")
        assert members["tree/d/run"].mode == 0o755
        assert members["tree/d/empty"].isdir() and members["tree/d/empty"].mode == 0o700
        assert (members["tree/d/link"].linkname, members["tree/d/dirlink"].linkname) == ("run", "empty")
        assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}

    def test_the_manifest_tells_whether_anything_changed(self, tmp_path: Path, write: Write) -> None:
        write({"d/f": "x"})

        def manifest() -> str:
            tree = Tree(tmp_path)
            tree.add_directory(tmp_path / "d")
            return tree.manifest()

        first = manifest()
        os.utime(tmp_path / "d/f", (1, 1))
        assert manifest() == first
        (tmp_path / "d/f").write_text("y")
        assert manifest() != first
        (tmp_path / "d/f").write_text("x")
        (tmp_path / "d/f").chmod(0o600)
        assert manifest() != first

    def test_names_with_a_line_end_quote_or_dash(self, tmp_path: Path, write: Write) -> None:
        names = ["-f", "it's", "new\nline", "ü", " ", "back\\slash"]
        write({f"d/{name}": name for name in names})
        tree = Tree(tmp_path)
        tree.add_directory(tmp_path / "d")
        assert set(members_of(tree, tmp_path / "archive")) >= {f"tree/d/{name}" for name in names}
        assert len(tree.manifest().splitlines()) == len(names) + 2

    def test_a_link_to_a_directory_that_is_asked_for_is_a_directory_in_any_order(
        self, tmp_path: Path, write: Write
    ) -> None:
        write({"real/f": "x"})
        (tmp_path / "link").symlink_to("real")
        for order in ([tmp_path, tmp_path / "link"], [tmp_path / "link", tmp_path]):
            tree = Tree(tmp_path)
            for path in order:
                tree.add_directory(path)
            members = members_of(tree, tmp_path.parent / "archive")
            assert members["tree/link"].isdir() and members["tree/link/f"].isreg()

    def test_hard_links_are_files_of_their_own(self, tmp_path: Path, write: Write) -> None:
        write({"d/a": "x"})
        os.link(tmp_path / "d/a", tmp_path / "d/b")
        tree = Tree(tmp_path)
        tree.add_directory(tmp_path / "d")
        assert all(member.isreg() for name, member in members_of(tree, tmp_path / "archive").items() if len(name) > 6)

    @pytest.mark.parametrize("is_directory", [True, False])
    def test_what_cannot_be_read_is_named(self, tmp_path: Path, write: Write, is_directory: bool) -> None:
        write({"data/key/x" if is_directory else "data/key": "secret"})
        (tmp_path / "data/key").chmod(0)
        program = (
            "import sys\nfrom pathlib import Path\nfrom otto_docker_sync._stack.tree import Tree\n"
            "try: Tree(Path(sys.argv[1])).add_directory(Path(sys.argv[1]) / 'data')\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        printed = run_as_nobody(program, tmp_path)
        assert printed.startswith(f"ConfigError {tmp_path}/data/key: Permission denied")

    def test_files_that_come_and_go(self, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        write({"data/a": "x", "data/b": "y", "data/sub/c": "z"})
        scan = os.scandir

        def vanishing(place: Path) -> object:
            found = scan(place)
            if place.name == "data":
                (tmp_path / "data/a").unlink()
                (tmp_path / "data/sub/c").unlink()
                (tmp_path / "data/sub").rmdir()
            return found

        monkeypatch.setattr(os, "scandir", vanishing)
        tree = Tree(tmp_path)
        tree.add_directory(tmp_path / "data")
        assert [line.split(" ")[1] for line in tree.manifest().splitlines()] == ["tree", "tree/data", "tree/data/b"]

    def test_a_tree_deeper_than_python_calls(self, tmp_path: Path) -> None:
        at = os.open(tmp_path, os.O_RDONLY)
        for _ in range(1100):
            os.mkdir("d", dir_fd=at)
            below = os.open("d", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)
        tree = Tree(tmp_path)
        tree.add_directory(tmp_path / "d")
        assert len(members_of(tree, tmp_path.parent / "archive")) == 1101
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest's own way calls itself for each level

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        Path(os.fsdecode(os.fsencode(tmp_path / "d") + b"/\xff")).write_text("x")
        tree = Tree(tmp_path)
        tree.add_directory(tmp_path / "d")
        assert os.fsdecode(b"tree/d/\xff") in members_of(tree, tmp_path / "archive")
        assert tree.manifest().encode("utf-8", "surrogateescape").endswith(b" tree/d/\xff\n")

    def test_a_file_that_goes_before_it_is_packed(self, tmp_path: Path, write: Write) -> None:
        write({"data/a": "x"})
        tree = Tree(tmp_path)
        tree.add_directory(tmp_path / "data")
        (tmp_path / "data/a").unlink()
        with pytest.raises(ConfigError, match="data/a: No such file"):
            tree.pack(tmp_path / "archive", {})


@pytest.mark.parametrize(
    ("rules", "path", "is_excluded"),
    [
        ("*.log", "a.log", True),
        ("*.log", "sub/a.log", False),
        ("**/*.log", "sub/a.log", True),
        ("**/*.log", "a.log", True),
        ("/build/", "build/x/y", True),
        ("build", "rebuild", False),
        ("*\n!src", "src/a", False),
        ("*\n!src\nsrc/b", "src/b", True),
        ("# comment\n\n  a  ", "a", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].c", "b.c", True),
        ("[^ab].c", "b.c", False),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**", "a/b", True),
        ("./a/../b", "b", True),
        ("a.c", "axc", False),
        (".", "a", False),
    ],
)
def test_dockerignore_rules(rules: str, path: str, is_excluded: bool) -> None:
    assert DockerIgnore(rules.splitlines()).excludes(path) is is_excluded


def run_as_nobody(program: str, directory: Path) -> str:
    """Run Python as a user who owns nothing, with our modules in its memory already."""
    nobody = pwd.getpwnam("nobody")
    for parent in [directory, *directory.parents][:-1]:
        if parent.owner() == "root" and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o755)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            os.dup2(writer, 1)
            import sys

            sys.argv = ["-c", str(directory)]
            sys.stdout = os.fdopen(1, "w")
            exec(program, {})
            sys.stdout.flush()
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as output:
        text = output.read()
    os.waitpid(child, 0)
    return text
