"""What of a compose directory goes to the parent, and what stays."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from otto_docker_sync._stack.compose_files import ComposeDirectory, DockerIgnore
from otto_docker_sync.errors import ConfigError

Pack = Callable[..., dict[str, bytes]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Mapping[str, str]], None]:
    def write(files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


@pytest.fixture
def pack(tmp_path: Path, write: Callable[[Mapping[str, str]], None]) -> Pack:
    """Write files, pack what the first needs, and return the archive's members."""

    def pack(files: Mapping[str, str], environment: Mapping[str, str] | None = None) -> dict[str, bytes]:
        write(files)
        directory = ComposeDirectory([tmp_path / next(iter(files))], environment or {})
        directory.pack(tmp_path / "archive")
        with tarfile.open(tmp_path / "archive") as tar:
            files_in = [member for member in tar.getmembers() if not member.isdir()]
            return {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in files_in}

    return pack


def below(members: dict[str, bytes]) -> set[str]:
    return {name.removeprefix("tree/") for name in members if name.startswith("tree/")}


def test_what_the_compose_file_refers_to_goes(pack: Pack) -> None:
    compose = """
    services:
      api:
        build: .
        env_file: [api.env, {path: other.env, required: false}]
        volumes: ["./conf:/conf:ro", "named:/data", "/abs:/abs", {type: bind, source: html, target: /html}]
      db:
        build: {context: ctx, dockerfile: ../Dockerfile.db, additional_contexts: {more: ./more}}
    configs: {c: {file: ./c.conf}}
    secrets: {s: {file: s.txt}}
    """
    everything = {
        "compose.yml": compose.replace("build: .\n", "build: image\n"),
        **dict.fromkeys([".env", "api.env", "other.env", "conf/a", "conf/sub/b", "html/index", "c.conf", "s.txt"], "x"),
        **dict.fromkeys(["image/Dockerfile", "image/f", "ctx/g", "Dockerfile.db", "more/m"], "x"),
    }
    assert below(pack({**everything, "notes": "x", "named/x": "x"})) == set(everything)


def test_a_context_above_keeps_its_place(pack: Pack) -> None:
    members = pack(
        {
            "docker/compose.yml": "services: {api: {build: {context: .., dockerfile: docker/Dockerfile}}}",
            "docker/Dockerfile": "FROM scratch",
            "src/main.c": "int main;",
            ".dockerignore": "*.o\nsecret\n",
            "src/main.o": "x",
            "main.o": "x",
            "secret/key": "x",
        }
    )
    assert below(members) == {"docker/compose.yml", "docker/Dockerfile", "src/main.c", ".dockerignore", "src/main.o"}
    assert b'cd "$d"/tree/docker || exit' in members["setup"]


def test_what_is_ignored_for_building_goes_when_it_is_an_env_file(pack: Pack) -> None:
    members = pack(
        {
            "compose.yml": "services: {api: {build: ., env_file: api.env}}",
            "Dockerfile": "FROM scratch",
            ".dockerignore": "*\n!src\n",
            "api.env": "A=1",
            "other.env": "B=1",
            "src/a": "x",
        }
    )
    assert below(members) == {"compose.yml", "Dockerfile", ".dockerignore", "api.env", "src/a"}


def test_extended_and_included_files_go_with_what_they_need(pack: Pack) -> None:
    members = pack(
        {
            "compose.yml": "include: [part/compose.yml]\nservices: {api: {extends: {file: base/b.yml, service: x}}}",
            "base/b.yml": "services: {x: {image: i, env_file: b.env}}",
            "base/b.env": "A=1",
            "part/compose.yml": "services: {db: {image: i, volumes: ['./d:/d']}}",
            "part/d/f": "x",
        }
    )
    assert below(members) == {"compose.yml", "base/b.yml", "base/b.env", "part/compose.yml", "part/d/f"}


def test_services_are_those_of_all_files(tmp_path: Path, write: Callable[[Mapping[str, str]], None]) -> None:
    write({"a.yml": "services: {api: {image: i}}", "b.yml": "services: {db: {image: i}, api: !reset null}"})
    directory = ComposeDirectory([tmp_path / "a.yml", tmp_path / "b.yml"], {})
    assert (directory.services, directory.complete) == ({"api", "db"}, True)


def test_variables_travel_in_a_file_that_a_shell_reads(pack: Pack) -> None:
    compose = """
    services:
      api:
        image: "i:${TAG:-latest}"
        command: "echo $$HOME $HOME ${A:?no A} $MISSING"
        environment: [TOKEN, GIVEN=1]
      db: {image: i, environment: {PASSED: null}, build: {context: ., args: [ARG]}}
    """
    values = {"TAG": "it's", "A": "a b", "TOKEN": "$(x)\nline", "PASSED": "p", "ARG": "g", "HOME": "/h", "OTHER": "o"}
    setup = pack({"compose.yml": compose}, values)["setup"].decode()
    exported = dict(line.removeprefix("export ").split("=", 1) for line in setup.split("\nexport ") if "=" in line)
    assert set(exported) == {"TAG", "A", "TOKEN", "PASSED", "ARG"}
    script = setup.splitlines()[: setup.count("\n") - 3]
    shell = subprocess.run(
        ["sh", "-c", "\n".join(script) + '\nprintf "%s|" "$TAG" "$TOKEN"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == "it's|$(x)\nline|"


def test_the_choice_of_profiles_travels_too(pack: Pack) -> None:
    members = pack({"compose.yml": "services: {}"}, {"COMPOSE_PROFILES": "debug,load"})
    assert b"export COMPOSE_PROFILES=debug,load\n" in members["setup"]


def test_variables_are_put_into_paths(pack: Pack) -> None:
    compose = "services: {api: {image: i, volumes: ['${DATA:-./data}:/d', '$CONF:/c'], env_file: '${NAME}.env'}}"
    files = {"compose.yml": compose, ".env": "NAME=n\n# no\n", "data/f": "x", "conf/f": "x", "n.env": "x"}
    assert below(pack(files, {"CONF": "./conf"})) == set(files)


@pytest.mark.parametrize("context", ["https://example.org/repo.git", "git@example.org:repo", "~/x", "/abs/path"])
def test_what_is_elsewhere_stays_there(pack: Pack, context: str) -> None:
    compose = f"services: {{api: {{build: '{context}', volumes: ['~/x:/x', 'vol:/v']}}}}"
    assert below(pack({"compose.yml": compose})) == {"compose.yml"}


def test_what_is_missing_is_left_to_compose(pack: Pack) -> None:
    compose = "services: {api: {build: none, env_file: none.env, volumes: ['./none:/n']}}"
    assert below(pack({"compose.yml": compose})) == {"compose.yml"}


def test_modes_and_links_are_kept_owners_are_not(tmp_path: Path, write: Callable[[Mapping[str, str]], None]) -> None:
    write({"compose.yml": "services: {api: {image: i, volumes: ['./d:/d']}}", "d/run": "x"})
    (tmp_path / "d/run").chmod(0o755)
    (tmp_path / "d/empty").mkdir(mode=0o700)
    (tmp_path / "d/link").symlink_to("run")
    (tmp_path / "d/dirlink").symlink_to("empty")
    ComposeDirectory([tmp_path / "compose.yml"], {}).pack(tmp_path / "archive")
    with tarfile.open(tmp_path / "archive") as tar:
        assert tar.getmember("tree/d/run").mode & 0o777 == 0o755
        assert tar.getmember("tree/d/empty").isdir()
        assert (tar.getmember("tree/d/link").linkname, tar.getmember("tree/d/dirlink").linkname) == ("run", "empty")
        assert {(member.uid, member.gid, member.uname) for member in tar} == {(0, 0, "")}


def test_the_digest_tells_whether_anything_changed(tmp_path: Path, write: Callable[[Mapping[str, str]], None]) -> None:
    write({"compose.yml": "services: {api: {image: $TAG, volumes: ['./d:/d']}}", "d/f": "x"})

    def digest(tag: str = "1") -> str:
        return ComposeDirectory([tmp_path / "compose.yml"], {"TAG": tag}).pack(tmp_path / "archive")

    first = digest()
    assert digest() == first != digest("2")
    (tmp_path / "d/f").write_text("y")
    assert digest() != first
    assert gzip.decompress((tmp_path / "archive").read_bytes())[257:262] == b"ustar"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: [", "does not parse.*line 1"),
        ("services:\n\tapi: {}", "does not parse.*line 2"),
        ("just text", "does not parse.*no table of services"),
        ("", "does not parse"),
        ("services: {api: {extends: {file: none.yml, service: x}}}", "extends 'none.yml'.*no such file"),
    ],
)
def test_a_compose_file_that_does_not_parse(pack: Pack, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)compose.yml.*{message}"):
        pack({"compose.yml": text})


def test_a_compose_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: No such file"):
        ComposeDirectory([tmp_path / "none.yml"], {})


def test_a_file_that_includes_itself_ends(pack: Pack) -> None:
    assert below(pack({"compose.yml": "include: compose.yml\nservices: {}"})) == {"compose.yml"}


@pytest.mark.parametrize(
    ("rules", "path", "left_out"),
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
def test_dockerignore_rules(rules: str, path: str, left_out: bool) -> None:
    assert DockerIgnore(rules.splitlines()).leaves_out(path) is left_out


def test_names_with_a_newline_quote_or_dash_are_packed(pack: Pack) -> None:
    names = ["-f", "it's", "new\nline", "ü", " "]
    files = {"compose.yml": "services: {api: {image: i, volumes: ['./d:/d']}}", **{f"d/{name}": name for name in names}}
    assert below(pack(files)) == set(files)
