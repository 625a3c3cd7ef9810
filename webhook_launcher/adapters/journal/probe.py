"""Whether the disk takes a commit now, asked without waiting for ever.

A transaction that changes nothing asks no disk, so one row is written. A disk that hangs is told
as such: the one who asks gets an answer within seconds, and the next one waits for the same commit.
"""

import sqlite3
import threading
import time
from collections.abc import Callable

from webhook_launcher.adapters.journal.database import Database
from webhook_launcher.core.errors import JournalError

SCHEMA = """
CREATE TABLE probe (only INTEGER PRIMARY KEY, count INTEGER NOT NULL);
"""
_WRITE = """
INSERT INTO probe VALUES (1, 0) ON CONFLICT DO UPDATE SET count = (count + 1) % 1000000
"""
# Seconds. Less than the patience of a healthcheck.
_PATIENCE = 2.0


class Probe:
    """One commit that changes nothing but itself."""

    def __init__(self, database: Database, patience: float = _PATIENCE) -> None:
        self._database = database
        self._patience = patience
        self._mutex = threading.Lock()
        self._asked: _Question | None = None

    def ask(self) -> None:
        """Raise JournalError when a commit fails, or has not come back in time."""
        with self._mutex:
            question = self._asked
            if question is None or question.answered.is_set():
                question = self._asked = _Question()
                self._database.submit(self._write, question.hear)
        if not question.answered.wait(self._patience):
            waited = time.monotonic() - question.since
            raise JournalError(
                f"no commit has come back for {waited:.0f} s",
                advice="The disk of the `state` directory is slow or hangs; check it.",
            )
        question.result()

    def _write(self) -> sqlite3.Cursor:
        with self._database.transaction() as connection:
            return connection.execute(_WRITE)


class _Question:
    """A commit that was handed in, and what came of it."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.answered = threading.Event()
        self.result: Callable[[], object] = lambda: None  # raises what the commit raised

    def hear(self, result: Callable[[], object]) -> None:
        self.result = result
        self.answered.set()
