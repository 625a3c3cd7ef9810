"""A launcher under gunicorn, as a user starts it, and what is said to it over HTTP."""

import hashlib
import hmac
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.ports import free_port

# `free_port` as well: a test that starts a launcher needs ports for its services.
__all__ = ["READY_SECONDS", "Answer", "Launcher", "ask", "fetch", "free_port", "github_push"]

READY_SECONDS = 30.0
_STOP_SECONDS = 100.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer and the seconds it took."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    seconds: float
    size: int = 0


def ask(
    method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request; an error status is an answer like any other."""
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    start = time.monotonic()
    try:
        with _OPENER.open(request, timeout=30) as response:
            status, raw, found = response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        status, raw, found = error.code, error.read(), error.headers
    seconds = time.monotonic() - start
    return Answer(status, json.loads(raw) if raw else {}, dict(found.items()), seconds, len(raw))


def fetch(url: str) -> str | None:
    """What a loopback address answers to a GET; None when it does not."""
    try:
        with _OPENER.open(url, timeout=2) as response:
            text: str = response.read().decode()
            return text
    except (OSError, http.client.HTTPException):  # the latter: it ends in the middle of an answer
        return None


class Launcher:
    """`webhook-launcher serve` with a configuration in a directory of its own.

    `configuration` is completed with `listen`, `state` and an admin token. JSON is YAML.
    """

    def __init__(self, directory: Path, configuration: Mapping[str, Any]) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_token = secrets.token_urlsafe(16)
        self.config = directory / "config.yml"
        self.log = directory / "launcher.log"
        self.environment: dict[str, str] = {}  # added to ours when it serves
        self._process: subprocess.Popen[bytes] | None = None
        whole = {
            "listen": f"127.0.0.1:{self.port}",
            "state": str(directory / "state"),
            "admin": {"token": self.admin_token},
            **configuration,
        }
        directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(json.dumps(whole, indent=2))

    @property
    def pid(self) -> int:
        """Of gunicorn's master."""
        if self._process is None:
            raise RuntimeError("it was not started")
        return self._process.pid

    def command(self, *arguments: str) -> list[str]:
        """An argv of the launcher's command line with this configuration."""
        name, *rest = arguments
        return [sys.executable, "-m", "webhook_launcher", name, "--config", str(self.config), *rest]

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, until: str = "/readyz") -> None:
        """Serve, and wait until that path says so. RuntimeError with the log's end otherwise."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command("serve"),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers(until):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the launcher did not become ready:\n{self.log_tail()}")
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, as an init system does; the exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL to the whole session, as a power cut would."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def log_tail(self, lines: int = 40) -> str:
        """The end of its log, without the access log."""
        found = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in found if '"GET /' not in line][-lines:])

    def log_events(self) -> list[dict[str, Any]]:
        """The JSON lines of its log, oldest first."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def get(self, path: str) -> Answer:
        """GET with the admin token."""
        return ask("GET", self.url + path, headers=self._admin())

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """POST with the admin token."""
        return ask("POST", self.url + path, json.dumps(body or {}).encode(), self._admin())

    def workload(self, name: str) -> dict[str, Any]:
        """A workload as the API shows it."""
        return self.get(f"/api/v1/workloads/{name}").body

    def history(self, workload: str) -> list[dict[str, Any]]:
        """Deployments, newest first."""
        found: list[dict[str, Any]] = self.get(f"/api/v1/deployments?workload={workload}").body[
            "deployments"
        ]
        return found

    def outcome(self, delivery: str, seconds: float = 90) -> list[dict[str, Any]]:
        """Follow a delivery to its end: its intents, as an operator sees them. TimeoutError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(OSError):  # its worker may die meanwhile, and another one starts
                found = self.get(f"/api/v1/deliveries/{delivery}").body
                if all(intent["final"] for intent in found["intents"]):
                    intents: list[dict[str, Any]] = found["intents"]
                    return intents
            time.sleep(0.02)
        raise TimeoutError(f"delivery {delivery} has no outcome:\n{self.log_tail()}")

    def _admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.admin_token}"}

    def _answers(self, path: str) -> bool:
        try:
            return ask("GET", self.url + path).status == 200
        except OSError:
            return False


def github_push(
    url: str, secret: bytes, repository: str, tag: str, digest: str, delivery: str
) -> Answer:
    """A `package` webhook as GitHub sends it for a push to its registry, signed."""
    owner, _, name = repository.partition("/")
    body = json.dumps(
        {
            "action": "published",
            "package": {
                "name": name,
                "namespace": owner,
                "ecosystem": "CONTAINER",
                "package_type": "CONTAINER",
                "owner": {"login": owner},
                "package_version": {
                    "version": digest,
                    "name": digest,
                    "container_metadata": {
                        "tag": {"name": tag, "digest": digest},
                        "manifest": {"digest": digest},
                    },
                },
            },
        }
    ).encode()
    return ask(
        "POST",
        url,
        body,
        {
            "Content-Type": "application/json",
            "X-GitHub-Event": "package",
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
        },
    )
