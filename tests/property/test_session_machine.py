"""A session against a model of it: in whatever order things are done, each result is its own, and the state is kept."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from otto_docker_sync import LocalHost, Status
from otto_docker_sync.result import CommandResult
from otto_docker_sync.session import HostSession

texts = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=60)
names = st.sampled_from(["A", "B", "LONGER_NAME"])
statuses = st.integers(0, 125)
sessions = st.sampled_from(["one", "two"])


class Model:
    """What a shell should remember."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.directory = "/"
        self.last = 0
        self.used = False
        self.lost = False


class SessionMachine(RuleBasedStateMachine):
    """Two sessions of one host, and what is expected of them."""

    shell = "sh"

    @initialize()
    def open(self) -> None:
        self.host = LocalHost(shell=self.shell)
        self.models = {"one": Model(), "two": Model()}

    def teardown(self) -> None:
        self.host.close()

    def session(self, name: str) -> HostSession:
        return self.host.open_session(name)

    def run(self, name: str, command: str, timeout: float = 10) -> CommandResult:
        """Run a command; the result says when the shell is a new one, just then."""
        model = self.models[name]
        result = self.session(name).run(command, timeout=timeout)
        assert result.new_session == model.lost, result
        model.lost, model.used = False, True
        if result.retcode is not None:
            model.last = result.retcode
        return result

    def forget(self, name: str) -> None:
        """The shell is gone."""
        self.models[name].__init__()  # type: ignore[misc]
        self.models[name].lost = True

    @rule(name=sessions, text=texts)
    def print_a_text(self, name: str, text: str) -> None:
        result = self.run(name, f"printf %s {shlex.quote(text)}")
        assert (result.output_bytes, result.retcode) == (text.encode(), 0)

    @rule(name=sessions, lines=st.lists(texts.filter(lambda text: "\n" not in text), max_size=5))
    def print_lines(self, name: str, lines: list[str]) -> None:
        body = "".join(f"{line}\n" for line in lines)
        result = self.run(name, f"cat <<'NO SUCH LINE'\n{body}NO SUCH LINE")
        assert (result.output_bytes, result.retcode) == (body.encode(), 0)

    @rule(name=sessions, variable=names, value=texts)
    def set_a_variable(self, name: str, variable: str, value: str) -> None:
        assert self.run(name, f"{variable}={shlex.quote(value)}").ok
        self.models[name].variables[variable] = value

    @rule(name=sessions, variable=names)
    def read_a_variable(self, name: str, variable: str) -> None:
        fresh = self.models[name].lost
        result = self.run(name, f'printf %s "${{{variable}-unset}}"')
        expected = "unset" if fresh else self.models[name].variables.get(variable, "unset")
        assert result.output_bytes == expected.encode()

    @rule(name=sessions, status=statuses)
    def end_with_a_status(self, name: str, status: int) -> None:
        result = self.run(name, f"(exit {status})  # and a comment")
        assert (result.retcode, result.status) == (status, Status.FAILED if status else Status.SUCCESS)

    @rule(name=sessions)
    def read_the_last_status(self, name: str) -> None:
        last = 0 if self.models[name].lost else self.models[name].last
        assert self.run(name, "echo $?").output == f"{last}\n"

    @rule(name=sessions, text=st.sampled_from(["'abc", "fi", "echo $(", "if true", "(", "a b | | c", "${"]))
    def make_a_syntax_error(self, name: str, text: str) -> None:
        result = self.run(name, text)
        if result.session_ended:
            self.forget(name)
        else:
            assert result.retcode not in (None, 0), result

    @rule(name=sessions)
    def leave_a_job_behind(self, name: str) -> None:
        assert self.run(name, "sleep 0.01 &").ok

    @rule(name=sessions, deaf=st.booleans())
    def run_out_of_time(self, name: str, deaf: bool) -> None:
        self.run(name, ":")
        result = self.run(name, "sh -c 'trap \"\" INT; sleep 77; :'" if deaf else "echo early; sleep 77", timeout=0.15)
        assert result.timed_out and result.retcode is None and not result.session_ended, result
        self.models[name].last = int(self.session(name).run("echo $?", timeout=5).output)
        assert self.run(name, "true").ok

    @rule(name=sessions)
    def answer_a_prompt(self, name: str) -> None:
        result = self.session(name).run(
            "printf 'who? '; read who; echo \"dear $who\"", {"who\\? $": "ann\n"}, timeout=10
        )
        assert result.output == "who? dear ann\n"
        assert result.new_session == self.models[name].lost
        self.models[name].lost, self.models[name].used, self.models[name].last = False, True, 0

    @rule(name=sessions, text=st.from_regex(r"[a-z]{1,8}", fullmatch=True))
    def talk(self, name: str, text: str) -> None:
        self.run(name, ":")
        session = self.session(name)
        session.sendline("read reply; echo got $reply; (exit 5)")
        session.sendline(text)
        assert session.expect(r"got (\w+)\n", timeout=10).groups() == (text,)
        assert self.run(name, "true").ok

    @rule(name=sessions, status=statuses)
    def leave(self, name: str, status: int) -> None:
        result = self.run(name, f"echo bye; exit {status}")
        assert (result.retcode, result.session_ended) == (status, True)
        assert result.output.startswith("bye\n")
        self.forget(name)

    @precondition(lambda self: any(model.used for model in self.models.values()))
    @rule(name=sessions)
    def close(self, name: str) -> None:
        used = self.models[name].used or self.models[name].lost
        self.session(name).close()
        self.forget(name)
        self.models[name].lost = used

    @invariant()
    def a_closed_session_is_not_alive(self) -> None:
        for name, model in getattr(self, "models", {}).items():
            if model.lost:
                assert not self.session(name).alive


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash"])
def test_a_session_is_what_its_model_is(shell: str) -> None:
    machine = type("Machine", (SessionMachine,), {"shell": shell})
    run_state_machine_as_test(machine, settings=settings(max_examples=6, stateful_step_count=15))
