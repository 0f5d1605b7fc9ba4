"""What goes wrong in the middle: time, cancelling, kills, full disks, lost links, files that change."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from otto_docker_sync import DockerContainerHost, FileProgress, LocalHost, Status, UnixHost
from otto_docker_sync.deadline import Cancellation, cancellation
from tests.faults.helpers import until
from tests.rig.account import Account
from tests.rig.containers import Container
from tests.rig.proxy import Proxy
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd

from .places import AnyHost, Place, inside, picture

MakeHost = Callable[..., DockerContainerHost]
MakeContainer = Callable[..., Container]
MakePlace = Callable[[str], Place]
Stages = Callable[[], list[str]]
BIG = 4 << 30
"""More than any of the tests has time for; sparse, so that it costs no space."""

waysets = pytest.mark.parametrize("kind", ["local", "ssh", "busybox", "dash"])


def sparse(path: Path, size: int) -> Path:
    with open(path, "wb") as file:
        file.truncate(size)
    return path


@pytest.fixture
def parent_stages(account: Account) -> Callable[[], list[str]]:
    """What transfers with a container have on the parent now."""
    stages = re.compile(r"otto-docker\.[0-9a-f]{16}")

    def find() -> list[str]:
        return [
            path.path for path in os.scandir("/tmp") if stages.match(path.name) and path.stat().st_uid == account.uid
        ]

    return find


def gone(left: Callable[[], list[Any]]) -> None:
    """Nobody tells when a far end that is on its own has cleaned up: look, for five seconds at most."""
    end = time.monotonic() + 5
    while left() and time.monotonic() < end:
        time.sleep(0.02)
    assert left() == []


@contextmanager
def small_disk(path: Path, size: str = "1m") -> Iterator[Path]:
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "otto-test", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@waysets
def test_a_transfer_times_out_midway(kind: str, make_place: MakePlace, local: Path, parent_stages: Stages) -> None:
    place = make_place(kind)
    place.host.get("/not-there", local)  # connects
    (place.root / "big").write_text("old")
    result = place.host.put(sparse(local / "big", BIG), place.path, timeout=0.5)
    assert result.status is Status.ERROR and "timed out after 0." in result[local / "big"].message
    assert picture(place.root)["big"][2] == b"old" and len(os.listdir(place.root)) == 1
    sparse(place.root / "big", BIG)
    (local / "big").unlink()
    (local / "big").write_text("old")
    result = place.host.get(f"{place.path}/big", local, timeout=0.5)
    assert result.status is Status.ERROR
    assert (local / "big").read_text() == "old" and os.listdir(local) == ["big"]
    (place.root / "big").unlink()
    place.host.put(local / "big", place.path).check()
    assert parent_stages() == []


@waysets
def test_a_transfer_is_cancelled_midway(kind: str, make_place: MakePlace, local: Path, parent_stages: Stages) -> None:
    place = make_place(kind)
    call = Cancellation()
    token = cancellation.set(call)
    try:
        result = place.host.put(sparse(local / "big", BIG), place.path, progress=lambda _: call.cancel())
    finally:
        cancellation.reset(token)
    assert result.status is Status.ERROR and "cancelled" in result[local / "big"].message
    assert os.listdir(place.root) == [] and parent_stages() == []


def test_closing_the_host_ends_a_transfer(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")
    sparse(place.root / "big", BIG)
    closer = threading.Thread(target=place.host.close)
    begun = False

    def close(done: FileProgress) -> None:
        nonlocal begun
        if not begun:
            begun = True
            closer.start()

    result = place.host.get(f"{place.path}/big", local, progress=close)
    closer.join()
    assert result.status is Status.ERROR and os.listdir(local) == []


def test_an_error_of_the_callback_ends_the_transfer(make_place: MakePlace, local: Path) -> None:
    place = make_place("busybox")

    def fail(done: FileProgress) -> None:
        raise ZeroDivisionError

    sparse(local / "big", BIG)
    sparse(place.root / "there", BIG)
    with pytest.raises(ZeroDivisionError):
        place.host.put(local / "big", place.path, progress=fail)
    with pytest.raises(ZeroDivisionError):
        place.host.get(f"{place.path}/there", local, progress=fail)
    assert os.listdir(place.root) == ["there"] and os.listdir(local) == ["big"]


def test_who_sends_waits_for_who_reads(local: Path, container: MakeContainer) -> None:
    """Docker drops what its client has not taken two seconds after the end of a process."""
    made = container("busybox")
    looks = []

    def read_late(done: FileProgress) -> None:
        if not looks:
            time.sleep(1)  # enough to send all of it, and to end
            looks.append(made.processes())

    with LocalHost() as parent, parent.container(made.id) as host:
        host.oneshot("head -c 100000 /dev/zero >/tmp/file").check()
        until(lambda: not made.processes(), 20, "nothing runs")
        assert host.get("/tmp/file", local, progress=read_late).ok
        until(lambda: not made.processes(), 20, "nothing runs any more")
    assert len(looks[0]) == 1


CLIENT = """
import sys
from otto_docker_sync import DockerContainerHost, SSHOptions, UnixHost
port, user, key, known, container, verb, source, destination = sys.argv[1:]
parent = UnixHost("127.0.0.1", user, port=int(port), ssh=SSHOptions(identity_file=key, known_hosts=known))
host = DockerContainerHost(parent, container, "p", "s", "") if container else parent
getattr(host, verb)(source, destination, progress=lambda done: print(done.done, flush=True))
"""


@pytest.mark.parametrize("verb", ["put", "get"])
@pytest.mark.parametrize("kind", ["ssh", "busybox", "dash"])
def test_a_killed_client_leaves_nothing(
    kind: str,
    verb: str,
    make_place: MakePlace,
    sshd: Sshd,
    local: Path,
    shared_container: Callable[[str], Container],
    parent_stages: Stages,
) -> None:
    place = make_place(kind)
    container = "" if kind == "ssh" else shared_container(kind).id
    arguments = [str(sshd.port), sshd.user, str(sshd.identity_file), str(sshd.known_hosts), container, verb]
    if verb == "put":
        arguments += [str(sparse(local / "big", BIG)), place.path]
    else:
        sparse(place.root / "big", BIG if kind != "dash" else 100 << 20)
        arguments += [f"{place.path}/big", str(local)]
    with subprocess.Popen([sys.executable, "-c", CLIENT, *arguments], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None and client.stdout.readline()
        client.send_signal(signal.SIGKILL)
    gone(lambda: [*place.stages(), *parent_stages()])
    assert os.listdir(place.root) == ([] if verb == "put" else ["big"])


@pytest.mark.parametrize("kind", ["ssh", "busybox"])
def test_the_stage_of_a_receiver_that_was_killed_is_removed(kind: str, make_place: MakePlace, local: Path) -> None:
    place = make_place(kind)
    killed: list[int] = []

    def kill(done: FileProgress) -> None:
        if not killed:
            killed.extend(receivers(place))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    result = place.host.put(sparse(local / "big", BIG), place.path, progress=kill)
    assert killed and not result.ok
    # A tar that outlived it may have written once more: the next transfer finds that.
    place.host.get(f"{place.path}/not-there", local)
    assert os.listdir(place.root) == []


def receivers(place: Place) -> list[int]:
    """The processes that work in a directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.path.samefile(f"/proc/{pid}/cwd", place.root):
                found.append(int(pid))
    return found


def test_the_stage_of_a_killed_container_is_removed_by_the_next_transfer(
    container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    made = container("busybox")
    host = container_host(made)
    result = host.put(sparse(local / "big", BIG), "/tmp", progress=lambda _: made.docker.run("kill", made.id) and None)
    assert not result.ok
    made.docker("start", made.id)
    made.restarted()
    assert "otto-docker" in made.exec("ls", "-A", "/tmp")
    (local / "big").write_text("small")
    host.put(local / "big", "/tmp").check()
    assert made.exec("ls", "-A", "/tmp").split() == ["big"]


@pytest.mark.parametrize("kind", ["local", "busybox", "dash", "noshell"])
def test_a_full_disk_at_the_destination(
    kind: str, container: MakeContainer, container_host: MakeHost, local: Path, tmp_path: Path
) -> None:
    for name, size in (("first", 1000), ("big", 5_000_000), ("last", 1000)):
        (local / name).write_bytes(os.urandom(size))
    with small_disk(tmp_path / "disk") as disk:
        (disk / "big").write_text("old")
        host: AnyHost = LocalHost()
        path = str(disk)
        if kind != "local":
            host, path = container_host(container(kind, "--volume", f"{disk}:/disk")), "/disk"
        result = host.put([local / name for name in ("first", "big", "last")], path)
        outcomes = [each.status.name for each in result.values()]
        if kind in ("local", "busybox"):
            assert outcomes == ["SUCCESS", "FAILED", "SUCCESS"]
            assert (disk / "big").read_text() == "old"
        else:  # docker cp writes in place, and a disk that it has filled stays full
            assert outcomes[:2] == ["SUCCESS", "FAILED"]
        assert "o space left" in result[local / "big"].message
        assert picture(disk)["first"][2] == (local / "first").read_bytes()
        assert not list(disk.glob(".otto*"))
        host.close()


def test_a_full_disk_of_the_caller(make_place: MakePlace, tmp_path: Path) -> None:
    place = make_place("busybox")
    for name, size in (("first", 1000), ("big", 5_000_000), ("last", 1000)):
        (place.root / name).write_bytes(os.urandom(size))
    (place.root / "tree").mkdir()
    (place.root / "tree" / "big").write_bytes(os.urandom(5_000_000))
    with small_disk(tmp_path / "disk") as disk:
        (disk / "big").write_text("old")
        result = place.host.get([f"{place.path}/{name}" for name in ("first", "big", "tree", "last")], disk)
        assert [each.status.name for each in result.values()] == ["SUCCESS", "FAILED", "FAILED", "SUCCESS"]
        assert "o space left" in result[f"{place.path}/big"].message
        assert sorted(os.listdir(disk)) == ["big", "first", "last"] and (disk / "big").read_text() == "old"


def test_a_full_staging_disk(
    rig: Rig,
    account: Account,
    make_sshd: Callable[..., Sshd],
    make_unix_host: Callable[..., UnixHost],
    container: MakeContainer,
    container_host: MakeHost,
    local: Path,
) -> None:
    with small_disk(account.home / "disk") as disk:
        environ = {**rig.environ, "PATH": os.environ["PATH"], "TMPDIR": str(disk)}
        login = make_sshd(SetEnv=" ".join(shlex.quote(f"{key}={value}") for key, value in environ.items()))
        made = container("dash")
        host = container_host(made, make_unix_host(login))
        for name, size in (("first", 1000), ("big", 5_000_000), ("last", 1000)):
            (local / name).write_bytes(os.urandom(size))
        inside(made, "/tmp/big").write_text("old")
        result = host.put([local / name for name in ("first", "big", "last")], "/tmp")
        assert [each.status.name for each in result.values()] == ["SUCCESS", "FAILED", "SUCCESS"]
        assert "o space left" in result[local / "big"].message
        assert inside(made, "/tmp/big").read_text() == "old"
        inside(made, "/tmp/big").write_bytes(os.urandom(5_000_000))
        (local / "big").write_text("old")
        result = host.get(["/tmp/first", "/tmp/big", "/tmp/last"], local)
        assert [each.status.name for each in result.values()] == ["SUCCESS", "FAILED", "SUCCESS"]
        assert (local / "big").read_text() == "old"
        assert os.listdir(disk) == []
        host.parent.close()


def test_the_stage_on_the_parent_is_private(make_place: MakePlace, local: Path, parent_stages: Stages) -> None:
    place = make_place("dash")
    seen: list[tuple[str, int]] = []

    def look(done: FileProgress) -> None:
        seen.extend((name, os.stat(name).st_mode & 0o7777) for name in parent_stages())

    place.host.put(sparse(local / "big", 100 << 20), place.path, progress=look).check()
    assert {mode for _, mode in seen} == {0o700}
    assert len({name for name, _ in seen}) == 1
    assert parent_stages() == []


@waysets
def test_a_file_that_becomes_shorter(kind: str, make_place: MakePlace, local: Path) -> None:
    place = make_place(kind)
    size = 64 << 20
    sparse(local / "file", size)
    (local / "other").write_text("other")
    (place.root / "file").write_text("old")
    result = place.host.put(
        [local / "file", local / "other"], place.path, progress=lambda _: os.truncate(local / "file", 1000)
    )
    assert [each.status.name for each in result.values()] == ["FAILED", "SUCCESS"]
    assert "shorter" in result[local / "file"].message
    assert picture(place.root)["file"][2] == b"old" and picture(place.root)["other"][2] == b"other"


def test_a_file_that_grows_arrives_as_it_was(make_place: MakePlace, local: Path) -> None:
    for kind in ("local", "busybox"):
        place = make_place(kind)
        (place.root / "tree").mkdir()
        for name in ("a", "z"):
            sparse(place.root / "tree" / name, 32 << 20)

        def grow(done: FileProgress, place: Place = place) -> None:
            with open(place.root / "tree" / "z", "ab") as file:
                file.write(b"more")
            with open(place.root / "tree" / "a", "ab") as file:
                file.write(b"more")

        (local / kind).mkdir()
        place.host.get(f"{place.path}/tree", local / kind, progress=grow).check()
        assert {(local / kind / "tree" / name).stat().st_size >= 32 << 20 for name in ("a", "z")} == {True}


def test_a_lost_connection(
    proxy: Proxy,
    make_unix_host: Callable[..., UnixHost],
    container_host: MakeHost,
    local: Path,
    shared_container: Callable[[str], Container],
) -> None:
    made = shared_container("busybox")
    host = container_host(made, make_unix_host(port=proxy.port))
    inside(made, "/tmp/victim").write_text("old")
    result = host.put(sparse(local / "victim", BIG), "/tmp", progress=lambda _: proxy.drop())
    assert result.status is Status.ERROR and "lost" in result[local / "victim"].message
    assert inside(made, "/tmp/victim").read_text() == "old"
    host.get("/tmp/victim", local).check()
    assert (local / "victim").read_text() == "old"
    inside(made, "/tmp/victim").unlink()
    gone(lambda: list(inside(made, "/tmp").glob(".otto*")))


@pytest.mark.parametrize("verb", ["put", "get"])
def test_a_container_that_stops_in_the_middle(
    verb: str, container: MakeContainer, container_host: MakeHost, local: Path
) -> None:
    made = container()
    host = container_host(made)
    killer = threading.Thread(target=made.docker, args=("kill", made.id))

    def stop(done: FileProgress) -> None:
        if not killer.ident:
            killer.start()

    if verb == "put":
        result = host.put(sparse(local / "big", BIG), "/tmp", progress=stop)
    else:
        sparse(inside(made, "/tmp/big"), BIG)
        result = host.get("/tmp/big", local, progress=stop)
        assert os.listdir(local) == []
    killer.join()
    assert result.status is Status.ERROR
    assert "not running" in next(iter(result.values())).message
