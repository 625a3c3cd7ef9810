"""What is known of each workload: current and previous release, pause, last look, quarantine."""

import json
import sqlite3
import sys
from datetime import datetime

from webhook_launcher.adapters.journal.database import Store
from webhook_launcher.adapters.journal.rows import image_of, image_record, time_of, time_text
from webhook_launcher.core.model import Image, WorkloadState
from webhook_launcher.core.reference import Digest, Reference, parse_reference

SCHEMA = """
CREATE TABLE workloads (
    name TEXT PRIMARY KEY,
    current TEXT,
    previous TEXT,
    wanted TEXT,
    tracked TEXT,
    seen TEXT,
    paused INTEGER NOT NULL DEFAULT 0,
    checked_at TEXT,
    check_result TEXT,
    found TEXT,                       -- what was tracked at the last look that was answered
    found_at TEXT,
    moved_at TEXT,                    -- since when it is that
    signed_at TEXT                    -- of the newest deploy event accepted
);
-- Every digest that was current, in the order of the first time.
CREATE TABLE accepted (
    workload TEXT NOT NULL,
    digest TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (workload, digest)
);
CREATE TABLE quarantine (
    workload TEXT NOT NULL,
    digest TEXT NOT NULL,
    since TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (workload, digest)
);
-- The platform's manifest of an index in quarantine: the same image by another digest.
CREATE TABLE quarantined_manifests (
    workload TEXT NOT NULL,
    digest TEXT NOT NULL,
    manifest TEXT NOT NULL,
    PRIMARY KEY (workload, digest)
);
"""

_QUARANTINED = """
SELECT digest, NULL AS manifest FROM quarantine WHERE workload = :name
UNION ALL SELECT digest, manifest FROM quarantined_manifests WHERE workload = :name
"""
_ACCEPT = """
INSERT OR IGNORE INTO accepted (workload, digest, number)
SELECT ?, ?, 1 + coalesce(max(number), 0) FROM accepted WHERE workload = ?
"""
# Decades of a workload that is deployed every day; an older digest counts as new.
KEPT_ACCEPTED = 10_000
_FORGET = """
DELETE FROM accepted
WHERE workload = ? AND number <= (SELECT max(number) FROM accepted WHERE workload = ?) - ?
"""


class Workloads:
    """One row per workload that was ever configured."""

    def __init__(self, database: Store) -> None:
        self._database = database

    def state(self, name: str) -> WorkloadState:
        """What is known of a workload; all empty when nothing is."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM workloads WHERE name = ?", (name,)).fetchone()
            bad = connection.execute(_QUARANTINED, {"name": name}).fetchall()
        quarantined = frozenset(Digest(item["manifest"] or item["digest"]) for item in bad)
        if row is None:
            return WorkloadState(name, quarantined=quarantined)
        return WorkloadState(
            name=name,
            current=image_of(json.loads(row["current"])) if row["current"] else None,
            previous=image_of(json.loads(row["previous"])) if row["previous"] else None,
            wanted=parse_reference(row["wanted"]) if row["wanted"] else None,
            tracked=Digest(row["tracked"]) if row["tracked"] else None,
            seen=Digest(row["seen"]) if row["seen"] else None,
            paused=bool(row["paused"]),
            checked_at=time_of(row["checked_at"]),
            check_result=row["check_result"],
            found=parse_reference(row["found"]) if row["found"] else None,
            found_at=time_of(row["found_at"]),
            moved_at=time_of(row["moved_at"]),
            quarantined=quarantined,
        )

    def promote(self, name: str, image: Image, tracked: Digest | None) -> None:
        """Make an image current; the former current one becomes previous if it is another.

        `tracked` is what the tracked reference was at that time, if known.
        """
        with self._database.transaction() as connection:
            before = self.state(name)
            changed = before.current is None or before.current.digest != image.digest
            previous = before.current if changed else before.previous
            self._set(
                connection,
                name,
                current=json.dumps(image_record(image)),
                previous=json.dumps(image_record(previous)) if previous else None,
            )
            for one in image.each:
                for digest in one.names:
                    connection.execute(_ACCEPT, (name, digest, name))
            connection.execute(_FORGET, (name, name, KEPT_ACCEPTED))
            if tracked == image.digest:
                self.acted_on(name, tracked)
            elif tracked is not None:
                self._set(connection, name, seen=tracked)

    def superseded(self, name: str, image: Image) -> bool:
        """True when the image was current before the one of its repository that is.

        After a rollback, what was current before the rollback is newer, and so not superseded.
        """
        current = self.state(name).current
        repository = image.reference.repository
        every = current.each if current else ()
        runs = [one for one in every if one.reference.repository == repository]
        if not runs:
            return False
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT digest, number FROM accepted WHERE workload = ? AND digest IN (?, ?)",
                (name, image.digest, runs[0].digest),
            ).fetchall()
        numbers: dict[str, int] = {row["digest"]: row["number"] for row in rows}
        return numbers.get(image.digest, sys.maxsize) < numbers.get(runs[0].digest, 0)

    def acted_on(self, name: str, tracked: Digest) -> None:
        """Remember the tracked digest that was dealt with, so that only a newer one counts."""
        with self._database.transaction() as connection:
            self._set(connection, name, tracked=tracked, seen=None)

    def want(self, name: str, reference: Reference) -> None:
        """Remember what the newest intent asked for, digest included once it is resolved."""
        with self._database.transaction() as connection:
            self._set(connection, name, wanted=str(reference))

    def checked(
        self, name: str, result: str, now: datetime, found: Reference | None = None
    ) -> None:
        """Remember when the tracked reference was last looked at, and what came of it.

        `found` is the reference with its digest, when the look was answered.
        """
        when = time_text(now)
        with self._database.transaction() as connection:
            self._set(connection, name, checked_at=when, check_result=result)
            if found is not None:
                before = self.state(name).found
                self._set(connection, name, found=str(found), found_at=when)
                if before is None or before.digest != found.digest:
                    self._set(connection, name, moved_at=when)

    def pause(self, name: str, paused: bool) -> None:
        """Hold or release the automatic deployments of a workload."""
        with self._database.transaction() as connection:
            self._set(connection, name, paused=int(paused))

    def quarantine(
        self, name: str, digest: Digest, reason: str, now: datetime, manifest: Digest | None = None
    ) -> None:
        """Never run this digest here again, nor what it is here, until an operator says so.

        `manifest` is the platform's, by which an index would run as well.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?)",
                (name, digest, time_text(now), reason),
            )
            if manifest is not None and manifest != digest:
                connection.execute(
                    "INSERT OR REPLACE INTO quarantined_manifests VALUES (?, ?, ?)",
                    (name, digest, manifest),
                )

    def release_quarantine(self, name: str, digest: Digest | None = None) -> int:
        """Forget one quarantined digest, or all of a workload; how many images there were.

        An index and its manifest here are one: either releases both. If the tracked reference is
        at one of them, that is forgotten too, so that the next look may deploy it.
        """
        with self._database.transaction() as connection:
            state = self.state(name)
            rows = connection.execute(_QUARANTINED, {"name": name}).fetchall()
            gone = {
                row["digest"] for row in rows if digest in (None, row["digest"], row["manifest"])
            }
            for table in ("quarantine", "quarantined_manifests"):
                connection.executemany(
                    f"DELETE FROM {table} WHERE workload = ? AND digest = ?",  # noqa: S608
                    [(name, one) for one in gone],
                )
            if state.tracked in gone:
                self._set(connection, name, tracked=None)
            if state.seen in gone:
                self._set(connection, name, seen=None)
        return len(gone)

    @staticmethod
    def _set(connection: sqlite3.Connection, name: str, **columns: object) -> None:
        connection.execute("INSERT OR IGNORE INTO workloads (name) VALUES (?)", (name,))
        for column, value in columns.items():  # names from this file only
            connection.execute(
                f"UPDATE workloads SET {column} = ? WHERE name = ?",  # noqa: S608
                (value, name),
            )
