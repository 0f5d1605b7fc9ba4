"""Inputs from the field: mounts, files of the kernel, deep trees, chains of links, sockets, groups, growing files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otto_docker_sync import ConfigError, DockerContainerHost, Status, UnixHost
from tests.rig.account import Account
from tests.rig.containers import Container

from .places import Place, inside, picture

MakeHost = Callable[..., DockerContainerHost]
MakeContainer = Callable[..., Container]
MakePlace = Callable[[str], Place]

# Mounts


@contextmanager
def mounted(source: Path, target: Path, *options: str) -> Iterator[None]:
    """A file of this machine over another one, in the way docker mounts ``/etc/hosts`` into a container."""
    subprocess.run(["mount", "--bind", *options, str(source), str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.parametrize("kind", ["busybox", "bash"])
def test_a_file_that_docker_has_mounted_is_written_in_place(
    kind: str, container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    (local / "bound").write_text("old")
    (local / "bound").chmod(0o604)
    made = container(kind, "--volume", f"{local / 'bound'}:/etc/bound")
    host = container_host(made)
    new = local / "new"
    new.mkdir()
    for name in ("hosts", "resolv.conf", "hostname", "bound"):
        (new / name).write_text(f"127.0.0.1 {name}\n")
    host.put([new / "hosts", new / "bound"], "/etc").check()
    assert host.oneshot("cat /etc/hosts /etc/bound", timeout=20).output == "127.0.0.1 hosts\n127.0.0.1 bound\n"
    assert (local / "bound").read_text() == "127.0.0.1 bound\n"  # the one that is mounted, and not another one over it
    assert (local / "bound").stat().st_mode & 0o777 == 0o604
    (local / "bound").write_text("old")
    (local / "etc").mkdir()
    for path in new.iterdir():
        shutil.copy(path, local / "etc")
    (local / "etc" / "other").write_text("other")
    host.put(local / "etc", "/").check()
    assert host.oneshot("cat /etc/resolv.conf /etc/other", timeout=20).output == "127.0.0.1 resolv.conf\nother"
    assert (local / "bound").read_text() == "127.0.0.1 bound\n"


def test_a_mount_that_is_read_only_is_named_and_all_else_stays(
    container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    (local / "bound").write_text("old")
    made = container("busybox", "--volume", f"{local / 'bound'}:/srv/tree/m/bound:ro")
    root = inside(made, "/srv/tree")
    tree = local / "tree"
    for directory in ("a", "m", "z"):
        (tree / directory).mkdir(parents=True)
        (root / directory).mkdir(exist_ok=True)
        for name in ("bound", "both"):
            (tree / directory / name).write_text("new")
            if (directory, name) != ("m", "bound"):
                (root / directory / name).write_text("old")
        (tree / directory / "added").write_text("new")
    (tree / "a" / "new-tree" / "sub").mkdir(parents=True)
    (root / "a" / "bound").unlink()
    (root / "a" / "bound").symlink_to("both")
    before = picture(root)
    result = container_host(made).put([tree, tree / "m" / "both"], "/srv")
    assert [each.ok for each in result.values()] == [False, True]
    message = result[tree].message
    assert "tree/m/bound" in message and "ead-only file system" in message and ".otto" not in message, message
    assert picture(root) == before
    assert sorted(os.listdir(inside(made, "/srv"))) == ["both", "tree"]


@pytest.mark.parametrize("kind", ["local", "ssh"])
def test_a_tree_is_merged_across_file_systems(kind: str, make_place: MakePlace, local: Path, tmp_path: Path) -> None:
    place = make_place(kind)
    tree = local / "tree"
    (tree / "disk" / "sub").mkdir(parents=True)
    for name in ("a", "disk/b", "disk/sub/c"):
        (tree / name).write_text("new")
    disk = place.root / "tree" / "disk"
    disk.mkdir(parents=True)
    owner = place.root.stat()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=64k,uid={owner.st_uid}", "otto-test", str(disk)], check=True)
    try:
        os.chown(place.root / "tree", owner.st_uid, owner.st_gid)
        (disk / "b").write_text("old")
        os.chown(disk / "b", owner.st_uid, owner.st_gid)
        place.host.put(tree, place.path).check()
        assert {path.name: path.read_text() for path in disk.rglob("*") if path.is_file()} == {"b": "new", "c": "new"}
        (tree / "disk" / "sub" / "c").write_bytes(bytes(200_000))
        (tree / "disk" / "b").write_text("newer")
        (tree / "a").write_text("newer")
        before = picture(place.root)
        result = place.host.put(tree, place.path)
        assert result.status is Status.FAILED and "No space left" in result[tree].message, result[tree].message
        assert picture(place.root) == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("kind", ["local", "ssh", "busybox"])
@pytest.mark.parametrize("protected", ["m/old", "m"])
def test_what_may_not_be_changed_is_named_and_all_else_stays(
    kind: str, protected: str, make_place: MakePlace, local: Path
) -> None:
    place = make_place(kind)
    owner = place.root.stat()
    root, tree = place.root / "tree", local / "tree"
    for name in ("a/old", "m/old", "z/old", "a/added", "m/added", "z/added"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("new")
        if name.endswith("old"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text("old")
    for path in (root, *root.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    before = picture(place.root)
    subprocess.run(["chattr", "+i", str(root / protected)], check=True)
    try:
        result = place.host.put([tree, tree / "a" / "old"], place.path)
    finally:
        subprocess.run(["chattr", "-i", str(root / protected)], check=True)
    assert [each.ok for each in result.values()] == [False, True]
    message = result[tree].message
    assert "tree/m" in message and "permi" in message and ".otto" not in message, message
    assert picture(place.root) == before | {"old": picture(place.root)["old"]}


def test_a_sticky_directory_keeps_what_is_anothers(
    make_place: MakePlace, account: Account, local: Path
) -> None:
    place = make_place("ssh")
    root = place.root / "tree"
    (root / "a").mkdir(parents=True)
    (root / "z").mkdir()
    os.chown(root, account.uid, account.uid)
    os.chown(root / "a", account.uid, account.uid)
    (root / "z").chmod(0o1777)  # root's
    for path in (root / "a" / "mine", root / "z" / "theirs"):
        path.write_text("old")
    os.chown(root / "a" / "mine", account.uid, account.uid)
    tree = local / "tree"
    for name in ("a/mine", "a/more", "z/theirs", "z/more"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("new")
    before = picture(root)
    result = place.host.put(tree, place.path)
    assert result.status is Status.FAILED
    assert "theirs" in result[tree].message and ".otto" not in result[tree].message, result[tree].message
    assert picture(root) == before


def test_a_local_file_that_is_mounted_is_written_in_place(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")
    (place.root / "tree").mkdir()
    for name in ("a", "bound", "z"):
        (place.root / "tree" / name).write_text("new")
    (local / "source").write_text("old")
    (local / "tree").mkdir()
    (local / "tree" / "bound").touch()
    with mounted(local / "source", local / "tree" / "bound"):
        place.host.get([f"{place.path}/tree", f"{place.path}/tree/a"], local).check()
        assert (local / "source").read_text() == "new"
        place.host.get(f"{place.path}/tree/bound", local / "tree").check()
    (local / "tree" / "a").write_text("old")
    (local / "tree" / "z").unlink()
    before = picture(local / "tree")
    subprocess.run(["chattr", "+i", str(local / "tree" / "a")], check=False)
    (local / "tree" / "z").mkdir()
    result = place.host.get(f"{place.path}/tree", local)
    subprocess.run(["chattr", "-i", str(local / "tree" / "a")], check=False)
    assert result.status is Status.FAILED
    assert picture(local / "tree") == before | {"z": ("directory", 0o755)}


# What the kernel makes up, and what grows


def test_files_of_the_kernel_under_another_path(
    container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    made = container("busybox", "--volume", "/sys:/host/sys:ro", "--volume", "/proc:/host/proc:ro")
    host = container_host(made)
    sources = ["/host/sys/class/net/lo/mtu", "/host/proc/version", "/host/sys/kernel/mm/transparent_hugepage/enabled"]
    host.get(sources, local).check()
    for source in sources:
        assert (local / os.path.basename(source)).read_text() == Path(source.removeprefix("/host")).read_text()
    (local / "one").mkdir()
    host.get(sources[0], local / "one").check()
    assert (local / "one" / "mtu").read_text() == Path("/sys/class/net/lo/mtu").read_text()


@pytest.mark.parametrize("kind", ["local", "ssh", "busybox"])
def test_a_log_that_grows_has_the_size_that_it_had(kind: str, make_place: MakePlace, local: Path) -> None:
    place = make_place(kind)
    log = place.root / "log"
    log.write_bytes(b"x" * 3_000_000)
    done = threading.Event()

    def write() -> None:
        with open(log, "ab") as file:
            while not done.is_set():
                file.write(b"y" * 65536)
                if file.tell() > 300_000_000:
                    file.truncate(4_000_000)

    writer = threading.Thread(target=write)
    sizes = []

    def progress(_: object) -> None:
        if not sizes:
            sizes.append(log.stat().st_size)
            writer.start()

    (place.root / "small").write_text("small")
    try:
        place.host.get([f"{place.path}/small", f"{place.path}/log"], local, progress=progress).check()
    finally:
        done.set()
        if writer.ident:
            writer.join()
    assert (local / "log").stat().st_size <= 3_000_000 or set((local / "log").read_bytes()[3_000_000:]) <= {ord("y")}
    assert (local / "log").stat().st_size < 100_000_000


@pytest.mark.parametrize("kind", ["local", "ssh", "busybox", "bash"])
def test_many_files_and_some_that_are_not_ordinary(kind: str, make_place: MakePlace, local: Path) -> None:
    place = make_place(kind)
    names = [f"f{number}" for number in range(230)]
    for number, name in enumerate(names):
        (place.root / name).write_text(name * number)
        (place.root / name).chmod(0o644 if number % 2 else 0o604)
    (place.root / "empty").touch()
    os.link(place.root / "f1", place.root / "second")
    (place.root / "link").symlink_to("f2")
    (place.root / "large").write_bytes(os.urandom(300_000))
    os.mkfifo(place.root / "fifo")
    names += ["empty", "second", "link", "large"]
    sources = [f"{place.path}/{name}" for name in [*names, "fifo", "missing"]]
    result = place.host.get(["/proc/version", *sources], local)
    assert [each.source for each in result.values() if not each.ok] == sources[-2:]
    for name in names:
        assert (local / name).read_bytes() == (place.root / name).read_bytes(), name
        assert (local / name).stat().st_mode == (place.root / name).stat().st_mode, name
    assert (local / "version").read_text() == Path("/proc/version").read_text()
    (place.root / "fifo").unlink()
    for name in os.listdir(place.root):
        (place.root / name).unlink()
    (local / "version").unlink()
    for _ in range(2):
        place.host.put([local / name for name in names], place.path).check()
        assert picture(place.root) == picture(local) | {".": picture(place.root)["."]}


# Shapes of trees


def deep_tree(top: Path, depth: int, name: str = "d") -> None:
    """Directories in each other, with a file at the end: built from above, as no path may be that long."""
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


@contextmanager
def removed_in_the_end(*trees: Path) -> Iterator[None]:
    """Remove deep trees, however the test ends: pytest's own way calls itself for each level."""
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", *map(str, trees)], check=True)


@pytest.mark.parametrize("kind", ["local", "busybox", "bash"])
def test_a_tree_deeper_than_a_stack(kind: str, make_place: MakePlace, local: Path) -> None:
    place = make_place(kind)
    depth = 1100
    below = "/".join(["d"] * depth) + "/file"
    with removed_in_the_end(local / "tree", local / "back", place.root / "tree"):
        deep_tree(local / "tree", depth)
        for _ in range(2):
            place.host.put(local / "tree", place.path, timeout=100).check()
            assert (place.root / "tree" / below).exists()
        (local / "back").mkdir()
        for _ in range(2):
            place.host.get(f"{place.path}/tree", local / "back", timeout=100).check()
            assert (local / "back" / "tree" / below).exists()


def test_a_tree_deeper_than_a_path_has_an_outcome(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")
    # The time that this takes grows with the square of the depth.
    depth, name = 1100, "name"
    with removed_in_the_end(local / "tree", local / "back", place.root / "tree"):
        deep_tree(local / "tree", depth, name)
        result = place.host.put(local / "tree", place.path, timeout=100)
        assert "is a path of more than 4000 bytes" in result[local / "tree"].message
        deep_tree(place.root / "tree", depth, name)
        (local / "back").mkdir()
        result = place.host.get(f"{place.path}/tree", local / "back", timeout=100)
        assert result.ok or result[f"{place.path}/tree"].message


def test_a_tree_whose_paths_are_too_long_for_this_machine_is_refused(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")
    above = local / ("a" * 200)
    above.mkdir()
    with removed_in_the_end(above / "tree"):
        deep_tree(above / "tree", 790, "name")
        result = place.host.put(above / "tree", place.path)
        assert "is too long a path for this machine" in result[above / "tree"].message
    assert not (place.root / "tree").exists()


def test_a_chain_of_links_has_an_outcome(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")
    tree = place.root / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    previous = "file"
    for number in range(2000):
        (tree / f"l{number}").symlink_to(previous)
        previous = f"l{number}"
    result = place.host.get(f"{place.path}/tree", local).check()[f"{place.path}/tree"]
    assert result.message.endswith("and 1955 more")
    assert (local / "tree" / "l20").read_text() == "content"
    place.host.put(local / "tree", place.path).check()


# What cannot be copied: one rule for both directions


def make_odd_tree(tree: Path) -> Path:
    tree.mkdir()
    (tree / "file").write_text("content")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.getcwd()
        os.chdir(tree)  # the name of a socket is short
        try:
            listener.bind("sock")
        finally:
            os.chdir(directory)
    os.mkfifo(tree / "pipe")
    os.mknod(tree / "null", 0o600 | 0o020000, os.makedev(1, 3))
    return tree


@pytest.mark.parametrize("kind", ["local", "busybox", "bash", "noshell"])
def test_what_has_no_content_is_left_out_and_said(kind: str, make_place: MakePlace, local: Path) -> None:
    place = make_place(kind)
    result = place.host.put(make_odd_tree(local / "there"), place.path).check()
    assert result[local / "there"].message == "left out: null (a device), pipe (a FIFO), sock (a socket)"
    assert os.listdir(place.root / "there") == ["file"]
    make_odd_tree(place.root / "back")
    result = place.host.get(f"{place.path}/back", local).check()
    message = result[f"{place.path}/back"].message
    assert "null (a device)" in message and "pipe (a FIFO)" in message
    assert os.listdir(local / "back") == ["file"]


def test_what_leads_out_of_a_tree_is_left_out_and_said(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")
    tree = place.root / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    (tree / "out").symlink_to("/bin/busybox")
    (tree / "through").symlink_to("out")
    (tree / "in").symlink_to("../tree/file")
    (tree / "good").symlink_to("file")
    result = place.host.get(f"{place.path}/tree", local).check()
    assert "out (a link to /bin/busybox, outside of the tree)" in result[f"{place.path}/tree"].message
    assert sorted(os.listdir(local / "tree")) == ["file", "good"]


def test_what_cannot_be_read_fails_and_the_rest_is_there(
    make_place: MakePlace, container_host: MakeHost, shared_container: Callable[[str], Container], local: Path
) -> None:
    for kind in ("busybox", "bash"):
        place = make_place(kind)
        tree = place.root / "tree"
        (tree / "closed").mkdir(parents=True)
        (tree / "closed" / "file").write_text("x")
        (tree / "closed").chmod(0o700)
        (tree / "file").write_text("content")
        (tree / "key").write_text("secret")
        (tree / "key").chmod(0o600)
        (local / kind).mkdir()
        host = container_host(shared_container(kind), user="tester")
        result = host.get(f"{place.path}/tree", local / kind)
        message = result[f"{place.path}/tree"].message
        assert result.status is Status.FAILED
        assert "key" in message and "closed" in message and "the rest is in place" in message
        assert (local / kind / "tree" / "file").read_text() == "content"
        assert not (local / kind / "tree" / "key").exists()


def test_a_local_tree_that_cannot_be_read_everywhere(account: Account, make_place: MakePlace, tmp_path: Path) -> None:
    tree = Path(account.home) / "tree"
    (tree / "pg").mkdir(parents=True)
    (tree / "pg").chmod(0o700)
    (tree / "key").write_text("secret")
    (tree / "key").chmod(0o600)
    (tree / "file").write_text("content")
    place = make_place("busybox")
    place.host.get("/not-there", tmp_path)  # connects
    os.seteuid(account.uid)
    try:
        result = place.host.put([tree, tree / "key"], place.path)
    finally:
        os.seteuid(0)
        shutil.rmtree(tree)
    assert [each.status.name for each in result.values()] == ["FAILED", "FAILED"]
    message = "left out: key (Permission denied), pg (Permission denied); the rest is in place"
    assert result[tree].message == message
    assert "Permission denied" in result[tree / "key"].message
    assert sorted(picture(place.root)) == [".", "tree", "tree/file"]


# Groups, owners, times


def test_a_directory_with_the_group_bit_gives_its_group(make_place: MakePlace, local: Path) -> None:
    for kind in ("busybox", "bash", "ssh"):
        place = make_place(kind)
        group = place.root.stat().st_gid if kind == "ssh" else 50
        (place.root / "tree" / "shared").mkdir(parents=True)
        owner = place.root.stat().st_uid
        for path, its_group in ((place.root, group), (place.root / "tree", group), (place.root / "tree/shared", group)):
            os.chown(path, owner, its_group)
            path.chmod(0o2775)
        (local / kind / "tree" / "shared" / "new").mkdir(parents=True)
        (local / kind / "tree" / "shared" / "new" / "file").touch()
        (local / kind / "file").touch()
        (local / kind / "fresh" / "sub").mkdir(parents=True)
        place.host.put([local / kind / name for name in ("tree", "file", "fresh")], place.path).check()
        found = list(place.root.rglob("*"))
        assert {path.stat().st_gid for path in found} == {group}
        assert all(path.stat().st_mode & 0o2000 for path in found if path.is_dir()), kind


@pytest.mark.parametrize("kind", ["busybox", "bash", "dash", "noshell"])
def test_an_owner_can_be_given(kind: str, make_place: MakePlace, local: Path) -> None:
    place = make_place(kind)
    (local / "tree" / "sub").mkdir(parents=True)
    (local / "tree" / "sub" / "tool").touch()
    (local / "tree" / "sub" / "tool").chmod(0o4755)
    (local / "tree" / "link").symlink_to("/etc/passwd")
    (local / "file").touch()
    place.host.put([local / "tree", local / "file"], place.path, owner="1234:567").check()
    found = [path.lstat() for path in place.root.rglob("*")]
    assert len(found) == 5 and {(status.st_uid, status.st_gid) for status in found} == {(1234, 567)}
    assert (place.root / "tree" / "sub" / "tool").stat().st_mode & 0o7777 == 0o4755
    assert inside_passwd_owner(place) == 0
    if kind in ("busybox", "bash"):
        place.host.put(local / "file", place.path, owner="tester").check()
        assert (place.root / "file").stat().st_uid == 1000
    for wrong in ("no-such-user", "tester:no-such-group"):
        result = place.host.put(local / "file", place.path, owner=wrong)
        assert result.status is Status.FAILED and result[local / "file"].message
    for wrong in ("", "a b", "-R", "a:b:c", 7):
        with pytest.raises(ConfigError, match="owner"):
            place.host.put(local / "file", place.path, owner=wrong)  # type: ignore[arg-type]


def inside_passwd_owner(place: Place) -> int:
    return (place.root.parent.parent / "etc" / "passwd").stat().st_uid


def test_a_login_that_may_not_give_files_away_says_so(unix_host: UnixHost, make_place: MakePlace, local: Path) -> None:
    place = make_place("ssh")
    (local / "file").touch()
    result = place.host.put(local / "file", place.path, owner="root")
    assert result.status is Status.FAILED and "ermitted" in result[local / "file"].message
    assert os.listdir(place.root) == []
