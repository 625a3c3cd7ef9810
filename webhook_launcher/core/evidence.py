"""What is known of an image when it is judged, and what a policy asks to be known.

Gathered by `admission` before it judges, so that policies stay pure. What was not looked for is
None or absent: a policy that needs it refuses, it never passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from webhook_launcher.core.attachment import Attachment
from webhook_launcher.core.keyless import KeylessIdentity, Vouching
from webhook_launcher.core.model import Platform


class Need(StrEnum):
    """What a policy wants to be looked for in the registry."""

    FACTS = "facts"
    ATTACHMENTS = "attachments"
    STANDING = "standing"  # what runs on the workload, and ran there before


@dataclass(frozen=True, slots=True)
class Check:
    """A program of the user's that judges an image; `timeout` in seconds."""

    argv: tuple[str, ...]
    timeout: float = 30.0


Question = Need | Check | KeylessIdentity


@dataclass(frozen=True, slots=True)
class Answer:
    """How a Check ended: exit status, and the last line it printed, made safe to show."""

    status: int
    said: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the verified bytes of this platform's manifest and config say. The publisher chose it.

    `size` is the sum of the config's and the layers' sizes in the registry, in bytes.
    """

    manifest: bytes = field(repr=False)
    labels: Mapping[str, str]
    size: int
    platform: Platform


@dataclass(frozen=True, slots=True)
class Standing:
    """An image beside those that its workload ran.

    `superseded`: it ran there before what runs now. `current` is what is known of that one; None
    when nothing runs, or when its registry does not have it any more.
    """

    superseded: bool
    current: "Evidence | None" = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an image. `first_seen` is when this launcher first saw its digest."""

    facts: Facts | None = None
    attachments: tuple[Attachment, ...] | None = None
    answers: Mapping[Check, Answer] = field(default_factory=dict)
    first_seen: datetime | None = None
    standing: Standing | None = None
    parts: tuple["Evidence", ...] = ()  # of several images that run as one: of each, in order
    vouching: Mapping[KeylessIdentity, Vouching] = field(default_factory=dict)


NOTHING_KNOWN = Evidence()
