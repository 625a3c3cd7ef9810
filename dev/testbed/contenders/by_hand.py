"""The floor: what has to be done in any case, by a program that knows everything beforehand.

Pull by digest over a connection that is open, `up` with the plugin called directly, then the
container's own healthcheck by exec. Nothing is verified, journalled, kept or proved.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
from docker.utils import kwargs_from_env

from testbed.contenders.contest import (
    PATIENCE,
    SERVICE,
    NotServedError,
    Project,
    Pushed,
    Sample,
    Watch,
)

_PAUSE = 0.05
_PLUGINS = (
    "/usr/local/lib/docker",
    "/usr/local/libexec/docker",
    "/usr/libexec/docker",
    "/usr/lib/docker",
)


class ByHand:
    """Healthy is the first exit status 0 of the healthcheck."""

    name = "floor"

    def __init__(self, project: Project) -> None:
        self.project = project
        self._user_file = project.write(f"{project.image}:stable")
        self._override = project.directory / "pinned.json"
        self._compose = _plugin()
        self._client = docker.APIClient(version="auto", timeout=60, **kwargs_from_env())

    def start(self) -> None:
        """Nothing: the connection is open."""

    def bring(self, pushed: Pushed) -> Sample:
        """Pull, `up`, probe."""
        watch = Watch(self.project, pushed.marker)
        start = time.monotonic()
        steps: dict[str, float] = {}
        works: tuple[tuple[str, Callable[[Pushed], None]], ...] = (
            ("pull", self._pull),
            ("up", self._up),
            ("gate", self._probe_until_healthy),
        )
        for name, work in works:
            began = time.monotonic()
            work(pushed)
            steps[name] = time.monotonic() - began
        healthy = time.monotonic() - start
        return Sample(watch.seen() - start, healthy, steps)

    def stop(self) -> None:
        """Close the connection."""
        self._client.close()

    def _pull(self, pushed: Pushed) -> None:
        for entry in self._client.pull(
            self.project.image, tag=pushed.digest, stream=True, decode=True
        ):
            if "error" in entry:
                raise NotServedError(entry["error"])

    def _up(self, pushed: Pushed) -> None:
        pin = {"services": {SERVICE: {"image": pushed.reference}}}
        self._override.write_text(json.dumps(pin))
        argv = [*self._compose, "--project-directory", str(self.project.directory)]
        argv += ["-p", self.project.name, "-f", str(self._user_file), "-f", str(self._override)]
        argv += ["up", "-d", "--no-deps", "--no-build", "--pull", "never", SERVICE]
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise NotServedError(done.stderr)

    def _probe_until_healthy(self, _pushed: Pushed) -> None:
        label = f"com.docker.compose.project={self.project.name}"
        (listed,) = self._client.containers(filters={"label": label})
        inspected: dict[str, Any] = self._client.inspect_container(listed["Id"])
        kind, *words = inspected["Config"]["Healthcheck"]["Test"]
        command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            made = self._client.exec_create(listed["Id"], command)
            self._client.exec_start(made["Id"])
            if self._client.exec_inspect(made["Id"])["ExitCode"] == 0:
                return
            time.sleep(_PAUSE)
        raise NotServedError(f"{self.project.name} is not healthy")


def _plugin() -> list[str]:
    """The compose plugin itself, else by way of the docker command."""
    own = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    for directory in (own, *_PLUGINS):
        plugin = Path(directory) / "cli-plugins" / "docker-compose"
        if plugin.exists():
            return [str(plugin)]
    return ["docker", "compose"]
