"""A request that arrives piece by piece, read by gunicorn's own parser once enough of it is there.

gunicorn's parser waits for its socket, and so does the thread in it. Here it gets bytes that have
arrived already: it is called when the head is whole, and for a chunked body when it may be. What
is a request and what is refused stays its decision.
"""

from typing import Any

from gunicorn.config import Config
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

_END = b"\r\n\r\n"
# Of a whole head. GitHub's have 1 KB, those with a token up to 8 KB.
_MAX_HEAD = 65536
# gunicorn copies what is left of a piece for each chunk in it, so pieces are as small as its own.
_PIECE = 8192
# How often a chunked body that only looked whole is tried again before its deadline.
_TRIES = 8


class NotAllHereError(Exception):
    """The parser needs bytes that have not arrived."""


class TooLongError(Exception):
    """A body is longer than allowed."""


class _Received(Unreader):
    """What has arrived, as gunicorn's parser reads it: it never waits for more."""

    def __init__(self, received: bytes) -> None:
        super().__init__()
        self._received = received
        self._at = 0

    def chunk(self, size_hint: int | None = None) -> bytes:  # noqa: ARG002 - gunicorn's signature
        """The next piece. Raises NotAllHereError at the end."""
        piece = self._received[self._at : self._at + _PIECE]
        if not piece:
            raise NotAllHereError
        self._at += len(piece)
        return piece

    def rest(self) -> bytes:
        """What was not read."""
        return self.buf.getvalue() + self._received[self._at :]


class Incoming:
    """One request of a connection, from its first byte to its last, and what came behind it.

    `request` is gunicorn's, None until its head is whole.
    """

    def __init__(self, cfg: Config, client: Any, number: int) -> None:
        self.request: Request | None = None
        self._cfg = cfg
        self._client = client
        self._number = number
        self._raw = bytearray()  # all of it, and without the head once that was read
        self._length: int | None = None  # of the body; None when it is chunked
        self._tries = _TRIES
        self._end_seen = False  # since the last try: of a head, or of a chunked body
        self._body: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes that are kept of it."""
        return len(self._raw) + len(self._body or b"")

    @property
    def length(self) -> int:
        """Bytes of the body as far as known: what was announced, or has arrived in chunks."""
        return len(self._raw) if self._length is None else self._length

    @property
    def whole(self) -> bool:
        """True when all of it is there."""
        if self._body is not None:
            return True
        return self._length is not None and self._length <= len(self._raw)

    @property
    def undecoded(self) -> bool:
        """True for a chunked body that may be whole: `decode` will tell."""
        return self.chunked and self._body is None and self._end_seen and self._tries > 0

    @property
    def chunked(self) -> bool:
        """True when only decoding tells where the body ends."""
        return self.request is not None and self._length is None

    def continues(self) -> bool:
        """True, once, when the client waits to be told that it may send the body."""
        request: Any = self.request
        waits = bool(request._expected_100_continue)  # noqa: SLF001 - it is nowhere else
        request._expected_100_continue = False  # noqa: SLF001 - or gunicorn tells it again
        return waits

    def feed(self, piece: bytes) -> None:
        """More of it. Raises what gunicorn's parser raises for a head that is none."""
        before = len(self._raw)
        self._raw += piece
        if self.request is None and self._readable(before, piece):
            self._read_head()
            before = 0
        self._end_seen |= self._raw.find(_END, max(0, before - len(_END) + 1)) >= 0

    def decode(self, limit: int) -> bool:
        """Read a chunked body; False when it is not all there.

        May take a while. Raises TooLongError when it is longer than `limit`, and what gunicorn's
        parser raises for chunks that are none.
        """
        assert self.request is not None  # noqa: S101 - asked for only then
        self._tries -= 1
        self._end_seen = False
        received = _Received(bytes(self._raw))
        try:
            body = Body(ChunkedReader(self.request, received)).read(limit + 1)
            if len(body) > limit:
                raise TooLongError
        except NotAllHereError:
            return False
        self._body, self._raw = body, bytearray(received.rest())
        return True

    def body(self) -> bytes:
        """The body of a request that is whole."""
        if self._body is None:
            length = self._length or 0
            self._body = bytes(self._raw[:length])
            del self._raw[:length]
        return self._body

    def readable(self) -> Request:
        """gunicorn's request, whole, with its body to be read without waiting."""
        assert self.request is not None  # noqa: S101 - asked for only then
        body = self.body()
        self.request.body = Body(LengthReader(_Received(body), len(body)))
        return self.request

    def behind(self) -> bytes:
        """What arrived after the end of the body: the beginning of the next request."""
        return bytes(self._raw)

    def _readable(self, before: int, piece: bytes) -> bool:
        """Whether the head is whole, or so wrong that the parser will say so."""
        if self._raw.find(_END, max(0, before - len(_END) + 1)) >= 0:
            return True
        halved = piece[:1] == b"\n" and self._raw[before - 1 : before] == b"\r"
        ends = piece.count(b"\r\n") + halved
        longest = max(self._cfg.limit_request_line, 0) or _MAX_HEAD
        endless = len(self._raw) > longest + 2 and b"\r\n" not in self._raw[: longest + 2]
        return piece.count(b"\n") != ends or endless or len(self._raw) > _MAX_HEAD

    def _read_head(self) -> None:
        received = _Received(bytes(self._raw))
        try:
            self.request = Request(self._cfg, received, self._client, self._number)
        except NotAllHereError:
            if len(self._raw) > _MAX_HEAD:
                raise LimitRequestHeaders("max buffer headers") from None
            return
        self._raw = bytearray(received.rest())
        reader = self.request.body.reader if self.request.body else None
        self._length = reader.length if isinstance(reader, LengthReader) else None
