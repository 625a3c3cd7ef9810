"""Requests that two servers would read differently, byte for byte, at the real gunicorn.

Before it stands a proxy with an opinion of its own. Whatever is ambiguous must be refused as a
whole, and what is cut short must lead to nothing.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import GITHUB_SECRET, URL_TOKEN
from tests.served import Served, serving

PUSH = json.dumps(
    {"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}}
).encode()
HUB = f"POST /hooks/hub/{URL_TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
INSIDE = f"POST /hooks/hub/{URL_TOKEN} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One launcher for all of them: a request that harms it must not spare the next."""
    directory: Path = tmp_path_factory.mktemp("smuggling")
    with serving(directory) as made:
        yield made


def accepted(served: Served) -> int:
    """How many deliveries were let in, by the launcher's own log."""
    return len(served.told("delivery"))


def chunked(body: bytes) -> bytes:
    """One chunk and the end."""
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def test_a_whole_request_is_accepted_in_either_form(served: Served) -> None:
    """Or the refusals below would prove nothing."""
    before = accepted(served)
    length = b"Content-Length: %d\r\n\r\n" % len(PUSH)
    assert b" 202 " in served.raw(HUB + length + PUSH)[:20]
    head = HUB + b"Transfer-Encoding: chunked\r\n\r\n"
    assert served.raw(head + chunked(PUSH))[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 202")
    assert accepted(served) == before + 2


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: %d\r\n",
        b"Content-Length: %d, %d\r\n",
        b"Content-Length: +%d\r\n",
        b"Content-Length: 0x%x\r\n",
        b"Content-Length : %d\r\n",
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b" Content-Length: %d\r\n",
        b"X: y\r\n Content-Length: %d\r\n",
        b"X\x00: y\r\nContent-Length: %d\r\n",
    ],
)
def test_two_readings_of_where_a_body_ends_are_refused(served: Served, headers: bytes) -> None:
    """The second request inside would be hidden from the proxy that wrote the first one's log."""
    before = accepted(served)
    values = (len(PUSH),) * headers.count(b"%")
    inner = INSIDE + b"Content-Length: %d\r\n\r\n" % len(PUSH) + PUSH
    answer = served.raw(HUB + headers % values + b"\r\n" + PUSH + inner)
    assert b" 202 " not in answer
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501", b"")
    assert accepted(served) == before


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: %d\r\n\r\n" % (len(PUSH) + 10) + PUSH,
        b"Content-Length: %d\r\n\r\n" % len(PUSH) + PUSH[:-10],
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(PUSH) + PUSH[:-10],
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + PUSH,
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + PUSH,
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + PUSH,
    ],
)
def test_a_body_that_ends_early_leads_to_nothing(served: Served, rest: bytes) -> None:
    """A connection that breaks must not turn half of a body into a delivery."""
    before = accepted(served)
    assert b" 202 " not in served.raw(HUB + rest)[:20]
    assert accepted(served) == before


def test_a_header_in_a_gateways_spelling_proves_nothing(served: Served) -> None:
    """`X_Hub_Signature_256` and `X-Hub-Signature-256` have one name behind a WSGI server.

    A proxy that strips or sets the one would let the other pass.
    """
    body = json.dumps({"zen": "x", "hook_id": 1}).encode()
    mac = hmac.new(GITHUB_SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = "POST /hooks/ghcr HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-GitHub-Event: ping\r\n"
    length = f"Content-Length: {len(body)}\r\n\r\n"
    good = f"X-Hub-Signature-256: sha256={mac}\r\n"
    assert served.raw((head + good + length).encode() + body)[:12] == b"HTTP/1.1 200"
    for spelling in ("X_Hub_Signature_256", "x-hub_signature-256"):
        odd = f"{spelling}: sha256={mac}\r\n"
        answer = served.raw((head + odd + length).encode() + body)
        assert answer[:12] in (b"HTTP/1.1 401", b"HTTP/1.1 400")
