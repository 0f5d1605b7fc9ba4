"""What is found out about the containers that a failed test has used."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otto_docker_sync import DockerContainerHost, UnixHost
from otto_docker_sync._docker import Evidence
from otto_docker_sync.limits import EVIDENCE_LINE
from otto_docker_sync.logs import mask
from tests.faults.helpers import until
from tests.rig.containers import Container
from tests.rig.proxy import Proxy

MODULE = "otto_docker_sync._docker.evidence"
MakeContainer = Callable[..., Container]
ContainerHost = Callable[..., DockerContainerHost]
MakeHost = Callable[..., UnixHost]


@pytest.fixture
def evidence() -> Iterator[Evidence]:
    made = Evidence()
    made.start()
    yield made
    made.stop()


def print_in(container: Container, text: str) -> None:
    """Have the container itself print a line; returns when docker has it."""
    container.exec("sh", "-c", f"echo '{text}' >/proc/1/fd/1")
    until(lambda: text in container.docker("logs", "--tail", "5", container.id), 20, "the line")


def test_only_what_was_printed_since_the_test_began(
    evidence: Evidence, container: MakeContainer, container_host: ContainerHost, caplog: pytest.LogCaptureFixture
) -> None:
    made = container()
    host = container_host(made)
    print_in(made, "before")
    mask("hunter2")
    evidence.begin()
    assert host.oneshot("true")
    print_in(made, "the password is hunter2")
    print_in(made, "x" * (EVIDENCE_LINE + 1))
    with caplog.at_level(logging.INFO, "otto_docker_sync.host"):
        ((host_id, text),) = evidence.collect()
    assert host_id == host.id
    lines = text.splitlines()
    assert lines[0] == "It is running."
    printed = lines[lines.index("It printed during the test:") + 1 :]
    assert printed == ["  the password is ***", f"  {'x' * EVIDENCE_LINE}… ({EVIDENCE_LINE + 1} characters)"]
    assert [record.getMessage() for record in caplog.records if record.otto_kind == "evidence"] == [text]


def test_a_test_that_passes_asks_docker_nothing(
    evidence: Evidence, container: MakeContainer, container_host: ContainerHost, make_unix_host: MakeHost
) -> None:
    machine = make_unix_host(docker_command=("sh", "-c", 'echo "$1" >>~/docker-calls; exec docker "$@"', "sh"))
    machine.oneshot(": >~/docker-calls", check=True)
    host = container_host(container(), machine)
    for _ in range(2):
        evidence.begin()
        assert host.oneshot("true")
    assert machine.oneshot("cat ~/docker-calls").output.split() == ["exec", "exec"]
    (section,) = evidence.collect()
    assert section.text.startswith("It is running.")
    assert machine.oneshot("sort ~/docker-calls; rm ~/docker-calls").output.split() == [
        "exec",
        "exec",
        "inspect",
        "logs",
        "top",
    ]


def test_a_host_that_keeps_out_of_logs_and_a_machine_are_left_out(
    evidence: Evidence, container_host: ContainerHost, shared_container: Callable[[str], Container], unix_host: UnixHost
) -> None:
    evidence.begin()
    assert container_host(shared_container("busybox"), log=False).oneshot("true")
    assert unix_host.oneshot("true")
    assert evidence.collect() == []


def test_a_host_that_the_test_has_closed_is_found_again(
    evidence: Evidence, container: MakeContainer, container_host: ContainerHost
) -> None:
    labels = [f"--label=com.docker.compose.{name}" for name in ("project=p2", "service=api", "container-number=1")]
    made = container("busybox", *labels)
    evidence.begin()
    for _ in range(2):
        with container_host("", compose_project="p2") as host:
            assert host.oneshot("true")
    made.docker("kill", made.id)
    (section,) = evidence.collect()
    assert section.text.startswith("It is exited with status 137.")


def test_what_cannot_be_had_is_a_sentence(
    evidence: Evidence,
    container: MakeContainer,
    container_host: ContainerHost,
    make_unix_host: MakeHost,
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{MODULE}.EVIDENCE_TIME", 2.0)
    removed = container()
    hosts = [container_host(removed), container_host(container(), make_unix_host(port=proxy.port), service="db")]
    evidence.begin()
    for host in hosts:
        assert host.oneshot("true")
    removed.remove()
    proxy.refuse()
    proxy.drop()
    texts = dict(evidence.collect(["/etc/hosts"], tmp_path))
    assert "How it is cannot be told: carrot.repo1.api: no such container" in texts["carrot.repo1.api"]
    assert "How it is cannot be told: " in texts["carrot.repo1.db"]


def test_a_silent_link_takes_no_longer_than_the_limit(
    evidence: Evidence,
    container: MakeContainer,
    container_host: ContainerHost,
    make_unix_host: MakeHost,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{MODULE}.EVIDENCE_TIME", 1.0)
    host = container_host(container(), make_unix_host(port=proxy.port))
    assert host.oneshot("true")
    proxy.stall()
    (section,) = evidence.collect()
    assert re.fullmatch("How it is cannot be told: .*did not answer.*", section.text)
    proxy.resume()


def test_files_are_got_from_a_container_that_has_ended_too_but_not_too_much(
    evidence: Evidence,
    container: MakeContainer,
    container_host: ContainerHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{MODULE}.COLLECT_SIZE", 1 << 20)
    made = container()
    host = container_host(made)
    evidence.begin()
    program = "mkdir '/a b'; echo 1 >'/a b/1.log'; echo 2 >'/a b/2.log'; mkdir '/a b/3.log'; echo 4 >/one.core"
    assert host.oneshot(f"{program}; truncate -s 100M /large")
    ((_, text),) = evidence.collect(["/a b/*.log", "/large"], tmp_path)
    files = {str(path.relative_to(tmp_path / host.id)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"a b/1.log", "a b/2.log"}
    assert f"/a b/1.log is in {tmp_path / host.id / 'a b' / '1.log'}" in text
    assert "/large" in text and "there is more than 1 MiB of them" in text
    made.docker("kill", made.id)
    ((_, text),) = evidence.collect(["/one.core", "/a b/*"], tmp_path)
    assert (tmp_path / host.id / "one.core").read_text() == "4\n"
    assert "It is exited with status 137." in text and "/a b/* could not be had: " in text
