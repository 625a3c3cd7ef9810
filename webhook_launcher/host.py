"""What a deployment needs of the host; the adapters match it by shape."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from webhook_launcher.core.container import Container, Jobs
from webhook_launcher.core.model import Image, Platform
from webhook_launcher.core.reference import Digest, Reference, Repository
from webhook_launcher.core.workload import ComposeProject, HealthSettings


class Engine(Protocol):
    """The Docker Engine. Every method raises EngineUnavailableError when it does not answer."""

    def ping(self) -> None:
        """Return when the engine answers."""

    def platform(self) -> Platform:
        """What it runs images for."""

    def pull(self, image: Image) -> bool:
        """Pull by digest; no network, and False, when it is there. Raises PullError."""

    def keep(self, image: Image, project: str, workload: str, slot: str) -> None:
        """Tag an image so that pruning leaves it. Raises PullError when it is not there."""

    def keep_pulled(self, image: Image, project: str, workload: str) -> None:
        """Note that it was pulled for the workload."""

    def remove_former(
        self, project: str, workload: str, repository: Repository, kept: Collection[Digest]
    ) -> Sequence[str]:
        """Remove what was pulled for the workload, apart from `kept`; what went."""

    def containers(
        self, project: str, services: Sequence[str] | None = None
    ) -> Sequence[Container]:
        """The containers of these services (None: the project's), stopped ones included."""

    def was_stopped(self, container_id: str) -> bool:
        """True when the engine stopped it, on somebody's order or because it is going itself."""

    def adopted(
        self, project: str, services: Sequence[str], repository: Repository
    ) -> Image | None:
        """The image of that repository that runs there now, as far as the engine knows it."""

    def kept(self, project: str, workload: str, slot: str, repository: Repository) -> Image | None:
        """The image of that repository under a keep-tag, if it is there."""

    def sweep(self, project: str, services: Sequence[str]) -> None:
        """Remove what an interrupted `up` left of these services."""

    def name(self, project: str, services: Sequence[str]) -> None:
        """Give what `up` went on with its own name."""

    def stop(self, container_ids: Sequence[str]) -> None:
        """Stop containers, each with its own grace."""

    def remove(self, container_ids: Sequence[str]) -> None:
        """Stop and remove containers, never volumes."""


class Compose(Protocol):
    """Docker Compose. Raises ComposeError."""

    def services(self, project: ComposeProject, repository: Repository) -> tuple[str, ...]:
        """The services that run the workload's image."""

    def pin(self, project: ComposeProject, pinned: str, services: Sequence[str]) -> Path:
        """Write the override that binds the services to a digest."""

    def pins(self, project: ComposeProject) -> Mapping[str, str]:
        """What the override binds the services to."""

    def put_back(self, project: ComposeProject, pins: Mapping[str, str]) -> None:
        """Write the override as it was when `pins` was read."""

    def is_readable(self, project: ComposeProject) -> bool:
        """False while Compose cannot read the project's files."""

    def jobs(self, project: ComposeProject, repository: Repository) -> Jobs:
        """The services that complete, as far as the project's files tell."""

    def quiet(self, project: ComposeProject) -> None:
        """Return when no earlier `up` of the project runs any more; ProjectBusyError else."""

    def replicas(self, project: ComposeProject, repository: Repository) -> Mapping[str, int]:
        """How many containers each of those services should have."""

    def up(self, project: ComposeProject, services: Sequence[str], *, anew: bool = False) -> str:
        """Recreate the services (`anew`: also what is as it should be); what compose printed."""


class Gate(Protocol):
    """Waits for health and proves the image."""

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
    ) -> object:
        """Return when every container is healthy and is that image; UnhealthyWorkloadError else."""


class Hooks(Protocol):
    """Runs the user's commands around an update. Raises HookError."""

    def run(
        self,
        commands: Sequence[Sequence[str]],
        timeout: float,
        *,
        workload: str,
        reference: Reference,
        moment: str,
    ) -> None:
        """Run them in order."""
