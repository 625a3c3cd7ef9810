"""What a workload is, as configured: its one repository, what it follows, its project."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from webhook_launcher.core.model import Action, Image, Origin, WorkloadState, identity
from webhook_launcher.core.policy import Candidate, Policy
from webhook_launcher.core.reference import Digest, Reference, Repository
from webhook_launcher.core.selection import Interest
from webhook_launcher.core.series import Series

# A day, or that many looks: one that failed is no news.
_STALE_AFTER = 86400.0
_LOOKS = 4


class TrackKind(StrEnum):
    """How a workload follows its repository."""

    TAG = "tag"
    SEMVER = "semver"  # the newest version in a range, of all tags of the repository
    PATTERN = "pattern"  # the newest of the tags that match
    FILE = "file"  # what a file says, which somebody else writes
    COMMAND = "command"  # an argv that prints a reference, or writes it to its last argument
    NONE = "none"  # only signed deploy events and operators move it


@dataclass(frozen=True, slots=True)
class Track:
    """What a workload follows; `tag`, `series`, `path` or `argv` is set, by kind."""

    kind: TrackKind
    tag: str | None = None
    series: Series | None = None
    path: Path | None = None
    argv: tuple[str, ...] = ()
    timeout: float = 30.0  # seconds the command may take
    stale_after: float | None = None  # seconds without an answered look; None: by the poll
    quiet_after: float | None = None  # seconds without a move that are no news; None: any

    def __str__(self) -> str:
        if self.series is not None:
            return str(self.series)
        return f"file {self.path}" if self.path else self.tag or self.kind.value


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """A compose project: the user's own `files`, or an `inline` document that we write.

    `directory` is compose's project directory (absolute). `services` empty means: those that use
    the workload's image. `files` empty and no `inline` means: what compose itself would read in
    `directory`. `default_image` is set when the workload has several images: then a listed service
    belongs to the one that its `image:` names, and an inline one that names none to this.
    """

    name: str
    directory: Path
    files: tuple[Path, ...] = ()
    inline: Mapping[str, object] | None = field(default=None, repr=False)  # may hold passwords
    services: tuple[str, ...] = ()
    default_image: Repository | None = None


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Seconds; None means: derived from the container's own healthcheck."""

    timeout: float | None = None
    settle: float | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands run around an update, in order, each limited to `timeout` seconds."""

    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class PollSettings:
    """Seconds between looks (None: off) and the share by which each wait varies."""

    every: float | None = 900.0
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class Workload:
    """A configured workload."""

    name: str
    repository: Repository
    track: Track
    project: ComposeProject
    health: HealthSettings = HealthSettings()
    hooks: Hooks = Hooks()
    poll: PollSettings = PollSettings()
    rollback: bool = True
    keep: int | None = 2  # releases whose images stay, current and previous among them; None: all
    policies: tuple[Policy, ...] = field(default=())
    companions: tuple[Repository, ...] = ()  # further images that move with `repository`

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Every repository it runs an image of; its own first."""
        return (self.repository, *self.companions)

    def members(self, reference: Reference) -> tuple[Reference, ...]:
        """What a reference stands for here: itself, and the other images under the same tag."""
        return tuple(
            reference if one == reference.repository else Reference(one, reference.tag)
            for one in self.repositories
        )

    def identity(self, reference: Reference, digest_of: Callable[[Reference], Digest]) -> Digest:
        """The digest of what a reference stands for here, of all its images if they are several."""
        if not self.companions:
            return digest_of(reference)
        return identity(f"{one.repository}@{digest_of(one)}" for one in self.members(reference))

    @property
    def interest(self) -> Interest:
        """What selection of events needs to know of this workload."""
        return Interest(
            self.name,
            self.repositories,
            self.track.tag,
            self.track.series,
            self.track.kind is not TrackKind.NONE,
        )

    def candidate(
        self, image: Image, action: Action, origin: Origin, state: WorkloadState, now: datetime
    ) -> Candidate:
        """What the policies judge before the image may run here; no evidence looked for yet."""
        return Candidate(self.name, self.repositories, image, action, origin, state, now)

    @property
    def stale_after(self) -> float | None:
        """Seconds without an answered look after which to warn; None where nobody polls."""
        if self.track.stale_after is not None or self.poll.every is None:
            return self.track.stale_after
        return max(_STALE_AFTER, _LOOKS * self.poll.every)

    def newer(self, one: Reference, other: Reference) -> bool:
        """True when both tags are of the series that is followed, and `one` is the newer one."""
        series = self.track.series
        ranks = [series.rank(r.tag) if series and r.tag else None for r in (one, other)]
        return None not in ranks and ranks[0] > ranks[1]  # type: ignore[operator]

    @property
    def tracked(self) -> Reference | None:
        """The reference it follows, when that is known without asking anybody."""
        return Reference(self.repository, self.track.tag) if self.track.tag else None
