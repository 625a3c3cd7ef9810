"""gunicorn's threaded worker with sockets that nobody waits for: the connections and their bounds.

What is gunicorn's stays gunicorn's: signals, the heartbeat, the loop, the graceful stop, the pool
of threads, parsing and answering. What a request is about is `server`'s.
"""

import errno
import os
import selectors
import socket
import time
from abc import abstractmethod
from collections import Counter
from functools import partial
from typing import Any

from gunicorn.http.message import Request
from gunicorn.workers.gthread import ThreadWorker

from webhook_launcher.web.connection import Connection, State

# For a request to arrive, where nobody says otherwise. Senders give up after 5 to 30 s themselves.
REQUEST_SECONDS = 30.0
# Seconds for taking an answer.
_ANSWER = 30.0
# From the first byte of a request to its last once we are stopping: nobody may hold up the stop.
_REQUEST_WHEN_STOPPING = 5.0
_IDLE_WHEN_STOPPING = 2.0  # for a request that may be on its way, as gunicorn has it
# For the client to close first, so that what it still sends does not destroy our last answer.
_LINGER = 2.0
_READ = 65536
_AT_ONCE = 64  # connections accepted before others get their turn
# All that is kept of requests; where it is reached, whole ones are no longer waited for.
_MEMORY = 64 * 1024**2
# No more open files, or no memory for a socket: for as long as one can be closed, no reason to end.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# A request smaller than this is never refused to make room.
_SMALL = 65536


class GatheringWorker(ThreadWorker):
    """Gathers requests; subclasses say what to do with a whole one."""

    # What subclasses do

    @property
    @abstractmethod
    def request_seconds(self) -> float:
        """Seconds from the first byte of a request to its last."""

    @abstractmethod
    def has_work(self) -> bool:
        """True when there is something to do besides waiting for sockets."""

    @abstractmethod
    def work(self) -> None:
        """A little of it."""

    @abstractmethod
    def head_arrived(self, conn: Connection, request: Request) -> None:
        """The head is there; the rest may be refused."""

    @abstractmethod
    def more_arrived(self, conn: Connection) -> None:
        """A piece of a body of unknown length is there; the rest may be refused."""

    @abstractmethod
    def decode(self, conn: Connection) -> None:
        """See whether a chunked body is whole; then `whole`, `broken` or `not_yet`."""

    @abstractmethod
    def whole(self, conn: Connection) -> None:
        """All of a request is there; `answered` has its answer, sooner or later."""

    @abstractmethod
    def refuse(self, conn: Connection, status: int, detail: str) -> None:
        """Answer a request that is not whole."""

    @abstractmethod
    def broken(self, conn: Connection, error: Exception) -> None:
        """Answer a request that gunicorn's parser refused."""

    # gunicorn's worker

    def init_process(self) -> None:
        """gunicorn's own; it does not return before the worker ends."""
        self.script_name = os.environ.get("SCRIPT_NAME", "")
        self.connections: set[Connection] = set()
        super().init_process()

    @property
    def stock(self) -> bool:
        """True for what this worker does not do itself: TLS, and the PROXY protocol."""
        return self.cfg.is_ssl or self.cfg.proxy_protocol != "off"

    def accept(self, listener: socket.socket) -> None:
        """Take the connections that wait, at most so many; one more than allowed costs another."""
        if self.stock:
            super().accept(listener)
            return
        for _ in range(_AT_ONCE):
            if self.nr_conns >= self.worker_connections and not self._make_room():
                return
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED or not self._make_room():
                    raise
                return
            conn = Connection(self.cfg, sock, address, listener.getsockname())
            conn.deadline = time.monotonic() + self.cfg.keepalive
            self.connections.add(conn)
            self.nr_conns += 1
            self._watch(conn, selectors.EVENT_READ)

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """gunicorn's own; then a little work, and a look at what is kept."""
        super().wait_for_and_dispatch_events(0 if self.has_work() else timeout)
        self.work()
        self._hold_memory()

    def murder_keepalived(self, force: bool = False) -> None:
        """End what is over its deadline, or all of it."""
        super().murder_keepalived(force)  # type: ignore[call-arg] # stubs of an older one
        now = time.monotonic()
        for conn in list(self.connections):
            if force:
                self._drop(conn)
            elif now > conn.deadline:
                self._late(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """The stop has begun: nobody is waited for as long as otherwise."""
        super()._cap_keepalive(deadline)  # type: ignore[misc] # stubs of an older one
        now = time.monotonic()
        for conn in self.connections:
            if conn.state is not State.WORKING:
                idle = conn.state is State.IDLE
                most = _IDLE_WHEN_STOPPING if idle else _REQUEST_WHEN_STOPPING
                conn.deadline = min(conn.deadline, now + most)

    # A connection

    def _ready(self, conn: Connection, _sock: Any) -> None:
        try:
            if conn.out:
                self.flush(conn)
            else:
                self._read(conn)
        except OSError:
            self._drop(conn)
        except Exception:
            # A fault of ours costs this connection, and not the deployments of this process.
            self.log.exception("fault on a connection")
            self._drop(conn)

    def _read(self, conn: Connection) -> None:
        piece = conn.receive(_READ)
        if piece is None:
            return
        if not piece:
            self._end_of_input(conn)
        elif conn.state is State.WORKING:
            conn.ahead += piece
            if len(conn.ahead) > _SMALL:
                self._watch(conn, 0)
        elif conn.state is not State.LINGERING:
            self._feed(conn, piece)

    def _end_of_input(self, conn: Connection) -> None:
        conn.ended = True
        if conn.state is State.WORKING:
            self._watch(conn, 0)
        elif conn.state is State.RECEIVING and conn.incoming.chunked:
            self._decode(conn)
        else:
            self._drop(conn)

    def _feed(self, conn: Connection, piece: bytes) -> None:
        if conn.state is State.IDLE:
            conn.state = State.RECEIVING
            most = self.request_seconds if self.alive else _REQUEST_WHEN_STOPPING
            conn.deadline = time.monotonic() + most
        try:
            conn.incoming.feed(piece)
        except Exception as error:  # noqa: BLE001 - gunicorn's parser has no common one
            self.broken(conn, error)
            return
        request = conn.incoming.request
        if request is not None and not conn.admitted:
            conn.admitted = True
            self.head_arrived(conn, request)
        if conn.state is State.RECEIVING and conn.incoming.chunked:
            self.more_arrived(conn)
        if conn.state is not State.RECEIVING:
            return
        if conn.incoming.whole:
            self._working(conn)
            self.whole(conn)
        elif conn.incoming.undecoded:
            self._decode(conn)

    def _decode(self, conn: Connection) -> None:
        self._working(conn)
        self.decode(conn)

    def _working(self, conn: Connection) -> None:
        conn.state = State.WORKING
        conn.resume = conn.deadline
        conn.deadline = float("inf")

    def not_yet(self, conn: Connection) -> None:
        """A chunked body was not whole: wait for more of it, which may be here."""
        if conn.ended:
            self._incomplete(conn)
            return
        conn.state, conn.deadline = State.RECEIVING, conn.resume
        more = bytes(conn.ahead)
        conn.ahead.clear()
        self._watch(conn, selectors.EVENT_READ)
        if more:
            self._feed(conn, more)

    def answered(self, conn: Connection, written: bytes | bytearray, *, close: bool) -> None:
        """The answer to its request; then the next one, unless the connection closes."""
        if conn not in self.connections:
            return  # the client went away
        conn.out += written
        conn.closing = conn.closing or close
        if conn.closing:
            conn.next_request()  # nobody needs what is left of this one
        conn.state, conn.deadline = State.SENDING, time.monotonic() + _ANSWER
        try:
            self.flush(conn)
        except OSError:
            self._drop(conn)

    def last_answer(self, conn: Connection) -> None:
        """What is in `out` is the last that it gets."""
        self.answered(conn, b"", close=True)

    def flush(self, conn: Connection) -> None:
        """Send what there is to send, as the client takes it. OSError when it is gone."""
        if not conn.send():
            self._watch(conn, selectors.EVENT_WRITE)
        elif conn.state is State.SENDING:
            self._sent(conn)
        else:
            self._watch(conn, selectors.EVENT_READ)

    def _sent(self, conn: Connection) -> None:
        if conn.closing:
            self._linger(conn)
            return
        here = conn.next_request()
        conn.state = State.IDLE
        idle = self.cfg.keepalive if self.alive else _IDLE_WHEN_STOPPING
        conn.deadline = time.monotonic() + idle
        if conn.ended and not here:
            self._drop(conn)
            return
        self._watch(conn, 0 if conn.ended else selectors.EVENT_READ)
        if here:
            self._feed(conn, here)

    def _linger(self, conn: Connection) -> None:
        if conn.ended:
            self._drop(conn)
            return
        conn.sock.shutdown(socket.SHUT_WR)
        conn.state, conn.deadline = State.LINGERING, time.monotonic() + _LINGER
        self._watch(conn, selectors.EVENT_READ)

    def _watch(self, conn: Connection, interest: int) -> None:
        """Hear of its socket when it can be read or written; 0 for not at all."""
        if interest == conn.interest:
            return
        if not conn.interest:
            self.poller.register(conn.sock, interest, partial(self._ready, conn))
        elif not interest:
            self.poller.unregister(conn.sock)
        else:
            self.poller.modify(conn.sock, interest, partial(self._ready, conn))
        conn.interest = interest

    def _drop(self, conn: Connection) -> None:
        """Close it now; what we still do for it is done for nobody."""
        if conn in self.connections:
            self.connections.discard(conn)
            self.nr_conns -= 1
            self._watch(conn, 0)
            conn.sock.close()

    # Bounds

    def _late(self, conn: Connection) -> None:
        if conn.state is not State.RECEIVING:
            self._drop(conn)
        elif conn.incoming.chunked and not conn.ended:
            conn.ended = True  # as far as we are concerned
            self._watch(conn, 0)
            self._decode(conn)
        else:
            self._incomplete(conn)

    def _incomplete(self, conn: Connection) -> None:
        self.refuse(conn, 408, f"the request was not whole after {self.request_seconds:g} s")

    def _make_room(self) -> bool:
        """Close the connection that is worth the least; False when all have our answer to come.

        One whose client asks nothing, else the one that has taken the longest to send its request;
        of the address that has the most, so that one client cannot push out the others.
        """
        of = Counter(conn.address for conn in self.connections)
        for found in (
            [conn for conn in self.connections if conn.spare],
            [conn for conn in self.connections if conn.waiting],
        ):
            if found:
                self._drop(max(found, key=lambda conn: (of[conn.address], -conn.since)))
                return True
        return False

    def _hold_memory(self) -> None:
        """Refuse the largest unfinished requests while more is kept than allowed."""
        kept = sum(conn.size for conn in self.connections)
        if kept <= _MEMORY:
            return
        unfinished = [conn for conn in self.connections if conn.state is State.RECEIVING]
        for conn in sorted(unfinished, key=lambda conn: conn.size, reverse=True):
            if kept <= _MEMORY or conn.size <= _SMALL:
                return
            kept -= conn.size
            self.refuse(conn, 503, "too much is being sent at the moment")
