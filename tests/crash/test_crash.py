"""A short, fixed slice of `make crash`: the moments that were hardest to get right."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign import crashes, disk_outages, faulty, outages
from campaign.crashes import Play, Point
from testbed.images import TestRegistry

pytestmark = pytest.mark.engine

POINTS = [
    Point("deploy", "Deliveries.answer"),
    Point("deploy", "Engine.pull)"),
    Point("deploy", "override.write"),
    Point("deploy", "Compose.up(", delay=0.3, victims="all"),
    Point("deploy", "Compose.up(", delay=0.3, victims="compose"),
    Point("deploy", "Gate.wait)", victims="worker"),
    Point("unhealthy", "Deployments.fail)"),
    Point("unhealthy", "Compose.up(", 2, 0.3, "all"),
    Point("unhealthy", "Deployments.succeed)"),
    Point("refused", "Deployments.fail)"),
    Point("not created", "Compose.up(", delay=0.2, victims="all"),
    Point("deploy", "Compose.up(", victims="stop"),
    Point("deploy", "Deliveries.answer", victims="reload"),
    Point("deploy", "override.write", victims="reload"),
]


@pytest.fixture(scope="module")
def play(registry: TestRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """One site: each kill finds what the one before left."""
    made = Play(registry, tmp_path_factory.mktemp("crash") / "site")
    yield made
    made.site.stop()


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_kill_keeps_the_promise(play: Play, point: Point) -> None:
    """What was acknowledged runs, or what ran before; nothing else ever, and nothing is left."""
    result = crashes.kill(play, point)
    assert result is not None
    assert result.broken == ""


def test_every_moment_of_a_deployment_is_known(play: Play) -> None:
    """A step that nobody traced would be a moment at which nobody is killed."""
    events = [point.event for point in crashes.trace(play, "deploy")]
    assert "Deliveries.answer" in events
    for step in ("Deliveries.accept", "Intents.claim", "RegistryClient.image", "Engine.pull"):
        assert f"{step})" in events
    for step in ("Compose.pin", "Engine.sweep", "Compose.up", "Gate.wait", "Intents.settle"):
        assert f"{step})" in events
    assert events.count("commit") >= 4


def test_registry_faults_cost_a_delay_and_nothing_else(
    registry: TestRegistry, tmp_path: Path
) -> None:
    """Of each sort one: it does not answer, it refuses, it lies."""
    chosen = (faulty.REFUSED, faulty.DENIED, faulty.WRONG_BYTES)
    found = list(outages.registry_faults(registry, tmp_path, 4.0, chosen))
    assert [result.broken for result in found] == ["", "", ""]


def test_a_full_disk_loses_nothing_that_was_acknowledged(
    registry: TestRegistry, tmp_path: Path
) -> None:
    """The rest is refused at once, so that its sender repeats it, and then it runs too."""
    found = list(disk_outages.disk_faults(registry, tmp_path, 2.0, [disk_outages.FULL]))
    assert [result.broken for result in found] == [""]
