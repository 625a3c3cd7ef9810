import copy
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.fakes import START, digest, image_of
from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Need, Question
from webhook_launcher.core.model import Action, Image, Origin, Trust, Verdict, WorkloadState
from webhook_launcher.core.policy import BUILT_IN, Candidate, Release, admit, judge, questions
from webhook_launcher.core.reference import Digest, parse_reference, parse_repository
from webhook_launcher.core.workload import ComposeProject, Track, TrackKind, Workload

A, B = digest("A"), digest("B")
STABLE = parse_reference("ghcr.io/acme/web:stable")
SIGNED = Origin(Trust.SIGNED, "ci")


def candidate(
    image: Image | None = None,
    *,
    action: Action = Action.DEPLOY,
    trust: Trust = Trust.SIGNED,
    quarantined: frozenset[Digest] = frozenset(),
) -> Candidate:
    """An image that the built-in policies admit, unless told otherwise."""
    return Candidate(
        "web",
        (parse_repository("ghcr.io/acme/web"),),
        image or image_of(STABLE, A),
        action,
        Origin(trust, "somebody"),
        WorkloadState("web", quarantined=quarantined),
        START,
    )


@dataclass(frozen=True)
class Says:
    """A policy that says what the test wants."""

    name: str
    holds: bool = True
    needs: frozenset[Question] = frozenset()

    def verify(self, candidate: Candidate) -> str:
        """Refuse, or not."""
        if not self.holds:
            raise PolicyRefusedError(
                self.name, f"{self.name} says no to {candidate.workload}", advice="wait"
            )
        return f"{self.name} says yes"


class TestARelease:
    def test_is_made_by_admit(self) -> None:
        """And carries what held, as evidence."""
        release = admit(candidate(), [Says("signature"), Says("age")])
        assert (release.workload, release.image) == ("web", image_of(STABLE, A))
        assert [verdict.policy for verdict in release.verdicts] == [
            "repository",
            "quarantine",
            "signature",
            "age",
        ]
        assert release.verdicts[-1] == Verdict("age", holds=True, said="age says yes")
        assert release.pinned == f"ghcr.io/acme/web@{A}"

    @pytest.mark.parametrize("seal", [None, object(), "seal", True])
    def test_cannot_be_made_elsewhere(self, seal: object) -> None:
        """The engine gets a Release and nothing else: this is the one door."""
        with pytest.raises(TypeError, match="admit and nothing else"):
            Release("web", image_of(STABLE, A), (), seal)

    def test_cannot_be_turned_into_another(self) -> None:
        """`replace` of an admitted one would be a door beside the door."""
        release = admit(candidate(), [])
        with pytest.raises((TypeError, ValueError)):
            replace(release, image=image_of(STABLE, B))  # type: ignore[call-arg]
        with pytest.raises(AttributeError):
            release.image = image_of(STABLE, B)  # type: ignore[misc]

    def test_does_not_give_its_seal_away(self) -> None:
        """Nothing of it opens the door a second time."""
        release = admit(candidate(), [])
        assert "seal" not in repr(release)
        assert not hasattr(release, "seal")
        assert copy.copy(release) == release == pickle.loads(pickle.dumps(release))  # noqa: S301


class TestTheRepository:
    @pytest.mark.parametrize(
        "other",
        [
            "ghcr.io/acme/web2:stable",
            "ghcr.io/acme/web/x:stable",
            "docker.io/acme/web:stable",
            "ghcr.io:443/acme/web:stable",
        ],
    )
    @pytest.mark.parametrize("trust", list(Trust))
    def test_is_the_workloads_own_whoever_asks(self, other: str, trust: Trust) -> None:
        """No sender, operator or rollback makes a workload run somebody else's image."""
        with pytest.raises(PolicyRefusedError, match="not the repository") as refused:
            admit(candidate(image_of(parse_reference(other), A), trust=trust), [])
        assert refused.value.policy == "repository"


class TestQuarantine:
    @pytest.mark.parametrize("action", list(Action))
    @pytest.mark.parametrize("trust", list(Trust))
    def test_holds_for_everybody(self, action: Action, trust: Trust) -> None:
        """A rollback is admitted under today's policy too: a revoked digest cannot return."""
        with pytest.raises(PolicyRefusedError, match="quarantine") as refused:
            admit(candidate(action=action, trust=trust, quarantined=frozenset({A})), [])
        assert "release-quarantine" in refused.value.advice()

    def test_is_of_a_digest(self) -> None:
        """Another one under the same tag may run."""
        assert admit(candidate(quarantined=frozenset({B})), []).image.digest == A


class TestPolicies:
    def test_every_one_must_hold(self) -> None:
        """One is enough to refuse."""
        with pytest.raises(PolicyRefusedError, match="age says no"):
            admit(candidate(), [Says("signature"), Says("age", holds=False), Says("late")])

    def test_an_empty_list_still_runs_the_built_in_ones(self) -> None:
        """`policy: []` is the default, not a way around."""
        held = [verdict.policy for verdict in admit(candidate(), []).verdicts]
        assert held == [policy.name for policy in BUILT_IN]

    def test_a_fault_in_one_admits_nothing(self) -> None:
        """Fail closed."""

        class Broken:
            name = "broken"
            needs: frozenset[Question] = frozenset()

            def verify(self, candidate: Candidate) -> str:
                raise ZeroDivisionError(candidate.workload)

        with pytest.raises(ZeroDivisionError):
            admit(candidate(), [Broken()])

    def test_a_workload_is_judged_by_its_own_repository(self) -> None:
        """What the policies compare with is from the configuration and nowhere else."""
        web = Workload(
            "web",
            parse_repository("ghcr.io/acme/web"),
            Track(TrackKind.TAG, "stable"),
            ComposeProject("web", Path("/srv")),
        )
        image = image_of(STABLE, A)
        state = WorkloadState("web", quarantined=frozenset({B}))
        judged = web.candidate(image, Action.CHECK, SIGNED, state, START)
        assert judged == Candidate(
            "web", (web.repository,), image, Action.CHECK, SIGNED, state, START
        )


class TestJudging:
    def test_tells_what_each_policy_says_refusals_included(self) -> None:
        """Who asks what would happen wants to know all of it, not the first thing only."""
        asked = candidate(quarantined=frozenset({A}))
        verdicts = judge(asked, [Says("signature"), Says("age", holds=False)])
        assert [(v.policy, v.holds) for v in verdicts] == [
            ("repository", True),
            ("quarantine", False),
            ("signature", True),
            ("age", False),
        ]
        assert verdicts[-1].said == "age says no to web"
        assert verdicts[-1].advice == "wait"

    def test_needs_are_those_of_all_policies(self) -> None:
        """What is not looked for cannot be judged; what nobody needs is not asked for."""
        facts = Says("facts", needs=frozenset({Need.FACTS}))
        both = Says("both", needs=frozenset({Need.FACTS, Need.ATTACHMENTS}))
        assert questions([facts, both]) == {Need.FACTS, Need.ATTACHMENTS}
        assert questions([]) == frozenset()


@pytest.mark.parametrize("action", list(Action))
def test_what_ran_here_before_returns_by_rollback_and_restoration_alone(action: Action) -> None:
    """No sender can ask for either, so no event passes for a return."""
    returns = action in (Action.ROLLBACK, Action.RESTORE)
    assert candidate(action=action).returns is returns
