"""Write a journal with the code of a commit, as text: what later versions must open.

For the commit 3708fe3, in the checkout:

    git worktree add --detach ../released 3708fe3
    PYTHONPATH=../released .venv/bin/python tests/adapters/journal/written/make.py schema-1
    git worktree remove ../released

That writes two files beside this script, with the same bytes at every run: `schema-1.sql`, a dump
of the database, and `schema-1.json`, what that commit itself reads back through its public classes.
Once a version with another schema is released, do the same for it, and keep the older files.

Clock, ids and the key of the receipts are fixed. The launcher that wrote it was killed: one attempt
was being prepared, one was switching, and their intents are claimed.
"""

import dataclasses
import itertools
import json
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import webhook_launcher
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.dsse import PrivateKey
from webhook_launcher.core.evidence import Answer, Check, Evidence, Facts
from webhook_launcher.core.model import (
    Action,
    Deployment,
    Event,
    Image,
    Intent,
    Mention,
    Origin,
    Platform,
    Status,
    Trust,
    Verdict,
    Wish,
    as_one,
)
from webhook_launcher.core.receipts import Head
from webhook_launcher.core.reference import Digest, parse_reference

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LANES = {name: name for name in ("web", "site", "pinned", "pair", "held", "slow", "new")}
# Nobody's secret: it signs the receipts of this file alone.
KEY = PrivateKey(Ed25519PrivateKey.from_private_bytes(sha256(b"a key of the tests").digest()))
AMD64 = Platform("linux", "amd64")
WEB = parse_reference("127.0.0.1:1/acme/web:stable")
SITE = parse_reference("127.0.0.1:1/acme/site:latest")
PINNED = parse_reference("127.0.0.1:1/acme/pinned:1.4.2")
CI = Origin(
    Trust.SIGNED,
    "ci",
    secret_id="ci-1",
    actor="octocat",
    reason="run 8812",
    signed_at=NOW,
    overrides=frozenset({"minimum_age"}),
)
HUB, POLL = Origin(Trust.TOKEN, "hub", secret_id="token"), Origin(Trust.POLL, "poll")
OPERATOR = Origin(Trust.OPERATOR, "operator", reason="I say so", actor="ada")


def later(seconds: float) -> datetime:
    """A moment after NOW."""
    return NOW + timedelta(seconds=seconds)


def digest(name: str) -> Digest:
    """The digest of what has this name here."""
    return Digest(f"sha256:{sha256(name.encode()).hexdigest()}")


def image(name: str, reference: Any = WEB) -> Image:
    """An image as the registry answers it."""
    return Image(
        reference,
        digest(name),
        digest(f"manifest of {name}"),
        digest(f"config of {name}"),
        "application/vnd.oci.image.index.v1+json",
        Platform("linux", "arm", "v7") if name == "arm" else AMD64,
    )


class Writer:
    """One launcher's life on a journal."""

    def __init__(self, state: Path) -> None:
        numbers = itertools.count(1)
        self.journal = Journal(state, LANES, key=KEY, new_id=lambda: f"id-{next(numbers):03}")

    def write(self) -> None:
        """All of it, in the order in which it happened."""
        self._deliveries()
        self._releases()
        self._failures()
        self._several_images()
        self._looks()
        self._waiting()
        self._killed()

    def _deliveries(self) -> None:
        """Accepted, repeated, ignored, late."""
        accept = self.journal.deliveries.accept
        push = Event("hub", Trust.TOKEN, "push-1", (Mention(SITE),), secret_id="token")
        look = Wish("site", Action.CHECK, HUB, SITE, hint=True)
        accept(push, [look], None, NOW)
        accept(push, [look], None, later(1))
        accept(Event("hub", Trust.TOKEN, "ping"), [], "a ping", later(2))
        event = Event("ci", Trust.SIGNED, "msg_1", secret_id="ci-1", signed_at=NOW)
        accept(event, [Wish("web", Action.DEPLOY, CI, WEB.at(digest("A")))], None, later(3))
        before = replace(CI, signed_at=later(-60))
        late = Wish("web", Action.DEPLOY, before, WEB.at(digest("0")))
        accept(replace(event, delivery_id="msg_0"), [late], None, later(4))

    def _begun(self, intent: Intent, of: Image, at: float, **more: Any) -> Deployment:
        attempt = Deployment(
            id=self.journal.new_id(),
            workload=intent.workload,
            intent=intent.id,
            image=of,
            origin=intent.wish.origin,
            status=Status.IN_PROGRESS,
            started_at=later(at),
            verdicts=(
                Verdict("repository", holds=True, said="it is of the workload's repository"),
                Verdict("minimum_age", holds=False, said="it is 3 s old", advice="wait"),
            ),
            **more,
        )
        self.journal.deployments.begin(attempt)
        return attempt

    def _claimed(self, at: float = 10) -> Intent:
        found = self.journal.intents.claim(later(at))
        assert found is not None
        return found

    def _ask(self, *wishes: Wish, at: float = 10) -> None:
        self.journal.intents.enqueue(wishes, later(at))

    def _releases(self) -> None:
        """A look that finds nothing; A by a deploy event; B by an operator."""
        journal = self.journal
        look = self._claimed()
        journal.intents.settle(look, Status.SUCCESS, code="unchanged", detail="it already runs")
        for number, (name, tracked) in enumerate((("A", digest("A")), ("B", None))):
            if name == "B":
                self._ask(Wish("web", Action.DEPLOY, OPERATOR, WEB.at(digest("B"))), at=40)
            intent = self._claimed(20 + 40 * number)
            of = image(name)
            journal.workloads.want("web", WEB.at(of.digest))
            journal.evidence.sighted(of, later(5 + 40 * number))
            journal.evidence.keep("web", of, _evidence(name))
            attempt = self._begun(intent, of, 20 + 40 * number, tracked=tracked)
            attempt = journal.deployments.mark_switching(attempt)
            ended = replace(
                attempt,
                status=Status.SUCCESS,
                finished_at=later(22.5 + 40 * number),
                previous=image("A") if name == "B" else None,
                output="Container web-app-1  Started",
                timings={"resolve": 0.125, "pull": 1.5, "up": 0.75, "gate": 0.0625},
            )
            journal.deployments.succeed(ended)
            journal.intents.settle(intent, Status.SUCCESS, deployment=ended.id, detail="it runs")

    def _failures(self) -> None:
        """C is unhealthy and undone; D cannot be pulled."""
        journal = self.journal
        self._ask(Wish("web", Action.CHECK, HUB, WEB, hint=True), at=100)
        intent = self._claimed(100)
        failed = journal.deployments.mark_switching(
            self._begun(intent, image("C"), 100, tracked=digest("C"), previous=image("B"))
        )
        failed = replace(
            failed,
            status=Status.FAILURE,
            finished_at=later(130),
            code="unhealthy",
            detail="service app: unhealthy",
            advice="Read the container's log.",
            output="a log",
        )
        undo = Deployment(
            id=journal.new_id(),
            workload="web",
            intent=intent.id,
            image=image("B"),
            origin=intent.wish.origin,
            status=Status.IN_PROGRESS,
            started_at=later(130),
            rollback=True,
            undoes=failed.id,
        )
        journal.deployments.fail(failed, rollback=undo)
        undone = replace(undo, status=Status.SUCCESS, finished_at=later(135), switching=True)
        journal.deployments.succeed(
            undone, instead_of=replace(failed, restored=True), quarantine=True
        )
        journal.intents.settle(
            intent, Status.FAILURE, code="unhealthy", detail="rolled back", deployment=failed.id
        )
        self._ask(Wish("web", Action.CHECK, POLL), at=140)
        intent = self._claimed(140)
        attempt = self._begun(intent, image("D"), 140)
        journal.deployments.fail(
            replace(
                attempt,
                status=Status.ERROR,
                finished_at=later(141),
                code="pull-failed",
                detail="no space left on device",
            )
        )
        journal.intents.settle(intent, Status.ERROR, code="pull-failed", deployment=attempt.id)
        journal.workloads.quarantine("gone", digest("E"), "it failed elsewhere", later(150))

    def _several_images(self) -> None:
        """Two images that run as one, on the platform that has a variant."""
        self._ask(Wish("pair", Action.DEPLOY, CI), at=200)
        intent = self._claimed(200)
        worker = parse_reference("127.0.0.1:1/acme/worker:stable")
        pair = as_one([image("arm"), image("arm", worker)])
        self.journal.evidence.keep("pair", pair, Evidence(parts=(_evidence("P"), _evidence("Q"))))
        attempt = self._begun(intent, pair, 200)
        ended = replace(attempt, status=Status.SUCCESS, finished_at=later(203), switching=True)
        self.journal.deployments.succeed(ended)
        self.journal.intents.settle(intent, Status.SUCCESS, deployment=ended.id)

    def _looks(self) -> None:
        """What the poller keeps, and a tag that an operator's wish left behind."""
        workloads = self.journal.workloads
        workloads.checked("web", "it already runs", later(210), WEB.at(digest("B")))
        workloads.checked("web", "the registry does not answer", later(220))
        workloads.acted_on("site", digest("S"))
        workloads.pause("held", True)
        self.journal.evidence.sighted(image("seen"), later(230))

    def _waiting(self) -> None:
        """One that a newer one replaced, one postponed, one paused, one restoration."""
        self._ask(Wish("slow", Action.CHECK, HUB, SITE, hint=True), at=300)
        self._ask(Wish("slow", Action.CHECK, CI), at=301)
        self.journal.intents.postpone(
            self._claimed(301), later(400), code="registry-unavailable", detail="HTTP 503"
        )
        self._ask(Wish("held", Action.CHECK, HUB, SITE, hint=True), at=302)
        self._ask(Wish("web", Action.RESTORE, POLL), at=303)
        self.journal.intents.postpone(
            self._claimed(303), later(500), code="degraded", detail="not healthy"
        )
        self._ask(Wish("web", Action.ROLLBACK, OPERATOR), at=304)

    def _killed(self) -> None:
        """In the middle of two attempts; the look of a third workload was not claimed yet."""
        rollback = self._claimed(304)
        self.journal.deployments.mark_switching(
            self._begun(rollback, image("A"), 305, previous=image("B"), rollback=True)
        )
        self._ask(Wish("pinned", Action.DEPLOY, CI, PINNED.at(digest("N"))), at=306)
        self._begun(self._claimed(306), image("N", PINNED), 306)
        self._ask(Wish("new", Action.CHECK, POLL), at=307)
        self.journal.close()


def _evidence(name: str) -> Evidence:
    return Evidence(
        Facts(f"manifest of {name}".encode(), {"version": name}, 123_456, AMD64),
        (
            Attachment(Form.LEGACY, "application/x-signed", b"\x00payload", "c2lnbmF0dXJl"),
            Attachment(Form.BUNDLE, "application/x-bundle", fault="it is too long"),
        ),
        {Check(("scan", "--strict"), 12.5): Answer(0, "no finding")},
    )


def read(journal: Journal) -> dict[str, Any]:
    """What a version reads back through its public classes; plain values."""
    names = [*LANES, "gone"]
    found: dict[str, Any] = plain(
        {
            "deliveries": [journal.deliveries.get(f"id-{number:03}") for number in range(1, 60)],
            "intents": [journal.intents.get(f"id-{number:03}") for number in range(1, 60)],
            "deployments": journal.deployments.history(limit=100),
            "interrupted": {name: journal.deployments.interrupted(name) for name in names},
            "waiting": {name: journal.intents.waiting(name) for name in names},
            "workloads": {name: journal.workloads.state(name) for name in names},
            "released": {name: journal.deployments.released(name, 10) for name in names},
            "in_doubt": {name: journal.deployments.in_doubt(name) for name in names},
            "superseded": {
                name: journal.workloads.superseded("web", image(name)) for name in ("A", "B", "C")
            },
            "evidence": [
                journal.evidence.get("web", image("A")),
                journal.evidence.get("web", image("B")),
            ],
            "first_seen": [journal.evidence.first_seen(image(name)) for name in ("A", "seen")],
            "receipts": [envelope.decode() for envelope in journal.receipts.after(0, 100)],
            "head": str(journal.receipts.head()),
            "figures": [journal.figures.intents(), journal.figures.deployments()],
            "due": journal.intents.next_due(later(310)),
        }
    )
    return found


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line for each kind of value
    """JSON's types for the core's: a dataclass is an object of its fields."""
    if dataclasses.is_dataclass(value):
        fields = (field.name for field in dataclasses.fields(value))
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value if isinstance(value, int | float | None) else str(value)


def dump(path: Path) -> str:
    """The database as SQL, its version included; a WAL journal with incremental vacuum."""
    with closing(sqlite3.connect(path)) as connection:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        lines = ["PRAGMA auto_vacuum=INCREMENTAL;", "PRAGMA journal_mode=WAL;"]
        lines += connection.iterdump()
    return "\n".join([*lines, f"PRAGMA user_version={version};", ""])


def load(name: str, state: Path) -> Path:
    """Make a state directory with the journal that was written under this name; its path.

    The key that signed its receipts is in it, as after a first start.
    """
    state.mkdir(mode=0o700, exist_ok=True)
    path = state / "journal.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript((HERE / f"{name}.sql").read_text("utf-8"))
    path.chmod(0o600)
    (state / "receipts.key").write_bytes(KEY.pem)
    (state / "receipts.key").chmod(0o600)
    (state / "receipts.pub").write_bytes(KEY.public.pem)
    return path


def head_of(name: str) -> Head:
    """The newest receipt of what was written under this name."""
    found = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    return Head.parse(found["head"])


def main(name: str, directory: Path = HERE) -> None:
    """Write both files."""
    sys.stderr.write(f"written by {Path(webhook_launcher.__file__).parent}\n")
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch) / "state"
        Writer(state).write()
        text = dump(state / "journal.sqlite3")
        journal = Journal(state, LANES, key=KEY)
        found = read(journal)
        journal.close()
    (directory / f"{name}.sql").write_text(text, "utf-8")
    (directory / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
