"""Evidence: when a digest was first seen, and what a release that may come back is judged by."""

import base64
import json
from datetime import datetime
from types import MappingProxyType
from typing import Any

from webhook_launcher.adapters.journal.database import Store
from webhook_launcher.adapters.journal.rows import time_of, time_text
from webhook_launcher.adapters.journal.workloads import Workloads
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.evidence import Answer, Check, Evidence, Facts
from webhook_launcher.core.model import Image, Platform

SCHEMA = """
CREATE TABLE sightings (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    PRIMARY KEY (repository, digest)
);
CREATE INDEX sightings_by_age ON sightings (first_seen);
CREATE TABLE evidence (
    workload TEXT NOT NULL,
    digest TEXT NOT NULL,
    record TEXT NOT NULL,             -- JSON; bytes in base64
    PRIMARY KEY (workload, digest)
);
"""


class KeptEvidence:
    """First sights of digests, and the evidence of each workload's releases."""

    def __init__(self, database: Store, workloads: Workloads) -> None:
        self._database = database
        self._workloads = workloads

    def sighted(self, image: Image, now: datetime) -> datetime:
        """When the digest was first seen in its repository: now, if it never was.

        A sight in the future is of a clock that was wrong then.
        """
        seen = self.first_seen(image)
        if seen is not None and seen <= now:
            return seen
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO sightings VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
                "SET first_seen = min(first_seen, excluded.first_seen)",
                (str(image.reference.repository), image.digest, time_text(now)),
            )
        return self.first_seen(image) or now

    def first_seen(self, image: Image) -> datetime | None:
        """The same, without noting anything."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT first_seen FROM sightings WHERE repository = ? AND digest = ?",
                (str(image.reference.repository), image.digest),
            ).fetchone()
        return time_of(row["first_seen"]) if row else None

    def get(self, workload: str, image: Image) -> Evidence | None:
        """What was kept of an image that was admitted here; of several, None if one is missing."""
        if image.parts:
            found = [self.get(workload, one) for one in image.parts]
            parts = tuple(one for one in found if one is not None)
            return Evidence(parts=parts) if len(parts) == len(found) else None
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT record FROM evidence WHERE workload = ? AND digest = ?",
                (workload, image.digest),
            ).fetchone()
        return _evidence_of(json.loads(row["record"]), self.first_seen(image)) if row else None

    def superseded(self, workload: str, image: Image) -> bool:
        """True when it ran on the workload before what runs there now."""
        return self._workloads.superseded(workload, image)

    def keep(self, workload: str, image: Image, evidence: Evidence) -> None:
        """Keep what a return to this image will be judged by.

        With a newcomer, what cannot return any more is forgotten; with a release that ran, nothing
        is: the newcomer that is about to replace it is on its way.
        """
        state = self._workloads.state(workload)
        ran = [one for one in (state.current, state.previous) if one]
        newcomer = image.digest not in {one.digest for one in ran}
        stays = {part.digest for one in (image, *ran) for part in one.each}
        known = zip(image.each, evidence.parts or (evidence,), strict=True)
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?)",
                [(workload, one.digest, json.dumps(_record(its))) for one, its in known],
            )
            if newcomer:
                connection.execute(
                    "DELETE FROM evidence WHERE workload = ? "
                    "AND digest NOT IN (SELECT value FROM json_each(?))",
                    (workload, json.dumps(sorted(stays))),
                )


def _record(evidence: Evidence) -> dict[str, Any]:
    facts = evidence.facts
    return {
        "facts": None
        if facts is None
        else {
            "manifest": _text(facts.manifest),
            "labels": dict(facts.labels),
            "size": facts.size,
            "platform": [facts.platform.os, facts.platform.architecture, facts.platform.variant],
        },
        "attachments": None
        if evidence.attachments is None
        else [
            [one.form.value, one.media_type, _text(one.content), one.signature, one.fault]
            for one in evidence.attachments
        ],
        "answers": [
            [check.argv, check.timeout, answer.status, answer.said]
            for check, answer in evidence.answers.items()
        ],
    }


def _evidence_of(record: dict[str, Any], first_seen: datetime | None) -> Evidence:
    facts, attachments = record["facts"], record["attachments"]
    return Evidence(
        facts
        and Facts(
            base64.b64decode(facts["manifest"]),
            MappingProxyType(facts["labels"]),
            facts["size"],
            Platform(*facts["platform"]),
        ),
        attachments
        if attachments is None
        else tuple(
            Attachment(Form(form), media_type, base64.b64decode(content), signature, fault)
            for form, media_type, content, signature, fault in attachments
        ),
        {
            Check(tuple(argv), timeout): Answer(status, said)
            for argv, timeout, status, said in record["answers"]
        },
        first_seen,
    )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
