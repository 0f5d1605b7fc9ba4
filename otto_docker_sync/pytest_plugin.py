"""The pytest plugin: a lab, its hosts and its stacks as fixtures. Imports the library only when a fixture is used."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from .limits import REPORT_LINES

if TYPE_CHECKING:
    from ._docker import Evidence
    from .docker_host import DockerContainerHost
    from .host import Host
    from .lab import Lab


Services = dict[str, "DockerContainerHost"]
"""The services of a stack: name → host."""
Stacks = Callable[..., Services]
"""What the fixture ``otto_stacks`` is: a function that takes a project's name and returns its services."""

MARKERS = (
    "otto_host(id): the host of the lab that the fixture otto_host is",
    "otto_stack(project, **how): the Compose project of the fixture otto_stack; `how` goes to composed()",
    "otto_reserve(*tags, **how): hold these tags of the lab during the test; `how` goes to Lab.reserve()",
)


class Transcript(logging.Handler):
    """Collects what was sent to each host and what it answered, for the report of a test that fails."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, deque[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        host = getattr(record, "otto_host", None)
        if host is not None and getattr(record, "otto_kind", "") != "evidence":  # that has a section of its own
            self._lines.setdefault(host, deque(maxlen=REPORT_LINES)).extend(self.format(record).split("\n"))

    def clear(self) -> None:
        self._lines.clear()

    def sections(self) -> list[tuple[str, str]]:
        return [(f"Transcript of {host}", "\n".join(lines)) for host, lines in self._lines.items()]


transcript_key = pytest.StashKey[Transcript]()
evidence_key: pytest.StashKey[Evidence] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("otto", "hosts of a lab (otto-docker-sync)")
    group.addoption(
        "--otto-lab",
        metavar="FILE",
        help="lab file that the fixture otto_lab loads; by default OTTO_LAB, or the nearest lab.toml from here upwards",
    )
    group.addoption("--otto-log-dir", metavar="DIR", help="write the logs of all hosts to this directory, a file each")
    group.addoption(
        "--otto-collect",
        metavar="GLOB",
        action="append",
        default=[],
        help="get these files of each container that a failed test has used, into the directory of --otto-log-dir",
    )
    group.addoption(
        "--otto-reserve",
        metavar="TAG|HOST",
        action="append",
        default=[],
        help="hold this tag or host of the lab for the whole run, for all workers of pytest-xdist; may be repeated",
    )
    group.addoption(
        "--otto-wait",
        action="store_true",
        help="let stacks be used only when all their services that have a health check are healthy",
    )
    parser.addini("otto_lab", "lab file that the fixture otto_lab loads, relative to the ini file")
    parser.addini("otto_log_dir", "directory for the logs of all hosts, relative to the ini file")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    log_dir = _log_dir(config)
    if log_dir is not None:
        from .logs import configure

        config.add_cleanup(configure(log_dir).close)
    elif config.getoption("--otto-collect"):
        raise pytest.UsageError("--otto-collect: say with --otto-log-dir where the files are to go")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist starts its workers, which inherit the environment
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    wanted: list[str] = config.getoption("--otto-reserve")
    if wanted and not hasattr(config, "workerinput"):
        _reserve_for_run(config, wanted)


def _reserve_for_run(config: pytest.Config, wanted: list[str]) -> None:
    """Hold tags until the run ends. Its workers, and what they start, count as holders."""
    from .arguments import find_lab_file
    from .errors import OttoError
    from .reservations import Publication

    with ExitStack() as undo:
        try:
            from .lab import Lab

            lab = undo.enter_context(Lab.load(_path(config, "otto_lab") or find_lab_file()))
            reservation = lab.reserve(wanted, reason="pytest")
        except OttoError as error:
            raise pytest.UsageError(f"--otto-reserve: {error}") from None
        publication = Publication(reservation, lab.reservations.table)
        undo.callback(publication.close)
        environment = undo.enter_context(pytest.MonkeyPatch.context())
        for name, value in publication.environment().items():
            environment.setenv(name, value)
        config.add_cleanup(undo.pop_all().close)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker("otto_reserve")
        if marker is None or not isinstance(item, pytest.Function):
            continue
        # In front of the test's other fixtures, which may need what is reserved.
        item.fixturenames.insert(0, "_otto_reservation")
        # With --dist loadgroup, tests that want the same run on one worker, so the others need not wait for it.
        if hasattr(config, "workerinput") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(" ".join(map(str, marker.args))))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if transcript := item.config.stash.get(transcript_key, None):
        transcript.clear()
    if evidence := item.config.stash.get(evidence_key, None):
        evidence.begin()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    if call.excinfo is not None:
        _hide_library()
    outcome: Any = yield
    report = outcome.get_result()
    transcript = item.config.stash.get(transcript_key, None)
    if transcript and report.failed:
        report.sections += transcript.sections()
    evidence = item.config.stash.get(evidence_key, None)
    if evidence and report.failed:
        patterns: list[str] = item.config.getoption("--otto-collect")
        log_dir = _log_dir(item.config)
        directory = log_dir and log_dir / "failures" / re.sub(r"[^\w.#@-]+", "_", item.nodeid)
        report.sections += [(f"Container {host}", text) for host, text in evidence.collect(patterns, directory)]


def _hide_library() -> None:
    """Let the traceback of an error of ours end in the test's own line; ``--full-trace`` shows all of it.

    And that of ``pytest.fail``, with which pytest-timeout ends a call: with ``-l`` the locals of our frames would be
    shown, and some of these are passwords and answers to prompts.
    """

    def is_ours(error: pytest.ExceptionInfo[BaseException]) -> bool:
        from .errors import OttoError

        return isinstance(error.value, (OttoError, pytest.fail.Exception))

    # pytest looks for this name in the locals of each frame, and then in its module.
    package = __name__.partition(".")[0]
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            vars(module).setdefault("__tracebackhide__", is_ours)


@contextmanager
def _failing_plainly() -> Iterator[None]:
    """Let an error of ours in a fixture fail the test with its text alone: its traceback would be the plugin's."""
    from .errors import OttoError

    try:
        yield
    except OttoError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def otto_lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """The lab, loaded for the whole run and closed after the last test. Stacks that the run brought up are taken down.

    Its file is that of ``--otto-lab``, else of the ini key ``otto_lab``, else of the variable ``OTTO_LAB``, else the
    nearest ``lab.toml`` from the current directory upwards.

    >>> def test_kernels(otto_lab):
    ...     assert all(otto_lab.run_all("uname -r").values())
    """
    from .arguments import find_lab_file

    with _failing_plainly():
        from .lab import Lab

        lab = Lab.load(_path(pytestconfig, "otto_lab") or find_lab_file())
    with _transcribing(pytestconfig), _noting_what_is_used(pytestconfig), lab, lab.hold_stacks():
        yield lab


@pytest.fixture
def _otto_reservation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Holds what the marker ``otto_reserve`` names, around the test and its other fixtures."""
    marker = request.node.get_closest_marker("otto_reserve")
    lab: Lab = request.getfixturevalue("otto_lab")
    if not marker.args:
        pytest.fail('The marker otto_reserve needs tags or hosts: @pytest.mark.otto_reserve("carrot")', pytrace=False)
    _check_keywords("otto_reserve", lab.reserve, marker.kwargs)
    with _failing_plainly():
        reservation = lab.reserve(list(marker.args), **{"reason": request.node.nodeid, **marker.kwargs})
    with reservation:
        yield


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


@contextmanager
def _noting_what_is_used(config: pytest.Config) -> Iterator[None]:
    """Know which containers a test has used, when it fails."""
    from ._docker import Evidence

    evidence = config.stash[evidence_key] = Evidence()
    evidence.start()
    try:
        yield
    finally:
        evidence.stop()
        del config.stash[evidence_key]


@pytest.fixture
def otto_host(request: pytest.FixtureRequest, otto_lab: Lab) -> Iterator[Host]:
    """One host of the lab, named by the marker or as an indirect parameter. Its sessions end with the test.

    >>> @pytest.mark.otto_host("carrot.repo1.api")
    ... def test_version(otto_host):
    ...     assert otto_host.run("app --version").output.startswith("2.")
    """
    name, how = _asked_for(request, "otto_host")
    if how:
        pytest.fail(f"The marker otto_host takes the id of a host only, not {', '.join(how)}.", pytrace=False)
    with _failing_plainly():
        host = otto_lab.get(name)
    yield host
    _leave(host)


@pytest.fixture(scope="session")
def otto_stacks(otto_lab: Lab, pytestconfig: pytest.Config) -> Iterator[Stacks]:
    """A function that starts a project's stack and returns its services, for fixtures of any scope.

    A stack is started at its first call and stays up to the end of the run; workers of pytest-xdist share it. Keyword
    arguments go to `composed`.

    >>> @pytest.fixture(scope="module")
    ... def database(otto_stacks):
    ...     db = otto_stacks("repo1")["db"]
    ...     db.run("load-test-data").check()
    ...     return db
    """
    from .compose import composed
    from .errors import OttoError

    started: dict[Any, Services] = {}
    with ExitStack() as exits:

        def start(project: str, **how: Any) -> Services:
            how.setdefault("wait", pytestconfig.getoption("--otto-wait"))
            key = project, tuple(sorted(how.items()))
            if key not in started:
                try:
                    started[key] = dict(exits.enter_context(composed(project, otto_lab, **how)))
                except OttoError as error:
                    # The report is to end in the line that calls us, and contextlib's frames cannot be hidden.
                    raise error.with_traceback(None) from error.__cause__
            return started[key]

        yield start


@pytest.fixture
def otto_stack(request: pytest.FixtureRequest, otto_stacks: Stacks) -> Iterator[Services]:
    """The services of a Compose project (by marker, or as an indirect parameter): a dictionary of name and host.

    The stack is started for the first test that uses it and stays up to the end of the run; workers of pytest-xdist
    share it. The sessions end with the test. For fixtures of a wider scope there is ``otto_stacks``.

    >>> @pytest.mark.otto_stack("repo1")
    ... def test_health(otto_stack):
    ...     assert otto_stack["api"].oneshot("./healthcheck")
    """
    from .compose import composed

    project, how = _asked_for(request, "otto_stack")
    _check_keywords("otto_stack", composed, how)
    with _failing_plainly():
        hosts = otto_stacks(project, **how)
    yield hosts
    for host in hosts.values():
        _leave(host)


def _asked_for(request: pytest.FixtureRequest, name: str) -> tuple[str, dict[str, Any]]:
    """Return what the indirect parameter or else the marker says: an id or a project, and keyword arguments."""
    if hasattr(request, "param"):
        return cast(str, request.param), {}
    marker = request.node.get_closest_marker(name)
    if marker is None:
        pytest.fail(
            f'The fixture {name} needs @pytest.mark.{name}("…"), or '
            f'@pytest.mark.parametrize("{name}", ["…"], indirect=True).',
            pytrace=False,
        )
    if len(marker.args) != 1:
        given = ", ".join([*map(repr, marker.args), *(f"{key}={value!r}" for key, value in marker.kwargs.items())])
        pytest.fail(
            f'{name}({given}): the marker takes one name, without a keyword: @pytest.mark.{name}("…").',
            pytrace=False,
        )
    return marker.args[0], marker.kwargs


def _check_keywords(marker: str, function: Callable[..., object], given: dict[str, Any]) -> None:
    """Fail the test for a keyword argument of a marker that the function behind it does not have."""
    known = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    wrong = [name for name in given if name not in known]
    if wrong:
        pytest.fail(
            f"The marker {marker} does not know {', '.join(wrong)}; it takes {', '.join(known)}.", pytrace=False
        )


def _leave(host: Host) -> None:
    """End what the test left in the host. Connections stay, for the next test."""
    host.stop_all_repeats()
    host.close_sessions()


def _log_dir(config: pytest.Config) -> Path | None:
    """Return the directory for logs; a worker of pytest-xdist has one of its own in it."""
    log_dir = _path(config, "otto_log_dir")
    worker: dict[str, str] = getattr(config, "workerinput", {})
    return log_dir and log_dir / worker.get("workerid", "")


def _path(config: pytest.Config, name: str) -> Path | None:
    """Return the path that the option, or else the ini key, names; None when neither does."""
    given = config.getoption(name)
    if given:
        return config.invocation_params.dir / Path(given).expanduser()
    given = config.getini(name)
    base = config.inipath.parent if config.inipath else config.rootpath
    return base / Path(given).expanduser() if given else None
