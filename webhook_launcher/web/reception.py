"""What becomes of a delivery: held to its limits, authenticated, selected, journaled, answered.

Nothing is decided here, and nothing of HTTP but statuses is known: `hooks` (flask) and `server`
(the worker) bring the deliveries and carry the answers away.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    AuthenticationError,
    EventError,
    LauncherError,
    MalformedEventError,
    UnreadableBodyError,
)
from webhook_launcher.core.model import Event, Heard, Intent, Origin, Trust, Wish
from webhook_launcher.core.selection import Interest, select
from webhook_launcher.core.source import KEY_LOOKUP, Delivery, Source
from webhook_launcher.web.answer import Answer
from webhook_launcher.web.pace import Pace
from webhook_launcher.web.problems import document, of_error, of_fault
from webhook_launcher.web.refusals import UNKNOWN, Refusals

_log = logging.getLogger(__name__)
# Where `api` answers what became of a delivery.
_STATUS_PATH = "/api/v1/deliveries"
_TOLD_EVERY = 60.0


class Accepted(Protocol):
    """What the journal made of a delivery."""

    @property
    def id(self) -> str:
        """Ours, unguessable."""

    @property
    def intents(self) -> tuple[Intent, ...]:
        """What it led to."""

    @property
    def ignored(self) -> str | None:
        """Why it led to nothing."""

    @property
    def duplicate(self) -> bool:
        """True when it was seen before."""


Outcome = Accepted | Exception


class Deliveries(Protocol):
    """The journal's deliveries."""

    def accept(
        self, event: Event, wishes: Sequence[Wish], ignored: str | None, now: datetime
    ) -> Accepted:
        """Committed when it returns."""

    def accept_all(
        self, heard: Sequence[Heard], told: Callable[[Mapping[Heard, Outcome]], None]
    ) -> None:
        """Committed when `told` hears of it, in another thread."""

    def get(self, delivery: str) -> Accepted | None:
        """By our id."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What receiving needs. `receive` authenticates and reads; it raises EventError only.

    `forgiven` names the kinds whose senders block their queue or disable the hook after a 4xx:
    an authentic delivery of theirs that is readable and cannot be used is answered 200.
    `record` keeps authentic deliveries for `replay`. `deliveries_per_minute` are of one source,
    `refused_per_minute` of one source and client. A request may take `request_seconds` to arrive.
    `refusals` counts what is refused.
    """

    sources: Mapping[str, Source]
    interests: Mapping[str, Interest]
    receive: Callable[[Delivery, Source, datetime], Event]
    deliveries: Deliveries
    clock: Clock
    wake: Callable[[], None]
    max_body: int
    forgiven: frozenset[str] = frozenset()
    record: Callable[[Source, Delivery, datetime], None] | None = None
    deliveries_per_minute: int = 10_000
    refused_per_minute: int = 600
    request_seconds: float = 30.0
    refusals: Refusals = field(default_factory=Refusals)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A whole delivery to a configured source, and the address it came from.

    `mounted_at` is the path in front of ours, where a server adds one (WSGI's SCRIPT_NAME).
    """

    source: Source
    delivery: Delivery
    client: str
    mounted_at: str = ""


class Reception:
    """Takes deliveries one by one (`receive`), or in steps, so that many can share a commit.

    The steps: `hear` each, have the journal accept what was heard, `answer` each.
    """

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self._pace = Pace(
            intake.deliveries_per_minute, intake.refused_per_minute, intake.clock.monotonic
        )
        self._unsaid: dict[tuple[str, str], int] = {}  # what has no line of its own yet
        self._said_at: dict[tuple[str, str], float] = {}

    def waits(self, source: Source) -> bool:
        """True when hearing a delivery of it may ask the network or the disk."""
        return self.intake.record is not None or KEY_LOOKUP in source.options

    def over_limit(self, source: Source, client: str) -> Answer | None:
        """The answer when a source has sent too much; asked before anything is done for it."""
        wait = self._pace.wait(source.name)
        if not wait:
            return None
        self._count("source over its limit", source, client)
        return self.refused(source.name, _too_many(source, wait))

    def refused(self, source: str, answer: Answer) -> Answer:
        """The answer, counted. Here go all answers that refuse a delivery, whoever made them."""
        self.intake.refusals.add(source if source in self.intake.sources else UNKNOWN, answer)
        return answer

    def receive(self, arrival: Arrival) -> Answer:
        """All of it; waits for the commit."""
        heard = self.hear(arrival)
        if isinstance(heard, Answer):
            return heard
        outcome: Outcome
        try:
            outcome = self.intake.deliveries.accept(
                heard.event, heard.wishes, heard.ignored, heard.at
            )
        except LauncherError as error:
            outcome = error
        self._record(arrival, heard.at)
        if is_news(outcome):
            self.intake.wake()
        return self.answer(arrival, heard, outcome)

    def hear(self, arrival: Arrival) -> Heard | Answer:
        """What the journal is to accept, or the answer when there is nothing to accept."""
        source, delivery = arrival.source, arrival.delivery
        over = self.over_limit(source, arrival.client)
        if over is not None:
            return over
        now = self.intake.clock.now()
        try:
            event = self._event(source, delivery, now)
            wishes, reason = select(event, self._in_scope(source), _origin(event))
        except EventError as error:
            return self._refuse(arrival, error, now)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the worker
            return self.refused(source.name, of_fault(error))
        self._pace.authentic(source.name)
        return Heard(event, wishes, None if wishes else reason, now)

    def answer(self, arrival: Arrival, heard: Heard, outcome: Outcome) -> Answer:
        """What the sender is told of the journal's outcome; also writes the line of the log."""
        if isinstance(outcome, Exception):
            refusal = of_error(outcome) if isinstance(outcome, LauncherError) else of_fault(outcome)
            return self.refused(arrival.source.name, refusal)
        _tell(
            logging.INFO,
            "delivery",
            arrival,
            trust=heard.event.trust.value,
            delivery=outcome.id,
            intents=[intent.id for intent in outcome.intents],
            ignored=outcome.ignored,
            refused=list(heard.event.refused) or None,
            duplicate=outcome.duplicate,
        )
        return _accepted(outcome, heard.event, arrival.mounted_at)

    def _event(self, source: Source, delivery: Delivery, now: datetime) -> Event:
        try:
            return self.intake.receive(delivery, source, now)
        except UnreadableBodyError:
            raise
        except MalformedEventError as error:
            if source.kind not in self.intake.forgiven:
                raise
            # Authentic: `receive` proves the sender before it reads.
            body_id = f"sha256:{sha256(delivery.body).hexdigest()}"
            return Event(source.name, Trust.TOKEN, body_id, ignored=f"{error.code}: {error}")

    def _in_scope(self, source: Source) -> list[Interest]:
        interests = self.intake.interests
        names = interests if source.workloads is None else source.workloads
        return [interests[name] for name in names]

    def _refuse(self, arrival: Arrival, error: EventError, now: datetime) -> Answer:
        source, client = arrival.source, arrival.client
        if not isinstance(error, AuthenticationError):  # its real sender, so it counts as that
            self._pace.authentic(source.name)
            self._record(arrival, now)
        elif wait := self._pace.refused(source.name, client):
            self._count("many refused", source, client)
            return self.refused(source.name, _too_many_refused(error, wait))
        _tell(logging.WARNING, "delivery refused", arrival, code=error.code, detail=str(error))
        return self.refused(source.name, of_error(error))

    def _count(self, what: str, source: Source, client: str) -> None:
        """A flood must not fill the log: one line a minute, with how many it stands for."""
        key, now = (what, source.name), self.intake.clock.monotonic()
        self._unsaid[key] = self._unsaid.get(key, 0) + 1
        if now - self._said_at.get(key, -math.inf) >= _TOLD_EVERY:
            self._said_at[key] = now
            count = self._unsaid.pop(key)
            _log.warning(what, extra={"source": source.name, "client": client, "count": count})

    def _record(self, arrival: Arrival, now: datetime) -> None:
        if self.intake.record is not None:
            self.intake.record(arrival.source, arrival.delivery, now)


def is_news(outcome: Outcome) -> bool:
    """True when the workers have something new to do."""
    return not isinstance(outcome, Exception) and bool(outcome.intents) and not outcome.duplicate


def _tell(level: int, what: str, arrival: Arrival, **fields: object) -> None:
    """The one line of a delivery: it stands for the access log's."""
    named = {"source": arrival.source.name, "client": arrival.client, **fields}
    _log.log(level, what, extra=named)


def _origin(event: Event) -> Origin:
    return Origin(
        trust=event.trust,
        source=event.source,
        secret_id=event.secret_id,
        actor=event.actor,
        reason=event.reason,
        signed_at=event.signed_at,
        overrides=event.overrides,
    )


def _accepted(accepted: Accepted, event: Event, mounted_at: str) -> Answer:
    body: dict[str, object] = {"delivery": accepted.id}
    if accepted.duplicate:
        body["duplicate"] = True
    if accepted.intents:
        body["intents"] = [
            {
                "workload": intent.workload,
                "reference": str(intent.wish.reference) if intent.wish.reference else None,
                "status_url": f"{mounted_at}{_STATUS_PATH}/{accepted.id}",
            }
            for intent in accepted.intents
        ]
    else:
        body["ignored"] = accepted.ignored or "nothing to do"
    if event.refused:
        body["refused"] = list(event.refused)
    return Answer(202 if is_news(accepted) else 200, body)


def _too_many(source: Source, wait: float) -> Answer:
    return document(
        429,
        "too-many-deliveries",
        "Too many deliveries",
        f"source {source.name!r} has sent more than it may in a minute (limits.deliveries)",
        "Send it again after the time in Retry-After; or raise limits.deliveries.",
        retry_after=math.ceil(wait),
    )


def _too_many_refused(error: EventError, wait: float) -> Answer:
    return document(
        429,
        "too-many-refused",
        "Too many refused deliveries",
        f"more of this client's deliveries were refused than are answered in a minute "
        f"(limits.refused); of this one: {error}",
        error.advice(),
        retry_after=math.ceil(wait),
    )
