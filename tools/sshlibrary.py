"""Run SSHLibrary's own acceptance suites with SSHLibrary and with ours, and print how many tests of each suite pass.

python tools/sshlibrary.py ATEST [--library NAME] [--suite NAME]... [--output DIR]

ATEST is the folder ``atest`` of SSHLibrary's repository, which is not part of this project; tag v3.8.0 is the measure.
With our library, nothing of a suite is changed but its import line. Needs root, on Linux.

The suites want an sshd on port 22, the users ``test`` and ``testkey``, sudo, an SSH agent and a host google.com. So
each run has a network, a process table and a file system of its own (namespaces, with overlays on /etc, /home, /tmp
and /var), and leaves nothing of that behind.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from robot.api import ExecutionResult, ResultVisitor
from robotstatuschecker import process_output

OURS = "otto_docker_sync.robot.OttoDockerLibrary"
LIBRARIES = ("SSHLibrary", OURS)

OVERLAID = ("/etc", "/home", "/tmp", "/var")
"""What a run changes outside of its own directory."""

SSHD_LOG = "/var/log/atest-sshd.log"
SSHD_CONFIG = """\
Port 22
HostKey /etc/ssh/atest_key
Banner /etc/ssh/sshd-banner
Subsystem sftp internal-sftp
Subsystem subsys echo "Subsystem invoked."
PasswordAuthentication yes
PermitRootLogin no
MaxStartups 100
MaxSessions 100
UsePAM no
LogLevel VERBOSE
"""

SSH_CONFIG = """\
Host test_hostname
    Hostname localhost
    User test
    Port 22

Host testkey_hostname
    Hostname localhost
    User testkey
    Port 22
    IdentityFile {key}
"""


def main() -> int:
    """Run the suites with each library, and print both figures. Fails when ours passes fewer than it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("atest", type=Path)
    parser.add_argument("--library", dest="only", choices=["SSHLibrary", "ours"], help="one of the two only")
    parser.add_argument("--suite", action="append", default=[], help="run these suites only, such as 'login'")
    parser.add_argument("--output", type=Path, default=Path("build/sshlibrary"), help="for output.xml and log.html")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return run_inside(options)
    if not (options.atest / "connections.robot").is_file():
        parser.error(f"{options.atest} is not the atest folder of SSHLibrary's repository")
    if os.geteuid() != 0:
        parser.error("root is needed to make namespaces, users and an sshd on port 22")
    chosen = {"SSHLibrary": ["SSHLibrary"], "ours": [OURS], None: list(LIBRARIES)}[options.only]
    print_figures({library: run_apart(library, options) for library in chosen})
    return 0


def run_apart(library: str, options: argparse.Namespace) -> Path:
    """Run the suites in namespaces of their own; returns the directory of the outputs."""
    output: Path = options.output.resolve() / library.rpartition(".")[2]
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    name = "ours" if library == OURS else library
    suites = [part for suite in options.suite for part in ("--suite", suite)]
    arguments = [str(options.atest.resolve()), "--inside", "--library", name, "--output", str(output), *suites]
    namespaces = ["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
    subprocess.run(
        ["unshare", *namespaces, "--propagation", "private", sys.executable, __file__, *arguments],
        env={**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
        check=True,
    )
    process_output(str(output / "output.xml"))  # applies what a test's documentation expects of its log
    subprocess.run(
        [sys.executable, "-m", "robot.rebot", "--outputdir", str(output), str(output / "output.xml")],
        stdout=subprocess.DEVNULL,
    )
    return output


# What follows runs inside of the namespaces.


def run_inside(options: argparse.Namespace) -> int:
    """Make the machine that the suites expect, and run them."""
    output = make_private(options.output)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    atest = Path("/home/atest")
    shutil.copytree(options.atest, atest)
    make_users(atest / "testdata" / "keyfiles" / "id_rsa")
    environ = make_home(atest / "testdata" / "keyfiles" / "id_rsa")
    start_sshd()
    # What the tunnels lead to. Everything that was started here ends with the process table.
    website = ["-m", "http.server", "80", "--bind", "127.0.0.1", "--directory", "/var/empty-website"]
    subprocess.Popen([sys.executable, *website], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if options.only == "ours":
        change_imports(atest)
    try:
        run_robot(atest, options.suite, output, environ)
    finally:
        shutil.copy(SSHD_LOG, output)
    return 0


def make_private(output: Path) -> Path:
    """Let every change to the system's directories go to memory; returns where `output` can still be written to."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
    bound = Path("/mnt/output")
    bound.mkdir()
    subprocess.run(["mount", "--bind", str(output), str(bound)], check=True)
    for directory in OVERLAID:
        upper, work = (Path("/mnt", f"{directory.strip('/')}.{kind}") for kind in ("upper", "work"))
        upper.mkdir()
        work.mkdir()
        shutil.copystat(directory, upper)
        layers = f"lowerdir={directory},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", directory], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    Path("/var/empty-website").mkdir()
    return bound


def make_users(key: Path) -> None:
    """Make the two users, as the suites' README has them, and the key of the second."""
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    for user in ("test", "testkey"):
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", user], check=True)
        subprocess.run(["chpasswd"], input=f"{user}:{user}\n", text=True, check=True)
        with Path("/home", user, ".bashrc").open("a") as bashrc:
            bashrc.write("\nexport PS1='\\u@\\h \\W \\$ '\n")
    directory = Path("/home/testkey/.ssh")
    directory.mkdir(mode=0o700)
    (directory / "authorized_keys").write_text(Path(f"{key}.pub").read_text())
    subprocess.run(["chown", "-R", "testkey:testkey", str(directory)], check=True)
    Path("/etc/sudoers.d").mkdir(exist_ok=True)
    sudoers = Path("/etc/sudoers.d/atest")
    sudoers.write_text("test ALL=(ALL:ALL) PASSWD:ALL\n")
    sudoers.chmod(0o440)


def make_home(key: Path) -> dict[str, str]:
    """Make the home directory of the user who runs the suites, and start his SSH agent; returns the environment."""
    home = Path("/home/runner")
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh" / "config").write_text(SSH_CONFIG.format(key=key))
    hosts = Path("/etc/hosts")
    shutil.copy(hosts, home / "hosts")
    subprocess.run(["mount", "--bind", str(home / "hosts"), str(hosts)], check=True)
    hosts.write_text("127.0.0.1 localhost google.com " + os.uname().nodename + "\n")
    environ = {**os.environ, "HOME": str(home)}
    agent = subprocess.run(["ssh-agent", "-s"], env=environ, capture_output=True, text=True, check=True).stdout
    environ.update(re.findall(r"^(SSH_\w+)=([^;]+);", agent, re.MULTILINE))
    subprocess.run(["ssh-add", "-q", str(key)], env=environ, check=True)
    return environ


def start_sshd() -> None:
    """Start the server, and have its key in the runner's known hosts."""
    Path("/run/sshd").mkdir()
    key = Path("/etc/ssh/atest_key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    Path("/etc/ssh/sshd-banner").write_text("Testing pre-login banner\n")
    Path("/etc/ssh/atest_config").write_text(SSHD_CONFIG)
    kind, text = Path(f"{key}.pub").read_text().split()[:2]
    Path("/home/runner/.ssh/known_hosts").write_text(f"* {kind} {text}\n")
    sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", "/etc/ssh/atest_config", "-E", SSHD_LOG])
    while subprocess.run(["ssh-keyscan", "localhost"], capture_output=True).stdout == b"":
        if sshd.poll() is not None:
            raise SystemExit("sshd did not start:\n" + Path(SSHD_LOG).read_text())
        time.sleep(0.1)


def change_imports(atest: Path) -> None:
    """Put our library in the place of SSHLibrary in the import lines, and change nothing else."""
    for path in atest.rglob("*.robot"):
        before = path.read_text(encoding="utf-8")
        after = re.sub(r"(?m)^(Library\s+)SSHLibrary\b", rf"\g<1>{OURS}", before)
        if after != before:
            path.write_text(after, encoding="utf-8")


def run_robot(atest: Path, only: list[str], output: Path, environ: dict[str, str]) -> None:
    working = Path("/home/runner/work")
    working.mkdir()
    suites = [part for suite in only for part in ("--suite", suite)]
    command = [sys.executable, "-m", "robot", "--outputdir", str(output), "--pythonpath", str(atest)]
    command += ["--include", "pybot", "--include", "linux", "--consolewidth", "110"]
    command += ["--consolecolors", "off", "--log", "NONE", "--report", "NONE", *suites, str(atest)]
    with (output / "console.txt").open("wb") as console:
        subprocess.run(command, cwd=working, env=environ, stdout=console, stderr=subprocess.STDOUT)


class Figures(ResultVisitor):
    """Counts the tests of each suite that pass."""

    def __init__(self) -> None:
        self.passed: dict[str, int] = {}
        self.failures: list[str] = []

    def visit_test(self, test: object) -> None:
        suite = test.parent.name  # type: ignore[attr-defined]
        self.passed[suite] = self.passed.get(suite, 0) + test.passed  # type: ignore[attr-defined]
        if not test.passed:  # type: ignore[attr-defined]
            self.failures.append(f"{suite}: {test.name}: {test.message.splitlines()[0][:150]}")  # type: ignore[attr-defined]


def print_figures(outputs: dict[str, Path]) -> None:
    """Print a line for each suite, and what fails."""
    figures: dict[str, Figures] = {}
    for library, output in outputs.items():
        figures[library] = Figures()
        ExecutionResult(output / "output.xml").visit(figures[library])
    for library, found in figures.items():
        print(f"\n{library.rpartition('.')[2]}: these fail")
        print("\n".join(f"  {line}" for line in found.failures) or "  none")
    print("\n" + "suite".ljust(34) + "".join(library.rpartition(".")[2].rjust(20) for library in figures))
    for suite in dict.fromkeys(suite for found in figures.values() for suite in found.passed):
        print(suite.ljust(34) + "".join(str(found.passed.get(suite, 0)).rjust(20) for found in figures.values()))
    print("all".ljust(34) + "".join(str(sum(found.passed.values())).rjust(20) for found in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
