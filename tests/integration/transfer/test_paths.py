"""`host.path`: pathlib's words on hosts. What pathlib does on this machine is what they must do."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from otto_docker_sync import (
    ConfigError,
    ConnectionLost,
    DockerContainerHost,
    LocalHost,
    OttoError,
    RemoteFileError,
    RemoteFileNotFound,
    RemoteFileTimedOut,
    RemotePath,
    RemotePermissionDenied,
    ShellNotFound,
    UnixHost,
)
from tests.faults.helpers import Call, until
from tests.rig.account import Account
from tests.rig.containers import Container
from tests.rig.proxy import Proxy
from tests.rig.sshd import Sshd

from .places import NAMES, NOT_UTF8, Place
from .test_trouble import gone, small_disk

MakeHost = Callable[..., DockerContainerHost]
MakeContainer = Callable[..., Container]
MakePlace = Callable[[str], Place]

WITH_TOOLS = ["local", "ssh", "busybox", "bash"]
DATA = bytes(range(256)) * 3 + b"%s\\n-%%\n"
BIG = 200 << 20
"""What takes long enough to do something in the middle."""


@pytest.fixture(params=[*WITH_TOOLS, "dash"])
def place(request: pytest.FixtureRequest, make_place: MakePlace) -> Any:
    made = make_place(request.param)
    yield made
    assert stages(made) == []


def stages(place: Place) -> list[str]:
    return [name for name in os.listdir(place.root) if name.startswith(".otto")]


@pytest.fixture
def root(place: Place) -> RemotePath:
    return place.host.path(place.path)


with_tools = pytest.mark.parametrize("place", WITH_TOOLS, indirect=True)


def test_what_is_written_is_read_whatever_it_is_called(place: Place, root: RemotePath) -> None:
    for content, name in [(DATA, "-n\n"), (os.urandom(700_000), NOT_UTF8)]:
        path = root / name
        assert path.write_bytes(content) == len(content)
        assert (place.root / name).read_bytes() == content
        # Without tools it goes by docker cp, which takes no such path.
        assert (place.kind == "dash" and name == NOT_UTF8) or path.read_bytes() == content
        assert (path.exists(), path.is_file(), path.is_dir(), path.is_symlink()) == (True, True, False, False)
        path.write_bytes(b"")
        assert (place.root / name).read_bytes() == b""


def test_a_directory_is_listed_whatever_is_in_it(place: Place, root: RemotePath) -> None:
    assert list(root.iterdir()) == []
    for name in NAMES:
        (place.root / name).touch()
    (place.root / "link to nothing").symlink_to("nothing")
    assert sorted(path.name for path in root.iterdir()) == sorted([*NAMES, "link to nothing"])
    assert sorted(path.name for path in root.glob("*")) == sorted([*NAMES, "link to nothing"])
    assert {path.name for path in root.glob("n*")} == {NOT_UTF8, "new\nline"}


PATTERNS = (
    "* ? *.txt .* .*.txt *.* [!a]* [a-c] [[]x] a\\b **/*.txt **/c */* */*/* a/*/d.txt a/**/d.txt x*x "
    "a/b/.. link/* */in-link *link* ö? ?? **/b/* .hidden/* no/such/* a.txt/* ..t*"
).split()


def test_patterns_find_what_pathlib_finds(place: Place, root: RemotePath) -> None:
    for name in ("a/b/c/d.txt", ".hidden/e.txt", "a/.txt", "xx", "x-x", "öä", "a/b/a/z", "[x]", "-f", "...txt", "!"):
        (place.root / name).parent.mkdir(parents=True, exist_ok=True)
        (place.root / name).write_text(name)
    (place.root / "a.txt").write_text("")
    (place.root / "a\\b").write_text("")
    (place.root / "link").symlink_to("a/b")
    (place.root / "a/b/in-link").symlink_to("c")
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(PATTERNS, pool.map(lambda pattern: relative(root, root.glob(pattern)), PATTERNS), strict=True))
    for pattern, paths in found.items():
        assert paths == relative(place.root, place.root.glob(pattern)), pattern
    assert relative(root, root.rglob("*.txt")) == relative(place.root, place.root.rglob("*.txt"))
    # The newest Python has files here, too.
    assert relative(root, root.glob(".hidden/**")) == [".hidden", ".hidden/e.txt"]
    assert list((root / "nothing").glob("*")) == list((root / "xx").glob("**/*")) == []


def relative(root: Any, paths: Any) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in paths)


@pytest.mark.parametrize("pattern", ["", "/etc/*", ".", "a\0b", 5])
def test_a_pattern_that_is_not_valid_is_refused(pattern: Any) -> None:
    with LocalHost() as host, pytest.raises(ConfigError, match=r"glob\("):
        host.path("/tmp").glob(pattern)


@with_tools
def test_stat_is_that_of_the_system(place: Place, root: RemotePath) -> None:
    (place.root / "file").write_bytes(b"12345")
    (place.root / "link").symlink_to("file")
    os.utime(place.root / "file", ns=(1_000_000_001_000_000_123, 1_600_000_000_987_654_321))
    for name in ("", "file", "link"):
        for follow in (True, False):
            found, real = (root / name).stat(follow_symlinks=follow), (place.root / name).stat(follow_symlinks=follow)
            assert [found[index] for index in range(7)] == [real[index] for index in range(7)]
            assert found.st_mtime_ns // 10**9 == real.st_mtime_ns // 10**9
            if place.kind != "busybox":
                assert (found.st_mtime_ns, found.st_ctime_ns) == (real.st_mtime_ns, real.st_ctime_ns)
                assert (found.st_mtime, found.st_atime) == (real.st_mtime, real.st_atime)
    assert stat.S_ISLNK((root / "link").lstat().st_mode)


@with_tools
def test_changes(place: Place, root: RemotePath) -> None:
    deep = root / "-p" / "new\nline\n" / "deep"
    with pytest.raises(FileNotFoundError):
        deep.mkdir()
    deep.mkdir(parents=True)
    deep.mkdir(parents=True, exist_ok=True)
    with pytest.raises(FileExistsError):
        deep.mkdir(parents=True)
    (root / "private").mkdir(0o700)
    (root / "open").mkdir(0o777)
    (root / "mine").touch(0o600)
    (root / "all").touch()
    assert mode(place.root / "private") == 0o700 and mode(place.root / "mine") == 0o600
    os.utime(place.root / "all", (1, 1))
    (root / "all").touch()
    assert (place.root / "all").stat().st_mtime > 1
    with pytest.raises(FileExistsError):
        (root / "all").touch(exist_ok=False)
    (root / "fresh").touch(exist_ok=False)

    (root / "all").chmod(0o640)
    (root / "open").chmod(0o2755)
    assert (mode(place.root / "all"), mode(place.root / "open")) == (0o640, 0o2755)
    (root / "open").chmod(0o755)
    assert mode(place.root / "open") == 0o755

    (place.root / "all").write_text("all")
    moved = (root / "all").rename(root / "mine")
    assert moved == root / "mine" and (place.root / "mine").read_text() == "all"
    assert (root / "mine").replace(str(root / "mine")) == root / "mine"
    (root / "open").rename(root / "private")  # over an empty directory
    assert not (root / "open").exists() and mode(place.root / "private") == 0o755
    (place.root / "link").symlink_to("private")
    (root / "fresh").rename(root / "link")
    assert not (root / "link").is_symlink() and (root / "link").is_file()

    (root / "link").unlink()
    (root / "link").unlink(missing_ok=True)
    (place.root / "link").symlink_to("private")
    assert (root / "link").is_symlink() and (root / "link").is_dir()
    (root / "link").unlink()
    (root / "private").rmdir()
    assert sorted(os.listdir(place.root)) == ["-p", "mine"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "read what is not there": lambda root: (root / "none").read_text(),
    "read a directory": lambda root: (root / "directory").read_bytes(),
    "read below a file": lambda root: (root / "file" / "x").read_bytes(),
    "read a loop": lambda root: (root / "loop").read_bytes(),
    "write a directory": lambda root: (root / "directory").write_text("x"),
    "write where no directory is": lambda root: (root / "none" / "x").write_text("x"),
    "write below a file": lambda root: (root / "file" / "x").write_text("x"),
    "write a long name": lambda root: (root / ("n" * 300)).write_text("x"),
    "list what is not there": lambda root: list((root / "none").iterdir()),
    "list a file": lambda root: list((root / "file").iterdir()),
    "list below a file": lambda root: list((root / "file" / "x").iterdir()),
    "list a link to nothing": lambda root: list((root / "nothing").iterdir()),
    "stat what is not there": lambda root: (root / "none").stat(),
    "stat a link to nothing": lambda root: (root / "nothing").stat(),
    "stat below a file": lambda root: (root / "file" / "x").lstat(),
    "make a directory over a file": lambda root: (root / "file").mkdir(exist_ok=True),
    "make a directory over a link to nothing": lambda root: (root / "nothing").mkdir(exist_ok=True),
    "make a directory below a file": lambda root: (root / "file" / "x").mkdir(parents=True),
    "touch where no directory is": lambda root: (root / "none" / "x").touch(),
    "touch below a file": lambda root: (root / "file" / "x").touch(),
    "remove what is not there": lambda root: (root / "none").unlink(),
    "remove a directory as a file": lambda root: (root / "directory").unlink(),
    "remove below a file": lambda root: (root / "file" / "x").unlink(missing_ok=True),
    "remove a file as a directory": lambda root: (root / "file").rmdir(),
    "remove a directory that is not empty": lambda root: (root / "directory").rmdir(),
    "remove a directory that is not there": lambda root: (root / "none").rmdir(),
    "rename what is not there": lambda root: (root / "none").rename(root / "new"),
    "rename what is not there to itself": lambda root: (root / "none").rename(root / "none"),
    "rename a file over a directory": lambda root: (root / "file").rename(root / "directory"),
    "rename a directory over a file": lambda root: (root / "directory").rename(root / "file"),
    "rename a directory over a full one": lambda root: (root / "other").rename(root / "directory"),
    "rename to where no directory is": lambda root: (root / "file").rename(root / "none" / "x"),
    "chmod what is not there": lambda root: (root / "none").chmod(0o600),
}


@with_tools
def test_a_mistake_is_the_error_that_pathlib_raises(place: Place, root: RemotePath) -> None:
    (place.root / "file").write_text("file")
    (place.root / "directory" / "Permission denied: File exists").mkdir(parents=True)
    (place.root / "other").mkdir()
    (place.root / "nothing").symlink_to("nowhere")
    (place.root / "loop").symlink_to("loop")

    def attempt(mistake: Callable[[Any], Any]) -> OSError:
        with pytest.raises(OSError) as caught:
            mistake(root)
        return caught.value

    with ThreadPoolExecutor(4) as pool:
        errors = dict(zip(MISTAKES, pool.map(attempt, MISTAKES.values()), strict=True))
    for name, mistake in MISTAKES.items():
        with pytest.raises(OSError) as real:
            mistake(place.root)
        error = errors[name]
        assert isinstance(error, OttoError) and isinstance(error, type(real.value)), (name, error, real.value)
        assert error.errno == real.value.errno, (name, error, real.value)
        assert isinstance(error, RemoteFileError) and error.filename and str(error).startswith(place.host.id)
        assert error.filename in str(error) and ".otto" not in str(error)
    assert (place.root / "file").read_text() == "file"


def test_what_the_user_may_not_do(unix_host: UnixHost, account: Account) -> None:
    for attempt in (
        lambda: unix_host.path("/root/x").read_text(),
        lambda: list(unix_host.path("/root").iterdir()),
        lambda: unix_host.path("/root/x").write_text("x"),
        lambda: unix_host.path("/etc/otto-new").write_text("x"),
        lambda: unix_host.path("/etc/hosts").write_text("x"),
        lambda: unix_host.path("/etc/otto-new").touch(),
        lambda: unix_host.path("/etc/otto-new").mkdir(),
        lambda: unix_host.path("/etc/hosts").chmod(0o777),
    ):
        with pytest.raises(PermissionError) as refused:
            attempt()
        assert isinstance(refused.value, RemotePermissionDenied)
        assert refused.value.errno in (errno.EACCES, errno.EPERM)
    read_only = account.home / "read-only"
    read_only.write_text("old")
    os.chown(read_only, account.uid, account.uid)
    read_only.chmod(0o444)
    with pytest.raises(PermissionError):
        unix_host.path(read_only).write_text("new")
    assert read_only.read_text() == "old"
    read_only.unlink()
    unix_host.path("~/in-the-home").write_text("home\n")
    assert unix_host.oneshot("cat ~/in-the-home && rm ~/in-the-home").output == "home\n"


def test_a_write_keeps_mode_owner_and_link(place: Place, root: RemotePath) -> None:
    file, link = place.root / "sub" / "file", place.root / "link"
    file.parent.mkdir()
    file.write_text("old")
    file.chmod(0o604)
    link.symlink_to("sub/file")
    if place.kind in ("busybox", "bash", "dash", "local"):  # where commands run as root
        os.chown(file, 1000, 1000)
    else:
        for path in (file, file.parent):
            os.chown(path, place.root.stat().st_uid, place.root.stat().st_gid)
    before = file.stat()
    (root / "link").write_text("new")
    after = file.stat()
    assert link.is_symlink() and file.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    (place.root / "dangling").symlink_to("sub/made")
    (root / "dangling").write_text("made")
    assert (place.root / "dangling").is_symlink() and (place.root / "sub" / "made").read_text() == "made"


@with_tools
def test_what_cannot_be_replaced_is_overwritten(place: Place, root: RemotePath) -> None:
    (place.root / "file").write_text("a long old content")
    os.link(place.root / "file", place.root / "second name")
    os.mkfifo(place.root / "fifo")
    for name in ("file", "fifo"):
        os.chown(place.root / name, place.root.stat().st_uid, place.root.stat().st_gid)
    (root / "file").write_text("new")
    assert (place.root / "second name").read_text() == "new"
    reader = Call((place.root / "fifo").read_text)
    (root / "fifo").write_text("through")
    assert reader.result(20) == "through"


def test_a_mounted_file_is_overwritten(container: MakeContainer, container_host: MakeHost, tmp_path: Path) -> None:
    (tmp_path / "bound").write_text("old")
    volume = ("--volume", f"{tmp_path / 'bound'}:/etc/bound")
    host = container_host(container("busybox", *volume))
    host.path("/etc/hosts").write_text("127.0.0.1 me\n")
    assert host.path("/etc/hosts").read_text() == "127.0.0.1 me\n"
    # Where nothing else can be written, there is no place for a stage.
    host = container_host(container("busybox", *volume, "--read-only"))
    host.path("/etc/bound").write_text("new\n" * 200_000)
    assert (tmp_path / "bound").read_text() == "new\n" * 200_000
    with pytest.raises(RemoteFileError) as refused:
        host.path("/etc/new").write_text("new")
    assert refused.value.errno == errno.EROFS


def test_an_image_without_a_shell_has_no_paths(container_host: MakeHost, shared_container: Any) -> None:
    path = container_host(shared_container("noshell")).path("/etc/passwd")
    for verb in (path.exists, path.read_text, lambda: path.write_text("x")):
        with pytest.raises(ShellNotFound):
            verb()


def test_a_tool_that_the_image_lacks_is_named(make_place: MakePlace) -> None:
    place = make_place("dash")
    path = place.host.path(place.path)
    for verb, tool in ((path.rmdir, "rmdir"), (path.stat, "stat"), ((path / "x").mkdir, "mkdir")):
        with pytest.raises(RemoteFileError, match=f"finds no {tool}"):
            verb()


def test_text_is_that_of_pathlib(tmp_path: Path) -> None:
    with LocalHost() as host:
        path = host.path(tmp_path / "text")
        text = "one\ntwö\r\nthree\r"
        for arguments in (
            {},
            {"encoding": "latin-1"},
            {"encoding": "utf-16"},
            {"encoding": "ascii", "errors": "replace"},
        ):
            assert path.write_text(text, **arguments) == len(text)
            written = (tmp_path / "text").read_bytes()
            (tmp_path / "text").write_text(text, **{"encoding": "utf-8", **arguments})
            assert (tmp_path / "text").read_bytes() == written
            assert path.read_text(**arguments) == (tmp_path / "text").read_text(**{"encoding": "utf-8", **arguments})
        path.write_text("a\nb", newline="\r\n")
        assert (tmp_path / "text").read_bytes() == b"a\r\nb" and path.read_text() == "a\nb"
        assert path.read_text(newline="") == "a\r\nb"
        with pytest.raises(UnicodeEncodeError):
            path.write_text("é", encoding="ascii")
        (tmp_path / "text").write_bytes(b"\xff")
        with pytest.raises(UnicodeDecodeError):
            path.read_text()
        for wrong in (
            lambda: path.write_text(b"x"),
            lambda: path.write_bytes("x"),
            lambda: host.path(5),
            lambda: path / 5,
        ):
            with pytest.raises(ConfigError):
                wrong()
        with pytest.raises(ConfigError):
            host.path("a\0b")


def test_the_pure_parts_are_those_of_pathlib() -> None:
    with LocalHost() as host, LocalHost("other") as other:
        path, pure = host.path("/srv/app//log.tar.gz"), PurePosixPath("/srv/app//log.tar.gz")
        for name in ("name", "stem", "suffix", "suffixes", "parts"):
            assert getattr(path, name) == getattr(pure, name)
        assert [str(above) for above in path.parents] == [str(above) for above in pure.parents]
        assert str(path.parent / "x") == "/srv/app/x" and str(path / "/etc") == "/etc"
        assert str(path.with_name("x")) == "/srv/app/x" and str(path.with_suffix("")) == "/srv/app/log.tar"
        assert str(path.with_stem("x")) == "/srv/app/x.gz"
        assert path.relative_to("/srv") == PurePosixPath("app/log.tar.gz")
        assert path.is_relative_to(host.path("/srv")) and path.is_absolute() and path.match("*.gz")
        assert (repr(path), str(path)) == ("RemotePath('local', '/srv/app/log.tar.gz')", "/srv/app/log.tar.gz")
        assert path == host.path(pure) != other.path(pure) and path != pure
        assert len({path, host.path(pure), other.path(pure)}) == 2
        assert sorted([path / "b", path / "a"]) == [path / "a", path / "b"]
        with pytest.raises(TypeError):
            os.fspath(path)  # type: ignore[call-overload]  # or open(path) would open a local file


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_of_the_user_plays_no_part(shell: str, tmp_path: Path) -> None:
    with LocalHost(shell=shell) as host:
        path = host.path(tmp_path) / "file name"
        path.write_text("text")
        assert path.read_text() == "text" and list(path.parent.iterdir()) == [path]
        assert list(path.parent.glob("*.none")) == []


def test_put_and_get_take_paths(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")
    root = place.host.path(place.path)
    (local / "a.log").write_text("a")
    place.host.put(local / "a.log", root).check()
    place.host.get(root.glob("*.log"), local).check()
    place.host.get(root / "a.log", local).check()


def test_each_question_is_one_oneshot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with LocalHost() as host:
        opened: list[Any] = []
        real = host.backend.open_channel

        def open_channel(*args: Any, **kwargs: Any) -> Any:
            opened.append(args)
            return real(*args, **kwargs)

        monkeypatch.setattr(host.backend, "open_channel", open_channel)
        path = host.path(tmp_path / "file")
        verbs = [path.touch, path.exists, path.read_bytes, path.stat, lambda: path.write_bytes(b"x" * 100_000)]
        verbs += [lambda: list(path.parent.iterdir()), lambda: list(path.parent.rglob("*")), path.unlink]
        for verb in verbs:
            verb()
        assert len(opened) == len(verbs)


def test_many_threads_write_one_file(make_place: MakePlace) -> None:
    place = make_place("busybox")
    path = place.host.path(place.path) / "file"
    contents = [f"{number}\n" * 30_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(path.write_text, contents))
        texts = list(pool.map(lambda _: path.read_text(), range(2)))
    assert set(texts) <= set(contents) and stages(place) == []


# What goes wrong in the middle


def is_under_way(place: Place) -> bool:
    """Whether a part of the content has arrived."""
    return any((place.root / name).stat().st_size for name in stages(place))


@pytest.mark.parametrize("kind", ["ssh", "busybox"])
def test_a_write_that_is_cut_off_leaves_the_old_file(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    place.host.path(place.path).exists()  # connects
    (place.root / "file").write_text("old")
    os.chown(place.root / "file", place.root.stat().st_uid, place.root.stat().st_gid)
    path, content = place.host.path(place.path) / "file", bytes(BIG)
    place.host.default_timeout = 0.5
    with pytest.raises(RemoteFileTimedOut, match="default_timeout") as late:
        path.write_bytes(content)
    assert isinstance(late.value, TimeoutError)
    place.host.default_timeout = None
    gone(lambda: stages(place))
    call = Call(lambda: path.write_bytes(content))
    until(lambda: is_under_way(place), 20, "the write is under way")
    place.host.close()
    with pytest.raises(ConnectionLost, match="closed"):
        call.result(20)
    assert (place.root / "file").read_text() == "old"
    gone(lambda: stages(place))


CLIENT = """
import sys
from otto_docker_sync import DockerContainerHost, SSHOptions, UnixHost
port, user, key, known, container, path, size = sys.argv[1:]
parent = UnixHost("127.0.0.1", user, port=int(port), ssh=SSHOptions(identity_file=key, known_hosts=known))
host = DockerContainerHost(parent, container, "p", "s", "") if container else parent
host.path(path).write_bytes(bytes(int(size)))
"""


@pytest.mark.parametrize("kind", ["ssh", "busybox"])
def test_a_client_that_is_killed_in_a_write_leaves_the_old_file(
    kind: str, make_place: MakePlace, sshd: Sshd, shared_container: Callable[[str], Container]
) -> None:
    place = make_place(kind)
    (place.root / "file").write_text("old")
    os.chown(place.root / "file", place.root.stat().st_uid, place.root.stat().st_gid)
    container = "" if kind == "ssh" else shared_container(kind).id
    arguments = [str(sshd.port), sshd.user, str(sshd.identity_file), str(sshd.known_hosts), container]
    with subprocess.Popen([sys.executable, "-c", CLIENT, *arguments, f"{place.path}/file", str(BIG)]) as client:
        until(lambda: is_under_way(place), 30, "the write is under way")
        client.send_signal(signal.SIGKILL)
    gone(lambda: stages(place))
    assert (place.root / "file").read_text() == "old"


def test_a_link_that_is_lost_in_a_write_leaves_the_old_file(
    proxy: Proxy,
    make_unix_host: Callable[..., UnixHost],
    container_host: MakeHost,
    make_place: MakePlace,
    shared_container: Callable[[str], Container],
) -> None:
    place = make_place("busybox")
    (place.root / "file").write_text("old")
    host = container_host(shared_container("busybox"), make_unix_host(port=proxy.port))
    path = host.path(place.path) / "file"
    call = Call(lambda: path.write_bytes(bytes(BIG)))
    until(lambda: is_under_way(place), 30, "the write is under way")
    proxy.drop()
    with pytest.raises(ConnectionLost, match=r"/file: nobody knows whether it was written"):
        call.result(20)
    gone(lambda: stages(place))
    assert path.read_text() == "old"


def test_a_read_that_waits_ends_with_its_timeout(make_place: MakePlace) -> None:
    place = make_place("busybox")
    os.mkfifo(place.root / "fifo")
    place.host.default_timeout = 1
    with pytest.raises(RemoteFileTimedOut, match=r"fifo: timed out"):
        place.host.path(f"{place.path}/fifo").read_bytes()
    place.host.default_timeout = None
    call = Call(place.host.path(f"{place.path}/fifo").read_bytes)
    threading.Timer(0.5, place.host.close).start()
    with pytest.raises(ConnectionLost, match="closed"):
        call.result(20)


@pytest.mark.parametrize("kind", ["local", "busybox"])
def test_a_full_disk_leaves_the_old_file(
    kind: str, container: MakeContainer, container_host: MakeHost, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        host: Any = LocalHost()
        path = host.path(disk)
        if kind != "local":
            host = container_host(container(kind, "--volume", f"{disk}:/disk"))
            path = host.path("/disk")
        for name in ("replaced", "overwritten"):
            (disk / name).write_text("old")
        os.link(disk / "overwritten", disk / "second name")
        for name in ("replaced", "overwritten", "new"):
            with pytest.raises(RemoteFileError) as full:
                (path / name).write_bytes(bytes(5_000_000))
            assert full.value.errno == errno.ENOSPC
        assert {each.name: each.read_text() for each in disk.iterdir()} == dict.fromkeys(
            ("replaced", "overwritten", "second name"), "old"
        )
        host.close()


def test_a_container_that_is_gone_is_its_own_error(container: MakeContainer, container_host: MakeHost) -> None:
    made = container("busybox")
    path = container_host(made).path("/etc/passwd")
    assert path.exists()
    made.docker("kill", made.id)
    for verb in (path.exists, path.read_text, lambda: path.write_text("x")):
        with pytest.raises(OttoError, match="not running"):
            verb()


def test_nothing_is_written_where_the_directory_vanished(make_place: MakePlace) -> None:
    place = make_place("busybox")
    path = place.host.path(place.path) / "sub" / "file"
    path.parent.mkdir()
    path.write_text("x")
    shutil.rmtree(place.root / "sub")
    with pytest.raises(RemoteFileNotFound):
        path.write_text("y")
