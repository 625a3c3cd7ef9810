"""A flood of authentic pushes: the newest image of every workload ends up running, and cheaply."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.fakes import digest
from tests.world import SIGNED, WEB, World
from webhook_launcher.adapters.journal import Accepted
from webhook_launcher.core.model import Action, Event, Heard, Wish
from webhook_launcher.core.reference import parse_repository
from webhook_launcher.core.workload import ComposeProject

WORKLOADS = 50
PUSHES = 40  # of each
BATCH = 64  # as many as come while one commit waits for the disk
NAMES = [f"web{number}" for number in range(WORKLOADS)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Fifty workloads, each with an image and a project of its own."""
    made = World(
        tmp_path,
        *(
            replace(
                WEB,
                name=name,
                repository=parse_repository(f"registry.test/acme/{name}"),
                project=ComposeProject(name, Path(f"/srv/{name}")),
            )
            for name in NAMES
        ),
    )
    yield made
    made.close()


def pushed(world: World, name: str, number: int) -> Heard:
    """The tag moves, and its event arrives."""
    image = digest(f"{name} {number}")
    world.tag(image, name)
    reference = world.workloads[name].tracked
    assert reference is not None
    wish = Wish(name, Action.CHECK, SIGNED, replace(reference, digest=image), hint=True)
    return Heard(Event("ghcr", SIGNED.trust, f"{name}-{number}"), [wish], None, world.clock.now())


def accept(world: World, heard: list[Heard]) -> None:
    """As the worker process does with what came together."""
    told: SimpleQueue[Mapping[Heard, Accepted | Exception]] = SimpleQueue()
    world.journal.deliveries.accept_all(heard, told.put)
    assert all(isinstance(one, Accepted) for one in told.get(timeout=60).values())


def flood(world: World, *, work_between: bool) -> int:
    """Every push of every workload, in turns; how many intents were taken up meanwhile."""
    waiting: list[Heard] = []
    steps = 0
    for number in range(PUSHES):
        for name in NAMES:
            waiting.append(pushed(world, name, number))
            if len(waiting) == BATCH:
                accept(world, waiting)
                waiting.clear()
                if work_between:
                    assert world.step() == 0.0  # it found something to do, and may find more
                    steps += 1
    accept(world, waiting)
    return steps


@pytest.mark.parametrize("work_between", [False, True])
def test_every_workload_ends_at_its_newest_image(world: World, *, work_between: bool) -> None:
    """And with no more deployments than there are workloads, besides those made meanwhile.

    A worker that comes to its turn during the flood finds work each time.
    """
    steps = flood(world, work_between=work_between)
    world.work()
    newest = PUSHES - 1
    assert [world.host.runs(name) for name in NAMES] == [
        digest(f"{name} {newest}") for name in NAMES
    ]
    made = sum(len(world.history(name)) for name in NAMES)
    assert made <= WORKLOADS + steps
    assert world.journal.intents.pending() == 0
