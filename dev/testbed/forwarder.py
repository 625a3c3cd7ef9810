"""A way to the registry that can be broken: refused, or a black hole. What is pushed goes by it."""

import selectors
import socket
import threading
from contextlib import suppress
from enum import StrEnum

_PIECE = 65536
_LOOK = 0.1


class Way(StrEnum):
    """What happens to a connection."""

    OPEN = "open"
    REFUSED = "refused"  # closed at once, as if nobody listened
    BLACK_HOLE = "black hole"  # taken, and never answered


class Forwarder:
    """Listens on a loopback port and forwards to another, as `way` says; `close` ends it."""

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self._target = (host, int(port))
        self._way = Way.OPEN
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_LOOK)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def turn(self, way: Way) -> None:
        """From now on; connections that exist are cut."""
        self._way = way
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it and every connection."""
        self._ended.set()
        self.turn(Way.REFUSED)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                caller, _ = self._listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller:
            caller.setblocking(True)
            if self._way is Way.REFUSED:
                return
            self._open.add(caller)
            try:
                if self._way is Way.BLACK_HOLE:
                    while caller.recv(_PIECE):
                        continue
                    return
                with socket.create_connection(self._target, timeout=5) as target:
                    target.setblocking(True)
                    self._open.add(target)
                    _pump(caller, target)
                    self._open.discard(target)
            except OSError:
                return
            finally:
                self._open.discard(caller)


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Bytes both ways until either side ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                source: socket.socket = key.fileobj  # type: ignore[assignment] # what we registered
                content = source.recv(_PIECE)
                if not content:
                    return
                key.data.sendall(content)
