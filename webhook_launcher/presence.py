"""Observe a workload's containers on this host, by the engine and the compose files. Read-only."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from webhook_launcher.core.container import Container, Jobs
from webhook_launcher.core.errors import EngineError, EngineUnavailableError
from webhook_launcher.core.model import Image, as_one
from webhook_launcher.core.workload import Workload
from webhook_launcher.host import Compose, Engine

# The engine's status of a container that a person paused; neither engine nor Compose pauses.
_PAUSED = "paused"


class Presence:
    """Answers which release of a workload runs, and which services are jobs."""

    def __init__(self, engine: Engine, compose: Compose) -> None:
        self._engine = engine
        self._compose = compose

    def runs(self, workload: Workload, image: Image) -> bool:
        """True when every replica of the workload's services runs, from exactly this image."""
        if {one.reference.repository for one in image.each} != {*workload.repositories}:
            return False  # the configuration has another set of images now
        return all(self._part_runs(workload, one) for one in image.each)

    def _part_runs(self, workload: Workload, image: Image) -> bool:
        """Return True when every replica runs, or is paused, from exactly this image.

        A completed job counts as running, also after its container was pruned, as long as another
        container of the release exists.
        """
        wanted = self._compose.replicas(workload.project, image.reference.repository)
        found = self._engine.containers(workload.project.name, tuple(wanted))
        jobs = self.jobs(workload, found)
        up = [c for c in found if c.running or c.status == _PAUSED]
        there = Counter(c.service for c in up)
        ended = {c.service for c in found if c not in up and not jobs.has_completed(c)}
        whole = all(
            there[service] >= count or (service not in ended and jobs.may_be_absent(service))
            for service, count in wanted.items()
        )
        alive = bool(up) or any(jobs.has_completed(c) for c in found)
        return alive and whole and all(c.image in image.ids for c in up)

    def running(self, workload: Workload) -> Image | None:
        """Return the running release, if the engine knows a digest for each of its images."""
        found = []
        for repository in workload.repositories:
            services = self._compose.services(workload.project, repository)
            found.append(self._engine.adopted(workload.project.name, services, repository))
        return _whole(found)

    def states(self, workload: Workload) -> Mapping[str, str]:
        """Return the engine's word for each container of the services, completed jobs left out."""
        found = self._engine.containers(workload.project.name, self.services(workload))
        jobs = self.jobs(workload, found)
        return {c.name: c.status for c in found if not jobs.has_completed(c)}

    def adopt(self, workload: Workload) -> tuple[Image | None, Image | None]:
        """Current and previous release of a workload of which the journal knows nothing.

        What runs is the release to return to when the first one fails. A launcher that lost its
        journal finds its own keep-tags: what runs may be a release that was never proved, the one
        that was pulled last; then the one that was current is.
        """
        running = self.running(workload)
        current, pulled = self._kept(workload, "current"), self._kept(workload, "next")
        if current is None:
            return running, None
        unproved = same(running, pulled) and not same(running, current)
        if running is None or unproved or same(running, current):
            return current, self._kept(workload, "previous")
        return running, current

    def _kept(self, workload: Workload, slot: str) -> Image | None:
        project, name = workload.project.name, workload.name
        return _whole(
            [
                self._engine.kept(project, name, keep_slot(slot, number), repository)
                for number, repository in enumerate(workload.repositories)
            ]
        )

    def goes_on(self, workload: Workload, former: Image, image: Image) -> bool:
        """Return True when the former release runs and the new image has no container.

        Only the engine is asked: Compose may be unable to read its files.
        """
        ids = {one for part in former.each for one in part.ids}
        new = {one for part in image.each for one in part.ids} - ids
        found = self._engine.containers(workload.project.name)
        ours = [c for c in found if c.image in ids and c.status != "exited"]
        return (
            bool(ours) and all(c.running for c in ours) and not any(c.image in new for c in found)
        )

    def services(self, workload: Workload) -> tuple[str, ...]:
        """Return the services of all its images."""
        found = [self._compose.services(workload.project, one) for one in workload.repositories]
        return tuple(sorted({service for services in found for service in services}))

    def jobs(
        self,
        workload: Workload,
        found: Sequence[Container],
        former: Collection[str] | None = None,
    ) -> Jobs:
        """Return the services that complete, by the compose files and by what has completed.

        `former` are those that had completed before an attempt touched anything: during it, a
        server that failed may have exited with 0. None: what has completed is seen in `found`.

        A container under a policy that restarts it always did not complete: a person stopped it.
        """
        declared = self._compose.jobs(workload.project, workload.repository)
        if former is not None:
            return replace(declared, former=frozenset(former))
        completed = {
            c.service
            for c in found
            if c.status == "exited"
            and c.exit_code == 0
            and not c.restarts_always
            and c.service not in declared.awaited
            and self._ended_itself(c)
        }
        others = {c.service for c in found if c.running}
        # Where nothing runs any more, the services ended; that is not how a job ends.
        return replace(declared, former=frozenset(completed - others if others else ()))

    def completed(self, workload: Workload) -> tuple[str, ...] | None:
        """Return the services whose containers have completed; None when that cannot be seen."""
        try:
            found = self._engine.containers(workload.project.name, self.services(workload))
            return tuple(sorted(self.jobs(workload, found).former))
        except EngineUnavailableError:
            raise
        except EngineError:
            return None

    def _ended_itself(self, container: Container) -> bool:
        try:
            return not self._engine.was_stopped(container.id)
        except EngineUnavailableError:
            raise
        except EngineError:  # a proxy in front of the socket keeps the events back
            return True


def keep_slot(name: str, number: int) -> str:
    """Return the keep-tag's slot of the n-th image of a release; there is seldom more than one."""
    return f"{name}-{number}" if number else name


def _whole(found: Sequence[Image | None]) -> Image | None:
    """The images as one release; None unless all of them are there."""
    images = [image for image in found if image is not None]
    return as_one(images) if len(images) == len(found) else None


def same(one: Image | None, other: Image | None) -> bool:
    """Return True when the engine could take one for the other, image by image."""
    if one is None or other is None or len(one.each) != len(other.each):
        return False
    return all(ours.ids & theirs.ids for ours, theirs in zip(one.each, other.each, strict=True))
