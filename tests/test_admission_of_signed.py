"""Signatures in a launcher's life: they come after the push, keys change, the registry is down."""

import pytest

from tests.signing import Signer
from tests.test_admission import running, under, unreachable
from tests.world import OPERATOR, WEB, A, B, World
from webhook_launcher.core.model import Action, Status
from webhook_launcher.core.policies import SignedBy
from webhook_launcher.core.reference import Digest

OURS, STRANGER = Signer("release-2026"), Signer("stranger")
POLICY = SignedBy((OURS.public(),))
IMAGE = str(WEB.repository)


def sign(world: World, digest: Digest, signer: Signer = OURS) -> None:
    """Attach one more signature."""
    made = signer.bundle(digest)
    world.registry.attached[digest] = (*world.registry.attached.get(digest, ()), made)


@pytest.fixture
def signed(world: World) -> World:
    """A launcher with `signed_by`, on which signed A runs."""
    under(world, POLICY)
    sign(world, A)
    running(world, "A")
    return world


def test_an_image_that_is_signed_seconds_after_its_push_is_deployed(signed: World) -> None:
    """The order in which every CI does it; nobody must have to push again."""
    intent = signed.push(B)
    signed.work_now()
    waiting = signed.intent(intent)
    assert (waiting.status, waiting.code) == (Status.QUEUED, "not-signed-yet")
    assert signed.host.runs() == A
    sign(signed, B, STRANGER)  # the build's own, which we do not ask for
    signed.clock.sleep(2)
    signed.work_now()
    assert signed.host.runs() == A
    sign(signed, B)
    signed.work(60)
    assert signed.host.runs() == B
    assert signed.intent(intent).status is Status.SUCCESS
    verdicts = [verdict.said for verdict in signed.history()[-1].verdicts]
    assert "signed by release-2026 (bundle)" in verdicts


def test_what_is_never_signed_is_given_up_and_never_runs(signed: World) -> None:
    """It is asked for ten times within some nine minutes, not for ever."""
    began = signed.clock.now()
    intent = signed.push(B)
    signed.work()
    ended = signed.intent(intent)
    assert (ended.status, ended.code, ended.attempts) == (Status.ERROR, "not-signed-yet", 10)
    assert 480 < (signed.clock.now() - began).total_seconds() < 600
    assert signed.host.runs() == A


def test_a_signature_that_is_wrong_is_not_waited_for(signed: World) -> None:
    """B carries what our key signed for A: somebody put it there."""
    signed.registry.attached[B] = signed.registry.attached[A]
    intent = signed.push(B)
    signed.work_now()
    assert (signed.intent(intent).status, signed.intent(intent).code) == (
        Status.ERROR,
        "policy-refused",
    )
    assert signed.host.runs() == A


def test_a_registry_that_does_not_answer_has_not_said_unsigned(signed: World) -> None:
    """Tried again for as long as registries are; deployed when it answers."""
    sign(signed, B)
    intent = signed.push(B)
    signed.registry.down = unreachable
    signed.work_now()
    assert signed.intent(intent).code == "registry-unavailable"
    signed.registry.down = None
    signed.work()
    assert signed.host.runs() == B


def test_a_rollback_verifies_the_kept_bytes_while_the_registry_is_down(signed: World) -> None:
    """The signature is judged again, by today's keys; only its bytes are old."""
    sign(signed, B)
    running(signed, "B")
    signed.registry.attached.clear()
    signed.registry.down = unreachable
    signed.ask(Action.ROLLBACK, origin=OPERATOR)
    signed.work(60)
    assert signed.host.runs() == A


def test_a_key_that_was_removed_lets_nothing_return(signed: World) -> None:
    """Its signature was good when A was deployed; today nobody knows who has the key."""
    sign(signed, B)
    sign(signed, B, STRANGER)
    running(signed, "B")
    under(signed, SignedBy((STRANGER.public(),)))
    intent = signed.ask(Action.ROLLBACK, origin=OPERATOR)
    signed.work()
    assert signed.intent(intent).code == "not-signed-yet"
    assert signed.host.runs() == B
