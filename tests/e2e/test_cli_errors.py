"""What cannot be done is told in one message, with status 255, and nothing is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from otto_docker_sync.cli.registry import COMMANDS

OTTO_DOCKER = str(Path(sys.executable).with_name("otto-docker"))

LAB = """
name = "bench"

[hosts.gateway]
host = "192.0.2.1"

[hosts.carrot]
host = "192.0.2.10"
user = "tester"
port = 2222
hop = "gateway"
resources = ["power", "carrot"]

[hosts.plain]
host = "192.0.2.11"
docker_capable = false

[projects.repo1]
compose_files = ["compose.yml"]
default_host = "carrot"
services = ["api", "db"]
"""

COMPOSE = """
services:
  api: {image: busybox}
  db: {image: busybox}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "compose.yml").write_text(COMPOSE)
    (tmp_path / "lab.toml").write_text(LAB)
    return tmp_path


def otto(directory: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [OTTO_DOCKER, *args],
        cwd=directory,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def refused(directory: Path, *args: str, **environment: str) -> str:
    """The message of a command line that must fail."""
    done = otto(directory, *args, **environment)
    assert done.returncode == 255, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("otto-docker: ") and done.stderr.count("otto-docker: ") == 1
    return done.stderr


# The lab file


def test_no_lab_file_anywhere(tmp_path: Path) -> None:
    assert "no lab.toml" in refused(tmp_path, "hosts") and "--lab" in refused(tmp_path, "hosts")


def test_a_lab_file_that_is_not_there(tmp_path: Path) -> None:
    assert "elsewhere.toml" in refused(tmp_path, "--lab", "elsewhere.toml", "hosts")


def test_broken_toml_names_the_file_and_the_line(lab: Path) -> None:
    (lab / "lab.toml").write_text('name = "bench"\n[hosts.carrot\n')
    message = refused(lab, "hosts")
    assert str(lab / "lab.toml") in message and "line 2" in message


@pytest.mark.parametrize(
    "line, table, right",
    [("hosst = 1", "hosts.carrot", "host"), ("identity_fiel = 'x'", "hosts.carrot", "identity_file")],
)
def test_an_unknown_key_is_told_with_the_nearest_right_one(lab: Path, line: str, table: str, right: str) -> None:
    (lab / "lab.toml").write_text(f'[{table}]\nhost = "192.0.2.10"\n{line}\n')
    message = refused(lab, "hosts")
    assert line.split()[0] in message and table in message and f"'{right}'" in message


# What is named on the command line


@pytest.mark.parametrize(
    "command",
    [
        ("run", "carrrot", "true"),
        ("put", "carrrot", "a", "b"),
        ("ps", "carrrot"),
        ("doctor", "carrrot"),
        ("up", "--on", "carrrot"),
        ("--dry-run", "run", "carrrot", "true"),
    ],
    ids=" ".join,
)
def test_an_unknown_host_id_is_told_with_the_nearest(lab: Path, command: tuple[str, ...]) -> None:
    message = refused(lab, *command)
    assert "'carrrot'" in message and "'carrot'" in message


@pytest.mark.parametrize("verb", ["up", "down", "logs"])
def test_an_unknown_project_is_told_with_the_nearest(lab: Path, verb: str) -> None:
    message = refused(lab, verb, "repo2")
    assert "repo2" in message and "repo1" in message


def test_a_project_has_to_be_named_where_there_are_two(lab: Path) -> None:
    (lab / "lab.toml").write_text(LAB + '[projects.repo2]\ncompose_files = ["compose.yml"]\ndefault_host = "carrot"\n')
    message = refused(lab, "up")
    assert "repo1" in message and "repo2" in message


def test_there_is_no_project_at_all(lab: Path) -> None:
    (lab / "lab.toml").write_text(LAB.partition("[projects")[0])
    assert "project" in refused(lab, "up")


def test_a_compose_file_that_is_not_there(lab: Path) -> None:
    (lab / "compose.yml").unlink()
    assert "compose.yml: No such file" in refused(lab, "up")


def test_a_parent_that_is_not_docker_capable(lab: Path) -> None:
    message = refused(lab, "up", "--on", "plain")
    assert "plain" in message and "docker_capable" in message


@pytest.mark.parametrize(
    "args, hint",
    [
        (("hosts", "--json"), "before the command"),
        (("run", "-v", "carrot", "true"), "before the command"),
        (("nonsense",), "nonsense"),
        (("run", "carrot"), "CMD"),
        (("run", "carrot", "--"), "CMD"),
        (("run", "-t", "soon", "carrot", "true"), "--timeout"),
        (("run", "-t", "-1", "carrot", "true"), "timeout"),
        (("run", "-t", "nan", "carrot", "true"), "timeout"),
        (("put", "carrot", "only-one"), "DEST"),
        (("put", "--mode", "rwx", "carrot", "a", "b"), "0755"),
        (("put", "carrot", "not-there", "/tmp"), "not-there"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_command_line_that_says_nothing(lab: Path, args: tuple[str, ...], hint: str) -> None:
    assert hint in refused(lab, *args)


def test_the_extra_is_missing() -> None:
    program = "import sys; sys.modules['typer'] = None; from otto_docker_sync.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert done.stderr == "otto-docker: the command line needs typer: pip install 'otto-docker-sync[cli]'\n"


def test_verbose_shows_the_traceback(lab: Path) -> None:
    done = otto(lab, "-v", "run", "carrrot", "true")
    assert done.returncode == 255 and "Traceback" in done.stderr


# Options in the wrong place, and stdin


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (("oneshot", "carrot", "-t", "5", "ls", "-l"), "otto-docker oneshot -t 5 carrot ls -l"),
        (("run", "carrot", "--timeout=5", "ls"), "otto-docker run --timeout=5 carrot ls"),
        (("run", "carrot", "--json", "ls"), "otto-docker --json run carrot ls"),
        (("run", "carrot", "--help"), "otto-docker run --help"),
        (("run", "carrot", "-x", "ls"), "otto-docker run carrot -- -x ls"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_option_after_the_host_is_explained(lab: Path, words: tuple[str, ...], right: str) -> None:
    assert refused(lab, *words).rstrip().endswith(right)


@pytest.mark.parametrize(("verb", "host"), [("run", "carrot"), ("oneshot", "c*t")])
def test_data_on_stdin_that_nobody_would_read_is_refused(lab: Path, verb: str, host: str) -> None:
    command = [OTTO_DOCKER, verb, host, "cat"]
    piped = subprocess.run(command, cwd=lab, input="data", capture_output=True, text=True, check=False)
    (lab / "data").write_text("data")
    with (lab / "data").open() as file:
        read = subprocess.run(command, cwd=lab, stdin=file, capture_output=True, text=True, check=False)
    for done in (piped, read):
        assert (done.returncode, done.stdout) == (255, "")
        assert "stdin" in done.stderr and f"otto-docker put {host}" in done.stderr


def test_put_says_that_the_host_is_a_word_of_its_own(lab: Path) -> None:
    assert "carrot /tmp/f" in refused(lab, "get", "carrot:/tmp/f", "/tmp")


# Ctrl-C and closed streams

INTERRUPTED = """
import atexit, builtins, os, signal, sys
def interrupt(): os.kill(os.getpid(), signal.SIGINT)
real = builtins.__import__
def hook(name, *args, **kwargs):
    if name.endswith({moment!r}) or {moment!r} in ((args[2:3] or [()])[0] or ()):
        builtins.__import__ = real
        interrupt()
    return real(name, *args, **kwargs)
builtins.__import__ = hook
atexit.register(lambda: interrupt() if {moment!r} == "the end" else None)
from otto_docker_sync.cli import main
sys.argv = ["otto-docker", *{args!r}]
main()
"""


@pytest.mark.parametrize(
    ("moment", "args"),
    [
        ("typer", ["hosts"]),
        ("rich_utils", ["--help"]),
        ("pydantic", ["hosts"]),
        ("lab_file", ["oneshot", "carrot", "true"]),
        ("tomllib", []),
    ],
)
def test_ctrl_c_while_modules_load_is_quiet(lab: Path, moment: str, args: list[str]) -> None:
    completing = {"_OTTO_DOCKER_COMPLETE": "complete_bash", "COMP_WORDS": "otto-docker run c", "COMP_CWORD": "2"}
    done = python(lab, INTERRUPTED.format(moment=moment, args=args), **({} if args else completing))
    assert done.stderr == "" and done.returncode in (0, 130)
    assert moment == "rich_utils" or done.returncode == 130


def test_ctrl_c_after_the_end_changes_nothing(lab: Path) -> None:
    done = python(lab, INTERRUPTED.format(moment="the end", args=["hosts"]))
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("gateway")


def python(directory: Path, program: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=directory,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "status"),
    [("<&-", 0), (">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("> /dev/full", 255), ("2> /dev/full", 0)],
)
def test_whatever_stream_is_closed_there_is_no_traceback(lab: Path, redirection: str, status: int) -> None:
    script = f"{OTTO_DOCKER} hosts {redirection}"
    done = subprocess.run(["bash", "-c", script], cwd=lab, capture_output=True, text=True, check=False)
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


# JSON


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("oneshot", "carrrot", "true"), "UnknownHost"),
        (("oneshot",), "UsageError"),
        (("nonsense",), "UsageError"),
        (("put", "carrot", "not-there", "/tmp"), "LocalFileError"),
    ],
)
def test_an_error_is_json_too(lab: Path, words: tuple[str, ...], kind: str) -> None:
    done = otto(lab, "--json", *words)
    assert done.returncode == 255
    error = json.loads(done.stdout)
    assert (error["kind"], error["status"]) == (kind, 255)
    assert done.stderr == f"otto-docker: {error['error']}\n"


def test_an_error_of_a_command_names_the_help_of_that_command(lab: Path) -> None:
    assert "see otto-docker run --help" in refused(lab, "run", "carrot")
    assert "see otto-docker --help" in refused(lab, "nonsense")
    assert refused(lab, "rum").endswith("Did you mean 'run'? See otto-docker --help\n")


# Quick to start


@pytest.mark.parametrize("asked", ["", "complete_bash", "complete_zsh"])
def test_version_and_completion_load_next_to_nothing(lab: Path, asked: str) -> None:
    line = "otto-docker run carrot."
    environment = {"COMP_WORDS": line, "COMP_CWORD": "2", "_TYPER_COMPLETE_ARGS": line, "_OTTO_DOCKER_COMPLETE": asked}
    program = """
import sys
from otto_docker_sync.cli import main
sys.argv = ["otto-docker", *sys.argv[1:]]
try:
    main()
finally:
    heavy = {"typer", "click", "rich", "pydantic", "yaml", "paramiko", "logging", "inspect", "dataclasses", "asyncio"}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = python(lab, program, *([] if asked else ["--version"]), **environment)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert ("carrot.repo1.db" if asked else "otto-docker 0") in done.stdout


# Without contacting anybody


def test_hosts_lists_declared_containers_too(lab: Path) -> None:
    done = otto(lab, "hosts")
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["gateway", "carrot", "plain", "carrot.repo1.api", "carrot.repo1.db"]
    assert rows[1][1:] == ["ssh", "tester@192.0.2.10:2222 via gateway", "carrot power"]
    assert rows[3][1] == "container"


@pytest.mark.parametrize("columns", [40, 80])
def test_an_id_is_never_cut(lab: Path, columns: int) -> None:
    text = LAB.replace("carrot", "lab-17-rack3-slot12").replace("repo1", "payments-platform")
    (lab / "lab.toml").write_text(text.replace('"db"]', '"api#2"]'))
    terminal = pexpect.spawn(OTTO_DOCKER, ["hosts"], cwd=str(lab), encoding="utf-8", dimensions=(40, columns))
    shown = terminal.read()
    terminal.close()
    assert "lab-17-rack3-slot12.payments-platform.api " in shown
    assert "lab-17-rack3-slot12.payments-platform.api#2 " in shown


def test_hosts_says_why_some_are_not_listed(lab: Path) -> None:
    (lab / "lab.toml").write_text(LAB.replace('default_host = "carrot"\n', ""))
    assert "repo1: its services are not listed" in otto(lab, "hosts").stderr
    (lab / "lab.toml").write_text("")
    assert "[hosts.carrot]" in otto(lab, "hosts").stderr


def test_a_pattern_that_matches_no_host(lab: Path) -> None:
    assert "'*.apu'" in refused(lab, "oneshot", "*.apu", "true")


def test_hosts_as_json(lab: Path) -> None:
    every = json.loads(otto(lab, "--json", "hosts").stdout)
    assert every[1]["id"] == "carrot" and every[1]["resources"] == ["carrot", "power"]


def test_the_lab_file_is_found_upwards_by_variable_and_by_option(lab: Path) -> None:
    below = lab / "deep" / "down"
    below.mkdir(parents=True)
    elsewhere = lab / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.toml").write_text('[hosts.other]\nhost = "192.0.2.99"\n')
    assert otto(below, "hosts").stdout.startswith("gateway")
    assert otto(below, "hosts", OTTO_LAB="../../elsewhere/other.toml").stdout.startswith("other")
    assert otto(below, "--lab", str(lab / "lab.toml"), "hosts", OTTO_LAB="nowhere").stdout.startswith("gateway")


@pytest.mark.parametrize(
    "command",
    [
        ("run", "carrot.repo1.api", "make test"),
        ("put", "carrot", "a", "/b"),
        ("interact", "carrot"),
        ("forward", "carrot", "80"),
        ("up",),
        ("down", "repo1"),
        ("ps",),
        ("doctor",),
        ("demo",),
    ],
    ids=" ".join,
)
def test_dry_run_says_what_it_would_do_and_contacts_nothing(lab: Path, command: tuple[str, ...]) -> None:
    done = otto(lab, "--dry-run", *command)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("would ")


def test_dry_run_as_json(lab: Path) -> None:
    done = otto(lab, "--json", "--dry-run", "run", "carrot", "make", "test it")
    wanted = {"dry_run": True, "host": "carrot", "command": "make 'test it'"}
    assert wanted.items() <= json.loads(done.stdout).items()


def test_completion_of_host_ids_reads_the_lab_file_only(lab: Path) -> None:
    def completed(words: str) -> list[str]:
        environment = {
            "_OTTO_DOCKER_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        return otto(lab, **environment).stdout.split()

    assert completed("otto-docker run carrot.") == ["carrot.repo1.api", "carrot.repo1.db"]
    assert completed("otto-docker up re") == ["repo1"]
    assert completed("otto-docker logs --service a") == ["api"]
    assert completed("otto-docker logs ") == ["repo1", "carrot.repo1.api", "carrot.repo1.db"]
    assert completed("otto-docker doctor carrot gate") == ["gateway"]
    assert completed("otto-docker put carrot a") == []
    assert "--timeout" in completed("otto-docker run --ti")
    assert completed("otto-docker on") == ["oneshot"]
    assert completed("otto-docker --lab nowhere.toml run car") == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_has_a_help_text(tmp_path: Path, verb: str) -> None:
    done = otto(tmp_path, verb, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"Usage: otto-docker {verb}")
    assert "<" not in done.stdout, "a type of Python's"
    assert "bench." not in done.stdout, "an id that begins with the name of a lab"
