"""Images of former releases go, by digest, when nobody but this launcher has a use for them."""

from collections.abc import Collection, Mapping
from typing import Any

from webhook_launcher.adapters.engine.connection import APIError, Client, NotFound
from webhook_launcher.adapters.engine.keep import PULLED, REPOSITORY, keep_tag, pulled_slot
from webhook_launcher.core.reference import Digest, Repository

# How the engine calls a name that an image does not have.
_NONE = "<none>"
_CONFLICT = 409


def remove_former(
    client: Client, project: str, workload: str, repository: Repository, kept: Collection[Digest]
) -> list[str]:
    """Remove what was pulled for the workload, apart from `kept`; `repository@digest` of each.

    Left alone is every image that somebody else could miss: one that this launcher did not pull
    for this workload, that a container of whatever project uses (a stopped one too), that has a
    tag or comes from a repository that is not ours, or that another workload keeps. It is looked
    at again after the next success. The engine itself refuses what came into use meanwhile.
    """
    marks = keep_tag(project, workload, PULLED)
    spared = {f"{REPOSITORY}:{keep_tag(project, workload, pulled_slot(d))}" for d in kept}
    candidates = [
        mark
        for listed in client.images(name=REPOSITORY)
        for mark in _tags(listed)
        if mark.startswith(f"{REPOSITORY}:{marks}") and mark not in spared
    ]
    if not candidates:
        return []
    in_use = {listed["ImageID"] for listed in client.list_containers([])}
    removed = []
    for mark in candidates:
        image = client.find_image(mark)  # the list has only the names that were asked for
        if image and image["Id"] not in in_use and not _wanted_elsewhere(image, mark, repository):
            removed += _remove(client, [*_digests(image, repository), mark])
    return removed


def _wanted_elsewhere(image: Mapping[str, Any], mark: str, repository: Repository) -> bool:
    """Some tag or digest names it that is neither our mark nor of the workload's repository."""
    names = {name for name in _digests(image) if not name.startswith(f"{REPOSITORY}@")}
    return set(_tags(image)) != {mark} or names != {*_digests(image, repository)}


def _tags(image: Mapping[str, Any]) -> list[str]:
    # Engine 28 with the containerd store lists an image pulled by digest under that name, too.
    named = image.get("RepoTags") or []
    return [tag for tag in named if not tag.startswith(_NONE) and "@" not in tag]


def _digests(image: Mapping[str, Any], repository: Repository | None = None) -> list[str]:
    """Its names by digest, each once; those of one repository, spelt as docker does."""
    prefix = "" if repository is None else f"{_familiar(repository)}@"
    named = sorted({*(image.get("RepoDigests") or [])})
    return [name for name in named if name.startswith(prefix) and not name.startswith(_NONE)]


def _familiar(repository: Repository) -> str:
    """As the engine shows it: without `docker.io`, and without its `library`."""
    if repository.registry != "docker.io":
        return str(repository)
    return repository.path.removeprefix("library/")


def _remove(client: Client, names: list[str]) -> list[str]:
    """Remove its names, ours last: killed in between, the next time finds it by that."""
    for name in names:
        try:
            client.remove_image(name, noprune=False)
        except NotFound:
            continue
        except APIError as error:
            if error.status_code == _CONFLICT:
                return []  # somebody started a container of it a moment ago
            raise
    return names[:-1]
