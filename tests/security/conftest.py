"""What attackers touch: the edge over HTTP, a served launcher, a registry that lies, a world."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.registry.conftest import client, clock, make_client, other, registry
from tests.builders import Edge, edge_in
from tests.served import Served, serving

__all__ = ["client", "clock", "make_client", "other", "registry"]  # fixtures


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """With the configuration of `tests.builders`."""
    with edge_in(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One launcher for all: what an attacker does to it must not spare the next test.

    Its state directory was there before, and open to everybody on the host for reading.
    """
    directory = tmp_path_factory.mktemp("attacked")
    (directory / "state").mkdir(mode=0o755)
    with serving(directory) as made:
        yield made
