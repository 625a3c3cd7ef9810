"""Makes a release the running one, and proves it: the steps of a deployment that touch the host."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.container import Container, Jobs
from webhook_launcher.core.errors import (
    ComposeError,
    EngineError,
    EngineUnavailableError,
    InvalidReferenceError,
    UnhealthyWorkloadError,
)
from webhook_launcher.core.model import Image, Platform
from webhook_launcher.core.policy import Release
from webhook_launcher.core.reference import Digest, parse_reference
from webhook_launcher.core.workload import Workload
from webhook_launcher.host import Compose, Engine, Gate, Hooks
from webhook_launcher.presence import Presence, keep_slot

_log = logging.getLogger(__name__)
# The engine's word; a person paused it, since nothing else does.
_PAUSED = "paused"


def _heed_nothing() -> None:
    return


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
        self.presence = Presence(engine, compose)

    def platform(self) -> Platform:
        """The engine's platform; EngineUnavailableError when it does not answer."""
        return self._engine.platform()

    def quiet(self, workload: Workload) -> None:
        """Wait for an `up` that outlived its launcher; ProjectBusyError when it goes on."""
        self._compose.quiet(workload.project)

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
                    image, workload.project.name, workload.name, keep_slot("next", number)
                )

    def switch(
        self,
        workload: Workload,
        release: Release,
        stopwatch: Stopwatch,
        former: Image | None = None,
        heed: Callable[[], None] = _heed_nothing,
        *,
        first: bool = False,
        current: bool = False,
        completed: Collection[str] | None = None,
    ) -> None:
        """Pin, sweep, up, gate. The old containers may be gone when this raises.

        `former` is another release that runs so far; `first`: no release ever ran;
        `current`: this one was proved before, and what a person paused of it stays so. `heed` is
        called while the gate waits; an error that it raises ends the wait. `completed` are the
        services that had completed before the attempt.

        Raises EngineUnavailableError when the engine went away (nothing is known then),
        ComposeError or UnhealthyWorkloadError when the release cannot be made to run.
        """
        try:
            self._switch(
                workload, release, stopwatch, former, heed, completed, spare_paused=current
            )
        except (ComposeError, UnhealthyWorkloadError) as error:
            if isinstance(error, UnhealthyWorkloadError) and not error.disturbed:
                raise
            if isinstance(error, ComposeError) and error.untouched:
                raise
            # Another actor or the host interfered: once more, before the image is judged by it.
            # What could not be started is made anew: an engine that was killed leaves containers
            # that it never starts again.
            _log.warning(
                "switching once more", extra={"workload": workload.name, "detail": str(error)}
            )
            anew = isinstance(error, ComposeError)
            if anew and first:
                # By itself: `--force-recreate` would mark what it makes.
                self.clear(workload, release.image)
            self._up(
                workload,
                release,
                stopwatch,
                heed,
                completed,
                anew=anew and not first,
                spare_paused=current,
            )

    def _switch(
        self,
        workload: Workload,
        release: Release,
        stopwatch: Stopwatch,
        former: Image | None,
        heed: Callable[[], None],
        completed: Collection[str] | None,
        *,
        spare_paused: bool,
    ) -> None:
        """Pin and start the release; leave no pin behind where nothing was touched."""
        before = self._compose.pins(workload.project)
        try:
            with stopwatch.step("up"):
                self.pin(workload, release.image)
            self._up(workload, release, stopwatch, heed, completed, spare_paused=spare_paused)
        except ComposeError as error:
            if former is not None and self.presence.goes_on(workload, former, release.image):
                pins = _former_pins(before, release.image, former)
                self._compose.put_back(workload.project, pins)
                error.untouched = True
                error.unreadable = not self._compose.is_readable(workload.project)
            raise

    def pin(self, workload: Workload, image: Image) -> None:
        """Bind the workload's services to the image in the override."""
        for one in image.each:
            services = self._compose.services(workload.project, one.reference.repository)
            self._compose.pin(workload.project, one.pinned, services)

    def _up(
        self,
        workload: Workload,
        release: Release,
        stopwatch: Stopwatch,
        heed: Callable[[], None],
        completed: Collection[str] | None,
        *,
        anew: bool = False,
        spare_paused: bool = False,
    ) -> None:
        project = workload.project
        since = self._clock.now()
        with stopwatch.step("up"):
            before = self._engine.containers(project.name, self.presence.services(workload))
            jobs = self.presence.jobs(workload, before, completed)
            services = _to_start(self.presence.services(workload), before, jobs, release.image)
            if spare_paused:
                services = _without_paused(services, before, release.image)
            self._engine.sweep(project.name, services)
            try:
                if services:  # none would mean all of the project's
                    self._compose.up(project, services, anew=anew)
            except ComposeError:
                self._engine.ping()  # whose fault it was is asked, never read from text
                raise
            self._engine.name(project.name, services)
            made = {c.id for c in self._engine.containers(project.name, services)}
        with stopwatch.step("gate"):
            for image in release.image.each:
                of_it = self._compose.services(project, image.reference.repository)
                expected = tuple(service for service in of_it if service in services)
                self._gate.wait(
                    project.name,
                    expected,
                    image,
                    workload.health,
                    since,
                    jobs=jobs,
                    made=made,
                    heed=heed,
                )
            if release.image.parts and not self.presence.runs(workload, release.image):
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

    def clear(self, workload: Workload, image: Image) -> bool:
        """Remove the containers of a first deployment of `image`; True when all of them are gone.

        A container that was here before the launcher is left alone. One that was made in place of
        such a container holds its volumes: it is stopped and stays.
        """
        project = workload.project.name
        services = self.presence.services(workload)
        found = [c for c in self._engine.containers(project, services) if _is_pinned(c, image)]
        self._engine.remove([container.id for container in found if not container.replaced])
        staying = [container.id for container in found if container.replaced]
        self._engine.stop(staying)
        return not staying

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
                self._engine.keep(
                    one, workload.project.name, workload.name, keep_slot(slot, number)
                )
        except EngineUnavailableError:
            raise
        except EngineError as error:  # such as: somebody pruned it; a rollback pulls it again
            _log.warning(
                "image not kept",
                extra={"workload": workload.name, "image": image.pinned, "detail": str(error)},
            )


def _former_pins(pins: Mapping[str, str], image: Image, former: Image) -> Mapping[str, str]:
    """Return the pins without the new image's: a launcher that was killed may have written them."""
    back = {one.reference.repository: one.pinned for one in former.each}
    instead = {one.pinned: back.get(one.reference.repository) for one in image.each}
    return {name: instead.get(pinned) or pinned for name, pinned in pins.items()}


def _is_pinned(container: Container, image: Image) -> bool:
    """Return True for a container that was made from the pin of one of the image's parts."""
    try:
        named = parse_reference(container.image_ref)
    except InvalidReferenceError:
        return False
    pins = [(one.reference.repository, one.digest) for one in image.each]
    return named.tag is None and (named.repository, named.digest) in pins


def _to_start(
    services: Sequence[str], found: Sequence[Container], jobs: Jobs, image: Image
) -> tuple[str, ...]:
    """Return the services that `up` is to start: no job that completed with this very image."""
    ids = {one for part in image.each for one in part.ids}
    there = {c.service for c in found}
    to_do = {c.service for c in found if not jobs.has_completed(c) or c.image not in ids}
    return tuple(service for service in services if service not in there - to_do)


def _without_paused(
    services: Sequence[str], found: Sequence[Container], image: Image
) -> tuple[str, ...]:
    """Return the services without those that a person paused; Compose cannot start them."""
    ids = {one for part in image.each for one in part.ids}
    paused = {c.service for c in found if c.status == _PAUSED and c.image in ids}
    return tuple(service for service in services if service not in paused)
