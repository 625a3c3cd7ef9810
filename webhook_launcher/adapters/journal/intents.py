"""The queue: at most one pending look and one pending explicit wish per workload; newest wins.

An intent is *claimed* when its status is `in_progress`; a lane (compose project) with a claimed
intent gives out no other, so one project is never deployed twice at a time.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from webhook_launcher.adapters.journal.database import Database
from webhook_launcher.adapters.journal.rows import intent_of, origin_record, time_text
from webhook_launcher.core.errors import QueueFullError
from webhook_launcher.core.model import Action, Intent, Status, Trust, Wish

_OPEN = "status IN ('queued', 'in_progress')"


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

    def enqueue(
        self, wishes: Iterable[Wish], now: datetime, not_before: datetime | None = None
    ) -> list[Intent]:
        """Commit new intents, each replacing the older pending ones that it makes pointless.

        Raises QueueFullError, with nothing written, when too many would wait.
        """
        with self._database.transaction() as connection:
            made = [self._add(connection, wish, now, not_before) for wish in wishes]
            if made and self.pending() > self._limit:
                raise QueueFullError(f"{self._limit} intents are waiting already")
        return made

    def claim(self, now: datetime) -> Intent | None:
        """Lease the oldest intent that is due, whose lane is free and workload not paused.

        An operator's explicit wish passes a pause: the one who paused asks for it. So does what
        was begun before: half a deployment is not a state to pause in.
        """
        with self._database.transaction() as connection:
            taken = {
                self._lanes.get(row["workload"])
                for row in connection.execute(
                    "SELECT workload FROM intents WHERE status = 'in_progress'"
                )
            }
            rows = connection.execute(
                "SELECT i.*, coalesce(w.paused, 0) AS paused, EXISTS (SELECT 1 FROM deployments d "
                "WHERE d.workload = i.workload AND d.status = 'in_progress') AS begun "
                "FROM intents i LEFT JOIN workloads w ON w.name = i.workload "
                "WHERE i.status = 'queued' AND (i.not_before IS NULL OR i.not_before <= ?) "
                "ORDER BY i.seq",
                (time_text(now),),
            )
            for row in rows:
                intent = intent_of(row)
                lane = self._lanes.get(intent.workload)
                held = row["paused"] and not row["begun"] and not _by_operator(intent)
                if lane is None or lane in taken or held:
                    continue
                connection.execute(
                    "UPDATE intents SET status = 'in_progress', attempts = attempts + 1 "
                    "WHERE id = ?",
                    (intent.id,),
                )
                return replace(intent, status=Status.IN_PROGRESS, attempts=intent.attempts + 1)
        return None

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
            connection.execute(
                "UPDATE intents SET status = ?, code = ?, detail = ?, "
                "deployment = coalesce(?, deployment), not_before = NULL WHERE id = ?",
                (status.value, code, detail, deployment, intent.id),
            )

    def postpone(self, intent: Intent, until: datetime, *, code: str, detail: str) -> None:
        """Give a claimed intent back, to be tried again; a newer one replaces it instead."""
        with self._database.transaction() as connection:
            newer = connection.execute(
                f"SELECT id FROM intents WHERE workload = ? AND {_OPEN} AND id != ? "
                "AND action IN ('deploy', 'rollback', ?) ORDER BY seq DESC LIMIT 1",
                (intent.workload, intent.id, intent.wish.action.value),
            ).fetchone()
            if newer:
                self.settle(intent, Status.INACTIVE, code="superseded", detail=_by(newer["id"]))
                return
            connection.execute(
                "UPDATE intents SET status = 'queued', not_before = ?, code = ?, detail = ? "
                "WHERE id = ?",
                (time_text(until), code, detail, intent.id),
            )

    def release_claims(self) -> list[Intent]:
        """At start: what a killed launcher had claimed goes back to the front of the queue.

        Intents of workloads that left the configuration are settled as inactive.
        """
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
            for row in connection.execute(f"SELECT * FROM intents WHERE {_OPEN}").fetchall():
                if row["workload"] not in self._lanes:
                    self.settle(
                        intent_of(row),
                        Status.INACTIVE,
                        code="unknown-workload",
                        detail="the workload is no longer configured",
                    )
        return claimed

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
                f"SELECT * FROM intents WHERE workload = ? AND {_OPEN} ORDER BY seq", (workload,)
            ).fetchall()
        return [intent_of(row) for row in rows]

    def pending(self) -> int:
        """How many intents wait, claimed ones not counted."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT count(*) AS n FROM intents WHERE status = 'queued'"
            ).fetchone()
        return int(row["n"])

    def next_due(self) -> datetime | None:
        """When the earliest postponed intent becomes due; None when none waits for a time."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT min(not_before) AS due FROM intents WHERE status = 'queued'"
            ).fetchone()
        return datetime.fromisoformat(row["due"]) if row["due"] else None

    def _add(
        self,
        connection: sqlite3.Connection,
        wish: Wish,
        now: datetime,
        not_before: datetime | None,
    ) -> Intent:
        intent = Intent(self._new_id(), wish, now, not_before=not_before)
        self._supersede(connection, intent)
        connection.execute(
            "INSERT INTO intents (id, workload, action, reference, hint, origin, delivery, "
            "created_at, not_before, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued')",
            (
                intent.id,
                wish.workload,
                wish.action.value,
                str(wish.reference) if wish.reference else None,
                int(wish.hint),
                json.dumps(origin_record(wish.origin)),
                wish.origin.delivery,
                time_text(now),
                time_text(not_before),
            ),
        )
        return intent

    @staticmethod
    def _supersede(connection: sqlite3.Connection, newer: Intent) -> None:
        """A look replaces an older look of its kind; an explicit wish everything that waits.

        A look never replaces an explicit wish: a hint anybody with a URL token may send must not
        cancel what a signed event or an operator asked for. It waits behind it.
        """
        action = newer.wish.action
        actions = [a.value for a in Action] if action.explicit else [action.value]
        marks = ", ".join("?" for _ in actions)
        connection.execute(
            "UPDATE intents SET status = 'inactive', code = 'superseded', detail = ? "  # noqa: S608
            f"WHERE workload = ? AND status = 'queued' AND action IN ({marks})",
            (_by(newer.id), newer.workload, *actions),
        )


def _by_operator(intent: Intent) -> bool:
    return intent.wish.origin.trust is Trust.OPERATOR and intent.wish.action.explicit


def _by(intent_id: str) -> str:
    return f"superseded by {intent_id}"
