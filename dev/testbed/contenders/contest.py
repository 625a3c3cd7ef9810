"""What the ways share: a compose project, an image per push, a watched port, a sample."""

import http.client
import itertools
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import docker
from docker.utils import kwargs_from_env

from testbed.images import Recipe, TestRegistry
from testbed.ports import free_port

SERVICE = "web"
# Of a layer that no engine has seen: what a small change of an application weighs.
PADDING = 1_000_000
PATIENCE = 90.0
# Seconds between looks at the published port, and until one is given up.
_LOOK = 0.005
_LOOK_TIMEOUT = 0.25


class NotServedError(Exception):
    """A way did not bring a pushed image to service."""


@dataclass(frozen=True)
class Pushed:
    """An image in the registry."""

    marker: str
    reference: str
    digest: str


@dataclass(frozen=True)
class Sample:
    """Seconds from the push to service and to health (None: it never asks), and per step."""

    served: float
    healthy: float | None = None
    steps: Mapping[str, float] = field(default_factory=dict)


class Contender(Protocol):
    """One way, with a project of its own."""

    name: str
    project: "Project"

    def start(self) -> None:
        """Get ready; nothing runs yet."""

    def bring(self, pushed: Pushed) -> Sample:
        """Bring an image that has just been pushed to service."""

    def stop(self) -> None:
        """End what `start` began."""


class Project:
    """A compose project of one service on a port of its own, and the repository it runs."""

    def __init__(self, registry: TestRegistry, parent: Path, name: str, interval: float) -> None:
        self.name = name
        self.repository = f"bench/{name}"
        self.image = f"{registry.host}/{self.repository}"
        self.directory = parent / name
        self.directory.mkdir()
        self.port = free_port()
        self._registry = registry
        self._interval = interval
        self._numbers = itertools.count(1)

    def push(self) -> Pushed:
        """Push an image that nobody has seen, and move the tag `stable` to it."""
        marker = f"{self.name}-{next(self._numbers)}"
        recipe = Recipe(marker, interval=self._interval, padding=PADDING)
        digest = self._registry.push(self.repository, "stable", recipe).digest
        return Pushed(marker, f"{self.image}@{digest}", digest)

    def document(self, image: str) -> str:
        """The compose file, the same for every way."""
        return (
            f"services:\n  {SERVICE}:\n    image: {image}\n    init: true\n"
            f'    ports: ["127.0.0.1:{self.port}:8080"]\n    restart: unless-stopped\n'
        )

    def write(self, image: str) -> Path:
        """Write the compose file."""
        path = self.directory / "compose.yml"
        path.write_text(self.document(image))
        return path

    def clear(self) -> None:
        """Remove what the project left on the engine, images included."""
        mine = f"label=com.docker.compose.project={self.name}"
        _remove(["ps", "-aq", "--filter", mine], ["rm", "-f"])
        _remove(["network", "ls", "-q", "--filter", mine], ["network", "rm"])
        kept = f"reference=webhook-launcher/keep:{self.name}.*"
        for filters in (["--filter", kept], [self.image]):
            _remove(["image", "ls", "-q", *filters], ["image", "rm", "-f"])


class Watch:
    """Looks when a project's port answers a marker; made before the clock is started.

    It does not look before the engine says that the container has started: a look at an address
    that is not up yet would make the kernel wait a second before it asks for it again (ARP), and
    what was measured then would be the looking.
    """

    def __init__(self, project: Project, marker: str) -> None:
        self._project = project
        self._marker = marker
        self._seen: float | None = None
        self._given_up = threading.Event()
        self._client = docker.APIClient(version="auto", **kwargs_from_env())
        self._events = self._client.events(
            since=int(time.time()),
            filters={"type": "container", "event": "start", "label": f"marker={marker}"},
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def seen(self, seconds: float = PATIENCE) -> float:
        """When it was first answered, on the monotonic clock; NotServedError after `seconds`."""
        self._thread.join(seconds)
        self._given_up.set()
        self._events.close()
        self._client.close()
        if self._seen is None:
            raise NotServedError(f"{self._marker} is not served after {seconds:g} s")
        return self._seen

    def _run(self) -> None:
        next(iter(self._events), None)
        while not self._given_up.is_set():
            if self._answer() == self._marker:
                self._seen = time.monotonic()
                return
            time.sleep(_LOOK)

    def _answer(self) -> str | None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._project.port, timeout=_LOOK_TIMEOUT
        )
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return None  # its server is not up yet
        finally:
            connection.close()


def run_docker(project: Project, *words: str) -> None:
    """A docker command, as an operator types it in the project's directory."""
    done = subprocess.run(
        ["docker", *words],
        cwd=project.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise NotServedError(f"docker {' '.join(words)}: {done.stderr.strip()}")


def _remove(listing: Sequence[str], removing: Sequence[str]) -> None:
    found = subprocess.run(
        ["docker", *listing], capture_output=True, text=True, timeout=PATIENCE, check=False
    ).stdout.split()
    if found:
        argv = ["docker", *removing, *dict.fromkeys(found)]
        subprocess.run(argv, capture_output=True, timeout=PATIENCE, check=False)
