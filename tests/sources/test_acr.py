import json
from dataclasses import replace
from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    MISSING,
    NOW,
    SECRET,
    changed,
    pushed,
    recorded,
    secrets,
    source,
    with_body,
    with_headers,
)
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
)
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import read, receive

SOURCE = source("acr", secrets=secrets(SECRET))
PUSH = recorded("acr")
WEBHOOK = json.loads(PUSH.body)
GRID = {
    "id": "831e1650-001e-001b-66ab-eeb76e069631",
    "topic": "/subscriptions/1/resourceGroups/a/providers/Microsoft.ContainerRegistry/registries/b",
    "subject": "acme/web:stable",
    "eventType": "Microsoft.ContainerRegistry.ImagePushed",
    "data": WEBHOOK,
}
IMAGE = pushed("acme.azurecr.io/acme/web:stable", D1)


def test_a_push_names_an_image_and_keeps_the_senders_id() -> None:
    """ACR never repeats a delivery, but a proxy may."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (IMAGE,)
    assert (event.trust, event.delivery_id) == (Trust.TOKEN, WEBHOOK["id"])
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, Authorization=None), SOURCE, NOW)


@pytest.mark.parametrize("shape", ["list", "object", "cloudevents"])
def test_event_grid_wraps_the_same_push(shape: str) -> None:
    """Its own schema comes in a list, CloudEvents alone or in a list."""
    cloud = {k: v for k, v in GRID.items() if k != "eventType"} | {"type": GRID["eventType"]}
    body = {"list": [GRID], "object": GRID, "cloudevents": cloud}[shape]
    statement = read(with_body(PUSH, body), SOURCE)
    assert statement.mentions == (IMAGE,)
    assert statement.delivery_id == GRID["id"]


def test_every_event_of_a_batch_is_read() -> None:
    """Event Grid can be set to send several at once."""
    target = {**WEBHOOK["target"], "tag": "v2"}
    other = {**GRID, "id": "2", "subject": "acme/web:v2", "data": {**WEBHOOK, "target": target}}
    deleted = {**GRID, "id": "3", "eventType": "Microsoft.ContainerRegistry.ImageDeleted"}
    statement = read(with_body(PUSH, [deleted, GRID, other]), SOURCE)
    assert statement.mentions == (IMAGE, pushed("acme.azurecr.io/acme/web:v2", D1))


@pytest.mark.parametrize(
    "changes",
    [
        [("action", "delete"), ("target.tag", MISSING)],
        [("action", "chart_push"), ("request", MISSING)],
        [("action", "quarantine")],
        [("action", "ping"), ("target", MISSING), ("request", MISSING)],
        [("action", MISSING)],
        [("target.mediaType", "application/vnd.acr.helm.chart")],
        [("target.tag", MISSING)],
        [("target.tag", ""), ("target.digest", "sha256:xxxx")],
    ],
)
def test_everything_else_is_ignored(changes: list[tuple[str, Any]]) -> None:
    """Charts, deletions, pings and the children of an index are no images to run."""
    statement = read(changed(PUSH, *changes), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


def test_validation_is_for_a_person_to_confirm() -> None:
    """No URL of a body is ever fetched; it is shown if it is Event Grid's own."""
    validation = {
        "id": "2d1781af",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {
            "validationCode": "512d38b6",
            "validationUrl": "https://rp-eastus2.eventgrid.azure.net:553/validate?id=512d38b6",
        },
    }
    ignored = read(with_body(PUSH, [validation]), SOURCE).ignored or ""
    assert "https://rp-eastus2.eventgrid.azure.net:553/validate?id=512d38b6" in ignored
    for url in ("https://evil.example/validate", "https://eventgrid.azure.net.evil.example/x", 7):
        forged = {**validation, "data": {"validationUrl": str(url)}}
        assert "evil" not in (read(with_body(PUSH, [forged]), SOURCE).ignored or "")


@pytest.mark.parametrize(
    "change",
    [
        ("target.digest", "sha256:xxxx"),
        ("target.repository", MISSING),
        ("target.tag", "a/b"),
        ("request.host", "https://acme.azurecr.io"),
        ("request", MISSING),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """Digest, repository, tag and host are all of the strict grammar or nothing is done."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), SOURCE)


@pytest.mark.parametrize("body", [[1], "text", [[]], [{}] * 300])
def test_a_body_of_another_shape_is_refused(body: Any) -> None:
    """One object or a short list of them."""
    with pytest.raises(MalformedEventError):
        read(with_body(PUSH, body), SOURCE)


def test_a_configured_registry_fills_in_and_pins() -> None:
    """Some Event Grid events have no host; another host than the configured one is refused."""
    pinned = replace(SOURCE, registry="acme.azurecr.io")
    assert read(changed(PUSH, ("request", MISSING)), pinned).mentions == (IMAGE,)
    with pytest.raises(ContradictionError, match=r"request\.host"):
        read(changed(PUSH, ("request.host", "other.azurecr.io")), pinned)


def test_a_subject_that_names_something_else_is_refused() -> None:
    """Event Grid says repository and tag twice."""
    with pytest.raises(ContradictionError, match="subject"):
        read(with_body(PUSH, [{**GRID, "subject": "acme/web:v9"}]), SOURCE)
