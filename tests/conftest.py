"""Fixtures of the stories around a whole launcher (`tests.world`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import World

# The fixtures that need an engine: machine, registry, repository, host.
pytest_plugins = ["tests.machine"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A launcher that follows `web`, before anything was deployed."""
    made = World(tmp_path / "state")
    yield made
    made.close()
