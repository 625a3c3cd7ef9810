"""Jobs: services of the workload's image that run to completion, such as migrations."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe
from testbed.launcher import free_port
from tests.engine.by_hand import (
    QUICK_POLL,
    compose,
    containers_of,
    further_looks,
    ids,
    nothing_quarantined,
    quick_check,
    settled,
)
from tests.engine.stage import Stage, eventually, idle

pytestmark = pytest.mark.engine

NO_CHECK = {"disable": True}


@dataclass(frozen=True)
class Job:
    """A service of the stage's image whose runs are counted in a file of the host."""

    directory: Path
    name: str

    def service(self, stage: Stage, **more: Any) -> dict[str, Any]:
        """Return the Compose service; it ends with the status in the image's JOB_STATUS, or 0."""
        script = f"echo ran >> /runs/{self.name}; exit $${{JOB_STATUS:-0}}"
        return {
            "image": f"{stage.image}:stable",
            "healthcheck": NO_CHECK,
            "volumes": [f"{self.directory}:/runs"],
            "command": ["/bin/sh", "-c", script],
            **more,
        }

    def has_ended(self, stage: Stage) -> bool:
        """Return True when the job's container has exited."""
        found = containers_of(stage, self.name)
        return [container["State"]["Status"] for container in found] == ["exited"]

    @property
    def runs(self) -> int:
        """The number of runs so far."""
        file = self.directory / self.name
        return file.read_text().count("ran") if file.exists() else 0


@pytest.fixture
def migrate(tmp_path: Path) -> Job:
    """A migration."""
    return _job(tmp_path, "migrate")


def _job(tmp_path: Path, name: str) -> Job:
    directory = tmp_path / f"runs-of-{name}"
    directory.mkdir()
    directory.chmod(0o777)
    return Job(directory, name)


@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_a_job_runs_once_for_each_release(stage: Stage, migrate: Job, restart: str) -> None:
    """A migration that has ended with 0 has done its work: it is neither ill nor missing."""
    one = stage.push(Recipe("one", interval=0.5))
    services = {"app": stage.service(), "migrate": migrate.service(stage, restart=restart)}
    launcher = stage.launch(services, QUICK_POLL)
    settled(launcher, one)
    further_looks(launcher)
    assert (migrate.runs, len(launcher.history("web"))) == (1, 1)
    # The app is restored without its job, which was not what was missing.
    stage.host.docker("rm", "-f", *ids(containers_of(stage)))
    eventually(lambda: stage.serves() == "one" and idle(launcher))
    further_looks(launcher, 1)
    assert migrate.runs == 1
    launcher.kill()
    launcher.start()
    further_looks(launcher, 2)
    assert migrate.runs == 1
    two = stage.push(Recipe("two", interval=0.5))
    settled(launcher, two)
    further_looks(launcher, 2)
    assert stage.serves() == "two"
    assert migrate.runs == 2
    assert nothing_quarantined(launcher)


def test_a_job_that_a_person_has_run_is_adopted(stage: Stage, migrate: Job) -> None:
    """The launcher comes to a project that runs: nothing is missing, so nothing is run."""
    one = stage.push(Recipe("one", interval=0.5))
    services = {"app": stage.service(), "migrate": migrate.service(stage, restart="no")}
    launcher = stage.prepare(services, QUICK_POLL)
    compose(stage, "up", "-d")
    eventually(lambda: migrate.has_ended(stage))
    before = ids(containers_of(stage))
    launcher.start()
    settled(launcher, one)
    further_looks(launcher)
    assert migrate.runs == 1
    assert ids(containers_of(stage)) == before
    intent = stage.push_and_follow(launcher, Recipe("two", interval=0.5))
    assert intent["status"] == "success"
    assert migrate.runs == 2
    assert nothing_quarantined(launcher)


def test_a_job_that_others_wait_for_runs_when_it_is_listed(
    stage: Stage, migrate: Job, tmp_path: Path
) -> None:
    """`compose.services` says what moves with a release; a job that is not listed stays."""
    seed = _job(tmp_path, "seed")
    one = stage.push(Recipe("one", interval=0.5))
    completed = {"condition": "service_completed_successfully"}
    services = {
        "app": stage.service() | {"depends_on": {"migrate": completed, "seed": completed}},
        "migrate": migrate.service(stage),
        "seed": seed.service(stage),
    }
    launcher = stage.prepare(services, QUICK_POLL)
    _list_services(stage, launcher.config, ["app", "migrate"])
    compose(stage, "up", "-d")
    launcher.start()
    settled(launcher, one)
    further_looks(launcher)
    assert (migrate.runs, seed.runs) == (1, 1)
    intent = stage.push_and_follow(launcher, Recipe("two", interval=0.5))
    assert intent["status"] == "success"
    further_looks(launcher, 2)
    assert (migrate.runs, seed.runs) == (2, 1)
    assert stage.serves() == "two"
    assert nothing_quarantined(launcher)


def _list_services(stage: Stage, config: Path, names: list[str]) -> None:
    written = config.read_text()
    project = f'"project": "{stage.project.name}"'
    listed = ", ".join(f'"{name}"' for name in names)
    config.write_text(written.replace(project, f'{project}, "services": [{listed}]'))


def test_a_job_that_fails_fails_the_release(stage: Stage, migrate: Job) -> None:
    """A release whose migration failed must not serve."""
    one = stage.push(Recipe("one", interval=0.5))
    services = {"app": stage.service(), "migrate": migrate.service(stage, restart="no")}
    launcher = stage.launch(services)
    settled(launcher, one)
    broken = {"Env": ["PATH=/bin", "JOB_STATUS=1"]}
    intent = stage.push_and_follow(launcher, Recipe("two", interval=0.5, config=broken))
    assert (intent["status"], intent["code"]) == ("failure", "unhealthy")
    assert stage.serves() == "one"
    assert launcher.workload("web")["current"]["digest"] == one.digest


@pytest.mark.parametrize(
    "service",
    [
        {},
        {"restart": "no", "healthcheck": quick_check("true")},
        {"restart": "no", "ports": ["127.0.0.1:{port}:8080"]},
        {"restart": "unless-stopped"},
    ],
    ids=["no restart line", "healthcheck", "ports", "unless-stopped"],
)
def test_a_server_that_ends_with_0_is_no_job(stage: Stage, service: Mapping[str, Any]) -> None:
    """Programs that give up often exit with 0: a server that ended does not serve."""
    good = Recipe("one", interval=None)
    one = stage.push(good)
    port = free_port()
    second = {"image": f"{stage.image}:stable", "init": True, **service}
    if "ports" in second:
        second["ports"] = [f"127.0.0.1:{port}:8080"]
    # The app serves whatever the image does, so that the second service alone decides.
    app = stage.service() | {"command": ["/bin/sh", "-c", "httpd -f -p 8080 -h /www"]}
    launcher = stage.launch({"app": app, "second": second}, {"health": {"settle": "1s"}})
    settled(launcher, one)
    ends = stage.push(Recipe("two", Behaviour.EXITS_WELL, interval=None))
    (intent,) = launcher.outcome(stage.announce(launcher, ends).body["delivery"])
    assert intent["status"] == "failure"
    assert stage.serves() == "one"
    assert launcher.workload("web")["quarantined"] == [ends.digest]
