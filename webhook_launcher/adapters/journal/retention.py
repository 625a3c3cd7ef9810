"""What the journal forgets: what is closed, by age and by number, but nothing that may come again.

By age goes what is older than any captured event could be accepted; the configuration sees to
that. By number, which only a flood reaches, goes nothing of which a signed delivery could be
accepted again today: a flood of one source must not make the launcher forget what another signed.
"""

import json
from datetime import datetime
from functools import partial

from webhook_launcher.adapters.journal.database import Database
from webhook_launcher.adapters.journal.rows import time_text
from webhook_launcher.core.retention import LONGEST_REPLAY, Retention

# Rows of one change: some hundredths of a second, for which a delivery that comes then waits.
_PORTION = 1_000
_DELIVERIES = """
DELETE FROM deliveries WHERE rowid IN (
    SELECT old.rowid FROM deliveries AS old WHERE (
        old.received_at < :horizon
        OR old.rowid <= (SELECT max(rowid) FROM deliveries) - :deliveries
    ) AND (
        old.received_at < :horizon OR old.trust != 'signed' OR old.received_at < coalesce(
            (SELECT value FROM json_each(:replayable) WHERE key = old.source), :longest)
    ) AND NOT EXISTS (
        SELECT 1 FROM intents WHERE intents.delivery = old.id
        AND intents.status IN ('queued', 'in_progress')
    ) LIMIT :portion
)
"""
_INTENTS = """
DELETE FROM intents WHERE seq IN (
    SELECT seq FROM intents WHERE status NOT IN ('queued', 'in_progress') AND (
        created_at < :horizon OR seq <= (SELECT max(seq) FROM intents) - :deliveries
    ) LIMIT :portion
)
"""
# Of each outcome: a workload that fails day after day must not lose its releases for that.
_DEPLOYMENTS = """
DELETE FROM deployments WHERE seq IN (
    SELECT seq FROM (
        SELECT seq, status,
            row_number() OVER (PARTITION BY workload, status ORDER BY seq DESC) AS nth
        FROM deployments
    )
    WHERE nth > :per_workload AND status != 'in_progress'
    AND seq <= (SELECT max(seq) FROM deployments) - :deployments
    LIMIT :portion
)
"""


def forget(database: Database, now: datetime, retention: Retention) -> None:
    """Delete it, in several changes for the writer: what comes in between takes its turn."""
    values: dict[str, object] = {
        "horizon": time_text(now - retention.age),
        "deliveries": retention.deliveries,
        "deployments": retention.deployments,
        "per_workload": retention.per_workload,
        "replayable": json.dumps(
            {name: time_text(now - window) for name, window in retention.replayable.items()}
        ),
        "longest": time_text(now - LONGEST_REPLAY),
        "portion": _PORTION,
    }
    for statement in (_DELIVERIES, _INTENTS, _DEPLOYMENTS):
        while database.write(partial(_delete, database, statement, values)) == _PORTION:
            pass


def _delete(database: Database, statement: str, values: dict[str, object]) -> int:
    with database.transaction() as connection:
        return connection.execute(statement, values).rowcount
