"""The documentation is built, without a warning."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from otto_docker_sync import SSHOptions
from otto_docker_sync._shell.warden import State

pytestmark = pytest.mark.timeout(200)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages(rig, tmp_path_factory) -> Path:
    return Path(rig.once("docs", lambda: str(build(tmp_path_factory.mktemp("docs")))))


def build(directory: Path) -> Path:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-W",
            "--keep-going",
            "-d",
            directory / "trees",
            "docs",
            directory / "html",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return directory / "html"


def test_every_page_is_there_and_reachable(pages):
    sources = {path.relative_to(ROOT / "docs").with_suffix("") for path in Path(ROOT, "docs").rglob("*.rst")}
    front = (pages / "index.html").read_text()
    assert not [str(source) for source in sources - {Path("index")} if f'href="{source}.html"' not in front]


def test_the_tutorial_says_what_happens(unix_host, ctr, tmp_path, monkeypatch):
    (tmp_path / "settings.conf").write_text("colour = green\n")
    monkeypatch.chdir(tmp_path)
    failed, attempted = doctest.testfile(
        str(ROOT / "docs" / "tutorial.rst"), module_relative=False, globs={"machine": unix_host, "api": ctr}
    )
    assert (failed, attempted > 10) == (0, True)
    assert (tmp_path / "hostname").exists()
    ctr.oneshot("rm /tmp/settings.conf", check=True)


def test_the_robot_keywords_have_their_page(pages):
    assert "Run Oneshot" in (pages / "OttoDockerLibrary.html").read_text()
    assert 'href="../OttoDockerLibrary.html"' in (pages / "howto" / "robot.html").read_text()


def test_the_reference_has_every_public_name(pages):
    import otto_docker_sync

    text = "".join(path.read_text() for path in (pages / "reference").glob("*.html"))
    assert not [name for name in otto_docker_sync.__all__ if f".{name}" not in text]


def test_the_readme_program_runs(sshd, ctr, capsys, tmp_path, monkeypatch):
    """The first program of the README, on this lab's machine and container."""
    program = code_blocks(ROOT / "README.rst", "python")[0]
    for name, actual in [('"lab1.example", "tester"', "**machine"), ('"api-1"', "container")]:
        assert name in program
        program = program.replace(name, actual)
    machine = {
        "host": sshd.host,
        "user": sshd.user,
        "port": sshd.port,
        "ssh": SSHOptions(identity_file=sshd.identity_file, known_hosts=sshd.known_hosts),
    }
    ctr.oneshot(
        """
        mkdir -p /srv/api && cd /srv/api
        echo 'echo tested' >selftest
        echo 'printf "Really? "; read -r answer; [ "$answer" = yes ]' >setup
        chmod +x selftest setup; : >"/a name with spaces"
        """,
        check=True,
    )
    monkeypatch.chdir(tmp_path)
    Path("settings.toml").write_text("colour = 'green'\n")
    try:
        exec(program, {"machine": machine, "container": ctr.container_id})
        said = capsys.readouterr().out
        assert "/srv/api\ntest\n" in said and "SUCCESS 0 tested\n" in said and "a name with spaces" in said
        assert ctr.oneshot("cat /srv/api/settings.toml").output == "colour = 'green'\n"
    finally:
        ctr.oneshot("rm -rf /srv '/a name with spaces'", check=True)


def test_the_example_of_mounts_runs(account, container, container_host, capsys):
    logs = account.home / "logs"
    logs.mkdir()
    (logs / "app.log").write_text("ready\n")
    web = container_host(container("busybox", "--volume", f"{logs}:/var/log/app", "--tmpfs", "/scratch"))
    exec(code_blocks(ROOT / "docs" / "howto" / "paths.rst", "python")[0], {"web": web})
    assert capsys.readouterr().out == f"/scratch is tmpfs memory\n/var/log/app is bind {logs}\nready\n\n"


def test_the_example_of_testinfra_runs(unix_host, ctr):
    namespace = {}
    exec(code_blocks(ROOT / "docs" / "howto" / "pytest.rst", "python")[0], namespace)
    for host in (unix_host, ctr):
        namespace["test_the_configuration_is_private"](host)


def code_blocks(page: Path, language: str) -> list[str]:
    blocks = re.findall(rf"\.\. code-block:: {language}\n\n((?:    ?.*\n|\n)+)", page.read_text())
    assert blocks, f"{page} has no block of {language}"
    return [textwrap.dedent(block) for block in blocks]


def test_the_traps_name_tests_that_exist():
    files = {
        path.relative_to(ROOT / "tests").with_suffix("").as_posix() for path in (ROOT / "tests").rglob("test_*.py")
    }
    named = set(re.findall(r"``((?:\w+/)*test_\w+)``", (ROOT / "docs" / "traps.rst").read_text()))
    assert len(named) > 10
    assert not {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)}


def test_the_protocols_page_has_every_word():
    """What scripts say, the orders and states of a warden."""
    page = (ROOT / "docs" / "protocols.rst").read_text()
    said = set()
    for script in (ROOT / "otto_docker_sync").glob("_[ts]*/*.sh"):
        for line in script.read_text().splitlines():
            said |= set(re.findall(r"\bsay '?([a-z][\w-]*)", line.partition("#")[0]))
    orders = re.findall(r"^# ID (\w+)", (ROOT / "otto_docker_sync" / "_shell" / "warden.sh").read_text(), re.MULTILINE)
    states = [state.name for state in State]
    assert len(said) > 10 and len(orders) == 4
    assert not [word for word in said if not re.search(rf"``{word}[ `]", page)]
    assert not [word for word in orders if f"``ID {word}" not in page]
    assert not [name for name in states if not re.search(rf"^{name} ", page, re.MULTILINE)]


def test_the_page_of_environment_variables_has_every_one():
    page = (ROOT / "docs" / "reference" / "environment.rst").read_text()
    named = set()
    for module in (ROOT / "otto_docker_sync").rglob("*.py"):
        if module.parent.name != "_sandbox":
            named |= set(re.findall(r"\bOTTO_[A-Z_]+", module.read_text()))
    assert len(named) > 5
    assert not {name for name in named if f"``{name}``" not in page}


@pytest.mark.parametrize("page", ["architecture", "protocols"])
def test_the_pages_for_contributors_name_what_exists(page):
    """Files, classes and their methods."""
    words = set(re.findall(r"\w[\w./]+", (ROOT / "docs" / f"{page}.rst").read_text()))
    package = ROOT / "otto_docker_sync"
    modules = list(package.rglob("*.py"))
    sources = "\n".join(module.read_text() for module in modules)
    paths = (*modules, *package.rglob("*.sh"), *(ROOT / "tests").rglob("*.py"))
    files = [path.relative_to(ROOT).as_posix() for path in paths]
    named_files = {word for word in words if word.endswith((".py", ".sh"))}
    assert not [word for word in named_files if not any(f"/{file}".endswith(f"/{word}") for file in files)]
    classes = set(re.findall(r"^class (\w+)", sources, re.MULTILINE))
    methods = set(re.findall(r"^    def (\w+)", sources, re.MULTILINE)) | {"__init__"}
    dotted = [word.split(".") for word in words if re.fullmatch(r"[A-Z]\w+\.[a-z_]\w*", word)]
    assert not [names for names in dotted if names[0] not in classes or names[1] not in methods]


def test_the_messages_that_are_explained_are_those_of_today():
    page = (ROOT / "docs" / "troubleshooting.rst").read_text()
    quoted = [quote for line in page.splitlines() if line.startswith("``") for quote in re.findall("``(.+?)``", line)]
    sources = [ast.parse(module.read_text()) for module in (ROOT / "otto_docker_sync").rglob("*.py")]
    messages = [text for source in sources for text in texts_of(source)]
    assert len(quoted) > 20
    assert not [quote for quote in quoted if not any(matches(quote, message) for message in messages)]


def texts_of(source: ast.AST) -> Iterator[str]:
    """The strings of a module, with "…" in place of what is filled in."""
    for node in ast.walk(source):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{\w*\}", "…", node.value)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)


def matches(quote: str, message: str) -> bool:
    """Whether all words of `quote` are in `message`, in this order."""
    at = 0
    for words in quote.split("…"):
        at = message.find(words.strip(), at)
        if at < 0:
            return False
        at += len(words.strip())
    return True
