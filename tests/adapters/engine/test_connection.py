"""An engine that is away, comes back, changes its version, or breaks off."""

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.adapters.engine.faulty import Exchange, FaultyEngine
from tests.clock import FakeClock
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.core.errors import EngineError, EngineUnavailableError


@pytest.fixture
def faulty(tmp_path: Path) -> FaultyEngine:
    """Not listening yet."""
    return FaultyEngine(tmp_path / "s")


@pytest.fixture
def engine(faulty: FaultyEngine) -> Iterator[Engine]:
    """The adapter; made before the engine is there."""
    connection = Connection(faulty.environment, timeout=1)
    yield Engine(connection, FakeClock())
    connection.close()


def test_nothing_is_connected_until_it_is_needed(engine: Engine, faulty: FaultyEngine) -> None:
    """The launcher starts, and takes deliveries, while the daemon is still down."""
    with faulty.up():
        assert faulty.requests == []
        engine.ping()
    assert [request.path for request in faulty.requests] == ["/version", "/v1.41/_ping"]


def test_an_engine_that_is_not_there_can_be_tried_again(engine: Engine) -> None:
    """A stopped daemon is no fault of the image."""
    with pytest.raises(EngineUnavailableError) as raised:
        engine.ping()
    assert raised.value.retryable


def test_what_keeps_the_engine_away_is_said_in_plain_words(
    engine: Engine, faulty: FaultyEngine
) -> None:
    """People read this when nothing works: where, why, and what to do; no tuple of a library."""
    with pytest.raises(EngineUnavailableError) as absent:
        engine.ping()
    where = f"the engine at unix://{faulty.path} does not answer: "
    assert str(absent.value) == f"{where}no such file or directory"
    assert "DOCKER_HOST" in absent.value.advice()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(faulty.path))
        with pytest.raises(EngineUnavailableError) as refused:
            engine.ping()
    assert str(refused.value) == f"{where}connection refused"
    assert "Start the Docker Engine" in refused.value.advice()


def test_without_docker_host_the_socket_is_named() -> None:
    """`the default socket` sends people to a search engine."""
    assert Connection({}).host == "unix:///var/run/docker.sock"


def test_a_socket_that_nobody_listens_on_is_the_same(engine: Engine, faulty: FaultyEngine) -> None:
    """A killed daemon leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(faulty.path))
        with pytest.raises(EngineUnavailableError):
            engine.ping()


def test_it_reconnects_after_the_daemon_was_away(engine: Engine, faulty: FaultyEngine) -> None:
    """An upgrade of docker must not need a restart of the launcher."""
    with faulty.up():
        engine.ping()
    with pytest.raises(EngineUnavailableError):
        engine.ping()
    with faulty.up():
        engine.ping()


@pytest.fixture
def looking(engine: Engine, faulty: FaultyEngine) -> Callable[[], object]:
    """A look whose answer is read to its end: its connection is kept (that of a ping is not)."""
    faulty.answers["/json"] = lambda exchange: exchange.answer(200, [])
    return lambda: engine.containers("shop", ["web"])


def test_an_engine_whose_socket_is_gone_is_away(
    engine: Engine, faulty: FaultyEngine, looking: Callable[[], object]
) -> None:
    """A connection lives on without the file, and Compose connects anew: it would find nobody."""
    aside = faulty.path.with_name("aside")
    with faulty.up():
        looking()
        faulty.path.rename(aside)
        try:
            for ask in (engine.ping, looking, engine.ping):
                with pytest.raises(EngineUnavailableError, match="does not answer"):
                    ask()
        finally:
            aside.rename(faulty.path)
        looking()


def test_whoever_has_the_socket_now_is_the_engine(
    faulty: FaultyEngine, looking: Callable[[], object], tmp_path: Path
) -> None:
    """Compose talks to the new one; the old one's containers say nothing about what it did."""
    other = FaultyEngine(tmp_path / "other", answers=dict(faulty.answers))
    with faulty.up(), other.up():
        looking()
        faulty.path.rename(tmp_path / "aside")
        other.path.rename(faulty.path)
        try:
            looking()
        finally:
            faulty.path.rename(other.path)
            (tmp_path / "aside").rename(faulty.path)
    assert len(faulty.asked("/json")) == 1
    assert len(other.asked("/json")) == 1


def test_a_connection_is_used_again(engine: Engine, faulty: FaultyEngine) -> None:
    """The gate asks twenty times a second; agreeing on a version each time would double that."""
    with faulty.up():
        for _ in range(3):
            engine.ping()
    assert len(faulty.asked("/version")) == 1


def test_an_upgraded_engine_is_asked_for_its_version_again(
    engine: Engine, faulty: FaultyEngine
) -> None:
    """Newer engines refuse API versions that are too old."""

    def refusing(exchange: Exchange) -> None:
        if "/v1.44/" in exchange.path:
            exchange.answer(200, "OK")
        else:
            exchange.answer(400, {"message": "client version 1.41 is too old"})

    with faulty.up():
        engine.ping()
        faulty.api = "1.44"
        faulty.answers["/_ping"] = refusing
        with pytest.raises(EngineError, match="too old"):
            engine.ping()
        engine.ping()


def test_an_engine_that_hangs_is_not_waited_for(engine: Engine, faulty: FaultyEngine) -> None:
    """A stuck daemon accepts connections and answers nothing."""
    let_go = threading.Event()

    def hanging(_exchange: Exchange) -> None:
        let_go.wait(60)

    faulty.answers["/json"] = hanging
    with faulty.up():
        with pytest.raises(EngineUnavailableError, match="went away"):
            engine.containers("shop", ["web"])
        let_go.set()


def test_an_answer_that_breaks_off_is_an_engine_that_went_away(
    engine: Engine, faulty: FaultyEngine
) -> None:
    """Killed in the middle of a list of containers: half a list must not be believed."""

    def broken(exchange: Exchange) -> None:
        exchange.begin()
        exchange.chunk(b'[{"Id": "1"}')
        exchange.close_connection = True

    faulty.answers["/json"] = broken
    with faulty.up(), pytest.raises(EngineUnavailableError):
        engine.containers("shop", ["web"])


def test_an_error_of_the_engine_is_told_in_its_words(engine: Engine, faulty: FaultyEngine) -> None:
    """An answer is an answer: the daemon is there, and trying again would not help."""
    faulty.answers["/json"] = lambda exchange: exchange.answer(500, {"message": "disk is on fire"})
    with faulty.up():
        with pytest.raises(EngineError, match="disk is on fire") as raised:
            engine.containers("shop", ["web"])
        engine.ping()
    assert not raised.value.retryable
    assert len(faulty.asked("/version")) == 1, "the connection was good and stays"


def test_several_threads_never_share_a_client(engine: Engine, faulty: FaultyEngine) -> None:
    """The SDK's client is a requests session, which promises nothing for threads."""
    together = threading.Barrier(4, timeout=10)

    def when_all_are_here(exchange: Exchange) -> None:
        together.wait()
        exchange.answer(200, "OK")

    faulty.answers["/_ping"] = when_all_are_here
    with faulty.up(), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: engine.ping(), range(4)))
        first = len(faulty.asked("/version"))
        list(pool.map(lambda _: engine.ping(), range(4)))
    assert first == 4
    assert len(faulty.asked("/version")) == 4, "they are used again"


def test_no_descriptor_is_left_open(engine: Engine, faulty: FaultyEngine) -> None:
    """A daemon that is away for a week is asked a few hundred thousand times."""

    def opened() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    for _ in range(20):
        with pytest.raises(EngineUnavailableError):
            engine.ping()
    assert opened() == before


def unix_sockets() -> int:
    """How many of this process's descriptors are sockets."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue  # the one that lists them
    return found


def test_an_engine_that_is_away_costs_no_descriptors(engine: Engine) -> None:
    """It is asked for hours; the SDK leaves each socket that did not connect to the collector."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            with pytest.raises(EngineUnavailableError):
                engine.ping()
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
    finally:
        gc.enable()


def test_a_client_keeps_one_socket_whatever_it_asks(faulty: FaultyEngine, engine: Engine) -> None:
    """Every container's id makes another URL: a soak held 280 sockets after ten minutes."""
    faulty.answers["/json"] = lambda exchange: exchange.answer(200, {"Config": {"Tty": False}})
    faulty.answers["/logs"] = lambda exchange: exchange.answer(200, {})
    with faulty.up():
        engine.ping()
        before = unix_sockets()
        for number in range(20):
            engine.logs(f"{number:064x}")
        assert len(faulty.asked("/json")) == 20
        # At the fake's end there is one more for each of ours.
        assert unix_sockets() <= before + 2
