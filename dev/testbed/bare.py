"""What receiving costs at the least: a Flask view that computes the HMAC and keeps nothing.

`gunicorn --config python:testbed.bare`: the launcher's own gunicorn settings, logging included,
under another application, and under gunicorn's own threaded worker unless $BARE_WORKER names
another class. $BARE_SECRET and $BARE_PORT say the rest.
"""

import hmac
import os

from flask import Flask, request

from webhook_launcher.serving import *  # noqa: F403 - the point is to take everything
from webhook_launcher.serving import bind as _theirs

wsgi_app = "testbed.bare:app"
worker_class = os.environ.get("BARE_WORKER", "gthread")
bind = f"{_theirs.rpartition(':')[0]}:{os.environ['BARE_PORT']}"
_SECRET = os.environ["BARE_SECRET"].encode()

app = Flask(__name__, static_folder=None)


@app.post("/hooks/<source>")
def receive(source: str) -> tuple[dict[str, str], int]:
    """202 for a body that the secret signed, 401 for any other."""
    right = "sha256=" + hmac.new(_SECRET, request.get_data(cache=False), "sha256").hexdigest()
    if hmac.compare_digest(right, request.headers.get("X-Hub-Signature-256", "")):
        return {"source": source}, 202
    return {"source": source}, 401


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """It serves."""
    return {}


def _start(_worker: object) -> None:
    """There are no loops to start."""


def _stop(_server: object, _worker: object) -> None:
    """Nor to stop."""


globals().update(post_worker_init=_start, worker_exit=_stop)
