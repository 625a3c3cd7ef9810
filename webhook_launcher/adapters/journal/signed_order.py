"""Deploy events count in the order of their signed times, whatever order they arrive in."""

import json
import sqlite3
from collections.abc import Iterable

from webhook_launcher.adapters.journal.rows import time_text
from webhook_launcher.core.model import Action, Wish

_NEWEST = """
SELECT json_group_object(name, signed_at) FROM workloads
WHERE signed_at IS NOT NULL AND name IN (SELECT value FROM json_each(?))
"""
_WRITE = """
INSERT INTO workloads (name, signed_at) SELECT key, value FROM json_each(?) WHERE true
ON CONFLICT (name) DO UPDATE SET signed_at = excluded.signed_at
"""


class SignedOrder:
    """The signed time of the newest deploy event accepted for each workload."""

    def __init__(self, connection: sqlite3.Connection, wishes: Iterable[Wish]) -> None:
        self._connection = connection
        self._newest: dict[str, str] = {}
        self._noted: dict[str, str] = {}
        named = {wish.workload for wish in wishes if _signed_at(wish)}
        if named:
            [found] = connection.execute(_NEWEST, (json.dumps(sorted(named)),)).fetchone()
            self._newest = json.loads(found)

    def allows(self, wish: Wish) -> bool:
        """False for a deploy event signed before the newest one accepted for its workload."""
        signed_at = _signed_at(wish)
        return signed_at is None or signed_at >= self._newest.get(wish.workload, "")

    def note(self, wishes: Iterable[Wish]) -> None:
        """These were accepted."""
        for wish in wishes:
            signed_at = _signed_at(wish)
            if signed_at is not None:
                self._newest[wish.workload] = self._noted[wish.workload] = signed_at

    def write(self) -> None:
        """Keep what was noted."""
        if self._noted:
            self._connection.execute(_WRITE, (json.dumps(self._noted),))


def _signed_at(wish: Wish) -> str | None:
    return time_text(wish.origin.signed_at) if wish.action is Action.DEPLOY else None
