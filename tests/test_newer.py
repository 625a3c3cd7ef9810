"""A newer intent ends the wait for a release; a repeated one does not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.world import OPERATOR, POLL, SIGNED, TOKEN, WEB, A, B, C, D, World
from webhook_launcher.core.errors import RegistryUnavailableError
from webhook_launcher.core.model import Action, Origin, Status
from webhook_launcher.core.policies import MinimumAge
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.series import SemverTags
from webhook_launcher.core.versions import parse_range
from webhook_launcher.core.workload import Track, TrackKind

LONG = 600.0


@pytest.fixture
def waiting(world: World) -> World:
    """A runs, and B, which never gets healthy, is pushed."""
    world.push(A)
    world.work()
    world.push(B)
    return world


def passed(world: World) -> float:
    """Seconds that the next work takes."""
    before = world.clock.passed
    world.work()
    return world.clock.passed - before


def verdict(world: World) -> tuple[Status, str | None]:
    """How the attempt at B ended."""
    found = next(one for one in world.history() if one.image.digest == B)
    return found.status, found.code


class TestAnotherImage:
    @pytest.mark.parametrize("origin", [SIGNED, OPERATOR])
    def test_that_is_pushed_is_deployed_within_seconds(
        self, waiting: World, origin: Origin
    ) -> None:
        """The release that mends it must not wait for the deadline of the broken one."""
        waiting.host.while_waiting[B] = lambda: waiting.push(C, origin=origin)
        assert passed(waiting) < 10
        assert waiting.host.runs() == waiting.current() == C
        assert verdict(waiting) == (Status.INACTIVE, "superseded")
        assert waiting.state().quarantined == frozenset()
        assert waiting.previous() == A

    def test_that_is_ordered_ends_it_too(self, waiting: World) -> None:
        """An operator who names a digest does not want to wait for another one."""
        waiting.host.while_waiting[B] = lambda: waiting.deploy(C, origin=OPERATOR)
        assert passed(waiting) < 10
        assert waiting.current() == C

    def test_that_the_registry_shows_a_moment_later(self, waiting: World) -> None:
        """The event of a push can be faster than the tag."""

        def announced() -> None:
            waiting.push(C)
            waiting.registry.stale = [B, B]

        waiting.host.while_waiting[B] = announced
        assert passed(waiting) < 15
        assert waiting.current() == C

    def test_during_a_first_deployment_leaves_nothing_of_it(self, world: World) -> None:
        """There is no release to return to, and the newer one is a first one again."""
        world.push(B)
        world.host.while_waiting[B] = lambda: world.push(C)
        assert passed(world) < 10
        assert (world.current(), world.previous()) == (C, None)
        assert verdict(world) == (Status.INACTIVE, "superseded")

    def test_without_rollback_takes_its_place(self, waiting: World) -> None:
        """Nothing is brought back between the two."""
        waiting.workloads["web"] = replace(WEB, rollback=False)
        waiting.host.while_waiting[B] = lambda: waiting.push(C)
        assert passed(waiting) < 10
        assert waiting.host.started == [A, B, C]
        assert verdict(waiting) == (Status.INACTIVE, "superseded")


class TestARollback:
    def test_means_the_release_before_the_one_that_is_waited_for(self, waiting: World) -> None:
        """The current release is the way back; the previous one would be two steps."""
        waiting.push(C)
        waiting.work()
        waiting.push(B)
        asked = []
        waiting.host.while_waiting[B] = lambda: asked.append(waiting.ask(Action.ROLLBACK))
        assert passed(waiting) < 10
        assert waiting.host.runs() == waiting.current() == C
        [intent] = asked
        assert waiting.intent(intent).status is Status.SUCCESS
        assert waiting.history()[-1].origin.trust is OPERATOR.trust

    def test_is_not_undone_by_the_next_look(self, waiting: World) -> None:
        """The tag still names the image that the operator does not want."""
        waiting.host.while_waiting[B] = lambda: waiting.ask(Action.ROLLBACK)
        waiting.work()
        waiting.poll()
        waiting.work()
        assert waiting.host.runs() == waiting.current() == A
        assert waiting.host.started.count(B) == 1

    def test_survives_a_restart_before_it_is_settled(self, waiting: World) -> None:
        """It was carried out: a second time it would go back one release too far."""
        waiting.push(D)
        waiting.work()
        waiting.push(B)
        asked = []
        waiting.host.while_waiting[B] = lambda: asked.append(waiting.ask(Action.ROLLBACK))
        waiting.worker.step()
        waiting.restart()
        waiting.work()
        assert waiting.current() == D
        assert waiting.intent(asked[0]).status is Status.SUCCESS


class TestDoesNotEndIt:
    def test_the_same_push_again(self, waiting: World) -> None:
        """GHCR sends several events for one push, and everybody sends repetitions."""
        waiting.host.while_waiting[B] = lambda: waiting.push(B)
        assert passed(waiting) >= LONG

    def test_a_hint_of_less_trust(self, waiting: World) -> None:
        """Whoever has a URL token must not end what a signed event began."""
        waiting.host.while_waiting[B] = lambda: waiting.push(C, origin=TOKEN)
        assert passed(waiting) >= LONG

    def test_a_look_of_the_poll_at_a_signed_deployment(self, waiting: World) -> None:
        """The poll has proved nothing."""
        waiting.host.while_waiting[B] = lambda: waiting.push(C, origin=POLL)
        assert passed(waiting) >= LONG

    def test_a_push_about_which_the_registry_cannot_be_asked(self, waiting: World) -> None:
        """What it asks for is not known, so nothing is given up for it."""

        def unreachable() -> None:
            waiting.push(C)
            waiting.registry.down = lambda: RegistryUnavailableError("down")
            waiting.host.disturbed[A] = 0

        waiting.host.while_waiting[B] = unreachable
        before = waiting.clock.passed
        waiting.work_now()
        assert waiting.clock.passed - before >= LONG

    def test_an_order_while_the_workload_is_paused_for_others(self, waiting: World) -> None:
        """What may not be given out must not end anything."""

        def paused() -> None:
            waiting.journal.workloads.pause("web", True)
            waiting.push(C)

        waiting.host.while_waiting[B] = paused
        before = waiting.clock.passed
        waiting.work_now()
        assert waiting.clock.passed - before >= LONG

    def test_an_image_that_is_in_quarantine(self, waiting: World) -> None:
        """It will be refused, and then neither of the two would be deployed."""
        waiting.journal.workloads.quarantine("web", C, "bad", waiting.clock.now())
        waiting.host.while_waiting[B] = lambda: waiting.deploy(C)
        before = waiting.clock.passed
        waiting.step()
        assert waiting.clock.passed - before >= LONG

    def test_a_digest_that_the_registry_does_not_have(self, waiting: World) -> None:
        """A slip of the keyboard must not cost an outage."""
        wanted = Reference(WEB.repository, None, C)
        waiting.host.while_waiting[B] = lambda: waiting.ask(Action.DEPLOY, wanted)
        before = waiting.clock.passed
        waiting.step()
        assert waiting.clock.passed - before >= LONG

    def test_an_image_that_is_too_young(self, waiting: World) -> None:
        """It may not run for days; the release that may run must not be given up for it."""
        waiting.workloads["web"] = replace(WEB, policies=(MinimumAge(timedelta(days=3)),))
        waiting.work()
        waiting.clock.step(hours=73)
        waiting.host.while_waiting[B] = lambda: waiting.push(C)
        before = waiting.clock.passed
        waiting.work(seconds=LONG / 2)
        assert waiting.clock.passed - before >= LONG

    def test_an_event_about_an_image_that_was_dealt_with(self, waiting: World) -> None:
        """After a rollback the tag names the newer image still; the restoration goes on."""
        waiting.work()
        waiting.push(C)
        waiting.work()
        waiting.ask(Action.ROLLBACK)
        waiting.work()
        assert waiting.current() == B
        del waiting.host.containers_of["web", "app"]
        waiting.host.while_waiting[B] = lambda: waiting.hear(C, origin=TOKEN)
        waiting.poll()
        waiting.clock.sleep(3)
        before = waiting.clock.passed
        waiting.step()
        assert waiting.clock.passed - before >= LONG

    def test_the_same_push_again_while_the_list_of_tags_lags(self, world: World) -> None:
        """The tag was taken from the event; the list names the release before for a while."""
        older, newer = (Reference(WEB.repository, text) for text in ("1.1.0", "1.2.0"))
        series = SemverTags(parse_range(">=1"))
        world.workloads["web"] = replace(WEB, track=Track(TrackKind.SEMVER, series=series))
        world.registry.push(older, A)
        world.tracker.named["web"] = older
        world.ask(Action.CHECK, older, origin=SIGNED, hint=True)
        world.work()
        world.registry.push(newer, B)

        def push() -> None:
            world.ask(Action.CHECK, newer.at(B), origin=SIGNED, hint=True)

        world.host.while_waiting[B] = push
        push()
        before = world.clock.passed
        world.step()
        assert [one.image.digest for one in world.history()][1] == B
        assert world.clock.passed - before >= LONG
