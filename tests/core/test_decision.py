from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import digest, image_of
from webhook_launcher.core.decision import decide, is_news
from webhook_launcher.core.model import Action, Origin, Trust, Wish, WorkloadState
from webhook_launcher.core.reference import Digest, parse_reference

A, B, C = digest("A"), digest("B"), digest("C")
STABLE = parse_reference("ghcr.io/acme/web:stable")


def wish(action: Action = Action.CHECK, trust: Trust = Trust.POLL, *, hint: bool = True) -> Wish:
    """A look of the poll, unless told otherwise."""
    reference = STABLE.at(A) if action is Action.DEPLOY else None
    return Wish("web", action, Origin(trust, "x"), reference, hint)


LOOK = wish()
DEPLOY = wish(Action.DEPLOY, Trust.SIGNED, hint=False)
WISHES = [
    wish(action, trust, hint=hint) for action, trust, hint in product(Action, Trust, (False, True))
]


def state(current: Digest | None = None, tracked: Digest | None = None) -> WorkloadState:
    """What is known."""
    return WorkloadState("web", image_of(STABLE, current) if current else None, tracked=tracked)


def decided(asked: Wish, resolved: Digest, known: WorkloadState, *, runs: bool) -> Digest | None:
    """The digest to deploy, if any."""
    image = decide(asked, image_of(STABLE, resolved), known, runs=runs).image
    return image.digest if image else None


class TestALook:
    def test_at_a_tag_that_moved_deploys_it(self) -> None:
        """The main job."""
        assert decided(LOOK, B, state(A, A), runs=True) == B

    def test_at_a_tag_that_did_not_move_leaves_an_explicit_release(self) -> None:
        """Somebody asked for A while the tag is at B; B was dealt with then."""
        assert decided(LOOK, B, state(A, B), runs=True) is None

    def test_at_what_runs_does_nothing(self) -> None:
        """Whatever is remembered of the tag."""
        assert decided(LOOK, A, state(A, B), runs=True) is None

    def test_at_what_should_run_and_does_not_deploys_it(self) -> None:
        """It is wanted."""
        assert decided(LOOK, A, state(A, A), runs=False) == A

    def test_that_finds_the_current_release_gone_brings_it_back(self) -> None:
        """And not the failed or abandoned one that the tag still points at."""
        assert decided(LOOK, B, state(A, B), runs=False) == A

    def test_at_a_new_workload_deploys_it(self) -> None:
        """Nothing was ever dealt with."""
        assert decided(LOOK, A, state(), runs=False) == A

    def test_at_what_failed_first_does_nothing(self) -> None:
        """A first deployment that failed has no current release; its digest was dealt with."""
        assert decided(LOOK, A, state(None, A), runs=False) is None


class TestAnExplicitWish:
    @pytest.mark.parametrize("tracked", [None, A, B])
    def test_is_done_whatever_was_dealt_with(self, tracked: Digest | None) -> None:
        """Somebody asks for a result, not for a look."""
        assert decided(DEPLOY, A, state(B, tracked), runs=True) == A

    def test_does_nothing_when_it_runs(self) -> None:
        """A restart for nothing is an outage for nothing."""
        assert decided(DEPLOY, A, state(A, B), runs=True) is None


class TestWhatIsExplicit:
    @pytest.mark.parametrize("trust", list(Trust))
    @pytest.mark.parametrize("hint", [False, True])
    def test_deploy_and_rollback_are(self, trust: Trust, hint: bool) -> None:
        """They name a result."""
        for action in (Action.DEPLOY, Action.ROLLBACK):
            assert wish(action, trust, hint=hint).explicit

    @pytest.mark.parametrize(
        ("trust", "hint", "expected"),
        [
            (Trust.SIGNED, False, True),
            (Trust.OPERATOR, False, True),
            (Trust.SIGNED, True, False),
            (Trust.TOKEN, False, False),
            (Trust.POLL, False, False),
        ],
    )
    def test_a_look_is_when_somebody_known_asks_for_what_is_tracked(
        self, trust: Trust, hint: bool, expected: bool
    ) -> None:
        """A signed push is no request to redo what was rolled back."""
        assert wish(Action.CHECK, trust, hint=hint).explicit is expected

    def test_a_restoration_is_not(self) -> None:
        """It never makes another release run."""
        assert not any(one.explicit for one in WISHES if one.action is Action.RESTORE)


class TestWhatReplacesWhat:
    def test_a_look_replaces_looks_only(self) -> None:
        """A hint that anybody with a token may send cancels nothing."""
        for one in WISHES:
            looks = one.action is Action.CHECK and not one.explicit
            no_more_trusted = one.origin.trust.rank <= LOOK.origin.trust.rank
            assert LOOK.replaces(one) is (looks and no_more_trusted)

    @pytest.mark.parametrize("older", list(Trust))
    @pytest.mark.parametrize("newer", list(Trust))
    def test_a_look_replaces_none_of_somebody_who_proved_more(
        self, newer: Trust, older: Trust
    ) -> None:
        """Under `require_trust` the signed one is the only one that may move anything."""
        one, other = (wish(Action.CHECK, trust, hint=True) for trust in (newer, older))
        order = [Trust.POLL, Trust.TOKEN, Trust.SIGNED, Trust.OPERATOR]
        assert one.replaces(other) is (order.index(newer) >= order.index(older))

    def test_a_restoration_replaces_and_is_replaced_by_its_like(self) -> None:
        """A newer wish may come to nothing, and then nobody would repair."""
        for one in WISHES:
            restores = one.action is Action.RESTORE
            assert wish(Action.RESTORE).replaces(one) is restores
            assert one.replaces(wish(Action.RESTORE)) is restores

    def test_an_explicit_wish_replaces_all_others(self) -> None:
        """It is the newest thing somebody wants."""
        for newer, older in product(WISHES, WISHES):
            if newer.explicit and older.action is not Action.RESTORE:
                assert newer.replaces(older)


@given(
    st.sampled_from(WISHES),
    st.sampled_from((A, B, C)),
    st.sampled_from((None, A, B, C)),
    st.sampled_from((None, A, B, C)),
    st.booleans(),
)
def test_only_what_was_asked_for_or_ran_before_is_ever_deployed(
    asked: Wish, resolved: Digest, current: Digest | None, tracked: Digest | None, runs: bool
) -> None:
    """Nothing else may come out; and what runs is left alone unless there is news."""
    known = state(current, tracked)
    runs = runs and current is not None
    found = decided(asked, resolved, known, runs=runs)
    assert found in {None, resolved, current}
    if runs:
        assert found != current
        assert found is None or is_news(asked, image_of(STABLE, resolved), known)
    if found is None:
        assert runs or current is None
