"""The journal: what was heard, what is wanted, what was done. SQLite, WAL, synchronous FULL.

The queue lives here too: enqueueing and claiming are transactions on the same file, so there is
nothing to rebuild after a crash but the claims of the process that died.
"""

import copy
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from webhook_launcher.adapters.journal import (
    deliveries,
    deployments,
    evidence,
    intents,
    probe,
    receipts,
    workloads,
)
from webhook_launcher.adapters.journal.damage import moved_aside
from webhook_launcher.adapters.journal.database import Database
from webhook_launcher.adapters.journal.deliveries import Accepted, Deliveries
from webhook_launcher.adapters.journal.deployments import Deployments
from webhook_launcher.adapters.journal.evidence import KeptEvidence
from webhook_launcher.adapters.journal.figures import Figures
from webhook_launcher.adapters.journal.intents import Intents
from webhook_launcher.adapters.journal.probe import Probe
from webhook_launcher.adapters.journal.receipt_key import check_keys, public_keys, signing_key
from webhook_launcher.adapters.journal.receipts import Receipts, kept_receipts
from webhook_launcher.adapters.journal.rows import time_text
from webhook_launcher.adapters.journal.workloads import Workloads
from webhook_launcher.core.dsse import PrivateKey
from webhook_launcher.core.errors import JournalDamagedError

__all__ = ["Accepted", "Journal", "check_keys", "kept_receipts", "public_keys"]

# Every module that owns tables; see `schema`.
TABLES = (deliveries, intents, deployments, workloads, evidence, receipts, probe)

# Longer than any sender in the facts keeps redelivering (Pub/Sub: 7 days).
_KEEP_DELIVERIES = timedelta(days=30)
# Whatever their age: a flood must not fill the disk.
_MOST_DELIVERIES = 100_000
_MOST_DEPLOYMENTS = 10_000
# However many others have: the current and the previous release are among them.
_KEEP_OF_EACH = 20
_PRUNE = (
    """
    DELETE FROM deliveries WHERE (
        received_at < :horizon OR rowid <= (SELECT max(rowid) FROM deliveries) - :deliveries
    ) AND NOT EXISTS (
        SELECT 1 FROM intents WHERE intents.delivery = deliveries.id
        AND intents.status IN ('queued', 'in_progress')
    )
    """,
    """
    DELETE FROM intents WHERE status NOT IN ('queued', 'in_progress') AND (
        created_at < :horizon OR seq <= (SELECT max(seq) FROM intents) - :deliveries
    )
    """,
    """
    DELETE FROM deployments WHERE status != 'in_progress'
    AND seq <= (SELECT max(seq) FROM deployments) - :deployments
    AND (
        SELECT count(*) FROM deployments AS newer
        WHERE newer.workload = deployments.workload AND newer.seq > deployments.seq
    ) >= :each
    """,
)


def _random_id() -> str:
    """128 random bits: whoever knows the id of a delivery may read what became of it."""
    return secrets.token_urlsafe(16)


class Journal:
    """Opens the journal of a state directory and holds its lock until closed.

    `key` signs the receipts; without one, the state directory's own does, made when there is none.
    Raises StateLockedError when another launcher has it, JournalError when it cannot be used.
    """

    def __init__(
        self,
        state: Path,
        lanes: Mapping[str, str],
        *,
        limit: int = 10_000,
        key: PrivateKey | None = None,
        new_id: Callable[[], str] = _random_id,
    ) -> None:
        self._database = Database(state, [table.SCHEMA for table in TABLES])
        self._state = state
        self._probe = Probe(self._database)
        self.figures = Figures(self._database, state)
        self.new_id = new_id
        self.workloads = Workloads(self._database)
        self.receipts = Receipts(self._database, self._key_in(state, key))
        self.deployments = Deployments(self._database, self.workloads, self.receipts)
        self.intents = Intents(self._database, lanes, limit, new_id)
        self.deliveries = Deliveries(self._database, self.intents, new_id)
        self.evidence = KeptEvidence(self._database, self.workloads)

    def reconfigured(self, lanes: Mapping[str, str], limit: int) -> "Journal":
        """The same open file for another configuration; the one before may still be used."""
        other = copy.copy(self)
        other.intents = Intents(self._database, lanes, limit, self.new_id)
        other.deliveries = Deliveries(self._database, other.intents, self.new_id)
        return other

    def _key_in(self, state: Path, given: PrivateKey | None) -> PrivateKey:
        try:
            return signing_key(state, given)
        except BaseException:
            self.close()
            raise

    @property
    def damage(self) -> str | None:
        """What was found damaged while it was used: the process must start anew."""
        return self._database.damage

    def examine(self) -> None:
        """Find out whether what failed before is damage; costs nothing while nothing fails."""
        self._database.examine()

    def note(self) -> str | None:
        """What an operator should know of it: that another one was found damaged."""
        found = moved_aside(self._state)
        if not found:
            return None
        return (
            f"a damaged journal was moved aside to {found[-1]}: what it alone knew is lost "
            "(history, deliveries, what waited). Check the disk, then remove the file."
        )

    def usable(self) -> None:
        """Raise JournalError unless a transaction can be committed now; answers within 2 s."""
        if self.damage is not None:
            raise JournalDamagedError(f"the journal is damaged: {self.damage}")
        self._probe.ask()

    def prune(self, now: datetime) -> None:
        """Forget what is older than any redelivery, and all but the newest deployments.

        What is open stays, and so do the newest deliveries and deployments of each source and
        workload; what that frees goes back to the disk.
        """
        with self._database.transaction() as connection:
            for statement in _PRUNE:
                connection.execute(
                    statement,
                    {
                        "horizon": time_text(now - _KEEP_DELIVERIES),
                        "deliveries": _MOST_DELIVERIES,
                        "deployments": _MOST_DEPLOYMENTS,
                        "each": _KEEP_OF_EACH,
                    },
                )
        self._database.shrink()

    def close(self) -> None:
        """Close the file and release the state directory."""
        self._database.close()
