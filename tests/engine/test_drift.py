"""Drift: a difference between the current release and what runs, and what follows from it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.images import Recipe
from testbed.launcher import Launcher
from tests.engine.by_hand import (
    QUICK_POLL,
    compose,
    containers_of,
    further_looks,
    ids,
    make_switch,
    nothing_quarantined,
    records_of,
    settled,
    wait_for_running,
)
from tests.engine.stage import Stage, current, eventually, idle
from webhook_launcher.core.model import Image

pytestmark = pytest.mark.engine


@contextmanager
def answers(stage: Stage) -> Iterator[list[str]]:
    """Collect what the workload serves during the block, each change once."""
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            served = stage.serves()
            if served is not None and served != (seen[-1] if seen else None):
                seen.append(served)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        ended.set()
        watching.join()


class TestUpdatedByHand:
    """`docker compose pull && docker compose up -d`, as every manual says."""

    def test_while_the_launcher_is_stopped(self, stage: Stage) -> None:
        """The newest image runs already: to go back to the older one would be an outage."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch(options=QUICK_POLL)
        settled(launcher, one)
        launcher.stop()
        two = stage.push(Recipe("two", interval=0.5))
        by_hand = self.update(stage)
        with answers(stage) as seen:
            launcher.start()
            settled(launcher, two)
            further_looks(launcher, 2)
            self.check_adopted(stage, launcher, two, by_hand)
            self.check_next_push(stage, launcher)
        assert seen == ["two", "three"]

    def test_while_the_workload_is_paused(self, stage: Stage) -> None:
        """What the looks found during the pause must not undo the work of the person."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch(options=QUICK_POLL)
        settled(launcher, one)
        assert launcher.run("pause", "web").returncode == 0
        two = stage.push(Recipe("two", interval=0.5))
        by_hand = self.update(stage)
        with answers(stage) as seen:
            # A look has noticed, and any order that follows from it waits for the end of the pause.
            eventually(lambda: not idle(launcher) or current(launcher) == two.digest)
            assert launcher.run("resume", "web").returncode == 0
            settled(launcher, two)
            further_looks(launcher, 2)
            self.check_adopted(stage, launcher, two, by_hand)
            self.check_next_push(stage, launcher)
        assert seen == ["two", "three"]

    def test_and_announced_only_then(self, stage: Stage) -> None:
        """The push event arrives late: the image that runs is the one that was pushed."""
        one = stage.push(Recipe("one", interval=0.5))
        launcher = stage.launch()
        settled(launcher, one)
        two = stage.push(Recipe("two", interval=0.5))
        by_hand = self.update(stage)
        with answers(stage) as seen:
            (intent,) = launcher.outcome(stage.announce(launcher, two).body["delivery"])
            assert intent["status"] == "success"
            self.check_adopted(stage, launcher, two, by_hand)
            self.check_next_push(stage, launcher)
        assert seen == ["two", "three"]

    @staticmethod
    def update(stage: Stage) -> list[str]:
        """Update by hand; the ids of the containers."""
        compose(stage, "pull")
        compose(stage, "up", "-d")
        wait_for_running(stage, "two")
        eventually(lambda: stage.serves() == "two")
        return ids(containers_of(stage))

    @staticmethod
    def check_adopted(stage: Stage, launcher: Launcher, two: Image, by_hand: list[str]) -> None:
        """The image is current, and the container is the one that the person made."""
        assert ids(containers_of(stage)) == by_hand
        assert launcher.workload("web")["current"]["digest"] == two.digest
        assert nothing_quarantined(launcher)

    @staticmethod
    def check_next_push(stage: Stage, launcher: Launcher) -> None:
        """A push is deployed as ever, and has the adopted image as its way back."""
        intent = stage.push_and_follow(launcher, Recipe("three", interval=0.5))
        assert intent["status"] == "success"
        shown = launcher.workload("web")
        assert stage.serves() == "three"
        assert shown["current"]["digest"] != shown["previous"]["digest"]


def test_a_paused_container_is_left_alone_and_a_crashed_one_is_started(
    stage: Stage, tmp_path: Path
) -> None:
    """`docker pause` is an order, such as for a snapshot; a crash is no order of anybody."""
    switch = make_switch(tmp_path)
    server = "httpd -p 8080 -h /www; while ! test -e /switch/on; do sleep 0.1; done; exit 7"
    recipe = Recipe("one", interval=0.5, config={"Cmd": ["/bin/sh", "-c", server]})
    one = stage.push(recipe)
    launcher = stage.launch(
        {"app": stage.service() | {"volumes": [switch.mount]}}, options=QUICK_POLL
    )
    settled(launcher, one)
    (before,) = containers_of(stage)
    stage.host.docker("pause", before["Id"])
    further_looks(launcher)
    (paused,) = containers_of(stage)
    assert (paused["Id"], paused["State"]["Status"]) == (before["Id"], "paused")
    assert paused["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert len(records_of(launcher, one)) == 1
    stage.host.docker("unpause", before["Id"])
    assert stage.serves() == "one"
    switch.on()
    eventually(lambda: all(c["State"]["ExitCode"] == 7 for c in containers_of(stage)))
    switch.off()
    eventually(lambda: stage.serves() == "one" and idle(launcher))
    stage.host.docker("rm", "-f", *ids(containers_of(stage)))
    eventually(lambda: stage.serves() == "one" and idle(launcher))


def test_a_paused_container_is_left_alone_when_its_neighbour_is_restored(stage: Stage) -> None:
    """A restoration of one service must not undo a person's order for another."""
    one = stage.push(Recipe("one", interval=0.5))
    worker = {"image": f"{stage.image}:stable", "restart": "always"}
    launcher = stage.launch({"app": stage.service(), "worker": worker}, options=QUICK_POLL)
    settled(launcher, one)
    (before,) = containers_of(stage, "app")
    stage.host.docker("pause", before["Id"])
    (neighbour,) = containers_of(stage, "worker")
    stage.host.docker("rm", "-f", neighbour["Id"])
    eventually(lambda: bool(containers_of(stage, "worker")))
    further_looks(launcher)
    (paused,) = containers_of(stage, "app")
    assert (paused["Id"], paused["State"]["Status"]) == (before["Id"], "paused")
