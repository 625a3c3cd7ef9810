"""The edge on a real journal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import Edge, edge_in


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """With the configuration of `tests.builders`."""
    with edge_in(tmp_path) as made:
        yield made
