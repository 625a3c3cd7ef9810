"""The journal: what was heard, what is wanted, what was done. SQLite, WAL, synchronous FULL.

The queue lives here too: enqueueing and claiming are transactions on the same file, so there is
nothing to rebuild after a crash but the claims of the process that died.
"""

import copy
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
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
from webhook_launcher.adapters.journal.privacy import check_directory
from webhook_launcher.adapters.journal.probe import Probe
from webhook_launcher.adapters.journal.receipt_key import check_keys, public_keys, signing_key
from webhook_launcher.adapters.journal.receipts import Receipts, kept_receipts
from webhook_launcher.adapters.journal.restoration import (
    Restoration,
    preview,
    restore,
    set_aside,
)
from webhook_launcher.adapters.journal.retention import forget
from webhook_launcher.adapters.journal.room import Room
from webhook_launcher.adapters.journal.schema import STEPS, Step
from webhook_launcher.adapters.journal.upgrade import upgrade_pending
from webhook_launcher.adapters.journal.workloads import Workloads
from webhook_launcher.core.dsse import PrivateKey
from webhook_launcher.core.errors import JournalDamagedError
from webhook_launcher.core.retention import Retention

__all__ = [
    "Accepted",
    "Journal",
    "Restoration",
    "check_directory",
    "check_keys",
    "kept_receipts",
    "preview",
    "public_keys",
    "restore",
    "set_aside",
    "upgrade_ahead",
    "upgrade_pending",
]

# Every module that owns tables; see `schema`.
TABLES = (deliveries, intents, deployments, workloads, evidence, receipts, probe)


def _random_id() -> str:
    """128 random bits: whoever knows the id of a delivery may read what became of it."""
    return secrets.token_urlsafe(16)


def upgrade_ahead(state: Path) -> None:
    """Upgrade the journal as the next start would; raises JournalError as that would.

    For `serve`: gunicorn ends a worker that has not started within 30 s.
    """
    Database(state, [table.SCHEMA for table in TABLES]).close()


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
        steps: Sequence[Step] = STEPS,
    ) -> None:
        self._database = Database(state, [table.SCHEMA for table in TABLES], steps)
        self._state = state
        self._probe = Probe(self._database)
        self._room = Room(self._database, state)
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

    def prune(self, now: datetime, retention: Retention) -> None:
        """Forget what retention does not ask for, and give the room back to the disk.

        In portions: whoever brings a delivery meanwhile waits for one of them at most.
        """
        forget(self._database, now, retention)
        self._room.give_back()

    def close(self) -> None:
        """Close the file and release the state directory."""
        self._database.close()
