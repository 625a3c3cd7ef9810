"""Receipts of what the launcher does: in whole stories, and when one cannot be written.

That every attempt that ends has one, after any crash, is checked by `World.close` at the end of
every story of the launcher's tests.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import digest
from tests.world import A, B, World
from webhook_launcher.core.dsse import PrivateKey, claimed
from webhook_launcher.core.errors import JournalError
from webhook_launcher.core.model import Action, Status


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """With A running."""
    made = World(tmp_path / "state")
    made.push(A)
    made.work()
    yield made
    made.close()


def said(world: World) -> list[dict[str, Any]]:
    """What the receipts say, oldest first."""
    return [json.loads(claimed(one))["predicate"] for one in world.journal.receipts.after(0, 99)]


def test_a_failed_release_and_its_rollback_tell_the_story(world: World) -> None:
    """Two attempts, two receipts; the second says which it undoes, on whose behalf."""
    world.host.unhealthy.add(B)
    world.push(B)
    world.work()
    failed, back = said(world)[1:]
    assert (failed["status"], failed["code"]) == ("failure", "unhealthy")
    assert failed["image"]["digest"] == B
    assert failed["replaced"].endswith(A)
    assert (back["status"], back["undoes"]) == ("success", failed["deployment"])
    assert back["image"]["digest"] == A
    assert back["askedBy"] == failed["askedBy"]


def test_an_operators_rollback_says_so(world: World) -> None:
    """It undoes no attempt: somebody wanted it."""
    world.push(B)
    world.work()
    world.ask(Action.ROLLBACK)
    world.work()
    back = said(world)[-1]
    assert (back["rollback"], "undoes" in back) == (True, False)
    assert back["askedBy"]["trust"] == "operator"


def test_what_was_refused_or_changed_nothing_has_none(world: World) -> None:
    """A receipt is of an attempt; these never began."""
    world.push(A)
    world.work()
    world.journal.workloads.quarantine("web", digest("bad"), "it failed", world.clock.now())
    refused = world.deploy(digest("bad"))
    world.work()
    assert world.intent(refused).code == "policy-refused"
    assert len(said(world)) == 1


class _Unusable:
    """A key that cannot sign."""

    def __init__(self, key: PrivateKey, error: Exception) -> None:
        self.public = key.public
        self._error = error

    def sign(self, message: bytes) -> bytes:
        """Fail."""
        raise self._error


@pytest.mark.parametrize("error", [JournalError("no"), RuntimeError("no")])
def test_a_deployment_whose_receipt_cannot_be_signed_is_ended_later(
    world: World, error: Exception
) -> None:
    """The new release serves meanwhile; once signing works, recovery ends the attempt."""
    key = world.journal.receipts._key
    world.journal.receipts._key = _Unusable(key, error)  # type: ignore[assignment]
    world.push(B)
    for _ in range(3):
        try:
            world.step()
        except JournalError:
            continue  # the worker keeps the intent, and tries it again
    assert world.host.runs() == B
    assert [one.status for one in world.history()] == [Status.SUCCESS, Status.IN_PROGRESS]
    assert len(said(world)) == 1
    world.journal.receipts._key = key
    for _ in range(100):
        world.clock.sleep(world.step())
    assert (world.host.runs(), world.current()) == (B, B)
    assert [one.status for one in world.history()] == [Status.SUCCESS] * 2
    assert [one["sequence"] for one in said(world)] == [1, 2]
