"""Which engine it is, and the ones that are too old."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.adapters.engine.faulty import FaultyEngine
from tests.clock import FakeClock
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.core.errors import EngineError


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyEngine]:
    """An engine behind a proxy that forbids `/info`."""
    made = FaultyEngine(tmp_path / "docker.sock")
    made.answers["/version"] = lambda exchange: exchange.answer(
        200, {"ApiVersion": made.api, "Version": "19.03.15"}
    )
    made.answers["/info"] = lambda exchange: exchange.answer(403, {"message": "forbidden"})
    with made.up():
        yield made


@pytest.fixture
def engine(faulty: FaultyEngine) -> Iterator[Engine]:
    """The adapter."""
    connection = Connection(faulty.environment)
    yield Engine(connection, FakeClock())
    connection.close()


def test_an_engine_before_20_10_is_refused_with_what_to_do(
    faulty: FaultyEngine, engine: Engine
) -> None:
    """Its API lacks what is used; nobody has tried it."""
    faulty.api = "1.40"
    with pytest.raises(EngineError, match=r"19\.03\.15 \(API 1\.40\) is too old") as raised:
        engine.versions()
    assert "20.10" in raised.value.advice()


def test_versions_compare_as_numbers(faulty: FaultyEngine, engine: Engine) -> None:
    """1.100 is newer than 1.41."""
    faulty.api = "1.100"
    assert engine.versions()["api"] == "1.100"


def test_a_proxy_that_forbids_info_is_no_hindrance(engine: Engine) -> None:
    """Least privilege: no deployment needs it."""
    assert engine.versions()["store"] == "unknown"
    assert engine.now() is None


def test_the_engines_clock_is_read_to_the_nanosecond_it_writes(
    faulty: FaultyEngine, engine: Engine
) -> None:
    """Go writes nine digits and a zone."""
    faulty.answers["/info"] = lambda exchange: exchange.answer(
        200, {"SystemTime": "2026-11-24T02:33:28.330277123+01:00"}
    )
    assert engine.now() == datetime(2026, 11, 24, 1, 33, 28, 330277, tzinfo=UTC)
