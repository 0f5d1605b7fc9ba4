"""Random verbs from many threads, on hosts of which some are being broken all the time.

Every answer is checked. On hosts that are left in peace each must be right; on those that are being broken a call may
say that it does not know, and must not be wrong. At the end nothing may have hung, and everything that was counted at
the start must be as it was.

The main thread calls, too, and a signal interrupts its calls at random moments. That may cost the connection, so its
two hosts count as broken.

    python -m tests.soak --minutes 30 --threads 16
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from otto_docker_sync import CommandResult, ConnectError, DockerContainerHost, OttoError, SSHOptions, UnixHost
from otto_docker_sync._sandbox import temporary_workspace
from otto_docker_sync._sandbox.processes import owner, pids, stat_fields, with_descendants
from otto_docker_sync.host import Host
from tests.rig.containers import Container, arguments
from tests.rig.memory import free_size
from tests.rig.proxy import Proxy
from tests.rig.rig import WORKSPACE, Rig
from tests.rig.sshd import Sshd

HANG = 90.0
"""Seconds after which a call counts as hung; the longest that any is given is a third of that."""
SAMPLE = 30.0
LONG = 7_200_000 + os.getpid()
"""Seconds that commands of other users sleep: what is left of them is found by this number."""
UNSURE = "commands of which nobody knew whether all had ended, said so"
MUCH = "".join(f"{number}\n" for number in range(1, 20001))


class Wrong(Exception):
    """An answer that is not right, and does not say that it is unknown."""


class Target:
    """A host to use. ``broken``: faults are made on the way to it, or in it.

    ``others`` are commands that have another user sleep, for as long as ``{}`` says.
    """

    def __init__(self, name: str, host: Host, *, broken: bool, others: tuple[str, ...] = ()) -> None:
        self.name, self.host, self.broken, self.others = name, host, broken, others

    def check(self, result: CommandResult, output: str, retcode: int = 0) -> None:
        if result.retcode is None and self.broken and result.message:
            counts["unknown outcomes, said so"] += 1
        elif self.broken and result.session_ended and result.retcode == 137:
            counts["shells that were killed, said so"] += 1
        elif result.retcode is None and result.message and result.session_ended:
            raise Wrong(f"lost: {result}")
        elif (result.output, result.retcode) != (output, retcode):
            raise Wrong(f"expected {output[:200]!r} and {retcode}: {result}")


counts: Counter[str] = Counter()
restarting = threading.Lock()
"""Held while a container has no processes that could be counted."""
failures: list[str] = []


class Worker(threading.Thread):
    """Uses random targets in random ways, one call after the other."""

    def __init__(self, number: int, targets: list[Target], stop: threading.Event, seed: int) -> None:
        super().__init__(name=f"worker-{number}", daemon=True)
        self.number = number
        self.since = time.monotonic()
        self.doing = ""
        self._targets, self._stopped = targets, stop
        self._random = random.Random(seed * 1000 + number)
        self._state: dict[str, int] = {}
        self._verbs: list[tuple[Callable[[Target], None], int]] = [
            (self.oneshot, 6),
            (self.status, 3),
            (self.input, 2),
            (self.shared, 6),
            (self.state, 8),
            (self.out_of_time, 3),
            (self.oneshot_out_of_time, 2),
            (self.other_user, 2),
            (self.prompt, 3),
            (self.talk, 3),
            (self.much, 1),
            (self.files, 2),
            (self.process, 1),
            (self.leave, 1),
            (self.close, 1),
        ]

    def run(self) -> None:
        while not self._stopped.is_set():
            self.call()
        self.doing = ""

    def call(self) -> None:
        verbs, weights = zip(*self._verbs, strict=True)
        target = self._random.choice(self._targets)
        (verb,) = self._random.choices(verbs, weights)
        self.doing, self.since = f"{verb.__name__} on {target.name}", time.monotonic()
        counts["calls"] += 1
        try:
            verb(target)
        except OttoError as error:
            counts[f"errors on hosts {'that were broken' if target.broken else 'in peace'}"] += 1
            if not target.broken:
                failures.append(f"{self.doing}: {error!r}")
            self._state.pop(target.name, None)
        except Wrong as wrong:
            failures.append(f"{self.doing}: {wrong}")
        except Exception as error:
            failures.append(f"{self.doing}: {error!r} is not an error of the contract")
        counts["slowest call, s"] = max(counts["slowest call, s"], int(time.monotonic() - self.since))

    def call_interrupted(self) -> None:
        """Make a call that a signal interrupts, unless it is quicker. For the main thread."""
        try:
            signal.setitimer(signal.ITIMER_REAL, self._random.choice([0.01, 0.1, 1]) * self._random.random())
            self.call()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            counts["calls that a signal interrupted"] += 1
            # How often the own session has counted is not known any more.
            for target in self._targets:
                target.host.open_session(self.own(target)).close()
            self._state.clear()

    def token(self) -> str:
        # Of this process, too: another run with this seed may have left files behind.
        return f"{self.number}-{self._random.randrange(10**12)}-{os.getpid()}"

    def own(self, target: Target) -> str:
        return f"own-{self.number}"

    def oneshot(self, target: Target) -> None:
        token = self.token()
        target.check(target.host.oneshot(f"echo {token}; echo {token} >&2", timeout=30), f"{token}\n{token}\n")

    def status(self, target: Target) -> None:
        number = self._random.randrange(126)
        target.check(target.host.oneshot(f"exit {number}", timeout=30), "", number)

    def input(self, target: Target) -> None:
        lines = self._random.randrange(3000)
        count = "n=0; while read -r line; do n=$((n+1)); [ $n -lt 2000 ] || break; done; echo $n"
        target.check(target.host.oneshot(count, timeout=30, input="a line\n" * lines), f"{min(lines, 2000)}\n")

    def shared(self, target: Target) -> None:
        token = self.token()
        target.check(target.host.run(f"echo {token}", timeout=30), f"{token}\n")

    def state(self, target: Target) -> None:
        result = target.host.open_session(self.own(target)).run("N=$((N+1)); echo $N", timeout=30)
        known = 0 if result.new_session else self._state.get(target.name, 0)
        target.check(result, f"{known + 1}\n")
        if result.retcode is None:
            # Whether the number was raised is what nobody knows.
            target.host.open_session(self.own(target)).close()
            self._state.pop(target.name, None)
        else:
            self._state[target.name] = known + 1

    def out_of_time(self, target: Target) -> None:
        began = time.monotonic()
        command = self._random.choice(["sleep 71", "sh -c 'trap \"\" INT TERM; sleep 71; :'", "sleep 71 | sleep 71"])
        result = target.host.open_session(self.own(target)).run(f"echo early; {command}", timeout=1)
        killed = target.broken and result.retcode in (137, 147)  # killed, or stopped, with all else there
        if (result.retcode is not None and not killed) or time.monotonic() - began > 20:
            raise Wrong(f"after {time.monotonic() - began:.1f} s: {result}")
        if result.session_ended or result.new_session:
            self._state.pop(target.name, None)

    def oneshot_out_of_time(self, target: Target) -> None:
        try:
            result = target.host.oneshot("trap '' TERM; sleep 71 & sleep 71", timeout=1)
        except ConnectError:
            return  # a further connection may take longer than that
        if result.retcode is not None:
            raise Wrong(str(result))

    def other_user(self, target: Target) -> None:
        if not target.others:
            return
        command = self._random.choice(target.others).format(LONG)
        counts["commands that another user ran"] += 1
        if self._random.random() < 0.5:
            result = target.host.oneshot(command, timeout=1)
        else:
            result = target.host.open_session(self.own(target)).run(command, timeout=1)
            if result.session_ended or result.new_session:
                self._state.pop(target.name, None)
        if result.retcode is not None or "still running" in result.message:
            raise Wrong(str(result))
        if "not known" in result.message or "perhaps" in result.message:
            counts[UNSURE] += 1

    def process(self, target: Target) -> None:
        token = self.token()
        with target.host.start(f"echo {token}; sleep 71") as process:
            process.wait_for(token, timeout=30)

    def prompt(self, target: Target) -> None:
        token = self.token()
        result = target.host.run(
            "printf 'who? '; read who; echo dear $who", expects={r"who\? $": f"{token}\n"}, timeout=30
        )
        echo = f"{token}\n" if "dash" in target.name else ""  # it has no stty
        target.check(result, f"who? {echo}dear {token}\n")

    def talk(self, target: Target) -> None:
        token = self.token()
        with target.host.open_session(f"talk-{self.number}") as session:
            session.sendline("read word; printf 'g%st %s\\n' o $word")  # its echo, where there is one, is no answer
            session.sendline(token)
            match = session.expect(r"got (\S+)\n", timeout=30)
            if match.groups() != (token,):
                raise Wrong(repr(match))

    def much(self, target: Target) -> None:
        result = target.host.oneshot("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done", timeout=30)
        target.check(result, MUCH)

    def files(self, target: Target) -> None:
        token = self.token()
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, f"f{token}")
            source.write_text(token)
            Path(directory, "back").mkdir()
            put = target.host.put(source, "/tmp")
            got = target.host.get(f"/tmp/{source.name}", f"{directory}/back") if put.ok else put
            if got.ok and Path(directory, "back", source.name).read_text() != token:
                raise Wrong(f"{token} came back otherwise")
            if not got.ok and not target.broken:
                raise Wrong(f"{got}")
        target.host.oneshot(": >/tmp/gone; exec 2>/dev/null; rm -f /tmp/f" + token, timeout=30)

    def leave(self, target: Target) -> None:
        result = target.host.open_session(self.own(target)).run("exit 7", timeout=30)
        self._state.pop(target.name, None)
        # bash says so, and so does a docker client that was too early.
        said = result.output in ("exit\n", "failed to resize tty, using default size\n")
        target.check(result, result.output if said else "", 7)

    def close(self, target: Target) -> None:
        if target.broken and self._random.random() < 0.3:
            self._random.choice([target.host.close, target.host.rebuild_connections])()
        else:
            target.host.open_session(self.own(target)).close()
        self._state.pop(target.name, None)


class Vandal(threading.Thread):
    """Breaks something every now and then, and lets it be whole again."""

    def __init__(self, proxy: Proxy, sshd: Sshd, victim: Container, stop: threading.Event, seed: int) -> None:
        super().__init__(name="vandal", daemon=True)
        self._proxy, self._sshd, self._victim, self._stopped = proxy, sshd, victim, stop
        self._random = random.Random(seed)

    def run(self) -> None:
        # No pause: one that meets docker exec halfway can lock up runc itself, for good.
        deeds = [self.reset, self.stall, self.kill_logins, self.restart, self.kill_shells, self.freeze]
        while not self._stopped.wait(self._random.uniform(1, 5)):
            deed = self._random.choice(deeds)
            counts[f"fault: {deed.__name__}"] += 1
            deed()

    def reset(self) -> None:
        self._proxy.drop()

    def stall(self) -> None:
        self._proxy.stall()
        self._stopped.wait(self._random.uniform(0.2, 4))
        self._proxy.resume()

    def kill_logins(self) -> None:
        for pid in with_descendants(self._sshd.logins()):
            if arguments(pid).startswith("sshd"):
                _kill(pid)

    def restart(self) -> None:
        with restarting:
            self._victim.docker("restart", "--time", "0", self._victim.id)
            self._victim.restarted()

    def kill_shells(self) -> None:
        for pid, text in self._victim.processes().items():
            if "otto" in text or text == "sh":
                _kill(pid)

    def freeze(self) -> None:
        frozen = list(self._victim.processes())
        for pid in frozen:
            _kill(pid, signal.SIGSTOP)
        self._stopped.wait(self._random.uniform(0.2, 4))
        for pid in frozen:
            _kill(pid, signal.SIGCONT)


def _kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def measure(containers: list[Container], uid: int) -> dict[str, int]:
    gc.collect()
    with restarting:
        container_processes = sum(len(container.processes()) for container in containers)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "memory, MB": pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000,
        "memory, of it free, MB": free_size() // 1_000_000,
        "container processes": container_processes,
        "parent processes": sum(owner(pid) == uid and stat_fields(pid)[0] not in ("", "Z", "X") for pid in pids()),
    }


def show(label: str, numbers: dict[str, int]) -> None:
    print(f"{label:>10}  " + "  ".join(f"{name} {value}" for name, value in numbers.items()), flush=True)


BY_SU = (
    "su tester -s /bin/sh -c 'sleep {0}'; sleep {0}",
    "su tester -s /bin/sh -c 'setsid sleep {0} &'; sleep {0}",
)
BY_SETPRIV = (
    "setpriv --reuid=1000 --regid=1000 --clear-groups sleep {0}",
    "setpriv --reuid=1000 --regid=1000 --clear-groups setsid sleep {0} & sleep {0}",
)
BY_SUDO = "sudo -n sleep {0}", "setsid sudo -n sleep {0} & sleep {0}"


@contextmanager
def sudoer(name: str) -> Iterator[None]:
    """Let a user run anything as root."""
    entry = Path("/etc/sudoers.d") / name.replace(".", "_")
    entry.write_text(f"{name} ALL=(ALL) NOPASSWD: ALL\n")
    entry.chmod(0o440)
    try:
        yield
    finally:
        entry.unlink()


def soak(minutes: float, thread_count: int, seed: int) -> bool:
    """Whether all was well."""
    rig = Rig("soak")
    account = rig.account
    containers = [rig.container(kind, "--init") for kind in ("busybox", "dash", "bash", "busybox")]
    victim = containers[-1]
    steady, shaken = rig.sshd("steady", {}), rig.sshd("shaken", {})
    before = measure(containers, account.uid)
    with Proxy(shaken.port) as proxy, sudoer(account.name):
        shaken.also_known_on(proxy.port)
        options = SSHOptions(steady.identity_file, known_hosts=steady.known_hosts)
        good = UnixHost(steady.host, account.name, id="steady", port=steady.port, ssh=options)
        options = SSHOptions(shaken.identity_file, known_hosts=shaken.known_hosts, keepalive_interval=1.0)
        bad = UnixHost(shaken.host, account.name, id="shaken", port=proxy.port, ssh=options)

        own = rig.sshd("own", {})
        options = SSHOptions(own.identity_file, known_hosts=own.known_hosts)

        def machine(name: str, shell: str = "sh", docker: tuple[str, ...] = ("docker",)) -> UnixHost:
            return UnixHost(
                own.host, account.name, id=name, port=own.port, ssh=options, shell=shell, docker_command=docker
            )

        interrupted = machine("interrupted")

        def on(parent: UnixHost, container: Container, service: str, warm: int = 2) -> DockerContainerHost:
            return DockerContainerHost(parent, container.id, "soak", service, "", warm=warm)

        targets = [
            Target("steady parent", good, broken=False),
            Target("steady busybox", on(good, containers[0], "busybox"), broken=False, others=BY_SU),
            Target("steady dash", on(good, containers[1], "dash"), broken=False),
            Target("steady bash", on(good, containers[2], "bash", warm=0), broken=False, others=BY_SETPRIV),
            Target("bash on a machine", machine("bash", "bash"), broken=False),
            Target("mksh on a machine", machine("mksh", "mksh"), broken=False),
            Target("zsh on a machine", machine("zsh", "zsh"), broken=False),
            Target("machine with sudo", machine("sudo", docker=("sudo", "-n", "docker")), broken=False, others=BY_SUDO),
            Target("shaken parent", bad, broken=True),
            Target("busybox on the shaken parent", on(bad, containers[0], "busybox"), broken=True),
            Target("shaken container", on(good, victim, "victim"), broken=True),
            Target("interrupted machine", interrupted, broken=True),
            Target("busybox on it", on(interrupted, containers[0], "interrupted"), broken=True),
        ]
        for target in targets:
            target.host.run(":", timeout=60).check()
        stop = threading.Event()
        workers = [Worker(number, targets, stop, seed) for number in range(thread_count)]
        vandal = Vandal(proxy, shaken, victim, stop, seed)
        for thread in (*workers, vandal):
            thread.start()
        end = time.monotonic() + minutes * 60
        main = Worker(thread_count, targets[-2:], stop, seed)
        while time.monotonic() < end:
            show(f"{max(0, (end - time.monotonic()) / 60):.1f} min", measure(containers, account.uid))
            sample = min(time.monotonic() + SAMPLE, end)
            while time.monotonic() < sample:
                # Nobody else could say that the main thread hangs.
                faulthandler.dump_traceback_later(HANG, exit=True)
                main.call_interrupted()
            faulthandler.cancel_dump_traceback_later()
            if hung := [w for w in workers if w.doing and time.monotonic() - w.since > HANG]:
                failures.extend(f"{worker.name} hangs in {worker.doing}" for worker in hung)
                faulthandler.dump_traceback(all_threads=True)
                break
        stop.set()
        for thread in (vandal, *workers):
            thread.join(HANG)
        proxy.resume()
        for target in reversed(targets):
            target.host.close()
    patience = time.monotonic() + 10
    while (after := measure(containers, account.uid)) and time.monotonic() < patience:
        if all(after[name] <= before[name] for name in after if not name.startswith("memory")):
            break
        time.sleep(0.2)
    show("before", before)
    show("after", after)
    for name, value in sorted(counts.items()):
        print(f"{value:>10}  {name}")
    for path in Path("/tmp").glob(f"f*-{os.getpid()}"):  # of calls of `files` that were cut off
        path.unlink()
    long_sleeps = [pid for pid in pids() if str(LONG) in arguments(pid)]
    if len(long_sleeps) > 2 * counts[UNSURE]:
        failures.extend(f"left of another user: {pid} {arguments(pid)}" for pid in long_sleeps)
    for pid in long_sleeps:
        counts["processes of other users that were left"] += 1
        _kill(pid)
    left = [name for name in after if after[name] > before[name] and not name.startswith("memory")]
    failures.extend(f"{name}: {before[name]} before, {after[name]} after" for name in left)
    for container in containers:
        for pid, text in container.processes().items():
            if "2147483" not in text:
                status = Path(f"/proc/{pid}/stat").read_text()
                environ = [word for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if b"OTTO" in word]
                failures.append(f"left in {container}: {pid} {text} {status[:60]} {environ}")
    print(f"{len(failures)} failures", *failures[:50], sep="\n  ")
    for container in containers:
        container.remove()
    return not failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.threads} threads, {chosen.minutes:g} minutes", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    with temporary_workspace() as workspace:
        os.environ[WORKSPACE] = str(workspace.path)
        return 0 if soak(chosen.minutes, chosen.threads, chosen.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
