"""Senders that do harm, and one that does none: `make bench-flood`."""

import http.client
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from testbed.load import Request

# Senders give up after 5 to 30 s.
_PATIENCE = 30.0


@dataclass
class Honest:
    """A sender with one delivery now and then, and what it experienced."""

    request: Request
    every: float = 0.05
    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def good(self) -> bool:
        """True when everything was accepted."""
        return not self.errors and set(self.statuses) <= {200, 202}

    def document(self) -> dict[str, Any]:
        """What it experienced, times in seconds."""
        ordered = sorted(self.times)
        return {
            "p50": round(ordered[len(ordered) // 2], 5),
            "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 5),
            "worst": round(ordered[-1], 5),
            "answers": dict(sorted(self.statuses.items())),
            "errors": self.errors,
        }

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send for the duration of the block."""
        over = threading.Event()
        thread = threading.Thread(target=self._send, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _send(self, over: threading.Event) -> None:
        wire = self.request.named()
        connection = http.client.HTTPConnection("127.0.0.1", self.request.port, timeout=_PATIENCE)
        while not over.is_set():
            start = time.perf_counter()
            try:
                connection.request("POST", self.request.path, self.request.body, next(wire))
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                self.errors += 1
                connection.close()
            else:
                self.statuses[answer.status] += 1
            self.times.append(time.perf_counter() - start)
            over.wait(self.every)
        connection.close()


def trickle(port: int, sent: bytes, rest: bytes, connections: int, seconds: float) -> int:
    """So many connections that send `sent`, and then `rest` five times a second.

    How many of them were ended by the server.
    """
    ended = 0
    with ExitStack() as opened, selectors.DefaultSelector() as selector:
        alive = []
        for _ in range(connections):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(sent)
            selector.register(connection, selectors.EVENT_READ)
            alive.append(connection)
        until = time.monotonic() + seconds
        while time.monotonic() < until and alive:
            for key, _ in selector.select(0.2):
                selector.unregister(key.fileobj)
                alive.remove(key.fileobj)  # type: ignore[arg-type] # only sockets were registered
                ended += 1
            for connection in alive:
                try:
                    connection.send(rest)
                except OSError:
                    continue  # the selector tells of it
    return ended
