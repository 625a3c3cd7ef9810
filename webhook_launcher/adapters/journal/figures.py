"""Numbers about the journal, for `/metrics`."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from webhook_launcher.adapters.journal.damage import NAME
from webhook_launcher.adapters.journal.database import Database

_INTENTS = """
SELECT status, count(*) AS n FROM intents WHERE status IN ('queued', 'in_progress') GROUP BY status
"""
_DELIVERIES = """
SELECT source, CASE WHEN ignored IS NULL THEN 'accepted' ELSE 'ignored' END AS outcome,
    count(*) AS n FROM deliveries GROUP BY source, outcome
"""
_DEPLOYMENTS = "SELECT workload, status, count(*) AS n FROM deployments GROUP BY workload, status"
# Of each workload, the seconds of its last attempt that ended, step by step.
_TIMINGS = """
SELECT workload, key AS step, value AS seconds FROM deployments
JOIN json_each(deployments.record, '$.timings')
WHERE seq IN (SELECT max(seq) FROM deployments WHERE status != 'in_progress' GROUP BY workload)
"""
_ANSWERED = "SELECT name, found_at FROM workloads WHERE found_at IS NOT NULL"


class Figures:
    """Counts of what the journal keeps now; retention makes them smaller."""

    def __init__(self, database: Database, state: Path) -> None:
        self._database = database
        self._state = state

    def intents(self) -> Mapping[tuple[str, ...], float]:
        """Open ones by status."""
        found = self._read(_INTENTS)
        return {(status,): found.get((status,), 0) for status in ("queued", "in_progress")}

    def deliveries(self) -> Mapping[tuple[str, ...], float]:
        """By source and outcome."""
        return self._read(_DELIVERIES)

    def deployments(self) -> Mapping[tuple[str, ...], float]:
        """By workload and status."""
        return self._read(_DEPLOYMENTS)

    def timings(self) -> Mapping[tuple[str, ...], float]:
        """Seconds by workload and step, of the last attempt of each workload that ended."""
        return self._read(_TIMINGS)

    def answered(self) -> Mapping[str, datetime]:
        """When a look was answered last, by workload; also of those that are gone."""
        with self._database.reading() as connection:
            rows = connection.execute(_ANSWERED).fetchall()
        return {row["name"]: datetime.fromisoformat(row["found_at"]) for row in rows}

    def sizes(self) -> Mapping[tuple[str, ...], float]:
        """Bytes of the file and of its WAL."""
        files = {"journal": self._state / NAME, "wal": self._state / f"{NAME}-wal"}
        return {(name,): size_of(path) for name, path in files.items()}

    def _read(self, query: str) -> dict[tuple[str, ...], float]:
        with self._database.reading() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return {tuple(map(str, labels)): float(value) for *labels, value in rows}


def size_of(path: Path) -> int:
    """Bytes; 0 when there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
