from dataclasses import replace

import pytest

from tests.sources.senders import (
    D1,
    NOW,
    SECRET,
    pushed,
    recorded,
    secrets,
    source,
    with_body,
    with_headers,
)
from webhook_launcher.core.errors import AuthenticationError, MalformedEventError
from webhook_launcher.core.model import Trust
from webhook_launcher.core.signatures import (
    generate_secret,
    parse_signing_key,
    parse_verification_key,
    sign,
)
from webhook_launcher.core.source import Delivery
from webhook_launcher.sources import KINDS, read, receive

SIGNING_TOKEN = generate_secret(lambda size: b"\x05" * size)
SOURCE = source("gitlab", secrets=secrets(SECRET))
SIGNED = source("gitlab", keys=(parse_verification_key("2026", SIGNING_TOKEN),))
PUSH = recorded("gitlab")
JOB = with_headers(
    with_body(PUSH, {"object_kind": "build", "tag": False, "build_status": "success"}),
    Idempotency_Key="c5e1f0a2-0000-4000-8000-000000000001",
)


def signed(delivery: Delivery) -> Delivery:
    """With the headers of GitLab's signing token."""
    seconds = int(NOW.timestamp())
    value = sign("msg-1", seconds, delivery.body, [parse_signing_key(SIGNING_TOKEN)])
    return with_headers(
        delivery, webhook_id="msg-1", webhook_timestamp=str(seconds), webhook_signature=value
    )


def test_a_registry_notification_names_an_image() -> None:
    """The registry's own notifications are the only event about image pushes GitLab has."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (pushed("registry.gitlab.example.com/acme/web:stable", D1),)
    assert event.trust is Trust.TOKEN


def test_the_static_header_may_be_another() -> None:
    """The registry sends whatever header it is configured with."""
    own = replace(SOURCE, header="Authorization")
    with pytest.raises(AuthenticationError):
        receive(PUSH, own, NOW)
    assert receive(with_headers(PUSH, Authorization="Bearer a-shared-secret"), own, NOW).mentions


def test_the_signing_token_is_standard_webhooks() -> None:
    """With it a delivery is signed and dated, which the static token is not."""
    event = receive(signed(JOB), SIGNED, NOW)
    assert (event.trust, event.secret_id, event.signed_at) == (Trust.SIGNED, "2026", NOW)
    with pytest.raises(AuthenticationError):
        receive(with_body(signed(JOB), {"object_kind": "push"}), SIGNED, NOW)


def test_with_keys_alone_an_unsigned_delivery_is_refused() -> None:
    """Leaving the signature out must not lead to a weaker check."""
    with pytest.raises(AuthenticationError):
        receive(JOB, SIGNED, NOW)


def test_with_both_a_bad_signature_is_not_saved_by_the_static_token() -> None:
    """What claims to be signed is judged as such."""
    both = replace(SOURCE, keys=SIGNED.keys)
    assert receive(signed(JOB), both, NOW).trust is Trust.SIGNED
    assert receive(PUSH, both, NOW).trust is Trust.TOKEN
    with pytest.raises(AuthenticationError):
        receive(with_headers(signed(PUSH), webhook_signature="v1,AAAA"), both, NOW)


@pytest.mark.parametrize("kind", ["build", "deployment", "release", "tag_push", "pipeline"])
def test_project_events_are_ignored(kind: str) -> None:
    """They push no image; four errors in a row would disable the hook."""
    statement = read(with_body(JOB, {"object_kind": kind}), SOURCE)
    assert statement.mentions == ()
    assert kind in (statement.ignored or "")
    assert statement.delivery_id == JOB.headers["idempotency-key"]
    assert KINDS["gitlab"].punishes_errors


def test_a_body_of_neither_shape_is_refused() -> None:
    """It is not from GitLab."""
    with pytest.raises(MalformedEventError):
        read(with_body(PUSH, {"hello": 1}), SOURCE)
