"""A whole machine for one test: registry, compose project, launcher under gunicorn, senders."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed.images import Recipe, TestRegistry
from testbed.launcher import Answer, Launcher, ask, fetch, free_port, github_push
from tests.projects import Host
from webhook_launcher.core.model import Image
from webhook_launcher.core.signatures import generate_key_pair, parse_signing_key, sign

GITHUB_SECRET = b"github-secret-of-this-test"
HUB_TOKEN = "a-token-that-is-part-of-the-url"


class Stage:
    """One workload `web` with the service `app` (and more, by `services`), and its launcher.

    `options` are merged into the workload's configuration; `top` into the file's top level.
    """

    def __init__(self, host: Host, registry: TestRegistry, repository: str) -> None:
        self.host = host
        self.registry = registry
        self.repository = repository
        self.image = f"{registry.host}/{repository}"
        self.port = free_port()
        self.signing_key, self.public_key = _key_pair()
        self._launchers: list[Launcher] = []

    def service(self, port: int | None = None) -> dict[str, Any]:
        """A compose service that runs the image and publishes its port."""
        return {
            "image": f"{self.image}:stable",
            "init": True,
            "ports": [f"127.0.0.1:{port or self.port}:8080"],
        }

    def launch(
        self,
        services: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        top: Mapping[str, Any] | None = None,
    ) -> Launcher:
        """Write the configuration and start the launcher; polls are off but for the first look."""
        launcher = self.prepare(services, options, top)
        launcher.start()
        return launcher

    def prepare(
        self,
        services: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        top: Mapping[str, Any] | None = None,
    ) -> Launcher:
        """Write the configuration only."""
        project = self.host.project(services or {"app": self.service()})
        workload = {
            "image": self.image,
            "track": {"tag": "stable"},
            "compose": {"file": str(project.files[0]), "project": project.name},
            **(options or {}),
        }
        self.project = project
        configuration = {
            "poll": {"every": "off"},
            "sources": self.sources(),
            "workloads": {"web": workload},
            **(top or {}),
        }
        launcher = Launcher(self.host.directory / "launcher", configuration)
        self._launchers.append(launcher)
        return launcher

    def sources(self) -> dict[str, Any]:
        """One source of each of the first kinds; all speak for the loopback registry."""
        registry = self.registry.host
        return {
            "ghcr": {"kind": "github", "registry": registry, "secret": GITHUB_SECRET.decode()},
            "local": {
                "kind": "distribution",
                "registry": registry,
                "header": "Authorization",
                "secret": "Bearer of-the-registry",
            },
            "ci": {"kind": "deploy", "keys": [{"id": "ci-1", "public_key": self.public_key}]},
        }

    def push(self, recipe: Recipe, tag: str = "stable") -> Image:
        """A publisher pushes an image."""
        return self.registry.push(self.repository, tag, recipe)

    def announce(
        self, launcher: Launcher, image: Image, tag: str = "stable", delivery: str | None = None
    ) -> Answer:
        """GitHub tells that it was pushed."""
        return github_push(
            f"{launcher.url}/hooks/ghcr",
            GITHUB_SECRET,
            self.repository,
            tag,
            image.digest,
            delivery or secrets.token_hex(8),
        )

    def push_and_follow(self, launcher: Launcher, recipe: Recipe) -> dict[str, Any]:
        """Push, announce, and wait for the end: the intent."""
        answer = self.announce(launcher, self.push(recipe))
        assert answer.status == 202, answer
        (intent,) = launcher.outcome(answer.body["delivery"])
        return intent

    def deploy_event(
        self,
        launcher: Launcher,
        reference: str | None,
        *,
        message_id: str | None = None,
        at: float | None = None,
        **fields: str,
    ) -> Answer:
        """A signed deploy event of CI."""
        event = {"type": "deploy", "workload": "web", **fields}
        if reference is not None:
            event["reference"] = reference
        body = json.dumps(event).encode()
        message_id = message_id or f"msg_{secrets.token_hex(8)}"
        seconds = int(at if at is not None else time.time())
        key = parse_signing_key(self.signing_key)
        return ask(
            "POST",
            f"{launcher.url}/hooks/ci",
            body,
            {
                "Content-Type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": str(seconds),
                "webhook-signature": sign(message_id, seconds, body, [key]),
            },
        )

    def serves(self, port: int | None = None) -> str | None:
        """What the workload's port answers now; None when it does not."""
        return fetch(f"http://127.0.0.1:{port or self.port}/")

    def containers(self) -> list[str]:
        """The ids of the project's containers, stopped ones included."""
        listed = self.host.docker(
            "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project.name}"
        )
        return sorted(listed.split())

    @contextmanager
    def second_registry(
        self, port: int, notify: Mapping[str, Any] | None = None
    ) -> Iterator[TestRegistry]:
        """A registry of the test's own on a given port, ended with the block."""
        directory = self.host.directory / f"registry-{port}"
        directory.mkdir()
        settings: dict[str, Any] = {
            "version": 0.1,
            "http": {"addr": f"127.0.0.1:{port}"},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
            **({"notifications": notify} if notify else {}),
        }
        (directory / "config.yml").write_text(json.dumps(settings))
        with (directory / "log").open("wb") as log:
            running = subprocess.Popen(
                ["docker-registry", "serve", str(directory / "config.yml")],
                stdout=log,
                stderr=log,
            )
        try:
            eventually(lambda: fetch(f"http://127.0.0.1:{port}/v2/") is not None, 20)
            busybox = Path(self.host.environment["LAUNCHER_TEST_BUSYBOX"])
            yield TestRegistry(f"127.0.0.1:{port}", busybox)
        finally:
            running.terminate()
            running.wait(20)

    def stop(self) -> None:
        """End every launcher of the test; its log shows when the test failed."""
        for launcher in self._launchers:
            launcher.kill()
            if launcher.log.exists():
                sys.stdout.write(launcher.log_tail(100))


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Poll until it holds; AssertionError at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not come true within {seconds} s"
        time.sleep(0.05)


def idle(launcher: Launcher, name: str = "web") -> bool:
    """Nothing waits and nothing runs for a workload."""
    return not launcher.workload(name)["pending"]


def current(launcher: Launcher, name: str = "web") -> str | None:
    """The digest that the launcher says is current."""
    found = launcher.workload(name)["current"]
    return found["digest"] if found else None


def script(path: Path, lines: Sequence[str]) -> Path:
    """An executable shell script."""
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def _key_pair() -> tuple[str, str]:
    return generate_key_pair(secrets.token_bytes)
