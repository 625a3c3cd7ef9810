"""Every kind against what nobody would send by accident."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.seeds import TWISTS
from tests.sources.senders import NOW, recorded, source, with_body
from webhook_launcher.core.errors import AuthenticationError, EventError, MalformedEventError
from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.sources import KINDS, read, receive

pytestmark = pytest.mark.parametrize("kind", sorted(KINDS))

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(
        ["", "latest", "sha256:", "sha256:" + "1" * 64, "a/b:c@d", "..", "http://x/v2/", "x" * 2000]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "content-type",
            "authorization",
            "x-github-event",
            "x-github-delivery",
            "ce-id",
            "ce-type",
            "idempotency-key",
            "webhook-id",
            "x-delivery",
            "x-forgejo-delivery",
            "x-gitea-event",
            "x-goog-pubsub-message-id",
            "x-nexus-webhook-delivery",
            "x-nexus-webhook-id",
        ]
    ),
    st.text(max_size=40)
    | st.sampled_from(["application/x-www-form-urlencoded", "Basic Og==", "Bearer a.b.c"]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from places(inner, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of the value with something else at one place."""
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


def survives(delivery: Delivery, given_source: Source) -> None:
    """Reading ends in a statement with mentions or a reason, or in an EventError."""
    with suppress(EventError):
        statement = read(delivery, given_source)
        assert bool(statement.mentions) is (statement.ignored is None)
        assert statement.delivery_id is None or 0 < len(statement.delivery_id) <= 256
        assert (statement.ignored or "x").isprintable()
        assert len(statement.refused) <= 4
        assert all(len(text) < 3000 for text in statement.refused)


@given(st.data())
def test_a_recording_with_anything_in_any_place_is_read_or_refused(
    kind: str, data: st.DataObject
) -> None:
    """Random bytes end in the JSON parser; this reaches every field that a kind looks at."""
    delivery = recorded(kind)
    body = json.loads(delivery.body)
    for _ in range(data.draw(st.integers(1, 3))):
        body = put(body, data.draw(st.sampled_from(list(places(body)))), data.draw(VALUES))
    changed = Delivery({**delivery.headers, **data.draw(HEADERS)}, json.dumps(body).encode())
    for registry in (None, "registry.example.com"):
        survives(changed, source(kind, registry=registry))


@pytest.mark.parametrize("twist", sorted(TWISTS.keys() - {"as it is", "a form"}))
def test_a_body_that_two_readers_would_read_differently_is_refused(kind: str, twist: str) -> None:
    """Duplicate keys, NaN, other charsets, cuts: not even ignored, since nobody sends them."""
    delivery = recorded(kind)
    with pytest.raises(MalformedEventError):
        read(with_body(delivery, TWISTS[twist](delivery.body)), source(kind))


@given(st.binary(), HEADERS)
def test_any_bytes_and_headers_are_read_or_refused(
    kind: str, body: bytes, headers: dict[str, str]
) -> None:
    """`web` knows one family of errors; anything else is a 500 that a stranger can cause."""
    survives(Delivery(headers, body), source(kind, registry="registry.example.com"))


@given(HEADERS, st.text())
def test_without_credentials_configured_nobody_is_let_in(
    kind: str, headers: dict[str, str], token: str
) -> None:
    """A source without secrets is a configuration error, and if it got through it stays shut."""
    delivery = recorded(kind)
    forged = Delivery({**delivery.headers, **headers}, delivery.body, token)
    with pytest.raises(AuthenticationError):
        receive(forged, source(kind), NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"' + b'\\"' * 400_000,
        b"payload=" + b"%7b" * 300_000,
        b"payload=" + b"+" * 900_000,
        b"&" * 900_000,
        b'{"events":[' + b"{}," * 200_000 + b"{}]}",
        b'{"package":{"name":"' + b"a-" * 400_000 + b'"}}',
    ],
    ids=lambda body: repr(body[:12]),
)
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_megabyte_of_anything_takes_time_in_proportion(
    kind: str, body: bytes, content_type: str
) -> None:
    """The answer has to be out within a second, of which reading is one part."""
    delivery = with_body(Delivery({"content-type": content_type}, b""), body)
    start = time.thread_time()
    survives(delivery, source(kind, registry="registry.example.com"))
    assert time.thread_time() - start < 2
