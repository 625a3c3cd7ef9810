"""EDGE: HTTP in. Nothing is decided here."""

from collections.abc import Mapping

from flask import Flask

from webhook_launcher.web import api, health, hooks, problems


def create_app(
    intake: hooks.Intake, console: api.Console, checks: Mapping[str, health.Check]
) -> Flask:
    """The WSGI application."""
    app = Flask("webhook_launcher", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined] # DefaultJSONProvider has it
    problems.install(app)
    app.register_blueprint(hooks.blueprint(intake))
    app.register_blueprint(api.blueprint(console))
    app.register_blueprint(health.blueprint(checks))
    return app
