"""`/healthz` and `/readyz`, for the container's healthcheck and the load balancer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flask import Blueprint, Response, jsonify

from webhook_launcher.web.problems import problem

# A check returns None, or the reason why its part is not usable.
Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Health:
    """`checks` say whether the parts are usable; `notes` what happened, and is over."""

    checks: Mapping[str, Check]
    notes: Mapping[str, Check] = field(default_factory=dict)

    def reasons(self) -> dict[str, str]:
        """Why it is not ready; empty when it is."""
        return _answers(self.checks)

    def remarks(self) -> dict[str, str]:
        """What an operator should know although it is ready."""
        return _answers(self.notes)


def _answers(checks: Mapping[str, Check]) -> dict[str, str]:
    return {name: reason for name, check in checks.items() if (reason := check())}


def blueprint(asked: Health) -> Blueprint:
    """`/healthz` answers while the process works; `/readyz` while every check holds."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @health.get("/readyz")
    def readyz() -> Response:
        reasons, noted = asked.reasons(), asked.remarks()
        if not reasons:
            return jsonify({"status": "ready"} | ({"notes": noted} if noted else {}))
        return problem(
            503,
            "not-ready",
            "Not ready",
            "; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
            "Deliveries are still accepted while the journal works; each reason says what to do.",
            reasons=reasons,
            **({"notes": noted} if noted else {}),
        )

    return health
