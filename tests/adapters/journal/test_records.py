from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import NOW, STABLE, A, B, attempt, later
from tests.fakes import digest, image_of
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.journal.rows import deployment_of, deployment_text
from webhook_launcher.core.model import Deployment, Image, Platform, Status, Verdict, WorkloadState
from webhook_launcher.core.reference import Digest

C = digest("C")
PLATFORMS = st.builds(Platform, st.text(), st.text(), st.none() | st.text())
DIGESTS = st.sampled_from((A, B, C))
IMAGES = st.builds(
    Image,
    st.just(STABLE) | st.builds(STABLE.at, DIGESTS),
    DIGESTS,
    st.none() | DIGESTS,
    st.none() | DIGESTS,
    st.none() | st.text(),
    st.none() | PLATFORMS,
)
TEXTS = st.none() | st.text()


def ended(deployment: Deployment, status: Status = Status.SUCCESS) -> Deployment:
    """The attempt, ended."""
    return replace(deployment, status=status, finished_at=later(9), detail="why", code="code")


def deployed(journal: Journal, deployment: Deployment) -> None:
    """Begin and succeed."""
    journal.deployments.begin(deployment)
    journal.deployments.succeed(ended(deployment))


@given(IMAGES, st.none() | IMAGES, TEXTS, TEXTS, st.none() | DIGESTS, st.none() | st.booleans())
def test_a_deployment_is_read_as_it_was_written(
    image: Image,
    previous: Image | None,
    output: str | None,
    undoes: str | None,
    tracked: Digest | None,
    restored: bool | None,
) -> None:
    """Recovery works from the record alone, so nothing may be lost in it."""
    written = replace(
        ended(attempt()),
        image=image,
        previous=previous,
        output=output,
        undoes=undoes,
        tracked=tracked,
        restored=restored,
        verdicts=(
            Verdict("a", holds=True, said="yes"),
            Verdict("b", holds=False, said="no", advice="do"),
        ),
        switching=True,
        timings={"pull": 0.25},
    )
    assert deployment_of(deployment_text(written)) == written


class TestDeployments:
    def test_an_attempt_is_open_until_it_ends_and_survives_a_restart(
        self, state: Path, journal: Journal
    ) -> None:
        """What a killed launcher was doing is known to the next one."""
        journal.deployments.begin(attempt())
        switching = journal.deployments.mark_switching(attempt())
        assert switching.switching
        journal.close()
        again = Journal(state, LANES)
        assert again.deployments.interrupted("web") == [switching]
        assert again.deployments.interrupted("api") == []
        again.deployments.succeed(ended(switching))
        assert again.deployments.interrupted("web") == []
        again.close()

    def test_success_moves_current_and_previous_and_what_was_tracked(
        self, journal: Journal
    ) -> None:
        """In one commit with the end of the attempt."""
        deployed(journal, replace(attempt("d1", A), tracked=A))
        deployed(journal, replace(attempt("d2", B), tracked=B))
        state = journal.workloads.state("web")
        assert (state.current, state.previous) == (image_of(STABLE, B), image_of(STABLE, A))
        assert state.tracked == B

    def test_the_same_release_again_keeps_the_previous_one(self, journal: Journal) -> None:
        """A restart of the current release must not make it its own predecessor."""
        for number, one in enumerate((A, B, B)):
            deployed(journal, attempt(f"d{number}", one))
        previous = journal.workloads.state("web").previous
        assert previous is not None
        assert previous.digest == A

    def test_a_failure_begins_its_rollback_in_the_same_commit(self, journal: Journal) -> None:
        """Between the two a crash would leave nobody to bring the former release back.

        The image is blamed only when the former release, its control, has passed.
        """
        journal.deployments.begin(attempt("d1", B))
        rollback = replace(attempt("d2", A), undoes="d1", rollback=True, switching=True)
        failed = replace(ended(attempt("d1", B), Status.FAILURE), tracked=B)
        waiting = replace(failed, status=Status.IN_PROGRESS)
        journal.deployments.fail(waiting, rollback=rollback)
        assert journal.deployments.interrupted("web") == [waiting, rollback]
        state = journal.workloads.state("web")
        assert (state.current, state.quarantined, state.tracked) == (None, frozenset(), None)
        restored = replace(failed, restored=True)
        journal.deployments.succeed(ended(rollback), instead_of=restored, quarantine=True)
        assert journal.deployments.get("d1") == restored
        assert journal.deployments.interrupted("web") == []
        state = journal.workloads.state("web")
        assert (state.quarantined, state.tracked) == (frozenset({B}), B)
        assert not journal.deployments.in_doubt("web")

    def test_a_failure_that_stays_is_current(self, journal: Journal) -> None:
        """With rollback off."""
        journal.deployments.begin(attempt("d1", B))
        journal.deployments.fail(ended(attempt("d1", B), Status.FAILURE), stays=True)
        state = journal.workloads.state("web")
        assert (state.current, state.quarantined) == (image_of(STABLE, B), frozenset())

    def test_the_attempt_that_concluded_an_intent_is_not_its_rollback(
        self, journal: Journal
    ) -> None:
        """After a crash the intent gets the outcome of what it asked for."""
        failed = ended(attempt("d2", B, "i1"), Status.FAILURE)
        journal.deployments.begin(attempt("d1", B, "i1"))
        journal.deployments.rewrite(ended(attempt("d1", B, "i1"), Status.ERROR))
        assert journal.deployments.concluded("i1") is None
        journal.deployments.begin(attempt("d2", B, "i1"))
        journal.deployments.fail(failed)
        deployed(journal, replace(attempt("d3", A, "i1"), undoes="d2"))
        assert journal.deployments.concluded("i1") == failed
        assert journal.deployments.concluded("i2") is None

    def test_history_is_newest_first_and_comes_in_pages(self, journal: Journal) -> None:
        """A page begins after the last one already seen, whatever came since."""
        for number in range(5):
            deployed(journal, attempt(f"d{number}", workload="web" if number % 2 else "api"))
        ids = [one.id for one in journal.deployments.history(limit=2)]
        assert ids == ["d4", "d3"]
        deployed(journal, attempt("d9"))
        assert [one.id for one in journal.deployments.history(limit=2, before="d3")] == ["d2", "d1"]
        assert [one.id for one in journal.deployments.history("web")] == ["d9", "d3", "d1"]
        assert journal.deployments.get("d2") is not None
        assert journal.deployments.get("nonsense") is None


class TestWorkloads:
    def test_nothing_is_known_of_a_new_one(self, journal: Journal) -> None:
        """And asking writes nothing."""
        assert journal.workloads.state("web") == WorkloadState("web")

    def test_everything_known_survives_a_restart(self, state: Path, journal: Journal) -> None:
        """The journal is the only memory."""
        journal.workloads.promote("web", image_of(STABLE, A), A)
        journal.workloads.promote("web", image_of(STABLE, B), None)
        journal.workloads.want("web", STABLE.at(C))
        journal.workloads.checked("web", "nothing moved", NOW, STABLE.at(A))
        journal.workloads.pause("web", True)
        journal.workloads.quarantine("web", C, "unhealthy", NOW)
        before = journal.workloads.state("web")
        assert before == WorkloadState(
            "web",
            image_of(STABLE, B),
            image_of(STABLE, A),
            STABLE.at(C),
            A,
            None,
            True,
            NOW,
            "nothing moved",
            STABLE.at(A),
            NOW,
            NOW,
            frozenset({C}),
        )
        journal.close()
        again = Journal(state, LANES)
        assert again.workloads.state("web") == before
        again.close()

    def test_what_a_look_found_outlives_looks_that_found_nothing(self, journal: Journal) -> None:
        """A registry that is down says nothing about the tag; and it is news only when it moved."""
        journal.workloads.checked("web", "nothing moved", later(0), STABLE.at(A))
        journal.workloads.checked("web", "nothing moved", later(1), STABLE.at(A))
        journal.workloads.checked("web", "the registry is down", later(2))
        state = journal.workloads.state("web")
        assert (state.found, state.found_at, state.moved_at) == (STABLE.at(A), later(1), later(0))
        assert (state.checked_at, state.check_result) == (later(2), "the registry is down")
        journal.workloads.checked("web", "moved", later(3), STABLE.at(B))
        assert journal.workloads.state("web").moved_at == later(3)

    def test_a_quarantine_is_of_one_workload(self, journal: Journal) -> None:
        """It failed there; elsewhere it may be well."""
        journal.workloads.quarantine("web", A, "unhealthy", NOW)
        journal.workloads.quarantine("web", A, "unhealthy again", NOW)
        assert journal.workloads.state("api").quarantined == frozenset()

    @pytest.mark.parametrize("named", [A, B])
    def test_an_index_and_its_manifest_are_one_image(self, journal: Journal, named: Digest) -> None:
        """By the digest of either the same image would run; whoever releases it releases both."""
        journal.workloads.quarantine("web", A, "unhealthy", NOW, manifest=B)
        journal.workloads.quarantine("web", C, "unhealthy", NOW, manifest=C)
        assert journal.workloads.state("web").quarantined == {A, B, C}
        assert journal.workloads.release_quarantine("web", named) == 1
        assert journal.workloads.state("web").quarantined == {C}

    def test_releasing_makes_the_tracked_digest_news_again(self, journal: Journal) -> None:
        """Only if it was in quarantine: else the next poll would undo a rollback."""
        for one in (A, B):
            journal.workloads.quarantine("web", one, "unhealthy", NOW)
        journal.workloads.acted_on("web", A)
        assert journal.workloads.release_quarantine("web", B) == 1
        assert journal.workloads.state("web").tracked == A
        assert journal.workloads.release_quarantine("web", B) == 0
        assert journal.workloads.release_quarantine("web") == 1
        assert journal.workloads.state("web").tracked is None
        assert journal.workloads.state("web").quarantined == frozenset()
