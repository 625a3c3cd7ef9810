"""Compose projects on a real engine, each under a name of its own, and what a test asks of them."""

import json
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError, NotFound

from testbed.images import PORT
from webhook_launcher.adapters import command
from webhook_launcher.adapters.compose import Compose
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.adapters.engine.connection import Client
from webhook_launcher.core.model import Image
from webhook_launcher.core.workload import ComposeProject

_CONFLICT = 409
_CLEAR_SECONDS = 60


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        """Aware datetime in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Host:
    """The engine with the adapters under test, a state directory, and the projects of one test."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self.environment = environment
        self.directory = directory
        self.state = directory / "state"
        self.clock = SystemClock()
        self.connection = Connection(environment)
        self.engine = Engine(self.connection, self.clock)
        self.compose = Compose(command.run, self.state, environment)
        self._projects: list[ComposeProject] = []

    def project(
        self,
        services: Mapping[str, Any],
        *,
        chosen: Sequence[str] = (),
        more: Mapping[str, Any] | None = None,
        inline: bool = False,
    ) -> ComposeProject:
        """A new project; its document is written to `compose.yaml`, or inline."""
        name = f"t-{secrets.token_hex(4)}"
        directory = self.directory / name
        directory.mkdir()
        document = {"services": dict(services), **(more or {})}
        if not inline:
            # JSON is YAML, and needs no quoting rules of our own.
            (directory / "compose.yaml").write_text(json.dumps(document))
        project = ComposeProject(
            name,
            directory,
            files=() if inline else (directory / "compose.yaml",),
            inline=document if inline else None,
            services=tuple(chosen),
        )
        self._projects.append(project)
        return project

    def deploy(self, project: ComposeProject, image: Image) -> tuple[str, ...]:
        """Pull, pin, sweep and `up`, as the launcher does; the services."""
        services = self.compose.services(project, image.reference.repository)
        self.engine.pull(image)
        self.compose.pin(project, image.pinned, services)
        self.engine.sweep(project.name, services)
        self.compose.up(project, services)
        return services

    def docker(self, *arguments: str) -> str:
        """What an operator would type."""
        finished = subprocess.run(
            ["docker", *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return finished.stdout.strip()

    def address(self, container_id: str) -> str:
        """The container's address on its first network."""
        with self.connection.client() as client:
            networks = client.inspect_container(container_id)["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def served(self, container_id: str) -> str:
        """What the container answers on its port, once it does."""
        url = f"http://{self.address(container_id)}:{PORT}/"
        deadline = time.monotonic() + 10
        with requests.Session() as session:
            session.trust_env = False
            while True:
                try:
                    return session.get(url, timeout=10).text
                except requests.ConnectionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

    def clear(self) -> None:
        """Remove everything the projects of this test made on the engine."""
        with self.connection.client() as client:
            for project in self._projects:
                _clear(client, f"com.docker.compose.project={project.name}")


def _remove(client: Client, container_id: str) -> None:
    try:
        client.remove_container(container_id, v=True, force=True)
    except NotFound:
        return
    except APIError as error:
        # A program that the test ended had ordered the removal, and the engine still works on it.
        if error.status_code != _CONFLICT:
            raise


def _clear(client: Client, label: str) -> None:
    deadline = time.monotonic() + _CLEAR_SECONDS
    while found := client.list_containers([label]):
        for container in found:
            _remove(client, container["Id"])
        assert time.monotonic() < deadline, f"containers of {label} cannot be removed"
    for network in client.networks(filters={"label": label}):
        with suppress(NotFound):
            client.remove_network(network["Id"])
    for volume in client.volumes(filters={"label": label})["Volumes"] or ():
        with suppress(NotFound):
            client.remove_volume(volume["Name"])
