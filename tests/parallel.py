"""How pytest-xdist deals the tests out to its workers.

pytest-xdist 3.8 tells groups (`--dist loadgroup`) by a suffix of the test's id, which pytest 9.2
no longer lets it add. So the groups are told here by the file.
"""

import os
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

TESTS = Path(__file__).parent


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """One test at a time for each worker, the tests of a module with a fixture of its own together.

    Such a fixture is costly, and otherwise each worker would make it: an image took three builds.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return file if has_own_fixture(TESTS.parent / file) else nodeid


@cache
def has_own_fixture(file: Path) -> bool:
    """Whether a test file has a fixture that is made once for the module."""
    return 'scope="module"' in file.read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Deal the tests out by `Scheduling`, whatever `--dist` says."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a worker, spread the tests that wait for containers among those that compute.

    They come before the end: two processors have work at any time, and no long test is the last.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    waiting = [item for item in items if item.get_closest_marker("engine")]
    others = [item for item in items if not item.get_closest_marker("engine")]
    # Directly in `tests/` are the stories around a whole launcher, which take longest.
    others.sort(key=lambda item: item.path.parent != TESTS)
    places = [(0.8 * n / len(waiting), item) for n, item in enumerate(waiting)]
    places += [(n / len(others), item) for n, item in enumerate(others)]
    items[:] = [item for _, item in sorted(places, key=lambda place: place[0])]
