"""The rig: real parts on this machine, and the guard that nothing outlives a test.

unix_host          a UnixHost, over a real sshd
ctr                a DockerContainerHost in a busybox container on it
shell_ctr          the same for each kind of shell: busybox's ash, dash, bash
container_host     makes a DockerContainerHost for any container
container          starts a container of its own; shared_container(kind) gives the ordinary one
sshd, make_sshd    the sshd with stock limits, and others
proxy              a TCP proxy that stalls, delays, drops
telnetd, compose   a real telnetd; Docker Compose, both versions
docker             the docker client, past the library
account            the user of this machine as whom logins come
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otto_docker_sync import logs
from otto_docker_sync._sandbox import Docker, SandboxError, create_workspace, destroy_workspace
from tests.rig.account import Account
from tests.rig.compose import Compose, install_compose
from tests.rig.containers import Container
from tests.rig.guard import Snapshot, Watched, leftovers
from tests.rig.proxy import Proxy
from tests.rig.requirements import missing
from tests.rig.rig import WORKSPACE, Rig
from tests.rig.sshd import Sshd
from tests.rig.telnetd import Telnetd

if TYPE_CHECKING:
    from otto_docker_sync import DockerContainerHost, UnixHost

pytest_plugins = ["pytester"]

SHELL_KINDS = ["busybox", "dash", "bash"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the workspace in the process that was started first, and destroy it when that one ends, however it does."""
    # Each of the hundreds of programs that are started would compile all that it imports anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return
    workspace = create_workspace()
    outer = os.environ.get(WORKSPACE)  # a pytest run inside a test has a rig of its own
    os.environ[WORKSPACE] = str(workspace.path)

    def destroy() -> None:
        signal.signal(signal.SIGTERM, previous)
        if outer is None:
            del os.environ[WORKSPACE]
        else:
            os.environ[WORKSPACE] = outer
        destroy_workspace(workspace)

    def terminated(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, terminated)
    config.add_cleanup(destroy)


def _lacking() -> Path:
    """The file in which a worker says why it runs no test; the process that was started first reads it."""
    return Path(os.environ[WORKSPACE], "lacking")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run no test when the machine lacks what some of them need: hundreds would fail, each after its own while."""
    fixtures = {name for item in items for name in getattr(item, "fixturenames", ())}
    if sentences := missing(fixtures):
        items.clear()
        _lacking().write_text("\n".join(sentences))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _lacking().exists():
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _lacking().exists():
        terminalreporter.section("this machine cannot run all of these tests")
        terminalreporter.write_line(_lacking().read_text())
        terminalreporter.write_line("Those that need nothing of it: pytest tests/unit tests/property")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Report a part of the rig that does not start with its own sentence, not with our source."""
    try:
        return (yield)
    except SandboxError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def rig(worker_id: str) -> Rig:
    return Rig("gw0" if worker_id == "master" else worker_id)


@pytest.fixture(scope="session")
def watched() -> Watched:
    return Watched()


@pytest.fixture(scope="session", autouse=True)
def own_temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A directory for this process's temporary files, so that the guard knows them for its own."""
    with pytest.MonkeyPatch.context() as patch:
        directory = str(tmp_path_factory.mktemp("tmp"))
        patch.setenv("TMPDIR", directory)
        patch.setattr(tempfile, "tempdir", directory)
        yield


@pytest.fixture(autouse=True)
def secrets_end_with_the_test() -> Iterator[None]:
    """What one test masks must not be hidden in the messages that the next one looks at."""
    before = logs._secrets
    yield
    logs._secrets = before


@pytest.fixture(autouse=True)
def guard(watched: Watched, own_temporary_directory: None) -> Iterator[None]:
    """Fail a test that something outlives: a thread, a file descriptor, a process, a temporary file."""
    before = Snapshot.take(watched)
    yield
    if left := leftovers(before, watched):
        pytest.fail("outlives the test:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def docker(rig: Rig) -> Docker:
    return rig.docker


@pytest.fixture(scope="session")
def account(rig: Rig, watched: Watched) -> Account:
    watched.uid = rig.account.uid
    return rig.account


@pytest.fixture(scope="session")
def sshd(rig: Rig, account: Account) -> Sshd:
    """An sshd with stock limits, for the account."""
    return rig.sshd("sshd", {})


@pytest.fixture
def make_sshd(rig: Rig, account: Account) -> Iterator[Callable[..., Sshd]]:
    """Start an sshd of the test's own: `options` are lines of its configuration, None leaves one out.

    >>> sshd = make_sshd(MaxSessions="1", Subsystem=None)
    """
    with ExitStack() as stack:

        def make(*, login: str | None = None, **options: str | None) -> Sshd:
            made = rig.sshd(rig.unique("sshd"), options, login)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture(scope="session")
def shared_container(rig: Rig, watched: Watched) -> Callable[[str], Container]:
    """The container of a kind that this worker's ordinary tests share: leave it running, and as it was."""
    started: dict[str, Container] = {}

    def get(kind: str) -> Container:
        if kind not in started:
            started[kind] = rig.container(kind)
            watched.containers.append(started[kind])
        return started[kind]

    return get


@pytest.fixture
def container(rig: Rig) -> Iterator[Callable[..., Container]]:
    """Start a container of the test's own.

    >>> made = container("dash", "--read-only", "--tmpfs", "/tm")
    """
    with ExitStack() as stack:

        def make(kind: str = "busybox", *run_args: str, command: tuple[str, ...] = ()) -> Container:
            made = rig.container(kind, *run_args, command=command)
            stack.callback(made.remove)
            return made

        yield make


@pytest.fixture(params=SHELL_KINDS)
def shell_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def make_unix_host(sshd: Sshd) -> Iterator[Callable[..., UnixHost]]:
    """Make a UnixHost, of the ordinary sshd or another, on its port or that of a proxy; closed after the test.

    >>> host = make_unix_host(port=proxy.port)
    """
    from otto_docker_sync import SSHOptions, UnixHost

    with ExitStack() as stack:

        def make(sshd: Sshd = sshd, *, ssh: dict[str, Any] | None = None, **arguments: Any) -> UnixHost:
            port = arguments.setdefault("port", sshd.port)
            if port != sshd.port:
                sshd.also_known_on(port)
            options = {"identity_file": sshd.identity_file, "known_hosts": sshd.known_hosts, **(ssh or {})}
            given = {"user": sshd.user, "id": "carrot", **arguments}
            made = UnixHost(sshd.host, ssh=SSHOptions(**options), **given)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def unix_host(make_unix_host: Callable[..., UnixHost]) -> UnixHost:
    return make_unix_host()


@pytest.fixture
def container_host(unix_host: UnixHost) -> Iterator[Callable[..., DockerContainerHost]]:
    """Make a DockerContainerHost for a container; closed after the test, before its parent.

    >>> host = container_host(container("bash"), user="tester")
    """
    from otto_docker_sync import DockerContainerHost

    with ExitStack() as stack:

        def make(container: Container | str, parent: Any = unix_host, **arguments: Any) -> DockerContainerHost:
            container_id = container if isinstance(container, str) else container.id
            given = {"project": "repo1", "service": "api", "compose_project": "", **arguments}
            made = DockerContainerHost(parent, container_id, **given)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def ctr(
    container_host: Callable[..., DockerContainerHost], shared_container: Callable[[str], Container]
) -> DockerContainerHost:
    """The ordinary container: busybox."""
    return container_host(shared_container("busybox"))


@pytest.fixture
def shell_ctr(
    container_host: Callable[..., DockerContainerHost], shared_container: Callable[[str], Container], shell_kind: str
) -> DockerContainerHost:
    """The ordinary container of each kind of shell."""
    return container_host(shared_container(shell_kind))


@pytest.fixture
def proxy(sshd: Sshd) -> Iterator[Proxy]:
    """A proxy in front of the ordinary sshd."""
    with Proxy(sshd.port) as made:
        yield made


@pytest.fixture(scope="session")
def telnetd(rig: Rig, account: Account) -> Telnetd:
    return Telnetd(rig.workspace, account, rig.environ)


@pytest.fixture(scope="session")
def compose(rig: Rig) -> Compose:
    return install_compose(rig)
