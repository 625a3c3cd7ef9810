"""Fixtures of the stories around a whole launcher (`tests.world`)."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

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
pytest_plugins = ["tests.machine", "tests.parallel"]

MEMORY = Path("/dev/shm")  # noqa: S108 - directories of our own in it


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """In memory for the stories of this directory that need no engine.

    They make thousands of journals, and each synced commit waits for the disk: 100 s instead of
    40 s for the slowest, and ten minutes beside programs that write.
    """
    engine = request.node.get_closest_marker("engine")
    if request.path.parent != Path(__file__).parent or engine or not _memory_is_free():
        yield tmp_path
        return
    with TemporaryDirectory(prefix="webhook-launcher-", dir=MEMORY) as directory:
        yield Path(directory)


def _memory_is_free() -> bool:
    # Containers have 64 MiB there by default.
    return MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**30


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A launcher that follows `web`, before anything was deployed."""
    made = World(tmp_path / "state")
    yield made
    made.close()
