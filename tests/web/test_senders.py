"""Every kind over HTTP, with deliveries that its source lets in, on a real journal."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from tests.builders import Edge, edge_in, told
from tests.sources.authentic import CASES, Case
from tests.sources.senders import changed
from webhook_launcher.sources import KINDS

PUNISHING = [case for case in CASES if KINDS[case.kind].punishes_errors and case.source.keys == ()]
OTHERS = [case for case in CASES if case.kind in ("harbor", "acr", "ecr", "zot", "dockerhub")]


@pytest.fixture
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Edge]:
    """With the case's source under its kind's name."""
    case: Case = request.getfixturevalue("case")
    with edge_in(tmp_path, senders={case.kind: case.source}) as made:
        yield made


def post(edge: Edge, case: Case, body: bytes | None = None) -> TestResponse:
    """As the sender posts it."""
    delivery = case.delivery if body is None else replace(case.delivery, body=body)
    path = f"/hooks/{case.kind}" + (f"/{delivery.token}" if delivery.token else "")
    headers = {name: value for name, value in delivery.headers.items() if name != "content-length"}
    return edge.http.post(path, data=delivery.body, headers=headers)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_authentic_is_kept_and_a_repetition_recognised(case: Case, edge: Edge) -> None:
    """Whatever the workloads are: the sender is told that nothing need be sent again."""
    first = post(edge, case)
    # Those that name the workload, and those whose recording names an image that one runs.
    led = told(first).get("intents", [])
    assert first.status_code == (202 if led else 200)
    assert led or case.kind not in ("deploy", "github-oidc", "github")
    edge.clock.sleep(1)
    again = post(edge, case)
    assert again.status_code == 200
    assert told(again).get("duplicate", False) is (case.identity is not None)


@pytest.mark.parametrize("body", [b"{}", b'{"events": 5, "updated_tags": 5, "message": 5}', b"[1]"])
@pytest.mark.parametrize("case", PUNISHING, ids=lambda case: case.name)
def test_a_sender_that_punishes_errors_is_never_told_of_one(
    case: Case, edge: Edge, body: bytes
) -> None:
    """It would block its queue, disable the hook or send the same again for days."""
    answer = post(edge, case, body)
    assert answer.status_code == 200
    assert told(answer)["ignored"]


@pytest.mark.parametrize("body", [b"Hello", b"", b"\xff", b'{"a": 1, "a": 2}'])
@pytest.mark.parametrize("case", PUNISHING, ids=lambda case: case.name)
def test_only_pub_sub_posts_what_is_no_json(case: Case, edge: Edge, body: bytes) -> None:
    """There it is somebody's message; at a registry something between us and it is broken."""
    answer = post(edge, case, body)
    assert answer.status_code == (200 if case.kind == "artifact-registry" else 400)


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.name)
def test_others_are_told_what_is_wrong(case: Case, edge: Edge) -> None:
    """Where a 4xx does no harm it shows in the sender's own list of deliveries."""
    answer = post(edge, case, b"[[1]]")
    assert answer.status_code == 400
    assert told(answer)["code"] == "malformed-event"


@pytest.mark.parametrize("case", [c for c in CASES if c.name == "distribution by header"])
def test_an_unusable_entry_is_named_in_the_answer_and_the_log(
    case: Case, edge: Edge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its good neighbour is acted on; whoever looks for the other one finds why it was not."""
    monkeypatch.setattr(logging.getLogger("webhook_launcher"), "propagate", True)
    odd = changed(case.delivery, ("events.1", {"action": 5}))
    with caplog.at_level(logging.INFO, "webhook_launcher"):
        refused = told(post(edge, case, odd.body))["refused"]
        assert "refused" not in told(post(edge, case, case.delivery.body + b" "))
    assert refused == ["malformed-event: events[1].action is not a string"]
    lines = [vars(one) for one in caplog.records if one.getMessage() == "delivery"]
    assert [line["refused"] for line in lines] == [refused, None]
