"""Deliveries: what was accepted, so that a redelivery or replay is recognised."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from webhook_launcher.adapters.journal.database import Database, written
from webhook_launcher.adapters.journal.intents import Intents
from webhook_launcher.adapters.journal.rows import time_text
from webhook_launcher.core.model import Action, Event, Intent, Wish

SCHEMA = """
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,              -- ours, unguessable, given to the sender
    source TEXT NOT NULL,
    sender_id TEXT NOT NULL,          -- the sender's own id, or a hash of the body
    trust TEXT NOT NULL,
    secret_id TEXT,
    received_at TEXT NOT NULL,
    ignored TEXT,
    UNIQUE (source, sender_id)
);
CREATE INDEX deliveries_by_age ON deliveries (received_at);
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the journal made of a delivery. `id` is ours, unguessable, the same for duplicates."""

    id: str
    intents: tuple[Intent, ...] = ()
    ignored: str | None = None
    duplicate: bool = False


class Deliveries:
    """Accepted deliveries by the sender's id and by ours."""

    def __init__(self, database: Database, intents: Intents, new_id: Callable[[], str]) -> None:
        self._database = database
        self._intents = intents
        self._new_id = new_id

    @written
    def accept(
        self, event: Event, wishes: Sequence[Wish], ignored: str | None, now: datetime
    ) -> Accepted:
        """Commit a delivery with its intents; when this returns, nothing of it can be lost.

        A sender's id seen before leads to the first answer again and to no new intent. A deploy
        event that was signed before the newest accepted one of its workload is late or repeated:
        it would go back, so it changes nothing.
        """
        with self._database.transaction() as connection:
            seen = connection.execute(
                "SELECT id FROM deliveries WHERE source = ? AND sender_id = ?",
                (event.source, event.delivery_id),
            ).fetchone()
            if seen:
                found = self.get(seen["id"])
                assert found is not None  # noqa: S101 - read in the same transaction
                return replace(found, duplicate=True)
            delivery = self._new_id()
            in_order = [wish for wish in wishes if _is_newest(connection, wish)]
            if wishes and not in_order:
                ignored = "a deploy event with a later signed time was accepted before"
            connection.execute(
                "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    delivery,
                    event.source,
                    event.delivery_id,
                    event.trust.value,
                    event.secret_id,
                    time_text(now),
                    ignored,
                ),
            )
            stamped = [replace(w, origin=replace(w.origin, delivery=delivery)) for w in in_order]
            intents = tuple(self._intents.enqueue(stamped, now))
        return Accepted(delivery, intents, ignored)

    def get(self, delivery: str) -> Accepted | None:
        """A delivery by our id, with the intents it led to."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT ignored FROM deliveries WHERE id = ?", (delivery,)
            ).fetchone()
        if row is None:
            return None
        return Accepted(delivery, tuple(self._intents.of_delivery(delivery)), row["ignored"])


def _is_newest(connection: sqlite3.Connection, wish: Wish) -> bool:
    """False for a deploy event signed before the newest one accepted for its workload."""
    signed_at = time_text(wish.origin.signed_at)
    if wish.action is not Action.DEPLOY or signed_at is None:
        return True
    connection.execute("INSERT OR IGNORE INTO workloads (name) VALUES (?)", (wish.workload,))
    accepted = connection.execute(
        "UPDATE workloads SET signed_at = ? "
        "WHERE name = ? AND (signed_at IS NULL OR signed_at <= ?)",
        (signed_at, wish.workload, signed_at),
    )
    return accepted.rowcount == 1
