"""Small working stand-ins for the outside: a registry, a host with engine and compose, a clock.

A test edits them: moves a tag, makes a digest unhealthy, takes the engine away at the n-th step,
or kills the launcher there. Containers really change their image, so that a test can ask what
runs, and `FakeHost` fails the test when it is told to start what `may_start` says no to.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from webhook_launcher.core.attachment import Attachment
from webhook_launcher.core.container import Container, Jobs
from webhook_launcher.core.errors import (
    ComposeError,
    EngineUnavailableError,
    HookError,
    LauncherError,
    ManifestNotFoundError,
    PullError,
    UnhealthyWorkloadError,
)
from webhook_launcher.core.evidence import Answer, Check, Facts
from webhook_launcher.core.model import Image, Platform
from webhook_launcher.core.reference import Digest, Reference, Repository, parse_reference
from webhook_launcher.core.workload import ComposeProject, HealthSettings, Workload

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLATFORM = Platform("linux", "amd64")


def digest(name: str) -> Digest:
    """The digest of an image that a test calls by a name."""
    return Digest(f"sha256:{sha256(name.encode()).hexdigest()}")


def config_of(pushed: Digest) -> Digest:
    """The config digest of an image, which the engine takes for the id of it."""
    return digest(f"config of {pushed}")


class KilledError(BaseException):
    """SIGKILL: nothing of the launcher runs after it, so nothing may catch it."""


class NotAdmittedError(BaseException):
    """The launcher's promise is broken: no net that it has for faults may hide that."""


class ManualClock:
    """Time passes by `sleep` and on a test's word; `step` sets the wall clock, as an admin does."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self.passed = 0.0

    def now(self) -> datetime:
        """Wall time."""
        return self._start + timedelta(seconds=self.passed)

    def step(self, hours: float) -> None:
        """Set the wall clock forward, or back; no time passes."""
        self._start += timedelta(hours=hours)

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Pass at once."""
        self.passed += seconds


@dataclass
class Fuse:
    """Counts the steps around it whose name begins with `only`; at number `blows_at` it raises."""

    blows_at: int = 0  # 0: never
    error: Callable[[], BaseException] = KilledError
    only: str = ""
    steps: list[str] = field(default_factory=list)

    def step(self, name: str) -> None:
        """Something is about to happen, or just did."""
        if not name.startswith(self.only):
            return
        self.steps.append(name)
        if len(self.steps) == self.blows_at:
            raise self.error()

    def arm(
        self, steps: int, error: Callable[[], BaseException] = KilledError, only: str = ""
    ) -> None:
        """Blow at the given step from now."""
        self.blows_at, self.error, self.only, self.steps = steps, error, only, []

    def disarm(self) -> None:
        """Never blow."""
        self.blows_at = 0

    @property
    def blown(self) -> bool:
        """True when it raised."""
        return 0 < self.blows_at <= len(self.steps)


class Watched:
    """Anything, with a step of the fuse before and after each call of it.

    Around the parts of the journal: a launcher may die before a commit, and right after it.
    """

    def __init__(self, watched: object, fuse: Fuse) -> None:
        self._watched = watched
        self._fuse = fuse

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._watched, name)

        def call(*args: object, **kwargs: object) -> object:
            self._fuse.step(f"before {name}")
            result = method(*args, **kwargs)
            self._fuse.step(f"after {name}")
            return result

        return call


class FakeRegistry:
    """Tags and digests of repositories; `answers` are raised, in order, instead of answering."""

    def __init__(self, clock: ManualClock, fuse: Fuse) -> None:
        self._clock = clock
        self._fuse = fuse
        self.tags: dict[str, Digest] = {}  # "registry/repository:tag"
        self.down: Callable[[], LauncherError] | None = None
        self.stale: list[Digest] = []  # what the next looks still answer
        self.asked: list[str] = []
        self.facts_of: dict[Digest, Facts] = {}
        self.attached: dict[Digest, tuple[Attachment, ...]] = {}
        self.looked: list[Digest] = []  # whose facts or attachments were asked for

    def push(self, reference: Reference, pushed: Digest) -> None:
        """Move a tag."""
        self.tags[str(replace(reference, digest=None))] = pushed

    def head(self, reference: Reference) -> Digest:
        """The digest of a tag."""
        self._fuse.step("registry")
        self.asked.append(str(reference))
        if self.down is not None:
            raise self.down()
        if self.stale:
            return self.stale.pop(0)
        found = reference.digest or self.tags.get(str(reference))
        if found is None or found not in self.tags.values():
            raise ManifestNotFoundError(f"{reference} is not there")
        return found

    def facts(self, image: Image, platform: Platform) -> Facts:
        """What the bytes of an image say, by a test's word."""
        self._look(image)
        return self.facts_of.get(image.digest, Facts(b"{}", {}, 1, platform))

    def attachments(self, image: Image) -> tuple[Attachment, ...]:
        """What is attached to an image, by a test's word."""
        self._look(image)
        return self.attached.get(image.digest, ())

    def _look(self, image: Image) -> None:
        """By digest, which a tag that moved on does not take away."""
        self._fuse.step("registry")
        self.looked.append(image.digest)
        if self.down is not None:
            raise self.down()

    def image(self, reference: Reference, platform: Platform, *, patience: float = 0) -> Image:
        """The image behind a reference, asked for again while it is not there."""
        until = self._clock.monotonic() + patience
        while True:
            try:
                return image_of(reference, self.head(reference), platform)
            except ManifestNotFoundError:
                if self._clock.monotonic() >= until:
                    raise
            self._clock.sleep(1)


def image_of(reference: Reference, found: Digest, platform: Platform = PLATFORM) -> Image:
    """An image as the registry client makes it: a single manifest."""
    return Image(reference, found, found, config_of(found), "application/x", platform)


class FakeChecks:
    """The user's own checks: each digest is fine unless a test says what is said of it."""

    def __init__(self) -> None:
        self.answers: dict[Digest, Answer] = {}
        self.asked: list[Digest] = []

    def run(self, check: Check, workload: str, image: Image, facts: Facts) -> Answer:
        """How the check ended."""
        self.asked.append(image.digest)
        return self.answers.get(image.digest, Answer(0, "fine"))


class FakeTracker:
    """Names the tracked reference; a workload in `broken` has a command that fails."""

    def __init__(self) -> None:
        self.named: dict[str, Reference] = {}
        self.broken: dict[str, Exception] = {}

    def reference(self, workload: Workload) -> Reference | None:
        """The tracked reference."""
        if workload.name in self.broken:
            raise self.broken[workload.name]
        return self.named.get(workload.name) or workload.tracked


@dataclass
class FakeHost:
    """Engine, compose and gate of one machine.

    Every method that does something is two steps of the fuse, before and after; `up` has two more:
    the replacement is created and the old one still there, and the old one gone and the new one
    not started. What is created and was not started stays in `leftovers`, as compose leaves it.
    """

    clock: ManualClock
    fuse: Fuse
    outage: Fuse = field(default_factory=Fuse)  # for the host's own steps only
    containers_of: dict[tuple[str, str], Container] = field(default_factory=dict)
    services_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    leftovers: dict[tuple[str, str], str] = field(default_factory=dict)  # what they would run
    pins_of: dict[tuple[str, str], str] = field(default_factory=dict)
    jobs_of: Jobs = field(default_factory=Jobs)
    pulled: set[Digest] = field(default_factory=set)
    pulled_for: dict[str, set[Digest]] = field(default_factory=dict)  # by workload
    kept_tags: dict[str, Digest] = field(default_factory=dict)
    unhealthy: set[Digest] = field(default_factory=set)
    # Compose refuses these, with the old container gone already.
    refused: set[Digest] = field(default_factory=set)
    unmade: set[Digest] = field(default_factory=set)  # these with the old one untouched
    refused_once: set[Digest] = field(default_factory=set)  # somebody interferes, once
    # Another actor stops them while they are waited for, so many times.
    disturbed: dict[Digest, int] = field(default_factory=dict)
    # What happens while these are waited for, which never get healthy.
    while_waiting: dict[Digest, Callable[[], object]] = field(default_factory=dict)
    completing: set[str] = field(default_factory=set)  # services that exit with 0 at once
    unreadable: bool = False  # compose cannot read a file that its model names
    stumbles: int = 0  # how many of the next starts come to nothing, whatever they are of
    unpullable: set[Digest] = field(default_factory=set)
    broken: set[tuple[str, str]] = field(default_factory=set)  # never started again
    replicas_wanted: int = 1
    full: bool = False  # compose can start nothing any more
    away: bool = False
    started: list[Digest] = field(default_factory=list)
    may_start: Callable[[Digest], bool] = lambda _: True
    made: int = 0

    # The engine

    def ping(self) -> None:
        """Raise while the engine is away."""
        if self.away:
            raise EngineUnavailableError("the engine does not answer")

    def leave(self) -> BaseException:
        """The engine goes away: the error of the call that was under way."""
        self.away = True
        return EngineUnavailableError("the engine went away")

    def platform(self) -> Platform:
        """What it runs images for."""
        self._step("platform")
        return PLATFORM

    def pull(self, image: Image) -> bool:
        """Have the image here; False when it was."""
        self._step("pull")
        missing = image.digest not in self.pulled
        if missing:
            if image.digest in self.unpullable:
                raise PullError(f"{image.pinned} cannot be pulled")
            self.pulled.add(image.digest)
        self._step("pulled")
        return missing

    def keep_pulled(self, image: Image, project: str, workload: str) -> None:
        """Note whose it is."""
        self._step("keep pulled")
        self.pulled_for.setdefault(workload, set()).add(image.digest)

    def remove_former(
        self, project: str, workload: str, repository: Repository, kept: Collection[Digest]
    ) -> list[str]:
        """Remove what was pulled for the workload, apart from what is kept or runs."""
        self._step("remove former")
        used = {parse_reference(c.image_ref).digest for c in self.containers_of.values()}
        gone = self.pulled_for.get(workload, set()) - {*kept} - used
        self.pulled -= gone
        self.pulled_for[workload] = self.pulled_for.get(workload, set()) - gone
        self._step("former removed")
        return sorted(gone)

    def keep(self, image: Image, project: str, workload: str, slot: str) -> None:
        """Tag an image."""
        self._step("keep")
        if image.digest not in self.pulled:
            raise PullError(f"{image.pinned} is not here")
        self.kept_tags[f"{workload}:{slot}"] = image.digest
        self._step("kept")

    def containers(self, project: str, services: Sequence[str] | None = None) -> list[Container]:
        """The containers of the services (None: the project's), leftovers included then."""
        self._step("containers")
        found = [
            c
            for (p, s), c in self.containers_of.items()
            if p == project and (services is None or s in services)
        ]
        if services is None:
            found += [
                _container(f"{s} leftover", project, s, pinned, status="created", running=False)
                for (p, s), pinned in self.leftovers.items()
                if p == project
            ]
        return found

    def was_stopped(self, container_id: str) -> bool:
        """Nobody stops anything here."""
        return False

    def stop(self, container_ids: Sequence[str]) -> None:
        """Stop containers."""
        self._step("stop")
        for key, container in list(self.containers_of.items()):
            if container.id in container_ids:
                stopped = replace(container, status="exited", running=False, exit_code=143)
                self.containers_of[key] = stopped

    def adopted(
        self, project: str, services: Sequence[str], repository: Repository
    ) -> Image | None:
        """What runs there, if it is one image."""
        found = [c for c in self.containers(project, services) if c.running]
        refs = {parse_reference(c.image_ref) for c in found}
        if len(refs) != 1:
            return None
        (reference,) = refs
        if reference.repository != repository or reference.digest is None:
            return None
        return Image(reference, reference.digest, config=config_of(reference.digest))

    def kept(self, project: str, workload: str, slot: str, repository: Repository) -> Image | None:
        """What a keep-tag names."""
        self._step("kept?")
        named = self.kept_tags.get(f"{workload}:{slot}")
        if named is None:
            return None
        return Image(Reference(repository, None, named), named, config=config_of(named))

    def sweep(self, project: str, services: Sequence[str]) -> None:
        """Remove what an interrupted `up` left, unless it is all there is of its service."""
        self._step("sweep")
        for key in list(self.leftovers):
            if key[0] == project and key[1] in services and key in self.containers_of:
                del self.leftovers[key]
        self._step("swept")

    def name(self, project: str, services: Sequence[str]) -> None:
        """Everything has its own name here."""

    def remove(self, container_ids: Sequence[str]) -> None:
        """Remove containers."""
        self._step("remove")
        for key, container in list(self.containers_of.items()):
            if container.id in container_ids:
                del self.containers_of[key]
        self._step("removed")

    # Compose

    def services(self, project: ComposeProject, repository: Repository) -> tuple[str, ...]:
        """The services of the workload, by its repository's last part."""
        return self.services_of.get(str(repository), ("app",))

    def replicas(self, project: ComposeProject, repository: Repository) -> dict[str, int]:
        """One container of each, or what a test says."""
        return dict.fromkeys(self.services(project, repository), self.replicas_wanted)

    def quiet(self, project: ComposeProject) -> None:
        """Nothing outlives its launcher here."""

    def is_readable(self, project: ComposeProject) -> bool:
        """Unless a test says otherwise."""
        return not self.unreadable

    def jobs(self, project: ComposeProject, repository: Repository) -> Jobs:
        """None, or what a test says."""
        return self.jobs_of

    def pins(self, project: ComposeProject) -> dict[str, str]:
        """What the project's services are bound to."""
        return {s: pinned for (p, s), pinned in self.pins_of.items() if p == project.name}

    def put_back(self, project: ComposeProject, pins: Mapping[str, str]) -> None:
        """Bind the project's services to what they were bound to."""
        self._step("put back")
        for key in [key for key in self.pins_of if key[0] == project.name]:
            del self.pins_of[key]
        self.pins_of.update({(project.name, s): pinned for s, pinned in pins.items()})

    def pin(self, project: ComposeProject, pinned: str, services: Sequence[str]) -> Path:
        """Bind services to a digest."""
        self._step("pin")
        for service in services:
            self.pins_of[project.name, service] = pinned
        self._step("pinned")
        return Path("/override.json")

    def up(self, project: ComposeProject, services: Sequence[str], *, anew: bool = False) -> str:
        """Recreate the services that do not run what is pinned, or (`anew`) all of them."""
        assert services, "without names, compose would start the whole project"
        self._step("up")
        if self.unreadable:
            raise ComposeError("env file app.env not found", output="no")
        for service in services:
            pinned = self.pins_of[project.name, service]
            wanted = parse_reference(pinned).digest
            assert wanted is not None
            before = self.containers_of.get((project.name, service))
            if not anew and before and before.running and before.image_ref == pinned:
                continue
            if not self.may_start(wanted):
                raise NotAdmittedError(pinned)
            self._create(project.name, service, wanted, anew=anew)
            self.broken.discard((project.name, service))
            self.leftovers[project.name, service] = pinned
            self._step("replacement created")
            self.containers_of.pop((project.name, service), None)
            self._step("old one gone")
            if wanted in self.refused_once:
                self.refused_once.remove(wanted)
                raise ComposeError(f"{service}: removal is already in progress", output="no")
            if self.stumbles:
                self.stumbles -= 1
                raise ComposeError(f"{service}: port is already allocated", output="no")
            if self.full or wanted in self.refused or wanted not in self.pulled:
                raise ComposeError(f"compose cannot start {service}", output="no")
            del self.leftovers[project.name, service]
            self.run(project.name, service, pinned)
        self._step("upped")
        return ""

    def _create(self, project: str, service: str, wanted: Digest, *, anew: bool) -> None:
        """What can go wrong while the old container is still there."""
        key = project, service
        if key in self.containers_of and key in self.leftovers:
            raise ComposeError("Conflict. The container name is already in use", output="no")
        if not anew and key in self.broken:
            raise ComposeError(f"{service}: its task already exists", output="no")
        if wanted in self.unmade:
            raise ComposeError(f"{service}: cannot be created", output="no")

    def run(self, project: str, service: str, pinned: str) -> None:
        """Start a container by hand, of a digest."""
        reference = parse_reference(pinned)
        assert reference.digest is not None
        self.made += 1
        self.started.append(reference.digest)
        self.pulled.add(reference.digest)
        made = _container(f"c{self.made}", project, service, pinned)
        if service in self.completing:
            made = replace(made, status="exited", running=False)
        self.containers_of[project, service] = made

    # The gate

    def wait(
        self,
        project_name: str,
        services: Sequence[str],
        image: Image,
        health: HealthSettings,
        since: datetime,
        *,
        jobs: Jobs,
        made: Collection[str],
        heed: Callable[[], None],
    ) -> None:
        """Healthy unless the digest is called unhealthy; then the proof."""
        self._step("gate")
        found = self.containers(project_name, services)
        if self.disturbed.get(image.digest, 0) > 0:
            self.disturbed[image.digest] -= 1
            raise UnhealthyWorkloadError("app was stopped", disturbed=True)
        if image.digest in self.while_waiting:
            self.while_waiting.pop(image.digest)()
            for _ in range(1200):
                heed()
                self.clock.sleep(0.5)
            raise UnhealthyWorkloadError("no verdict after 600 s", inconclusive=True)
        if image.digest in self.unhealthy:
            raise UnhealthyWorkloadError(f"{image.digest.short} is not healthy", output="log")
        if {c.service for c in found} != set(services):
            raise UnhealthyWorkloadError("a service has no container", disturbed=True)
        if any(c.image not in image.ids for c in found):
            raise UnhealthyWorkloadError("another image runs")
        self._step("passed")

    # For tests

    def runs(self, project: str = "web", service: str = "app") -> Digest | None:
        """The digest that runs, None without a container."""
        found = self.containers_of.get((project, service))
        return parse_reference(found.image_ref).digest if found else None

    def _step(self, name: str) -> None:
        self.ping()
        self.outage.step(name)
        self.fuse.step(name)


def _container(
    identity: str, project: str, service: str, pinned: str, **changes: object
) -> Container:
    reference = parse_reference(pinned)
    assert reference.digest is not None
    made = Container(
        id=identity,
        name=f"{project}-{service}-1",
        service=service,
        number=1,
        image=config_of(reference.digest),
        image_ref=pinned,
        status="running",
        running=True,
        exit_code=0,
        oom_killed=False,
        restart_count=0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class FakeHooks:
    """Remembers what was run; the moments in `failing` fail."""

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        self.ran: list[str] = []
        self.failing: set[str] = set()

    def run(
        self,
        commands: Iterable[Sequence[str]],
        timeout: float,
        *,
        workload: str,
        reference: Reference,
        moment: str,
    ) -> None:
        """Run them."""
        for _ in commands:
            self._fuse.step(f"hook {moment}")
            self.ran.append(f"{moment} {reference.digest}")
            if moment in self.failing:
                raise HookError(f"hooks.{moment} failed")
