"""The Update Framework's list of attacks, by its names, against what is there in its place."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.adapters.registry.fake import OCI_MANIFEST, FakeRegistry, Reply, manifest
from tests.fakes import PLATFORM, image_of
from tests.signing import Signer
from tests.test_no_downgrade import guarded, refused
from tests.test_together import A1, A2, B1, B2, push, released, running, shop
from tests.world import OPERATOR, POLL, SIGNED, TOKEN, WEB, A, B, C, D, World
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.errors import RegistryError, RegistryUnavailableError
from webhook_launcher.core.evidence import Facts
from webhook_launcher.core.freshness import warnings
from webhook_launcher.core.model import Action, Origin, Status
from webhook_launcher.core.policies import NoDowngrade, SameLabel, SignedBy
from webhook_launcher.core.policies.no_downgrade import VERSION_LABEL
from webhook_launcher.core.policy import Release
from webhook_launcher.core.reference import Reference, parse_repository

__all__ = ["guarded", "shop"]  # fixtures
SIGNER = Signer("release")


def test_arbitrary_software_installation(world: World) -> None:
    """TU1: under `signed_by`, what nobody with the key made does not run, whoever asks."""
    world.workloads["web"] = replace(WEB, policies=(SignedBy((SIGNER.public(),)),))
    world.restart()
    world.push(A)
    world.deploy(A)
    world.deploy(A, origin=OPERATOR)
    world.poll()
    world.work()
    assert world.host.started == []


def test_no_other_way_to_a_release() -> None:
    """TU1: what the engine takes is made by admission and nothing else."""
    image = image_of(Reference(WEB.repository, "stable"), A)
    with pytest.raises(TypeError):
        Release("web", image, (), object())


def test_endless_data(registry: FakeRegistry, client: RegistryClient) -> None:
    """TU2: documents, tag lists and headers end where our limits are."""
    registry.put("acme/web:stable", manifest())
    registry.edits.append(
        lambda _, reply: Reply(200, {"Content-Type": OCI_MANIFEST}, b"[" * (9 * 1024 * 1024))
    )
    reference = registry.reference("acme/web:stable")
    for ask in (
        lambda: client.image(reference, PLATFORM),
        lambda: client.tags(reference.repository),
    ):
        with pytest.raises(RegistryError):
            ask()


def test_extraneous_dependencies(shop: World) -> None:
    """TU3: an image asks for no other: which there are is configured, and each is admitted."""
    released(shop, A1, B1)
    assert set(shop.host.started) == {A1, B1}
    facts = Facts(b"{}", {"requires": "evil.example/x"}, 1, PLATFORM)
    shop.registry.facts_of[A2] = facts
    push(shop, A2)
    shop.hear(None)
    shop.work()
    assert set(shop.host.started) == {A1, B1, A2}


def test_nothing_stops_a_fast_forward(guarded: World) -> None:
    """TU4: a version that says it is far ahead runs, and honest ones are refused as older."""
    guarded.registry.facts_of[D] = Facts(b"{}", {VERSION_LABEL: "999.0.0"}, 1, PLATFORM)
    guarded.push(D)
    guarded.work()
    assert guarded.host.runs() == D
    honest = guarded.push(C)
    guarded.work()
    assert (guarded.host.runs(), guarded.intent(honest).code) == (D, "policy-refused")
    guarded.deploy(C, origin=OPERATOR)  # the way out
    guarded.work()
    assert guarded.host.runs() == C


def test_a_fast_forward_that_is_bounded(guarded: World) -> None:
    """TU4: `max_major_step` refuses the leap."""
    guarded.workloads["web"] = replace(WEB, policies=(NoDowngrade(max_major_step=1),))
    guarded.restart()
    guarded.registry.facts_of[D] = Facts(b"{}", {VERSION_LABEL: "999.0.0"}, 1, PLATFORM)
    assert refused(guarded, guarded.push(D))


def test_nothing_stops_an_indefinite_freeze(world: World) -> None:
    """TU5: a registry that goes on answering with what runs is believed; `quiet_after` tells."""
    quiet = replace(WEB, track=replace(WEB.track, quiet_after=timedelta(days=14).total_seconds()))
    world.workloads["web"] = quiet
    world.restart()
    world.push(A)
    world.work()
    world.clock.sleep(timedelta(days=15).total_seconds())
    world.poll()
    world.work()
    assert world.host.runs() == A
    assert any("has not moved" in w for w in warnings(quiet, world.state(), world.clock.now()))


def test_nothing_stops_mirrors_that_prevent_updates(world: World) -> None:
    """TU6: who does not answer delays; what runs goes on running, and `stale_after` tells."""
    stale = replace(WEB, track=replace(WEB.track, stale_after=3600.0))
    world.workloads["web"] = stale
    world.restart()
    world.push(A)
    world.work()
    world.registry.down = lambda: RegistryUnavailableError("down")
    world.push(B)
    world.work(3600.0)
    world.clock.sleep(7200.0)
    world.poll()
    assert world.host.runs() == A
    assert any(
        "no look was answered" in w for w in warnings(stale, world.state(), world.clock.now())
    )


def test_mix_and_match(shop: World) -> None:
    """TU7: with `same_label`, images that were never built together do not run together."""
    released(shop, A1, B1)
    shop.workloads["web"] = replace(shop.workloads["web"], policies=(SameLabel("build"),))
    shop.restart()
    for pushed, build in ((A2, "2"), (B2, "1"), (A1, "1"), (B1, "1")):
        shop.registry.facts_of[pushed] = Facts(b"{}", {"build": build}, 1, PLATFORM)
    push(shop, A2, B2)
    shop.hear(None)
    shop.work()
    assert running(shop) == (A1, B1)


@pytest.mark.parametrize("origin", [SIGNED, TOKEN, POLL])
def test_rollback(guarded: World, origin: Origin) -> None:
    """TU8: with `no_downgrade`, what ran before or is older does not come back unasked."""
    assert refused(guarded, guarded.push(A, origin=origin))
    assert refused(guarded, guarded.deploy(A))


def test_a_rollback_by_another_name(world: World) -> None:
    """TU8: nor as the platform's manifest of the index that ran, where no version tells."""
    stable = Reference(WEB.repository, "stable")
    states = world.journal.workloads
    inner = image_of(stable, C)
    states.promote("web", replace(image_of(stable, A), manifest=C), None)
    states.promote("web", image_of(stable, B), None)
    assert states.superseded("web", inner)


def test_key_compromise(guarded: World) -> None:
    """TU9: a stolen deploy key alone runs nothing that is not signed, nor anything older."""
    signed = SignedBy((SIGNER.public(),))
    guarded.workloads["web"] = replace(WEB, policies=(signed, NoDowngrade()))
    guarded.restart()
    guarded.registry.attached = {one: (SIGNER.bundle(one),) for one in (A, B)}
    for stolen in (A, C):  # older and signed; newer and not signed
        guarded.deploy(stolen)
        guarded.work()
        assert guarded.host.runs() == B


def test_wrong_software_installation(world: World) -> None:
    """TU10: another repository's image, signed or not, is none of this workload's."""
    other = Reference(parse_repository("registry.test/acme/other"), "stable", A)
    world.registry.push(other, A)
    intent = world.ask(Action.DEPLOY, other, origin=SIGNED)
    world.work()
    assert world.intent(intent).status is Status.ERROR
    assert world.host.started == []


def test_replay(guarded: World) -> None:
    """TU11: an event that names what was replaced is compared, or refused, never obeyed."""
    for intent in (guarded.hear(A), guarded.deploy(A)):
        guarded.work()
        assert guarded.intent(intent).status is not Status.SUCCESS
    assert guarded.host.runs() == B
