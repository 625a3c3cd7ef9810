"""What a policy asks is looked for, kept with the release, and judged again when it returns."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes import PLATFORM, FakeChecks, KilledError, digest
from tests.world import OPERATOR, POLL, SIGNED, TOKEN, WEB, A, B, C, D, World
from webhook_launcher.core.errors import (
    ManifestNotFoundError,
    PolicyRefusedError,
    RegistryUnavailableError,
)
from webhook_launcher.core.evidence import Answer, Check, Facts
from webhook_launcher.core.model import Action, Image, Platform, Status, Trust
from webhook_launcher.core.policies import Command, Labels, MinimumAge, NoDowngrade, RequireTrust
from webhook_launcher.core.policy import Policy

DAYS = 24 * 3600.0
AGED = MinimumAge(timedelta(days=3))
VENDOR = Labels({"vendor": "acme"})
OURS = Facts(b'{"a": 1}', {"vendor": "acme"}, 1, PLATFORM)


def under(world: World, *policies: Policy) -> World:
    """The same launcher, restarted with another `policy:` list."""
    world.workloads["web"] = replace(WEB, policies=policies)
    world.restart()
    return world


def running(world: World, *digests: object) -> None:
    """Deploy these, one after the other, while there is no policy yet."""
    for name in digests:
        world.push(digest(str(name)))
        world.work()
    assert world.host.runs() == digest(str(digests[-1]))


def unreachable() -> RegistryUnavailableError:
    """The registry does not answer."""
    return RegistryUnavailableError("down")


class TestMinimumAge:
    def test_an_image_waits_and_is_deployed_by_itself_when_it_is_old_enough(
        self, world: World
    ) -> None:
        """Visible all the while: nobody need remember it, and nobody wonders where it is."""
        running(under(world), "A")
        under(world, AGED)
        intent = world.push(B)
        world.work_now()
        waiting = world.intent(intent)
        assert (waiting.status, waiting.code) == (Status.QUEUED, "too-young")
        assert waiting.not_before == world.clock.now() + timedelta(days=3)
        world.clock.sleep(3 * DAYS - 1)
        world.work_now()
        assert world.host.runs() == A
        world.clock.sleep(1)
        world.work_now()
        assert world.host.runs() == B
        assert world.intent(intent).status is Status.SUCCESS

    def test_a_tag_that_moves_meanwhile_is_found_by_the_poll_and_waits_itself(
        self, world: World
    ) -> None:
        """Or what somebody pushed on the first day would be a stranger on the third."""
        running(under(world), "A")
        under(world, AGED)
        world.push(B)
        world.work_now()
        world.clock.sleep(1 * DAYS)
        world.poll()
        assert len(world.waiting()) == 1  # what it waits for is no news
        world.tag(C)
        world.poll()
        world.work_now()
        # The poll's look does not take the place of a signed one.
        waiting = world.journal.intents.waiting("web")[-1]
        assert waiting.not_before == world.clock.now() + timedelta(days=3)
        world.clock.sleep(3 * DAYS)
        world.work_now()
        assert world.host.runs() == C
        assert B not in world.host.started

    def test_the_age_survives_a_restart(self, world: World) -> None:
        """Counted from the first sight, not from the newest launcher's."""
        under(world, AGED)
        world.push(A)
        world.work_now()
        world.clock.sleep(2 * DAYS)
        world.restart()
        world.work_now()
        world.clock.sleep(1 * DAYS)
        world.work_now()
        assert world.host.runs() == A

    def test_an_event_whose_key_may_override_it_does_not_wait(self, world: World) -> None:
        """And the history says whose word it was."""
        under(world, AGED)
        origin = replace(SIGNED, overrides=frozenset({"minimum_age"}))
        world.deploy(A, origin=origin)
        world.work_now()
        [deployment] = world.history()
        assert deployment.verdicts[-1].said == "overridden by ci, key key"
        assert deployment.origin.overrides == {"minimum_age"}

    def test_what_failed_is_followed_by_what_ran_before_at_once(self, world: World) -> None:
        """The way back is not three days long."""
        running(under(world), "A")
        under(world, AGED)
        world.host.unhealthy.add(B)
        world.deploy(B, origin=replace(SIGNED, overrides=frozenset({"minimum_age"})))
        world.work_now()
        assert world.host.runs() == A

    def test_a_shorter_age_in_the_configuration_counts_for_what_waits_already(
        self, world: World
    ) -> None:
        """Who shortens it does not mean the next image."""
        running(under(world), "A")
        under(world, AGED)
        world.push(B)
        world.work_now()
        world.clock.sleep(2 * 3600)
        under(world, MinimumAge(timedelta(hours=1)))
        world.work_now()
        assert world.host.runs() == B

    def test_a_clock_that_was_years_ahead_does_not_make_it_wait_for_years(
        self, world: World
    ) -> None:
        """A machine may start before it has asked for the time."""
        under(world, AGED)
        world.clock.passed += 1000 * DAYS
        world.push(A)
        world.work_now()
        world.clock.passed -= 1000 * DAYS
        world.restart()
        world.work_now()
        world.clock.sleep(3 * DAYS)
        world.work_now()
        assert world.host.runs() == A

    @pytest.mark.parametrize("named", [True, False])
    def test_what_is_removed_during_the_wait_is_restored(self, world: World, named: bool) -> None:
        """Days without a container would be the price of patience else."""
        running(under(world), "A")
        under(world, AGED)
        (world.deploy if named else world.push)(B)
        world.work_now()
        world.host.containers_of.clear()
        world.poll()
        world.work(seconds=5)
        assert world.host.runs() == A


class TestRequireTrust:
    @pytest.mark.parametrize("origin", [TOKEN, POLL])
    def test_who_may_only_report_is_heard_and_moves_nothing(
        self, world: World, origin: object
    ) -> None:
        """The finding is shown; what runs, stays."""
        running(under(world), "A")
        under(world, RequireTrust(Trust.SIGNED))
        intent = world.push(B, origin=origin)  # type: ignore[arg-type]
        world.work()
        assert (world.intent(intent).status, world.intent(intent).code) == (
            Status.ERROR,
            "policy-refused",
        )
        assert "may only report it" in (world.state().check_result or "")
        assert world.host.runs() == A
        world.push(B)
        world.work()
        assert world.host.runs() == B

    @pytest.mark.parametrize("origin", [TOKEN, POLL])
    def test_a_look_that_may_only_report_does_not_take_the_place_of_a_signed_one(
        self, world: World, origin: object
    ) -> None:
        """The poll may look in the moment between the push and its event."""
        running(under(world), "A")
        under(world, RequireTrust(Trust.SIGNED))
        world.push(B)
        world.hear(None, origin=origin)  # type: ignore[arg-type]
        world.work()
        assert world.host.runs() == B

    def test_any_look_that_finds_what_should_run_gone_restores_it(self, world: World) -> None:
        """Nothing is moved by that, and the poll may be off."""
        running(under(world), "A")
        under(world, RequireTrust(Trust.SIGNED))
        world.host.containers_of.clear()
        world.hear(None, origin=TOKEN)
        world.work()
        assert world.host.runs() == A

    def test_the_poll_restores_what_was_removed(self, world: World) -> None:
        """Nobody asks for anything new there."""
        running(under(world), "A")
        under(world, RequireTrust(Trust.SIGNED))
        world.host.containers_of.clear()
        world.poll()
        world.work()
        assert world.host.runs() == A


class TestEvidence:
    def test_is_looked_for_only_where_a_policy_asks(self, world: World) -> None:
        """Every look is a request, and Docker Hub counts them."""
        running(under(world), "A")
        assert world.registry.looked == []
        under(world, VENDOR)
        world.registry.facts_of[B] = OURS
        world.push(B)
        world.work()
        assert world.host.runs() == B
        # B, and A as the way back from it.
        assert world.registry.looked == [B, A]

    def test_that_cannot_be_had_is_no_admission_and_no_refusal(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Unknown is not a no: it is asked again when the registry is back."""
        under(world, VENDOR)
        world.registry.facts_of[A] = OURS
        intent = world.push(A)

        def down_for_facts(*_: object) -> Facts:
            raise unreachable()

        monkeypatch.setattr(world.registry, "facts", down_for_facts)
        world.work_now()
        assert world.intent(intent).code == "registry-unavailable"
        assert world.host.runs() is None
        monkeypatch.undo()
        world.work()
        assert world.host.runs() == A

    def test_of_what_ran_before_is_kept_so_a_rollback_needs_no_registry(self, world: World) -> None:
        """The night in which both the release and the registry fail has a container too."""
        under(world, VENDOR)
        for name in (A, B):
            world.registry.facts_of[name] = OURS
        world.push(A)
        world.work()
        world.host.unhealthy.add(B)
        world.push(B)
        world.registry.looked.clear()
        world.fuse.arm(1, only="gate", error=lambda: _down(world))
        with pytest.raises(_Down):
            world.work_now()
        world.restart()
        world.work(60)
        assert world.host.runs() == A
        assert A not in world.registry.looked

    def test_of_the_current_release_is_looked_for_before_it_is_replaced(self, world: World) -> None:
        """A policy that is new since: while the old one still serves there is time to ask."""
        running(under(world), "A")
        under(world, VENDOR)
        world.registry.facts_of |= {A: OURS, B: OURS}
        world.host.unhealthy.add(B)
        world.push(B)
        world.work()
        assert world.registry.looked == [B, A]
        assert world.host.runs() == A

    def test_is_judged_by_todays_policy(self, world: World) -> None:
        """What was good enough then is refused now, a rollback included."""
        under(world, VENDOR)
        world.registry.facts_of |= {A: OURS, B: OURS}
        for name in (A, B):
            world.push(name)
            world.work()
        under(world, Labels({"vendor": "acme", "tier": "prod"}))
        intent = world.ask(Action.ROLLBACK)
        world.work()
        assert world.intent(intent).code == "policy-refused"
        assert world.host.runs() == B

    def test_that_no_longer_suffices_is_looked_for_again(self, world: World) -> None:
        """A signature by the new key was added since: the registry has it, we do not."""
        under(world, VENDOR)
        world.registry.facts_of |= {A: OURS, B: OURS}
        for name in (A, B):
            world.push(name)
            world.work()
        under(world, Labels({"tier": "prod"}))
        world.registry.facts_of[A] = replace(OURS, labels={"tier": "prod"})
        world.ask(Action.ROLLBACK)
        world.work()
        assert world.host.runs() == A

    def test_stays_with_the_releases_that_may_return(self, world: World) -> None:
        """The journal does not grow with every image there ever was."""
        under(world, VENDOR)
        names = (A, B, C, D)
        world.registry.facts_of |= dict.fromkeys(names, OURS)
        for name in names:
            world.push(name)
            world.work()
        with world.journal._database.reading() as connection:
            rows = connection.execute("SELECT digest FROM evidence").fetchall()
        assert {row["digest"] for row in rows} == {B, C, D}

    def test_is_not_asked_of_what_ran_here_where_no_policy_would_judge_by_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A registry that cleans up has no release but the newest: the way back is here."""
        running(under(world), "A")
        under(world, NoDowngrade())
        world.host.unhealthy.add(B)
        of_any = world.registry.facts

        def cleaned_up(image: Image, platform: Platform) -> Facts:
            if image.digest == A:
                raise ManifestNotFoundError("gone")
            return of_any(image, platform)

        monkeypatch.setattr(world.registry, "facts", cleaned_up)
        world.deploy(B, origin=OPERATOR)
        world.work(60)
        assert world.host.runs() == A

    def test_of_what_should_run_suffices_to_start_it_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever's look finds it gone, the registry is not needed for it."""
        under(world, VENDOR)
        world.registry.facts_of[A] = OURS
        world.push(A)
        world.work()
        world.host.containers_of.clear()

        def down_for_facts(*_: object) -> Facts:
            raise unreachable()

        monkeypatch.setattr(world.registry, "facts", down_for_facts)
        world.hear(None, origin=TOKEN)
        world.work_now()
        assert world.host.runs() == A


class TestALauncherKilledInTheSwitch:
    @pytest.mark.parametrize("step", ["pinned", "old one gone", "gate"])
    def test_finishes_with_what_it_knew_of_the_new_image(self, world: World, step: str) -> None:
        """What is kept for the way back does not push that out."""
        running(under(world), "A")
        under(world, Command(Check(("scan",))))
        world.push(B)
        world.fuse.arm(1, only=step)
        with suppress(KilledError):
            world.work()
        world.checks.answers[B] = Answer(2, "no network")
        world.restart()
        world.work()
        assert world.host.runs() == B
        assert world.checks.asked.count(B) == 1

    @pytest.mark.parametrize("step", ["pinned", "old one gone", "gate"])
    @pytest.mark.parametrize("named", [True, False])
    def test_tries_later_what_cannot_be_judged_by_a_new_policy_now(
        self, world: World, step: str, named: bool
    ) -> None:
        """What ran before is back meanwhile; a registry that is down is no refusal."""
        running(under(world), "A")
        world.registry.facts_of |= {A: OURS, B: OURS}
        intent = (world.deploy if named else world.push)(B)
        world.fuse.arm(1, only=step)
        with suppress(KilledError):
            world.work()
        world.registry.down = unreachable
        world.fuse.disarm()
        under(world, VENDOR)
        world.work_now()
        assert world.intent(intent).status is Status.QUEUED
        world.registry.down = None
        world.work()
        assert world.host.runs() == B
        assert world.intent(intent).status is Status.SUCCESS


def test_a_way_back_that_todays_policy_bars_is_told_before_it_is_needed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The old release still serves then, and somebody may think twice."""
    running(under(world), "A")
    under(world, VENDOR)
    world.registry.facts_of[B] = OURS
    world.push(B)
    world.work()
    assert world.host.runs() == B
    [told] = [r for r in caplog.records if r.getMessage() == "there is no way back"]
    assert "no label vendor" in told.detail  # type: ignore[attr-defined]
    world.registry.facts_of[C] = OURS
    caplog.clear()
    world.push(C)
    world.work()
    assert world.host.runs() == C
    assert "there is no way back" not in [r.getMessage() for r in caplog.records]


class TestAnOwnCheck:
    CHECK = Check(("scan",))

    def test_decides_before_anything_is_pulled(self, world: World) -> None:
        """What it calls bad is never on this host."""
        under(world, Command(self.CHECK))
        checks: FakeChecks = world.checks
        checks.answers[A] = Answer(1, "3 findings")
        intent = world.push(A)
        world.work()
        assert world.intent(intent).code == "policy-refused"
        assert world.host.pulled == set()

    def test_is_not_asked_again_when_its_image_comes_back(self, world: World) -> None:
        """A scanner that is broken at night must not keep the old release away."""
        under(world, Command(self.CHECK))
        for name in (A, B):
            world.push(name)
            world.work()
        world.checks.answers[A] = Answer(2, "no network")
        world.ask(Action.ROLLBACK)
        world.work()
        assert world.host.runs() == A
        assert world.checks.asked.count(A) == 1


class _Down(BaseException):
    """The launcher was killed, and the registry is down from now on."""


def _down(world: World) -> BaseException:
    world.registry.down = unreachable
    return _Down()


def test_the_launcher_judges_without_deploying(world: World) -> None:
    """`verify` tells every policy's word, and leaves everything as it is."""
    under(world, VENDOR, RequireTrust(Trust.SIGNED))
    world.tag(A)
    image = world.registry.image(world.workloads["web"].tracked, PLATFORM)  # type: ignore[arg-type]
    wanted = world.workloads["web"].candidate(
        image, Action.DEPLOY, SIGNED, world.state(), world.clock.now()
    )
    verdicts = world.admission.judge(world.workloads["web"], wanted, PLATFORM)
    assert [(v.policy, v.holds) for v in verdicts] == [
        ("repository", True),
        ("quarantine", True),
        ("labels", False),
        ("require_trust", True),
    ]
    assert world.journal.evidence.get("web", image) is None
    with pytest.raises(PolicyRefusedError, match="no label vendor"):
        world.admission.admit(world.workloads["web"], wanted, PLATFORM)
