"""Any text that a shell accepts, or does not, gives the right output and status; the next command is clean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from otto_docker_sync import CommandResult, DockerContainerHost

EACH_CONTROL_BYTE = "".join(map(chr, [*range(1, 10), *range(11, 32), 127]))


@dataclass
class Case:
    """A text and what it must give. A callable judges what shells word differently; `then` follows."""

    text: str
    output: str | Callable[[str], bool] = ""
    rc: int | tuple[int, ...] = 0
    ended: bool = False
    then: tuple[tuple[str, str], ...] = ()


def says(*words: str) -> Callable[[str], bool]:
    return lambda output: all(word in output for word in words)


def ends_with(text: str) -> Callable[[str], bool]:
    return lambda output: output.endswith(text)


CASES = [
    Case("echo hello", "hello\n"),
    Case("", ""),
    Case("   ", ""),
    Case(":", ""),
    Case("false", "", 1),
    Case("(exit 125)", "", 125),
    Case("(exit 126)", "", 126),
    Case("(exit 127)", "", 127),
    Case("(exit 137)", "", 137),
    Case("(exit 255)", "", 255),
    Case("no_such_command_here", says("not found"), 127),
    Case("sh -c 'kill -9 $$'", lambda output: "Killed" in output or output == "", 137),
    Case("echo x # a comment", "x\n"),
    Case("# only a comment", ""),
    Case("echo a; echo b", "a\nb\n"),
    Case("echo a\necho b\nfalse", "a\nb\n", 1),
    Case("echo a\n\n\necho b\n\n", "a\nb\n"),
    Case("echo ab\\\ncd", "abcd\n"),
    Case("echo abc\\", lambda output: output in ("abc\n", "abc\\\n")),
    Case("for i in 1 2 3; do\n echo $i\ndone", "1\n2\n3\n"),
    Case("f() { echo in f; return 7; }; f", "in f\n", 7, then=(("f || :", "in f\n"), ("unset -f f", ""))),
    # Jobs. Bash says which job it started.
    Case(
        "sleep 0.05 &", lambda output: output == "" or output.startswith("[1] "), then=(("wait", lambda _: True),)
    ),
    Case("{ echo bg; } & wait $!", says("bg\n")),
    Case("echo 'abc", says("sh:"), (1, 2)),
    Case('echo "abc', says("sh:"), (1, 2)),
    Case("echo $(", says("sh:"), (1, 2)),
    Case("if true; then", says("sh:"), (1, 2)),
    Case("fi", says("sh:"), (1, 2)),
    Case("done; echo never", says("sh:"), (1, 2)),
    Case("(", says("sh:"), (1, 2)),
    Case(")", says("sh:"), (1, 2)),
    Case("}", lambda output: "sh:" in output, (1, 2, 127)),
    Case("case x in", says("sh:"), (1, 2)),
    Case("echo a; ;", says("sh:"), (1, 2)),
    Case("echo ${x:?is missing}", says("is missing"), (1, 2, 127)),
    Case('while read -r l; do echo "<$l>"; done <<EOF\nl1\nl2 $((1+1))\nEOF', "<l1>\n<l2 2>\n"),
    Case("while read -r l; do echo \"<$l>\"; done <<'EOF'\n$x `y` \\z\nEOF", "<$x `y` \\z>\n"),
    Case(
        "while read -r l; do echo $l; done <<EOF\nunterminated", lambda output: "unterminated" in output or output == ""
    ),
    Case("printf abc", "abc"),
    Case("printf 'a\\n\\n'", "a\n\n"),
    Case("printf '\\n'", "\n"),
    Case("printf 'a\\r\\nb\\rc\\n\\r'", "a\r\nb\rc\n\r"),
    Case("printf '<'; printf '<a<'", "<<a<"),
    Case("printf '<%s:%s:%d>' a b 0; printf '<%s%s>\\n' c d", "<a:b:0><cd>\n"),
    Case('echo "<${PS1}>" | while read -r l; do echo ${#l}; done', lambda output: output.strip().isdigit()),
    Case("printf '\\377\\376\\n'", "\ufffd\ufffd\n"),
    Case("printf 'a\\000b\\n'", "a\0b\n"),
    Case("printf '\\303'; printf '\\251\\n'", "é\n"),
    Case("echo 'ü☃ 日本'", "ü☃ 日本\n"),
    Case("printf '\\033[31mred\\033[0m'", "\x1b[31mred\x1b[0m"),
    Case(f"x='{EACH_CONTROL_BYTE}'; echo ${{#x}}", f"{len(EACH_CONTROL_BYTE)}\n"),
    Case("x='a\tb'; echo \"$x\"", "a\tb\n"),
    Case("x='" + "y" * 100_000 + "'; echo ${#x}", "100000\n", then=(("unset x", ""),)),
    *(
        Case(f"x='{'z' * n}'; echo ${{#x}}", f"{n}\n")
        for n in (895, 900, 905, 1000, 1022, 1100, 4000, 4090, 4096, 9000)
    ),
    Case('x="' + "it's 'quoted'  " * 500 + '"; echo ${#x}', "7500\n"),
    Case("\n".join(f"echo {n}" for n in range(500)), "".join(f"{n}\n" for n in range(500))),
    Case(
        "set -x; echo traced; set +x", lambda output: says("echo traced", "\ntraced\n")(output) and "otto" not in output
    ),
    Case(
        "set -x",
        then=(
            ("echo hi", lambda output: ends_with("hi\n")(output) and "otto" not in output),
            ("set +x", says("set +x")),
        ),
    ),
    Case("set -v", then=(("echo hi", ends_with("hi\n")), ("set +v", lambda _: True))),
    Case("set -u", then=(("echo $nosuch_variable; echo never", says("nosuch_variable")), ("set +u", ""))),
    Case("set -f; echo *; set +f", "*\n"),
    Case("set -C; set +C", ""),
    Case(
        "IFS=0123456789",
        then=(("false", ""), ("echo $?", lambda output: output in ("1\n", " \n", "\n")), ("unset IFS", "")),
    ),
    Case("false", rc=1, then=(("echo $?", "1\n"), ("echo $?", "0\n"))),
    Case("set a 'b c' d", then=(('echo $# "$2"', "3 b c\n"), ("set --", ""))),
    Case("cd /tmp; umask 027; v=kept", then=(("pwd; umask; echo $v", "/tmp\n0027\nkept\n"), ("cd /; umask 022", ""))),
    Case("echo() { :; }", then=(("echo nothing", ""), ("unset -f echo", ""))),
    Case("printf() { :; }", then=(("echo fine", "fine\n"), ("unset -f printf", ""))),
    # The markers are lost, so the output is; the prompt still tells the end.
    Case("command() { :; }", then=(("echo fine", lambda _: True), ("unset -f command", lambda _: True))),
    Case(
        "alias echo=false printf=false eval=false set=false export=false",
        then=(("\\echo fine", "fine\n"), ("unalias -a", "")),
    ),
    Case("PS1='foo> '", then=(("echo fine", "fine\n"), ("fi", says("sh:")))),
    Case(
        "PS2='more> '; PROMPT_COMMAND='echo prompted'",
        then=(("echo fine", "fine\n"), ("unset PROMPT_COMMAND", lambda _: True)),
    ),
    Case("exec 2>&1", then=(("fi", says("sh:")), ("echo fine", "fine\n"))),
    Case("trap 'echo trapped' EXIT; trap - EXIT", ""),
    Case("read -r line </dev/null; echo $?", "1\n"),
    Case("sh -c 'exit 5'", "", 5),
    Case("test -t 0 && test -t 1 && echo tty", "tty\n"),
    Case("true && false || echo third", "third\n"),
    Case("! true", "", 1),
    Case("exit 3", lambda output: output in ("", "exit\n"), 3, ended=True, then=(("echo fresh", "fresh\n"),)),
    Case("exit", lambda output: output in ("", "exit\n"), 0, ended=True),
    Case("exec sh -c 'echo bye'", "bye\n", 0, ended=True),
    Case("exec sh -c 'exit 9'", "", 9, ended=True),
    Case("kill -9 $$", "", 137, ended=True),
    Case("set -e; false; echo never", lambda output: output in ("", "exit\n"), 1, ended=True),
    Case("set -e", then=(("true; ! true || :", ""), ("set +e", ""))),
    Case("exec >/dev/null", then=(("echo lost", ""), ("exec >/dev/tty", ""), ("echo back", "back\n"))),
    Case("readonly PS1", then=(("echo fine", "fine\n"), ("fi", says("sh:")), ("echo fine", "fine\n"))),
    Case("exit 0", lambda output: output in ("", "exit\n"), 0, ended=True),
]
NEEDS_STTY = [
    Case(
        "stty -echo -onlcr; printf 'a\\n'",
        "a\n",
        then=(("printf 'b\\r\\n'", "b\r\n"), ("stty sane", ""), ("echo c", "c\n")),
    ),
    Case(
        "stty raw", then=(("printf 'a\\r\\nb\\n'", "a\r\nb\n"), ("stty sane", ""), ("printf 'a\\r\\nb\\n'", "a\r\nb\n"))
    ),
    Case("stty echo", then=(("echo hi", "hi\n"), ("x='" + "y" * 5000 + "'; echo ${#x}", "5000\n"), ("stty -echo", ""))),
    Case("stty size", "50 200\n"),
]


def test_every_text_gives_its_output_and_status(shell_ctr: DockerContainerHost, shell_kind: str) -> None:
    wrong: list[str] = []
    for case in CASES + ([] if shell_kind == "dash" else NEEDS_STTY):
        result = shell_ctr.run(case.text, timeout=20)
        wrong += differences(case.text, result, case.output, case.rc, case.ended)
        for text, output in case.then:
            wrong += differences(text, shell_ctr.run(text, timeout=20), output, None, ended=False)
        wrong += differences(
            "clean?", shell_ctr.run("echo 'clean?'", timeout=20), "clean?\n", 0, ended=False, after=case.text
        )
    assert not wrong, "\n".join(wrong)


def differences(
    text: str,
    result: CommandResult,
    output: str | Callable[[str], bool],
    rc: int | tuple[int, ...] | None,
    ended: bool,
    after: str = "",
) -> list[str]:
    right = output(result.output) if callable(output) else result.output == output
    statuses = rc if isinstance(rc, tuple) else (rc,)
    if right and (rc is None or result.retcode in statuses) and result.session_ended == ended and not result.timed_out:
        return []
    after = f" after {after[:40]!r}" if after else ""
    return [f"{text[:60]!r}{after}: {result.output[:300]!r} {result.retcode} {result.status} {result.message}"]


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 60


def test_a_job_that_ends_while_the_shell_is_idle_ends_nothing_else(shell_ctr: DockerContainerHost) -> None:
    shell_ctr.run("X=kept; sleep 0.1 & job=$!", timeout=10)
    job = shell_ctr.run("echo $job", timeout=10).output.splitlines()[-1]
    gone = f"while [ -d /proc/{job} ] && read -r s </proc/{job}/stat && case $s in *') Z'*) false;; esac; do :; done"
    assert not shell_ctr.oneshot(gone, timeout=10).timed_out
    result = shell_ctr.run("echo $X", timeout=10)
    assert (result.output.splitlines()[-1], result.new_session) == ("kept", False)


def test_output_is_the_same_to_the_byte(shell_ctr: DockerContainerHost) -> None:
    every_byte = "".join(f"\\{value:03o}" for value in range(256))
    result = shell_ctr.run(f"printf '{every_byte}'", timeout=10)
    assert result.output_bytes == bytes(range(256))


def test_each_control_byte_of_a_text_arrives(shell_ctr: DockerContainerHost) -> None:
    for byte in EACH_CONTROL_BYTE:
        result = shell_ctr.run(f"printf '%s' 'a{byte}b'", timeout=10)
        assert result.output_bytes == f"a{byte}b".encode(), byte
