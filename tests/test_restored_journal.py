"""Back to an older journal while the host went on: what runs stays, what failed stays out."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.adapters.journal.test_upgrade import AFTER, BEFORE, STEPS
from tests.world import A, B, C, World
from webhook_launcher.adapters.journal import Journal, restore
from webhook_launcher.core.model import Action


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A runs, and a signed event that names it again waits; then the launcher was upgraded."""
    made = World(tmp_path / "state")
    made.push(A)
    made.work()
    made.deploy(A)
    made.journal.close()
    Journal(made.path, {"web": "web"}, steps=STEPS).close()
    number(made.path, BEFORE)  # what the newer version writes is what this one does
    made.start()
    made.work()
    yield made
    made.close()


def number(state: Path, schema: int) -> None:
    """Give the journal this schema version."""
    with closing(sqlite3.connect(state / "journal.sqlite3")) as connection:
        connection.execute(f"PRAGMA user_version = {schema}")


def go_back(world: World) -> None:
    """Stop, restore, start the older version; it looks at everything."""
    world.journal.close()
    number(world.path, AFTER)
    assert restore(world.path) is not None
    world.start()
    world.poll()
    world.work()


def test_what_was_deployed_since_goes_on(world: World) -> None:
    """Neither an older release in its place nor a restart; and the way back is the right one."""
    world.push(B)
    world.work()
    started = list(world.host.started)
    go_back(world)
    assert (world.current(), world.previous()) == (B, A)
    assert world.host.started == started
    world.ask(Action.ROLLBACK)
    world.work()
    assert world.host.runs() == A


def test_what_failed_since_does_not_come_back(world: World) -> None:
    """The quarantine protects whichever version runs."""
    world.host.unhealthy.add(C)
    world.push(C)
    world.work()
    assert world.host.runs() == A
    world.host.unhealthy.clear()
    started = list(world.host.started)
    go_back(world)
    assert C in world.state().quarantined
    refused = world.deploy(C)
    world.work()
    assert world.intent(refused).code == "policy-refused"
    assert world.host.started == started


def test_an_old_wish_is_not_fulfilled_again(world: World) -> None:
    """A waited in the copy and was dealt with; B was deployed after it."""
    world.push(B)
    world.work()
    go_back(world)
    assert world.host.runs() == world.current() == B
    assert not world.waiting()
