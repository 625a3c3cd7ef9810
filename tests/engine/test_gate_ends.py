"""The wait for health ends: by a verdict, by a deadline, or by an order that is newer."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe
from testbed.launcher import Answer, Launcher
from tests.engine.by_hand import (
    QUICK_POLL,
    containers_of,
    further_looks,
    make_switch,
    nothing_quarantined,
    records_of,
    settled,
    wait_for_running,
)
from tests.engine.stage import Stage, current, eventually, idle
from webhook_launcher.core.model import Image

pytestmark = pytest.mark.engine

_SECOND = 1_000_000_000
# Above what a deployment takes on a busy machine, far below any deadline of the sick image.
_SOON = 30
# The engine has no verdict on it for three hours.
SICK = Recipe("sick", Behaviour.NEVER_HEALTHY, interval=3600.0)


class TestDeadline:
    """An image is given the time that its healthcheck gives it."""

    def test_is_no_earlier_than_the_engines_own(self, stage: Stage) -> None:
        """Each probe that hangs costs its timeout and its interval before the next one starts."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch()
        settled(launcher, one)
        # The engine would call it unhealthy after 12 s; `interval x retries + timeout` is 7 s.
        check = {
            "Test": ["CMD-SHELL", "test -e /tmp/ready || exec sleep 600"],
            "Interval": _SECOND,
            "Timeout": _SECOND,
            "Retries": 6,
        }
        server = "(sleep 9; touch /tmp/ready) & httpd -f -p 8080 -h /www"
        config = {"Healthcheck": check, "Cmd": ["/bin/sh", "-c", server]}
        intent = stage.push_and_follow(launcher, Recipe("two", config=config))
        assert intent["status"] == "success", intent["detail"]
        assert stage.serves() == "two"
        assert nothing_quarantined(launcher)

    def test_of_the_operator_outranks_the_engines_verdict(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        """`health.timeout` is for images that start later than their healthcheck allows."""
        switch = make_switch(tmp_path)
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch(
            {"app": stage.service() | {"volumes": [switch.mount]}}, {"health": {"timeout": "60s"}}
        )
        settled(launcher, one)
        two = stage.push(switch.image("two", retries=2))
        answer = stage.announce(launcher, two)
        # The engine calls it unhealthy after the second failure, and goes on to probe.
        eventually(lambda: _streak(stage) >= 6 or bool(_ended(launcher, two)))
        switch.on()
        (intent,) = launcher.outcome(answer.body["delivery"])
        assert (intent["status"], intent["code"]) == ("success", None)
        assert stage.serves() == "two"


def _ended(launcher: Launcher, image: Image) -> list[dict[str, Any]]:
    return [one for one in records_of(launcher, image) if one["status"] != "in_progress"]


class TestCancelled:
    """A gate that still waits ends as soon as somebody wants another image to run."""

    @pytest.mark.parametrize("crash", [False, True], ids=["running on", "after a crash"])
    def test_by_a_newer_push(self, stage: Stage, crash: bool) -> None:
        """The mended image must not wait hours for the end of the broken one."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch()
        settled(launcher, one)
        sick, waiting = _wait_for(stage, launcher, SICK)
        if crash:
            launcher.kill()
            launcher.start("/healthz")
        good = stage.push(Recipe("good", interval=0.5))
        answer = stage.announce(launcher, good)
        (intent,) = launcher.outcome(answer.body["delivery"], _SOON)
        assert intent["status"] == "success"
        assert stage.serves() == "good"
        assert current(launcher) == good.digest
        self.check_superseded(launcher, sick, waiting)

    @pytest.mark.parametrize("earlier", [True, False], ids=["two releases", "one release"])
    def test_by_a_rollback(self, stage: Stage, earlier: bool) -> None:
        """An operator who says `rollback` means the release before the one that is starting."""
        if earlier:
            zero = stage.push(Recipe("zero", interval=0.5))
            launcher = stage.launch(options=QUICK_POLL)
            settled(launcher, zero)
            one = stage.push(Recipe("one", interval=0.5))
        else:
            one = stage.push(Recipe("one", interval=0.5))
            launcher = stage.launch(options=QUICK_POLL)
        settled(launcher, one)
        sick, waiting = _wait_for(stage, launcher, SICK)
        done = launcher.run("rollback", "web", "--wait", "--timeout", str(_SOON))
        assert done.returncode == 0, done.stdout + done.stderr
        assert stage.serves() == "one"
        assert current(launcher) == one.digest
        # No look takes the rollback back.
        further_looks(launcher, 2)
        assert stage.serves() == "one"
        self.check_superseded(launcher, sick, waiting)

    def test_by_an_order_to_deploy(self, stage: Stage) -> None:
        """An operator names what shall run, and does not care what is being tried."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch()
        settled(launcher, one)
        sick, waiting = _wait_for(stage, launcher, SICK)
        done = launcher.run("deploy", "web", one.pinned, "--wait", "--timeout", str(_SOON))
        assert done.returncode == 0, done.stdout + done.stderr
        assert stage.serves() == "one"
        assert current(launcher) == one.digest
        self.check_superseded(launcher, sick, waiting)

    def test_but_not_by_the_push_that_it_waits_for(self, stage: Stage, tmp_path: Path) -> None:
        """A redelivery brings no news; a pipeline that repeats itself must not stop itself."""
        switch = make_switch(tmp_path)
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch({"app": stage.service() | {"volumes": [switch.mount]}})
        settled(launcher, one)
        two, first = _wait_for(stage, launcher, switch.image("two"))
        (before,) = containers_of(stage)
        again = stage.announce(launcher, two)
        streak = _streak(stage)
        eventually(lambda: _streak(stage) >= streak + 3)
        assert [found["Id"] for found in containers_of(stage)] == [before["Id"]]
        assert [record["status"] for record in records_of(launcher, two)] == ["in_progress"]
        # The same gate ends when something else is pushed.
        good = stage.push(Recipe("good", interval=0.5))
        answer = stage.announce(launcher, good)
        (intent,) = launcher.outcome(answer.body["delivery"], _SOON)
        assert intent["status"] == "success"
        self.check_superseded(launcher, two, first)
        (redelivered,) = launcher.outcome(again.body["delivery"], _SOON)
        assert redelivered["status"] != "success"
        assert stage.serves() == "good"

    @staticmethod
    def check_superseded(launcher: Launcher, image: Image, announced: Answer) -> None:
        """The attempt that was cancelled is no verdict on its image, and no success."""
        eventually(lambda: idle(launcher))
        (record,) = records_of(launcher, image)
        assert (record["status"], record["code"]) == ("inactive", "superseded")
        (intent,) = launcher.outcome(announced.body["delivery"], _SOON)
        assert intent["status"] == "inactive"
        assert nothing_quarantined(launcher)


def _wait_for(stage: Stage, launcher: Launcher, recipe: Recipe) -> tuple[Image, Answer]:
    """Push and announce an image; return when the gate waits for its container."""
    image = stage.push(recipe)
    answer = stage.announce(launcher, image)
    wait_for_running(stage, recipe.marker)
    return image, answer


def _streak(stage: Stage) -> int:
    """Return how many of the engine's own probes have failed in a row."""
    found = [
        container["State"].get("Health", {"FailingStreak": 0})["FailingStreak"]
        for container in containers_of(stage)
    ]
    return max(found, default=0)


def test_probes_that_hang_do_not_pile_up(stage: Stage, tmp_path: Path) -> None:
    """Each unfinished probe is a process in the user's container, up to its limit."""
    switch = make_switch(tmp_path)
    one = stage.push(Recipe("one", interval=0.5))
    launcher = stage.launch(
        {"app": stage.service() | {"volumes": [switch.mount], "pids_limit": 24}}
    )
    settled(launcher, one)
    check = {
        "Test": ["CMD-SHELL", "test -e /switch/on || exec sleep 3600"],
        "Interval": _SECOND,
        "Timeout": _SECOND,
        "Retries": 100,
    }
    two = stage.push(Recipe("two", config={"Healthcheck": check}))
    answer = stage.announce(launcher, two)
    container = wait_for_running(stage, "two")
    # One of the engine's own and one of the gate's.
    while _streak(stage) < 4:
        assert _hanging(stage, container["Id"]) <= 2
    switch.on()
    (intent,) = launcher.outcome(answer.body["delivery"])
    assert intent["status"] == "success"
    assert stage.serves() == "two"


def _hanging(stage: Stage, container_id: str) -> int:
    """Return how many probes that hang the container has now."""
    listed = subprocess.run(
        ["docker", "top", container_id, "-o", "pid,args"],
        env=dict(stage.host.environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # Not the shells around it: the command line of a wrapper names it too.
    return len(re.findall(r"^ *\d+ +sleep 3600$", listed.stdout, re.MULTILINE))
