"""A proxy in front of the engine's socket that forbids some requests, as hosts put one there."""

import re
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

_PIECE = 65536
_FORBIDDEN = b"<html><body><h1>403 Forbidden</h1></body></html>\n"
_HEAD_END = b"\r\n\r\n"
# What HAProxy answers in the proxies that are in use.
_ANSWER = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b"
) % (len(_FORBIDDEN), _FORBIDDEN)


class _Proxy(socketserver.ThreadingTCPServer):
    """Forwards each request to the engine on a connection of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, forbidden: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.path = path
        self.forbidden = [re.compile(pattern) for pattern in forbidden]

    def handle_error(self, *_: Any) -> None:
        """Leave a connection that broke to its two ends."""


class _Handler(socketserver.BaseRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        head = b""
        while _HEAD_END not in head:
            piece = self.request.recv(_PIECE)
            if not piece:
                return
            head += piece
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        request = f"{method} {re.sub(r'^/v[0-9.]+', '', target)}"
        if any(pattern.match(request) for pattern in self.server.forbidden):
            self.request.sendall(_ANSWER)
            return
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.server.path)
            engine.sendall(_single(head))
            answers = threading.Thread(target=_pump, args=(engine, self.request), daemon=True)
            answers.start()
            _pump(self.request, engine)
            answers.join()


def _single(head: bytes) -> bytes:
    """Return the request so that its connection ends with the answer: each request is judged."""
    first, _, rest = head.partition(_HEAD_END)
    if b"upgrade" not in first.lower():
        first = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", first) + b"\r\nConnection: close"
    return first + _HEAD_END + rest


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def socket_proxy(docker_host: str, forbidden: Sequence[str]) -> Iterator[str]:
    """Serve until the block ends; yield the address for DOCKER_HOST.

    `forbidden` are patterns of `METHOD /path` without the API version; matches answer 403.
    """
    with _Proxy(docker_host.removeprefix("unix://"), forbidden) as proxy:
        serving = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"tcp://127.0.0.1:{proxy.server_address[1]}"
        finally:
            proxy.shutdown()
            serving.join()
