"""A launcher in a process of its own: real gunicorn, real signals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from testbed.ports import free_port
from tests.builders import CONFIGURATION, changed

LONG = 60.0
# Nothing listens there: refused at once, no network needed.
CLOSED = "127.0.0.1:1"


@dataclass
class Served:
    """`webhook-launcher serve`, to be asked, told and ended."""

    process: subprocess.Popen[bytes]
    config: Path
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def raw(self, request: bytes) -> bytes:
        """Bytes as no HTTP client would send them, and the first of the answer."""
        with self.connect() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return everything(connection)

    def connect(self) -> socket.socket:
        """A connection of a client that does what it likes."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LONG)

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change the configuration file; nobody is told."""
        now = json.loads(self.config.read_text())
        self.config.write_text(json.dumps(changed(now, changes)))

    def reload(self) -> None:
        """As `kill -HUP` does: it is asked for, and nobody waits."""
        self.process.send_signal(signal.SIGHUP)

    def told(self, event: str) -> list[dict[str, Any]]:
        """The lines of the launcher's own log about an event."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [found for line in lines if (found := json.loads(line))["event"] == event]

    def until(self, happened: Callable[[], object]) -> None:
        """Wait until something is so; the log is the message when it never is."""
        deadline = time.monotonic() + LONG
        while not happened():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def answers(self) -> bool:
        """True when it serves."""
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def worker(self) -> int:
        """The process id of gunicorn's worker."""
        return self.workers()[0]

    def workers(self) -> list[int]:
        """None while gunicorn starts another one."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(child) for child in children.read_text().split()]

    def kill(self) -> None:
        """As a power cut does: master and worker are gone at once."""
        worker = self.worker()
        self.process.send_signal(signal.SIGSTOP)  # it would start another worker
        os.kill(worker, signal.SIGKILL)
        self.process.kill()
        self.process.wait(LONG)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """As an init system does; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(LONG)


def everything(connection: socket.socket) -> bytes:
    """What the launcher sends until it closes."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):  # it need not read what it refuses
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def _configuration(port: int) -> dict[str, Any]:
    changes = {
        "listen": f"127.0.0.1:{port}",
        "limits": {"body": "64KiB"},
        "workloads": {
            name: {**CONFIGURATION["workloads"][name], "image": f"{CLOSED}/acme/{name}"}
            for name in CONFIGURATION["workloads"]
        },
        "sources.hub.registry": CLOSED,
    }
    return changed(CONFIGURATION, changes)


@contextmanager
def serving(
    directory: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    gunicorn: str = "",
    prefix: Sequence[str] = (),
    wait: bool = True,
) -> Iterator[Served]:
    """`webhook-launcher serve`, up and answering; engine and registry are not there.

    Started again in the same directory, it finds its state. `gunicorn` are more arguments for it,
    `prefix` is a command that becomes it; without `wait` it may not answer yet.
    """
    port = free_port()
    config = directory / "config.yml"
    config.write_text(json.dumps(changed(_configuration(port), changes or {})))
    log = directory / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "webhook_launcher", "serve", "--config", str(config)],
            stdout=file,
            stderr=file,
            cwd=directory,
            env={
                **os.environ,
                "DOCKER_HOST": f"unix://{directory}/no.sock",
                "NO_PROXY": "*",
                "GUNICORN_CMD_ARGS": gunicorn,
            },
        )
    made = Served(process, config, port, log)
    try:
        if wait:
            made.until(made.answers)
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(LONG)
