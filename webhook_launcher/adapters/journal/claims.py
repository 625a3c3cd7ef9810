"""Which intent is next. Asked by every worker, many times a minute, while deliveries wait for it.

So it does not look at what is not due: with the registry down, all that waits is postponed.
"""

import heapq
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime

from webhook_launcher.adapters.journal.rows import intent_of, time_text
from webhook_launcher.core.errors import NotRipeError
from webhook_launcher.core.model import LONGEST_WAIT, Action, Intent, Trust

_QUEUED = """
SELECT i.*, coalesce(w.paused, 0) AS paused, EXISTS (
    SELECT 1 FROM deployments AS d WHERE d.workload = i.workload AND d.status = 'in_progress'
) AS begun
FROM intents AS i INDEXED BY intents_due LEFT JOIN workloads AS w ON w.name = i.workload
WHERE i.status = 'queued' AND
"""
# A statement for each range of the index: of an OR, SQLite would look at every entry.
_NEVER_POSTPONED = f"{_QUEUED} i.not_before IS NULL ORDER BY i.seq"
_DUE_AGAIN = f"{_QUEUED} i.not_before <= :now ORDER BY i.seq"
# Nobody postpones for longer than LONGEST_WAIT: what seems to, the clock was set back on. What
# ripens does wait longer, by the same clock by which its age is told.
_CLOCK_SET_BACK = f"""
{_QUEUED} i.not_before > :never AND coalesce(i.code, '') != :unripe ORDER BY i.seq
"""


def next_claim(
    connection: sqlite3.Connection, lanes: Mapping[str, str], now: datetime
) -> Intent | None:
    """The oldest intent that is due and may begin; nothing is written."""
    claimed = connection.execute(
        "SELECT workload, lane FROM intents WHERE status = 'in_progress'"
    ).fetchall()
    taken = {row["lane"] for row in claimed}
    at_work = {row["workload"] for row in claimed}
    for row in _due(connection, now):
        workload = row["workload"]
        lane = lanes.get(workload)
        if lane is None or lane in taken or workload in at_work:
            continue
        intent = intent_of(row)
        held = row["paused"] and not row["begun"] and not _by_operator(intent)
        if not held and not _behind(connection, intent):
            return intent
    return None


def _due(connection: sqlite3.Connection, now: datetime) -> Iterator[sqlite3.Row]:
    """What is due, oldest first. What never was postponed is in this order in the index."""
    moments = {
        "now": time_text(now),
        "never": time_text(now + LONGEST_WAIT),
        "unripe": NotRipeError.code,
    }
    return heapq.merge(
        connection.execute(_NEVER_POSTPONED),
        connection.execute(_DUE_AGAIN, moments),
        connection.execute(_CLOCK_SET_BACK, moments),
        key=lambda row: int(row["seq"]),
    )


def _behind(connection: sqlite3.Connection, intent: Intent) -> bool:
    """A look waits for an older explicit wish, due or not."""
    if intent.wish.action is not Action.CHECK:
        return False
    older = connection.execute(
        "SELECT * FROM intents WHERE workload = ? AND status = 'queued' "
        "AND seq < (SELECT seq FROM intents WHERE id = ?)",
        (intent.workload, intent.id),
    )
    return any(intent_of(row).wish.explicit for row in older)


def _by_operator(intent: Intent) -> bool:
    return intent.wish.origin.trust is Trust.OPERATOR and intent.wish.explicit
