"""The read API and the operator's actions, on a real journal."""

import json
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Response

from tests.builders import (
    ADMIN,
    D1,
    D2,
    LEFT_OUT,
    URL_TOKEN,
    Edge,
    admin,
    deploy_event,
    edge_in,
    told,
)
from webhook_launcher.core.model import Action, Status, Trust

READS = (
    "/api/v1/workloads",
    "/api/v1/workloads/web",
    "/api/v1/deployments",
    "/api/v1/deployments/x",
    "/api/v1/intents/x",
    "/api/v1/receipts",
    "/api/v1/receipts/head",
)
ACTIONS = ("check", "deploy", "rollback", "pause", "resume", "release-quarantine")


def get(edge: Edge, path: str) -> Response:
    """GET with the admin token."""
    return edge.http.get(path, headers=admin())


def act(edge: Edge, action: str, body: Any = None, workload: str = "web") -> Response:
    """An operator's action."""
    raw = b"" if body is None else json.dumps(body).encode()
    path = f"/api/v1/workloads/{workload}/{action}"
    return edge.http.post(path, data=raw, headers=admin())


# ── who may ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {ADMIN}x",
        f"Bearer {ADMIN[:-1]}",
        f"Basic {ADMIN}",
        ADMIN,
        "Bearer ünicode",
    ],
)
def test_reading_needs_the_admin_token(edge: Edge, path: str, header: str | None) -> None:
    """History and references are nobody else's business; the token is compared whole."""
    headers = {} if header is None else {"Authorization": header}
    answer = edge.http.get(path, headers=headers)
    assert answer.status_code == 401
    assert told(answer)["code"] == "authentication"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("action", ACTIONS)
def test_acting_needs_the_admin_token(edge: Edge, action: str) -> None:
    """And a refused action changes nothing."""
    answer = edge.http.post(f"/api/v1/workloads/web/{action}")
    assert answer.status_code == 401
    assert edge.journal.intents.pending() == 0
    assert not edge.journal.workloads.state("web").paused


def test_the_token_is_no_query_parameter(edge: Edge) -> None:
    """URLs end up in the logs of proxies."""
    assert edge.http.get(f"/api/v1/workloads?token={ADMIN}").status_code == 401


@pytest.mark.parametrize("path", READS)
def test_without_a_configured_token_the_api_is_off(tmp_path: Path, path: str) -> None:
    """403, whatever is presented: no token must not mean any token."""
    with edge_in(tmp_path, admin=LEFT_OUT) as edge:
        for headers in ({}, admin(), admin(""), admin("None")):
            answer = edge.http.get(path, headers=headers)
            assert (answer.status_code, told(answer)["code"]) == (403, "no-admin-token")


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def test_a_fresh_workload_is_not_deployed(edge: Edge) -> None:
    """Every field of the contract is there from the start, absent values as null."""
    assert told(get(edge, "/api/v1/workloads/web")) == {
        "name": "web",
        "image": "ghcr.io/acme/web",
        "images": ["ghcr.io/acme/web"],
        "tracked": "ghcr.io/acme/web:stable",
        "tracked_now": None,
        "wanted": None,
        "current": None,
        "previous": None,
        "state": "not deployed",
        "pending": [],
        "paused": False,
        "quarantined": [],
        "last_check": {"at": None, "result": None, "answered_at": None, "moved_at": None},
        "warnings": [],
    }


def test_current_and_previous_release_are_shown(edge: Edge) -> None:
    """What runs, and what a rollback would bring."""
    edge.deployed("web", D1)
    edge.deployed("web", D2)
    shown = told(get(edge, "/api/v1/workloads/web"))
    assert shown["state"] == "running"
    assert shown["current"]["reference"] == f"ghcr.io/acme/web:stable@{D2}"
    assert shown["previous"]["digest"] == D1


def test_what_waits_and_what_is_worked_on_is_shown(edge: Edge) -> None:
    """An operator sees that something is going on before it ends."""
    act(edge, "check")
    (pending,) = told(get(edge, "/api/v1/workloads/web"))["pending"]
    assert (pending["status"], pending["final"]) == ("queued", False)
    edge.journal.intents.claim(edge.clock.now())
    assert told(get(edge, "/api/v1/workloads/web"))["state"] == "deploying"


def test_all_workloads_are_listed_in_the_order_of_the_file(edge: Edge) -> None:
    """The order that the user chose."""
    shown = told(get(edge, "/api/v1/workloads"))["workloads"]
    assert [item["name"] for item in shown] == ["web", "site", "pinned"]
    assert shown[2]["tracked"] == "none"


def test_the_history_is_newest_first_and_in_pages(edge: Edge) -> None:
    """`before` is the last id of a page; the pages together are the whole history."""
    made = [edge.deployed("web", D1 if n % 2 else D2).id for n in range(5)]
    edge.deployed("site", D1)
    path = "/api/v1/deployments?workload=web&limit=2"
    first = [item["id"] for item in told(get(edge, path))["deployments"]]
    second = [item["id"] for item in told(get(edge, f"{path}&before={first[-1]}"))["deployments"]]
    third = [item["id"] for item in told(get(edge, f"{path}&before={second[-1]}"))["deployments"]]
    assert first + second + third == made[::-1]


def test_empty_parameters_are_absent_ones(edge: Edge) -> None:
    """The contract writes them so: `?workload=&limit=&before=`."""
    edge.deployed("web", D1)
    found = told(get(edge, "/api/v1/deployments?workload=&limit=&before="))
    assert len(found["deployments"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={text}" for text in ("0", "501", "-1", "x", "1.5", "٣", "9" * 5000)),
        "before=nothing",
        "sort=up",
    ],
)
def test_a_page_that_makes_no_sense_is_400(edge: Edge, query: str) -> None:
    """An empty page would look like the end of the history."""
    answer = get(edge, f"/api/v1/deployments?{query}")
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")


def test_one_deployment_is_shown_with_its_evidence(edge: Edge) -> None:
    """Who asked for it, on what trust, what was deployed, how it ended."""
    made = edge.deployed("web", D1)
    shown = told(get(edge, f"/api/v1/deployments/{made.id}"))
    assert (shown["workload"], shown["status"]) == ("web", "success")
    assert shown["origin"]["trust"] == "poll"
    assert shown["image"]["digest"] == D1
    assert shown["started_at"] == "2026-03-01T12:00:00.000Z"


@pytest.mark.parametrize(
    "path", ["/api/v1/deployments/x", "/api/v1/intents/x", "/api/v1/deliveries/x"]
)
def test_what_is_not_there_is_404(edge: Edge, path: str) -> None:
    """As a problem document, not as an empty object."""
    answer = get(edge, path)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("name", ["nobody", "WEB", "web%2Fx", "%00", "a" * 500])
def test_a_workload_that_is_not_configured_is_404(edge: Edge, name: str) -> None:
    """With the advice where its name is to be found."""
    answer = get(edge, f"/api/v1/workloads/{name}")
    assert answer.status_code == 404
    assert len(told(answer)["detail"]) < 300


# ── deliveries ───────────────────────────────────────────────────────────────────────────────


def test_a_sender_sees_its_delivery_without_the_admin_token(edge: Edge) -> None:
    """The id is unguessable: who knows it sent the delivery or was told by who did."""
    sent = told(edge.http.post("/hooks/ci", **deploy_event({"type": "deploy", "workload": "web"})))
    shown = told(edge.http.get(sent["intents"][0]["status_url"]))
    (intent,) = shown["intents"]
    assert (intent["workload"], intent["status"], intent["final"]) == ("web", "queued", False)
    edge.settle(Status.FAILURE, detail="never became healthy", code="unhealthy")
    (intent,) = told(edge.http.get(sent["intents"][0]["status_url"]))["intents"]
    assert (intent["status"], intent["final"], intent["code"]) == ("failure", True, "unhealthy")


def test_a_delivery_shows_nothing_but_itself(edge: Edge) -> None:
    """A CI job of one workload must not learn of the others, nor of who else asked."""
    edge.deployed("web", D1)
    edge.http.post(
        f"/hooks/hub/{URL_TOKEN}",
        json={"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}},
    )
    act(edge, "deploy", {"reference": f"ghcr.io/acme/web@{D2}", "actor": "canary-operator"})
    sent = edge.http.post("/hooks/ci", **deploy_event({"type": "deploy", "workload": "web"}))
    shown = edge.http.get(f"/api/v1/deliveries/{told(sent)['delivery']}")
    assert set(told(shown)) == {"delivery", "ignored", "intents"}
    assert [intent["workload"] for intent in told(shown)["intents"]] == ["web"]
    for foreign in ("site", "canary-operator", D1, D2, "ci-1", "msg_1"):
        assert foreign not in shown.get_data(as_text=True)


def test_delivery_ids_are_unguessable(edge: Edge) -> None:
    """128 random bits: they are all that protects a delivery's state."""
    ids = {
        told(
            edge.http.post(
                "/hooks/ci",
                **deploy_event({"type": "deploy", "workload": "web"}, identity=f"m{number}"),
            )
        )["delivery"]
        for number in range(20)
    }
    assert len(ids) == 20
    assert all(len(identity) >= 22 for identity in ids)


# ── acting ───────────────────────────────────────────────────────────────────────────────────


def test_deploy_takes_an_exact_reference(edge: Edge) -> None:
    """What the operator names is what is wanted: explicit, with their trust and reason."""
    reference = f"ghcr.io/acme/web:1.4.2@{D1}"
    answer = act(edge, "deploy", {"reference": reference, "reason": "fix", "actor": "ann"})
    assert answer.status_code == 202
    assert told(answer)["intent"]["reference"] == reference
    (intent,) = edge.journal.intents.waiting("web")
    assert intent.wish.action is Action.DEPLOY
    assert intent.wish.origin.trust is Trust.OPERATOR
    assert (intent.wish.origin.reason, intent.wish.origin.actor) == ("fix", "ann")
    assert len(edge.woken) == 1


@pytest.mark.parametrize("action", ["check", "deploy"])
def test_check_and_deploy_without_reference_look_at_what_is_tracked(
    edge: Edge, action: str
) -> None:
    """The same as a push would, asked for by an operator."""
    intent = told(act(edge, action))["intent"]
    assert (intent["action"], intent["reference"]) == ("check", None)
    assert told(get(edge, f"/api/v1/intents/{intent['id']}")) == intent


@pytest.mark.parametrize("action", ["check", "deploy"])
def test_a_workload_that_follows_nothing_needs_a_reference(edge: Edge, action: str) -> None:
    """There is nothing to look at."""
    answer = act(edge, action, workload="pinned")
    assert (answer.status_code, told(answer)["code"]) == (422, "out-of-scope")


@pytest.mark.parametrize(
    "reference",
    ["", "ghcr.io/acme/other:1", "ghcr.io/acme/web", "ghcr.io/acme/web@sha256:1", "a b", "../x"],
)
def test_a_reference_that_may_not_run_is_422(edge: Edge, reference: str) -> None:
    """The workload's repository binds operators too; nothing is queued."""
    answer = act(edge, "deploy", {"reference": reference})
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert edge.journal.intents.pending() == 0


@pytest.mark.parametrize(
    "body", [{"refrence": "x"}, {"reference": 5}, ["reference"], "reference", {"digest": "x"}]
)
def test_a_body_that_is_not_understood_is_400(edge: Edge, body: object) -> None:
    """A misspelt `reference` must not deploy what is tracked."""
    answer = act(edge, "deploy", body)
    assert answer.status_code == 400
    assert edge.journal.intents.pending() == 0


def test_a_body_that_is_too_long_is_413(edge: Edge) -> None:
    """The API has a limit of its own."""
    assert act(edge, "deploy", {"reason": "x" * 70_000}).status_code == 413


def test_a_rollback_needs_a_previous_release(edge: Edge) -> None:
    """409: the request is fine, the state is not."""
    edge.deployed("web", D1)
    answer = act(edge, "rollback")
    assert (answer.status_code, told(answer)["code"]) == (409, "no-previous-release")
    edge.deployed("web", D2)
    answer = act(edge, "rollback")
    assert (answer.status_code, told(answer)["intent"]["action"]) == (202, "rollback")


def test_pause_holds_and_resume_wakes(edge: Edge) -> None:
    """What came in meanwhile is dealt with at once, not at the next poll."""
    assert told(act(edge, "pause"))["state"] == "paused"
    edge.http.post("/hooks/ci", **deploy_event({"type": "deploy", "workload": "web"}))
    assert edge.journal.intents.claim(edge.clock.now()) is None
    edge.woken.clear()
    assert told(act(edge, "resume"))["paused"] is False
    assert len(edge.woken) == 1
    assert edge.journal.intents.claim(edge.clock.now()) is not None


def test_quarantine_is_released_by_digest_or_whole(edge: Edge) -> None:
    """The operator says so: one digest, or all of a workload."""
    for digest in (D1, D2):
        edge.journal.workloads.quarantine("web", digest, "it failed", edge.clock.now())
    assert told(get(edge, "/api/v1/workloads/web"))["quarantined"] == [D1, D2]
    assert told(act(edge, "release-quarantine", {"digest": D1})) == {"released": 1}
    assert told(act(edge, "release-quarantine")) == {"released": 1}
    assert told(act(edge, "release-quarantine")) == {"released": 0}


@pytest.mark.parametrize("digest", ["", "sha256:1", "x"])
def test_releasing_what_is_no_digest_is_422(edge: Edge, digest: str) -> None:
    """An empty one must not mean all."""
    assert act(edge, "release-quarantine", {"digest": digest}).status_code == 422


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_are_posted(edge: Edge, action: str) -> None:
    """A link or an image tag in a page must not act."""
    assert get(edge, f"/api/v1/workloads/web/{action}").status_code == 405


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_on_an_unknown_workload_is_404(edge: Edge, action: str) -> None:
    """Before anything else is looked at."""
    answer = act(edge, action, workload="nobody")
    assert (answer.status_code, told(answer)["code"]) == (404, "unknown-workload")


@pytest.mark.parametrize("path", [*READS, "/healthz", "/hooks/hub", "/nowhere"])
def test_no_answer_is_kept_or_guessed_at(edge: Edge, path: str) -> None:
    """Each is about this moment; a proxy that kept one would show an old state."""
    answer = get(edge, path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
