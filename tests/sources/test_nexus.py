from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    MISSING,
    NOW,
    SECRET,
    changed,
    mac,
    pushed,
    recorded,
    secrets,
    source,
    with_headers,
)
from webhook_launcher.core.errors import AuthenticationError, MalformedEventError
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import read, receive

SOURCE = source("nexus", secrets=secrets(SECRET), registry="nexus.example.com:8443")
PUSH = recorded("nexus")


def test_a_signed_component_event_names_an_image() -> None:
    """SHA-1 is all Nexus has; as an HMAC key holder's proof it still stands."""
    signed = with_headers(PUSH, X_Nexus_Webhook_Signature=mac(PUSH.body, algorithm="sha1"))
    event = receive(signed, SOURCE, NOW)
    assert event.mentions == (pushed("nexus.example.com:8443/acme/web:stable"),)
    assert event.trust is Trust.SIGNED
    assert event.delivery_id == PUSH.headers["x-nexus-webhook-delivery"]


@pytest.mark.parametrize("value", [None, "BOGUS", mac(PUSH.body), mac(PUSH.body, b"x", "sha1")])
def test_another_signature_is_refused(value: str | None) -> None:
    """The algorithm is Nexus' own, not the sender's choice."""
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, X_Nexus_Webhook_Signature=value), SOURCE, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        [("component.format", "maven2")],
        [("component.format", "helm")],
        [("action", "DELETED")],
        [("component.version", MISSING)],
        [("component.version", D1)],
        [("component", MISSING), ("asset", {"format": "docker"})],
    ],
)
def test_everything_else_is_ignored(changes: list[tuple[str, Any]]) -> None:
    """One webhook serves every format of a repository manager."""
    statement = read(changed(PUSH, *changes), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


def test_asset_webhooks_are_ignored() -> None:
    """They fire for each layer."""
    assert read(with_headers(PUSH, X_Nexus_Webhook_Id="rm:repository:asset"), SOURCE).ignored


@pytest.mark.parametrize(
    "change",
    [("component.name", MISSING), ("component.name", "Acme"), ("component.version", "a b")],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """Strict grammar for both parts."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), SOURCE)
