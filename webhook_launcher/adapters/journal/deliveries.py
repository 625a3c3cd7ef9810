"""Deliveries: what was accepted, so that a redelivery or replay is recognised."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from webhook_launcher.adapters.journal.database import Database
from webhook_launcher.adapters.journal.intents import Intents
from webhook_launcher.adapters.journal.rows import time_text
from webhook_launcher.adapters.journal.signed_order import SignedOrder
from webhook_launcher.core.errors import JournalError, QueueFullError
from webhook_launcher.core.model import Event, Heard, Intent, Wish

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


Outcome = Accepted | Exception
_LATE = "a deploy event with a later signed time was accepted before"
_SEEN = """
SELECT seen.source, seen.sender_id, seen.id FROM json_each(?) AS asked
CROSS JOIN deliveries AS seen ON seen.source = json_extract(asked.value, '$[0]')
    AND seen.sender_id = json_extract(asked.value, '$[1]')
"""
_INSERT = """
INSERT INTO deliveries (id, source, sender_id, trust, secret_id, received_at, ignored)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
    json_extract(value, '$[6]')
FROM json_each(?)
"""


class Deliveries:
    """Accepted deliveries by the sender's id and by ours."""

    def __init__(self, database: Database, intents: Intents, new_id: Callable[[], str]) -> None:
        self._database = database
        self._intents = intents
        self._new_id = new_id

    def accept(
        self, event: Event, wishes: Sequence[Wish], ignored: str | None, now: datetime
    ) -> Accepted:
        """Commit a delivery with its intents; when this returns, nothing of it can be lost.

        A sender's id seen before leads to the first answer again and to no new intent. A deploy
        event that was signed before the newest accepted one of its workload is late or repeated:
        it would go back, so it changes nothing. Raises JournalError, QueueFullError among them.
        """
        heard = Heard(event, wishes, ignored, now)
        outcome = self._database.write(partial(self._accept, [heard]))[heard]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def accept_all(
        self, heard: Sequence[Heard], told: Callable[[Mapping[Heard, Outcome]], None]
    ) -> None:
        """Commit deliveries together, each with an outcome as if it had been accepted by itself.

        Does not wait: `told` hears the outcomes, in one or several parts, in the journal's thread
        after their commit. It must be quick and raise nothing.
        """

        def committed(result: Callable[[], Mapping[Heard, Outcome]]) -> None:
            try:
                outcomes = result()
            except Exception as error:  # noqa: BLE001 - it is the outcome
                if len(heard) > 1:  # one may have spoiled it for the others
                    for one in heard:
                        self.accept_all([one], told)
                    return
                outcomes = {heard[0]: error}
            told(outcomes)

        try:
            self._database.submit(partial(self._accept, heard), committed)
        except JournalError as error:  # it is closed
            told(dict.fromkeys(heard, error))

    def _accept(self, heard: Sequence[Heard]) -> dict[Heard, Outcome]:
        with self._database.transaction() as connection:
            batch = _Batch(connection, heard, self._intents, self._new_id)
            for one in heard:
                batch.add(one)
            batch.write()
            for one, delivery in batch.duplicates.items():
                found = self.get(delivery)
                assert found is not None  # noqa: S101 - read or written in this transaction
                batch.outcomes[one] = replace(found, duplicate=True)
        return batch.outcomes

    def get(self, delivery: str) -> Accepted | None:
        """A delivery by our id, with the intents it led to."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT ignored FROM deliveries WHERE id = ?", (delivery,)
            ).fetchone()
        if row is None:
            return None
        return Accepted(delivery, tuple(self._intents.of_delivery(delivery)), row["ignored"])


class _Batch:
    """Deliveries on their way into the journal: decided one after the other, written together."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        heard: Sequence[Heard],
        intents: Intents,
        new_id: Callable[[], str],
    ) -> None:
        self._connection = connection
        self._new_id = new_id
        keys = [(one.event.source, one.event.delivery_id) for one in heard]
        self._seen = {
            (row["source"], row["sender_id"]): row["id"]
            for row in connection.execute(_SEEN, (json.dumps(keys),))
        }
        wishes = [wish for one in heard for wish in one.wishes]
        self._order = SignedOrder(connection, wishes)
        self._additions = intents.additions(connection, (wish.workload for wish in wishes))
        self._rows: list[list[str | None]] = []
        self.outcomes: dict[Heard, Outcome] = {}
        self.duplicates: dict[Heard, str] = {}

    def add(self, heard: Heard) -> None:
        """Decide about one; a queue that is full is its outcome, and nothing is kept of it."""
        event, key = heard.event, (heard.event.source, heard.event.delivery_id)
        if key in self._seen:
            self.duplicates[heard] = self._seen[key]
            return
        delivery = self._new_id()
        in_order = [wish for wish in heard.wishes if self._order.allows(wish)]
        ignored = _LATE if heard.wishes and not in_order else heard.ignored
        stamped = [replace(w, origin=replace(w.origin, delivery=delivery)) for w in in_order]
        try:
            intents = self._additions.add(stamped, heard.at)
        except QueueFullError as error:
            self.outcomes[heard] = error
            return
        self._order.note(in_order)
        self._seen[key] = delivery
        self._rows.append(
            [
                delivery,
                event.source,
                event.delivery_id,
                event.trust.value,
                event.secret_id,
                time_text(heard.at),
                ignored,
            ]
        )
        self.outcomes[heard] = Accepted(delivery, tuple(intents), ignored)

    def write(self) -> None:
        """All of it."""
        if self._rows:
            self._connection.execute(_INSERT, (json.dumps(self._rows),))
        self._additions.write()
        self._order.write()
