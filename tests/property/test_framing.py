"""However a shell's bytes are cut into pieces, the frame sees the same section in them."""

from __future__ import annotations

import re
import shlex
import subprocess

from hypothesis import example, given, settings
from hypothesis import strategies as st

from otto_docker_sync._channel.markers import BeginMarker, EndMarker
from otto_docker_sync._shell.framing import Prompt, Section, SessionFrame, quoted_lines

BEGIN = BeginMarker("b0b0b0b0", "e1e1e1e1")
END = EndMarker(b"<aaaa:bbbb:")
PROMPT_END = EndMarker(b"<cccc:", b":7>")

LOOK_ALIKES = [
    b"<aaaa:bbbb:",
    b"<aaaa:bbbb:>",
    b"<aaaa:bbbb:1",
    b"<aaaa:bbb",
    b"<aaaa bbbb 0>",
    b"<cccc:0:6>",
    b"<cccc:0:",
    b"<cccc::7>",
    b"<b0b0b0b0 e1e1e1e1>",
    b"printf '<%s%s>\\n' b0b0b0b0 e1e1e1e1",
]
PIECES = [*LOOK_ALIKES, b"<", b">", b":", b"0", b"\r", b"\n", b"\r\n", b"\r\r\n", b"x", b"\0", b"\xff", b"\xc3\xa9"]
PROMPT_OF_ANOTHER = b"<0123456789abcdef0123456789abcdef:0:12>"
text = (
    st.lists(st.sampled_from(PIECES), max_size=12)
    .map(b"".join)
    .filter(lambda data: not re.search(rb"<aaaa:bbbb:\d+>|<cccc:\d+:7>", data))
)
statuses = st.sampled_from([0, 1, 7, 130, 255])
borders = st.lists(st.integers(0, 400), max_size=10)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = sorted(min(mark, len(data)) for mark in at)
    return [data[start:end] for start, end in zip([0, *marks], [*marks, len(data)], strict=True)]


def follow(section: Section, pieces: list[bytes]) -> bytes:
    """All the output of a section, without what is held back at the end."""
    return b"".join(section.feed(piece) for piece in pieces)


def new_section() -> Section:
    return Section(BEGIN, (END, PROMPT_END), (PROMPT_END,))


@given(text, text, text, statuses, st.booleans(), st.booleans(), borders)
@example(b"", b"\r", b"", 0, True, True, [])
@example(b"", b"\r\n", b"", 0, True, True, list(range(80)))
def test_any_split_gives_the_same_output_status_and_rest(
    noise: bytes, output: bytes, rest: bytes, status: int, crlf: bool, by_marker: bool, at: list[int]
) -> None:
    end = b"<aaaa:bbbb:%d>" % status if by_marker else b"<cccc:%d:7>" % status
    shown = (output.replace(b"\n", b"\r\n") if crlf else output) + end
    stream = noise + BEGIN.output + (b"\r\n" if crlf else b"\n") + shown + rest
    section = new_section()
    assert follow(section, cut(stream, at)) == output
    assert (section.started, section.ended, section.retcode, section.crlf) == (True, True, status, crlf)
    assert section.rest == rest
    assert section.preamble == noise


@given(text, text, borders)
def test_output_that_never_ends_is_neither_lost_nor_held_for_long(noise: bytes, output: bytes, at: list[int]) -> None:
    section = new_section()
    stream = noise + BEGIN.output + b"\r\n" + output.replace(b"\n", b"\r\n")
    shown = follow(section, cut(stream, at))
    assert not section.ended
    assert output.startswith(shown) and len(output) - len(shown) <= 40
    shown += section.finish()
    lost = output[len(shown) :]
    assert output.startswith(shown)
    assert lost == b"" or (len(lost) > 4 and any(end.may_start_with(lost) for end in (END, PROMPT_END)))


@given(st.binary(max_size=300), borders)
def test_the_line_ends_of_a_terminal_are_undone_exactly(output: bytes, at: list[int]) -> None:
    section = new_section()
    stream = BEGIN.output + b"\r\n" + output.replace(b"\n", b"\r\n") + b"<aaaa:bbbb:0>"
    assert follow(section, cut(stream, at)) == output


@given(st.binary(max_size=300), borders)
def test_without_a_terminal_not_a_byte_is_changed(output: bytes, at: list[int]) -> None:
    section = new_section()
    assert follow(section, cut(BEGIN.output + b"\n" + output + b"<aaaa:bbbb:0>", at)) == output


@given(text, text, statuses, borders)
def test_a_prompt_ends_a_command_that_never_began(noise: bytes, rest: bytes, status: int, at: list[int]) -> None:
    section = new_section()
    assert follow(section, cut(noise + b"<cccc:%d:7>" % status + rest, at)) == b""
    assert (section.started, section.retcode, section.rest) == (False, status, rest)


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_noise_in_front_of_a_section_is_not_kept(pieces: list[bytes]) -> None:
    section = new_section()
    for piece in pieces:
        assert section.feed(piece) == b""
        assert len(section.noise()) <= 4096 + 100


@given(st.lists(st.sampled_from([*PIECES, PROMPT_OF_ANOTHER, b"PROMPT"]), max_size=12), borders)
def test_prompts_are_taken_out_of_what_is_shown_between_commands(shown: list[bytes], at: list[int]) -> None:
    prompt = Prompt()
    halves = re.findall(r"[0-9a-f]{16}", prompt.assignment)
    real = f"<{''.join(halves)}:0:12>".encode()
    text, tail, at_prompt = b"", b"", False
    for piece in cut(b"".join(real if part == b"PROMPT" else part for part in shown), at):
        if piece:
            more, tail, _, at_prompt = prompt.split(tail + piece)
            text += more
    assert text + tail == b"".join(part for part in shown if part != b"PROMPT")
    assert at_prompt == (bool(shown) and shown[-1] == b"PROMPT")


@given(st.binary(max_size=3000).filter(lambda data: b"\0" not in data), st.integers(0, 255))
def test_an_upload_is_typed_in_lines_that_every_terminal_takes(command: bytes, last: int) -> None:
    frame = SessionFrame(command, Prompt(), 3, last)
    assert frame.upload.endswith(b"\n")
    for line in frame.upload.split(b"\n"):
        assert len(line) <= 1000
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", re.sub(rb"\x16[\x00-\x1f\x7f]", b"", line))


@given(st.binary(max_size=3000).filter(lambda data: b"\0" not in data))
@example(("'" * 901 + "é" * 1200).encode())
@settings(max_examples=40)
def test_a_shell_puts_an_upload_together_again(command: bytes) -> None:
    setting = b"__otto_l='\n'\n__otto_f() { printf \"$@\" >&3; }\n"
    for types_line_ends in (True, False):
        typed = b"".join(quoted_lines(command, types_line_ends=types_line_ends))
        script = setting + typed + b"printf '%s' \"$__otto_o\"\n"
        shell = subprocess.run(["dash"], input=script, stdout=subprocess.PIPE, check=True, timeout=10)
        assert shell.stdout == command


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=50))
@settings(max_examples=30)
def test_a_quoted_text_is_one_word(text: str) -> None:
    shell = subprocess.run(
        ["dash", "-c", f"printf '<%s>' {shlex.quote(text)}"], stdout=subprocess.PIPE, check=True, timeout=10
    )
    assert shell.stdout == f"<{text}>".encode()


def test_what_is_typed_never_looks_like_what_is_printed() -> None:
    prompt = Prompt()
    frame = SessionFrame("echo hello", prompt, 1)
    echo = frame.upload.replace(b"\n", b"\r\n") * 2
    assert frame.feed(echo) == b"" and not frame.started and not frame.ended
    assert prompt.split(echo)[0] == echo
