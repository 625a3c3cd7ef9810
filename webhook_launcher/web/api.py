"""The read API and the operator's actions. All but `deliveries/<id>` need the admin token.

With the token, `deliveries/<id>` has the detail; without it, a fixed sentence (`outcomes`).
"""

import re
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
from webhook_launcher.web.access import admin_only, refusal
from webhook_launcher.web.body import read_body
from webhook_launcher.web.receipts import Receipts
from webhook_launcher.web.reception import Deliveries

_MAX_PAGE = 500
_DEFAULT_PAGE = 50
_MAX_BODY = 64 * 1024
_WHOLE = re.compile(r"[0-9]{1,9}")
_JSON_ADVICE = 'Send a JSON object of texts, such as {"reference": "…@sha256:…"}, or nothing.'


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
    receipts: Receipts
    clock: Clock
    wake: Callable[[], None]
    remarks: Callable[[], Mapping[str, str]]
    # Puts the configuration file in force; ConfigurationError when it is refused.
    reload: Callable[[], Mapping[str, Any]]

    def workload(self, name: str) -> Workload:
        """A configured workload, or UnknownWorkloadError."""
        found = self.workloads.get(name)
        if found is None:
            raise UnknownWorkloadError(f"there is no workload {name[:80]!r}")
        return found

    def show(self, workload: Workload) -> dict[str, Any]:
        """A workload as the API shows it."""
        state, waiting = self.states.state(workload.name), self.intents.waiting(workload.name)
        return views.workload(workload, state, waiting, self.clock.now())

    def tell(self, intent: Intent, *, public: bool) -> dict[str, Any]:
        """What became of an intent; its detail may quote secrets, so it is not `public`."""
        attempt = self.deployments.get(intent.deployment) if intent.deployment else None
        told = views.public_intent(intent, attempt)
        return told if public else told | {"detail": intent.detail}


def blueprint(console: Console) -> Blueprint:
    """Everything under `/api/v1`."""
    api = Blueprint("api", __name__, url_prefix="/api/v1")
    admin = admin_only(console.admin_token)

    @api.get("/deliveries/<delivery>")
    def delivery(delivery: str) -> Response:
        found = console.deliveries.get(delivery)
        if found is None:
            raise NotFound("there is no such delivery")
        refused = refusal(console.admin_token) is not None
        return jsonify(
            {
                "delivery": found.id,
                "ignored": found.ignored,
                "intents": [console.tell(intent, public=refused) for intent in found.intents],
            }
        )

    @api.get("/workloads")
    @admin
    def workloads() -> Response:
        shown = [console.show(workload) for workload in console.workloads.values()]
        return jsonify({"workloads": shown, "notes": console.remarks()})

    @api.get("/workloads/<name>")
    @admin
    def workload(name: str) -> Response:
        return jsonify(console.show(console.workload(name)))

    _history(api, console, admin)
    _actions(api, console, admin)

    @api.post("/reload")
    @admin
    def reload() -> Response:
        _body()
        return jsonify(console.reload())

    return api


def _history(api: Blueprint, console: Console, admin: Callable[..., Any]) -> None:
    @api.get("/deployments")
    @admin
    def deployments() -> Response:
        workload, limit, before = _page()
        if before is not None and console.deployments.get(before) is None:
            raise BadRequest("before must be the id of a deployment")
        found = console.deployments.history(workload, limit, before)
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
    def ask(wish: Wish) -> tuple[Response, int]:
        (intent,) = console.intents.enqueue([wish], console.clock.now())
        console.wake()
        return jsonify({"intent": views.intent(intent)}), 202

    def run(name: str, reference: Reference | None, origin: Origin) -> tuple[Response, int]:
        """A reference, or what is tracked; OutOfScopeError for one that is not the workload's."""
        interest = console.workload(name).interest
        return ask(wish_for(Mention(reference, name), interest, origin))

    @api.post("/workloads/<name>/check")
    @admin
    def check(name: str) -> tuple[Response, int]:
        return run(name, None, _operator(_body("reason", "actor")))

    @api.post("/workloads/<name>/deploy")
    @admin
    def deploy(name: str) -> tuple[Response, int]:
        body = _body("reference", "reason", "actor")
        text = body.get("reference")
        return run(name, None if text is None else parse_reference(text), _operator(body))

    @api.post("/workloads/<name>/rollback")
    @admin
    def rollback(name: str) -> tuple[Response, int]:
        body = _body("reason", "actor")
        workload = console.workload(name)
        # While a release is waited for, the one to return to is the current one.
        newest = console.deployments.history(workload.name, 1)
        deploying = bool(newest) and not newest[0].status.final
        if not deploying and console.states.state(workload.name).previous is None:
            raise NoPreviousReleaseError(f"workload {name!r} has no previous release")
        return ask(Wish(workload.name, Action.ROLLBACK, _operator(body)))

    _holds(api, console, admin)


def _holds(api: Blueprint, console: Console, admin: Callable[..., Any]) -> None:
    def hold(name: str, *, paused: bool) -> Response:
        _body()
        workload = console.workload(name)
        console.states.pause(workload.name, paused)
        console.wake()
        return jsonify(console.show(workload))

    @api.post("/workloads/<name>/pause")
    @admin
    def pause(name: str) -> Response:
        return hold(name, paused=True)

    @api.post("/workloads/<name>/resume")
    @admin
    def resume(name: str) -> Response:
        return hold(name, paused=False)

    @api.post("/workloads/<name>/release-quarantine")
    @admin
    def release_quarantine(name: str) -> Response:
        text = _body("digest").get("digest")
        gone = console.states.release_quarantine(
            console.workload(name).name, None if text is None else Digest(text)
        )
        return jsonify({"released": gone})


def _page() -> tuple[str | None, int, str | None]:
    """Workload, size and start of a page of the history; empty parameters are absent ones."""
    unknown = sorted(request.args.keys() - {"workload", "limit", "before"})
    if unknown:
        raise BadRequest(f"there is no parameter {unknown[0][:80]!a}: workload, limit, before")
    text = request.args.get("limit") or str(_DEFAULT_PAGE)
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= _MAX_PAGE:
        raise BadRequest(f"limit must be a whole number from 1 to {_MAX_PAGE}")
    return request.args.get("workload") or None, int(text), request.args.get("before") or None


def _operator(body: Mapping[str, str]) -> Origin:
    return Origin(Trust.OPERATOR, "operator", reason=body.get("reason"), actor=body.get("actor"))


def _body(*allowed: str) -> dict[str, str]:
    """The texts of the JSON body, if there is one.

    A key that is not `allowed` is an error: a misspelt `reference` must not deploy what is tracked.
    """
    raw = read_body(_MAX_BODY)
    if not raw:
        return {}
    try:
        body = loads(raw)
    except StrictJsonError as error:
        raise MalformedEventError(f"the body is {error}", advice=_JSON_ADVICE) from error
    if not isinstance(body, dict):
        raise MalformedEventError("the body is not a JSON object", advice=_JSON_ADVICE)
    for key, value in body.items():
        if key not in allowed:
            known = f"it may have {', '.join(allowed)}" if allowed else "it has none"
            raise MalformedEventError(f"the body has a key {key[:80]!a}", advice=f"Here {known}.")
        if value is not None and not isinstance(value, str):
            raise MalformedEventError(f"{key} is not a string", advice=_JSON_ADVICE)
    return {key: value for key, value in body.items() if value is not None}
