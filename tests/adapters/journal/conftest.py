"""A real journal in a directory of the test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook_launcher.adapters.journal import Journal

# Two workloads share a compose project.
LANES = {"web": "shop", "jobs": "shop", "api": "api", "blog": "blog"}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory, which the journal makes."""
    return tmp_path / "state"


@pytest.fixture
def journal(state: Path) -> Iterator[Journal]:
    """Open, with a small limit."""
    made = Journal(state, LANES, limit=8)
    yield made
    made.close()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory whose syncs cost nothing, for hundreds of kills: a process dies, no machine."""
    shared = Path("/dev/shm")  # noqa: S108 - the directory in it is private
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as made:
        yield Path(made)
