"""`POST /hooks/...` through flask: for any WSGI server, and for what may wait inside ours."""

from collections.abc import Mapping

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from webhook_launcher.core.source import Delivery
from webhook_launcher.web.body import read_body
from webhook_launcher.web.problems import of_http
from webhook_launcher.web.reception import Arrival, Reception

# In the WSGI environment once the launcher's own log tells of a request.
LOGGED = "webhook_launcher.logged"


def blueprint(reception: Reception) -> Blueprint:
    """`POST /hooks/<source>` and `/hooks/<source>/<token>`."""
    hooks = Blueprint("hooks", __name__)

    @hooks.post("/hooks/<source>")
    @hooks.post("/hooks/<source>/<token>")
    def receive(source: str, token: str | None = None) -> Response:
        try:
            return received(source, token)
        except HTTPException as error:
            return reception.refused(source, of_http(error)).response()

    def received(source: str, token: str | None) -> Response:
        configured = reception.intake.sources.get(source)
        if configured is None:
            raise NotFound(f"there is no source {source[:80]!a}")
        client = request.remote_addr or ""
        over = reception.over_limit(configured, client)
        if over is not None:
            request.environ[LOGGED] = True
            return over.response()
        body = read_body(reception.intake.max_body, "limits.body")
        delivery = Delivery(_headers(request.environ), body, token)
        request.environ[LOGGED] = True
        arrival = Arrival(configured, delivery, client, request.root_path)
        return reception.receive(arrival).response()

    return hooks


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    """The headers by their names in lower case (PEP 3333 says how WSGI spells them)."""
    found = {
        key[5:].replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            found[key.replace("_", "-").lower()] = environ[key]
    return found
