from dataclasses import replace

import pytest

from tests.fakes import PLATFORM, FakeRegistry, FakeTracker, Fuse, ManualClock, digest, image_of
from tests.world import OPERATOR, POLL, SIGNED, TOKEN, WEB, A, B, C
from webhook_launcher.core.errors import (
    CommandError,
    DigestMismatchError,
    ManifestNotFoundError,
    NoPreviousReleaseError,
    RegistryUnavailableError,
    TrackError,
)
from webhook_launcher.core.model import Action, Intent, Origin, Wish, WorkloadState
from webhook_launcher.core.reference import Digest, Reference
from webhook_launcher.core.series import SemverTags
from webhook_launcher.core.versions import parse_range
from webhook_launcher.core.workload import Track, TrackKind, Workload
from webhook_launcher.resolver import PATIENCE, Resolution, Resolver

STABLE = Reference(WEB.repository, "stable")
ANY = replace(WEB, track=Track(TrackKind.NONE))


class Bench:
    """A resolver between the fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = FakeRegistry(self.clock, Fuse())
        self.registry.push(STABLE, A)
        self.tracker = FakeTracker()
        self.resolver = Resolver(self.registry, self.tracker, self.clock)
        self.state = WorkloadState("web")

    def resolve(
        self,
        action: Action = Action.CHECK,
        reference: Reference | None = None,
        origin: Origin = SIGNED,
        *,
        attempts: int = 1,
        workload: Workload = WEB,
    ) -> Resolution:
        """Resolve a wish, on its first attempt unless told otherwise."""
        wish = Wish("web", action, origin, reference)
        intent = Intent("i1", wish, self.clock.now(), attempts=attempts)
        return self.resolver.resolve(workload, intent, self.state, PLATFORM)


@pytest.fixture
def bench() -> Bench:
    """Whose tag is at A."""
    return Bench()


class TestALook:
    def test_resolves_the_tracked_tag(self, bench: Bench) -> None:
        """Once; the digest found is the tracked one at that moment."""
        assert bench.resolve() == Resolution(image_of(STABLE, A), A)
        assert bench.registry.asked == [str(STABLE)]

    def test_never_obeys_the_digest_of_a_push(self, bench: Bench) -> None:
        """It is compared: newest wins, also against what a sender said."""
        assert bench.resolve(reference=STABLE.at(B)).image.digest == A

    def test_of_a_workload_that_follows_nothing_is_an_error(self, bench: Bench) -> None:
        """The operator named no reference, and no retry will."""
        with pytest.raises(CommandError, match="follows nothing") as raised:
            bench.resolve(workload=ANY)
        assert not raised.value.retryable

    @pytest.mark.parametrize("origin", [SIGNED, TOKEN])
    def test_right_after_an_event_waits_for_the_manifest(
        self, bench: Bench, origin: Origin
    ) -> None:
        """An event may arrive before its manifest can be read."""
        bench.registry.tags.clear()
        with pytest.raises(ManifestNotFoundError):
            bench.resolve(origin=origin)
        assert bench.clock.passed >= PATIENCE

    @pytest.mark.parametrize(("origin", "attempts"), [(POLL, 1), (OPERATOR, 1), (SIGNED, 2)])
    def test_at_any_other_time_does_not_wait(
        self, bench: Bench, origin: Origin, attempts: int
    ) -> None:
        """A project's lane is held meanwhile."""
        bench.registry.tags.clear()
        with pytest.raises(ManifestNotFoundError):
            bench.resolve(origin=origin, attempts=attempts)
        assert bench.clock.passed == 0


class TestAStaleRegistry:
    @pytest.mark.parametrize(("current", "tracked"), [(A, None), (None, A), (A, A), (C, A), (A, C)])
    def test_that_says_what_it_said_before_is_asked_again(
        self, bench: Bench, current: Digest | None, tracked: Digest | None
    ) -> None:
        """What runs, and what the tag was when it was last looked at, are both `before`."""
        bench.state = WorkloadState(
            "web", image_of(STABLE, current) if current else None, tracked=tracked
        )
        bench.registry.push(STABLE, B)
        bench.registry.stale = [A, A]
        assert bench.resolve(reference=STABLE.at(B)).image.digest == B

    def test_is_reported_in_the_end(self, bench: Bench) -> None:
        """Both digests are named."""
        bench.state = WorkloadState("web", image_of(STABLE, A), tracked=A)
        with pytest.raises(DigestMismatchError) as raised:
            bench.resolve(reference=STABLE.at(B))
        assert A in str(raised.value)
        assert B in str(raised.value)
        assert bench.clock.passed == pytest.approx(PATIENCE, abs=0.5)

    def test_is_not_suspected_when_nothing_was_before(self, bench: Bench) -> None:
        """Then what it says is news in any case."""
        assert bench.resolve(reference=STABLE.at(B)).image.digest == A
        assert bench.clock.passed == 0


RANGE = replace(WEB, track=Track(TrackKind.SEMVER, series=SemverTags(parse_range(">=1.2 <2"))))


def version(text: str) -> Reference:
    """A tag."""
    return Reference(WEB.repository, text)


class TestASeries:
    """The tracker names the newest tag that is listed; 1.2.0 is A, 1.3.0 is B, 1.4.0 is C."""

    @pytest.fixture(autouse=True)
    def released(self, bench: Bench) -> None:
        """1.3.0 is the newest that is listed; the manifest of 1.4.0 can be had already."""
        for text, pushed in (("1.2.0", A), ("1.3.0", B), ("1.4.0", C)):
            bench.registry.push(version(text), pushed)
        bench.tracker.named["web"] = version("1.3.0")

    def test_is_followed_to_its_newest_tag(self, bench: Bench) -> None:
        """Resolved as any tag is."""
        found = bench.resolve(workload=RANGE)
        assert found == Resolution(image_of(version("1.3.0"), B), B)

    @pytest.mark.parametrize("said", [version("1.2.0"), version("1.2.0").at(A)])
    def test_an_event_about_an_older_tag_does_not_go_back(
        self, bench: Bench, said: Reference
    ) -> None:
        """A patch of the branch before, or a replay: the newest is what is followed."""
        bench.state = WorkloadState("web", image_of(version("1.3.0"), B), tracked=B)
        found = bench.resolve(reference=said, workload=RANGE)
        assert (found.image.digest, bench.clock.passed) == (B, 0)

    @pytest.mark.parametrize("said", [version("1.4.0"), version("1.4.0").at(C)])
    def test_a_list_that_lags_behind_a_push_is_made_up_for(
        self, bench: Bench, said: Reference
    ) -> None:
        """Else the look would find nothing, and nobody would look again before the poll."""
        found = bench.resolve(reference=said, workload=RANGE)
        assert found == Resolution(image_of(version("1.4.0"), C), C)

    def test_a_push_of_what_is_not_there_leaves_the_list_to_count(self, bench: Bench) -> None:
        """Who holds a URL token may name any tag; it must not keep a release from being found."""
        found = bench.resolve(reference=version("1.9.0"), origin=TOKEN, workload=RANGE)
        assert found.image.digest == B

    @pytest.mark.parametrize(
        "said", [None, version("1.2.0"), version("1.3.0"), version("1.3.0").at(B)]
    )
    def test_a_newest_tag_that_is_gone_is_no_reason_to_go_back(
        self, bench: Bench, said: Reference | None
    ) -> None:
        """Deleted, or a mirror that is behind: what runs is newer than what is listed."""
        current = image_of(version("1.4.0"), C)
        bench.state = WorkloadState("web", current, tracked=C)
        assert bench.resolve(reference=said, workload=RANGE) == Resolution(current, None)

    def test_a_range_that_was_changed_may_go_back(self, bench: Bench) -> None:
        """The operator wrote another range: what runs is not in it any more."""
        bench.state = WorkloadState("web", image_of(version("2.5.0"), C), tracked=C)
        assert bench.resolve(workload=RANGE).image.digest == B

    def test_a_signed_digest_of_the_newest_tag_is_waited_for(self, bench: Bench) -> None:
        """As of a fixed tag: the registry may still say what it said before."""
        bench.state = WorkloadState("web", image_of(version("1.3.0"), A), tracked=A)
        bench.registry.stale = [A, A]
        said = version("1.3.0").at(B)
        assert bench.resolve(reference=said, workload=RANGE).image.digest == B


class TestADeployment:
    def test_of_a_digest_resolves_exactly_that(self, bench: Bench) -> None:
        """And looks at the tag first, so that a push while it runs counts as newer."""
        bench.registry.tags["x"] = B
        found = bench.resolve(Action.DEPLOY, STABLE.at(B))
        assert (found.image.digest, found.tracked) == (B, A)
        assert bench.registry.asked == [str(STABLE), str(STABLE.at(B))]

    def test_of_the_tracked_tag_is_a_look_too(self, bench: Bench) -> None:
        """What it resolves to is what is tracked."""
        assert bench.resolve(Action.DEPLOY, STABLE) == Resolution(image_of(STABLE, A), A)

    def test_does_not_need_the_tag(self, bench: Bench) -> None:
        """The tag may be gone while the digest is there."""
        bench.registry.tags = {"x": B}
        assert bench.resolve(Action.DEPLOY, STABLE.at(B)).tracked is None

    def test_of_a_workload_that_follows_nothing_asks_for_nothing_else(self, bench: Bench) -> None:
        """There is no tag to look at."""
        bench.registry.tags["x"] = B
        found = bench.resolve(Action.DEPLOY, STABLE.at(B), workload=ANY)
        assert (found.image.digest, found.tracked) == (B, None)

    def test_remembers_what_a_command_names(self, bench: Bench) -> None:
        """By its tag, or by the digest it gives itself."""
        bench.registry.tags["x"] = B
        bench.tracker.named["web"] = Reference(WEB.repository, None, digest("X"))
        assert bench.resolve(Action.DEPLOY, STABLE.at(B)).tracked == digest("X")

    def test_does_not_depend_on_the_command(self, bench: Bench) -> None:
        """Best effort."""
        bench.registry.tags["x"] = B
        bench.tracker.broken["web"] = TrackError("no")
        assert bench.resolve(Action.DEPLOY, STABLE.at(B)).tracked is None


class TestWhatRanBefore:
    def test_a_rollback_is_to_the_previous_release(self, bench: Bench) -> None:
        """As it was admitted then: its digests are known without a registry."""
        bench.state = WorkloadState("web", image_of(STABLE, A), image_of(STABLE, B))
        bench.registry.down = lambda: RegistryUnavailableError("down")
        assert bench.resolve(Action.ROLLBACK) == Resolution(image_of(STABLE, B), None)

    def test_a_restoration_is_of_the_current_release(self, bench: Bench) -> None:
        """And asks nobody."""
        bench.state = WorkloadState("web", image_of(STABLE, A), image_of(STABLE, B))
        assert bench.resolve(Action.RESTORE) == Resolution(image_of(STABLE, A), None)
        assert bench.registry.asked == []

    @pytest.mark.parametrize("action", [Action.ROLLBACK, Action.RESTORE])
    def test_there_must_be_one(self, bench: Bench, action: Action) -> None:
        """It cannot be made up."""
        with pytest.raises(NoPreviousReleaseError):
            bench.resolve(action)
