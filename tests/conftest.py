"""Fixtures of the stories around a whole launcher (`tests.world`)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.world import World

# The same examples everywhere, and no limit of wall-clock time for one: with other programs beside
# the tests an example takes as long as it takes. `make search` plays random ones.
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# The fixtures that need an engine: machine, registry, repository, host.
pytest_plugins = ["tests.machine"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A launcher that follows `web`, before anything was deployed."""
    made = World(tmp_path / "state")
    yield made
    made.close()
