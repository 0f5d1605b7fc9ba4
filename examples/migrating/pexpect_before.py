"""A dialogue in a container, with pexpect over ssh. Compare it with pexpect_after.py.

LAB_SSH="ssh lab-17.example.net" LAB_CONTAINER=api-1 python pexpect_before.py
"""

import os

import pexpect

LOGIN = f"{os.environ['LAB_SSH']} -tt docker exec -it {os.environ['LAB_CONTAINER']} sh"
PROMPT = "@@READY@@ "

child = pexpect.spawn(LOGIN, encoding="utf-8", timeout=30)
child.expect("[#$] ")
child.sendline("stty -echo; PS1='@@READY''@@ '")
child.expect_exact(PROMPT)

child.sendline("printf 'New password: '; read -r word; echo; echo changed")
if child.expect(["New password: ", "denied"]) == 0:
    child.sendline("secret")
child.expect("changed")
print("before the match:", repr(child.before))
child.expect_exact(PROMPT)

child.sendline("ls /nowhere")
child.expect_exact(PROMPT)
output = child.before
child.sendline("echo $?")  # only if nothing else was sent meanwhile
child.expect_exact(PROMPT)
print("exit status:", int(child.before))

child.sendline("sleep 60")
try:
    child.expect_exact(PROMPT, timeout=1)
except pexpect.TIMEOUT:
    child.sendcontrol("c")
    child.expect_exact(PROMPT)
    print("timed out")

child.sendline("exit")
child.expect(pexpect.EOF)
child.close()
