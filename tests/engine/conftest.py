"""The stage on which the main job is shown."""

from collections.abc import Iterator

import pytest

from testbed.images import TestRegistry
from tests.engine.stage import Stage
from tests.projects import Host


@pytest.fixture
def stage(host: Host, registry: TestRegistry, repository: str) -> Iterator[Stage]:
    """A stage of its own for each test; its launchers end with it."""
    made = Stage(host, registry, repository)
    yield made
    made.stop()
