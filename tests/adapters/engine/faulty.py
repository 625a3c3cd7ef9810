"""A small engine that misbehaves as a test tells it: HTTP on a unix socket, real bytes."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Answer = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request and how it is answered."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def answer(self, status: int, document: object) -> None:
        """A whole JSON answer."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> None:
        """The head of an answer that comes in chunks."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, content: bytes) -> None:
        """A piece of it; an empty one is the end."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def do_GET(self) -> None:
        """Any request."""
        self._serve()

    do_POST = do_GET  # noqa: N815 - the names are http.server's

    def address_string(self) -> str:
        """Unix sockets have no address."""
        return "engine"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Silent."""

    def _serve(self) -> None:
        path, _, query = unquote(self.path).partition("?")
        engine = self.server.engine
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        engine.requests.append(Request(self.command, path, query, dict(self.headers), body))
        for ending, answer in engine.answers.items():
            if path.endswith(ending):
                answer(self)
                return
        self.answer(404, {"message": f"no such thing: {path}"})


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    engine: "FaultyEngine"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of these tests."""


@dataclass(frozen=True)
class Request:
    """What the engine was asked."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FaultyEngine:
    """Answers by the end of the path; `api` is the version that it claims."""

    path: Path
    api: str = "1.41"
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers["/version"] = lambda exchange: exchange.answer(200, {"ApiVersion": self.api})
        self.answers["/_ping"] = lambda exchange: exchange.answer(200, "OK")

    @property
    def environment(self) -> dict[str, str]:
        """How a client finds it."""
        return {"DOCKER_HOST": f"unix://{self.path}"}

    @contextmanager
    def up(self) -> Iterator[None]:
        """Listen for the duration of a block."""
        with _Server(str(self.path), Exchange) as server:
            server.engine = self
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()
                self.path.unlink()

    def asked(self, ending: str) -> list[Request]:
        """The requests for a path."""
        return [request for request in self.requests if request.path.endswith(ending)]


def streaming(entries: Iterable[object]) -> Answer:
    """A pull's stream: one JSON object a line."""

    def answer(exchange: Exchange) -> None:
        exchange.begin()
        for entry in entries:
            exchange.chunk(json.dumps(entry).encode() + b"\r\n")
        exchange.chunk(b"")

    return answer
