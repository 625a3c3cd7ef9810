"""How gunicorn serves us: its settings and hooks.

Also reachable as the top-level `gunicorn.conf.py`, so that `gunicorn webhook_launcher.wsgi:app` in
the checkout does the same as `webhook-launcher serve`.

One worker process, because one process owns the journal and the queue; threads answer requests.
The control socket and reload-by-file stay off: nothing but signals steers the server.

Stop order (SIGTERM), all of it inside `graceful_timeout`:

1. gunicorn stops accepting and lets running requests finish
2. the poller stops: no new intents of our own
3. the workers stop after the deployment they are in; one that takes longer stays `switching`
   in the journal and is finished at the next start
4. the journal is closed and the state directory unlocked
"""

import logging
import re
import sys
import time
from collections.abc import Collection
from typing import Any

from gunicorn.glogging import Logger

from webhook_launcher.app import config_path
from webhook_launcher.config import load
from webhook_launcher.sources import KINDS
from webhook_launcher.web.hooks import LOGGED

_settings = load(config_path(), KINDS)
# First parts of the paths there are; what somebody types wrongly may be a token.
_KNOWN = ("healthz", "readyz", "metrics", "api")
_FOREIGN = ("Error handling request ", "Invalid request from ")
_HOOK = re.compile(r"(/hooks/[^/\s'\"?]+)[/?][^\s'\"]*", re.IGNORECASE)
_TEXT_OF_REQUEST = re.compile(r"['\"/].*", re.DOTALL)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shown_path(path: str, sources: Collection[str]) -> str:
    """A request's path for the access log: nothing that can be a token, nothing unprintable."""
    first, *rest = path.removeprefix("/").split("/")
    if first == "hooks" and rest:
        known = ascii(rest[0])[1:-1] if rest[0] in sources else "…"
        return f"/hooks/{known}" + ("/…" if len(rest) > 1 else "")
    if path == "/" or (path.startswith("/") and first in _KNOWN):
        return ascii(path)[1:-1]
    return "/…"


def without_tokens(message: str) -> str:
    """A line of gunicorn's error log without what it quotes of a request."""
    if message.startswith(_FOREIGN):
        return _TEXT_OF_REQUEST.sub("…", message)
    return _HOOK.sub(r"\1/…", message)


class _Redacting(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the record in place; every record passes."""
        record.msg, record.args = without_tokens(record.getMessage()), ()
        return True


class TokenlessLogger(Logger):
    """gunicorn's logs, in which no token of a hook's URL appears."""

    def setup(self, cfg: Any) -> None:
        """gunicorn's own, and the filter on the error log."""
        super().setup(cfg)
        self.error_log.filters = [_Redacting()]

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing for a delivery: the launcher's own log has a line for each, and says more."""
        if LOGGED not in environ:
            super().access(resp, req, environ, request_time)

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> Any:
        """gunicorn's fields; of the request, only method and path, cut after the source."""
        found = super().atoms(resp, req, environ, request_time)
        path = shown_path(environ.get("PATH_INFO", ""), _settings.sources)
        method = ascii(environ.get("REQUEST_METHOD", ""))[1:-1]
        kept = {name: found[name] for name in ("h", "t", "s", "B", "M", "p")}
        return {**kept, "m": method, "r": f"{method} {path}", "U": path}


wsgi_app = "webhook_launcher.wsgi:app"
bind = _address(*_settings.listen)
workers = 1
worker_class = "gthread"
threads = 16
preload_app = False
max_requests = 0  # a worker that restarts would interrupt deployments
control_socket_disable = True
# Bounded by what a deployment usually takes; one that takes longer is finished at the next start.
graceful_timeout = 90
timeout = 30
keepalive = 5
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
accesslog = "-"
access_log_format = '%(h)s "%(r)s" %(s)s %(B)s %(M)sms'
logger_class = TokenlessLogger
proc_name = "webhook-launcher"

# Seconds left for closing the journal after the workers, within `graceful_timeout`.
_CLOSING = 5.0


def post_worker_init(worker: Any) -> None:
    """The worker process is ready: start the loops."""
    from webhook_launcher.wsgi import service  # noqa: PLC0415 - its import opens the journal

    worker.log.info("starting the loops")
    service.start()


def worker_exit(server: Any, worker: Any) -> None:
    """The worker process ends: stop in the order written above."""
    # Not an import: of a worker that could not start there is nothing to stop.
    wsgi = sys.modules.get("webhook_launcher.wsgi")
    service = getattr(wsgi, "service", None)
    if service is not None:
        service.stop(time.monotonic() + graceful_timeout - _CLOSING)
    server.log.info("worker %s stopped", worker.pid)
