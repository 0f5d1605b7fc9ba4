"""Make the pictures of the terminal in docs/images: runs ``otto-docker`` on real terminals and draws what they show.

python tools/screenshots.py [NAME...]
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pexpect
import pyte

from otto_docker_sync._sandbox import Docker, Sshd, Workspace, docker_for, import_busybox, temporary_workspace

IMAGES = Path(__file__).parent.parent / "docs" / "images"
OTTO_DOCKER = str(Path(sys.executable).with_name("otto-docker"))
COLUMNS, ROWS = 92, 120
FONTS = "Menlo, Consolas, DejaVu Sans Mono, monospace"
CELL, LINE, MARGIN, BAR = 8.4, 18, 14, 40
COLORS = {
    "default": "#c5c8c6",
    "black": "#7c7f83",
    "red": "#e06c75",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": "#ffffff",
}

SHOTS = {
    "hosts": ["otto-docker hosts"],
    "stack": ["otto-docker up", "otto-docker run bench.shop.web 'echo hello from $(hostname)'", "otto-docker ps bench"],
    "errors": ["otto-docker run bench.shop.wbe true", "otto-docker run -t 1 bench sleep 60", "echo $?"],
    "doctor": ["otto-docker doctor"],
    "top": ["otto-docker top --once"],
    "demo": ["otto-docker demo"],
}
"""What is typed for each picture."""

BACKGROUND = {"top": "otto-docker reserve bench --reason nightly -- otto-docker oneshot bench.shop.web sleep 300"}
"""What runs meanwhile."""

COMPOSE = """
services:
  web: {{image: "{image}", hostname: web, network_mode: none, stop_signal: KILL}}
  db: {{image: "{image}", hostname: db, network_mode: none, stop_signal: KILL}}
"""

LAB = """
[hosts.bench]
host = "127.0.0.1"
port = {port}
user = "root"
identity_file = "{key}"
known_hosts = "{known_hosts}"
resources = ["power-1"]

[hosts.cold]
host = "127.0.0.1"
port = 1
hop = "bench"

[projects.shop]
compose_files = ["compose.yml"]
default_host = "bench"
services = ["web", "db"]
"""


def main(names: list[str]) -> None:
    IMAGES.mkdir(exist_ok=True)
    with temporary_workspace() as workspace:
        docker = docker_for(workspace)
        with stack(workspace, docker) as directory:
            for name in names or SHOTS:
                with running(BACKGROUND.get(name), directory):
                    draw(name, shown(SHOTS[name], directory))


@contextmanager
def stack(workspace: Workspace, docker: Docker) -> Iterator[Path]:
    """A directory with a lab file whose parts are real."""
    directory = workspace.directory("shots")
    sshd = Sshd(workspace, environ=docker.environ)
    (directory / "compose.yml").write_text(COMPOSE.format(image=import_busybox(docker, workspace)))
    (directory / "lab.toml").write_text(
        LAB.format(port=sshd.port, key=sshd.identity_file, known_hosts=sshd.known_hosts)
    )
    try:
        yield directory
    finally:
        pexpect.run(f"{OTTO_DOCKER} down", cwd=str(directory), timeout=60)


@contextmanager
def running(command: str | None, directory: Path) -> Iterator[None]:
    """Have a command run inside the block, which begins when ``top`` shows it."""
    if command is None:
        yield
        return
    environ = {**os.environ, "PATH": f"{Path(OTTO_DOCKER).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(shlex.split(command), cwd=directory, env=environ)
    try:
        while not any(row["commands"] and "." in row["host"] for row in looked_at(directory)["hosts"]):
            time.sleep(0.5)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def looked_at(directory: Path) -> Any:
    """What ``top`` says."""
    return json.loads(subprocess.run([OTTO_DOCKER, "top", "--json"], cwd=directory, stdout=subprocess.PIPE).stdout)


def shown(commands: list[str], directory: Path) -> pyte.Screen:
    """What a terminal of COLUMNS shows when these are typed one after the other."""
    environ = {**os.environ, "TERM": "xterm-256color", "PATH": f"{Path(OTTO_DOCKER).parent}:{os.environ['PATH']}"}
    prompt = r"printf '\033[1;32m$\033[0m %s\n'"
    typed = "; ".join(f"{prompt} {shlex.quote(each)}; (exit $s); {each}; s=$?" for each in commands)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    terminal = pexpect.spawn(
        "sh", ["-c", typed], cwd=str(directory), env=environ, encoding="utf-8", timeout=120, dimensions=(ROWS, COLUMNS)
    )
    stream.feed(terminal.read())
    terminal.close()
    return screen


def draw(name: str, screen: pyte.Screen) -> None:
    """Write the picture: a text element for each row, a tspan for each run of one style."""
    count = max(number for number, line in enumerate(screen.display) if line.strip()) + 1
    width, height = COLUMNS * CELL + 2 * MARGIN, count * LINE + BAR + MARGIN
    lines = [f'<text y="{BAR + number * LINE + 14}">{spans(screen, number)}</text>' for number in range(count)]
    dots = [
        f'<circle cx="{MARGIN + 8 + 20 * i}" cy="20" r="6" fill="{c}"/>'
        for i, c in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    ]
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-family="{FONTS}" '
        f'font-size="14" fill="{COLORS["default"]}" xml:space="preserve">',
        '<rect width="100%" height="100%" rx="8" fill="#1d1f21"/>',
        *dots,
        *(line for line in lines if "<tspan" in line),
        "</svg>\n",
    ]
    (IMAGES / f"{name}.svg").write_text("\n".join(svg))


def spans(screen: pyte.Screen, number: int) -> str:
    """The runs of one row; each says where it begins and how wide it is, so that any monospace font will do."""
    cells = [screen.buffer[number][column] for column in range(COLUMNS)]
    result = []
    for (fg, bold), run in itertools.groupby(range(COLUMNS), lambda column: (cells[column].fg, cells[column].bold)):
        columns = list(run)
        text = "".join(cells[column].data for column in columns)
        for word in re.finditer(r"\S+(?: \S+)*", text):
            x, width = MARGIN + (columns[0] + word.start()) * CELL, len(word[0]) * CELL
            style = f'x="{x:.1f}" textLength="{width:.1f}"'
            style += f' fill="{color(fg)}"' if fg != "default" else ""
            style += ' font-weight="bold"' if bold else ""
            result.append(f"<tspan {style}>{escape(word[0])}</tspan>")
    return "".join(result)


def color(name: str) -> str:
    """The value of a colour that pyte names, or has as hexadecimal digits."""
    return COLORS.get(name.removeprefix("bright"), f"#{name}")


if __name__ == "__main__":
    main(sys.argv[1:])
