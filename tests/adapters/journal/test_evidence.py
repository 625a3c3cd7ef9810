"""First sights and kept evidence: durable, and read as they were written."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import NOW, STABLE, A, B, later
from tests.fakes import image_of
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.journal.evidence import _evidence_of, _record
from webhook_launcher.adapters.journal.snapshot import Snapshot
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.errors import JournalError
from webhook_launcher.core.evidence import Answer, Check, Evidence, Facts
from webhook_launcher.core.model import Platform
from webhook_launcher.core.reference import parse_reference

IMAGE = image_of(STABLE, A)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FACTS = st.builds(
    Facts,
    st.binary(),
    st.dictionaries(TEXT, TEXT),
    st.integers(0, 2**40),
    st.builds(Platform, TEXT, TEXT, st.none() | TEXT),
)
ATTACHMENTS = st.lists(
    st.builds(Attachment, st.sampled_from(Form), TEXT, st.binary(), st.none() | TEXT)
).map(tuple)
CHECKS = st.builds(Check, st.lists(TEXT, min_size=1).map(tuple), st.floats(1, 100))


@given(
    st.builds(
        Evidence,
        st.none() | FACTS,
        st.none() | ATTACHMENTS,
        st.dictionaries(CHECKS, st.builds(Answer, st.integers(), TEXT), max_size=3),
    )
)
def test_evidence_is_read_as_it_was_written(evidence: Evidence) -> None:
    """A rollback is judged by it; not looked for (None) and nothing there are two things."""
    assert _evidence_of(json.loads(json.dumps(_record(evidence))), None) == evidence


class TestSightings:
    def test_the_first_one_counts(self, journal: Journal) -> None:
        """A digest does not get younger by being looked at."""
        assert journal.evidence.sighted(IMAGE, NOW) == NOW
        assert journal.evidence.sighted(IMAGE, later(1000)) == NOW

    def test_it_survives_a_restart(self, journal: Journal, state: Path) -> None:
        """Or every restart would start the wait anew."""
        journal.evidence.sighted(IMAGE, NOW)
        journal.close()
        again = Journal(state, LANES)
        assert again.evidence.sighted(IMAGE, later(1000)) == NOW
        again.close()

    def test_it_is_of_a_digest_in_a_repository(self, journal: Journal) -> None:
        """Somebody else's repository, where the same image is old, is not ours."""
        journal.evidence.sighted(IMAGE, NOW)
        other = image_of(parse_reference("ghcr.io/mallory/web:stable"), A)
        assert journal.evidence.sighted(other, later(5)) == later(5)
        assert journal.evidence.sighted(image_of(STABLE, B), later(6)) == later(6)

    def test_the_tag_does_not_matter(self, journal: Journal) -> None:
        """`stable` moved to what `edge` was for a week."""
        journal.evidence.sighted(image_of(parse_reference("ghcr.io/acme/web:edge"), A), NOW)
        assert journal.evidence.sighted(IMAGE, later(5)) == NOW


class TestASnapshot:
    def test_tells_what_the_running_launcher_knows_and_changes_nothing(
        self, journal: Journal, state: Path
    ) -> None:
        """`verify` runs beside it."""
        journal.evidence.sighted(IMAGE, NOW)
        journal.evidence.keep("web", IMAGE, Evidence(attachments=()))
        journal.workloads.quarantine("web", B, "failed", NOW)
        snapshot = Snapshot(state)
        assert snapshot.state("web").quarantined == {B}
        assert snapshot.sighted(IMAGE, later(9)) == NOW
        assert snapshot.sighted(image_of(STABLE, B), later(9)) == later(9)
        assert snapshot.get("web", IMAGE) == Evidence(attachments=(), first_seen=NOW)
        snapshot.keep("web", image_of(STABLE, B), Evidence())
        assert journal.evidence.first_seen(image_of(STABLE, B)) is None
        assert journal.evidence.get("web", image_of(STABLE, B)) is None
        with pytest.raises(JournalError, match="for reading"), snapshot.transaction():
            pass

    def test_is_empty_where_there_is_no_journal(self, tmp_path: Path) -> None:
        """`verify` works on a laptop too."""
        snapshot = Snapshot(tmp_path / "nothing")
        assert snapshot.state("web").current is None
        assert snapshot.sighted(IMAGE, NOW) == NOW
        assert snapshot.get("web", IMAGE) is None
        assert not snapshot.superseded("web", IMAGE)
        assert not (tmp_path / "nothing").exists()

    def test_that_cannot_be_read_is_no_empty_one(self, tmp_path: Path) -> None:
        """Quarantine that cannot be seen is not none."""
        (tmp_path / "journal.sqlite3").write_text("this is no database" * 100)
        with pytest.raises(JournalError, match="cannot be read"):
            Snapshot(tmp_path).state("web")
