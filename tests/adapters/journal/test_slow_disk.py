"""A disk that takes its time, or hangs: who waits, and who is told."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import accept, look
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.journal.probe import Probe
from webhook_launcher.core.errors import JournalError


class SlowDisk:
    """Lets no commit through while it is shut; counts those that went through."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.commits = 0

    def connection(self) -> type[sqlite3.Connection]:
        """What SQLite's file lies on."""
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    assert disk.open.wait(20)
                    disk.commits += 1
                return super().execute(sql, *parameters)  # type: ignore[arg-type]

        return Connection


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    """Under every journal that is opened from now on."""
    made = SlowDisk()
    connect, factory = sqlite3.connect, made.connection()
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=factory))
    return made


@pytest.fixture
def slow(state: Path, disk: SlowDisk) -> Iterator[Journal]:
    """A journal on it."""
    made = Journal(state, LANES, limit=1000)
    yield made
    disk.open.set()
    made.close()


def test_nothing_is_acknowledged_before_its_commit(slow: Journal, disk: SlowDisk) -> None:
    """However slow it is; and those that wait together cost one commit, not one each."""
    disk.open.clear()
    with ThreadPoolExecutor(20) as pool:
        heard = [pool.submit(accept, slow, f"n{number}", look()) for number in range(20)]
        time.sleep(0.3)  # a lie would be told by now
        assert not any(one.done() for one in heard)
        before = disk.commits
        disk.open.set()
        assert len({one.result().id for one in heard}) == 20
    assert disk.commits - before <= 4


def test_readiness_says_that_the_disk_hangs_and_does_not_hang_itself(
    slow: Journal, disk: SlowDisk
) -> None:
    """A check that never answers looks like a network fault, and holds a thread each time."""
    probe = Probe(slow._database, patience=0.1)
    probe.ask()
    disk.open.clear()
    for _ in range(3):
        start = time.monotonic()
        with pytest.raises(JournalError, match="no commit has come back") as raised:
            probe.ask()
        assert time.monotonic() - start < 5
        assert "slow or hangs" in raised.value.advice()
    before = disk.commits
    disk.open.set()
    while disk.commits == before:
        time.sleep(0.01)
    Probe(slow._database, patience=20).ask()
    assert disk.commits == before + 2  # three questions were one commit
