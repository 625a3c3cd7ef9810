"""A registry's front door that misbehaves: a proxy before the real one, with a fault to set."""

import http.client
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REFUSED = "refused"
BLACK_HOLE = "black hole"
SLOW_DRIP = "slow drip"
DENIED = "401"
LIMITED = "429 without Retry-After"
LIMITED_AFTER = "429 with Retry-After"
BROKEN = "500"
TRUNCATED = "truncated manifest"
WRONG_BYTES = "wrong bytes"
FAULTS = (
    REFUSED,
    BLACK_HOLE,
    SLOW_DRIP,
    DENIED,
    LIMITED,
    LIMITED_AFTER,
    BROKEN,
    TRUNCATED,
    WRONG_BYTES,
)
RETRY_AFTER = 3
_STATUS = {DENIED: 401, LIMITED: 429, LIMITED_AFTER: 429, BROKEN: 500}
# Between bytes that drip, and how long a black hole holds what fell into it.
_DRIP = 0.5
_HOLD = 60.0


class FaultyRegistry:
    """Listens on a loopback port of its own and passes everything on, as long as `fault` is None.

    The publisher is not meant to go through it: images go on being pushed meanwhile.
    """

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.fault: str | None = None
        self._server = self._serve(0)
        self.host = f"127.0.0.1:{self._server.server_port}"

    def begin(self, fault: str) -> None:
        """From now on."""
        self.fault = fault
        if fault == REFUSED:
            self._close()

    def end(self) -> None:
        """All is well again."""
        if self.fault == REFUSED:
            self._server = self._serve(int(self.host.rpartition(":")[2]))
        self.fault = None

    def close(self) -> None:
        """For good."""
        self.end()
        self._close()

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, port: int) -> ThreadingHTTPServer:
        door = self

        class Handler(_Handler):
            """One connection of this door."""

            registry = door

        server = _Server(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are what the campaign is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Who tries TLS first, as Engine 28 does, is to see by the answer that this is plain HTTP.
    default_request_version = "HTTP/1.1"
    registry: FaultyRegistry

    def do_GET(self) -> None:
        """Pass on, or misbehave."""
        fault = self.registry.fault
        if fault == REFUSED:  # on a connection from before
            self.close_connection = True
        elif fault == BLACK_HOLE:
            self._hold()
        elif fault in _STATUS:
            self._refuse(_STATUS[fault], fault)
        else:
            self._pass_on(fault)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _hold(self) -> None:
        until = time.monotonic() + _HOLD
        while time.monotonic() < until and self.registry.fault == BLACK_HOLE:
            time.sleep(0.1)
        self.close_connection = True

    def _refuse(self, status: int, fault: str) -> None:
        body = b'{"errors": [{"code": "TRIED", "message": "a fault of the campaign"}]}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if fault == LIMITED_AFTER:
            self.send_header("Retry-After", str(RETRY_AFTER))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _pass_on(self, fault: str | None) -> None:
        behind = http.client.HTTPConnection(self.registry.behind, timeout=30)
        try:
            sent = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            behind.request(self.command, self.path, headers=sent)
            answer = behind.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self._send(body, fault if "/manifests/" in self.path else None)
        finally:
            behind.close()

    def _send(self, body: bytes, fault: str | None) -> None:
        if self.command == "HEAD":
            return
        if fault == TRUNCATED:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault == WRONG_BYTES:
            self.wfile.write(body.replace(b"sha256:", b"sha256:0", 1)[: len(body)])
        elif fault == SLOW_DRIP:
            for byte in body:
                if self.registry.fault != SLOW_DRIP:
                    break
                self.wfile.write(bytes([byte]))
                time.sleep(_DRIP)
            self.close_connection = True
        else:
            self.wfile.write(body)
