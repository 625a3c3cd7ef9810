"""A recorded delivery as `replay` takes it: an HTTP request as text, or a bare JSON body."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from webhook_launcher.cli.options import UsageError
from webhook_launcher.core.source import Delivery

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\n\n|\n\r\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LINE_END = re.compile(rb"\r?\n")


@dataclass(frozen=True, slots=True)
class Recording:
    """A request as it was recorded; a delivery has no method, since none but POST is one."""

    method: str
    delivery: Delivery


def read_recording(path: Path) -> Recording:
    """An HTTP request as text (request line, headers, blank line, body), or a bare JSON body.

    Which of the two is in the file's name: `*.json` is a body. Raises UsageError.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix.lower() == ".json":
        # Files end in a line feed that the delivery did not have.
        delivery = Delivery({"content-type": "application/json"}, raw.removesuffix(b"\n"))
        return Recording("POST", delivery)
    return parse_recording(raw, str(path))


def parse_recording(raw: bytes, name: str) -> Recording:
    """A request as text, with either line end. UsageError says what is wrong."""
    raw = raw.lstrip(b"\r\n")
    # Whichever blank line comes first: the body may have the other kind.
    blank = _BLANK_LINE.search(raw)
    head, body = (raw[: blank.start()], raw[blank.end() :]) if blank else (raw, b"")
    lines = [line.decode("latin-1") for line in _LINE_END.split(head.rstrip(b"\r\n"))]
    method, _, rest = lines[0].partition(" ")
    if not (method.isascii() and method.isalpha() and rest.strip()):
        raise UsageError(f"{name} does not begin with a request line such as POST /hooks/ci")
    headers = _headers(lines[1:], name)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _dechunked(body)
    return Recording(method.upper(), Delivery(headers, body, _token(rest.split()[0], name)))


def _headers(lines: list[str], file: str) -> dict[str, str]:
    """By lower-case names; what stands there twice is joined, as the server joins it."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if not colon or not key:
            raise UsageError(f"{file}: {line[:60]!r} is not a header")
        value = value.strip()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers


def _token(target: str, name: str) -> str | None:
    """The last part of `/hooks/<source>/<token>`, None where there is none."""
    try:
        parts = urlsplit(target).path.split("/")
    except ValueError as error:
        raise UsageError(f"{name}: {target[:60]!r} is no path or URL") from error
    token = parts[3] if parts[1:2] == ["hooks"] and len(parts) > 3 else ""  # noqa: PLR2004
    return unquote(token) or None


def _dechunked(body: bytes) -> bytes:
    """The body of a capture from the wire; as it is when somebody has taken the chunks apart."""
    parts: list[bytes] = []
    at = 0
    while found := _CHUNK.match(body, at):
        size, start = int(found[1], 16), found.end()
        if size == 0:
            return b"".join(parts)
        ended = _LINE_END.match(body, start + size)
        if ended is None:
            break
        parts.append(body[start : start + size])
        at = ended.end()
    return body
