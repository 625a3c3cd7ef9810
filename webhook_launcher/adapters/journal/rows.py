"""Between the core's types and what is stored: JSON text with plain values, times in ISO 8601."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from sqlite3 import Row
from typing import Any

from webhook_launcher.core.model import (
    Action,
    Deployment,
    Image,
    Intent,
    Origin,
    Platform,
    Status,
    Trust,
    Verdict,
    Wish,
)
from webhook_launcher.core.reference import Digest, parse_reference

# The queue names few references, over and over.
_reference = lru_cache(maxsize=256)(parse_reference)


def time_text(when: datetime | None) -> str | None:
    """ISO 8601 with offset, so that text order is time order (all times are UTC)."""
    return when.isoformat(timespec="microseconds") if when else None


def time_of(text: str | None) -> datetime | None:
    """The inverse of `time_text`."""
    return datetime.fromisoformat(text) if text else None


def image_record(image: Image | None) -> dict[str, Any] | None:
    """An Image as plain values."""
    if image is None:
        return None
    platform = image.platform
    return {
        "reference": str(image.reference),
        "digest": image.digest,
        "manifest": image.manifest,
        "config": image.config,
        "media_type": image.media_type,
        "parts": [image_record(part) for part in image.parts],
        "platform": [platform.os, platform.architecture, platform.variant] if platform else None,
    }


def image_of(record: dict[str, Any] | None) -> Image | None:
    """The inverse of `image_record`; digests and references are checked again."""
    if record is None:
        return None
    return Image(
        reference=parse_reference(record["reference"]),
        digest=Digest(record["digest"]),
        manifest=Digest(record["manifest"]) if record["manifest"] else None,
        config=Digest(record["config"]) if record["config"] else None,
        media_type=record["media_type"],
        parts=tuple(part for part in map(image_of, record["parts"]) if part is not None),
        platform=Platform(*record["platform"]) if record["platform"] else None,
    )


def origin_record(origin: Origin) -> dict[str, Any]:
    """An Origin as plain values."""
    return {
        "trust": origin.trust.value,
        "source": origin.source,
        "delivery": origin.delivery,
        "secret_id": origin.secret_id,
        "actor": origin.actor,
        "reason": origin.reason,
        "signed_at": time_text(origin.signed_at),
        "overrides": sorted(origin.overrides),
    }


def origin_of(record: dict[str, Any]) -> Origin:
    """The inverse of `origin_record`."""
    return Origin(
        **{
            **record,
            "trust": Trust(record["trust"]),
            "signed_at": time_of(record["signed_at"]),
            "overrides": frozenset(record["overrides"]),
        }
    )


def intent_of(row: Row | Mapping[str, Any]) -> Intent:
    """An Intent from its row."""
    wish = Wish(
        row["workload"],
        Action(row["action"]),
        origin_of(json.loads(row["origin"])),
        _reference(row["reference"]) if row["reference"] else None,
        bool(row["hint"]),
    )
    created = time_of(row["created_at"])
    assert created is not None  # noqa: S101 - NOT NULL in the schema
    return Intent(
        id=row["id"],
        wish=wish,
        created_at=created,
        status=Status(row["status"]),
        attempts=row["attempts"],
        not_before=time_of(row["not_before"]),
        code=row["code"],
        detail=row["detail"],
        deployment=row["deployment"],
    )


def deployment_text(deployment: Deployment) -> str:
    """The whole Deployment as JSON text."""
    return json.dumps(
        {
            "id": deployment.id,
            "workload": deployment.workload,
            "intent": deployment.intent,
            "image": image_record(deployment.image),
            "origin": origin_record(deployment.origin),
            "status": deployment.status.value,
            "started_at": time_text(deployment.started_at),
            "finished_at": time_text(deployment.finished_at),
            "previous": image_record(deployment.previous),
            "verdicts": [
                [verdict.policy, verdict.holds, verdict.said, verdict.advice]
                for verdict in deployment.verdicts
            ],
            "tracked": deployment.tracked,
            "rollback": deployment.rollback,
            "undoes": deployment.undoes,
            "restored": deployment.restored,
            "switching": deployment.switching,
            "code": deployment.code,
            "detail": deployment.detail,
            "advice": deployment.advice,
            "output": deployment.output,
            "timings": dict(deployment.timings),
            "completed": deployment.completed,
        }
    )


def deployment_of(text: str) -> Deployment:
    """The inverse of `deployment_text`."""
    record = json.loads(text)
    return Deployment(
        **{
            **record,
            "image": image_of(record["image"]),
            "origin": origin_of(record["origin"]),
            "status": Status(record["status"]),
            "started_at": time_of(record["started_at"]),
            "finished_at": time_of(record["finished_at"]),
            "previous": image_of(record["previous"]),
            "verdicts": tuple(Verdict(*verdict) for verdict in record["verdicts"]),
            "tracked": Digest(record["tracked"]) if record["tracked"] else None,
            "completed": None if (done := record.get("completed")) is None else tuple(done),
        }
    )
