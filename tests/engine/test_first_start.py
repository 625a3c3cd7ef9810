"""The first start on a host where the project already has containers."""

import pytest

from testbed.images import Behaviour, Recipe
from tests.engine.by_hand import (
    compose,
    containers_of,
    ids,
    nothing_quarantined,
    settled,
    wait_for_running,
)
from tests.engine.stage import Stage, eventually

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    ("halt", "resume", "status"), [("stop", "start", "exited"), ("pause", "unpause", "paused")]
)
def test_containers_that_do_not_run_are_never_removed(
    stage: Stage, halt: str, resume: str, status: str
) -> None:
    """During maintenance a stopped container is all there is of a release and its data."""
    one = stage.push(Recipe("one", interval=0.5))
    launcher = stage.prepare({"app": stage.service() | {"volumes": ["/data"]}})
    compose(stage, "up", "-d")
    (before,) = containers_of(stage)
    stage.host.docker("exec", before["Id"], "touch", "/data/precious")
    compose(stage, halt)
    bad = stage.push(Recipe("bad", Behaviour.NEVER_HEALTHY, interval=0.5, retries=1))
    launcher.start()
    (intent,) = launcher.outcome(stage.announce(launcher, bad).body["delivery"])
    assert (intent["status"], intent["code"]) == ("error", "not-adoptable")
    # The message names the container and the command that makes it run.
    assert before["Name"].lstrip("/") in intent["detail"]
    assert f"docker compose {resume}" in intent["detail"]
    (after,) = containers_of(stage)
    assert (after["Id"], after["State"]["Status"]) == (before["Id"], status)
    assert nothing_quarantined(launcher)
    compose(stage, resume)
    eventually(lambda: stage.serves() == "one")
    assert stage.host.docker("exec", before["Id"], "ls", "/data") == "precious"
    # What runs now can be brought back, so the next push is deployed.
    two = stage.push(Recipe("two", interval=0.5))
    (intent,) = launcher.outcome(stage.announce(launcher, two).body["delivery"])
    assert intent["status"] == "success"
    settled(launcher, two)
    assert launcher.workload("web")["previous"]["digest"] == one.digest
    now = wait_for_running(stage, "two")
    assert stage.host.docker("exec", now["Id"], "ls", "/data") == "precious"


def test_stopped_containers_do_not_stand_in_the_way_of_an_operator(stage: Stage) -> None:
    """An order to deploy says what shall run; the data of the stopped container goes on."""
    stage.push(Recipe("one", interval=0.5))
    launcher = stage.prepare({"app": stage.service() | {"volumes": ["/data"]}})
    compose(stage, "up", "-d")
    (before,) = containers_of(stage)
    stage.host.docker("exec", before["Id"], "touch", "/data/precious")
    compose(stage, "stop")
    two = stage.push(Recipe("two", interval=0.5))
    launcher.start()
    (intent,) = launcher.outcome(stage.announce(launcher, two).body["delivery"])
    assert (intent["status"], intent["code"]) == ("error", "not-adoptable")
    assert ids(containers_of(stage)) == ids([before])
    ordered = launcher.run("deploy", "web", two.pinned, "--wait")
    assert ordered.returncode == 0, ordered.stdout
    now = wait_for_running(stage, "two")
    assert stage.host.docker("exec", now["Id"], "ls", "/data") == "precious"
