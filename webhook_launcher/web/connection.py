"""A connection of the worker: what has arrived of a request, and what is to be sent."""

import socket
import time
from enum import Enum, auto
from typing import Any

from gunicorn.config import Config

from webhook_launcher.web.incoming import Incoming


class State(Enum):
    """What a connection waits for."""

    IDLE = auto()  # the first byte of a request
    RECEIVING = auto()  # the rest of it
    WORKING = auto()  # us
    SENDING = auto()  # that the client takes our answer
    LINGERING = auto()  # that the client closes, so that our last answer reaches it


class Collected:
    """Stands where gunicorn expects a socket to write to; keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def gettimeout(self) -> float:
        """It never waits."""
        return 0.0

    def sendall(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def send(self, data: bytes) -> int:
        """Keep it."""
        self.written += data
        return len(data)


class Connection:
    """State, deadline and buffers of a client's socket; `listener` is the address it came to."""

    def __init__(self, cfg: Config, sock: socket.socket, client: Any, listener: Any) -> None:
        sock.setblocking(False)
        self.cfg = cfg
        self.sock = sock
        self.client = client
        self.listener = listener
        self.state = State.IDLE
        self.since = time.monotonic()  # it is waited for its request, or for its next one
        self.deadline = 0.0  # monotonic, of the state
        self.resume = 0.0  # the deadline of the request, while we work on it
        self.out = bytearray()
        self.ahead = bytearray()  # what arrived while we worked
        self.ended = False  # the client will send no more
        self.closing = False  # after what is in `out`
        self.admitted = False  # the head of the request was looked at
        self.interest = 0  # as registered with the selector
        self._number = 1
        self.incoming = Incoming(cfg, client, self._number)

    @property
    def spare(self) -> bool:
        """True when its client loses nothing if it is closed: it was answered, and asks nothing."""
        kept = self.state is State.IDLE and self._number > 1
        return kept or self.state is State.LINGERING

    @property
    def waiting(self) -> bool:
        """True when we wait for its request."""
        return self.state in (State.IDLE, State.RECEIVING)

    @property
    def address(self) -> str:
        """The client's, without its port."""
        return str(self.client[0]) if isinstance(self.client, tuple) else str(self.client)

    @property
    def size(self) -> int:
        """Bytes that are kept for it."""
        return self.incoming.size + len(self.ahead) + len(self.out)

    def next_request(self) -> bytes:
        """Begin with the next one; what of it is here already."""
        here = self.incoming.behind() + bytes(self.ahead)
        self._number += 1
        self.incoming = Incoming(self.cfg, self.client, self._number)
        self.ahead.clear()
        self.admitted = False
        self.since = time.monotonic()
        return here

    def send(self) -> bool:
        """Send what the socket takes; True when nothing is left. OSError when it is gone."""
        if self.out:
            try:
                sent = self.sock.send(self.out)
            except BlockingIOError:
                return False
            del self.out[:sent]
        return not self.out

    def receive(self, most: int) -> bytes | None:
        """What is there, b"" at the end, None when there is nothing. OSError when it is gone."""
        try:
            return self.sock.recv(most)
        except BlockingIOError:
            return None
