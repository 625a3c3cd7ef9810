"""How gunicorn serves us: its settings and hooks.

Also reachable as the top-level `gunicorn.conf.py`, so that `gunicorn webhook_launcher.wsgi:app` in
the checkout does the same as `webhook-launcher serve`.

One worker process, because one process owns the journal and the queue; threads answer requests.
The control socket and reload-by-file stay off: nothing but signals steers the server.

Stop order (SIGTERM), all of it inside `graceful_timeout`:

1. gunicorn stops accepting and lets running requests finish, a slow client for 10 s at most
2. the poller stops: no new intents of our own
3. the workers stop after the deployment they are in; one that takes longer stays `switching`
   in the journal and is finished at the next start
4. the journal is closed and the state directory unlocked; the process ends, whoever is connected

SIGINT and SIGQUIT do the same without step 1; a second one ends the process within 2 s.

Reload (SIGHUP, or the API): the master process passes the signal on, the worker process reads the
configuration, has the master read it too (SIGUSR2), and puts it in force (`reload`). The result is
written to the state directory beside the master's process id, for `webhook-launcher reload`.
"""

import gc
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Collection
from functools import partial
from typing import Any

from gunicorn.glogging import Logger

from webhook_launcher import configured, log
from webhook_launcher.adapters import running_file
from webhook_launcher.config import Settings
from webhook_launcher.core.errors import ConfigurationError
from webhook_launcher.reload import Running, announce, tell_refused
from webhook_launcher.web.hooks import LOGGED

_settings = configured.settings()
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


def _running() -> Running | None:
    """What runs in this process. Not an import: that would start it, also in the master."""
    return getattr(sys.modules.get("webhook_launcher.wsgi"), "app", None)


def _settings_in_force() -> Settings:
    running = _running()
    return running.settings if running else _settings


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
        path = shown_path(environ.get("PATH_INFO", ""), _settings_in_force().sources)
        method = ascii(environ.get("REQUEST_METHOD", ""))[1:-1]
        kept = {name: found[name] for name in ("h", "t", "s", "B", "M", "p")}
        return {**kept, "m": method, "r": f"{method} {path}", "U": path}


wsgi_app = "webhook_launcher.wsgi:app"
bind = _address(*_settings.listen)
workers = 1
worker_class = "webhook_launcher.web.server.IntakeWorker"
threads = 16
worker_connections = 512  # far below the usual 1024 open files
sendfile = False  # answers are collected before they are sent
preload_app = False
max_requests = 0  # a worker that restarts would interrupt deployments
control_socket_disable = True
# Bounded by what a deployment usually takes; one that takes longer is finished at the next start.
graceful_timeout = 90
timeout = 30
keepalive = 5
# gunicorn believes SCRIPT_NAME and PATH_INFO of whoever is on loopback, and so of every client of a
# proxy there that passes headers on: `/hooks/api/…` would be the API behind a proxy's path rule.
forwarder_headers = ""
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
accesslog = "-"
access_log_format = '%(h)s "%(r)s" %(s)s %(B)s %(M)sms'
logger_class = TokenlessLogger
proc_name = "webhook-launcher"

# Of `graceful_timeout`: seconds for requests that are being received, and for closing the journal.
_RECEIVING = 10
_CLOSING = 5


def when_ready(server: Any) -> None:
    """The master process is ready: from now on it reloads in our way."""
    log.set_up()
    configured.link_master()
    # A signal that comes while a worker is forked waits until the worker can take it.
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through)
    server.reload = lambda: _reload(server)
    server.handle_usr2 = configured.answer_worker  # gunicorn would start a second launcher


def on_exit(_server: Any) -> None:
    """The master process ends: nothing runs that could reload."""
    master = running_file.Process.find(os.getpid())
    if master is not None:
        running_file.remove(_settings.state, master)


def _reload(server: Any) -> None:
    """In the master process: the worker decides. The next one starts under what is read here."""
    if server.WORKERS:
        server.kill_workers(signal.SIGHUP)
        return
    try:
        configured.refresh()
    except ConfigurationError as error:
        tell_refused(error)


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def pre_fork(_server: Any, _worker: Any) -> None:
    """What there is now stays: the collector would write into every page that both could share."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """The worker process is ready: start the loops."""
    from webhook_launcher.wsgi import app  # noqa: PLC0415 - its import opens the journal

    # Of this process alone; the master goes on giving it the whole time, whoever configured it.
    worker.grace = worker.cfg.graceful_timeout
    worker.cfg.set("graceful_timeout", _RECEIVING)
    # Before there are threads: what they start would inherit what is held back.
    signal.signal(signal.SIGHUP, lambda *_: app.reload())
    _let_through()  # held back since the fork: unhandled, the signal ends the process
    worker.log.info("starting the loops")
    announce(app.settings.state, os.getppid())
    app.start(partial(announce, app.settings.state, os.getppid()))


def worker_exit(server: Any, worker: Any) -> None:
    """The worker process ends: stop in the order written above."""
    running = _running()
    if running is None:  # it could not start, or we are the master, which buries it
        return
    grace = getattr(worker, "grace", graceful_timeout)  # without it, it did not get up
    running.stop(time.monotonic() + grace - _RECEIVING - _CLOSING)
    server.log.info("worker %s stopped", worker.pid)
    if worker.booted:
        # Python would wait for the threads of gunicorn, and so for every client that is slow.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
