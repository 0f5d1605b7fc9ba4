"""Stacks on a real parent, with both versions of Docker Compose."""

from __future__ import annotations

import contextvars
import re
import threading
import time
from pathlib import Path

import pytest

from otto_docker_sync import (
    ComposeError,
    ConfigError,
    DockerUnavailable,
    Lab,
    LocalHost,
    Project,
    UnixHost,
    compose_down,
    compose_logs,
    compose_ps,
    compose_up,
    composed,
)
from otto_docker_sync.deadline import Cancellation, cancellation
from tests.rig.compose import Compose
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd
from tests.rig.telnetd import Telnetd

from .conftest import Bench


def private_directory(sshd: Sshd, bench: Bench) -> Path:
    return Path(sshd.home) / ".cache/otto-docker" / bench.compose_project


class TestUp:
    def test_up_and_down(self, either_full_bench: Bench, sshd: Sshd) -> None:
        bench, lab = either_full_bench, either_full_bench.load()
        directory = private_directory(sshd, bench)
        hosts = compose_up("repo1", lab)
        assert list(hosts) == ["api", "api#2", "db"]
        assert [hosts["api"].container_id, hosts["api#2"].container_id] == [bench.id_of("api"), bench.id_of("api", 2)]
        assert hosts["db"] is lab.get("carrot.repo1.db")
        assert directory.stat().st_mode & 0o777 == 0o700

        api, db = hosts["api#2"], hosts["db"]
        assert api.run("hostname; cat /data/greeting; echo $FROM_FILE").output.split() == [
            *(bench.id_of("api", 2)[:12], "hello", "yes")
        ]
        assert db.oneshot("ls /srv").output.split() == ["Dockerfile", "schema"]
        assert not (directory / "tree/db/private.key").exists()

        compose_down("repo1", lab)
        assert bench.containers("-a") == []
        assert not directory.exists()
        assert [host.container_id for host in lab.containers()] == ["", "", ""]

    def test_up_again_leaves_what_is_up_alone(self, bench: Bench) -> None:
        lab = bench.load()
        first = {service: host.container_id for service, host in compose_up("repo1", lab).items()}
        host = lab.get("carrot.repo1.api")
        host.run("STATE=kept")
        again = compose_up("repo1", lab)
        assert {service: host.container_id for service, host in again.items()} == first
        assert host.run("echo $STATE").output == "kept\n"

    def test_a_changed_file_arrives_and_a_removed_one_goes(self, bench: Bench) -> None:
        lab = bench.load()
        data = bench.directory / "docker/data"
        (data / "old").write_text("x")
        api = compose_up("repo1", lab)["api"]
        api.oneshot("echo mine >/data/written-inside").check()
        (data / "old").unlink()
        (data / "greeting").write_text("good-bye\n")
        compose_up("repo1", lab)
        assert api.oneshot("ls /data; cat /data/greeting").output.split() == ["greeting", "written-inside", "good-bye"]

    def test_variables_of_ours_are_put_in_and_never_in_arguments(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTTO_TEST_TOKEN", "it's $ecret")
        text = bench.compose_file.read_text()
        bench.compose_file.write_text(text.replace("env_file: api.env", "environment: [OTTO_TEST_TOKEN]"))
        api = compose_up("repo1", bench.load())["api"]
        assert api.oneshot("echo $OTTO_TEST_TOKEN").output == "it's $ecret\n"

    def test_several_compose_files_are_put_together(self, full_bench: Bench) -> None:
        override = "services: {api: {environment: {OVER: ridden}, deploy: {replicas: 1}}}"
        (full_bench.directory / "docker/override.yml").write_text(override)
        lab_file = full_bench.directory / "lab.toml"
        text = lab_file.read_text().replace('"docker/compose.yml"]', '"docker/compose.yml", "docker/override.yml"]')
        lab_file.write_text(text.replace('"api#2", ', ""))
        hosts = compose_up("repo1", full_bench.load())
        assert list(hosts) == ["api", "db"]
        assert hosts["api"].oneshot("echo $OVER").output == "ridden\n"

    def test_services_that_were_not_declared_are_hosts_while_they_run(self, bench: Bench) -> None:
        lab_file = bench.directory / "lab.toml"
        lab_file.write_text(lab_file.read_text().replace('services = ["api"]', ""))
        lab = bench.load()
        assert lab.containers() == []
        hosts = compose_up("repo1", lab)
        assert lab.containers() == list(hosts.values())
        compose_down("repo1", lab)
        assert lab.containers() == []

    def test_stopped_and_one_off_containers_are_never_taken(self, bench: Bench) -> None:
        lab = bench.load()
        first = compose_up("repo1", lab)["api"].container_id
        bench.docker("stop", first)
        labels = {"project": bench.compose_project, "service": "api", "container-number": "1", "oneoff": "True"}
        options = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
        image = bench.docker("inspect", "--format", "{{.Config.Image}}", first)
        one_off = bench.docker("run", "--detach", "--network", "none", "--stop-signal", "KILL", *options, image)
        up = compose_up("repo1", lab)["api"].container_id
        assert up == bench.id_of("api") and up != one_off
        assert [
            each.service for each in compose_ps(lab.get("carrot")) if each.compose_project == bench.compose_project
        ] == ["api"]

    def test_a_stack_of_another_name_stands_beside(self, bench: Bench) -> None:
        lab = bench.load()
        ours = compose_up("repo1", lab)["api"]
        other = compose_up("repo1", lab, project_name=f"{bench.compose_project}-b")
        try:
            assert other["api"].container_id != ours.container_id
            assert ours.oneshot("hostname").output.strip() == ours.container_id[:12]
            assert other["api"].oneshot("hostname").output.strip() == other["api"].container_id[:12]
        finally:
            compose_down("repo1", lab, project_name=f"{bench.compose_project}-b")
        assert ours.is_running()

    def test_a_local_parent(self, full_bench: Bench, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(full_bench.directory))
        monkeypatch.setenv("DOCKER_CONFIG", str(rig.docker_config))
        project = Project("repo1", [full_bench.compose_file], services=["api"])
        with Lab("local", [LocalHost()], [project]) as lab, composed("repo1", lab) as services:
            assert services["db"].oneshot("cat /srv/schema").output == "create\n"
            assert lab.get("local.repo1.api") is services["api"]
        assert full_bench.containers("-a") == []

    def test_a_telnet_parent(self, bench: Bench, telnetd: Telnetd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OLD_PASSWORD", telnetd.password)
        lab_file = bench.directory / "lab.toml"
        (docker_command,) = re.findall("docker_command = .*", lab_file.read_text())
        table = {"host": telnetd.host, "user": telnetd.user, "term": "telnet", "password_env": "OLD_PASSWORD"}
        keys = [f'{key} = "{value}"' for key, value in table.items()]
        lines = ["[hosts.old]", *keys, f"port = {telnetd.port}", docker_command]
        lab_file.write_text(lab_file.read_text() + "\n".join(lines))
        lab = bench.load()
        with composed("repo1", lab, on="old") as services:
            assert services["api"].oneshot("cat /data/greeting").output.split() == ["hello"]
            assert [line[-10:] for line in compose_logs("repo1", lab, on="old")] == ["api speaks"]
        assert bench.containers("-a") == []


class TestFailures:
    def test_compose_has_the_last_word_and_what_was_started_goes(self, either_bench: Bench, sshd: Sshd) -> None:
        text = either_bench.compose_file.read_text()
        either_bench.compose_file.write_text(text.replace('volumes: ["./data:/data"]', 'user: "nobody-at-all"'))
        with pytest.raises(ComposeError) as caught:
            compose_up("repo1", either_bench.load())
        assert "nobody-at-all" in str(caught.value)
        assert f"Removing {either_bench.compose_project}" not in str(caught.value)
        assert "Removed" not in str(caught.value)
        assert either_bench.containers("-a") == []
        assert not private_directory(sshd, either_bench).exists()

    def test_what_was_up_before_stays(self, full_bench: Bench) -> None:
        lab = full_bench.load()
        before = compose_up("repo1", lab)["db"].container_id
        text = full_bench.compose_file.read_text()
        full_bench.compose_file.write_text(text.replace('volumes: ["./data:/data"]', 'user: "nobody-at-all"'))
        with pytest.raises(ComposeError, match="nobody-at-all"):
            compose_up("repo1", lab)
        assert full_bench.id_of("db") == before

    def test_what_compose_itself_refuses(self, bench: Bench) -> None:
        text = bench.compose_file.read_text()
        bench.compose_file.write_text(text.replace("stop_signal:", "stop_sgnal:"))
        with pytest.raises(ComposeError, match="stop_sgnal"):
            compose_up("repo1", bench.load())
        assert bench.containers("-a") == []

    def test_a_service_that_ends_at_once_tells_its_last_words(self, bench: Bench) -> None:
        text = bench.compose_file.read_text().replace("exec sleep 600", "echo no licence >&2")
        image = text.partition("image: ")[2].split()[0]
        after = "depends_on: {api: {condition: service_completed_successfully}}"
        bench.compose_file.write_text(f"{text}  late: {{image: {image}, network_mode: none, {after}}}\n")
        with pytest.raises(ComposeError, match=r"(?s)api does not run.*Exited \(0\).*no licence"):
            compose_up("repo1", bench.load())
        assert bench.containers("-a") == []

    def test_a_timeout_ends_compose(self, full_bench: Bench, sshd: Sshd) -> None:
        recipe = full_bench.directory / "db/Dockerfile"
        recipe.write_text(recipe.read_text().replace("COPY", "RUN sleep 30\nCOPY"))
        start = time.monotonic()
        with pytest.raises(ComposeError, match="out of time"):
            compose_up("repo1", full_bench.load(), timeout=2)
        assert time.monotonic() - start < 25  # and not the 30 that the build takes
        assert full_bench.containers("-a") == []
        assert not private_directory(sshd, full_bench).exists()

    def test_cancelled(self, full_bench: Bench) -> None:
        recipe = full_bench.directory / "db/Dockerfile"
        recipe.write_text(recipe.read_text().replace("COPY", "RUN sleep 30\nCOPY"))
        lab, stop, context = full_bench.load(), Cancellation("Ctrl-C"), contextvars.copy_context()
        context.run(cancellation.set, stop)
        timer = threading.Timer(2, stop.cancel)
        timer.start()
        with pytest.raises(ComposeError, match="Ctrl-C"):
            context.run(compose_up, "repo1", lab)
        timer.join()
        assert full_bench.containers("-a") == []

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (('["api"]', '["apii"]'), r"no service 'apii' in .*compose.yml; did you mean 'api'\?"),
            (('default_host = "carrot"', 'default_host = "plain"'), "not docker_capable"),
            (("docker/compose.yml", "docker/none.yml"), r"none\.yml: No such file"),
        ],
    )
    def test_a_lab_file_that_does_not_fit(self, bench: Bench, change: tuple[str, str], message: str) -> None:
        lab_file = bench.directory / "lab.toml"
        lab_file.write_text(lab_file.read_text().replace(*change))
        with pytest.raises(ConfigError, match=message):
            compose_up("repo1", bench.load())
        assert bench.containers("-a") == []

    def test_a_compose_file_that_does_not_parse(self, bench: Bench) -> None:
        bench.compose_file.write_text("services: [")
        with pytest.raises(ConfigError, match=r"(?s)refuses the project.*compose\.yml.*yaml: line 1"):
            compose_up("repo1", bench.load())

    def test_arguments_that_name_nothing(self, bench: Bench) -> None:
        lab = bench.load()
        with pytest.raises(ConfigError, match=r"no project 'repo'; did you mean 'repo1'\?"):
            compose_up("repo", lab)
        with pytest.raises(ConfigError, match=r"no host 'carot'; did you mean 'carrot'\?"):
            compose_up("repo1", lab, on="carot")
        with pytest.raises(ConfigError, match=r"plain .*not docker_capable"):
            compose_up("repo1", lab, on="plain")
        for name in ("Upper", "-x", "a;b", "", "a b"):
            with pytest.raises(ConfigError, match="project_name="):
                compose_up("repo1", lab, project_name=name)
        with pytest.raises(ConfigError, match="timeout"):
            compose_up("repo1", lab, timeout=-1)
        with pytest.raises(ConfigError, match="stop_timeout"):
            compose_down("repo1", lab, stop_timeout=-1)
        assert bench.containers("-a") == []

    def test_a_parent_without_docker_or_compose(self, bench: Bench, sshd: Sshd, compose: Compose) -> None:
        lab = bench.load()
        bare = ("env", f"PATH={compose.none}", "docker")
        for command, error in ((bare, ComposeError), (("/no/such/docker",), DockerUnavailable)):
            parent = lab.add(UnixHost(sshd.host, id=error.__name__, docker_command=command, **bench.login(lab)))
            with pytest.raises(error, match=r"no Docker Compose|no docker client"):
                compose_up("repo1", lab, on=parent)


class TestDown:
    def test_what_others_started_in_it_goes_too_and_twice_is_once(self, bench: Bench) -> None:
        lab = bench.load()
        compose_down("repo1", lab)
        api = compose_up("repo1", lab)["api"].container_id
        labels = ["--label", f"com.docker.compose.project={bench.compose_project}"]
        image = bench.docker("inspect", "--format", "{{.Config.Image}}", api)
        bench.docker("run", "--detach", "--network", "none", "--stop-signal", "KILL", *labels, image)
        compose_down("repo1", lab)
        assert bench.containers("-a") == []
        compose_down("repo1", lab)

    def test_volumes_stay_unless_asked_for(self, bench: Bench) -> None:
        text = bench.compose_file.read_text()
        bench.compose_file.write_text(text.replace("./data:/data", "kept:/data") + "volumes: {kept: {}}\n")
        lab = bench.load()
        volume = f"{bench.compose_project}_kept"
        compose_up("repo1", lab)
        compose_down("repo1", lab)
        assert volume in bench.docker("volume", "ls", "-q").split()
        compose_up("repo1", lab)
        compose_down("repo1", lab, volumes=True)
        assert volume not in bench.docker("volume", "ls", "-q").split()


class TestLogs:
    def test_lines_as_they_are_and_as_they_come(self, either_bench: Bench) -> None:
        lab = either_bench.load()
        api = compose_up("repo1", lab)["api"]
        lines = compose_logs("repo1", lab)
        assert len(lines) == 1
        assert all(line.startswith("api") and line.endswith("api speaks") for line in lines)
        assert compose_logs("repo1", lab, tail=0) == []

        following = compose_logs("repo1", lab, service="api", follow=True)
        assert next(following).endswith("api speaks")
        api.oneshot("echo more >/proc/1/fd/1").check()
        assert next(following).endswith("more")
        compose_down("repo1", lab)
        assert [line for line in following if line.endswith("more")] == []

    def test_following_ends_when_it_is_closed_or_out_of_time(self, bench: Bench) -> None:
        lab = bench.load()
        compose_up("repo1", lab)
        lines = compose_logs("repo1", lab, follow=True)
        next(lines)
        lines.close()  # the guard sees to it that nothing runs on
        assert len(list(compose_logs("repo1", lab, follow=True, timeout=1))) <= 1  # the time may be too short for any

    def test_of_what_is_not_there(self, bench: Bench) -> None:
        lab = bench.load()
        with pytest.raises(ComposeError, match="is not up"):
            compose_logs("repo1", lab)
        with pytest.raises(ConfigError, match=r"no service 'apii' .*'api'"):
            compose_logs("repo1", lab, service="apii")
        with pytest.raises(ConfigError, match="tail"):
            compose_logs("repo1", lab, tail=-1)
