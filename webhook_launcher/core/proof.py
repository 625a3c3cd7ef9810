"""Prove by the engine's image ids that containers run the admitted image."""

from collections.abc import Sequence
from datetime import datetime

from webhook_launcher.core.container import Container, Jobs
from webhook_launcher.core.errors import UnhealthyWorkloadError
from webhook_launcher.core.model import Image


def prove(
    containers: Sequence[Container],
    image: Image,
    since: datetime,
    jobs: Jobs = Jobs(),  # noqa: B008 - a frozen value
) -> None:
    """Every container runs exactly the image; UnhealthyWorkloadError naming both when not.

    The engine's id of a container's image is the config digest (overlay2) or the digest that was
    pulled (containerd store); where the engine tells the platform manifest, it must agree too.
    """
    for container in containers:
        if not container.running and not jobs.has_completed(container):
            raise UnhealthyWorkloadError(f"{container.name} is {container.status}")
        if container.image not in image.ids:
            kept = container.started_at is not None and container.started_at < since
            why = " (it was not replaced)" if kept else ""
            raise UnhealthyWorkloadError(
                f"{container.name} runs image {container.image}{why}, "
                f"not {image.pinned} ({', '.join(sorted(image.ids))})"
            )
        if container.manifest and image.manifest and container.manifest != image.manifest:
            raise UnhealthyWorkloadError(
                f"{container.name} runs manifest {container.manifest} of {image.pinned}, "
                f"not {image.manifest}"
            )
