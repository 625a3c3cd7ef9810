"""A deployment acts on the services of its workload and on no other service of the project."""

import json

import pytest

from testbed.images import Behaviour, Recipe
from tests.engine.by_hand import (
    compose,
    compose_meanwhile,
    containers_of,
    edited,
    marker_of,
    settled,
    wait_for_running,
)
from tests.engine.stage import Stage, eventually

pytestmark = pytest.mark.engine


def test_a_replacement_that_a_person_is_starting_survives_a_deployment(stage: Stage) -> None:
    """A push for `app` must never cost a database that somebody upgrades at that moment."""
    database = f"{stage.repository}-db"
    old = Recipe("db-1", Behaviour.IGNORES_TERM, interval=None)
    stage.registry.push(database, "1", old)
    stage.registry.push(database, "2", Recipe("db-2", interval=None))
    one = stage.push(Recipe("one", interval=0.5))
    # The old container waits for SIGKILL, so the test decides how long the upgrade takes.
    service = {
        "image": f"{stage.registry.host}/{database}:1",
        "stop_grace_period": "120s",
        "volumes": ["/data"],
    }
    launcher = stage.prepare({"app": stage.service(), "db": service})
    compose(stage, "up", "-d")
    launcher.start()
    settled(launcher, one)
    former = wait_for_running(stage, "db-1", "db")
    stage.host.docker("exec", former["Id"], "touch", "/data/precious")
    with edited(stage) as services:
        services["db"]["image"] = f"{stage.registry.host}/{database}:2"
    compose(stage, "pull", "db")
    with compose_meanwhile(stage, "up", "-d", "--no-deps", "db") as by_hand:
        eventually(lambda: len(containers_of(stage, "db")) == 2)
        (replacement,) = [c for c in containers_of(stage, "db") if marker_of(c) == "db-2"]
        assert replacement["State"]["Status"] == "created"
        intent = stage.push_and_follow(launcher, Recipe("two", interval=0.5))
        assert intent["status"] == "success"
        stage.host.docker("kill", former["Id"])
        messages, _ = by_hand.communicate(timeout=60)
        assert by_hand.returncode == 0, messages
    (now,) = containers_of(stage, "db")
    assert now["Id"] == replacement["Id"]
    assert now["State"]["Status"] == "running"
    assert now["Name"] == former["Name"]
    assert stage.host.docker("exec", now["Id"], "ls", "/data") == "precious"


@pytest.mark.parametrize("state", ["created", "running"])
def test_leftovers_of_other_services_stay_as_they_are(stage: Stage, state: str) -> None:
    """What an interrupted `up` of another service left is for the person who interrupted it."""
    one = stage.push(Recipe("one", interval=0.5))
    launcher = stage.launch()
    settled(launcher, one)
    (app,) = containers_of(stage)
    temporary = f"{app['Id'][:12]}_{stage.project.name}-db-1"
    labels = {
        "com.docker.compose.project": stage.project.name,
        "com.docker.compose.service": "db",
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.replace": f"{stage.project.name}-db-1",
    }
    options = [f"--label={name}={value}" for name, value in labels.items()]
    verb = ("create",) if state == "created" else ("run", "--detach")
    made = [
        stage.host.docker(*verb, *options, "--name", name, one.pinned)
        for name in (temporary, f"{stage.project.name}-db-other")
    ]
    before = json.loads(stage.host.docker("inspect", *made))
    assert stage.push_and_follow(launcher, Recipe("two", interval=0.5))["status"] == "success"
    after = {found["Id"]: found for found in containers_of(stage, "db")}
    assert set(after) == set(made)
    for found in before:
        assert after[found["Id"]]["Name"] == found["Name"]
        assert after[found["Id"]]["State"]["Status"] == state
