"""SSH hosts without tar, with and without SFTP; telnet; many transfers at once; memory."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otto_docker_sync import DockerContainerHost, Status, UnixHost
from tests.rig.account import Account
from tests.rig.containers import Container
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd
from tests.rig.telnetd import Telnetd

from .places import NAMES, NOT_UTF8, Place, inside, make_tree, picture

MakeHost = Callable[..., DockerContainerHost]
TOOLS = "sh env mkdir mv rm find stat cat head wc readlink chmod docker".split()


@pytest.fixture
def make_bare_parent(
    rig: Rig, account: Account, make_sshd: Callable[..., Sshd], make_unix_host: Callable[..., UnixHost]
) -> Callable[..., UnixHost]:
    """An SSH host in whose PATH there is no tar."""

    def make(tools: list[str] = TOOLS, **options: str | None) -> UnixHost:
        path = account.home / rig.unique("bin")
        path.mkdir()
        for tool in tools:
            (path / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
        environ = {"HOME": str(account.home), **rig.environ, "PATH": str(path)}
        line = " ".join(shlex.quote(f"{key}={value}") for key, value in environ.items())
        return make_unix_host(make_sshd(SetEnv=line, **options))

    return make


@pytest.fixture
def directory(rig: Rig, account: Account) -> Path:
    path = account.home / rig.unique("place")
    path.mkdir()
    os.chown(path, account.uid, -1)
    return path


def test_without_tar_by_sftp(make_bare_parent: Callable[..., UnixHost], directory: Path, local: Path) -> None:
    host = make_bare_parent()
    tree = make_tree(local / "tree")
    for name in NAMES:
        (local / name).write_bytes(os.fsencode(name))
    (directory / "target").write_text("old")
    (directory / "plain").symlink_to("target")
    for _ in range(2):
        host.put([tree, *(local / name for name in NAMES)], directory).check()
    assert picture(directory / "tree") == picture(tree)
    assert (directory / "target").read_text() == "old"
    assert all((directory / name).read_bytes() == (local / name).read_bytes() for name in NAMES)
    (directory / "tree" / "sub" / "nobody").chmod(0o600)
    (local / "back").mkdir()
    host.get([f"{directory}/tree", *(f"{directory}/{name}" for name in NAMES)], local / "back").check()
    assert picture(local / "back" / "tree") == picture(directory / "tree")
    (directory / "tree" / NOT_UTF8).touch()
    result = host.get([f"{directory}/tree", f"{directory}/plain"], local / "back")
    assert [each.status.name for each in result.values()] == ["FAILED", "SUCCESS"]
    assert "UTF-8" in result[f"{directory}/tree"].message
    assert not list(directory.glob(".otto*"))


def test_without_tar_what_leads_out_of_a_tree_is_left_out(
    make_bare_parent: Callable[..., UnixHost], directory: Path, local: Path
) -> None:
    host = make_bare_parent()
    for name, build in (("link", lambda path: path.symlink_to("/etc/passwd")), ("pipe", os.mkfifo)):
        (directory / name).mkdir()
        build(directory / name / "bad")
    result = host.get([f"{directory}/link", f"{directory}/pipe"], local)
    assert [each.message for each in result.check().values()] == [
        "left out: bad (a link to /etc/passwd, outside of the tree)",
        "left out: bad (a FIFO)",
    ]
    assert sorted(picture(local)) == [".", "link", "pipe"]


def test_without_tar_and_sftp(make_bare_parent: Callable[..., UnixHost], directory: Path, local: Path) -> None:
    host = make_bare_parent(Subsystem=None)
    make_tree(local / "tree")
    make_tree(directory / "there")
    (directory / "file").write_text("content")
    result = host.put([local / "tree", local / "tree" / "script"], directory)
    assert [each.status for each in result.values()] == [Status.FAILED, Status.FAILED]
    assert all("tar" in each.message and "SFTP" in each.message for each in result.values())
    result = host.get([f"{directory}/there", f"{directory}/file"], local)
    assert [each.status for each in result.values()] == [Status.FAILED, Status.SUCCESS]
    assert sorted(os.listdir(directory)) == ["file", "there"]


def test_sftp_is_not_needed(
    make_sshd: Callable[..., Sshd], make_unix_host: Callable[..., UnixHost], directory: Path, local: Path
) -> None:
    host = make_unix_host(make_sshd(Subsystem=None, MaxSessions="1"))
    tree = make_tree(local / "tree")
    host.put(tree, directory).check()
    assert picture(directory / "tree") == picture(tree)


@pytest.mark.parametrize("kind", ["busybox", "dash"])
def test_a_container_on_a_parent_without_tar(
    kind: str,
    make_bare_parent: Callable[..., UnixHost],
    shared_container: Callable[[str], Container],
    container_host: MakeHost,
    local: Path,
) -> None:
    made = shared_container(kind)
    host = container_host(made, make_bare_parent(Subsystem=None))
    tree = make_tree(local / "bare-parent")
    host.put(tree, "/tmp").check()
    found = inside(made, "/tmp/bare-parent")
    assert picture(found) == picture(tree)
    (local / "back").mkdir()
    host.get("/tmp/bare-parent", local / "back").check()
    assert picture(local / "back" / "bare-parent") == picture(tree)
    shutil.rmtree(found)


def test_a_host_without_anything(make_bare_parent: Callable[..., UnixHost], directory: Path, local: Path) -> None:
    host = make_bare_parent(["sh", "env"], Subsystem=None)
    (local / "file").write_text("content")
    result = host.put(local / "file", directory)
    assert result.status is Status.FAILED and "mkdir" in result[local / "file"].message
    assert os.listdir(directory) == []


@pytest.mark.parametrize("kind", ["", "busybox", "dash"])
def test_by_telnet(
    kind: str,
    telnetd: Telnetd,
    directory: Path,
    local: Path,
    shared_container: Callable[[str], Container],
    container_host: MakeHost,
) -> None:
    tree = make_tree(local / "tree")
    with UnixHost(
        telnetd.host, telnetd.user, password=telnetd.password, port=telnetd.port, term="telnet", id="phone"
    ) as host:
        if kind:
            made = shared_container(kind)
            root = inside(made, "/tmp") / directory.name
            root.mkdir()
            place = Place(kind, container_host(made, host), f"/tmp/{directory.name}", root)
        else:
            place = Place(kind, host, str(directory), directory)
        place.host.put([tree, tree / "script"], place.path).check()
        assert picture(place.root / "tree") == picture(tree)
        (place.root / "tree" / "sub" / "nobody").chmod(0o604)
        (local / "back").mkdir()
        place.host.get([f"{place.path}/tree", f"{place.path}/script", "/etc/passwd"], local / "back").check()
        assert picture(local / "back" / "tree") == picture(place.root / "tree")
        assert place.host.put(tree, "/not-there").status is Status.FAILED
        place.host.close()
        shutil.rmtree(place.root)


def test_many_at_once_on_one_container(
    shared_container: Callable[[str], Container], container_host: MakeHost, local: Path
) -> None:
    made = shared_container("busybox")
    host = container_host(made)
    root = inside(made, "/tmp/many")
    root.mkdir()

    def both(number: int) -> bool:
        content = bytes([number]) * 300_000
        (local / str(number)).write_bytes(content)
        host.put(local / str(number), "/tmp/many").check()
        (local / f"back{number}").mkdir()
        host.get(f"/tmp/many/{number}", local / f"back{number}").check()
        return (root / str(number)).read_bytes() == (local / f"back{number}" / str(number)).read_bytes() == content

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(both, range(12)))
    shutil.rmtree(root)


MEMORY = """
import resource, sys
from otto_docker_sync import LocalHost
host = LocalHost()
source, there, back = sys.argv[1:]
host.put(sys.executable, there).check()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
host.put(source, there).check()
host.get(f"{there}/big", back).check()
host.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_bounded(local: Path) -> None:
    for name in ("there", "back"):
        (local / name).mkdir()
    with open(local / "big", "wb") as file:
        file.truncate(150 << 20)
    arguments = [str(local / name) for name in ("big", "there", "back")]
    done = subprocess.run([sys.executable, "-c", MEMORY, *arguments], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000, f"{done.stdout} KiB more"
