"""A real redis-server on a free loopback port."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import redis

from otto_docker_sync._sandbox import SandboxError
from otto_docker_sync._sandbox.processes import alive, kill_all, program, start_daemon, stop_daemon, wait_ready
from otto_docker_sync._sandbox.sshd import free_port


class RedisServer:
    """A redis-server of Debian, which keeps its data in `directory`; `options` are lines of its configuration.

    >>> server = RedisServer(tmp_path, appendonly="yes"); server.kill(); server.start()
    """

    host = "127.0.0.1"

    def __init__(self, directory: Path, environ: dict[str, str] | None = None, **options: str) -> None:
        self.directory = directory
        self._environ = {**os.environ, **(environ or {})}
        self._options = {"save": '""', "appendonly": "no", **options}
        self.port = 0
        self.pid = 0
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """A client of the test's own; close it."""
        return redis.Redis(self.host, self.port, password=self._options.get("requirepass"), socket_timeout=30)

    def start(self) -> None:
        """Listen on a free port; when it has listened before, on the same one."""
        known_port = self.port
        log = self.directory / "redis.log"
        while True:
            self.port = known_port or free_port()
            lines = {"bind": self.host, "port": str(self.port), "dir": str(self.directory), **self._options}
            config = self.directory / "redis.conf"
            config.write_text("".join(f"{name.replace('_', '-')} {value}\n" for name, value in lines.items()))
            log.unlink(missing_ok=True)
            argv = [program("redis-server", "redis-server"), str(config)]
            self.pid = start_daemon(argv, log, self._environ)
            try:
                wait_ready("redis-server", self.pid, lambda: "Ready to accept connections" in log.read_text(), log)
                return
            except SandboxError:
                if known_port or "in use" not in log.read_text():
                    raise

    def stop(self) -> None:
        """End it, stopped or not. Idempotent."""
        self.resume()
        if alive(self.pid):
            stop_daemon(self.pid)

    def kill(self) -> None:
        """End it as a crash does."""
        kill_all(lambda: {self.pid} if alive(self.pid) else set())

    def pause(self) -> None:
        """Let it answer nobody, with all connections open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """End a `pause`."""
        if alive(self.pid):
            os.kill(self.pid, signal.SIGCONT)
