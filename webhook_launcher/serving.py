"""How gunicorn serves us: its settings and hooks, also reachable as the top-level
`gunicorn.conf.py`, so that `gunicorn webhook_launcher.wsgi:app` in the checkout does the same.

One worker process, because one process owns the journal and the queue; threads answer requests.
The control socket and reload-by-file stay off: nothing but signals steers the server.

Stop order (SIGTERM), all of it inside `graceful_timeout`:

1. gunicorn stops accepting and lets running requests finish
2. the poller stops: no new intents of our own
3. the workers stop after the deployment they are in; one that takes longer stays `switching`
   in the journal and is finished at the next start
4. the journal is closed and the state directory unlocked
"""

import time
from typing import Any

from gunicorn.glogging import Logger

from webhook_launcher.app import config_path
from webhook_launcher.config import load
from webhook_launcher.sources import KINDS

_settings = load(config_path(), KINDS)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class TokenlessLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """An access log in which the last part of a hook's URL, its token, does not appear."""

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> Any:
        """gunicorn's fields, the request line cut after `/hooks/<source>`."""
        found = super().atoms(resp, req, environ, request_time)
        path = environ.get("PATH_INFO", "").split("/")
        shown = "/".join(path[:3]) if path[1:2] == ["hooks"] else "/".join(path)
        found["r"] = f"{environ.get('REQUEST_METHOD')} {ascii(shown)[1:-1]}"
        found["U"], found["q"], found["f"] = shown, "", "-"
        return found


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
    from webhook_launcher.wsgi import service  # noqa: PLC0415 - loaded by now

    service.stop(time.monotonic() + graceful_timeout - _CLOSING)
    server.log.info("worker %s stopped", worker.pid)
