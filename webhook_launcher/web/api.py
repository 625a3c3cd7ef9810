"""The read API and the operator's actions. All but `deliveries/<id>` need the admin token."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    MalformedEventError,
    NoPreviousReleaseError,
    UnknownWorkloadError,
)
from webhook_launcher.core.model import (
    Action,
    Deployment,
    Intent,
    Mention,
    Origin,
    Trust,
    Wish,
    WorkloadState,
)
from webhook_launcher.core.reference import Digest, Reference, parse_reference
from webhook_launcher.core.selection import wish_for
from webhook_launcher.core.strict_json import StrictJsonError, loads
from webhook_launcher.core.workload import Workload
from webhook_launcher.web import views
from webhook_launcher.web.access import admin_only
from webhook_launcher.web.hooks import Deliveries

_MAX_PAGE = 500
_DEFAULT_PAGE = 50
_MAX_BODY = 64 * 1024


class Intents(Protocol):
    """The queue."""

    def waiting(self, workload: str) -> list[Intent]:
        """Open intents of a workload."""

    def enqueue(self, wishes: list[Wish], now: datetime) -> list[Intent]:
        """Add wishes."""

    def get(self, intent_id: str) -> Intent | None:
        """One by its id."""


class Deployments(Protocol):
    """The history."""

    def get(self, deployment_id: str) -> Deployment | None:
        """One by its id."""

    def history(
        self, workload: str | None = None, limit: int = 50, before: str | None = None
    ) -> list[Deployment]:
        """Newest first."""


class States(Protocol):
    """What is known of the workloads."""

    def state(self, name: str) -> WorkloadState:
        """Of one."""

    def pause(self, name: str, paused: bool) -> None:
        """Hold or release."""

    def release_quarantine(self, name: str, digest: Digest | None = None) -> int:
        """Forget; how many there were."""


@dataclass(frozen=True, slots=True)
class Console:
    """What the API needs."""

    admin_token: bytes | None
    workloads: Mapping[str, Workload]
    deliveries: Deliveries
    intents: Intents
    deployments: Deployments
    states: States
    clock: Clock
    wake: Callable[[], None]

    def workload(self, name: str) -> Workload:
        """A configured workload, or UnknownWorkloadError."""
        found = self.workloads.get(name)
        if found is None:
            raise UnknownWorkloadError(f"there is no workload {name[:80]!r}")
        return found

    def show(self, workload: Workload) -> dict[str, Any]:
        """A workload as the API shows it."""
        return views.workload(
            workload, self.states.state(workload.name), self.intents.waiting(workload.name)
        )


def blueprint(console: Console) -> Blueprint:
    """Everything under `/api/v1`."""
    api = Blueprint("api", __name__, url_prefix="/api/v1")
    admin = admin_only(console.admin_token)

    @api.get("/deliveries/<delivery>")
    def delivery(delivery: str) -> Response:
        found = console.deliveries.get(delivery)
        if found is None:
            raise NotFound("there is no such delivery")
        return jsonify(
            {
                "delivery": found.id,
                "ignored": found.ignored,
                "intents": [views.intent(intent) for intent in found.intents],
            }
        )

    @api.get("/workloads")
    @admin
    def workloads() -> Response:
        shown = [console.show(workload) for workload in console.workloads.values()]
        return jsonify({"workloads": shown})

    @api.get("/workloads/<name>")
    @admin
    def workload(name: str) -> Response:
        return jsonify(console.show(console.workload(name)))

    _history(api, console, admin)
    _actions(api, console, admin)
    return api


def _history(api: Blueprint, console: Console, admin: Callable[..., Any]) -> None:
    @api.get("/deployments")
    @admin
    def deployments() -> Response:
        found = console.deployments.history(
            request.args.get("workload"), _page_size(), request.args.get("before")
        )
        return jsonify({"deployments": [views.deployment(item) for item in found]})

    @api.get("/deployments/<deployment>")
    @admin
    def deployment(deployment: str) -> Response:
        found = console.deployments.get(deployment)
        if found is None:
            raise NotFound("there is no such deployment")
        return jsonify(views.deployment(found))

    @api.get("/intents/<intent>")
    @admin
    def intent(intent: str) -> Response:
        found = console.intents.get(intent)
        if found is None:
            raise NotFound("there is no such intent")
        return jsonify(views.intent(found))


def _actions(api: Blueprint, console: Console, admin: Callable[..., Any]) -> None:
    def ask(name: str, action: Action, reference: Reference | None = None) -> Any:
        workload = console.workload(name)
        origin = Origin(Trust.OPERATOR, "operator", reason=_text("reason"), actor=_text("actor"))
        if reference is not None:
            wish = wish_for(Mention(reference, workload.name), workload.interest, origin)
        else:
            wish = Wish(workload.name, action, origin)
        (intent,) = console.intents.enqueue([wish], console.clock.now())
        console.wake()
        return jsonify({"intent": views.intent(intent)}), 202

    @api.post("/workloads/<name>/check")
    @admin
    def check(name: str) -> Any:
        return ask(name, Action.CHECK)

    @api.post("/workloads/<name>/deploy")
    @admin
    def deploy(name: str) -> Any:
        text = _text("reference")
        return ask(name, Action.CHECK, parse_reference(text) if text else None)

    @api.post("/workloads/<name>/rollback")
    @admin
    def rollback(name: str) -> Any:
        if console.states.state(console.workload(name).name).previous is None:
            raise NoPreviousReleaseError(f"{name!r} has no previous release")
        return ask(name, Action.ROLLBACK)

    @api.post("/workloads/<name>/pause")
    @admin
    def pause(name: str) -> Response:
        console.states.pause(console.workload(name).name, True)
        return jsonify(console.show(console.workload(name)))

    @api.post("/workloads/<name>/resume")
    @admin
    def resume(name: str) -> Response:
        console.states.pause(console.workload(name).name, False)
        console.wake()
        return jsonify(console.show(console.workload(name)))

    @api.post("/workloads/<name>/release-quarantine")
    @admin
    def release_quarantine(name: str) -> Response:
        text = _text("digest")
        gone = console.states.release_quarantine(
            console.workload(name).name, Digest(text) if text else None
        )
        return jsonify({"released": gone})


def _page_size() -> int:
    text = request.args.get("limit", str(_DEFAULT_PAGE))
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _MAX_PAGE:
        raise BadRequest(f"limit must be a whole number from 1 to {_MAX_PAGE}")
    return int(text)


def _text(key: str) -> str | None:
    """A text of the JSON body, if there is a body and it has the key."""
    request.max_content_length = _MAX_BODY
    raw = request.get_data()
    if not raw:
        return None
    try:
        body = loads(raw)
    except StrictJsonError as error:
        raise MalformedEventError(f"the body is {error}") from error
    if not isinstance(body, dict):
        raise MalformedEventError("the body must be a JSON object")
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise MalformedEventError(f"{key!r} must be a string")
    return value
