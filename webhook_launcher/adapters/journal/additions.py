"""Intents about to be added: what waits is read once, and all of them are written at once.

A flood brings many wishes for few workloads. What replaces what is found in memory, and each table
is written by one statement that gets its rows as JSON: every statement, and every row fetched,
gives Python's lock away and waits for it again, beside a thread that is busy with requests.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from webhook_launcher.adapters.journal.rows import intent_of, origin_record, time_text
from webhook_launcher.core.errors import NotRipeError, QueueFullError, RateLimitedError
from webhook_launcher.core.model import Action, Intent, Trust, Wish

# How long at most a newer intent waits because an older one could not be tried: what is down may be
# up again, and who pushed does not want to wait for minutes.
_PAUSE = timedelta(seconds=5)
_QUEUED = """
SELECT (SELECT count(*) FROM intents WHERE status = 'queued'), json_group_array(json_object(
    'id', id, 'workload', workload, 'action', action, 'reference', reference, 'hint', hint,
    'origin', origin, 'created_at', created_at, 'status', status, 'attempts', attempts,
    'not_before', not_before, 'code', code, 'detail', detail, 'deployment', deployment))
FROM (
    SELECT * FROM intents
    WHERE status = 'queued' AND workload IN (SELECT value FROM json_each(?)) ORDER BY seq
)
"""
_INSERT = """
INSERT INTO intents (id, workload, action, reference, hint, origin, delivery, created_at,
    not_before, status, code, detail)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
    json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]'),
    json_extract(value, '$[9]'), json_extract(value, '$[10]'), json_extract(value, '$[11]')
FROM json_each(?) ORDER BY key
"""
_SUPERSEDE = """
UPDATE intents SET status = 'inactive', code = 'superseded', not_before = NULL,
    detail = json_extract(newer.value, '$[1]')
FROM json_each(?) AS newer WHERE intents.id = json_extract(newer.value, '$[0]')
"""


class Additions:
    """The queue of some workloads as it will be. `write` makes it so; before, nothing is written.

    Belongs to one transaction. `limit` is how many intents may wait, of all workloads together.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        workloads: Iterable[str],
        limit: int,
        new_id: Callable[[], str],
    ) -> None:
        self._connection = connection
        self._limit = limit
        self._new_id = new_id
        self._added: dict[str, Intent] = {}
        self._replaced_by: dict[str, str] = {}
        self._queued: dict[str, list[Intent]] = {}
        self._pending: int  # of all workloads, claimed ones not counted
        self._pending, found = connection.execute(
            _QUEUED, (json.dumps(sorted(set(workloads))),)
        ).fetchone()
        for record in json.loads(found):
            self._queued.setdefault(record["workload"], []).append(intent_of(record))

    def add(
        self, wishes: Sequence[Wish], now: datetime, not_before: datetime | None = None
    ) -> list[Intent]:
        """Each wish replaces the older waiting ones that it makes pointless.

        Raises QueueFullError, with none of them added, when too many would wait; what only
        replaces is taken, and so is the restoration of what should run, of which each workload
        has one.
        """
        made = [Intent(self._new_id(), wish, now, not_before=not_before) for wish in wishes]
        queued = {wish.workload: self._queued.get(wish.workload, []) for wish in wishes}
        replaced_by: dict[str, str] = {}
        for number, intent in enumerate(made):
            old = [one for one in queued[intent.workload] if intent.wish.replaces(one.wish)]
            replaced_by |= {one.id: intent.id for one in old}
            kept = [one for one in queued[intent.workload] if one.id not in replaced_by]
            made[number] = replace(intent, not_before=pause_after(old, intent))
            queued[intent.workload] = [*kept, made[number]]
        grown = len(made) - len(replaced_by)
        repairs = all(wish.action is Action.RESTORE for wish in wishes)
        if grown > 0 and not repairs and self._pending + grown > self._limit:
            raise QueueFullError(f"{self._limit} intents are waiting already")
        self._pending += grown
        self._queued |= queued
        self._added |= {intent.id: intent for intent in made}
        self._replaced_by |= replaced_by
        return made

    def write(self) -> None:
        """All that was added, in its order, and what became pointless by it."""
        if self._added:
            rows = [self._row(intent) for intent in self._added.values()]
            self._connection.execute(_INSERT, (json.dumps(rows),))
        older = [
            (old, _superseded(newer))
            for old, newer in self._replaced_by.items()
            if old not in self._added
        ]
        if older:
            self._connection.execute(_SUPERSEDE, (json.dumps(older),))

    def _row(self, intent: Intent) -> list[object]:
        wish, newer = intent.wish, self._replaced_by.get(intent.id)
        return [
            intent.id,
            wish.workload,
            wish.action.value,
            str(wish.reference) if wish.reference else None,
            int(wish.hint),
            json.dumps(origin_record(wish.origin)),
            wish.origin.delivery,
            time_text(intent.created_at),
            time_text(intent.not_before) if newer is None else None,
            "queued" if newer is None else "inactive",
            None if newer is None else "superseded",
            None if newer is None else _superseded(newer),
        ]


def pause_after(replaced: Iterable[Intent], newer: Intent) -> datetime | None:
    """When the newer intent is due, after what stopped those that it replaces.

    In a flood of deliveries every one would else be an attempt of its own on an engine or registry
    that is down. A registry that said how long to leave it alone is left alone that long. What an
    operator orders is tried at once; so is what follows a wait for an image's age, where nothing
    was down.
    """
    wish, soon = newer.wish, newer.created_at + _PAUSE
    if wish.explicit and wish.origin.trust is Trust.OPERATOR:
        return newer.not_before
    due = [newer.not_before] if newer.not_before else []
    for older in replaced:
        if older.not_before is not None and older.code != NotRipeError.code:
            asked = older.code == RateLimitedError.code
            due.append(older.not_before if asked else min(older.not_before, soon))
    return max(due, default=None)


def _superseded(newer: str) -> str:
    return f"superseded by {newer}"
