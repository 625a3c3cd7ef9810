"""The loop body that asks whether the engine finds project directories where we see them.

A launcher in a container reads a project at one path; compose turns `./data` into a path from
there, and the engine mounts that path from its host. Where the two differ a service would start
with an empty directory in place of its own, so it is said before it happens.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from webhook_launcher.core.errors import EngineError, EngineUnavailableError, LauncherError
from webhook_launcher.core.reference import Repository
from webhook_launcher.core.workload import ComposeProject, Workload

_log = logging.getLogger(__name__)
# Our own mounts stay as they are while we run; compose files may change.
_EVERY = 600.0
_AGAIN = 5.0


class Engine(Protocol):
    """Knows its host's paths."""

    def missing_binds(self, directories: Iterable[Path]) -> Sequence[str]:
        """Directories that it would look for elsewhere, each with the fix."""


class Compose(Protocol):
    """Knows what projects mount."""

    def mounts_relatively(self, project: ComposeProject, repository: Repository) -> bool:
        """True when a service of the workload mounts a path relative to the project directory."""


class Placement:
    """What is wrong with where projects are mounted; nothing until it has been asked."""

    def __init__(self, workloads: Iterable[Workload], engine: Engine, compose: Compose) -> None:
        self._workloads = list(workloads)
        self._engine = engine
        self._compose = compose
        self._problems: tuple[str, ...] = ()

    def reason(self) -> str | None:
        """What `/readyz` shows."""
        return "; ".join(self._problems) or None

    def step(self) -> float:
        """Look at every project; the seconds until the next look."""
        try:
            found = self.look()
        except EngineUnavailableError:
            return _AGAIN  # `/readyz` says so already
        except EngineError as error:
            _log.warning("mounts cannot be checked", extra={"detail": str(error)})
            return _EVERY
        for problem in found:
            if problem not in self._problems:
                _log.error("relative bind mounts would go astray", extra={"detail": problem})
        self._problems = found
        return _EVERY

    def look(self) -> tuple[str, ...]:
        """What is wrong now, by workload. Raises EngineError."""
        return tuple(problem for one in self._workloads for problem in self._of(one))

    def _of(self, workload: Workload) -> list[str]:
        """What is wrong with one workload; silent where nothing depends on the directory."""
        found = self._engine.missing_binds([workload.project.directory])
        if not found or not self._may_mount_relatively(workload):
            return []
        return [f"workload {workload.name!r}: {problem}" for problem in found]

    def _may_mount_relatively(self, workload: Workload) -> bool:
        try:
            return any(
                self._compose.mounts_relatively(workload.project, one)
                for one in workload.repositories
            )
        except LauncherError:
            return True  # not known: better said in vain than found out by a service
