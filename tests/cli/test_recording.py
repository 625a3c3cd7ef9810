"""Recorded requests as text: what people capture, copy and edit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.cli.options import UsageError
from webhook_launcher.cli.recording import parse_recording
from webhook_launcher.core.source import Delivery

BODY = b'{"a":\r\n\r\n1,\n\n"b": 2}'
HEAD = ["POST /hooks/x/a%20token?y=1 HTTP/1.1", "Host: h", "x-github-event: package"]


def written(head: list[str], end: str, body: bytes = BODY) -> bytes:
    """A request with these line ends before the body."""
    return end.join([*head, "", ""]).encode() + body


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("before", [b"", b"\n", b"\r\n\r\n"])
def test_either_line_end_and_blank_lines_before(end: str, before: bytes) -> None:
    """The body keeps its own line ends: they are signed."""
    delivery = parse_recording(before + written(HEAD, end), "f").delivery
    assert delivery.body == BODY
    assert delivery.token == "a token"
    assert delivery.header("X-GitHub-Event") == "package"


def test_a_file_whose_last_blank_line_an_editor_mixed() -> None:
    """Headers of one kind, blank line of the other."""
    for blank in (b"\r\n\n", b"\n\r\n"):
        raw = "\r\n".join(HEAD).encode() + blank + BODY
        assert parse_recording(raw, "f").delivery.body == BODY


def test_without_body_and_without_last_line_end() -> None:
    """As a request looks that somebody typed."""
    for raw in (b"POST /hooks/x HTTP/1.1\nHost: h", b"POST /hooks/x", b"POST /hooks/x\r\n"):
        delivery = parse_recording(raw, "f").delivery
        assert (delivery.body, delivery.token) == (b"", None)


@pytest.mark.parametrize(
    ("target", "token"),
    [
        ("/hooks/x", None),
        ("/hooks/x/", None),
        ("/hooks/x/t", "t"),
        ("https://launcher.example.com/hooks/x/t", "t"),
        ("/other/x/t", None),
        ("/hooks/x/%e2%82%ac", "€"),
    ],
)
def test_the_token_is_the_last_part_of_the_path(target: str, token: str | None) -> None:
    """For unsigned senders it is the credential."""
    assert parse_recording(f"POST {target} HTTP/1.1\n\n".encode(), "f").delivery.token == token


def test_a_header_that_stands_there_twice_is_joined() -> None:
    """As the server does it, so that replay and serve see the same."""
    delivery = parse_recording(b"POST /hooks/x\nA: 1\na: 2\n\n", "f").delivery
    assert delivery.headers == {"a": "1,2"}


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_capture_from_the_wire_may_be_chunked(end: bytes) -> None:
    """Nobody sees chunks but whoever records bytes; the signature is over the content."""
    chunks = [b"4", b'{"a"', b"3;x=y", b": 1", b"1", b"}", b"0", b"", b""]
    head = b"POST /hooks/x\nTransfer-Encoding: Chunked\n\n"
    assert parse_recording(head + end.join(chunks), "f").delivery.body == b'{"a": 1}'


@pytest.mark.parametrize("body", [b'{"a": 1}', b"5\r\nab", b"2\r\nabc", b"ffffffff\r\na", b""])
def test_a_body_that_is_not_in_chunks_stays_as_it_is(body: bytes) -> None:
    """A proxy took them apart, or the capture ends early: nothing is guessed."""
    head = b"POST /hooks/x\nTransfer-Encoding: chunked\n\n"
    assert parse_recording(head + body, "f").delivery.body == body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"{}",
        b"POST",
        b"POST  \n",
        b"P\xc3\xb6ST /x\n",
        b"POST /x\nfoo\n",
        b"P /\n: x\n",
    ],
)
def test_what_is_no_request_is_told(raw: bytes) -> None:
    """With the file's name and what was expected."""
    with pytest.raises(UsageError, match=r"^f"):
        parse_recording(raw, "f")


@given(st.binary() | st.binary().map(lambda raw: b"POST /hooks/a/b\n" + raw))
def test_any_bytes_are_a_delivery_or_a_matter_of_usage(raw: bytes) -> None:
    """A traceback would be our fault, whatever was recorded."""
    try:
        delivery = parse_recording(raw, "f").delivery
    except UsageError:
        return
    assert isinstance(delivery, Delivery)
    assert all(name == name.lower() for name in delivery.headers)
