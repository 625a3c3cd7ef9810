"""The pipeline's types: Event, Intent, Image, Deployment (Release is made in `core.policy`).

All are frozen values. Times are aware datetimes in UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from webhook_launcher.core.reference import Digest, Reference

# For which an intent may be postponed, unless it waits for its image to be old enough.
LONGEST_WAIT = timedelta(minutes=5)


class Trust(StrEnum):
    """How a source proved itself; recorded on every deployment."""

    SIGNED = "signed"
    TOKEN = "token"  # noqa: S105 - a word of the glossary, not a secret
    POLL = "poll"
    OPERATOR = "operator"

    @property
    def rank(self) -> int:
        """The more, the more the asker has proved."""
        return (Trust.POLL, Trust.TOKEN, Trust.SIGNED, Trust.OPERATOR).index(self)


class Action(StrEnum):
    """What an intent asks for."""

    CHECK = "check"  # resolve the tracked reference; deploy it if it moved
    DEPLOY = "deploy"  # run exactly this reference
    ROLLBACK = "rollback"  # run the previous release
    RESTORE = "restore"  # run the current release, which was removed or changed by hand


class Status(StrEnum):
    """Deployment status, in GitHub's spelling; intents use the same words."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"  # did not become healthy
    ERROR = "error"  # we could not try
    INACTIVE = "inactive"  # superseded, or nothing to do any more

    @property
    def final(self) -> bool:
        """True when the status will not change again."""
        return self not in (Status.QUEUED, Status.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Mention:
    """One thing an event says: an image was pushed, or (deploy events) a workload should run it.

    `one_of_several` marks a push whose sender reports only one of the tags it set (GHCR).
    """

    reference: Reference | None = None  # None: the workload's tracked reference
    workload: str | None = None  # only deploy events name one
    one_of_several: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An authentic delivery. Authentic is not believed: values only select among workloads.

    `delivery_id` is the sender's own id (or a hash of the body) and serves deduplication.
    Without mentions, `ignored` says why there is nothing to do; `refused` says which entries of a
    list could not be used while others could.
    """

    source: str
    trust: Trust
    delivery_id: str
    mentions: tuple[Mention, ...] = ()
    ignored: str | None = None
    secret_id: str | None = None
    signed_at: datetime | None = None
    reason: str | None = None
    actor: str | None = None
    refused: tuple[str, ...] = ()
    overrides: frozenset[str] = frozenset()  # policies that its key may, and does, override


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked: kept with the intent and with every deployment that follows from it."""

    trust: Trust
    source: str  # a configured source, or `poll`, `operator`
    delivery: str | None = None  # our public, unguessable id of the delivery
    secret_id: str | None = None
    actor: str | None = None
    reason: str | None = None
    signed_at: datetime | None = None
    overrides: frozenset[str] = frozenset()  # policies that its key may, and does, override


@dataclass(frozen=True, slots=True)
class Wish:
    """An intent before the journal has it: workload W should run R, because of O.

    `reference` is None for the tracked reference (CHECK) and for ROLLBACK. On a CHECK, a
    reference with a digest is what a signed push event said: it is compared, not obeyed.
    `hint` marks a look that follows from a push: it may find that nothing moved.
    """

    workload: str
    action: Action
    origin: Origin
    reference: Reference | None = None
    hint: bool = False

    @property
    def explicit(self) -> bool:
        """True when somebody asks for a result, not only for a look.

        A signed deploy event or an operator without a reference means: run what is tracked, also
        when that digest was dealt with before. A push or the poll only says that it may have
        moved.
        """
        if self.action is not Action.CHECK:
            return self.action is not Action.RESTORE
        asked = self.origin.trust in (Trust.SIGNED, Trust.OPERATOR)
        return asked and self.reference is None and not self.hint

    def replaces(self, older: "Wish") -> bool:
        """True when this makes an older pending wish of the same workload pointless.

        A look never replaces an explicit wish: a hint anybody with a URL token may send must not
        cancel what a signed event or an operator asked for. Nor does it replace a look for
        somebody who proved more, since a policy may want just that (`require_trust`). Nothing but
        its like replaces the repair of what should run: a newer wish may come to nothing.
        """
        if Action.RESTORE in (self.action, older.action):
            return self.action is older.action
        if self.explicit or older.explicit:
            return self.explicit
        return self.origin.trust.rank >= older.origin.trust.rank


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """An event and what it leads to, as the journal is asked to keep it: wishes, or why none.

    Two that look alike are still two deliveries, so they compare by identity.
    """

    event: Event
    wishes: Sequence[Wish]
    ignored: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Intent:
    """A wish in the journal; `attempts` counts how often it was claimed."""

    id: str
    wish: Wish
    created_at: datetime
    status: Status = Status.QUEUED
    attempts: int = 0
    not_before: datetime | None = None
    code: str | None = None
    detail: str | None = None
    deployment: str | None = None

    @property
    def workload(self) -> str:
        """The workload that the wish is about."""
        return self.wish.workload


@dataclass(frozen=True, slots=True)
class Platform:
    """An OCI platform, as the engine reports its own."""

    os: str
    architecture: str
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Image:
    """The registry says this reference is digest D; every byte behind it was hashed by us.

    `digest` is what was asked and is pulled (index or manifest); `manifest` and `config` are the
    digests of this engine's platform manifest and its config. When the image was adopted from the
    engine and not read from a registry, `config` holds the engine's id of it, and `manifest` what
    the engine tells of it, if anything.
    """

    reference: Reference
    digest: Digest
    manifest: Digest | None = None
    config: Digest | None = None
    media_type: str | None = None
    platform: Platform | None = None
    parts: tuple["Image", ...] = ()  # of several images that run as one (`as_one`): each of them

    @property
    def each(self) -> tuple["Image", ...]:
        """The images that a registry has and an engine runs: this one, or its parts."""
        return self.parts or (self,)

    @property
    def names(self) -> tuple[Digest, ...]:
        """The digests by which a registry gives out what runs here: an index's, its manifest's."""
        return (self.digest, *(one for one in (self.manifest,) if one and one != self.digest))

    @property
    def pinned(self) -> str:
        """`registry/repository@digest`; of several, the workload's own `image`."""
        first = self.each[0]
        return first.reference.at(first.digest).pinned

    @property
    def ids(self) -> frozenset[str]:
        """What an engine may call this image: config digest (overlay2), else D or manifest."""
        return frozenset(str(i) for i in (self.digest, self.manifest, self.config) if i)


def as_one(images: Sequence[Image]) -> Image:
    """Several images that run, fail and come back together; the first is the workload's own.

    Its digest names the combination: it changes with any of them, and no registry has it.
    """
    if len(images) == 1:
        return images[0]
    first = images[0]
    return Image(first.reference, identity(one.pinned for one in images), parts=tuple(images))


def identity(pinned: Iterable[str]) -> Digest:
    """The digest of a combination of `registry/repository@digest`, in whatever order."""
    listed = "\n".join(sorted(pinned))
    return Digest(f"sha256:{sha256(listed.encode()).hexdigest()}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy said of an image: why it holds, or why not and what to do then."""

    policy: str
    holds: bool
    said: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One attempt to make a release the running one, as the journal keeps it."""

    id: str
    workload: str
    intent: str
    image: Image
    origin: Origin
    status: Status
    started_at: datetime
    finished_at: datetime | None = None
    previous: Image | None = None
    verdicts: tuple[Verdict, ...] = ()  # of the policies that admitted the image, and why
    tracked: Digest | None = None  # what the tracked reference was then, if known
    rollback: bool = False  # its release was the previous one
    undoes: str | None = None  # the failed attempt after which this one brings the former back
    restored: bool | None = None  # after a failure: does a good release run? None: not tried
    switching: bool = False  # true from just before the old containers may be touched
    code: str | None = None
    detail: str | None = None
    advice: str | None = None
    output: str | None = None
    timings: Mapping[str, float] = field(default_factory=dict)  # step -> seconds
    # Services whose containers had completed before anything was touched; None: not known.
    completed: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """What the journal knows of a workload.

    `tracked` is the digest of the tracked reference that was last acted on. `seen` is what it was
    when another image was asked for by name: no poll may undo that, but the event of a push that
    came between is still news. `found` is what it was, digest included, at the last look that was
    answered.
    """

    name: str
    current: Image | None = None
    previous: Image | None = None
    wanted: Reference | None = None
    tracked: Digest | None = None
    seen: Digest | None = None
    paused: bool = False
    checked_at: datetime | None = None
    check_result: str | None = None
    found: Reference | None = None
    found_at: datetime | None = None
    moved_at: datetime | None = None  # since when it is that
    quarantined: frozenset[Digest] = frozenset()
