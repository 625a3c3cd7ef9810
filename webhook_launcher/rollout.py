"""Makes a release the running one, and proves it: the steps of a deployment that touch the host."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    ComposeError,
    EngineError,
    EngineUnavailableError,
    UnhealthyWorkloadError,
)
from webhook_launcher.core.model import Image, Platform, as_one
from webhook_launcher.core.policy import Release
from webhook_launcher.core.reference import Digest
from webhook_launcher.core.workload import Workload
from webhook_launcher.host import Compose, Engine, Gate, Hooks

_log = logging.getLogger(__name__)


class Stopwatch:
    """Seconds per step of one deployment, kept with it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step; the same name twice adds up."""
        start = self._clock.monotonic()
        try:
            yield
        finally:
            taken = self._clock.monotonic() - start
            self.steps[name] = round(self.steps.get(name, 0.0) + taken, 4)

    def read(self) -> Mapping[str, float]:
        """The steps so far."""
        return dict(self.steps)


class Rollout:
    """The engine-facing steps, in the words of `launcher`."""

    def __init__(
        self, engine: Engine, compose: Compose, gate: Gate, hooks: Hooks, clock: Clock
    ) -> None:
        self._engine = engine
        self._compose = compose
        self._gate = gate
        self._hooks = hooks
        self._clock = clock

    def platform(self) -> Platform:
        """The engine's platform; EngineUnavailableError when it does not answer."""
        return self._engine.platform()

    def runs(self, workload: Workload, image: Image) -> bool:
        """True when every replica of the workload's services runs, from exactly this image."""
        if {one.reference.repository for one in image.each} != {*workload.repositories}:
            return False  # the configuration has another set of images now
        return all(self._part_runs(workload, one) for one in image.each)

    def _part_runs(self, workload: Workload, image: Image) -> bool:
        wanted = self._compose.replicas(workload.project, image.reference.repository)
        found = self._engine.containers(workload.project.name, tuple(wanted))
        running = [c for c in found if c.running]
        there = Counter(c.service for c in running)
        whole = all(there[service] >= count for service, count in wanted.items())
        return whole and all(c.image in image.ids for c in running)

    def occupied(self, workload: Workload) -> bool:
        """True when containers of the workload's services run, whatever they are."""
        found = self._engine.containers(workload.project.name, self._services(workload))
        return any(container.running for container in found)

    def quiet(self, workload: Workload) -> None:
        """Wait for an `up` that outlived its launcher; ProjectBusyError when it goes on."""
        self._compose.quiet(workload.project)

    def adopt(self, workload: Workload) -> tuple[Image | None, Image | None]:
        """Current and previous release of a workload of which the journal knows nothing.

        What runs is the release to return to when the first one fails. A launcher that lost its
        journal finds its own keep-tags: what runs may be a release that was never proved, the one
        that was pulled last; then the one that was current is.
        """
        running = self._running(workload)
        current, pulled = self._kept(workload, "current"), self._kept(workload, "next")
        if current is None:
            return running, None
        unproved = _same(running, pulled) and not _same(running, current)
        if running is None or unproved or _same(running, current):
            return current, self._kept(workload, "previous")
        return running, current

    def _running(self, workload: Workload) -> Image | None:
        found = []
        for repository in workload.repositories:
            services = self._compose.services(workload.project, repository)
            found.append(self._engine.adopted(workload.project.name, services, repository))
        return _whole(found)

    def _kept(self, workload: Workload, slot: str) -> Image | None:
        project, name = workload.project.name, workload.name
        return _whole(
            [
                self._engine.kept(project, name, _slot(slot, number), repository)
                for number, repository in enumerate(workload.repositories)
            ]
        )

    def prepare(self, workload: Workload, release: Release, stopwatch: Stopwatch) -> None:
        """`before` hooks, pull, keep-tag. The old release is untouched when this raises."""
        with stopwatch.step("before"):
            self._run_hooks(workload, release.image, workload.hooks.before, "before")
        self.fetch(workload, release, stopwatch)

    def fetch(self, workload: Workload, release: Release, stopwatch: Stopwatch) -> None:
        """Have the image on the engine, safe from pruning until it runs. Raises PullError."""
        with stopwatch.step("pull"):
            for number, image in enumerate(release.image.each):
                if self._engine.pull(image):
                    self._engine.keep_pulled(image, workload.project.name, workload.name)
                self._engine.keep(
                    image, workload.project.name, workload.name, _slot("next", number)
                )

    def switch(self, workload: Workload, release: Release, stopwatch: Stopwatch) -> None:
        """Pin, sweep, up, gate. The old containers may be gone when this raises.

        Raises EngineUnavailableError when the engine went away (nothing is known then),
        ComposeError or UnhealthyWorkloadError when the release cannot be made to run.
        """
        with stopwatch.step("up"):
            for image in release.image.each:
                services = self._compose.services(workload.project, image.reference.repository)
                self._compose.pin(workload.project, image.pinned, services)
        try:
            self._up(workload, release, stopwatch)
        except (ComposeError, UnhealthyWorkloadError) as error:
            if isinstance(error, UnhealthyWorkloadError) and not error.disturbed:
                raise
            # Somebody or something interfered: once more, before the image is judged by it. What
            # could not be started is made anew: an engine that was killed leaves containers that
            # it never starts again.
            _log.warning(
                "switching once more", extra={"workload": workload.name, "detail": str(error)}
            )
            anew = isinstance(error, ComposeError)
            self._up(workload, release, stopwatch, anew=anew)

    def _up(
        self, workload: Workload, release: Release, stopwatch: Stopwatch, *, anew: bool = False
    ) -> None:
        project, services = workload.project, self._services(workload)
        since = self._clock.now()
        with stopwatch.step("up"):
            self._engine.sweep(project.name)
            try:
                self._compose.up(project, services, anew=anew)
            except ComposeError:
                self._engine.ping()  # whose fault it was is asked, never read from text
                raise
            self._engine.name(project.name)
        with stopwatch.step("gate"):
            for image in release.image.each:
                of_it = self._compose.services(project, image.reference.repository)
                self._gate.wait(project.name, of_it, image, workload.health, since)
            if release.image.parts and not self.runs(workload, release.image):
                # While one was waited for, another that had been healthy stopped.
                raise UnhealthyWorkloadError("not all of its images run any more")

    def commit(self, workload: Workload, image: Image, previous: Image | None) -> None:
        """Move the keep-tags: the current and the previous image survive pruning."""
        if previous is not None:  # first: until then it is kept as the current one
            self._hold(workload, previous, "previous")
        self._hold(workload, image, "current")

    def after(self, workload: Workload, image: Image, stopwatch: Stopwatch) -> None:
        """`after` hooks; HookError does not undo a release that runs and is proved."""
        with stopwatch.step("after"):
            self._run_hooks(workload, image, workload.hooks.after, "after")

    def tidy(self, workload: Workload, kept: Collection[Digest]) -> None:
        """Remove the images of former releases; that is never a reason to fail."""
        try:
            gone = [
                image
                for repository in workload.repositories
                for image in self._engine.remove_former(
                    workload.project.name, workload.name, repository, kept
                )
            ]
        except EngineError as error:
            _log.warning(
                "images not removed", extra={"workload": workload.name, "detail": str(error)}
            )
        else:
            if gone:
                _log.info("images removed", extra={"workload": workload.name, "images": gone})

    def clear(self, workload: Workload) -> None:
        """Remove the containers of a first deployment that failed: nothing half-started stays."""
        project = workload.project.name
        found = self._engine.containers(project, self._services(workload))
        self._engine.remove([container.id for container in found])

    def _services(self, workload: Workload) -> tuple[str, ...]:
        """Those of all its images."""
        found = [self._compose.services(workload.project, one) for one in workload.repositories]
        return tuple(sorted({service for services in found for service in services}))

    def _run_hooks(
        self, workload: Workload, image: Image, commands: Sequence[Sequence[str]], moment: str
    ) -> None:
        self._hooks.run(
            commands,
            workload.hooks.timeout,
            workload=workload.name,
            reference=image.each[0].reference.at(image.each[0].digest),
            moment=moment,
        )

    def _hold(self, workload: Workload, image: Image, slot: str) -> None:
        """A release that runs, proved, does not fail because its image cannot be tagged."""
        try:
            for number, one in enumerate(image.each):
                self._engine.keep(one, workload.project.name, workload.name, _slot(slot, number))
        except EngineUnavailableError:
            raise
        except EngineError as error:  # such as: somebody pruned it; a rollback pulls it again
            _log.warning(
                "image not kept",
                extra={"workload": workload.name, "image": image.pinned, "detail": str(error)},
            )


def _slot(name: str, number: int) -> str:
    """The keep-tag of the n-th image of a release; there is seldom more than one."""
    return f"{name}-{number}" if number else name


def _whole(found: Sequence[Image | None]) -> Image | None:
    """The images as one release; None unless all of them are there."""
    images = [image for image in found if image is not None]
    return as_one(images) if len(images) == len(found) else None


def _same(one: Image | None, other: Image | None) -> bool:
    """True when both are there and the engine could take one for the other, image by image."""
    if one is None or other is None:
        return False
    return all(ours.ids & theirs.ids for ours, theirs in zip(one.each, other.each, strict=True))
