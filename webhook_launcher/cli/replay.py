"""`replay`: what a recorded delivery would lead to under this configuration, and why. Dry."""

import argparse
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webhook_launcher.cli import output
from webhook_launcher.cli.options import UsageError, settings_of, with_config
from webhook_launcher.cli.recording import read_recording
from webhook_launcher.config import Settings
from webhook_launcher.core.errors import AuthenticationError, EventError
from webhook_launcher.core.model import Event, Mention, Origin, Trust
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.selection import select
from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.published_keys import with_key_lookups
from webhook_launcher.sources import read, receive

ACCEPTED, REJECTED = 0, 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a delivery leads to: `intent`, `ignored` or `reject`, and what it names."""

    outcome: str
    reason: str | None = None
    mentions: tuple[Mention, ...] = ()
    workloads: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """The shape that scripts rely on; absent values are null."""
        return {
            "outcome": self.outcome,
            "references": [_parts(m.reference) for m in self.mentions if m.reference],
            "reason": self.reason,
            "workloads": list(self.workloads),
        }


def add(commands: Any) -> None:
    """Declare the command."""
    replay = commands.add_parser(
        "replay", parents=[with_config()], help="what a recorded delivery would lead to; dry"
    )
    replay.add_argument("file", type=Path, help="an HTTP request as text, or *.json: a bare body")
    replay.add_argument("--source", required=True, help="a source of the configuration")
    replay.add_argument(
        "--unverified",
        action="store_true",
        help="skip authentication and scope, for recordings whose credentials are gone",
    )
    replay.set_defaults(run=_replay)


def _replay(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    source = with_key_lookups(settings.sources, time.monotonic).get(arguments.source)
    if source is None:
        known = ", ".join(sorted(settings.sources)) or "none"
        raise UsageError(
            f"there is no source {arguments.source!r}", advice=f"Configured are: {known}."
        )
    recorded = read_recording(arguments.file)
    verified = not arguments.unverified
    if recorded.method == "POST":
        verdict = judge(settings, source, recorded.delivery, verified=verified)
    else:
        verdict = Verdict("reject", f"method-not-allowed: {recorded.method} is answered 405")
    if arguments.json:
        output.as_json(verdict.as_document())
    else:
        _tell(verdict)
    return REJECTED if verdict.outcome == "reject" else ACCEPTED


def judge(settings: Settings, source: Source, delivery: Delivery, *, verified: bool) -> Verdict:
    """What the launcher would make of the delivery, now."""
    try:
        event = _authentic(source, delivery) if verified else _as_read(source, delivery)
    except EventError as error:
        return Verdict("reject", f"{error.code}: {error}")
    if not event.mentions:
        return Verdict("ignored", _joined(event.ignored, *event.refused))
    names = settings.workloads if source.workloads is None or not verified else source.workloads
    interests = [settings.workloads[name].interest for name in names]
    try:
        wishes, reason = select(event, interests, Origin(event.trust, source.name))
    except EventError as error:
        if verified:
            return Verdict("reject", f"{error.code}: {error}", event.mentions)
        wishes, reason = [], str(error)
    workloads = tuple(wish.workload for wish in wishes)
    why = _joined(reason, *event.refused)
    if verified and not wishes:
        return Verdict("ignored", why, event.mentions)
    return Verdict("intent", why, event.mentions, workloads)


def _joined(*reasons: str | None) -> str | None:
    """What was left out, and which entries of a list could not be used."""
    return "; ".join(filter(None, reasons)) or None


def _authentic(source: Source, delivery: Delivery) -> Event:
    now = datetime.now(UTC)
    try:
        return receive(delivery, source, now)
    except AuthenticationError:
        # An editor may have ended the file with a line end that was not signed.
        shorter = delivery.body.removesuffix(b"\n").removesuffix(b"\r")
        if shorter == delivery.body:
            raise
        return receive(replace(delivery, body=shorter), source, now)


def _as_read(source: Source, delivery: Delivery) -> Event:
    statement = read(delivery, source)
    return Event(
        source=source.name,
        trust=Trust.SIGNED,  # the most that it could be
        delivery_id=statement.delivery_id or "replayed",
        mentions=statement.mentions,
        ignored=statement.ignored,
        refused=statement.refused,
    )


def _parts(reference: Reference) -> dict[str, str | None]:
    return {
        "registry": reference.repository.registry,
        "repository": reference.repository.path,
        "tag": reference.tag,
        "digest": reference.digest,
    }


def _tell(verdict: Verdict) -> None:
    output.line(f"{verdict.outcome}{f': {verdict.reason}' if verdict.reason else ''}")
    for mention in verdict.mentions:
        output.line(f"  says: {mention.reference or 'the tracked reference'}")
    if verdict.workloads:
        output.line(f"  would look at: {', '.join(verdict.workloads)}")
