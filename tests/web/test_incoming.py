"""A request in pieces is the request that gunicorn reads in one: never another, never a fault."""

from itertools import pairwise
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.parser import RequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_launcher.web.incoming import Incoming, TooLongError

CLIENT = ("127.0.0.1", 4711)
LIMIT = 10_000
BODY = b'{"a": "\r\n\r\n0\r\n\r\n"}'
HEAD = b"POST /hooks/hub?x HTTP/1.1\r\nHost: x\r\nX-Id: 1\r\nX-Id: 2\r\n"


def in_chunks(body: bytes, size: int) -> bytes:
    """A chunked body."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


WHOLE = {
    "no body": HEAD + b"\r\n",
    "length": HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(BODY, 9),
    "chunks of one byte": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(BODY, 1),
    "trailers": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + in_chunks(BODY, 50)[:-2]
    + b"X-Sum: 1\r\n\r\n",
    "an empty line first": b"\r\n" + HEAD + b"\r\n",
    "CL and TE": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a bare LF": HEAD.replace(b"\r\n", b"\n") + b"\n",
    "a bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
}


def as_gunicorn(sent: bytes) -> object:
    """What gunicorn's parser makes of it, in one piece: the request, or its error."""
    try:
        request: Any = next(RequestParser(Config(), [sent], CLIENT))
        body = request.body.read()
    except Exception as error:  # noqa: BLE001 - compared
        return type(error)
    return request.method, request.uri, request.headers, body


def in_pieces(pieces: list[bytes]) -> object:
    """The same of our way, and what was left over."""
    incoming = Incoming(Config(), CLIENT, 1)
    try:
        for piece in pieces:
            incoming.feed(piece)
            if incoming.undecoded:
                incoming.decode(LIMIT)
        if not incoming.whole and incoming.chunked:
            incoming.decode(LIMIT)
        assert incoming.whole
        request: Any = incoming.readable()
        body = request.body.read()
    except Exception as error:  # noqa: BLE001 - compared
        return type(error)
    return (request.method, request.uri, request.headers, body), incoming.behind()


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, 300), max_size=12), behind=st.sampled_from([b"", b"GET / "]))
def test_where_it_is_cut_does_not_matter(name: str, cuts: list[int], behind: bytes) -> None:
    """Else a proxy and we could disagree about where a request ends, by the timing of packets."""
    sent = WHOLE[name] + behind
    places = [0, *sorted({min(cut, len(sent)) for cut in cuts}), len(sent)]
    pieces = [sent[a:b] for a, b in pairwise(places) if a < b]
    expected = as_gunicorn(WHOLE[name])
    found = in_pieces(pieces)
    if isinstance(expected, type):
        assert found == expected
    else:
        assert found == (expected, behind)


@pytest.mark.parametrize("name", ["length", "chunked", "trailers", "no body"])
def test_byte_by_byte_it_is_whole_with_the_last(name: str) -> None:
    """Whole too early would cut a body, too late would wait for a client that is done."""
    incoming = Incoming(Config(), CLIENT, 1)
    for number, byte in enumerate(WHOLE[name], 1):
        incoming.feed(bytes([byte]))
        if incoming.undecoded:
            incoming.decode(LIMIT)
        assert incoming.whole == (number == len(WHOLE[name]))


def test_a_body_that_keeps_looking_whole_is_not_read_over_and_over() -> None:
    """Each try reads all of it: somebody could have a byte cost a megabyte."""
    incoming = Incoming(Config(), CLIENT, 1)
    incoming.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n")
    tried = 0
    for _ in range(1000):
        incoming.feed(b"\r\n\r\n")
        if incoming.undecoded:
            tried += 1
            assert not incoming.decode(LIMIT)
    assert tried < 10


def test_chunks_are_counted_decoded() -> None:
    """A body of the longest allowed length is not refused for the frames around it."""
    for length, fits in ((LIMIT, True), (LIMIT + 1, False)):
        incoming = Incoming(Config(), CLIENT, 1)
        incoming.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(b"x" * length, 3))
        if fits:
            assert incoming.decode(LIMIT)
            assert len(incoming.body()) == length
        else:
            with pytest.raises(TooLongError):
                incoming.decode(LIMIT)


def test_the_head_is_bounded_as_a_whole() -> None:
    """Each line may be short enough, and there may still be no end of them."""
    incoming = Incoming(Config(), CLIENT, 1)
    incoming.feed(b"GET / HTTP/1.1\r\n")
    while incoming.size < 65_000:
        incoming.feed(b"X: 0123456789\r\n")
    with pytest.raises(LimitRequestHeaders):
        incoming.feed(b"X: 0123456789\r\n" * 100)
    assert incoming.size < 100_000


def test_who_expects_to_be_told_to_go_on_is_told_once() -> None:
    """gunicorn would tell it again when the application is called."""
    incoming = Incoming(Config(), CLIENT, 1)
    incoming.feed(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert incoming.continues()
    assert not incoming.continues()
