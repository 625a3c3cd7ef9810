"""gunicorn's threaded worker, except that no client holds a thread while it sends or reads.

The main thread gathers requests without waiting, for all connections at once, each until its
deadline and all within bounds (`gathering`). A whole delivery is authenticated in the main thread
and journaled together with the others that came (`batches`); every other request goes to a thread
of the pool, whole, and its answer comes back whole. So slow clients cost memory, which is bounded,
and nothing else (docs/adr/0009).
"""

import re
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from gunicorn import util
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response, default_environ

from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.web.answer import ALWAYS, Answer
from webhook_launcher.web.batches import Batches
from webhook_launcher.web.connection import Collected, Connection, State
from webhook_launcher.web.gathering import REQUEST_SECONDS, GatheringWorker
from webhook_launcher.web.incoming import TooLongError
from webhook_launcher.web.problems import document, too_large
from webhook_launcher.web.reception import Arrival, Reception
from webhook_launcher.web.turns import Lanes

# What flask would match too, spelled so that there is nothing to decode; the rest is flask's.
_HOOK = re.compile(r"/hooks/([^/%]+)(?:/([^/%]+))?")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MAX_BODY = 1024**2  # under an application that says nothing else
# Seconds of hearing deliveries before the sockets are looked at again.
_TURN = 0.005
# Deliveries of one source that may wait for the network or a file, each in a thread.
_WAITING_OF_ONE = 4


class IntakeWorker(GatheringWorker):
    """Serves the launcher's application; any other one as a threaded worker would."""

    def load_wsgi(self) -> None:
        """gunicorn's own."""
        super().load_wsgi()
        self._lanes: Lanes[Connection] = Lanes(_WAITING_OF_ONE)
        self._batches: Batches[Connection] = Batches(self._answer, self.method_queue.defer)

    @property
    def reception(self) -> Reception | None:
        """Of the configuration in force; None under an application that receives nothing."""
        return getattr(self.wsgi, "reception", None)

    @property
    def max_body(self) -> int:
        """Bytes that a body may have."""
        return self.reception.intake.max_body if self.reception else _MAX_BODY

    @property
    def request_seconds(self) -> float:
        """Seconds that a request may take to arrive."""
        return self.reception.intake.request_seconds if self.reception else REQUEST_SECONDS

    def has_work(self) -> bool:
        """True when there is something to do besides waiting for sockets."""
        return bool(self._batches)

    def work(self) -> None:
        """Hear deliveries that are whole."""
        self._batches.work(_TURN)

    def head_arrived(self, conn: Connection, request: Request) -> None:
        """Refuse what need not be read."""
        if conn.incoming.length > self.max_body:
            self._refuse(conn, too_large(self.max_body))
            return
        reception = self.reception
        hook = _hook(request, reception) if reception and not conn.incoming.whole else None
        over = reception.over_limit(hook[0], conn.address) if reception and hook else None
        if over:  # the launcher's own log has a line for many of them
            conn.state, conn.closing = State.WORKING, True
            self._answer(conn, over)
        elif conn.incoming.continues() and not conn.incoming.whole:
            conn.out += _CONTINUE
            self.flush(conn)

    def more_arrived(self, conn: Connection) -> None:
        """A chunked body may turn out to be too long."""
        if conn.incoming.length > 2 * self.max_body + _MAX_BODY:
            self._refuse(conn, too_large(self.max_body))

    def decode(self, conn: Connection) -> None:
        """A chunked body that may be whole is read in a thread: it may take a while."""
        self._in_thread(partial(conn.incoming.decode, self.max_body), partial(self._decoded, conn))

    def whole(self, conn: Connection) -> None:
        """Deliver it, or have the application answer it."""
        request = conn.incoming.request
        assert request is not None  # noqa: S101 - it is whole
        reception = self.reception
        hook = _hook(request, reception) if reception else None
        if hook is None or reception is None or self._mounted(request):
            self._serve(conn)
        elif reception.waits(hook[0]):
            self._lanes.add(hook[0].name, conn)
            self._next_in_lane(hook[0].name)
        else:
            delivery = Delivery(_headers(request), conn.incoming.body(), hook[1])
            self._batches.add(conn, Arrival(hook[0], delivery, conn.address), reception)

    def refuse(self, conn: Connection, status: int, detail: str) -> None:
        """End a request that is not whole, and its connection."""
        reason = HTTPStatus(status).phrase
        if conn.incoming.request is None:
            collected: Any = Collected()
            util.write_error(collected, status, reason, detail)
            conn.out += collected.written
            self.last_answer(conn)
            return
        code = reason.lower().replace(" ", "-")
        self._refuse(conn, document(status, code, reason, detail, "Send it again.", retry_after=5))

    def broken(self, conn: Connection, error: Exception) -> None:
        """What gunicorn's parser would not read is answered by gunicorn."""
        collected: Any = Collected()
        self.handle_error(conn.incoming.request, collected, conn.client, error)
        conn.out += collected.written
        self.last_answer(conn)

    def _mounted(self, request: Request) -> bool:
        """Behind a path of somebody else's: flask knows how to take it away."""
        return bool(self.script_name) or any("_" in name for name, _ in request.headers)

    def _refuse(self, conn: Connection, answer: Answer) -> None:
        """Answer without having read the rest."""
        request = conn.incoming.request
        assert request is not None  # noqa: S101 - it was at least admitted
        named = _named(request)
        if self.reception and named:
            self.reception.refused(named[0], answer)
        conn.state = State.WORKING
        conn.closing = True
        said: Any = SimpleNamespace(status=str(answer.status), headers=[], sent=len(answer.body))
        environ: dict[str, Any] = dict(default_environ(request, conn.sock, self.cfg))
        environ |= {"PATH_INFO": request.path, "REMOTE_ADDR": conn.address}
        self.log.access(said, request, environ, timedelta())
        self._answer(conn, answer)

    def _answer(self, conn: Connection, answer: Answer) -> None:
        request = conn.incoming.request
        assert request is not None  # noqa: S101 - it was at least admitted
        collected: Any = Collected()
        response = Response(request, collected, self.cfg)
        if conn.closing or not self.alive:
            response.force_close()
        body = answer.body
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(body)))]
        phrase = HTTPStatus(answer.status).phrase
        response.start_response(
            f"{answer.status} {phrase}", [*headers, *ALWAYS.items(), *answer.headers]
        )
        response.write(body)
        self.answered(conn, collected.written, close=response.should_close())

    def _serve(self, conn: Connection) -> None:
        """The application's answer, from a thread."""
        collected = Collected()
        exchange = SimpleNamespace(sock=collected, client=conn.client, server=conn.listener)
        request = conn.incoming.readable()
        self._in_thread(
            partial(self._run, request, exchange), partial(self._served, conn, collected)
        )

    def _run(self, request: Request, exchange: Any) -> bool:
        """In the thread: True when the connection may be kept."""
        try:
            return self.handle_request(request, exchange)
        except Exception as error:  # noqa: BLE001 - as gunicorn's own worker does
            self.handle_error(request, exchange.sock, exchange.client, error)
            return False

    def _served(self, conn: Connection, collected: Collected, result: Any) -> None:
        kept = not result.cancelled() and result.exception() is None and result.result()
        self.answered(conn, collected.written, close=not kept)

    def _decoded(self, conn: Connection, result: Any) -> None:
        error = result.exception()
        if isinstance(error, TooLongError):
            self._refuse(conn, too_large(self.max_body))
        elif error is not None:
            self.broken(conn, error)
        elif result.result():
            self.whole(conn)
        else:
            self.not_yet(conn)

    def _next_in_lane(self, source: str) -> None:
        conn = self._lanes.take(source)
        if conn is None:
            return
        collected = Collected()
        exchange = SimpleNamespace(sock=collected, client=conn.client, server=conn.listener)
        request = conn.incoming.readable()

        def done(result: Any) -> None:
            self._lanes.done(source)
            self._next_in_lane(source)
            self._served(conn, collected, result)

        self._in_thread(partial(self._run, request, exchange), done)

    def _in_thread(self, call: Any, done: Any) -> None:
        self.tpool.submit(call).add_done_callback(
            lambda result: self.method_queue.defer(done, result)
        )


def _hook(request: Request, reception: Reception) -> tuple[Source, str | None] | None:
    """The source and token of a delivery to a source that there is."""
    named = _named(request)
    source = reception.intake.sources.get(named[0]) if named else None
    return (source, named[1]) if named and source else None


def _named(request: Request) -> tuple[str, str | None] | None:
    """The name of the source and the token of a delivery, as they stand in the path."""
    found = _HOOK.fullmatch(request.path or "") if request.method == "POST" else None
    return (found[1], found[2]) if found else None


def _headers(request: Request) -> dict[str, str]:
    """By their names in lower case; repeated ones joined, as RFC 9110 (5.3) has it."""
    found: dict[str, str] = {}
    for name, value in request.headers:
        key = name.lower()
        found[key] = f"{found[key]},{value}" if key in found else value
    return found
