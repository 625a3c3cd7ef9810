"""Signals in the middle of a real deployment, and a journal that is found damaged at a start."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe
from testbed.launcher import Launcher
from tests.engine.stage import Stage, current, eventually, idle

pytestmark = pytest.mark.engine
# Of a whole stop: more than a slow one of these deployments takes, and far less than the grace.
_STOPPED_WITHIN = 30.0
_SLOW = Recipe("slow", Behaviour.SLOW_START, interval=0.5, retries=10)
_ILL = Recipe("ill", Behaviour.NEVER_HEALTHY, interval=0.5)
_BIG = Recipe("big", interval=0.5, padding=48_000_000)


def _begin(stage: Stage) -> Launcher:
    """`one` runs, and the launcher has nothing to do."""
    one = stage.push(Recipe("one", interval=0.5))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    return launcher


def _attempt(launcher: Launcher) -> Mapping[str, Any]:
    return launcher.history("web")[0]


def _pulls(_: Stage, launcher: Launcher) -> bool:
    return bool(_attempt(launcher)["status"] == "in_progress")


def _in_up(stage: Stage, launcher: Launcher) -> bool:
    return _pulls(stage, launcher) and stage.serves() is None


def _returns(stage: Stage, launcher: Launcher) -> bool:
    return bool(_attempt(launcher)["rollback"])


@pytest.mark.parametrize(
    ("recipe", "reached", "serves"),
    [(_BIG, _pulls, "big"), (_SLOW, _in_up, "slow"), (_ILL, _returns, "one")],
    ids=["pull", "up-and-gate", "rollback"],
)
def test_sigterm_in_a_deployment_leaves_nothing_half_way(
    stage: Stage, recipe: Recipe, reached: Callable[[Stage, Launcher], bool], serves: str
) -> None:
    """An orderly stop ends the step it is in, or the next start does; nobody has to clean up."""
    launcher = _begin(stage)
    stage.announce(launcher, stage.push(recipe))
    eventually(lambda: reached(stage, launcher))
    start = time.monotonic()
    assert launcher.stop() == 0
    assert time.monotonic() - start < _STOPPED_WITHIN
    launcher.start()
    eventually(lambda: idle(launcher))
    eventually(lambda: stage.serves() == serves)
    assert len(stage.containers()) == 1
    assert not [one for one in launcher.history("web") if one["status"] == "in_progress"]


def test_a_deployment_that_outlasts_the_grace_is_undone_by_the_next_start(stage: Stage) -> None:
    """The image never gets healthy and takes its time: the stop does not wait for it."""
    launcher = _begin(stage)
    launcher.stop()
    launcher.environment["GUNICORN_CMD_ARGS"] = "--graceful-timeout 18"
    launcher.start()
    ill = stage.push(Recipe("ill", Behaviour.NEVER_HEALTHY, interval=2, retries=6))
    stage.announce(launcher, ill)
    eventually(lambda: stage.serves() == "ill")
    start = time.monotonic()
    assert launcher.stop() == 0
    assert time.monotonic() - start < 18
    assert stage.serves() == "ill"  # it was cut off in the gate
    launcher.environment.clear()
    launcher.start()
    eventually(lambda: stage.serves() == "one" and idle(launcher))
    assert len(stage.containers()) == 1
    assert launcher.workload("web")["quarantined"] != []


def test_a_reload_in_the_gate_neither_ends_nor_doubles_the_deployment(stage: Stage) -> None:
    """It ends well under its old settings; the next one goes by the new ones."""
    launcher = _begin(stage)
    first = stage.announce(launcher, stage.push(_SLOW))
    eventually(lambda: _in_up(stage, launcher))
    configuration = json.loads(launcher.config.read_text())
    configuration["workloads"]["web"]["health"] = {"settle": "1s"}
    launcher.config.write_text(json.dumps(configuration))
    assert launcher.post("/api/v1/reload").status == 200
    (ended,) = launcher.outcome(first.body["delivery"])
    assert ended["status"] == "success"
    assert len(stage.containers()) == 1
    second = stage.announce(launcher, stage.push(Recipe("two", interval=0.5)))
    assert second.status == 202
    (after,) = launcher.outcome(second.body["delivery"])
    assert after["status"] == "success"
    assert stage.serves() == "two"
    assert len(stage.containers()) == 1
    newest, slow, _ = launcher.history("web")
    assert slow["finished_at"] <= newest["started_at"]
    assert newest["timings"]["gate"] >= 1  # the settle time of the new settings


def test_a_damaged_journal_costs_neither_the_workload_nor_its_way_back(stage: Stage) -> None:
    """What runs and what was kept are learned from the engine, and a rollback works."""
    launcher = _begin(stage)
    former = current(launcher)
    assert stage.push_and_follow(launcher, Recipe("two", interval=0.5))["status"] == "success"
    before = stage.containers()
    launcher.stop()
    journal = launcher.directory / "state" / "journal.sqlite3"
    with journal.open("r+b") as file:
        file.write(b"\xff" * 4096)
    launcher.start()
    eventually(lambda: current(launcher) is not None and idle(launcher))
    assert stage.containers() == before
    assert launcher.workload("web")["previous"]["digest"] == former
    assert list(journal.parent.glob("journal.sqlite3.corrupt-*")) != []
    assert launcher.run("rollback", "web", "--wait").returncode == 0
    assert stage.serves() == "one"
