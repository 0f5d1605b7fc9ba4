"""Answer the questions of a program: with expects= while it runs, or by hand with send and expect.

OTTO_LAB=lab.toml OTTO_HOST=carrot.repo1.api python prompts.py
"""

import os

from otto_docker_sync import Lab

ASK = r"""
printf 'User: '; read -r user
printf 'Password: '; read -r password
printf 'Delete everything? [y/n] '; read -r sure
echo "user $user, password of ${#password} letters, sure: $sure"
"""

with Lab.load(os.environ.get("OTTO_LAB", "lab.toml")) as lab:
    host = lab.get(os.environ.get("OTTO_HOST", "carrot.repo1.api"))

    # Known questions: each pattern with its answer. An answer is sent as it is, so it ends with a newline.
    answers = {"User: ": "tester\n", "Password: ": "secret\n", r"\[y/n\]": "y\n"}
    print(host.run(ASK, expects=answers, timeout=10).output)

    # A dialogue that cannot be foreseen: in a session of its own.
    with host.open_session("dialogue") as session:
        session.sendline("printf 'Ready? '; read -r answer; echo \"got <$answer>\"")
        session.expect(r"Ready\? ")
        session.sendline("go")
        match = session.expect([r"got <(\w+)>", "refused"], timeout=5)
        print(f"pattern {match.index} matched, group {match.groups()[0]!r}")
