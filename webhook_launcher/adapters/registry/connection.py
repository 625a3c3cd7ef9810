"""Connections on which time and size are limited for a whole response; one certificate store."""

import errno
import http.client
import io
import socket
import ssl
import time
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

_POOLED_CONNECTIONS = 8
_POOLED_HOSTS = 16
# A router that forgets a silent connection would cost the next event a whole response timeout.
_KEEP_ALIVE = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
]


# All of a response, status line to the last chunk's frame: twice the largest manifest.
_MOST_BYTES = 8 * 1024 * 1024


class _BoundedReader(io.RawIOBase):
    """A socket's reading end that knows when a whole response took too long or is too long.

    A socket's own time limit starts anew with every byte, so a peer that drips bytes could hold a
    worker for days; and the line that holds a chunk's size has no end that anybody checks. The
    clock is the real one: it feeds the kernel.
    """

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, seconds: float) -> None:
        self._raw = raw
        self._connection = connection
        self._end = time.monotonic() + seconds
        self._room = _MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response is not complete in time")
        if self._room <= 0:
            raise OSError(errno.EMSGSIZE, "it sends without end")
        self._connection.settimeout(left)
        count = self._raw.readinto(buffer)
        self._room -= count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """Status line, headers and body, all within the time limit that the socket has at first."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = sock.gettimeout()
        if seconds is None:
            raise ValueError("a connection without a time limit")
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, seconds))


class _BoundedHTTPConnection(HTTPConnection):
    response_class = _BoundedResponse


class _BoundedHTTPSConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _BoundedHTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _BoundedHTTPSConnection


class BoundedAdapter(HTTPAdapter):
    """requests' adapter with the connections above and one certificate store, `trust`."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        super().__init__(pool_connections=_POOLED_HOSTS, pool_maxsize=_POOLED_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by HTTPAdapter's constructor."""
        kwargs |= {"ssl_context": self._trust, "socket_options": _KEEP_ALIVE}
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """Always verify; requests would add its own authorities to the context each time."""
        conn.cert_reqs = "CERT_REQUIRED"
