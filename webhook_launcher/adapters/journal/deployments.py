"""Deployments and what they leave behind: the current and previous release of each workload."""

import sqlite3
from dataclasses import replace
from datetime import datetime

from webhook_launcher.adapters.journal.database import Database
from webhook_launcher.adapters.journal.receipts import Receipts
from webhook_launcher.adapters.journal.rows import deployment_of, deployment_text
from webhook_launcher.adapters.journal.workloads import Workloads
from webhook_launcher.core.errors import ComposeError, NotJudgedError
from webhook_launcher.core.model import Deployment, Image, Status

SCHEMA = """
CREATE TABLE deployments (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workload TEXT NOT NULL,
    intent TEXT NOT NULL,
    status TEXT NOT NULL,
    record TEXT NOT NULL              -- JSON, the whole Deployment
);
CREATE INDEX deployments_by_workload ON deployments (workload, seq);
CREATE INDEX deployments_by_intent ON deployments (intent);
CREATE INDEX deployments_open ON deployments (seq) WHERE status = 'in_progress';
"""


class Deployments:
    """Every attempt, newest first, and the one in progress of each workload.

    The transaction that ends an attempt adds its receipt; what is written to the record later, such
    as that its rollback ended well, is in the receipt of that rollback.
    """

    def __init__(self, database: Database, workloads: Workloads, receipts: Receipts) -> None:
        self._database = database
        self._workloads = workloads
        self._receipts = receipts

    def begin(self, deployment: Deployment) -> None:
        """Record an attempt before anything is touched."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO deployments (id, workload, intent, status, record) "
                "VALUES (?, ?, ?, ?, ?)",
                (
                    deployment.id,
                    deployment.workload,
                    deployment.intent,
                    deployment.status.value,
                    deployment_text(deployment),
                ),
            )

    def mark_switching(self, deployment: Deployment) -> Deployment:
        """From here on the old containers may be gone: a restart must finish or undo this."""
        switching = replace(deployment, switching=True)
        with self._database.transaction() as connection:
            self._write(connection, switching)
        return switching

    def succeed(
        self,
        deployment: Deployment,
        *,
        instead_of: Deployment | None = None,
        quarantine: bool = False,
    ) -> None:
        """The release runs, proved: it becomes current, the former current becomes previous.

        A rollback runs `instead_of` an attempt that failed, whose image can be quarantined.
        """
        with self._database.transaction() as connection:
            if instead_of is not None:
                self._write(connection, instead_of)  # first: it ended first, as receipts tell it
            self._write(connection, deployment)
            self._workloads.promote(deployment.workload, deployment.image, deployment.tracked)
            if instead_of is not None:
                self._deal_with(instead_of, quarantine=quarantine)
        self._receipts.tell()

    def fail(
        self,
        deployment: Deployment,
        *,
        stays: bool = False,
        rollback: Deployment | None = None,
    ) -> None:
        """The attempt ended badly; its rollback, if any, begins in the same commit.

        While the rollback goes on, which is also the control, the attempt stays in progress.

        With `stays` its release is current nevertheless: nothing else is to run. What was
        tracked then counts as dealt with if its image was to blame; if it was the host, the next
        poll may try it again.
        """
        with self._database.transaction() as connection:
            self._write(connection, deployment)
            if stays:
                self._workloads.promote(deployment.workload, deployment.image, deployment.tracked)
            if rollback is not None:
                self.begin(rollback)
        self._receipts.tell()

    def rewrite(self, *deployments: Deployment) -> None:
        """Replace the records of attempts, such as when a rollback has ended."""
        with self._database.transaction() as connection:
            for deployment in deployments:
                self._write(connection, deployment)
        self._receipts.tell()

    def interrupted(self, workload: str) -> list[Deployment]:
        """The attempts that an outage or a killed launcher left in progress, oldest first."""
        return self._select(
            "WHERE workload = ? AND status = 'in_progress' ORDER BY seq", (workload,)
        )

    def concluded(self, intent_id: str) -> Deployment | None:
        """Return the attempt by which an intent came to its end.

        The return to the former release counts only for an intent that asked for it, while the
        attempt of another one was waited for.
        """
        found = self._select(
            "WHERE intent = ? AND status IN ('success', 'failure', 'inactive') ORDER BY seq DESC",
            (intent_id,),
        )
        return next((attempt for attempt in found if self._answers(attempt, intent_id)), None)

    def _answers(self, attempt: Deployment, intent_id: str) -> bool:
        undone = self.get(attempt.undoes) if attempt.undoes else None
        return attempt.undoes is None or (undone is not None and undone.intent != intent_id)

    def refused_before(self, attempt: Deployment, since: datetime) -> bool:
        """True when compose had not started its image the last time either, and since `since`.

        It counts when the former release was started after it. A second one is a verdict, after
        which the count begins anew.
        """
        found = self._select(
            "WHERE workload = ? AND id != ? AND json_extract(record, '$.image.digest') = ? "
            "AND (json_extract(record, '$.switching') "
            f"OR json_extract(record, '$.code') = '{ComposeError.code}') "
            "AND json_extract(record, '$.undoes') IS NULL ORDER BY seq DESC LIMIT 1",
            (attempt.workload, attempt.id, attempt.image.digest),
        )
        return any(
            before.status is Status.ERROR
            and before.code == ComposeError.code
            and before.restored is True
            and (before.finished_at or before.started_at) >= since
            for before in found
        )

    def not_judged(self, intent_id: str) -> int:
        """Return how many attempts of an intent ended without a verdict."""
        found = self._select(
            "WHERE intent = ? AND status = 'error' AND json_extract(record, '$.code') = "
            f"'{NotJudgedError.code}'",
            (intent_id,),
        )
        return len(found)

    def released(self, workload: str, count: int) -> list[Image]:
        """The images of the newest `count` releases that ran, proved, newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT record, max(seq) AS newest FROM deployments "
                "WHERE workload = ? AND status = 'success' "
                "GROUP BY json_extract(record, '$.image.digest') ORDER BY newest DESC LIMIT ?",
                (workload, count),
            ).fetchall()
        return [deployment_of(row["record"]).image for row in rows]

    def in_doubt(self, workload: str) -> bool:
        """True when the last attempt that touched the workload failed: what runs is not proved."""
        found = self._select(
            "WHERE workload = ? AND (status IN ('success', 'failure') "
            "OR status IN ('error', 'inactive') AND json_extract(record, '$.switching')) "
            "ORDER BY seq DESC LIMIT 1",
            (workload,),
        )
        return bool(found) and found[0].status is not Status.SUCCESS

    def get(self, deployment_id: str) -> Deployment | None:
        """One attempt by its id."""
        found = self._select("WHERE id = ?", (deployment_id,))
        return found[0] if found else None

    def history(
        self, workload: str | None = None, limit: int = 50, before: str | None = None
    ) -> list[Deployment]:
        """Newest first; `before` is the id of the last one already seen."""
        where, values = ["1 = 1"], []
        if workload is not None:
            where.append("workload = ?")
            values.append(workload)
        if before is not None:
            where.append("seq < (SELECT seq FROM deployments WHERE id = ?)")
            values.append(before)
        condition = " AND ".join(where)
        return self._select(f"WHERE {condition} ORDER BY seq DESC LIMIT ?", (*values, limit))

    def _deal_with(self, failed: Deployment, *, quarantine: bool) -> None:
        """No look is to try it again, and with a quarantine nobody at all.

        An image that could not be judged (ERROR) is not dealt with.
        """
        if failed.status is Status.FAILURE and failed.tracked == failed.image.digest:
            self._workloads.acted_on(failed.workload, failed.tracked)
        if quarantine:
            self._workloads.quarantine(
                failed.workload,
                failed.image.digest,
                failed.detail or "failed",
                failed.finished_at or failed.started_at,
                failed.image.manifest,
            )

    def _write(self, connection: sqlite3.Connection, deployment: Deployment) -> None:
        connection.execute(
            "UPDATE deployments SET status = ?, record = ? WHERE id = ?",
            (deployment.status.value, deployment_text(deployment), deployment.id),
        )
        if deployment.status.final:
            self._receipts.add(deployment)

    def _select(self, condition: str, values: tuple[object, ...]) -> list[Deployment]:
        # `condition` is made of the literals above; values are bound.
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT record FROM deployments {condition}",  # noqa: S608
                values,
            ).fetchall()
        return [deployment_of(row["record"]) for row in rows]
