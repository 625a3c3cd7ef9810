"""Where a launcher in a container finds its project directories, and where the engine does."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from webhook_launcher.adapters.engine.mounts import misplaced


def bind(source: str, destination: str) -> Mapping[str, Any]:
    """A `-v source:destination`."""
    return {"Type": "bind", "Source": source, "Destination": destination}


def volume(destination: str) -> Mapping[str, Any]:
    """A named volume."""
    return {
        "Type": "volume",
        "Source": "/var/lib/docker/volumes/x/_data",
        "Destination": destination,
    }


SRV = PurePath("/srv/web")


def test_the_identical_path_is_right() -> None:
    """`./data` of the compose file is then the same directory for both."""
    assert misplaced([bind("/srv/web", "/srv/web")], [SRV]) == []


def test_a_parent_at_the_identical_path_is_right() -> None:
    """`-v /srv:/srv` serves every project in it."""
    assert misplaced([bind("/srv", "/srv")], [SRV]) == []


def test_a_directory_mounted_elsewhere_is_told_with_the_fix() -> None:
    """The engine would create an empty directory in its place, silently."""
    (problem,) = misplaced([bind("/home/me/web", "/srv/web")], [SRV])
    assert "/home/me/web on the host" in problem
    assert "-v /home/me/web:/home/me/web and name /home/me/web" in problem


def test_a_directory_that_is_not_mounted_is_told() -> None:
    """It exists in the launcher's image only."""
    (problem,) = misplaced([bind("/x", "/x")], [SRV])
    assert "inside the launcher's container only" in problem


def test_a_volume_is_not_the_hosts_directory() -> None:
    """Its path on the host is not the path that compose writes down."""
    (problem,) = misplaced([volume("/srv/web")], [SRV])
    assert "inside the launcher's container only" in problem


def test_the_nearest_mount_counts() -> None:
    """A mount inside another hides that part of it."""
    mounts = [bind("/srv", "/srv"), bind("/elsewhere", "/srv/web")]
    assert len(misplaced(mounts, [SRV])) == 1
    assert len(misplaced(list(reversed(mounts)), [SRV])) == 1
    assert misplaced(mounts, [PurePath("/srv/api")]) == []


def test_a_similar_name_is_not_a_parent() -> None:
    """`/srv/we` is not above `/srv/web`."""
    assert len(misplaced([bind("/srv/we", "/srv/we")], [SRV])) == 1


def test_each_directory_is_told_once() -> None:
    """Several workloads may share a project."""
    assert len(misplaced([], [SRV, SRV, PurePath("/srv/api")])) == 2
