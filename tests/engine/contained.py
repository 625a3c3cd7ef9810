"""The launcher's own image, and the launcher in a container as docker-compose.yml starts it."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed.launcher import Launcher
from tests.engine.stage import eventually
from tests.projects import Host

ROOT = Path(__file__).resolve().parents[2]
STATE = "/var/lib/webhook-launcher"
# Above a stand-in for the base made from nothing and a build without cache on a busy machine.
_BUILD_SECONDS = 540


def build_image(environment: Mapping[str, str]) -> str:
    """Build the project's Dockerfile, on a stand-in where the base cannot be pulled; the tag."""
    tag = f"webhook-launcher:test-{secrets.token_hex(4)}"
    built = subprocess.run(
        [sys.executable, str(ROOT / "dev" / "base_image.py"), "--build", tag],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return tag


def shipped_service() -> dict[str, Any]:
    """The launcher's service in docker-compose.yml, as a document."""
    service: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][
        "launcher"
    ]
    return service


class Contained:
    """A launcher in its container: the shipped service, changed only where a test machine differs.

    It gets the engine's socket, a state volume, the configuration of `launcher` (which itself is
    never started) and `mounts`; it uses the host's network, because the registry is on its
    loopback and engines of `dev/machine.py` do no address translation.
    """

    def __init__(
        self, host: Host, image: str, launcher: Launcher, *mounts: str, **changes: Any
    ) -> None:
        self.name = f"t-{secrets.token_hex(4)}"
        self.launcher = launcher
        self._host = host
        socket = host.environment["DOCKER_HOST"].removeprefix("unix://")
        service = shipped_service()
        # One port for all on the host's network, so no fixed one and no check of a fixed one.
        service |= {"network_mode": "host", "healthcheck": {"disable": True}}
        service |= {
            "image": image,
            "restart": "no",
            "group_add": [str(Path(socket).stat().st_gid)],
            "volumes": [
                f"{socket}:/var/run/docker.sock",
                f"state:{STATE}",
                f"{launcher.config}:/etc/webhook-launcher/config.yml:ro",
                *mounts,
            ],
            **changes,
        }
        for key in ("build", "ports"):
            del service[key]
        document = {"services": {"launcher": service}, "volumes": {"state": {}}}
        self._file = launcher.directory / "contained.json"
        self._file.write_text(json.dumps(document))

    def start(self) -> None:
        """Start the container."""
        self._compose("up", "--detach")

    def wait_until_live(self) -> None:
        """Until it answers at all."""
        eventually(self._lives, 30)

    def inspected(self) -> dict[str, Any]:
        """The container, as the engine describes it."""
        found: list[dict[str, Any]] = json.loads(self._host.docker("inspect", self._id()))
        return found[0]

    def health(self) -> str:
        """What its healthcheck says now."""
        state = self.inspected()["State"]
        assert state["Running"], self.log()
        return str(state["Health"]["Status"])

    def run(self, *command: str) -> str:
        """Run a command in the container; what it printed."""
        return self._compose("exec", "--no-TTY", "launcher", *command)

    def run_detached(self, *command: str) -> None:
        """Begin a command in the container that may be the end of it."""
        self._compose("exec", "--detach", "launcher", *command)

    def log(self) -> str:
        """Everything it wrote, on either stream."""
        return subprocess.run(
            ["docker", "logs", self._id()],
            env=dict(self._host.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    def stop(self) -> int:
        """End it as `docker compose stop` does, within the shipped grace; the exit status."""
        self._compose("stop")
        return int(self.inspected()["State"]["ExitCode"])

    def clear(self) -> None:
        """Remove the container and its state; its log shows when the test failed."""
        sys.stdout.write(self.log())
        self._compose("down", "--volumes", "--timeout", "0")

    def _lives(self) -> bool:
        try:
            return self.launcher.get("/healthz").status == 200
        except OSError:
            assert self.inspected()["State"]["Running"], self.log()
            return False

    def _id(self) -> str:
        return self._compose("ps", "--all", "--quiet")

    def _compose(self, *words: str) -> str:
        base = ("compose", "--project-name", self.name, "--file", str(self._file))
        return self._host.docker(*base, *words)


def configuration_is_valid(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What compose says of the shipped file."""
    return subprocess.run(
        ["docker", "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
