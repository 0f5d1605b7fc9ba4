"""Logs: silent at first, by whole lines, per host, and never with a secret in them."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otto_docker_sync import logs
from otto_docker_sync.limits import LONG_LINE
from otto_docker_sync.logs import HIDDEN, HostLog, Masker, configure, mask, masked


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", ())


def forget_secrets() -> None:
    logs._secrets = ()


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def seen(self) -> list[tuple[str, str]]:
        return [(vars(record)["otto_kind"], record.getMessage()) for record in self.records]


@pytest.fixture
def records() -> Iterator[Records]:
    handler = Records()
    logger = logging.getLogger(logs.PACKAGE)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


# Masking

text = st.text("ab\n", max_size=12)


@given(st.lists(text, max_size=4), st.lists(text, max_size=8))
def test_no_border_of_pieces_shows_a_secret(secrets: list[str], pieces: list[str]) -> None:
    forget_secrets()
    mask(*secrets)
    whole = "".join(pieces)
    masker = Masker()
    shown = "".join(masker.feed(piece) for piece in pieces) + masker.flush(whole=True)
    assert shown == masked(whole)
    covered = {
        index
        for secret in logs._secrets
        for start in range(len(whole))
        if whole.startswith(secret, start)
        for index in range(start, start + len(secret))
    }
    assert shown.replace(HIDDEN, "") == "".join(c for i, c in enumerate(whole) if i not in covered)
    assert not any(secret in shown for secret in logs._secrets)


@given(st.lists(text, min_size=1, max_size=4), st.lists(text, max_size=8))
def test_the_beginning_of_a_secret_at_the_end_is_hidden_too(secrets: list[str], pieces: list[str]) -> None:
    forget_secrets()
    mask(*secrets)
    masker = Masker()
    shown = "".join(masker.feed(piece) for piece in pieces) + masker.flush()
    for secret in logs._secrets:
        assert not any(shown.endswith(secret[:length]) for length in range(1, len(secret) + 1))


def test_what_is_kept_back_is_never_more_than_the_longest_secret() -> None:
    mask("aa", "aaaab")
    masker = Masker()
    shown = sum(len(masker.feed("a" * 100)) for _ in range(100))
    assert len(masker._text) < len("aaaab")
    assert shown == len(HIDDEN)


def test_text_that_cannot_be_a_secret_is_shown_at_once() -> None:
    mask("hunter2")
    assert Masker().feed("Password: ") == "Password: "


def test_a_secret_of_several_lines_is_hidden_as_a_terminal_shows_it_too() -> None:
    mask("line one\nline two\n")
    assert masked("<line one\r\nline two>") == masked("<line one\nline two>") == f"<{HIDDEN}>"


@pytest.mark.parametrize("secret", ['it\'s "q" \\ \u00fc\n2', "it's", "a'b\\'c", "tab\there"])
def test_a_secret_is_hidden_in_every_quoting(secret: str) -> None:
    mask(secret)
    by_hand = "'" + secret.replace("'", r"'\''") + "'"
    quoted = [shlex.quote(secret), shlex.join(["login", secret]), by_hand, json.dumps(secret), secret]
    for text in [*quoted, *map(repr, quoted), repr(f"'\"{secret}")]:
        assert HIDDEN in masked(text)
        assert not any(part in masked(text) for part in ("it", "here", "ü", "a'b"))


def test_nothing_is_masked_for_an_empty_secret() -> None:
    mask("", None, "\n")
    assert masked("a\n") == "a\n"


# Hosts


def test_silent_until_configured() -> None:
    program = (
        "from otto_docker_sync.logs import HostLog; import logging\n"
        "log = HostLog('a'); log.event('lost', level=logging.ERROR); log.command('ls').output('x\\n')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout + run.stderr == ""


def test_output_is_logged_by_whole_lines(records: Records) -> None:
    call = HostLog("carrot").command("make")
    for piece in ("cc", " a.c\ncc b", ".c\n", "\n", "done"):
        call.output(piece)
    call.end("exit status 0")
    assert records.seen == [
        ("command", "make"),
        ("output", "cc a.c"),
        ("output", "cc b.c"),
        ("output", ""),
        ("output", "done"),
        ("outcome", "exit status 0"),
    ]


def test_a_line_without_end_does_not_fill_the_memory(records: Records) -> None:
    call = HostLog("carrot").command("yes | tr -d '\\n'")
    for _ in range(40):
        call.output("y" * 10_000)
    call.end()
    pieces = [text for kind, text in records.seen if kind == "output"]
    assert "".join(pieces) == "y" * 400_000
    assert max(map(len, pieces)) < LONG_LINE + 10_000


def test_secrets_are_hidden_in_commands_events_and_output_across_pieces(records: Records) -> None:
    mask("hunter2", "two\nlines")
    log = HostLog("carrot")
    log.event("logging in with hunter2")
    call = log.command("login -p hunter2")
    for piece in ("hun", "ter", "2 is it; tw", "o\nli", "nes\nhunt"):
        call.output(piece)
    call.end("hunter2 failed")
    assert records.seen == [
        ("event", f"logging in with {HIDDEN}"),
        ("command", f"login -p {HIDDEN}"),
        ("output", f"{HIDDEN} is it; {HIDDEN}"),
        ("output", HIDDEN),
        ("outcome", f"{HIDDEN} failed"),
    ]


def test_a_secret_that_becomes_known_during_the_call_is_hidden_from_then_on(records: Records) -> None:
    call = HostLog("carrot").command("cat token")
    mask("token-1")
    call.output("token-1\n")
    assert records.seen[-1] == ("output", HIDDEN)


@pytest.mark.parametrize("log_of_host, log_of_call", [(False, True), (True, False), (False, False)])
def test_log_false_keeps_commands_and_output_out_but_not_events(
    records: Records, log_of_host: bool, log_of_call: bool
) -> None:
    log = HostLog("carrot", log=log_of_host)
    call = log.command("secret command", log=log_of_call)
    call.output("secret output\n")
    call.end("exit status 0")
    log.event("connected")
    assert records.seen == [("event", "connected")]


def test_log_stdout_false_keeps_them_off_stdout_only(
    records: Records, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = logging.StreamHandler(sys.stdout)  # an application's own handler, which knows nothing of us
    logging.getLogger().addHandler(own)
    try:
        with configure(tmp_path, stdout=True):
            for host, stdout in (("quiet", False), ("loud", True)):
                log = HostLog(host, log_stdout=stdout)
                log.event(f"{host} connected")
                call = log.command(f"{host} command")
                call.output(f"{host} output\n")
                call.end(f"{host} outcome")
    finally:
        logging.getLogger().removeHandler(own)
    shown = capsys.readouterr().out
    assert [word for word in ("connected", "command", "output", "outcome") if f"loud {word}" in shown] == [
        "connected",
        "command",
        "output",
        "outcome",
    ]
    assert "quiet connected" in shown
    assert not any(f"quiet {word}" in shown for word in ("command", "output", "outcome"))
    assert "quiet output" in (tmp_path / "quiet.log").read_text()
    assert ("output", "quiet output") in records.seen


def test_filters_and_levels_hold_for_a_host_off_stdout(records: Records) -> None:
    log = HostLog("quiet.host", log_stdout=False)
    records.setLevel(logging.INFO)
    log.command("one").output("dropped by the handler's level\n")
    logger = logging.getLogger(f"{logs.PACKAGE}.host.quiet.host")
    drop = logging.Filter("elsewhere")
    logger.addFilter(drop)
    log.command("two")
    logger.removeFilter(drop)
    parent = logging.getLogger(f"{logs.PACKAGE}.host.quiet")
    parent.propagate = False
    log.command("three")
    parent.propagate = True
    log.command("four")
    assert [text for _, text in records.seen] == ["one", "four"]


def test_one_file_per_host_and_one_of_all(tmp_path: Path) -> None:
    with configure(tmp_path / "new" / "logs"):
        for host in ("carrot", "carrot.repo1.api#2", "../evil", "all"):
            HostLog(host).command(f"echo {host}").output("a\nb\n")
        logging.getLogger(f"{logs.PACKAGE}.ssh").warning("no host")
    HostLog("carrot").command("after the end")
    directory = tmp_path / "new" / "logs"
    assert sorted(path.name for path in directory.iterdir()) == [
        "_._evil.log",
        "all.log",
        "all_.log",
        "carrot.log",
        "carrot.repo1.api#2.log",
    ]
    lines = (directory / "carrot.repo1.api#2.log").read_text().splitlines()
    assert [line.partition(" carrot")[2] for line in lines] == [
        ".repo1.api#2 $ echo carrot.repo1.api#2",
        ".repo1.api#2 | a",
        ".repo1.api#2 | b",
    ]
    everything = (directory / "all.log").read_text()
    assert "carrot $ echo carrot\n" in everything and "../evil | b\n" in everything and "ssh * no host" in everything
    assert "after the end" not in everything
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in directory.iterdir())


def test_configure_leaves_logging_as_it_was(tmp_path: Path) -> None:
    logger = logging.getLogger(logs.PACKAGE)
    before = (list(logger.handlers), logger.level)
    handlers = configure(tmp_path)
    handlers.close()
    handlers.close()
    assert (list(logger.handlers), logger.level) == before


def test_a_traceback_is_in_the_file(tmp_path: Path) -> None:
    with configure(tmp_path):
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger(f"{logs.PACKAGE}.lab").exception("could not close")
    lines = (tmp_path / "all.log").read_text().splitlines()
    assert lines[0].endswith("lab * could not close") and lines[-1].endswith("lab * ValueError: broken")


def test_the_secrets_of_a_host_are_hidden_before_they_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from otto_docker_sync import Lab, SSHOptions, UnixHost

    UnixHost("carrot", password="of-the-host", ssh=SSHOptions(passphrase="of-the-key"))
    monkeypatch.setenv("CARROT_PASSWORD", "of-the-environment")
    (tmp_path / "lab.toml").write_text('[hosts.carrot]\nhost = "carrot"\npassword_env = "CARROT_PASSWORD"\n')
    Lab.load(tmp_path / "lab.toml").close()
    assert masked("of-the-host of-the-key of-the-environment") == " ".join([HIDDEN] * 3)
