"""What `doctor` asks of this host: engine, Compose, the workloads' projects, their bind mounts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from webhook_launcher.checkup.finding import Finding, Outcome, failed, good
from webhook_launcher.core.errors import EngineUnavailableError, LauncherError
from webhook_launcher.core.reference import Repository
from webhook_launcher.core.workload import ComposeProject, Workload


class Engine(Protocol):
    """The Docker Engine."""

    def versions(self) -> Mapping[str, str]:
        """Its own, its API's, its store; EngineError when it is too old."""

    def deaf_containers(self, project: str, services: Sequence[str]) -> Sequence[str]:
        """Names of running containers that do not react to their stop signal."""


class Compose(Protocol):
    """Docker Compose."""

    def version(self) -> str:
        """Its version; ComposeError when it is absent or too old."""

    def services(self, project: ComposeProject, repository: Repository) -> tuple[str, ...]:
        """The services that run the workload's image; ComposeError when there are none."""


class Placement(Protocol):
    """Knows where project directories are for the engine."""

    def look(self) -> Sequence[str]:
        """Relative bind mounts that would go astray, each with the fix."""


class Host:
    """Engine, Compose and what they say of the workloads."""

    def __init__(self, engine: Engine, compose: Compose, placement: Placement) -> None:
        self._engine = engine
        self._compose = compose
        self._placement = placement

    def engine(self) -> Finding:
        """It answers and is new enough."""
        try:
            found = self._engine.versions()
        except LauncherError as error:
            return failed("engine", error)
        return good(
            "engine",
            f"Docker Engine {found['engine']}, API {found['api']}, store {found['store']}, "
            f"{found['os']}",
        )

    def compose(self) -> Finding:
        """It is there and new enough."""
        try:
            return good("compose", f"Docker Compose {self._compose.version()}")
        except LauncherError as error:
            return failed("compose", error)

    def workload(self, workload: Workload, *, reachable: bool) -> Finding:
        """Its compose project, and how its containers stop."""
        check, project = f"workload {workload.name}", workload.project
        try:
            found = [self._compose.services(project, one) for one in workload.repositories]
            services = [service for part in found for service in part]
            deaf = self._engine.deaf_containers(project.name, services) if reachable else ()
        except LauncherError as error:
            return failed(check, error)
        named = f"project {project.name}, services {', '.join(services)}"
        if not deaf:
            return good(check, named)
        return Finding(
            check,
            Outcome.WARNING,
            f"{', '.join(deaf)} will not hear the stop signal: every replacement waits for the "
            "whole stop grace period (10 s by default), then kills",
            f"Set `init: true` for {', '.join(services)} in the compose file, or the `stop_signal` "
            "that the program obeys.",
        )

    def mounts(self) -> Iterator[Finding]:
        """One finding for each that would go astray, or that all is well."""
        try:
            problems = self._placement.look()
        except EngineUnavailableError:
            return  # went away since it was asked
        except LauncherError as error:
            yield failed("mounts", error)
            return
        for problem in problems:
            yield Finding("mounts", Outcome.FAILED, problem)
        if not problems:
            yield good("mounts", "the engine finds every project where the launcher does")
