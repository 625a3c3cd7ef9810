"""Pull: the engine says 200 first and the truth in the stream."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.adapters.engine.faulty import Exchange, FaultyEngine, streaming
from tests.clock import FakeClock
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.adapters.registry import Credential
from webhook_launcher.core.errors import (
    EngineUnavailableError,
    LauncherError,
    ManifestNotFoundError,
    PullError,
    RegistryDeniedError,
)
from webhook_launcher.core.model import Image
from webhook_launcher.core.reference import Digest, parse_reference

DIGEST = Digest("sha256:" + "a" * 64)
IMAGE = Image(parse_reference(f"ghcr.io/acme/web:stable@{DIGEST}"), DIGEST)
DONE = [{"status": "Pulling from acme/web", "id": str(DIGEST)}, {"status": "Digest: " + DIGEST}]


@dataclass
class Scene:
    """A faulty engine that has no image yet, and the adapter."""

    faulty: FaultyEngine
    clock: FakeClock
    engine: Engine

    def answers(self, answer: Callable[[Exchange], None]) -> None:
        """What a pull is answered with."""
        self.faulty.answers["/images/create"] = answer


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Credentials exist for one registry only."""
    faulty, clock = FaultyEngine(tmp_path / "s"), FakeClock()
    known = {"ghcr.io": Credential("acme", "pässword")}
    connection = Connection(faulty.environment)
    engine = Engine(connection, clock, known.get, pull_timeout=60.0)
    with faulty.up():
        yield Scene(faulty, clock, engine)
    connection.close()


def header(scene: Scene) -> dict[str, str]:
    """The credentials that the engine got."""
    (request,) = scene.faulty.asked("/images/create")
    content: dict[str, str] = json.loads(
        base64.urlsafe_b64decode(request.headers["X-Registry-Auth"])
    )
    return content


def test_exactly_the_digest_is_pulled(scene: Scene) -> None:
    """The tag is ignored by engines when there is a digest; better it is not sent."""
    scene.answers(streaming(DONE))
    scene.engine.pull(IMAGE)
    (request,) = scene.faulty.asked("/images/create")
    asked = parse_qs(request.query)
    assert asked == {"fromImage": ["ghcr.io/acme/web"], "tag": [str(DIGEST)]}


def test_an_image_that_is_there_is_not_pulled(scene: Scene) -> None:
    """A rollback works while the registry is down."""
    scene.faulty.answers[f"/images/{IMAGE.pinned}/json"] = lambda exchange: exchange.answer(
        200, {"Id": "sha256:c"}
    )
    scene.engine.pull(IMAGE)
    assert scene.faulty.asked("/images/create") == []


def test_the_engine_gets_the_credentials_of_that_registry(scene: Scene) -> None:
    """It logs in by itself; the password is base64url of UTF-8 JSON."""
    scene.answers(streaming(DONE))
    scene.engine.pull(IMAGE)
    expected = {"username": "acme", "password": "pässword", "serveraddress": "ghcr.io"}
    assert header(scene) == expected


def test_an_identity_token_is_sent_as_one(scene: Scene) -> None:
    """As a password it would be refused."""
    engine = Engine(
        Connection(scene.faulty.environment), scene.clock, lambda _: Credential.identity_token("t")
    )
    scene.answers(streaming(DONE))
    engine.pull(IMAGE)
    assert header(scene) == {"identitytoken": "t", "serveraddress": "ghcr.io"}


def test_another_registry_gets_no_credentials(scene: Scene) -> None:
    """Nobody's password goes where it does not belong."""
    scene.answers(streaming(DONE))
    elsewhere = parse_reference(f"registry.example/acme/web@{DIGEST}")
    scene.engine.pull(Image(elsewhere, DIGEST))
    (request,) = scene.faulty.asked("/images/create")
    assert "X-Registry-Auth" not in request.headers


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            "manifest for x@sha256:a not found: manifest unknown: manifest unknown",
            ManifestNotFoundError,
        ),
        ("failed to resolve reference ghcr.io/acme/web@sha256:a: not found", ManifestNotFoundError),
        ("repository x not found: name unknown: repository name not known", ManifestNotFoundError),
        ("pull access denied for x, repository does not exist", RegistryDeniedError),
        ("unauthorized: authentication required", RegistryDeniedError),
        ("Get https://ghcr.io/v2/: no basic auth credentials", RegistryDeniedError),
        ("filesystem layer verification failed for digest sha256:b", PullError),
        ("dial tcp 127.0.0.1:5000: connect: connection refused", PullError),
        ("dial tcp: lookup ghcr.io: no such host", PullError),
        ("something that nobody has seen before", PullError),
    ],
)
def test_an_error_in_the_stream_is_raised(
    scene: Scene, said: str, error: type[LauncherError]
) -> None:
    """`images.pull()` of the SDK drops it and returns the old local image."""
    failure = {"errorDetail": {"message": said}, "error": said}
    scene.answers(streaming([*DONE[:1], failure]))
    with pytest.raises(error) as raised:
        scene.engine.pull(IMAGE)
    assert type(raised.value) is error
    assert said in str(raised.value)
    assert IMAGE.pinned in str(raised.value)


def test_a_refusal_before_the_stream_is_raised_alike(scene: Scene) -> None:
    """Engine 20.10 answers 404 at once for a digest that the registry does not have."""
    message = {"message": "manifest for x not found: manifest unknown"}
    scene.answers(lambda exchange: exchange.answer(404, message))
    with pytest.raises(ManifestNotFoundError):
        scene.engine.pull(IMAGE)


def test_a_full_disk_says_so(scene: Scene) -> None:
    """The one failure that the operator can mend without the publisher."""
    scene.answers(streaming([{"error": "write /var/lib/x: no space left on device"}]))
    with pytest.raises(PullError) as raised:
        scene.engine.pull(IMAGE)
    assert "docker system df" in raised.value.advice()


def test_no_error_holds_a_credential(scene: Scene) -> None:
    """Errors go to the page, to logs and into receipts."""
    scene.answers(streaming([{"error": "unauthorized: incorrect username or password"}]))
    with pytest.raises(RegistryDeniedError) as raised:
        scene.engine.pull(IMAGE)
    assert "pässword" not in f"{raised.value} {raised.value.advice()} {raised.value.__cause__}"


def test_progress_is_told_in_words_without_the_bars(scene: Scene) -> None:
    """One line per layer and step is for a log; ten a second are for a terminal."""
    bar = {"status": "Downloading", "progressDetail": {"current": 1, "total": 9}, "id": "abc"}
    done = {"status": "Pull complete", "progressDetail": {}, "id": "abc"}
    scene.answers(streaming([bar, bar, done]))
    told: list[str] = []
    scene.engine.pull(IMAGE, on_progress=told.append)
    assert told == ["abc Pull complete"]


def test_entries_may_be_cut_anywhere(scene: Scene) -> None:
    """The stream's chunks are not its lines."""
    text = b'{"status":"one"}\r\n{"status":"tw\xc3\xb6"}\r\n{"error":"late"}'

    def in_pieces(exchange: Exchange) -> None:
        exchange.begin()
        for start in range(0, len(text), 7):
            exchange.chunk(text[start : start + 7])
        exchange.chunk(b"")

    scene.answers(in_pieces)
    told: list[str] = []
    with pytest.raises(PullError, match="late"):
        scene.engine.pull(IMAGE, on_progress=told.append)
    assert told == ["one", "twö"]


def test_a_pull_that_takes_too_long_is_given_up(scene: Scene) -> None:
    """A registry that sends a byte a minute must not hold the workload for a day."""

    def endless(exchange: Exchange) -> None:
        exchange.begin()
        for _ in range(100):
            scene.clock.sleep(10)
            exchange.chunk(b'{"status":"Waiting"}\n')
        exchange.chunk(b"")

    scene.answers(endless)
    with pytest.raises(PullError, match="not pulled within 60 s"):
        scene.engine.pull(IMAGE)


def test_a_pull_that_says_nothing_is_given_up(scene: Scene) -> None:
    """The engine is well and the registry is stuck: a failed pull, the workload is untouched."""
    let_go = threading.Event()

    def silent(exchange: Exchange) -> None:
        exchange.begin()
        let_go.wait(60)

    scene.answers(silent)
    engine = Engine(Connection(scene.faulty.environment), scene.clock, pull_timeout=0.5)
    with pytest.raises(PullError, match=r"not pulled within 0\.5 s"):
        engine.pull(IMAGE)
    let_go.set()


def test_a_stream_that_breaks_off_is_not_a_success(scene: Scene) -> None:
    """A daemon that is killed in a pull: the end of the bytes is not the end of the pull."""

    def broken(exchange: Exchange) -> None:
        exchange.begin()
        exchange.chunk(b'{"status":"Downloading"}\n')
        exchange.close_connection = True

    scene.answers(broken)
    with pytest.raises(EngineUnavailableError):
        scene.engine.pull(IMAGE)
