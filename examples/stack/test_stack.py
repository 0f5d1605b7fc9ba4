"""Test what runs in a Compose stack on a lab machine.

    pytest --otto-lab lab.toml stack/

The stack is started for the first test that uses it, and removed after the last. With ``pytest -n 4`` the workers
share it.
"""

import pytest

pytestmark = pytest.mark.otto_stack("repo1")


def test_the_api_knows_the_answer(otto_stack):
    assert otto_stack["api"].oneshot("cat /tmp/answer", check=True).output == "42\n"


def test_the_shell_of_a_service_keeps_its_state(otto_stack):
    api = otto_stack["api"]
    api.run("cd /tmp")
    assert api.run("cat answer").output == "42\n"


@pytest.mark.parametrize("service", ["api", "db"])
def test_every_service_runs(otto_stack, service):
    assert otto_stack[service].is_running()


@pytest.mark.otto_host("carrot")
def test_the_machine_below(otto_host):
    assert otto_host.oneshot("true").ok
