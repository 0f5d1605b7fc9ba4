"""What of a project goes to the parent: what Compose itself reads there, and nothing of it is blank or empty."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from otto_docker_sync import ComposeError, ConfigError, compose_up

from .conftest import Bench

SLEEPING = "    command: [sleep, '600']\n"

Shown = Callable[..., str]


@pytest.fixture
def shown(either_bench: Bench) -> Shown:
    """Write files beside a compose file with lines for its service; bring it up, and return what a command prints."""
    bench = either_bench

    def shown(command: str, lines: str = "", files: Mapping[str, str] | None = None, after: str = "") -> str:
        bench.write(files or {})
        bench.write_services({"api": SLEEPING + lines}, after)
        return compose_up("repo1", bench.load())["api"].oneshot(command).output

    return shown


@pytest.fixture
def directory(either_bench: Bench) -> Path:
    """Where the compose file is."""
    return either_bench.compose_file.parent


class TestBinds:
    @pytest.mark.parametrize(
        ("volume", "files"),
        [
            ("${DATA:-${BASE:-./stuff}}", {}),
            ("${DATA}", {".env": "BASE=./stuff\nDATA=${BASE}\n"}),
            ("${DATA}", {".env": "\ufeffDATA=./stuff\n"}),
            ("${DATA}", {".env": "DATA='./stuff' # here\n"}),
            ("./stuff/../stuff/", {}),
            ("$PWD/stuff", {}),
        ],
    )
    def test_a_bind_is_resolved_as_compose_does(
        self,
        shown: Shown,
        directory: Path,
        version: str,
        monkeypatch: pytest.MonkeyPatch,
        volume: str,
        files: Mapping[str, str],
    ) -> None:
        if version == "v1" and (":-${" in volume or "#" in files.get(".env", "") or "\ufeff" in files.get(".env", "")):
            volume = "./stuff"  # version 1 reads neither of them in this way
        monkeypatch.setenv("PWD", str(directory))
        monkeypatch.chdir(directory)
        assert shown("ls /x", f"    volumes: ['{volume}:/x']\n", {"stuff/hello": "hi", **files}) == "hello\n"

    def test_pwd_above_the_project(self, shown: Shown, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PWD", str(directory.parent))
        assert shown("ls /x", "    volumes: ['${PWD}/docker/stuff:/x']\n", {"stuff/hello": "hi"}) == "hello\n"

    def test_a_link_to_a_directory(self, shown: Shown, directory: Path) -> None:
        (directory / "current").symlink_to("releases/5")
        lines = "    volumes: ['./current:/x', './current/sub:/y']\n"
        files = {"releases/5/hello": "hi", "releases/5/sub/deep": "deep"}
        assert shown("cat /x/hello /y/deep", lines, files) == "hideep"

    def test_a_link_inside_of_what_is_bound_too(self, shown: Shown, directory: Path) -> None:
        (directory / "current").symlink_to("releases/5")
        lines = "    volumes: ['.:/x', './current:/y']\n"
        assert shown("cat /x/current/hello /y/hello", lines, {"releases/5/hello": "hi"}) == "hihi"

    def test_a_file_that_is_bound_and_changes(self, shown: Shown) -> None:
        lines = "    volumes: ['./app.conf:/etc/app.conf']\n"
        assert shown("cat /etc/app.conf", lines, {"app.conf": "one"}) == "one"
        assert shown("cat /etc/app.conf", lines, {"app.conf": "two, and longer"}) == "two, and longer"
        assert shown("cat /etc/app.conf", lines, {"app.conf": "3"}) == "3"

    def test_a_directory_that_is_not_here_is_made_by_compose(self, shown: Shown) -> None:
        assert shown("ls /x", "    volumes: ['./none:/x']\n") == ""

    def test_a_volume_of_a_directory(self, shown: Shown, version: str) -> None:
        driver = "{driver: local, driver_opts: {type: none, o: bind, device: ./stuff}}"
        if version == "v1":
            return  # version 1 does not resolve it, so docker refuses it by itself
        after = f"volumes:\n  held: {driver}\n"
        assert shown("ls /x", "    volumes: ['held:/x']\n", {"stuff/hello": "hi"}, after) == "hello\n"

    def test_an_absolute_path_that_only_this_machine_has(
        self, shown: Shown, tmp_path_factory: pytest.TempPathFactory, account_cannot_see: Callable[[Path], None]
    ) -> None:
        place = tmp_path_factory.mktemp("here") / "only"
        place.mkdir()
        account_cannot_see(place.parent)
        with pytest.raises(
            ConfigError, match=rf"services\.api\.volumes: {place} is on this machine, but not on carrot"
        ):
            shown("ls /x", f"    volumes: ['{place}:/x']\n")


@pytest.fixture
def account_cannot_see() -> Callable[[Path], None]:
    """This machine is the parent, too: what its account cannot see stands for what the parent has not."""

    def hide(directory: Path) -> None:
        directory.chmod(0o700)

    return hide


class TestVariables:
    def test_in_env_files_and_dot_env(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_TOKEN", "secret")
        monkeypatch.setenv("MY_OTHER", 'it\'s "quoted" ${MY_TOKEN} $MY_TOKEN \\n #x')
        lines = "    env_file: [api.env]\n    environment: {B: '${FROM_DOT}', C: '${MY_OTHER}'}\n"
        files = {"api.env": "A=${MY_TOKEN:-none}\nMY_TOKEN\n", ".env": "FROM_DOT=${MY_TOKEN:-none}\n"}
        printed = shown('printf "%s|" "$A" "$B" "$C" "$MY_TOKEN"', lines, files)
        assert printed == "secret|secret|it's \"quoted\" ${MY_TOKEN} $MY_TOKEN \\n #x|secret|"

    def test_ours_win_over_those_of_dot_env(
        self, shown: Shown, version: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_TAG", "v7")
        files = {".env": "MY_TAG=dev\nIMAGE=repo:${MY_TAG}\n"}
        lines = "    environment: {A: '${MY_TAG}', B: '${IMAGE}'}\n"
        # Version 1 looks for what .env mentions in .env first.
        assert shown("echo $A $B", lines, files) == ("v7 repo:v7\n" if version == "v2" else "v7 repo:dev\n")

    def test_the_env_files_that_the_environment_chooses(
        self, shown: Shown, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COMPOSE_ENV_FILES", "lab.env,more.env")
        monkeypatch.chdir(directory)
        files = {"lab.env": "FROM_LAB=yes", "more.env": "FROM_MORE=too\n", ".env": "FROM_DOT=no\n"}
        lines = "    environment: {A: '${FROM_LAB:-unset}', B: '${FROM_MORE:-unset}', C: '${FROM_DOT:-unset}'}\n"
        assert shown("echo $A $B $C", lines, files) == "yes too unset\n"

    def test_what_steers_the_docker_client_stays_here(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("DOCKER_CONTEXT", "COMPOSE_FILE", "DOCKER_CERT_PATH", "COMPOSE_PROJECT_NAME", "HOME"):
            monkeypatch.setenv(name, "/nonsense")
        names = "'${DOCKER_CONTEXT:-} ${COMPOSE_FILE:-} ${DOCKER_CERT_PATH:-} ${HOME:-}'"
        assert "nonsense" not in shown("echo $A", f"    environment: {{A: {names}}}\n")

    def test_profiles_of_the_environment(self, either_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COMPOSE_PROFILES", "debug,load")
        hidden = SLEEPING + "    profiles: [{}]\n"
        either_bench.write_services({"api": SLEEPING, "dbg": hidden.format("debug"), "other": hidden.format("other")})
        assert sorted(compose_up("repo1", either_bench.load())) == ["api", "dbg"]


class TestFiles:
    def test_what_is_extended_and_included(self, bench: Bench) -> None:
        bench.write(
            {
                "base/b.yml": "services: {x: {env_file: b.env, volumes: ['./near:/near']}}",
                "base/b.env": "B=base\n",
                "base/near/n": "near",
                "part/compose.yml": "services: {db: {extends: {file: ../up/u.yml, service: u}, "
                "env_file: '${NAME}.env'}}",
                "part/.env": "NAME=part\n",
                "part/part.env": "P=part\n",
                "up/u.yml": f"services: {{u: {{image: '{bench.image}', network_mode: none, command: [sleep, '600']}}}}",
                "maybe.env": "M=maybe\n",
            }
        )
        lines = "    extends: {file: base/b.yml, service: x}\n    env_file: [{path: maybe.env, required: false}]\n"
        bench.write_services({"api": SLEEPING + lines}, "include: [part/compose.yml]\n")
        hosts = compose_up("repo1", bench.load())
        assert hosts["api"].oneshot("cat /near/n; echo $B $M").output == "nearbase maybe\n"
        assert hosts["db"].oneshot("echo $P").output == "part\n"

    def test_a_project_directory_that_only_its_env_file_names(self, bench: Bench) -> None:
        bench.write(
            {
                "sub/part.yml": f"services: {{db: {{image: '{bench.image}', network_mode: none, "
                "command: [sleep, '600'], environment: {W: '${WHERE:-nowhere}'}, volumes: ['./d:/d']}}",
                "home/.env": "WHERE=home\n",
                "home/d/f": "f",
            }
        )
        bench.write_services({"api": SLEEPING}, "include: [{path: sub/part.yml, project_directory: home}]\n")
        assert compose_up("repo1", bench.load())["db"].oneshot("echo $W; ls /d").output == "home\nf\n"

    def test_an_included_project_whose_places_are_in_variables(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PLACE", "home")
        bench.write(
            {
                "sub/part.yml": f"services: {{db: {{image: '{bench.image}', network_mode: none, stop_signal: SIGKILL, "
                "command: [sleep, '600'], volumes: ['./d:/d'], "
                "environment: {W: '${WHERE:-nowhere}', O: '${ON:-off}'}}}",
                "home/.env": "WHERE=home\n",
                "home/d/f": "f",
                "on.env": "ON=on\n",
            }
        )
        part = "{path: '${PART:-sub}/part.yml', project_directory: '${PLACE}'}"
        bench.write_services({"api": SLEEPING}, f"include: [{part}]\n")
        assert compose_up("repo1", bench.load())["db"].oneshot("echo $W $O; ls /d").output == "home off\nf\n"
        bench.write_services({"api": SLEEPING}, f"include: [{part[:-1]}, env_file: '${{ENV:-on}}.env'}}]\n")
        assert compose_up("repo1", bench.load())["db"].oneshot("echo $W $O; ls /d").output == "nowhere on\nf\n"

    def test_env_files_whose_names_are_in_variables(
        self, shown: Shown, version: str, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WHICH", "lab")
        monkeypatch.setenv("MY_TOKEN", "secret")
        names = ["${WHICH:?}.env", "./env/${NAME:-dev}.env"]
        if version == "v2":  # version 1 knows no optional ones
            names = [f"{{path: '{name}', required: false}}" for name in [*names, "${ABSENT:-none}.env"]]
        else:
            names = [f"'{name}'" for name in names]
        lines = f"    env_file: [{', '.join(names)}]\n    environment: {{D: $MY_TOKEN}}\n"
        files = {"lab.env": "A=${MY_TOKEN}\n", "env/dev.env": "B=dev\n"}
        assert shown("echo $A $B $C", lines, files) == "secret dev\n"
        (directory / "none.env").write_text("C=now\n")
        assert shown("echo $A $B $C", lines) == ("secret dev now\n" if version == "v2" else "secret dev\n")

    def test_what_is_extended_from_a_file_in_a_variable(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BASE", "base")
        files = {"base/b.yml": "services: {x: {environment: {B: base}}}\n"}
        assert shown("echo $B", "    extends: {file: '${BASE}/b.yml', service: x}\n", files) == "base\n"

    def test_several_documents_in_one_file(self, bench: Bench) -> None:
        bench.write_services({"api": SLEEPING}, "---\nservices:\n  api:\n    environment: {A: b}\n")
        assert compose_up("repo1", bench.load())["api"].oneshot("echo $A").output == "b\n"

    def test_configs_and_secrets(self, shown: Shown) -> None:
        files = {"s.txt": "secret", "c.txt": "config"}
        assert shown("cat /run/secrets/s", "    secrets: [s]\n", files, "secrets: {s: {file: ./s.txt}}\n") == "secret"

    def test_a_secret_that_is_not_here(self, shown: Shown, either_bench: Bench) -> None:
        with pytest.raises(ConfigError, match=r"secrets\.s\.file: .*/s\.txt: there is no such file"):
            shown("true", "    secrets: [s]\n", {}, "secrets: {s: {file: ./s.txt}}\n")
        assert either_bench.containers("-a") == []

    @pytest.mark.parametrize("key", ["env_file: none.env", "extends: {file: none.yml, service: x}"])
    def test_a_text_that_is_not_here(self, shown: Shown, either_bench: Bench, directory: Path, key: str) -> None:
        with pytest.raises(ConfigError, match=rf"(?s)Compose refuses the project.*{directory}/none\.(env|yml)"):
            shown("true", f"    {key}\n")
        assert either_bench.containers("-a") == []

    def test_an_absolute_file_is_the_parents(self, shown: Shown, tmp_path_factory: pytest.TempPathFactory) -> None:
        base = tmp_path_factory.mktemp("elsewhere")
        base.chmod(0o700)
        (base / "base.yml").write_text("services: {base: {environment: {A: b}}}")
        with pytest.raises(ConfigError, match=rf"(?s){base}/base\.yml is on this machine; absolute paths mean"):
            shown("true", f"    extends: {{file: {base}/base.yml, service: base}}\n")

    def test_a_link_to_a_file(self, shown: Shown, directory: Path) -> None:
        (directory / "real.env").write_text("A=linked\n")
        (directory / "link.env").symlink_to("real.env")
        assert shown("echo $A", "    env_file: link.env\n") == "linked\n"


class TestContexts:
    def test_variables_links_and_places_above(self, either_full_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = either_full_bench
        monkeypatch.setenv("MY_CONTEXT", "../linked")
        (bench.directory / "linked").symlink_to("db")
        bench.compose_file.write_text(
            bench.compose_file.read_text().replace("context: ../db", "context: '${MY_CONTEXT}'")
        )
        assert compose_up("repo1", bench.load())["db"].oneshot("ls /srv").output.split() == ["Dockerfile", "schema"]


def test_a_pipe_is_left_out_and_named(shown: Shown, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(directory / "data/pipe")
    with caplog.at_level(logging.WARNING, "otto_docker_sync"):
        assert shown("ls /x", "    volumes: ['./data:/x']\n") == "greeting\n"
    assert f"left out: {directory}/data/pipe (a FIFO)" in caplog.text


def test_what_compose_refuses_is_an_error_of_both_kinds(bench: Bench) -> None:
    bench.compose_file.write_text("services: [")
    for error in (ComposeError, ConfigError):
        with pytest.raises(error):
            compose_up("repo1", bench.load())
