"""Journals that released versions wrote, opened by today's code."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.journal.written import make
from tests.adapters.journal.written.make import KEY, LANES, digest, image, later
from webhook_launcher.adapters.journal import Journal, kept_receipts
from webhook_launcher.adapters.journal.schema import STEPS, Step, newest
from webhook_launcher.core.errors import BrokenChainError
from webhook_launcher.core.model import Action, Event, Status, Trust, Wish
from webhook_launcher.core.receipts import verify

WRITTEN = sorted(path.stem for path in make.HERE.glob("schema-*.sql"))


def note_everything(connection: sqlite3.Connection) -> None:
    """A step of a later version: each record gets a key more."""
    for seq, text in connection.execute("SELECT seq, record FROM deployments").fetchall():
        record = json.dumps({"undoes": None, **json.loads(text)})
        connection.execute("UPDATE deployments SET record = ? WHERE seq = ?", (record, seq))


# Versions to come: today's, and one after two more steps, of both kinds.
LATER: dict[str, tuple[Step, ...]] = {
    "today": STEPS,
    "later": (*STEPS, note_everything, "CREATE TABLE notes (text TEXT)"),
}


@pytest.fixture(params=WRITTEN)
def name(request: pytest.FixtureRequest) -> str:
    """Which journal."""
    return str(request.param)


@pytest.fixture(params=sorted(LATER))
def journal(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> Iterator[Journal]:
    """The written journal, opened."""
    make.load(name, tmp_path / "state")
    made = Journal(
        tmp_path / "state", LANES, key=KEY, new_id=lambda: "a-new-id", steps=LATER[request.param]
    )
    yield made
    made.close()


def contains(found: Any, wanted: Any, where: str = "") -> None:
    """Assert that what was read then is read now; there may be more keys now."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            contains(found[key], value, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for number, value in enumerate(wanted):
            contains(found[number], value, f"{where}[{number}]")
    else:
        assert found == wanted, where


def test_every_record_is_read_as_it_was_written(journal: Journal, name: str) -> None:
    """A delivery that is forgotten comes twice; a release that is misread is not returned to."""
    wanted = json.loads((make.HERE / f"{name}.json").read_text("utf-8"))
    assert wanted["deployments"]
    assert any(wanted["deliveries"])
    contains(make.read(journal), wanted)


def test_the_fixture_has_every_status_and_kind(name: str) -> None:
    """What is not in it is not tested: it would be noticed after the release."""
    wanted = json.loads((make.HERE / f"{name}.json").read_text("utf-8"))
    intents = [one for one in wanted["intents"] if one]
    assert {one["status"] for one in intents} == {status.value for status in Status}
    actions = {one["wish"]["action"] for one in intents}
    assert actions == {"check", "deploy", "rollback", "restore"}
    tried = {one["status"] for one in wanted["deployments"]}
    assert tried == {"in_progress", "success", "failure", "error"}
    assert wanted["workloads"]["held"]["paused"]
    assert wanted["workloads"]["web"]["quarantined"]
    assert all(wanted["evidence"])


def test_what_was_interrupted_is_found(journal: Journal) -> None:
    """The attempt that was switching must be finished or undone; the other one is recorded."""
    [switching] = journal.deployments.interrupted("web")
    assert (switching.switching, switching.rollback, switching.image.digest) == (
        True,
        True,
        digest("A"),
    )
    [preparing] = journal.deployments.interrupted("pinned")
    assert not preparing.switching


def test_what_waited_is_claimed(journal: Journal) -> None:
    """Acknowledged before the upgrade, so it is done after it; a pause holds."""
    claimed = {intent.workload for intent in journal.intents.release_claims()}
    assert claimed == {"web", "pinned"}
    given = []
    while intent := journal.intents.claim(later(1000)):
        given.append(intent)
        journal.intents.settle(intent, Status.SUCCESS)
    assert {intent.workload for intent in given} == {"web", "pinned", "slow", "new"}
    assert [intent.attempts for intent in given if intent.workload == "slow"] == [2]
    journal.workloads.pause("held", False)
    assert journal.intents.claim(later(1000))


def test_a_repeated_delivery_is_still_known(journal: Journal) -> None:
    """The sender that got no answer before the upgrade sends it again after it."""
    push = Event("hub", Trust.TOKEN, "push-1")
    assert journal.deliveries.accept(push, [], None, later(900)).duplicate
    event = Event("ci", Trust.SIGNED, "msg_9")
    before = replace(make.CI, signed_at=later(-1))
    late = Wish("web", Action.DEPLOY, before, make.WEB.at(digest("A")))
    assert not journal.deliveries.accept(event, [late], None, later(900)).intents


def test_receipts_chain_across_the_upgrade(journal: Journal, name: str, tmp_path: Path) -> None:
    """One chain from the first receipt of the old version to the first of the new one."""
    before = make.head_of(name)
    [attempt] = journal.deployments.interrupted("pinned")
    ended = replace(attempt, status=Status.ERROR, code="interrupted", finished_at=later(900))
    journal.deployments.fail(ended)
    chain = verify([*kept_receipts(tmp_path / "state")], [KEY.public], [before])
    assert chain.head is not None
    assert chain.head.sequence == before.sequence + 1
    with pytest.raises(BrokenChainError):
        verify([*kept_receipts(tmp_path / "state")], [KEY.public], [replace(before, sequence=1)])


def test_a_quarantined_image_can_be_released(journal: Journal) -> None:
    """The index and its manifest are one, also when an older version wrote them."""
    assert journal.workloads.state("web").quarantined == set(image("C").names)
    assert journal.workloads.release_quarantine("web", image("C").manifest) == 1
    assert not journal.workloads.state("web").quarantined


def test_the_file_is_of_the_newest_schema_and_usable(journal: Journal, tmp_path: Path) -> None:
    """An upgrade that is not recorded would be done twice."""
    journal.usable()
    journal.close()
    with closing(sqlite3.connect(tmp_path / "state" / "journal.sqlite3")) as connection:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        assert version in (newest(), newest(LATER["later"]))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_the_script_writes_the_same_bytes_again(tmp_path: Path) -> None:
    """What nobody can make again cannot be trusted to be what a version wrote."""
    made = []
    for number in ("1", "2"):
        directory = tmp_path / number
        directory.mkdir()
        subprocess.run(
            [sys.executable, str(make.HERE / "make.py"), "x", str(directory)],
            check=True,
            env={**os.environ, "PYTHONPATH": str(make.HERE.parents[3]), "PYTHONHASHSEED": number},
        )
        made.append([(directory / f"x.{kind}").read_bytes() for kind in ("sql", "json")])
    assert made[0] == made[1]
    assert b"push-1" in made[0][0]
