"""`/healthz` and `/readyz`, for the container's healthcheck and the load balancer."""

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, jsonify

from webhook_launcher.web.problems import problem

# A check returns None, or the reason why its part is not usable.
Check = Callable[[], str | None]


def blueprint(checks: Mapping[str, Check]) -> Blueprint:
    """`/healthz` answers while the process works; `/readyz` while every check holds."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @health.get("/readyz")
    def readyz() -> Response:
        reasons = {name: reason for name, check in checks.items() if (reason := check())}
        if not reasons:
            return jsonify({"status": "ready"})
        return problem(
            503,
            "not-ready",
            "Not ready",
            "; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
            "Deliveries are still accepted while the journal works; each reason says what to do.",
            reasons=reasons,
        )

    return health
