"""May somebody send here? CloudEvents' abuse protection: asked by OPTIONS before the first event.

A sender that may names itself in `WebHook-Request-Origin` and must find itself again in
`WebHook-Allowed-Origin`, else it never sends. It proves nothing: every delivery is authenticated
when it comes. CloudEvents 1.0, HTTP Web Hooks, section 4; Azure Event Grid asks so.
"""

from collections.abc import Callable

from flask import Blueprint, Response, request

# Which source is asked for, with which token of the URL, and who asks.
MaySend = Callable[[str, str | None, str], bool]


def blueprint(may_send: MaySend) -> Blueprint:
    """`OPTIONS /hooks/<source>[/<token>]`; to be registered before the POST of the same path."""
    asked = Blueprint("handshake", __name__)

    @asked.route("/hooks/<source>", methods=["OPTIONS"])
    @asked.route("/hooks/<source>/<token>", methods=["OPTIONS"])
    def answer(source: str, token: str | None = None) -> Response:
        response = Response(status=200)
        response.headers["Allow"] = "POST, OPTIONS"
        origin = request.headers.get("WebHook-Request-Origin", "")
        if may_send(source, token, origin):
            # One of few known names, so nothing that a stranger wrote is sent back.
            response.headers["WebHook-Allowed-Origin"] = origin.lower()
            # No limit by the minute: when the queue is full the answer is 503.
            response.headers["WebHook-Allowed-Rate"] = "*"
        return response

    return asked
