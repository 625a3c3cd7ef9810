"""What ran before the launcher came, as an Image: the release to return to if the first fails."""

from collections.abc import Sequence

from webhook_launcher.adapters.engine.connection import Client
from webhook_launcher.core.container import Container
from webhook_launcher.core.errors import InvalidReferenceError
from webhook_launcher.core.model import Image
from webhook_launcher.core.reference import Digest, Reference, Repository, parse_reference


def adopt_image(
    client: Client, containers: Sequence[Container], repository: Repository
) -> Image | None:
    """The image of `repository` that all running containers run, with its digest there.

    None when nothing runs, when they run different images (no single one could be brought back),
    or when the engine knows no digest for it: built here, loaded, or of another repository.
    """
    running = [container for container in containers if container.running]
    if len({(container.image, container.manifest) for container in running}) != 1:
        return None
    first = running[0]
    inspected = client.find_image(first.image)
    if inspected is None:
        return None  # removed by force while its container goes on
    named = _reference(first.image_ref)
    known = [_reference(text) for text in inspected.get("RepoDigests") or []]
    ours = [found for found in known if found and found.repository == repository]
    if not ours:
        return None
    # The engine collects digests of one image over time: prefer the one it was started by.
    chosen = next((found for found in ours if named and found.digest == named.digest), ours[0])
    if chosen.digest is None:
        return None
    tag = _tag(named) if named and named.repository == repository else None
    return Image(
        Reference(repository, tag, chosen.digest),
        chosen.digest,
        manifest=Digest(first.manifest) if first.manifest else None,
        config=Digest(first.image),
    )


def kept_image(client: Client, tag: str, repository: Repository) -> Image | None:
    """The image of `repository` that the launcher kept under a tag of its own; None if it did not.

    What was current and previous, for one that has lost its journal.
    """
    inspected = client.find_image(tag)
    known = [_reference(text) for text in (inspected or {}).get("RepoDigests") or []]
    ours = [found.digest for found in known if found and found.repository == repository]
    if inspected is None or not ours or ours[0] is None:
        return None
    return Image(Reference(repository, None, ours[0]), ours[0], config=Digest(inspected["Id"]))


def _tag(named: Reference) -> str | None:
    """Return the tag by which the engine understands a name; a bare one means `latest`."""
    return named.tag or ("latest" if named.digest is None else None)


def _reference(text: str) -> Reference | None:
    try:
        return parse_reference(text)
    except InvalidReferenceError:
        return None
