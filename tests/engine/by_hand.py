"""Actions of a person beside the launcher, and the observations a test makes of both."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.images import Recipe
from testbed.launcher import Launcher
from tests.engine.stage import Stage, current, eventually, idle
from webhook_launcher.core.model import Image

_NANO = 1_000_000_000
_COMPOSE_SECONDS = 120
# `poll` of a workload whose looks are counted by a test: frequent and regular.
QUICK_POLL = {"poll": {"every": "1s", "jitter": "0%"}}


def compose_argv(stage: Stage, *arguments: str) -> list[str]:
    """Return the command line that a person types in the project's directory."""
    return ["docker", "compose", "-p", stage.project.name, *arguments]


def compose(stage: Stage, *arguments: str) -> str:
    """Run Compose by hand, on the person's files alone, and return its messages."""
    finished = subprocess.run(
        compose_argv(stage, *arguments),
        cwd=stage.project.directory,
        env=dict(stage.host.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_COMPOSE_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@contextmanager
def compose_meanwhile(stage: Stage, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run Compose by hand beside the block; end the process with the block."""
    with subprocess.Popen(
        compose_argv(stage, *arguments),
        cwd=stage.project.directory,
        env=dict(stage.host.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@contextmanager
def edited(stage: Stage) -> Iterator[dict[str, Any]]:
    """Yield the services of the person's Compose file; write the file when the block ends."""
    file = stage.project.files[0]
    document = json.loads(file.read_text())
    yield document["services"]
    file.write_text(json.dumps(document))


def containers_of(stage: Stage, service: str = "app") -> list[dict[str, Any]]:
    """Return the containers of a service as the engine describes them, stopped ones included."""
    listed = stage.host.docker(
        "ps",
        "-aq",
        "--no-trunc",
        "--filter",
        f"label=com.docker.compose.project={stage.project.name}",
        "--filter",
        f"label=com.docker.compose.service={service}",
    ).split()
    # A container may go between the two calls: `inspect` prints the others and fails.
    finished = subprocess.run(
        ["docker", "inspect", *listed],
        env=dict(stage.host.environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found: list[dict[str, Any]] = json.loads(finished.stdout) if listed else []
    return found


def marker_of(container: dict[str, Any]) -> str:
    """Return the marker of the image that a container runs."""
    return str(container["Config"]["Labels"]["marker"])


def running(
    stage: Stage, marker: str, service: str = "app", later_than: str = ""
) -> list[dict[str, Any]]:
    """Return the running containers of a service that run the image with this marker.

    `later_than` is the `StartedAt` of an earlier container: older starts are left out.
    """
    return [
        container
        for container in containers_of(stage, service)
        if container["State"]["Status"] == "running"
        and marker_of(container) == marker
        and container["State"]["StartedAt"] > later_than
    ]


def wait_for_running(
    stage: Stage, marker: str, service: str = "app", later_than: str = ""
) -> dict[str, Any]:
    """Wait until one container of the service runs the image; return the container."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = running(stage, marker, service, later_than)
        return len(found) == 1

    eventually(there, 30)
    return found[0]


def further_looks(launcher: Launcher, count: int = 3) -> None:
    """Wait until the poll has looked `count` more times and nothing is left to do."""
    for _ in range(count):
        before = _looked_at(launcher)
        eventually(lambda before=before: _looked_at(launcher) > before)  # type: ignore[misc]
    eventually(lambda: idle(launcher))


def _looked_at(launcher: Launcher) -> str:
    return str(launcher.workload("web")["last_check"]["at"] or "")


def settled(launcher: Launcher, image: Image, seconds: float = 60) -> None:
    """Wait until this image is the current release and nothing is left to do.

    Fail at once when a deployment of the image has failed.
    """

    def there() -> bool:
        failed = [one for one in records_of(launcher, image) if one["status"] == "failure"]
        assert failed == []
        return current(launcher) == image.digest and idle(launcher)

    eventually(there, seconds)


def records_of(launcher: Launcher, image: Image) -> list[dict[str, Any]]:
    """Return the attempts to deploy an image, newest first; automatic rollbacks are left out."""
    return [
        record
        for record in launcher.history("web")
        if record["image"]["digest"] == image.digest and record["undoes"] is None
    ]


def wait_for_not_judged(launcher: Launcher, image: Image) -> None:
    """Wait until an attempt to deploy the image has ended as `not-judged`."""
    eventually(lambda: _endings(launcher, image) != [], 60)
    assert _endings(launcher, image)[-1] == ("error", "not-judged")


def _endings(launcher: Launcher, image: Image) -> list[tuple[str, str | None]]:
    found = records_of(launcher, image)
    # In progress until the control has ended, which says whose fault it was.
    return [(one["status"], one["code"]) for one in found if one["status"] != "in_progress"]


def nothing_quarantined(launcher: Launcher) -> bool:
    """Return True when no digest of the workload is quarantined."""
    return not launcher.workload("web")["quarantined"]


def critical_events(launcher: Launcher) -> list[str]:
    """Return the log events of level critical."""
    return [found["event"] for found in launcher.log_events() if found["level"] == "critical"]


@dataclass(frozen=True)
class Switch:
    """A file that containers see at /switch/on and that a test creates or removes.

    Health that depends on the file lets a test end a wait at a moment of its own choice.
    """

    directory: Path

    @property
    def mount(self) -> str:
        """The bind mount of a Compose service."""
        return f"{self.directory}:/switch"

    def on(self) -> None:
        """Create the file."""
        (self.directory / "on").touch()

    def off(self) -> None:
        """Remove the file."""
        (self.directory / "on").unlink(missing_ok=True)

    def check(self, interval: float = 0.3, retries: int = 1000) -> dict[str, Any]:
        """Return the healthcheck of an image that is healthy while the file is there."""
        return {
            "Test": ["CMD-SHELL", "cat /switch/on"],
            "Interval": int(interval * _NANO),
            "Timeout": 2 * _NANO,
            "Retries": retries,
        }

    def image(self, marker: str, interval: float = 0.3, retries: int = 1000) -> Recipe:
        """Return the recipe of an image that serves, and is healthy while the file is there."""
        return Recipe(marker, config={"Healthcheck": self.check(interval, retries)})


def make_switch(directory: Path) -> Switch:
    """Make a switch that is off."""
    made = directory / "switch"
    made.mkdir()
    made.chmod(0o777)
    return Switch(made)


def quick_check(*command: str, retries: int = 2) -> dict[str, Any]:
    """Return the `healthcheck` of a Compose service that is judged within two seconds."""
    return {
        "test": ["CMD-SHELL", *command],
        "interval": "500ms",
        "timeout": "2s",
        "retries": retries,
    }


def ids(containers: Sequence[dict[str, Any]]) -> list[str]:
    """Return the ids of containers as the engine described them."""
    return [str(container["Id"]) for container in containers]
