"""The engine's multiplexed output: frames of an 8-byte header (stream, length) and their bytes.

Source: Docker Engine API, "Attach to a container", stream format.
"""

import struct
from collections.abc import Iterable

_HEADER = struct.Struct(">BxxxL")


class Tail:
    """Keeps the last `limit` bytes of what is added."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._cut = False

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._kept += chunk
        excess = len(self._kept) - self._limit
        if excess > 0:
            del self._kept[:excess]
            self._cut = True

    def text(self) -> str:
        """What was kept, as text, marked when something is missing before it."""
        return ("[...] " if self._cut else "") + self._kept.decode("utf-8", "replace")


class Demultiplexer:
    """Strips the headers from a stream that comes in chunks of any size; never holds a frame."""

    def __init__(self, kept: Tail) -> None:
        self._kept = kept
        self._header = b""
        self._left = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        while chunk:
            if self._left == 0:
                missing = _HEADER.size - len(self._header)
                self._header, chunk = self._header + chunk[:missing], chunk[missing:]
                if len(self._header) < _HEADER.size:
                    return
                self._left, self._header = _HEADER.unpack(self._header)[1], b""
            taken, chunk = chunk[: self._left], chunk[self._left :]
            self._left -= len(taken)
            self._kept.add(taken)


def read_frames(chunks: Iterable[bytes], kept: Tail, *, raw: bool = False) -> None:
    """Read a stream to its end; `raw` for containers with a terminal, which have no frames."""
    add = kept.add if raw else Demultiplexer(kept).add
    for chunk in chunks:
        add(chunk)
