"""The journal is gone: what runs, and what it would return to, is learned from the engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import A, B, C, World
from webhook_launcher.core.errors import RegistryUnavailableError
from webhook_launcher.core.model import Action


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A machine on which A and then B were deployed."""
    made = World(tmp_path / "state")
    for digest in (A, B):
        made.push(digest)
        made.work()
    yield made
    made.close()


def lose_journal(world: World) -> None:
    """The disk took it, with all of it; the launcher is started again and looks."""
    world.fuse.disarm()
    world.journal.close()
    for file in world.path.glob("journal.sqlite3*"):
        file.unlink()
    world.start()
    world.poll()
    world.work()


def test_what_runs_goes_on_and_can_be_rolled_back(world: World) -> None:
    """Neither a restart nor a release that nobody can return from."""
    lose_journal(world)
    assert (world.current(), world.previous()) == (B, A)
    assert world.host.started == [A, B]
    world.ask(Action.ROLLBACK)
    world.work()
    assert world.host.runs() == A


def test_a_release_that_was_never_proved_is_not_taken_for_the_current_one(world: World) -> None:
    """It was lost in the middle of a switch: what runs is the image that was pulled last."""
    world.host.unhealthy.add(C)
    world.push(C)
    world.host.pulled.add(C)
    world.host.kept_tags["web:next"] = C
    world.host.run("web", "app", f"registry.test/acme/web@{C}")
    lose_journal(world)
    assert world.host.runs() == world.current() == B
    assert C in world.state().quarantined


def test_what_was_put_there_by_hand_is_adopted_and_what_was_kept_is_returned_to(
    world: World,
) -> None:
    """The launcher takes over what runs, as at its very first look."""
    world.host.run("web", "app", f"registry.test/acme/web@{C}")
    world.tag(C)
    lose_journal(world)
    assert (world.current(), world.previous()) == (C, B)


def test_a_workload_that_is_down_comes_back_without_its_registry(world: World) -> None:
    """The outage of one must not wait for the end of the outage of the other."""
    world.host.containers_of.clear()
    world.registry.down = lambda: RegistryUnavailableError("it is down")
    lose_journal(world)
    for _ in range(3):
        world.poll()
        world.work(60.0)
    assert world.host.runs() == B
