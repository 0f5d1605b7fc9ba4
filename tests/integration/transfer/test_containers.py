"""Containers that make it hard: stopped, read-only, with mounts, without tools, with another user, or hostile."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from otto_docker_sync import DockerContainerHost, LocalHost, NoSuchContainer, Status
from tests.rig.containers import Container

from .places import Place, inside, make_tree, picture

MakeHost = Callable[..., DockerContainerHost]
MakeContainer = Callable[..., Container]
MakePlace = Callable[[str], Place]
Shared = Callable[[str], Container]


@pytest.mark.parametrize("kind", ["busybox", "dash", "noshell"])
def test_a_stopped_container(kind: str, container: MakeContainer, container_host: MakeHost, local: Path) -> None:
    made = container(kind)
    host = container_host(made)
    made.docker("stop", "--time", "0", made.id)
    tree = make_tree(local / "tree")
    assert host.put(tree, "/tmp").check().ok
    (local / "back").mkdir()
    host.get(["/tmp/tree", "tmp/tree/script"], local / "back").check()
    assert picture(local / "back" / "tree") == picture(tree)
    assert host.put(tree, "/not-there").status is Status.FAILED
    assert host.get("/not-there", local).status is Status.FAILED
    made.docker("start", made.id)
    made.restarted()
    assert picture(inside(made, "/tmp/tree")) == picture(tree)


def test_a_paused_container(container: MakeContainer, container_host: MakeHost, local: Path) -> None:
    made = container()
    host = container_host(made)
    (local / "file").write_text("content")
    made.docker("pause", made.id)
    try:
        host.put(local / "file", "/tmp").check()
        (local / "file").unlink()
        host.get("/tmp/file", local).check()
    finally:
        made.docker("unpause", made.id)
    assert (local / "file").read_text() == inside(made, "/tmp/file").read_text() == "content"


def test_directories_mounted_at_run_time(container: MakeContainer, container_host: MakeHost, local: Path) -> None:
    made = container("busybox", "--read-only", "--tmpfs", "/tm", "--volume", "/vol", "--workdir", "/tm")
    host = container_host(made)
    (local / "file").write_text("content")
    for directory in ("/tm", "/dev/shm", "/vol", "."):
        (local / "file").write_text(f"for {directory}")
        host.put(local / "file", directory).check()
        host.get(f"{directory}/file", local).check()
        there = inside(made, os.path.join("/tm", directory, "file"))
        assert (local / "file").read_text() == there.read_text() == f"for {directory}"
    for directory in ("/", "/etc", "/proc", "/sys"):
        result = host.put(local / "file", directory)
        assert result.status is Status.FAILED and result[local / "file"].message
    host.get(["/proc/cpuinfo", "/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"], local).check()
    assert "processor" in (local / "cpuinfo").read_text()
    assert (local / "enabled").read_text() == Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    assert host.get("/proc/sys", local).status is Status.FAILED


@pytest.mark.parametrize("kind", ["dash", "noshell"])
def test_what_docker_cp_would_lie_about_is_refused(
    kind: str, container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    made = container(kind, "--tmpfs", "/tm", "--volume", "/tm/vol")
    host = container_host(made)
    (local / "file").write_text("content")
    for directory in ("/tm", "/dev/shm", "/proc"):
        result = host.put(local / "file", directory)
        assert result.status is Status.FAILED and "running container" in result[local / "file"].message
    result = host.get(["/tm/file", "/proc/self/stat", "/tmp/../etc/passwd"], local)
    assert [each.ok for each in result.values()] == [False, False, True]
    host.put(local / "file", "/tm/vol").check()
    assert inside(made, "/tm/vol/file").read_text() == "content"
    assert not list(inside(made, "/tm").glob("file"))


@pytest.mark.parametrize("kind", ["dash", "noshell"])
def test_a_file_that_is_mounted_is_named_where_nothing_can_write_it(
    kind: str, container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    made = container(kind)
    before = inside(made, "/etc/hosts").read_text()
    (local / "hosts").write_text("127.0.0.1 new\n")
    result = container_host(made).put(local / "hosts", "/etc")
    assert "/etc/hosts" in result[local / "hosts"].message and "is mounted there" in result[local / "hosts"].message
    assert inside(made, "/etc/hosts").read_text() == before


@pytest.mark.parametrize("kind", ["dash", "noshell", "stopped"])
def test_links_into_what_docker_cp_does_not_see(
    kind: str, container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    made = container("busybox" if kind == "stopped" else kind, "--tmpfs", "/tm", "--volume", "/vol")
    root = inside(made, "/")
    (root / "tmp" / "direct").symlink_to("/tm")
    (root / "tmp" / "nested").symlink_to("/vol/down")
    (root / "vol" / "down").mkdir()
    (root / "tmp" / "nested-file").symlink_to("../tmp/direct/file")
    (root / "tm" / "file").write_text("the container's")
    host = container_host(made)
    if kind == "stopped":
        made.docker("stop", "-t", "0", made.id)
    (local / "file").write_text("content")
    for directory in ("/tmp/direct", "/tmp/direct/."):
        result = host.put(local / "file", directory)
        assert result.status is Status.FAILED, result
        assert "running container" in result[local / "file"].message
    host.put(local / "file", "/tmp/nested").check()
    (local / "back").mkdir()
    sources = ["/tmp/direct/file", "/tmp/nested-file", "/tmp/nested/file", "/tmp/nested"]
    result = host.get(sources, local / "back")
    assert [each.ok for each in result.values()] == [False, False, False, True], result
    assert (local / "back" / "nested" / "file").read_text() == "content"
    host.get("/tmp/nested/file", local / "back").check()


def test_a_container_without_tar_keeps_all_promises(
    container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    made = container("bash")
    inside(made, "/bin/tar").unlink()
    host = container_host(made, user="tester")
    tree = make_tree(local / "tree")
    inside(made, "/tmp/tree").mkdir()
    inside(made, "/tmp/tree").chmod(0o777)
    inside(made, "/tmp/target").write_text("old")
    inside(made, "/tmp/tree/script").symlink_to("/tmp/target")
    for _ in range(2):
        host.put([tree, tree / "script"], "/tmp").check()
    assert inside(made, "/tmp/target").read_text() == "old"
    found = picture(inside(made, "/tmp/tree"))
    assert found.pop(".") == ("directory", 0o777)
    assert found | {".": picture(tree)["."]} == picture(tree)
    assert inside(made, "/tmp/tree/sub/data").stat().st_uid == 1000
    host.get(["/tmp/tree", "/tmp/script"], local).check()
    result = host.put([tree, tree / "script"], "/home/tester/../../root")
    assert [each.status for each in result.values()] == [Status.FAILED, Status.FAILED]
    assert [path.name for path in inside(made, "/tmp").iterdir() if "otto" in path.name] == []


@pytest.mark.parametrize("kind", ["busybox", "dash", "noshell"])
def test_the_owner_of_files_that_were_put(
    kind: str, make_place: MakePlace, shared_container: Shared, container_host: MakeHost, local: Path
) -> None:
    place = make_place(kind)
    place.root.chmod(0o777)
    tree = make_tree(local / "tree")
    container_host(shared_container(kind), user="1000:1000", workdir=place.path).put(tree, ".").check()
    found = place.root / "tree"
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in [found, *found.rglob("*")]} == {(1000, 1000)}
    place.host.put(tree / "script", place.path).check()
    assert (place.root / "script").stat().st_uid == 0


def test_home_and_work_directory(container: MakeContainer, container_host: MakeHost, local: Path) -> None:
    made = container("busybox", "--workdir", "/home")
    host = container_host(made, user="tester")
    (local / "file").write_text("content")
    host.put(local / "file", "~").check()
    host.put(local / "file", "tester/../../tmp").check()
    assert inside(made, "/home/tester/file").exists() and inside(made, "/tmp/file").exists()
    (local / "back").mkdir()
    host.get(["~/file", "tester/../tester"], local / "back").check()
    assert sorted(os.listdir(local / "back")) == ["file", "tester"]


def test_directories_that_shut_out_their_owner(container: MakeContainer, container_host: MakeHost, local: Path) -> None:
    made = container("bash")
    host = container_host(made, user="tester", workdir="/home/tester")
    tree = make_tree(local / "tree")
    (tree / "sub" / "deeper").chmod(0o500)
    (tree / "sub").chmod(0o500)
    tree.chmod(0o500)
    host.put(tree, ".").check()
    assert picture(inside(made, "/home/tester/tree")) == picture(tree)
    inside(made, "/home/tester/tree/sub/nobody").chmod(0o400)
    (local / "back").mkdir()
    host.get("tree", local / "back").check()
    assert picture(local / "back" / "tree") == picture(inside(made, "/home/tester/tree"))


def test_an_ordinary_user_keeps_the_modes(
    make_place: MakePlace, shared_container: Shared, container_host: MakeHost, local: Path
) -> None:
    place = make_place("busybox")
    place.root.chmod(0o777)
    tree = make_tree(local / "tree")
    container_host(shared_container("busybox"), user="tester").put(tree, place.path).check()
    assert picture(place.root / "tree") == picture(tree)


@pytest.mark.parametrize("kind", ["busybox", "dash"])
def test_times_are_kept_if_asked_for(kind: str, make_place: MakePlace, local: Path) -> None:
    place, old = make_place(kind), 1_000_000_000
    (local / "tree").mkdir()
    (local / "tree" / "file").write_text("old")
    for path in (local / "tree" / "file", local / "tree"):
        os.utime(path, (old, old))
    place.host.put(local / "tree", place.path, preserve_times=True).check()
    found = place.root / "tree"
    assert found.stat().st_mtime == (found / "file").stat().st_mtime == old
    (local / "back").mkdir()
    sources = [f"{place.path}/tree", f"{place.path}/tree/file"]
    place.host.get(sources, local / "back", preserve_times=True).check()
    assert {path.stat().st_mtime for path in (local / "back").rglob("*")} == {old}
    place.host.put(local / "tree", place.path).check()
    assert (found / "file").stat().st_mtime > old


def test_a_link_leads_to_files_of_the_container_only(
    container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    for kind in ("busybox", "dash"):
        made = container(kind)
        host = container_host(made)
        inside(made, "/etc/secret").write_text("the container's")
        (local / "secret").write_text("the caller's")
        inside(made, "/tmp/absolute").symlink_to("/etc/secret")
        inside(made, "/tmp/relative").symlink_to("../../../../../etc/secret")
        inside(made, "/tmp/caller").symlink_to(str(local / "secret"))
        (local / kind).mkdir()
        result = host.get([f"/tmp/{name}" for name in ("absolute", "relative", "caller")], local / kind)
        assert [each.ok for each in result.values()] == [True, True, False]
        assert {path.name: path.read_text() for path in (local / kind).iterdir()} == {
            "absolute": "the container's",
            "relative": "the container's",
        }
        inside(made, "/tmp/tree").mkdir()
        (inside(made, "/tmp/tree") / "way-out").symlink_to(str(local / "secret"))
        result = host.get("/tmp/tree", local / kind)
        assert f"way-out (a link to {local / 'secret'}, outside of the tree)" in result["/tmp/tree"].message
        assert os.listdir(local / kind / "tree") == []


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"evil"
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o6777
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    return info, content


TOP = member("./", tarfile.DIRTYPE)
EVIL = {
    "upwards": [TOP, member("./../evil")],
    "absolute": [TOP, member("/tmp/evil")],
    "another top": [member("tree/", tarfile.DIRTYPE), member("evil")],
    "through a link": [TOP, member("./a", tarfile.SYMTYPE, ".."), member("./a/evil")],
    "link, then file": [TOP, member("./a", tarfile.SYMTYPE, "../victim"), member("./a")],
    "link out": [TOP, member("./a", tarfile.SYMTYPE, "../victim")],
    "link by link out": [
        TOP,
        member("./d", tarfile.SYMTYPE, "."),
        member("./a", tarfile.SYMTYPE, "d/../victim"),
    ],
    "hard link": [TOP, member("./a", tarfile.LNKTYPE, "../victim")],
    "hard link to a link": [
        TOP,
        member("./s", tarfile.SYMTYPE, "../victim"),
        member("./a", tarfile.LNKTYPE, "./s"),
    ],
    "hard link, absolute": [TOP, member("./a", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [TOP, member("./a", tarfile.CHRTYPE)],
    "fifo": [TOP, member("./a", tarfile.FIFOTYPE)],
    "top is a link": [member("./", tarfile.SYMTYPE, "../victim")],
    "long name": [TOP, member("./a" + "x" * 2_000_000)],
    "sparse": [TOP, member("./a", tarfile.GNUTYPE_SPARSE)],
    "twice": [TOP, member("./a"), member("./a")],
    "cut": [TOP, member("./a", content=bytes(5000))],
    "no tar": [],
}


LEFT_OUT = {"link, then file", "link out", "link by link out", "hard link to a link", "device", "fifo"}


@pytest.mark.parametrize("trick", EVIL)
def test_a_hostile_tar_writes_nothing_outside(
    trick: str, shared_container: Shared, container_host: MakeHost, local: Path
) -> None:
    made = shared_container("bash")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, content in EVIL[trick]:
            archive.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()[: 3000 if trick == "cut" else None] if EVIL[trick] else b"no tar at all\n" * 100
    inside(made, "/tmp/evil.tar").write_bytes(data)
    tool = inside(made, "/usr/local/bin/tar")
    tool.write_text("#!/bin/sh\ncat /tmp/evil.tar\n")
    tool.chmod(0o755)
    (local / "victim").write_text("untouched")
    (local / "dest").mkdir()
    before = picture(local)
    try:
        result = container_host(made).get(["/home", "/etc/passwd"], local / "dest")
    finally:
        tool.unlink()
        inside(made, "/tmp/evil.tar").unlink()
    left_out = trick in LEFT_OUT
    assert "otto-docker" not in result["/home"].message, result
    if trick == "through a link":
        assert result["/home"].message == "/home/a/evil cannot be made here: No such file or directory"
    assert [each.ok for each in result.values()] == [left_out, True], result
    (local / "dest" / "passwd").unlink()
    if left_out:
        assert result["/home"].message.startswith("left out: ")
        links = [entry[1] for entry in picture(local / "dest" / "home").values() if entry[0] == "link"]
        assert links in ([], ["."])
        shutil.rmtree(local / "dest" / "home")
    assert picture(local) == before
    assert not Path("/tmp/evil").exists()


LIAR = r"""#!/bin/sh
n=${2#*otto_nonce=}; n=${n%%[!0-9a-f]*}
while IFS= read -r l && [ "$l" != "$n" ]; do :; done
say() { printf '\n%s %s\n' "$n" "$*"; }
say here
"""
LIES = {
    "a tree that was not asked for": "say tree 1; cat /tmp/evil.tar; say end 1 0; say finished",
    "a number that is none": "say file 99 644 4 0; printf evil; say end 99 0; say finished",
    "no number": "say file ../evil 644 4 0; printf evil; say end; say finished",
    "twice": "for i in 1 2; do say file 2 - 4 -; printf evil; say end 2 0; done; say finished",
    "no end": "say file 2 - 5 -; printf evil",
    "a short one": "say file 2 - 5 -; printf evil; say end 2 0; say finished",
    "nonsense": "say file 2 rwx 1e3 nan; printf evil; say end 2 0; say finished",
    "too little": "say file 2 -; printf evil; say end 2 0; say finished",
    "nothing": "say finished",
    "silence": ":",
    "an endless message": "printf '\n%s ' $n; yes | head -c 5000000",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_shell_that_lies(lie: str, shared_container: Shared, container_host: MakeHost, local: Path) -> None:
    made = shared_container("busybox")
    shell = inside(made, "/usr/local/bin/sh")  # found before /bin/sh
    shell.write_text(LIAR + LIES[lie])
    shell.chmod(0o755)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, content in [TOP, member("./evil")]:
            archive.addfile(info, io.BytesIO(content))
    inside(made, "/tmp/evil.tar").write_bytes(buffer.getvalue())
    (local / "dest").mkdir()
    before = picture(local)
    try:
        result = container_host(made).get(["/x/..", "/x/file"], local / "dest")
        (local / "file").write_text("mine")
        put = container_host(made).put(local / "file", "/tmp")
    finally:
        shell.unlink()
        inside(made, "/tmp/evil.tar").unlink()
    (local / "file").unlink()
    if result["/x/file"].ok:
        assert lie == "twice"
        (local / "dest" / "file").unlink()
    assert not result["/x/.."].ok and not put.ok
    assert picture(local) == before


def test_no_setuid_comes_back(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")
    (place.root / "tree").mkdir()
    (place.root / "tree" / "tool").touch()
    (place.root / "tree" / "tool").chmod(0o6755)
    place.host.get([f"{place.path}/tree", f"{place.path}/tree/tool"], local).check()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (local / "tool", local / "tree" / "tool")] == [0o755, 0o755]


@pytest.mark.parametrize("kind", ["busybox", "dash"])
def test_hard_links_arrive_as_files(kind: str, make_place: MakePlace, local: Path) -> None:
    place = make_place(kind)
    tree = place.root / "tree"
    tree.mkdir()
    (tree / "a").write_text("content")
    (tree / "l").symlink_to("a")
    os.link(tree / "a", tree / "b")
    os.link(tree / "l", tree / "m", follow_symlinks=False)
    place.host.get(f"{place.path}/tree", local).check()
    assert picture(local / "tree") == picture(tree)
    (local / "tree").rename(local / "again")
    place.host.put(local / "again", place.path).check()
    assert picture(place.root / "again") == picture(tree)


def test_a_container_that_does_not_exist(container_host: MakeHost, local: Path) -> None:
    (local / "file").touch()
    host = container_host("otto-not-there")
    with pytest.raises(NoSuchContainer):
        host.put(local / "file", "/tmp")
    with pytest.raises(NoSuchContainer):
        host.get("/tmp/file", local)


@pytest.mark.parametrize("kind", ["busybox", "dash", "noshell"])
def test_a_local_parent(
    kind: str, shared_container: Shared, container_host: MakeHost, rig: object, local: Path
) -> None:
    made = shared_container(kind)
    with LocalHost(docker_command=("env", *(f"{k}={v}" for k, v in made.docker.environ.items()), "docker")) as parent:
        host = container_host(made, parent)
        (local / "local-parent").write_text("content")
        host.put(local / "local-parent", "/tmp").check()
        (local / "local-parent").unlink()
        host.get("/tmp/local-parent", local).check()
        inside(made, "/tmp/local-parent").unlink()
    assert (local / "local-parent").read_text() == "content"
    assert not [name for name in os.listdir(os.environ.get("TMPDIR", "/tmp")) if name.startswith("otto-docker")]
