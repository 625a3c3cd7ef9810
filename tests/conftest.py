"""Fixtures of the stories around a whole launcher (`tests.world`)."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.world import World

# A launcher that a test starts compiles every module anew where this is set, at 1.4 s each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The same examples everywhere, and no limit of wall-clock time for one: with other programs beside
# the tests an example takes as long as it takes. `make search` plays random ones.
settings.register_profile("suite", settings.get_profile("ci"), max_examples=50)
settings.register_profile(
    "search",
    max_examples=int(os.environ.get("EXAMPLES", "1000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# The fixtures that need an engine: machine, registry, repository, host.
pytest_plugins = ["tests.machine"]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a worker of pytest-xdist, group tests by their module's fixtures and put them in order.

    A fixture of a module is made once, so its tests run in one worker. Tests that wait for
    containers are spread among those that compute, and end before them: two processors then have
    work at any time, and nobody waits for one long test at the end.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        if _shares_a_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    waiting = [item for item in items if item.get_closest_marker("engine")]
    others = [item for item in items if not item.get_closest_marker("engine")]
    # Directly in `tests/` are the stories around a whole launcher, which take longest.
    others.sort(key=lambda item: item.path.parent != Path(__file__).parent)
    places = [(0.8 * n / len(waiting), item) for n, item in enumerate(waiting)]
    places += [(n / len(others), item) for n, item in enumerate(others)]
    items[:] = [item for _, item in sorted(places, key=lambda place: place[0])]


def _shares_a_fixture(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    used = item._fixtureinfo.name2fixturedefs.values()
    return any(definition[-1].scope == "module" for definition in used)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A launcher that follows `web`, before anything was deployed."""
    made = World(tmp_path / "state")
    yield made
    made.close()
