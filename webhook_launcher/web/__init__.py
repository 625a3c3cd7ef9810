"""EDGE: HTTP in. Nothing is decided here."""

from collections.abc import Callable, Iterable

from flask import Flask, Response

from webhook_launcher.web import api, handshake, health, hooks, metrics, problems, receipts
from webhook_launcher.web.answer import ALWAYS
from webhook_launcher.web.reception import Intake, Reception

# Where the application keeps its Reception, for the worker that serves it.
RECEPTION = "webhook_launcher.reception"


def create_app(
    intake: Intake,
    console: api.Console,
    asked: health.Health,
    gather: Callable[[], Iterable[metrics.Metric]] = tuple,
    may_send: handshake.MaySend = lambda *_: False,
) -> Flask:
    """The WSGI application."""
    app = Flask("webhook_launcher", static_folder=None)
    # `/hooks//x` is another path, not a reason for a redirect: senders do not follow one with a
    # POST, and its Location would be made of a Host header that anybody may write.
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined] # DefaultJSONProvider has it
    problems.install(app)
    # Before the POST of the same paths, whose own OPTIONS would win otherwise.
    app.register_blueprint(handshake.blueprint(may_send))
    app.extensions[RECEPTION] = reception = Reception(intake)
    app.register_blueprint(hooks.blueprint(reception))
    app.register_blueprint(api.blueprint(console))
    app.register_blueprint(receipts.blueprint(console.admin_token, console.receipts))
    app.register_blueprint(health.blueprint(asked))
    app.register_blueprint(metrics.blueprint(gather))
    app.after_request(_never_kept)
    return app


def _never_kept(response: Response) -> Response:
    response.headers.update(ALWAYS)
    return response
