"""The sentences that a delivery's sender reads: one for each code, and nothing that was printed."""

import re

import pytest

from tests.builders import D1, Edge, admin, deploy_event, told
from tests.docs.test_documentation import codes_of
from webhook_launcher.core import errors
from webhook_launcher.core.model import Status
from webhook_launcher.web.outcomes import SENTENCES

CANARY = "canary: Authorization: Bearer 7f3a"
# These refuse a request, a start or a command; none settles an intent.
NEVER = (
    errors.ConfigurationError,
    errors.EventError,
    errors.JournalError,
    errors.ReloadUnfinishedError,
)
# The codes of intents that are no errors: docs/operations.md lists them.
OTHERS = {
    "unchanged",
    "not-deployed",
    "superseded",
    "interrupted",
    "degraded",
    "fault",
    "unknown-workload",
    "set-aside",
    "not-judged",
}


def settling() -> set[str]:
    """The codes of all errors that can end or postpone an intent."""
    families = [
        family
        for family in errors.LauncherError.__subclasses__()
        if family.__module__ == errors.__name__ and family not in NEVER
    ]
    codes = {errors.LauncherError.code}.union(*map(codes_of, families))
    return codes - {kind.code for kind in NEVER}


def test_every_code_of_an_intent_has_a_sentence() -> None:
    """Without one, the sender of a delivery would only learn that it failed."""
    assert set(SENTENCES) >= settling() | OTHERS


def test_no_sentence_is_of_a_code_that_does_not_exist() -> None:
    """A code that was renamed would leave its sentence behind, and have none itself."""
    assert set(SENTENCES) <= settling() | OTHERS


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_a_sentence_is_one(code: str) -> None:
    """It stands alone in a CI job's log."""
    assert re.fullmatch(r"[A-Z][^`{}]{15,180}\.", SENTENCES[code])


def ask(edge: Edge) -> str:
    """A deploy event; the path of its state."""
    sent = told(edge.http.post("/hooks/ci", **deploy_event({"type": "deploy", "workload": "web"})))
    return str(sent["intents"][0]["status_url"])


@pytest.mark.parametrize("code", [*sorted(SENTENCES), "a-code-to-come", None])
@pytest.mark.parametrize("status", [status for status in Status if status.final])
def test_the_detail_is_the_operators_only(edge: Edge, code: str | None, status: Status) -> None:
    """Whatever code it has: a detail can quote probes, Compose, logs and programs."""
    path = ask(edge)
    more = {"code": code} if code else {}
    edge.settle(status, detail=CANARY, **more)
    public = edge.http.get(path)
    [intent] = told(public)["intents"]
    assert CANARY not in public.get_data(as_text=True)
    assert intent["detail"]
    assert (intent["workload"], intent["status"], intent["code"]) == ("web", status.value, code)
    if status in (Status.FAILURE, Status.ERROR):
        assert "Details: `webhook-launcher status web` on the launcher's host." in intent["detail"]
    wrong = {"Authorization": "Bearer wrong"}
    assert CANARY not in edge.http.get(path, headers=wrong).get_data(as_text=True)
    [whole] = told(edge.http.get(path, headers=admin()))["intents"]
    assert whole["detail"] == CANARY
    assert {**whole, "detail": None} == {**intent, "detail": None}


def test_what_is_postponed_has_no_detail_either(edge: Edge) -> None:
    """It waits with the last error, which says the same as a final one."""
    path = ask(edge)
    [waits] = told(edge.http.get(path))["intents"]
    assert waits["detail"] is None
    claimed = edge.journal.intents.claim(edge.clock.now())
    assert claimed is not None
    edge.journal.intents.postpone(
        claimed, edge.clock.now(), code="engine-unavailable", detail=CANARY
    )
    [waits] = told(edge.http.get(path))["intents"]
    assert waits["detail"].startswith(SENTENCES["engine-unavailable"])
    assert not waits["final"]


def test_the_image_of_the_attempt_is_named(edge: Edge) -> None:
    """What was resolved is what CI wants to know; the history has the rest."""
    path = ask(edge)
    attempt = edge.deployed("web", D1)
    edge.settle(Status.ERROR, code="not-judged", detail=CANARY, deployment=attempt.id)
    [intent] = told(edge.http.get(path))["intents"]
    assert (intent["deployment"], intent["image"]) == (attempt.id, f"ghcr.io/acme/web@{D1}")
    assert intent["detail"] == (
        "The release did not become healthy here, but the host or another actor may be the cause; "
        "the launcher tries again by itself. "
        "Details: `webhook-launcher history web` on the launcher's host."
    )
