"""The chain of receipts: one for each deployment that has ended, in the order in which they ended.

A receipt is added in the transaction that ends its deployment, so a crash leaves neither without
the other. None is ever removed or changed here.
"""

import logging
import sqlite3
from collections.abc import Generator
from pathlib import Path

from webhook_launcher.adapters.journal.database import Database
from webhook_launcher.adapters.journal.snapshot import Snapshot
from webhook_launcher.core.dsse import PrivateKey, PublicKey
from webhook_launcher.core.errors import JournalError
from webhook_launcher.core.model import Deployment
from webhook_launcher.core.receipts import Head, receipt

_log = logging.getLogger(__name__)
SCHEMA = """
CREATE TABLE receipts (
    seq INTEGER PRIMARY KEY,          -- 1, 2, 3, without a gap
    deployment TEXT NOT NULL UNIQUE,
    envelope BLOB NOT NULL            -- the bytes that the next one's hash is over
);
"""
_LAST = "SELECT seq, envelope FROM receipts ORDER BY seq DESC LIMIT 1"


class Receipts:
    """Signs and keeps them."""

    def __init__(self, database: Database, key: PrivateKey) -> None:
        self._database = database
        self._key = key
        self._told: Head | None = None

    @property
    def key(self) -> PublicKey:
        """The public half of the key that signs."""
        return self._key.public

    def add(self, deployment: Deployment) -> None:
        """The receipt of a deployment that has ended, unless it has one."""
        with self._database.transaction() as connection:
            known = "SELECT 1 FROM receipts WHERE deployment = ?"
            if connection.execute(known, (deployment.id,)).fetchone():
                return
            head = _head(connection)
            envelope = receipt(deployment, head, self._key)
            connection.execute(
                "INSERT INTO receipts VALUES (?, ?, ?)",
                (head.sequence + 1 if head else 1, deployment.id, envelope),
            )

    def tell(self) -> None:
        """Log the head, after the commit that moved it: logs kept elsewhere are its witness."""
        head = self.head()
        if head is not None and head != self._told:
            self._told = head
            _log.info("receipt", extra={"head": str(head), "key": self.key.id})

    def head(self) -> Head | None:
        """The newest, None when there is none."""
        with self._database.reading() as connection:
            return _head(connection)

    def after(self, sequence: int, limit: int) -> list[bytes]:
        """Those that follow the one with this number, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT envelope FROM receipts WHERE seq > ? ORDER BY seq LIMIT ?",
                (sequence, limit),
            ).fetchall()
        return [row["envelope"] for row in rows]


def kept_receipts(path: Path) -> Generator[bytes, None, None]:
    """Every receipt in a state directory, oldest first, whether or not a launcher runs there.

    Or those in a file: a copy of a journal, or one that was set aside. Writes nothing and takes no
    lock. Raises JournalError when there is no journal to be read. Close it in the thread that reads
    it: the journal stays open until then.
    """
    snapshot = Snapshot(path.parent, path.name) if path.is_file() else Snapshot(path)
    try:
        with snapshot.reading() as connection:
            rows = "SELECT CAST(envelope AS BLOB) AS envelope FROM receipts ORDER BY seq"
            for row in connection.execute(rows):
                yield row["envelope"]
    except JournalError as error:
        raise JournalError(
            f"no receipts can be read: {error}",
            advice="Run this as the launcher's user; a launcher must have run with this `state`.",
        ) from error


def _head(connection: sqlite3.Connection) -> Head | None:
    row = connection.execute(_LAST).fetchone()
    return Head.of(row["seq"], row["envelope"]) if row else None
