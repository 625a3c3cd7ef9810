"""Several images of one workload move together or not at all, and come back together."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import PLATFORM, KilledError, digest
from tests.world import OPERATOR, SIGNED, WEB, World
from webhook_launcher.core.errors import RegistryUnavailableError
from webhook_launcher.core.evidence import Facts
from webhook_launcher.core.model import Action, Intent, Status, identity
from webhook_launcher.core.policies import Labels, SameLabel
from webhook_launcher.core.reference import Digest, Reference, parse_repository

WORKER = parse_repository("registry.test/acme/worker")
SHOP = replace(WEB, companions=(WORKER,))
A1, B1, A2, B2 = (digest(name) for name in ("A1", "B1", "A2", "B2"))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[World]:
    """`web` runs two images: acme/web in `app`, acme/worker in `worker`."""
    world = World(tmp_path / "state", SHOP)
    world.host.services_of = {str(WEB.repository): ("app",), str(WORKER): ("worker",)}
    yield world
    world.close()


def push(world: World, web: Digest | None = None, worker: Digest | None = None) -> None:
    """Move the tags `stable`."""
    for repository, moved in ((WEB.repository, web), (WORKER, worker)):
        if moved is not None:
            world.registry.push(Reference(repository, "stable"), moved)


def heard(world: World) -> Intent:
    """Somebody tells of a push, and everything that follows from it is done."""
    intent = world.hear(None)
    world.work()
    return world.intent(intent)


def running(world: World) -> tuple[Digest | None, Digest | None]:
    """What runs, of each."""
    return world.host.runs(service="app"), world.host.runs(service="worker")


def released(world: World, web: Digest, worker: Digest) -> None:
    """These two run."""
    push(world, web, worker)
    heard(world)
    assert running(world) == (web, worker)


def test_both_are_deployed_by_one_attempt(shop: World) -> None:
    """One release, one history entry, one thing to roll back."""
    released(shop, A1, B1)
    [deployment] = shop.history()
    assert [one.digest for one in deployment.image.each] == [A1, B1]
    assert {verdict.said.partition(":")[0] for verdict in deployment.verdicts} == {
        "registry.test/acme/web",
        "registry.test/acme/worker",
    }


def test_a_push_of_either_moves_the_release(shop: World) -> None:
    """Whichever was built last."""
    released(shop, A1, B1)
    released(shop, A1, B2)
    released(shop, A2, B2)


def test_the_poll_notices_either(shop: World) -> None:
    """The combination is what is compared."""
    released(shop, A1, B1)
    shop.poll()
    assert shop.waiting() == []
    push(shop, worker=B2)
    shop.poll()
    shop.work()
    assert running(shop) == (A1, B2)
    shop.poll()
    assert shop.waiting() == []


@pytest.mark.parametrize("bad", [A2, B2])
def test_when_one_is_not_healthy_both_come_back(bad: Digest, shop: World) -> None:
    """A new web on an old worker is nobody's release."""
    released(shop, A1, B1)
    shop.host.unhealthy.add(bad)
    push(shop, A2, B2)
    heard(shop)
    assert running(shop) == (A1, B1)
    whole = identity(f"{WEB.repository}@{A2}\n{WORKER}@{B2}".splitlines())
    assert shop.state().quarantined == {whole}


def test_what_failed_together_may_run_with_another(shop: World) -> None:
    """The combination is in quarantine; a mended part makes another one."""
    released(shop, A1, B1)
    shop.host.unhealthy.add(B2)
    push(shop, A2, B2)
    heard(shop)
    push(shop, worker=digest("B3"))
    heard(shop)
    assert running(shop) == (A2, digest("B3"))


@pytest.mark.parametrize("missing", [A2, B2])
def test_one_that_cannot_be_pulled_leaves_both_as_they_are(missing: Digest, shop: World) -> None:
    """Nothing is touched before all of it is here."""
    released(shop, A1, B1)
    shop.host.unpullable.add(missing)
    push(shop, A2, B2)
    shop.hear(None)
    shop.work(5)
    assert running(shop) == (A1, B1)
    assert shop.host.started == [A1, B1]


def test_one_that_is_not_in_the_registry_leaves_both_as_they_are(shop: World) -> None:
    """The worker of this tag was not pushed yet."""
    push(shop, web=A1)
    intent = heard(shop)
    assert intent.code == "manifest-not-found"
    assert running(shop) == (None, None)


def test_one_that_a_policy_refuses_leaves_both_as_they_are(shop: World) -> None:
    """Each is judged, by its own evidence."""
    shop.workloads["web"] = replace(SHOP, policies=(Labels({"v": "acme"}),))
    shop.restart()
    shop.registry.facts_of = {A1: Facts(b"{}", {"v": "acme"}, 1, PLATFORM)}
    push(shop, A1, B1)
    assert heard(shop).code == "policy-refused"
    assert running(shop) == (None, None)
    shop.registry.facts_of[B1] = shop.registry.facts_of[A1]
    released(shop, A1, B1)


def test_a_mixture_waits_for_the_other_push(shop: World) -> None:
    """Two pushes are not one moment; the release between them never runs."""
    shop.workloads["web"] = replace(SHOP, policies=(SameLabel("revision"),))
    shop.restart()
    revisions = {A1: "1", B1: "1", A2: "2", B2: "2"}
    shop.registry.facts_of = {
        one: Facts(b"{}", {"revision": revision}, 1, PLATFORM)
        for one, revision in revisions.items()
    }
    released(shop, A1, B1)
    push(shop, web=A2)
    intent = shop.hear(None)
    shop.work_now()
    assert shop.intent(intent).code == "not-together-yet"
    assert running(shop) == (A1, B1)
    push(shop, worker=B2)
    shop.work()
    assert running(shop) == (A2, B2)
    assert shop.intent(intent).status is Status.SUCCESS


class TestADeployEvent:
    def test_names_one_exactly_and_the_others_by_its_tag(self, shop: World) -> None:
        """CI of one image speaks for the release of that version."""
        released(shop, A1, B1)
        for repository, pushed in ((WEB.repository, A2), (WORKER, B2)):
            shop.registry.push(Reference(repository, "v2"), pushed)
        shop.ask(Action.DEPLOY, Reference(WEB.repository, "v2", A2), origin=SIGNED)
        shop.work()
        assert running(shop) == (A2, B2)

    def test_by_digest_alone_leaves_the_others_as_they_are(self, shop: World) -> None:
        """Exactly that digest runs, and nothing else changes."""
        released(shop, A1, B1)
        shop.registry.push(Reference(WORKER, "hotfix"), B2)
        shop.ask(Action.DEPLOY, Reference(WORKER, None, B2), origin=SIGNED)
        shop.work()
        assert running(shop) == (A1, B2)

    def test_by_digest_alone_is_refused_when_nothing_runs_yet(self, shop: World) -> None:
        """There is nothing to leave as it is; it says what to write instead."""
        shop.registry.push(Reference(WEB.repository, "x"), A1)
        intent = shop.ask(Action.DEPLOY, Reference(WEB.repository, None, A1), origin=SIGNED)
        shop.work()
        ended = shop.intent(intent)
        assert ended.status is Status.ERROR
        assert "Name a tag" in (ended.detail or "")


def test_a_rollback_brings_both_back_without_a_registry(shop: World) -> None:
    """The one that an operator asks for, as well."""
    released(shop, A1, B1)
    released(shop, A2, B2)
    shop.registry.down = lambda: RegistryUnavailableError("down")
    shop.ask(Action.ROLLBACK, origin=OPERATOR)
    shop.work()
    assert running(shop) == (A1, B1)


@pytest.mark.parametrize("service", ["app", "worker"])
def test_one_that_was_removed_is_brought_back(service: str, shop: World) -> None:
    """The workload runs when all of it runs."""
    released(shop, A1, B1)
    del shop.host.containers_of["web", service]
    shop.poll()
    shop.work()
    assert running(shop) == (A1, B1)


def test_images_that_are_no_longer_listed_do_not_come_back(shop: World) -> None:
    """And one that is listed since is not left out: half a release is none."""
    shop.workloads["web"] = WEB
    shop.restart()
    push(shop, web=A1)
    heard(shop)
    shop.workloads["web"] = SHOP
    shop.restart()
    push(shop, A2, B1)
    heard(shop)
    assert running(shop) == (A2, B1)
    intent = shop.ask(Action.ROLLBACK)
    shop.work()
    assert shop.intent(intent).code == "policy-refused"
    assert "no image of registry.test/acme/worker" in (shop.intent(intent).detail or "")
    assert running(shop) == (A2, B1)


def test_what_ran_before_we_came_is_adopted_whole(shop: World) -> None:
    """Or not at all: the way back must lead somewhere."""
    for service, repository, what in (("app", WEB.repository, A1), ("worker", WORKER, B1)):
        shop.host.run("web", service, f"{repository}@{what}")
    shop.host.unhealthy.add(A2)
    push(shop, A2, B2)
    heard(shop)
    assert running(shop) == (A1, B1)


@pytest.mark.parametrize("killed_at", range(1, 40))
def test_a_launcher_that_dies_in_the_middle_leaves_no_mixture(killed_at: int, shop: World) -> None:
    """Between any two steps: in the end it is one release or the other."""
    released(shop, A1, B1)
    push(shop, A2, B2)
    shop.hear(None)
    shop.fuse.arm(killed_at)
    with suppress(KilledError):
        shop.work()
    shop.restart()
    shop.work()
    shop.poll()
    shop.work()
    assert running(shop) == (A2, B2)
