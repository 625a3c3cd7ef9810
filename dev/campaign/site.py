"""One workload on a real engine, its launcher, and the promise as something to be checked."""

import fcntl
import itertools
import json
import os
import secrets
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, NotFound
from docker.utils import kwargs_from_env

from campaign.traps import PLAN_VARIABLE, Plan
from campaign.watch import Watch
from testbed.images import Recipe, TestRegistry
from testbed.launcher import Answer, Launcher, fetch, github_push
from testbed.ports import free_port
from webhook_launcher.adapters.journal import kept_receipts, public_keys
from webhook_launcher.core.errors import LauncherError
from webhook_launcher.core.model import Image
from webhook_launcher.core.receipts import verify

SERVICES = ("app", "jobs")
PATIENCE = 180.0
# Seconds without an open intent after which no step of a deployment is to come.
_IDLE = 5.0
# `graceful_timeout`; `serving` itself reads a configuration when it is imported.
_GRACE = 90.0
_SECRET = "a-github-secret-of-the-campaign"  # noqa: S105 - known to this run only
_PROJECT = "com.docker.compose.project"
_DEVELOPMENT = Path(__file__).resolve().parent.parent


class DoomedLauncher(Launcher):
    """A launcher under gunicorn with traps; `plan` is the file that says where it dies."""

    def __init__(self, directory: Path, configuration: Mapping[str, Any]) -> None:
        super().__init__(directory, configuration)
        self.plan = directory / "plan"
        self.environment = {
            "LAUNCHER_CONFIG": str(self.config),
            PLAN_VARIABLE: str(self.plan),
            "PYTHONPATH": os.pathsep.join([str(_DEVELOPMENT), str(_DEVELOPMENT.parent)]),
        }

    def command(self, *arguments: str) -> list[str]:
        """`serve` is gunicorn with the traps, the rest as ever."""
        if arguments == ("serve",):
            return [sys.executable, "-m", "gunicorn", "--config", "python:campaign.doomed"]
        return super().command(*arguments)

    def ended(self) -> bool:
        """Whether gunicorn's master is gone."""
        return self._process is None or self._process.poll() is not None


class BrokenPromiseError(Exception):
    """Something that must hold does not."""


class Site:
    """A compose project with two services of one image, followed by a launcher of its own.

    `through` is the registry's address for launcher and engine, when it is not the publisher's.
    """

    def __init__(
        self,
        registry: TestRegistry,
        directory: Path,
        *,
        through: str | None = None,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        top: Mapping[str, Any] | None = None,
    ) -> None:
        self.registry = registry
        self.directory = directory
        self.project = f"crash-{secrets.token_hex(4)}"
        self.repository = f"crash/{secrets.token_hex(6)}"
        self.registry_host = through or registry.host
        self.port = free_port()
        self.markers: dict[str, str] = {}  # digest -> what it serves
        self._environment = dict(os.environ if environment is None else environment)
        self._directory_of_project = directory / "project"
        self._directory_of_project.mkdir(parents=True)
        self.launcher = DoomedLauncher(
            directory / "launcher", self._configuration(options or {}, top or {})
        )
        self.launcher.environment.update(self._environment)
        self._watch = Watch(self._client, f"{_PROJECT}={self.project}")

    def _configuration(self, options: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
        image = f"{self.registry_host}/{self.repository}"
        services: dict[str, Any] = {
            name: {"image": f"{image}:stable", "init": True} for name in SERVICES
        }
        services["app"]["ports"] = [f"127.0.0.1:{self.port}:8080"]
        file = self._directory_of_project / "compose.json"
        file.write_text(json.dumps({"services": services}))
        workload = {
            "image": image,
            "track": {"tag": "stable"},
            "compose": {"file": str(file), "project": self.project},
            **options,
        }
        source = {"kind": "github", "registry": self.registry_host, "secret": _SECRET}
        return {
            "poll": {"every": "off"},
            "sources": {"ghcr": source},
            "workloads": {"web": workload},
            **top,
        }

    # What people do

    def start(self) -> None:
        """Start the launcher; it looks at once, so that what the tag says is deployed."""
        self._watch.start()
        self.launcher.start("/healthz")

    def push(self, recipe: Recipe) -> Image:
        """A publisher pushes an image."""
        image = self.registry.push(self.repository, "stable", recipe)
        self.markers[image.digest] = recipe.marker
        return image

    def announce(self, image: Image, delivery: str | None = None) -> Answer | None:
        """The registry tells; None when the launcher did not live to answer."""
        url = f"{self.launcher.url}/hooks/ghcr"
        identity = delivery or secrets.token_hex(8)
        with suppress(OSError):
            return github_push(
                url, _SECRET.encode(), self.repository, "stable", image.digest, identity
            )
        return None

    def remove_containers(self) -> None:
        """Somebody removes them by hand."""
        with closing(self._client()) as client:
            for container in self._listed(client):
                with suppress(NotFound):
                    client.remove_container(container["Id"], force=True)

    def arm(self, plan: Plan) -> None:
        """From now on the launcher dies where the plan says."""
        plan.write(self.launcher.plan)

    def met(self) -> bool:
        """Whether the planned moment came; False when all is done without it."""
        idle_since = time.monotonic()
        while self.launcher.plan.exists():
            if self._open_intents():
                idle_since = time.monotonic()
            if time.monotonic() - idle_since > _IDLE:
                return False
            time.sleep(0.02)
        return True

    def await_death(self, victims: str) -> None:
        """Wait for what was planned to happen; BrokenPromiseError when it does not."""
        self._wait("the planned moment did not come", lambda: not self.launcher.plan.exists())
        if victims == "stop":
            self._wait("SIGTERM did not end it in time", self.launcher.ended, _GRACE)
            if status := self.launcher.stop():
                raise BrokenPromiseError(f"SIGTERM ended it with status {status}")
        elif victims in ("all", "launcher"):
            self._wait("the launcher did not die", self.launcher.ended)
            self.launcher.kill()

    def logged(self, event: str) -> int:
        """How often the launcher has logged it."""
        return sum(entry["event"] == event for entry in self.launcher.log_events())

    def await_log(self, event: str, times: int) -> None:
        """Wait until the launcher has logged it so often."""
        self._wait(f"no {event!r}", lambda: self.logged(event) >= times)

    # What must hold

    def await_release(self, image: Image, seconds: float = PATIENCE) -> None:
        """Wait until it serves and nothing waits any more."""
        marker = self.markers[image.digest]
        what = f"{marker!r} did not come to serve within {seconds:g} s"
        self._wait(what, lambda: self._serves(image), seconds)

    def check(self, image: Image) -> None:
        """Everything that must hold once all is quiet; BrokenPromiseError names what does not."""
        problems = [
            *self._wrong_containers(image),
            *self._wrong_journal(image),
            *self._wrong_files(image),
            *self._wrong_receipts(),
            *self._overlapping(),
            *self._watch.strangers(self.markers),
        ]
        if problems:
            raise BrokenPromiseError("; ".join(problems))

    def check_repeats(self, image: Image, delivery: str) -> None:
        """The same delivery again, and another about the same image, change nothing."""
        before = self.container_ids()
        first, other = self.announce(image, delivery), self.announce(image)
        if first is None or other is None or {first.status, other.status} - {200, 202}:
            raise BrokenPromiseError(f"a repeated delivery was answered {first} and {other}")
        self.launcher.outcome(other.body["delivery"], PATIENCE)
        self.launcher.outcome(first.body["delivery"], PATIENCE)
        if self.container_ids() != before:
            raise BrokenPromiseError("a repeated delivery changed what runs")

    def tell_again(self, image: Image, delivery: str) -> str:
        """The same delivery, by a sender that got no answer; our id of it."""
        answer = self.announce(image, delivery)
        if answer is None or answer.status not in (200, 202):
            raise BrokenPromiseError(f"a delivery that was told again was answered {answer}")
        return str(answer.body["delivery"])

    def container_ids(self) -> list[str]:
        """Of the project, stopped ones included."""
        with closing(self._client()) as client:
            return sorted(found["Id"] for found in self._listed(client))

    def _serves(self, image: Image) -> bool:
        try:
            found = self.launcher.workload("web")
        except OSError:
            return False
        current = (found.get("current") or {}).get("digest")
        quiet = not found.get("pending")
        return (
            quiet
            and current == image.digest
            and fetch(f"http://127.0.0.1:{self.port}/") == self.markers[image.digest]
        )

    def _wrong_containers(self, image: Image) -> Iterator[str]:
        with closing(self._client()) as client:
            listed = self._listed(client)
        names = sorted(found["Names"][0] for found in listed)
        if names != [f"/{self.project}-{service}-1" for service in SERVICES]:
            yield f"containers: {', '.join(names)}"
        for found in listed:
            if found["State"] != "running":
                yield f"{found['Names'][0]} is {found['State']}"
            if found["ImageID"] not in image.ids:
                yield f"{found['Names'][0]} runs {found['ImageID']}"

    def _wrong_journal(self, image: Image) -> Iterator[str]:
        with closing(self._journal()) as journal:
            [integrity] = journal.execute("PRAGMA integrity_check").fetchone()
            [half] = journal.execute(
                "SELECT count(*) FROM deployments WHERE status = 'in_progress'"
            ).fetchone()
            faults = journal.execute("SELECT detail FROM intents WHERE code = 'fault'").fetchall()
            bad = {digest for (digest,) in journal.execute("SELECT digest FROM quarantine")}
        if integrity != "ok":
            yield f"journal: {integrity}"
        waiting = self._open_intents()
        if half or waiting:
            yield f"{half} deployments are open, {waiting} intents wait"
        if image.digest in bad:
            yield "what runs is in quarantine"
        yield from (f"fault: {detail}" for (detail,) in faults)

    def _open_intents(self) -> int:
        with closing(self._journal()) as journal:
            [waiting] = journal.execute(
                "SELECT count(*) FROM intents WHERE status IN ('queued', 'in_progress')"
            ).fetchone()
        return int(waiting)

    def _wrong_files(self, image: Image) -> Iterator[str]:
        overrides = self.launcher.directory / "state" / "overrides"
        expected = {f"{self.project}.json", f"{self.project}.lock"}
        if left := {file.name for file in overrides.iterdir()} - expected:
            yield f"left in overrides: {', '.join(sorted(left))}"
        pins = json.loads((overrides / f"{self.project}.json").read_text())["services"]
        if any(pin["image"] != self._pinned(image) for pin in pins.values()):
            yield f"the override says {pins}"
        with (overrides / f"{self.project}.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield "the project's lock is held"

    def _wrong_receipts(self) -> Iterator[str]:
        state = self.launcher.directory / "state"
        receipts = list(kept_receipts(state))
        try:
            verify(receipts, list(public_keys(state)))
        except LauncherError as error:
            yield f"receipts: {error}"
        with closing(self._journal()) as journal:
            [ended] = journal.execute(
                "SELECT count(*) FROM deployments WHERE status != 'in_progress'"
            ).fetchone()
        if ended != len(receipts):
            yield f"{ended} deployments have ended, {len(receipts)} have a receipt"

    def _overlapping(self) -> Iterator[str]:
        """A project has one deployment at a time; the return from a failed one is a part of it."""
        with closing(self._journal()) as journal:
            found = journal.execute("SELECT record FROM deployments ORDER BY seq").fetchall()
        records = [json.loads(record) for (record,) in found]
        attempts = [record for record in records if record["undoes"] is None]
        for before, after in itertools.pairwise(attempts):
            if before["finished_at"] is None or before["finished_at"] > after["started_at"]:
                yield f"{before['id']} and {after['id']} went on at the same time"

    def _journal(self) -> sqlite3.Connection:
        path = self.launcher.directory / "state" / "journal.sqlite3"
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def _pinned(self, image: Image) -> str:
        return f"{self.registry_host}/{self.repository}@{image.digest}"

    def _listed(self, client: docker.APIClient) -> list[dict[str, Any]]:
        label = f"{_PROJECT}={self.project}"
        found: list[dict[str, Any]] = client.containers(all=True, filters={"label": label})
        return found

    def _client(self) -> docker.APIClient:
        return docker.APIClient(
            version="auto", timeout=60, **kwargs_from_env(environment=self._environment)
        )

    def _wait(self, otherwise: str, condition: Any, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise BrokenPromiseError(f"{otherwise}\n{self.launcher.log_tail(30)}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the launcher and remove what the project has on the engine."""
        self.launcher.kill()
        self._watch.stop()
        with suppress(DockerException, OSError), closing(self._client()) as client:
            self.remove_containers()
            for network in client.networks(filters={"label": f"{_PROJECT}={self.project}"}):
                client.remove_network(network["Id"])
        shutil.rmtree(self.directory, ignore_errors=True)
