"""The policy over the journal: what counts as accepted, and how long that is remembered."""

from dataclasses import replace

import pytest

from tests.fakes import PLATFORM, image_of
from tests.world import OPERATOR, SIGNED, TOKEN, WEB, A, B, C, D, World
from webhook_launcher.adapters.journal import workloads
from webhook_launcher.core.errors import RegistryUnavailableError
from webhook_launcher.core.evidence import Facts
from webhook_launcher.core.model import Action, Image, Intent, Origin, Status, as_one
from webhook_launcher.core.policies import NoDowngrade
from webhook_launcher.core.policies.no_downgrade import VERSION_LABEL
from webhook_launcher.core.reference import Digest, Reference, parse_repository

VERSIONS = {A: "1.0.0", B: "1.1.0", C: "1.2.0"}


@pytest.fixture
def guarded(world: World) -> World:
    """1.0.0 (A) ran, then 1.1.0 (B), both under the policy; D has no version."""
    world.workloads["web"] = replace(WEB, policies=(NoDowngrade(),))
    world.restart()
    for pushed, version in VERSIONS.items():
        world.registry.facts_of[pushed] = Facts(b"{}", {VERSION_LABEL: version}, 1, PLATFORM)
    for pushed in (A, B):
        world.push(pushed)
        world.work()
    assert world.host.runs() == B
    return world


def web(pushed: Digest) -> Image:
    """The workload's image of this digest."""
    return image_of(Reference(WEB.repository, "stable"), pushed)


def refused(world: World, intent: Intent) -> bool:
    """Whether the policy said no, and B went on running untouched."""
    before = list(world.host.started)
    world.work()
    found = world.intent(intent)
    assert (world.host.runs(), world.host.started) == (B, before)
    return (found.status, found.code) == (Status.ERROR, "policy-refused")


@pytest.mark.parametrize("origin", [SIGNED, TOKEN])
def test_a_tag_moved_back_is_refused_whoever_says_so(guarded: World, origin: Origin) -> None:
    """By a stolen registry account, with an event or without."""
    assert refused(guarded, guarded.push(A, origin=origin))
    guarded.poll()
    guarded.work()
    assert guarded.host.runs() == B


def test_a_replayed_deploy_event_is_refused(guarded: World) -> None:
    """It was signed, and names a digest that ran here; a restart forgets nothing."""
    guarded.restart()
    assert refused(guarded, guarded.deploy(A))


def test_an_old_release_that_never_ran_here_is_refused_by_its_version(guarded: World) -> None:
    """0.9.0 was signed by the same key."""
    guarded.registry.facts_of[D] = Facts(b"{}", {VERSION_LABEL: "0.9.0"}, 1, PLATFORM)
    assert refused(guarded, guarded.push(D))


def test_an_image_without_version_is_refused(guarded: World) -> None:
    """Once a version runs."""
    assert refused(guarded, guarded.push(D))


def test_going_on_is_admitted_and_what_was_compared_is_kept(guarded: World) -> None:
    """The evidence of the deployment says it."""
    guarded.push(C)
    guarded.work()
    assert guarded.host.runs() == C
    [said] = [v.said for v in guarded.history()[-1].verdicts if v.policy == "no_downgrade"]
    assert said == "1.2.0, after 1.1.0"


def test_an_operators_rollback_lowers_the_floor_and_going_forward_again_is_admitted(
    guarded: World,
) -> None:
    """What ran before the rollback is newer than what runs after it, so it is no replay."""
    guarded.ask(Action.ROLLBACK)
    guarded.work()
    assert guarded.host.runs() == A
    guarded.deploy(B)
    guarded.work()
    assert guarded.host.runs() == B
    assert refused(guarded, guarded.deploy(A))


def test_an_operator_who_names_an_old_digest_lowers_the_floor(guarded: World) -> None:
    """And to a version between, which is then newer than what runs."""
    guarded.push(C)
    guarded.work()
    guarded.deploy(A, origin=OPERATOR)
    guarded.work()
    assert guarded.host.runs() == A
    guarded.deploy(B)
    guarded.work()
    assert guarded.host.runs() == B


def test_a_release_that_failed_raises_no_floor(guarded: World) -> None:
    """9.0.0 never became healthy: the next real release is not older than what runs."""
    guarded.registry.facts_of[D] = Facts(b"{}", {VERSION_LABEL: "9.0.0"}, 1, PLATFORM)
    guarded.host.unhealthy.add(D)
    guarded.push(D)
    guarded.work()
    assert guarded.host.runs() == B, "the launcher's own way back is exempt"
    guarded.push(C)
    guarded.work()
    assert guarded.host.runs() == C


def test_another_workload_has_a_floor_of_its_own(guarded: World) -> None:
    """Staging may run what production has left behind."""
    states = guarded.journal.workloads
    assert states.superseded("web", web(A))
    assert not states.superseded("api", web(A))


def test_the_registry_that_is_down_delays_and_admits_nothing(guarded: World) -> None:
    """Of the new image nothing is known yet; the deployment is tried again."""
    intent = guarded.push(C)
    guarded.work_now()
    guarded.journal.close()
    guarded.start()
    assert guarded.host.runs() == C, "the floor is known without the registry"
    guarded.registry.down = lambda: RegistryUnavailableError("down")
    intent = guarded.push(D)
    guarded.work_now()
    assert guarded.intent(intent).status is Status.QUEUED


def test_a_policy_that_is_added_later_looks_at_what_runs(world: World) -> None:
    """Its version was not asked for when it was deployed; its digest is remembered anyway."""
    for pushed in (A, B):
        world.registry.facts_of[pushed] = Facts(b"{}", {VERSION_LABEL: "1.0.0"}, 1, PLATFORM)
        world.push(pushed)
        world.work()
    world.workloads["web"] = replace(WEB, policies=(NoDowngrade(),))
    world.restart()
    assert refused(world, world.push(A))
    assert refused(world, world.push(D))


def test_the_memory_of_digests_is_bounded(guarded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal does not grow for ever."""
    monkeypatch.setattr(workloads, "KEPT_ACCEPTED", 2)
    guarded.push(C)
    guarded.work()
    states = guarded.journal.workloads
    assert (states.superseded("web", web(A)), states.superseded("web", web(B))) == (False, True)


def test_digests_are_numbered_in_the_order_they_were_first_accepted(guarded: World) -> None:
    """A digest that comes again does not become newer by that."""
    seen: list[tuple[Digest, bool]] = []
    guarded.deploy(C, origin=OPERATOR)
    guarded.work()
    for back in (A, B):
        guarded.deploy(back, origin=OPERATOR)
        guarded.work()
        seen += [(d, guarded.journal.workloads.superseded("web", web(d))) for d in (A, B, C)]
    assert seen == [(A, False), (B, False), (C, False), (A, True), (B, False), (C, False)]


def test_one_of_several_images_does_not_go_back_beside_a_new_one(world: World) -> None:
    """The combination is new, and half of it ran before: mix and match (TUF)."""
    other = Reference(parse_repository("registry.test/acme/jobs"), "stable")
    states = world.journal.workloads
    states.promote("web", as_one([web(A), image_of(other, A)]), None)
    states.promote("web", as_one([web(B), image_of(other, C)]), None)
    assert states.superseded("web", web(A))
    assert states.superseded("web", image_of(other, A))
    assert not states.superseded("web", web(B))
    assert not states.superseded("web", image_of(other, D))
