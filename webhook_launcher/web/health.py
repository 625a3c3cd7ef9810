"""`/healthz` and `/readyz`, for the container's healthcheck and the load balancer."""

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, jsonify

# A check returns None, or the reason why its part is not usable.
Check = Callable[[], str | None]


def blueprint(checks: Mapping[str, Check]) -> Blueprint:
    """`/healthz` answers while the process works; `/readyz` while every check holds."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @health.get("/readyz")
    def readyz() -> tuple[Response, int]:
        reasons = {name: reason for name, check in checks.items() if (reason := check())}
        if reasons:
            return jsonify({"status": "not ready", "reasons": reasons}), 503
        return jsonify({"status": "ready"}), 200

    return health
