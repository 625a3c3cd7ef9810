"""The queue: per workload one pending explicit wish, one restoration and, of each trust, one look.

The newest wins.

An intent is *claimed* when its status is `in_progress`; a lane (compose project) with a claimed
intent gives out no other, so one project is never deployed twice at a time. The lane is kept with
the claim: after a reload the workload may belong to another one, or be gone.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from webhook_launcher.adapters.journal.additions import Additions, pause_after
from webhook_launcher.adapters.journal.claims import next_claim
from webhook_launcher.adapters.journal.database import Database, written
from webhook_launcher.adapters.journal.rows import intent_of, time_text
from webhook_launcher.core.errors import NotRipeError
from webhook_launcher.core.model import Intent, Status, Wish

SCHEMA = """
CREATE TABLE intents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workload TEXT NOT NULL,
    action TEXT NOT NULL,
    reference TEXT,
    hint INTEGER NOT NULL DEFAULT 0,
    origin TEXT NOT NULL,             -- JSON
    delivery TEXT,
    created_at TEXT NOT NULL,
    status TEXT NOT NULL,
    lane TEXT,                        -- compose project, while it is claimed
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    code TEXT,
    detail TEXT,
    deployment TEXT
);
CREATE INDEX intents_by_status ON intents (status, seq);
CREATE INDEX intents_by_workload ON intents (workload, status);
CREATE INDEX intents_by_age ON intents (created_at);
CREATE INDEX intents_by_delivery ON intents (delivery);
CREATE INDEX intents_due ON intents (not_before, seq) WHERE status = 'queued';
"""


class Intents:
    """Intents in the journal. `lanes` maps each configured workload to its compose project."""

    def __init__(
        self,
        database: Database,
        lanes: Mapping[str, str],
        limit: int,
        new_id: Callable[[], str],
    ) -> None:
        self._database = database
        self._lanes = lanes
        self._limit = limit
        self._new_id = new_id

    @written
    def enqueue(
        self, wishes: Iterable[Wish], now: datetime, not_before: datetime | None = None
    ) -> list[Intent]:
        """Commit new intents, each replacing the older pending ones that it makes pointless.

        Raises QueueFullError, with nothing written, when too many would wait; what only replaces
        is taken, and so is the restoration of what should run, of which each workload has one.
        """
        wished = list(wishes)
        with self._database.transaction() as connection:
            additions = self.additions(connection, {wish.workload for wish in wished})
            made = additions.add(wished, now, not_before)
            additions.write()
        return made

    def additions(self, connection: sqlite3.Connection, workloads: Iterable[str]) -> Additions:
        """Several additions to the queue of these workloads, inside a transaction."""
        return Additions(connection, workloads, self._limit, self._new_id)

    @written
    def claim(self, now: datetime) -> Intent | None:
        """Lease the oldest intent that is due, whose lane is free and workload not paused.

        An operator's explicit wish passes a pause: the one who paused asks for it. So does what
        was begun before: half a deployment is not a state to pause in. A look waits for an older
        explicit wish, also for one that was postponed, or the older one would end up running.
        """
        with self._database.transaction() as connection:
            intent = next_claim(connection, self._lanes, now)
            if intent is None:
                return None
            connection.execute(
                "UPDATE intents SET status = 'in_progress', lane = ?, attempts = attempts + 1 "
                "WHERE id = ?",
                (self._lanes[intent.workload], intent.id),
            )
        return replace(intent, status=Status.IN_PROGRESS, attempts=intent.attempts + 1)

    @written
    def settle(
        self,
        intent: Intent,
        status: Status,
        *,
        code: str | None = None,
        detail: str | None = None,
        deployment: str | None = None,
    ) -> None:
        """Record the outcome; the intent is never given out again."""
        with self._database.transaction() as connection:
            _settle(connection, intent, status, code, detail, deployment)

    @written
    def postpone(self, intent: Intent, until: datetime, *, code: str, detail: str) -> None:
        """Give a claimed intent back, to be tried again; a newer one replaces it instead.

        The newer one is then to be tried later, too (`additions.pause_after`).
        """
        stopped = replace(intent, not_before=until, code=code)
        with self._database.transaction() as connection:
            for newer in _queued(connection, intent.workload, after=intent.id):
                if newer.wish.replaces(intent.wish):
                    _replace(connection, intent, newer)
                    connection.execute(
                        "UPDATE intents SET not_before = ? WHERE id = ?",
                        (time_text(pause_after([stopped], newer)), newer.id),
                    )
                    return
            connection.execute(
                "UPDATE intents SET status = 'queued', not_before = ?, code = ?, detail = ? "
                "WHERE id = ?",
                (time_text(until), code, detail, intent.id),
            )

    def release_claims(self) -> list[Intent]:
        """At start: what a killed launcher had claimed goes back to the front of the queue."""
        with self._database.transaction() as connection:
            claimed = [
                intent_of(row)
                for row in connection.execute(
                    "SELECT * FROM intents WHERE status = 'in_progress' ORDER BY seq"
                )
            ]
            connection.execute(
                "UPDATE intents SET status = 'queued', not_before = NULL "
                "WHERE status = 'in_progress'"
            )
        return claimed

    def give_back(self, intent: Intent) -> None:
        """A claimed intent goes back to the queue at once; one that was settled stays so."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE intents SET status = 'queued', not_before = NULL "
                "WHERE id = ? AND status = 'in_progress'",
                (intent.id,),
            )

    def reconsider(self) -> None:
        """Under another configuration: what waits for its image's age is judged by that one."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE intents SET not_before = NULL WHERE status = 'queued' AND code = ?",
                (NotRipeError.code,),
            )

    def settle_unknown(self) -> None:
        """What waits for workloads that left the configuration ends as inactive."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT * FROM intents WHERE status = 'queued'").fetchall()
            for row in rows:
                if row["workload"] not in self._lanes:
                    self.settle(
                        intent_of(row),
                        Status.INACTIVE,
                        code="unknown-workload",
                        detail="the workload is no longer configured",
                    )

    def get(self, intent_id: str) -> Intent | None:
        """One intent by its id."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM intents WHERE id = ?", (intent_id,)).fetchone()
        return intent_of(row) if row else None

    def of_delivery(self, delivery: str) -> list[Intent]:
        """The intents that a delivery led to, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM intents WHERE delivery = ? ORDER BY seq", (delivery,)
            ).fetchall()
        return [intent_of(row) for row in rows]

    def waiting(self, workload: str) -> list[Intent]:
        """Open intents of a workload, claimed ones included, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM intents WHERE workload = ? "
                "AND status IN ('queued', 'in_progress') ORDER BY seq",
                (workload,),
            ).fetchall()
        return [intent_of(row) for row in rows]

    def pending(self) -> int:
        """How many intents wait, claimed ones not counted."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT count(*) AS n FROM intents WHERE status = 'queued'"
            ).fetchone()
        return int(row["n"])

    def next_due(self, now: datetime) -> datetime | None:
        """When the next postponed intent becomes due; None when none waits for a time.

        What is due already and was not given out waits for a lane or a resume, not for a time.
        """
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT min(not_before) AS due FROM intents INDEXED BY intents_due "
                "WHERE status = 'queued' AND not_before > ?",
                (time_text(now),),
            ).fetchone()
        return datetime.fromisoformat(row["due"]) if row["due"] else None


def _replace(connection: sqlite3.Connection, older: Intent, newer: Intent) -> None:
    _settle(connection, older, Status.INACTIVE, "superseded", f"superseded by {newer.id}")


def _settle(
    connection: sqlite3.Connection,
    intent: Intent,
    status: Status,
    code: str | None,
    detail: str | None,
    deployment: str | None = None,
) -> None:
    connection.execute(
        "UPDATE intents SET status = ?, code = ?, detail = ?, "
        "deployment = coalesce(?, deployment), not_before = NULL WHERE id = ?",
        (status.value, code, detail, deployment, intent.id),
    )
    if status is not Status.INACTIVE:
        # What came of the last look, also when it never became an attempt.
        connection.execute("INSERT OR IGNORE INTO workloads (name) VALUES (?)", (intent.workload,))
        connection.execute(
            "UPDATE workloads SET check_result = ? WHERE name = ?", (detail, intent.workload)
        )


def _queued(
    connection: sqlite3.Connection, workload: str, after: str | None = None
) -> list[Intent]:
    """What waits for a workload, oldest first, or of that what came after an intent."""
    rows = connection.execute(
        "SELECT * FROM intents WHERE workload = ? AND status = 'queued' AND seq > "
        "coalesce((SELECT seq FROM intents WHERE id = ?), 0) ORDER BY seq",
        (workload, after),
    ).fetchall()
    return [intent_of(row) for row in rows]
