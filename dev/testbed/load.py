"""Load on a web server: many keep-alive connections, each with one request under way at a time.

One process, one epoll loop, bytes made beforehand, so that a request costs it little: it shares
the machine with the server that it measures.
"""

import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context
from uuid import uuid4

_CHUNK = 65536
_HEAD_END = b"\r\n\r\n"
# A server that answers nothing for this long has failed.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Request:
    """A POST without its delivery id, which is new in every request sent."""

    port: int
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    others: "tuple[Request, ...]" = ()  # sent in turn with this one

    def named(self) -> Iterator[dict[str, str]]:
        """Its headers, over and over, each time with an id of its own."""
        run = uuid4().hex
        for number in count():
            yield {**dict(self.headers), "X-GitHub-Delivery": f"{run}-{number}"}

    def numbered(self) -> Iterator[bytes]:
        """The request on the wire, over and over, each with an id of its own."""
        run = uuid4().hex
        parts = [(one.head(), one.body) for one in (self, *self.others)]
        for number in count():
            head, body = parts[number % len(parts)]
            yield head + f"{run}-{number}\r\n\r\n".encode() + body

    def head(self) -> bytes:
        """Its head up to the value of the delivery's id."""
        lines = [f"POST {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}", "X-GitHub-Delivery: "]
        return "\r\n".join(lines).encode()


@dataclass
class Answers:
    """What came back: how often each status, and how long each answer took, in seconds."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.times) / self.seconds

    def quantile(self, share: float) -> float:
        """The time within which this share of the answers came."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0.0
        self.received = b""

    def send(self, request: bytes) -> None:
        self.sent, self.received = time.perf_counter(), b""
        self.socket.sendall(request)

    def status(self) -> int | None:
        """Read what is there; the status once the answer is whole."""
        chunk = self.socket.recv(_CHUNK)
        if not chunk:
            raise ConnectionError("the server closed a connection that was to be kept")
        self.received += chunk
        head, end, body = self.received.partition(_HEAD_END)
        if not end:
            return None
        lengths = [
            int(line[15:])
            for line in head.lower().split(b"\r\n")
            if line[:15] == b"content-length:"
        ]
        return int(head[9:12]) if len(body) >= lengths[0] else None


def drive(request: Request, connections: int, until: Callable[[int, float], bool]) -> Answers:
    """Send on all connections until `until(answers so far, seconds so far)`, then drain."""
    answers, wire = Answers(), request.numbered()
    with selectors.DefaultSelector() as selector:
        clients = [_Connection(request.port) for _ in range(connections)]
        started = time.perf_counter()
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send(next(wire))
        busy = connections
        while busy:
            ready = selector.select(_PATIENCE)
            if not ready:
                raise ConnectionError(f"no answer in {_PATIENCE:g} s")
            for key, _ in ready:
                status = key.data.status()
                if status is None:
                    continue
                now = time.perf_counter()
                answers.statuses[status] += 1
                answers.times.append(now - key.data.sent)
                if until(len(answers.times), now - started):
                    busy -= 1
                else:
                    key.data.send(next(wire))
        answers.seconds = time.perf_counter() - started
        for client in clients:
            client.socket.close()
    return answers


def _for_seconds(request: Request, connections: int, seconds: float) -> Answers:
    return drive(request, connections, lambda _, passed: passed >= seconds)


def _requests(request: Request, connections: int, number: int) -> Answers:
    return drive(request, connections, lambda done, _: done > number - connections)


class Generator:
    """The process that sends, held on the last of the cores."""

    def __init__(self) -> None:
        core = max(os.sched_getaffinity(0))
        self._pool = get_context("spawn").Pool(1, os.sched_setaffinity, (0, {core}))

    def for_seconds(self, request: Request, connections: int, seconds: float) -> Answers:
        """Load for a time."""
        return self._pool.apply(_for_seconds, (request, connections, seconds))

    def requests(self, request: Request, connections: int, number: int) -> Answers:
        """Load of so many requests."""
        return self._pool.apply(_requests, (request, connections, number))

    def close(self) -> None:
        """End the process."""
        self._pool.close()
        self._pool.join()
