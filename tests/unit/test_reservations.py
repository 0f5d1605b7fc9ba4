"""Reserving through a lab, on the file backend: arguments, results, errors."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from otto_docker_sync import ConfigError, DockerContainerHost, Lab, LocalHost, ReservationError, ReservationLost
from otto_docker_sync.lab import UnknownHost
from otto_docker_sync.logs import masked
from otto_docker_sync.reservations import ReservationOptions
from otto_docker_sync.reservations.registry import registry


@pytest.fixture
def make_lab(tmp_path, monkeypatch) -> Callable[..., Lab]:
    """Make a lab whose table is in this test's own directory: each is as another process would see it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("OTTO_RESERVATION", raising=False)
    labs: list[Lab] = []

    def make(**how) -> Lab:
        hosts = [
            LocalHost(id="carrot", resources={"carrot"}),
            LocalHost(id="gpu-1", resources={"gpu-1", "rack"}),
            LocalHost(id="gpu-2", resources={"gpu-2"}),
            LocalHost(id="plain"),
        ]
        labs.append(Lab("bench", hosts, **how))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


def test_a_tag_a_host_and_several(make_lab):
    lab = make_lab()
    with lab.reserve("rack") as reservation:
        assert reservation.tags == ("rack",)
        assert reservation.fence > 0
        assert not reservation.lost
    with lab.reserve(lab.get("gpu-1")) as reservation:
        assert reservation.tags == ("gpu-1", "rack")
        assert [host.id for host in reservation.hosts] == ["gpu-1"]
    with lab.reserve(["gpu-2", "carrot"]) as reservation:
        assert reservation.tags == ("carrot", "gpu-2")
        assert [host.id for host in reservation.hosts] == ["carrot", "gpu-2"]
    assert lab.who().holds == []


def test_a_host_stands_for_the_tags_of_the_lab_too(make_lab):
    lab = make_lab(resources=["site"])
    with lab.reserve("plain") as reservation:
        assert reservation.tags == ("site",)


def test_two_threads_of_one_program_cannot_wait_for_one_tag():
    """When the first had it, the second would wait for as long as this program lives."""
    with registry.announce("table", ["gpu", "rack"]):
        for tags in (["rack"], ["carrot", "gpu"]):
            refused = pytest.raises(ConfigError, match="another thread of this process waits for it already")
            with refused, registry.announce("table", tags):
                pass
        with registry.announce("table", ["carrot"]), registry.announce("another table", ["rack"]):
            pass
    with registry.announce("table", ["rack"]):
        pass


def test_a_directory_that_another_machine_has_used_is_refused(make_lab, tmp_path):
    with make_lab().reserve("rack"):
        pass
    (state,) = tmp_path.rglob("state.json")
    content = json.loads(state.read_text())
    state.write_text(json.dumps({**content, "machine": "elsewhere", "boot": "another"}))
    text = r"was used by another machine, elsewhere; .* or remove .*state\.json if this one was renamed"
    with pytest.raises(ConfigError, match=text):
        make_lab().reserve("rack", wait=0)


def test_fences_rise(make_lab):
    lab = make_lab()
    fences = []
    for tag in ("carrot", "rack", "carrot"):
        with lab.reserve(tag) as reservation:
            fences.append(reservation.fence)
    assert fences == sorted(set(fences))


@pytest.mark.parametrize(
    ("wanted", "how", "error", "text"),
    [
        ([], {}, ConfigError, "empty"),
        ("nowhere", {}, UnknownHost, "no host 'nowhere'"),
        (["carrot", "carrit"], {}, UnknownHost, "did you mean 'carrot'"),
        ("plain", {}, ConfigError, "plain has no tags"),
        ("carrot", {"ttl": 0}, ConfigError, "ttl=0"),
        ("carrot", {"ttl": -1.0}, ConfigError, "ttl=-1.0"),
        ("carrot", {"ttl": True}, ConfigError, "ttl=True"),
        ("carrot", {"wait": -1}, ConfigError, "-1"),
        ("carrot", {"priority": "high"}, ConfigError, "priority='high'"),
    ],
)
def test_what_is_wrong_is_said_at_once(make_lab, wanted, how, error, text):
    lab = make_lab()
    with pytest.raises(error, match=re.escape(text)):
        lab.reserve(wanted, **how)
    assert lab.who().queue == []


def test_a_second_hold_on_a_tag_by_the_same_process_is_refused(make_lab):
    lab, again = make_lab(), make_lab()
    with lab.reserve("carrot"):
        for other in (lab, again):
            with pytest.raises(ConfigError, match="carrot: this process holds it already"):
                other.reserve(["gpu-2", "carrot"])
        with lab.reserve("gpu-2"):
            pass
    with again.reserve("carrot"):
        pass


def hold_elsewhere(make_lab: Callable[..., Lab], name: str = "carrot", **how):
    """Hold a tag as another process would: a thread's hold that this process does not know of."""
    from otto_docker_sync.reservations.registry import registry

    reservation = make_lab().reserve(name, **how)
    registry.remove(reservation)
    return reservation


def test_a_number_out_of_time_names_holders_and_place(make_lab):
    lab = make_lab()
    with hold_elsewhere(make_lab, reason="flashing"):
        with pytest.raises(ReservationError) as caught:
            lab.reserve("carrot", wait=0)
        text = str(caught.value)
        assert re.search(rf"carrot held by \S+@\S+, process {os.getpid()}: flashing", text)
        assert "place 1 in the queue" in text
        assert not isinstance(caught.value, ReservationLost)
    assert lab.who().queue == []


def test_who_waits_and_is_served_when_the_holder_releases(make_lab):
    lab = make_lab()
    holder = hold_elsewhere(make_lab, reason="first")
    served = threading.Event()

    def wait() -> None:
        with lab.reserve("carrot", reason="second"):
            served.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    looked = make_lab()
    while not (queue := looked.who().queue):
        pass
    (entry,) = queue
    assert (entry.tags, entry.mode, entry.place, entry.reason) == (("carrot",), "exclusive", 1, "second")
    assert entry.pid == os.getpid() and "@" in entry.owner
    (hold,) = looked.who().holds
    assert (hold.tags, hold.place, hold.reason) == (("carrot",), 0, "first")
    assert not served.is_set()
    holder.release()
    assert served.wait(20)
    waiting.join()


def test_who_waits_learns_that_the_table_was_removed(make_lab, tmp_path):
    lab = make_lab()
    hold_elsewhere(make_lab)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            lab.reserve("carrot")
        except BaseException as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    looked = make_lab()
    while not looked.who().queue:
        pass
    (tmp_path / "otto-docker").rename(tmp_path / "elsewhere")  # at once, whatever is just being written
    waiting.join(20)
    assert isinstance(errors[0], ReservationError)
    assert "if the directory was removed, try again" in str(errors[0])


def test_sharers_and_a_priority(make_lab):
    with hold_elsewhere(make_lab, shared=True), make_lab().reserve("carrot", shared=True, wait=10) as reservation:
        assert [entry.mode for entry in make_lab().who().holds] == ["shared", "shared"]
        assert reservation.shared


def test_any_of_several_takes_whichever_is_free(make_lab):
    lab = make_lab()
    with hold_elsewhere(make_lab, "gpu-1"):
        with lab.reserve_any("gpu-*") as reservation:
            assert [host.id for host in reservation.hosts] == ["gpu-2"]
            with pytest.raises(ConfigError, match="holds some of them already"):
                lab.reserve_any("gpu-*", 2)
        with pytest.raises(ReservationError, match="gpu-1 held by"):
            lab.reserve_any("gpu-*", 2, wait=0)
    with lab.reserve_any("gpu-*", 2, wait=0) as reservation:
        assert [host.id for host in reservation.hosts] == ["gpu-1", "gpu-2"]
    for count in (0, True, "2"):
        with pytest.raises(ConfigError, match="count="):
            lab.reserve_any("gpu-*", count)
    with pytest.raises(ConfigError, match="3 of 'gpu-\\*' are wanted, and 2"):
        lab.reserve_any("gpu-*", 3)


def test_closing_the_lab_releases(make_lab):
    lab = make_lab()
    reservation = lab.reserve("carrot")
    lab.close()
    assert not reservation.lost
    with make_lab().reserve("carrot", wait=0):
        pass


def test_a_hold_that_is_taken_away_is_lost_with_its_reason(make_lab):
    lab = make_lab()
    reservation = lab.reserve("carrot")
    interrupted = threading.Event()
    with reservation.interruption.waking(interrupted.set):
        make_lab().reservations.force(["carrot"], "the release needs it")
        assert interrupted.wait(20)
    assert reservation.lost
    with pytest.raises(ReservationLost, match=r"carrot .* was lost: taken away by \S+@\S+, process \d+: the release"):
        reservation.check()
    with make_lab().reserve("gpu-2"):
        pass
    reservation.release()
    assert not reservation.lost
    with lab.reserve("carrot", wait=10):
        pass


def test_taking_away_needs_a_reason_and_a_hold(make_lab):
    with pytest.raises(ConfigError, match="say why"):
        make_lab().reservations.force(["carrot"], " ")
    with pytest.raises(ReservationError, match="nobody holds carrot"):
        make_lab().reservations.force(["carrot"], "why not")


def test_a_forked_child_is_no_holder_and_keeps_no_hold(make_lab):
    lab = make_lab()
    reservation = lab.reserve("carrot")
    to_child, from_child = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.read(to_child[0], 1)
        reservation.release()
        with lab.reserve("carrot", wait=0):  # the parent has released it: nothing of ours is in the way
            os.write(from_child[1], b"y")
        os._exit(0)
    reservation.release()
    os.write(to_child[1], b"g")
    answer = os.read(from_child[0], 1)
    os.waitpid(child, 0)
    for descriptor in (*to_child, *from_child):
        os.close(descriptor)
    assert answer == b"y"


def test_a_container_stands_for_its_parents_tags(make_lab, tmp_path):
    from otto_docker_sync import Project

    parent = LocalHost(id="p", resources={"p"})
    project = Project("shop", [tmp_path / "compose.yml"], default_host="p", services=["api"])
    with Lab("bench", [parent], [project]) as lab:
        container = lab.get("p.shop.api")
        assert isinstance(container, DockerContainerHost)
        assert container.resources == {"p"}
        with lab.reserve("p") as reservation:
            assert [host.id for host in reservation.hosts] == ["p"]


@pytest.mark.parametrize("backend", ["mysql://x", "file:relative", "filer", 5])
def test_a_backend_that_is_not_known(backend):
    with pytest.raises(ConfigError, match="backend="):
        ReservationOptions(backend)


def test_a_password_shows_nowhere():
    for options in (
        ReservationOptions("redis://me:hunter2@lab-redis:6379/0"),
        ReservationOptions("redis://lab-redis:6379/0", password="hunter2"),
    ):
        with Lab("x", [LocalHost(id="a", resources={"a"})], reservations=options) as lab:
            assert "hunter2" not in repr(options) + lab.reservations.table
    assert masked("hunter2") == "***"


FORKS = """
import os, signal
from otto_docker_sync import Lab, LocalHost
lab = Lab("bench", [LocalHost(id="carrot", resources={"carrot"})])
lab.reserve("carrot")
child = os.fork()
os.write(1, f"{os.getpid()} {child}\\n".encode())  # as one piece, beside the other's
signal.pause()
"""


def test_the_child_of_a_killed_holder_keeps_no_hold(make_lab):
    with subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = {int(line.split()[1]) for line in (parent.stdout.readline(), parent.stdout.readline())} - {0}
        parent.kill()
        parent.wait()
        with make_lab().reserve("carrot", wait=20):
            (child,) = children
            os.kill(child, signal.SIGKILL)


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    from otto_docker_sync.reservations import file_backend

    monkeypatch.setattr(file_backend, "file_system", lambda _: "nfs4")
    with (
        Lab("x", [LocalHost(id="a", resources={"a"})], reservations=ReservationOptions(f"file:{tmp_path}")) as lab,
        pytest.raises(ConfigError, match="network file system"),
    ):
        lab.reserve("a")


def test_errors_and_entries_can_be_pickled(make_lab):
    with hold_elsewhere(make_lab):
        lab = make_lab()
        assert pickle.loads(pickle.dumps(lab.who())) == lab.who()
        with pytest.raises(ReservationError) as caught:
            lab.reserve("carrot", wait=0)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
