"""Containers that are hosts before their stack is up: the first access brings it up, once."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from otto_docker_sync import ComposeError, ConfigError, WaitTimedOut, compose_down, compose_up

from .conftest import Bench

RUN = """
from concurrent.futures import ThreadPoolExecutor
print("loaded", flush=True)
input()
with ThreadPoolExecutor(6) as pool:
    print(*pool.map(lambda host: host.oneshot("hostname").output.strip(), lab.containers() * 2))
"""


def with_images(bench: Bench) -> Bench:
    """Have the images that the stack needs, as if an earlier run had built them."""
    image = bench.compose_file.read_text().partition("image: ")[2].split()[0]
    for name in (f"{bench.compose_project}-db", f"{bench.compose_project}_db"):
        bench.docker("tag", image, name)
    text = bench.compose_file.read_text()
    bench.compose_file.write_text(text.replace("../db}", "../db}\n    command: [sleep, '600']"))
    return bench


def test_many_threads_and_processes_bring_it_up_once(either_full_bench: Bench) -> None:
    bench = with_images(either_full_bench)
    lab = bench.load()
    runs = [bench.run(RUN) for _ in range(2)]
    assert [bench.said(run) for run in runs] == ["loaded", "loaded"]
    with bench.events("start", "destroy") as events:
        for run in runs:
            bench.tell(run)
        with ThreadPoolExecutor(6) as pool:
            here = list(pool.map(lambda host: host.oneshot("hostname").output.strip(), lab.containers() * 2))
        ids = [bench.id_of("api")[:12], bench.id_of("api", 2)[:12], bench.id_of("db")[:12]]
        assert here == ids * 2
        assert [bench.said(run).split() for run in runs] == [ids * 2, ids * 2]
        compose_down("repo1", lab)
        happened = [next(events) for _ in range(6)]
    assert sorted(happened) == ["destroy"] * 3 + ["start"] * 3
    assert happened[:3] == ["start"] * 3


def test_listing_and_asking_bring_nothing_up(full_bench: Bench) -> None:
    lab = full_bench.load()
    assert [host.id for host in lab.select("*.db")] == ["carrot.repo1.db"]
    assert [host.is_running() for host in lab.containers()] == [False, False, False]
    lab.rebuild_connections()
    assert full_bench.containers("-a") == []


@pytest.mark.parametrize("verb", ["run", "put"])
def test_every_verb_brings_it_up(bench: Bench, verb: str) -> None:
    api = bench.load().get("carrot.repo1.api")
    if verb == "put":
        api.put(bench.compose_file, "/tmp").check()
    else:
        assert api.run("echo hello").output == "hello\n"
    assert api.is_running()


def test_a_timeout_while_it_comes_up_is_in_the_result(bench: Bench) -> None:
    sleeping = "    command: [sleep, '600']\n"
    bench.write_services(
        {
            "api": sleeping + "    depends_on: {db: {condition: service_healthy}}\n",
            "db": sleeping + "    healthcheck: {test: 'false', interval: 1s, retries: 1000}\n",
        }
    )
    lab = bench.load()
    api = lab.get("carrot.repo1.api")
    with ThreadPoolExecutor(3) as pool:
        oneshot = pool.submit(api.oneshot, "touch /tmp/never", timeout=6)
        run = pool.submit(api.run, "touch /tmp/never", timeout=6)
        wait = pool.submit(api.wait_for, command="touch /tmp/never", timeout=6)
        for result in (oneshot.result(), run.result()):
            assert result.timed_out
            assert result.message.startswith("timed out before the command was started")
        with pytest.raises(WaitTimedOut, match="it did not hold in time"):
            wait.result()
    compose_down("repo1", lab)
    assert bench.containers("-a") == []


def test_a_missing_image_says_what_to_run(either_full_bench: Bench) -> None:
    with pytest.raises(ComposeError, match=r"(?s)carrot\.repo1\.api is not up.*otto-docker up repo1"):
        either_full_bench.load().get("carrot.repo1.api").oneshot("true")
    assert either_full_bench.containers("-a") == []


def test_a_service_that_is_not_in_the_compose_file(bench: Bench) -> None:
    lab_file = bench.directory / "lab.toml"
    lab_file.write_text(lab_file.read_text().replace('["api"]', '["apii"]'))
    with pytest.raises(ConfigError, match=r"no service 'apii' .*did you mean 'api'\?"):
        bench.load().get("carrot.repo1.apii").oneshot("true")
    assert bench.containers("-a") == []


def test_a_replica_that_there_is_not(bench: Bench) -> None:
    lab_file = bench.directory / "lab.toml"
    lab_file.write_text(lab_file.read_text().replace('["api"]', '["api#3"]'))
    with pytest.raises(ComposeError, match="api#3 does not run"):
        bench.load().get("carrot.repo1.api#3").oneshot("true")


def test_a_container_that_was_recreated_is_found_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    lab = bench.load()
    api = compose_up("repo1", lab)["api"]
    before = api.container_id
    assert api.run("STATE=lost; hostname").output.strip() == before[:12]
    bench.start_by_hand("--force-recreate")
    now = bench.id_of("api")
    assert now != before
    with caplog.at_level(logging.INFO, "otto_docker_sync"):
        result = api.run("echo $STATE; hostname")
        while result.session_ended:  # the shell went with the container; nothing is ever run twice
            result = api.run("echo $STATE; hostname")
    assert result.new_session
    assert result.output.split() == [now[:12]]
    assert before[:12] in caplog.text and now[:12] in caplog.text
    assert api.oneshot("hostname").output.strip() == now[:12]


def test_what_went_down_comes_up_again_when_needed(bench: Bench) -> None:
    lab = bench.load()
    api = compose_up("repo1", lab)["api"]
    assert api.run("hostname").ok
    compose_down("repo1", lab)
    assert not api.is_running()
    result = api.run("hostname")
    assert (result.output.strip(), result.new_session) == (bench.id_of("api")[:12], True)
