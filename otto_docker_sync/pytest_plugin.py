"""The pytest plugin: a lab, its hosts and its stacks as fixtures. Imports the library only when a fixture is used."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from .docker_host import DockerContainerHost
    from .host import Host
    from .lab import Lab

LINES = 1000
"""So many lines of each host are shown for a failing test: the last."""

MARKERS = (
    "otto_host(id): the host of the lab that the fixture otto_host is",
    "otto_stack(project, **how): the Compose project of the fixture otto_stack; `how` goes to composed()",
    "otto_reserve(*tags): hold these tags of the lab during the test (not available yet)",
)


class Transcript(logging.Handler):
    """What was said to each host and what it answered, for the report of a test that fails."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, deque[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        host = getattr(record, "otto_host", None)
        if host is not None:
            self._lines.setdefault(host, deque(maxlen=LINES)).extend(self.format(record).split("\n"))

    def clear(self) -> None:
        self._lines.clear()

    def sections(self) -> list[tuple[str, str]]:
        return [(f"Transcript of {host}", "\n".join(lines)) for host, lines in self._lines.items()]


transcript_key = pytest.StashKey[Transcript]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("otto", "hosts of a lab (otto-docker-sync)")
    group.addoption("--otto-lab", metavar="FILE", help="lab file that the fixture otto_lab loads")
    group.addoption("--otto-log-dir", metavar="DIR", help="write the logs of all hosts here, one file a host")
    parser.addini("otto_lab", "lab file that the fixture otto_lab loads, relative to the ini file")
    parser.addini("otto_log_dir", "directory for the logs of all hosts, relative to the ini file")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    log_dir = _path(config, "otto_log_dir")
    if log_dir is not None:
        from .logs import configure

        worker: dict[str, str] = getattr(config, "workerinput", {})  # of pytest-xdist, in its workers
        config.add_cleanup(configure(log_dir / worker.get("workerid", "")).close)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if transcript := item.config.stash.get(transcript_key, None):
        transcript.clear()
    if item.get_closest_marker("otto_reserve"):
        pytest.fail("The marker otto_reserve is not available yet: this version has no reservations.", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    transcript = item.config.stash.get(transcript_key, None)
    if transcript and report.failed:
        report.sections += transcript.sections()


@pytest.fixture(scope="session")
def otto_lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """The lab of ``--otto-lab`` (or the ini key ``otto_lab``), closed after the last test.

    >>> def test_kernels(otto_lab):
    ...     assert all(result.ok for result in otto_lab.run_all("uname -r").values())
    """
    path = _path(pytestconfig, "otto_lab")
    if path is None:
        pytest.fail("No lab: give --otto-lab FILE, or set otto_lab in the ini file.", pytrace=False)
    from .lab import Lab

    with _transcribing(pytestconfig), Lab.load(path) as lab:
        yield lab


@contextmanager
def _transcribing(config: pytest.Config) -> Iterator[None]:
    """Keep a transcript for the reports, which then need not show the same lines as captured logs too."""
    from .logs import PACKAGE, LineFormatter

    def is_wanted(record: logging.LogRecord) -> bool:
        ours = record.name.startswith(f"{PACKAGE}.")
        return not ours or (record.levelno >= logging.WARNING and not hasattr(record, "otto_host"))

    transcript = Transcript()
    transcript.setFormatter(LineFormatter())
    hosts = logging.getLogger(f"{PACKAGE}.host")
    level = hosts.level
    report_handler = getattr(config.pluginmanager.get_plugin("logging-plugin"), "report_handler", None)
    config.stash[transcript_key] = transcript
    hosts.addHandler(transcript)
    hosts.setLevel(logging.DEBUG)
    if report_handler:
        report_handler.addFilter(is_wanted)
    try:
        yield
    finally:
        if report_handler:
            report_handler.removeFilter(is_wanted)
        hosts.setLevel(level)
        hosts.removeHandler(transcript)
        del config.stash[transcript_key]


@pytest.fixture
def otto_host(request: pytest.FixtureRequest, otto_lab: Lab) -> Iterator[Host]:
    """One host of the lab, named by the marker or as an indirect parameter. Its sessions end with the test.

    >>> @pytest.mark.otto_host("carrot.repo1.api")
    ... def test_version(otto_host):
    ...     assert otto_host.run("app --version").output.startswith("2.")
    """
    host = otto_lab.get(_asked_for(request, "otto_host")[0])
    yield host
    _leave(host)


@pytest.fixture(scope="session")
def _otto_stacks(otto_lab: Lab) -> Iterator[dict[Any, dict[str, DockerContainerHost]]]:
    """The stacks that are up, each from the first test that uses it to the last test of the run."""
    from .compose import composed

    with ExitStack() as exits:

        class Stacks(dict[Any, "dict[str, DockerContainerHost]"]):
            def __missing__(self, key: Any) -> dict[str, DockerContainerHost]:
                project, how = key
                self[key] = dict(exits.enter_context(composed(project, otto_lab, **dict(how))))
                return self[key]

        yield Stacks()


@pytest.fixture
def otto_stack(
    request: pytest.FixtureRequest, _otto_stacks: dict[Any, dict[str, DockerContainerHost]]
) -> Iterator[dict[str, DockerContainerHost]]:
    """The services of a Compose project (by marker, or as an indirect parameter): a dictionary of name and host.

    The stack is started for the first test that uses it and stays up to the end of the run; workers of pytest-xdist
    share it. The sessions end with the test.

    >>> @pytest.mark.otto_stack("repo1")
    ... def test_health(otto_stack):
    ...     assert otto_stack["api"].oneshot("./healthcheck").ok
    """
    project, how = _asked_for(request, "otto_stack")
    hosts = _otto_stacks[project, tuple(sorted(how.items()))]
    yield hosts
    for host in hosts.values():
        _leave(host)


def _asked_for(request: pytest.FixtureRequest, name: str) -> tuple[str, dict[str, Any]]:
    """What the indirect parameter or else the marker says: an id or a project, and keyword arguments."""
    if hasattr(request, "param"):
        return cast(str, request.param), {}
    marker = request.node.get_closest_marker(name)
    if marker is None or len(marker.args) != 1:
        pytest.fail(
            f'The fixture {name} needs @pytest.mark.{name}("…"), or '
            f'@pytest.mark.parametrize("{name}", ["…"], indirect=True).',
            pytrace=False,
        )
    return marker.args[0], marker.kwargs


def _leave(host: Host) -> None:
    """End what the test left in the host; connections stay for the next test."""
    host.stop_all_repeats()
    host.close_sessions()


def _path(config: pytest.Config, name: str) -> Path | None:
    """The path that the option, or else the ini key, gives."""
    given = config.getoption(name)
    if given:
        return config.invocation_params.dir / Path(given).expanduser()
    given = config.getini(name)
    base = config.inipath.parent if config.inipath else config.rootpath
    return base / Path(given).expanduser() if given else None
