"""Are project directories where the engine looks for them? Asked by a launcher in a container.

Compose turns `./data` into an absolute path on our side; the engine mounts that path from *its*
host. So inside a container a project directory must be mounted at the identical path.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from webhook_launcher.adapters.engine.connection import Client, NotFound

MOUNTINFO = Path("/proc/self/mountinfo")
# The engine bind-mounts these files from the container's own directory, named by its id.
_OWN_ID = re.compile(r"/containers/(?P<id>[0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)\b")


def own_mounts(client: Client, mountinfo: Path = MOUNTINFO) -> list[Mapping[str, Any]] | None:
    """The mounts of the container we run in; None when in none that this engine knows."""
    try:
        found = _OWN_ID.search(mountinfo.read_text("utf-8", "replace"))
    except OSError:
        return None
    if found is None:
        return None
    try:
        mounts: list[Mapping[str, Any]] = client.inspect_container(found["id"])["Mounts"]
    except NotFound:
        return None  # DOCKER_HOST names another machine's engine: its paths cannot be seen here
    return mounts


def misplaced(mounts: Sequence[Mapping[str, Any]], directories: Iterable[PurePath]) -> list[str]:
    """One sentence for each directory that is not mounted at the identical path, with the fix."""
    found = []
    for directory in sorted({*directories}):
        source = _source(mounts, directory)
        if source != directory:
            found.append(f"{directory} is {_place(source)}; {_fix(directory, source)}")
    return found


def _place(source: PurePath | None) -> str:
    place = f"{source} on the host" if source else "inside the launcher's container only"
    return f"{place}, so relative bind mounts in it would resolve to another directory of the host"


def _fix(directory: PurePath, source: PurePath | None) -> str:
    """The host's path is what both must use: the engine knows no other."""
    if source is None:
        return f"start the launcher with -v {directory}:{directory}"
    return f"start the launcher with -v {source}:{source} and name {source} in the configuration"


def _source(mounts: Sequence[Mapping[str, Any]], directory: PurePath) -> PurePath | None:
    """Where the engine's host has the directory, by its nearest bind mount."""
    nearest: tuple[int, PurePath | None] = (-1, None)
    for mount in mounts:
        target = PurePath(mount["Destination"])
        if not directory.is_relative_to(target) or len(target.parts) <= nearest[0]:
            continue
        source = None
        if mount["Type"] == "bind":
            source = PurePath(mount["Source"]) / directory.relative_to(target)
        nearest = (len(target.parts), source)
    return nearest[1]
