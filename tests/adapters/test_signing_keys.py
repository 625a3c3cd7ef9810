"""Published keys: fetched rarely, over TLS that is verified, and kept through an outage."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key

from tests.adapters.registry.test_tls import make_pair
from tests.clock import FakeClock
from webhook_launcher.adapters.signing_keys import Certificates, KeySet, parse_key_set

MINUTE, HOUR = 60.1, 3600.1
KEY = generate_private_key(65537, 2048).public_key()
OTHER = generate_private_key(65537, 2048).public_key()
SHORT = generate_private_key(65537, 1024).public_key()  # noqa: S505 - to be refused


def jwk(kid: object, key: RSAPublicKey = KEY, **more: object) -> dict[str, object]:
    """A key as RFC 7517 writes it."""
    numbers = key.public_numbers()
    return {"kty": "RSA", "kid": kid, "e": _b64(numbers.e), "n": _b64(numbers.n), **more}


def document(*keys: object) -> bytes:
    """A key set."""
    return json.dumps({"keys": keys}).encode()


def _b64(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass
class Publisher:
    """An HTTPS server of one document; a test edits what it answers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Trusted here, as a public authority's certificate would be."""
    made = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(made.status)
            for name, value in ({"Content-Length": str(len(made.body))} | made.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    tls = make_pair(tmp_path, "127.0.0.1").server
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        made.url = f"https://127.0.0.1:{server.server_address[1]}/keys"
        pem = (tmp_path / "server.pem").read_text()
        (tmp_path / "authorities.pem").write_text(pem[pem.index("-----BEGIN CERTIFICATE") :])
        bundle = str(tmp_path / "authorities.pem")
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", bundle)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def clock() -> FakeClock:
    """Time passes when a test says so."""
    return FakeClock()


@pytest.fixture
def keys(publisher: Publisher, clock: FakeClock) -> KeySet:
    """The publisher's key set, not yet fetched."""
    publisher.body = document(jwk("a"))
    return KeySet(publisher.url, parse_key_set, clock.monotonic)


class TestAKeySet:
    def test_is_fetched_when_a_key_is_first_asked_for(
        self, keys: KeySet, publisher: Publisher
    ) -> None:
        """Not at the start, which would fail without a network; and then once."""
        assert publisher.asked == []
        for _ in range(3):
            assert keys("a") == KEY
        assert publisher.asked == ["/keys"]

    def test_is_fetched_at_most_once_a_minute_for_names_that_it_has_not(
        self, keys: KeySet, publisher: Publisher, clock: FakeClock
    ) -> None:
        """Anybody can send a token that names a key of their own invention."""
        assert keys("a") == KEY
        assert [keys(f"invented-{n}") for n in range(50)] == [None] * 50
        assert len(publisher.asked) == 1
        clock.sleep(MINUTE)
        assert [keys(f"invented-{n}") for n in range(50)] == [None] * 50
        assert len(publisher.asked) == 2

    def test_has_a_new_key_within_a_minute_of_its_publication(
        self, keys: KeySet, publisher: Publisher, clock: FakeClock
    ) -> None:
        """Issuers rotate; what they then sign must not wait for our next restart."""
        assert keys("a") == KEY
        publisher.body = document(jwk("b", OTHER))
        clock.sleep(MINUTE)
        assert keys("b") == OTHER
        assert keys("a") is None  # and what is no longer published is no longer trusted

    def test_is_fetched_anew_every_hour_that_it_is_used(
        self, keys: KeySet, publisher: Publisher, clock: FakeClock
    ) -> None:
        """A key that was withdrawn must not be trusted for as long as we run."""
        assert keys("a") == KEY
        publisher.body = document(jwk("b", OTHER))
        clock.sleep(HOUR)
        assert keys("a") is None

    def test_outlives_an_outage_of_its_publisher(
        self, keys: KeySet, publisher: Publisher, clock: FakeClock
    ) -> None:
        """An outage revokes nothing; asking is not repeated with every delivery either."""
        assert keys("a") == KEY
        publisher.status = 503
        clock.sleep(HOUR)
        for _ in range(5):
            assert keys("a") == KEY
        assert len(publisher.asked) == 2

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"body": b"<html>"}, "a proxy's error page"),
            ({"body": b'{"keys": 3}'}, "no key set"),
            ({"body": b"[]"}, "no object"),
            ({"headers": {"Content-Length": "999999"}}, "cut off"),
            ({"headers": {"Content-Encoding": "gzip"}}, "not what it says it is"),
            ({"body": document(jwk("b"), "x" * 2**20)}, "more than a mebibyte"),
            ({"status": 302, "headers": {"Location": "/elsewhere"}}, "a redirect"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_is_left_as_it_was_by_an_answer_that_is_none(
        self,
        keys: KeySet,
        publisher: Publisher,
        clock: FakeClock,
        change: dict[str, Any],
        why: str,
    ) -> None:
        """Half a document would withdraw the other half of the keys; a redirect leads anywhere."""
        assert keys("a") == KEY
        for name, value in change.items():
            setattr(publisher, name, value)
        clock.sleep(HOUR)
        assert keys("a") == KEY
        assert publisher.asked == ["/keys", "/keys"]

    def test_is_not_had_from_a_server_whose_certificate_nobody_vouches_for(
        self, keys: KeySet, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever can answer in the issuer's place could sign every token."""
        authorities = ssl.get_default_verify_paths().cafile
        if authorities is None:
            pytest.skip("this machine has no authorities")
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", authorities)
        assert keys("a") is None
        assert publisher.asked == []

    def test_can_be_a_file(self, tmp_path: Path, clock: FakeClock) -> None:
        """For an issuer that cannot be reached from where the launcher runs."""
        file = tmp_path / "keys.json"
        keys = KeySet(str(file), parse_key_set, clock.monotonic)
        assert keys("a") is None
        file.write_bytes(document(jwk("a")))
        clock.sleep(MINUTE)
        assert keys("a") == KEY


class TestTheKeysOfADocument:
    @pytest.mark.parametrize(
        "bad",
        [
            jwk("b", n="!"),
            jwk("b", n=""),
            jwk("b", e=None),
            jwk("b", e="Ag"),
            jwk(7),
            jwk("b", use="enc"),
            jwk("b", SHORT),
            {"kty": "EC", "kid": "b"},
            {},
            None,
            "text",
        ],
    )
    def test_one_that_cannot_be_used_does_not_take_the_others_away(self, bad: object) -> None:
        """A publisher adds a key of a new sort; the tokens signed with the old ones go on."""
        assert parse_key_set(document(bad, jwk("a"))) == {"a": KEY}

    def test_are_read_as_strictly_as_a_delivery(self) -> None:
        """Of two equal names, which is believed?"""
        with pytest.raises(ValueError, match="twice"):
            parse_key_set(b'{"keys": [], "keys": []}')


class TestCertificates:
    def test_are_fetched_once_each(self, publisher: Publisher, clock: FakeClock) -> None:
        """SNS names one in every message."""
        publisher.body = b"a certificate"
        certificates = Certificates(_reading(b"a certificate"), clock.monotonic)
        assert [certificates(publisher.url) for _ in range(3)] == [KEY] * 3
        assert len(publisher.asked) == 1

    def test_that_somebody_invents_do_not_crowd_out_the_right_one(
        self, publisher: Publisher, clock: FakeClock
    ) -> None:
        """Their address is named before the signature is checked; they are not even kept."""
        publisher.body = b"a certificate"
        certificates = Certificates(_reading(b"a certificate"), clock.monotonic)
        assert certificates(publisher.url) == KEY
        publisher.status = 404
        for number in range(100):
            assert certificates(f"{publisher.url}/{number}") is None
        assert certificates(publisher.url) == KEY
        assert len(certificates._proven) == 1

    def test_that_somebody_invents_cost_a_few_requests_a_minute(
        self, publisher: Publisher, clock: FakeClock
    ) -> None:
        """Nobody without a signature may make us ask other hosts as often as he likes."""
        publisher.status = 404
        certificates = Certificates(_reading(b"a certificate"), clock.monotonic)
        for number in range(100):
            assert certificates(f"{publisher.url}/{number}") is None
        assert len(publisher.asked) == 4
        clock.sleep(61)
        certificates(f"{publisher.url}/again")
        assert len(publisher.asked) == 5


def _reading(expected: bytes) -> Callable[[bytes], RSAPublicKey]:
    def key_of(pem: bytes) -> RSAPublicKey:
        if pem != expected:
            raise ValueError("no certificate")
        return KEY

    return key_of
