from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    MISSING,
    NOW,
    changed,
    recorded,
    source,
    with_body,
    with_headers,
)
from webhook_launcher.core.errors import (
    AuthenticationError,
    EventError,
    MalformedEventError,
    OutOfScopeError,
)
from webhook_launcher.core.model import Mention, Trust
from webhook_launcher.core.reference import parse_reference
from webhook_launcher.core.signatures import (
    generate_key_pair,
    parse_signing_key,
    parse_verification_key,
    sign,
)
from webhook_launcher.core.source import Delivery
from webhook_launcher.sources import read, receive

PRIVATE, PUBLIC = generate_key_pair(lambda size: b"\x07" * size)
SOURCE = source("deploy", keys=(parse_verification_key("ci-2026", PUBLIC),))
DEPLOY = recorded("deploy")


def signed(delivery: Delivery) -> Delivery:
    """As `webhook-launcher send` does it."""
    identity, seconds = delivery.headers["webhook-id"], int(delivery.headers["webhook-timestamp"])
    value = sign(identity, seconds, delivery.body, [parse_signing_key(PRIVATE)])
    return with_headers(delivery, webhook_signature=value)


def test_a_signed_event_names_a_workload_and_what_it_should_run() -> None:
    """The main path; scope and repository are checked by selection, not here."""
    event = receive(signed(DEPLOY), SOURCE, NOW)
    reference = parse_reference(f"ghcr.io/acme/web:1.4.2@{D1}")
    assert event.mentions == (Mention(reference, "web"),)
    assert (event.trust, event.secret_id) == (Trust.SIGNED, "ci-2026")
    assert (event.reason, event.actor) == ("run 8812", "octocat")


def test_the_signed_id_and_time_are_kept() -> None:
    """They are the replay defence: the id is remembered, an older time never undoes a newer."""
    event = receive(signed(DEPLOY), SOURCE, NOW + timedelta(minutes=2))
    assert event.delivery_id == DEPLOY.headers["webhook-id"]
    assert event.signed_at == NOW


def test_a_capture_is_worthless_after_the_tolerance() -> None:
    """The source's own tolerance counts."""
    captured, strict = signed(DEPLOY), replace(SOURCE, tolerance=timedelta(seconds=30))
    receive(captured, strict, NOW + timedelta(seconds=30))
    with pytest.raises(AuthenticationError):
        receive(captured, strict, NOW + timedelta(seconds=31))


def test_an_unsigned_event_is_refused_before_it_is_read() -> None:
    """Whoever can post is not whoever may deploy."""
    for delivery in (DEPLOY, with_body(DEPLOY, b"nonsense")):
        with pytest.raises(AuthenticationError):
            receive(delivery, SOURCE, NOW)


def test_without_reference_the_tracked_one_is_meant() -> None:
    """The shortest event there is: look at this workload now."""
    for change in (("reference", MISSING), ("reference", None), ("reference", "")):
        statement = read(changed(DEPLOY, change), SOURCE)
        assert statement.mentions == (Mention(None, "web"),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("type", MISSING), "type"),
        (("type", "rollback"), "type"),
        (("type", ["deploy"]), "type"),
        (("workload", MISSING), "workload"),
        (("workload", 7), "workload"),
        (("workload", "w" * 129), "workload"),
        (("workload", "web\x1b[31m"), "workload"),
        (("reference", {"tag": "x"}), "reference"),
        (("reason", "r" * 501), "reason"),
        (("reason", "two\nlines"), "reason"),
        (("actor", "a" * 201), "actor"),
        (("image", "ghcr.io/acme/web"), "image"),
        (("\x1b[31m", 1), "unknown field"),
    ],
)
def test_a_mistake_in_the_body_is_told_with_the_field(change: tuple[str, Any], said: str) -> None:
    """The sender is a script of the operator's own: a field that is ignored hides a mistake."""
    with pytest.raises(MalformedEventError, match=said) as caught:
        read(changed(DEPLOY, change), SOURCE)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "reference", ["web@sha256:short", "ghcr.io/acme/web:", "--privileged", "Web", "a" * 1024]
)
def test_a_reference_that_is_none_is_out_of_scope_with_the_grammar(reference: str) -> None:
    """Readable, and names what cannot be: 422 by the contract, and what to write instead."""
    with pytest.raises(OutOfScopeError, match="reference") as caught:
        read(changed(DEPLOY, ("reference", reference)), SOURCE)
    assert "sha256" in caught.value.advice()


@pytest.mark.parametrize("body", [b"", b"[]", b"{} {}", b'{"type": "deploy", "type": "deploy"}'])
def test_what_is_not_one_strict_object_is_malformed(body: bytes) -> None:
    """Two equal keys are two messages for two readers."""
    with pytest.raises(MalformedEventError):
        read(with_body(DEPLOY, body), SOURCE)


def test_every_error_is_an_event_error() -> None:
    """`web` turns this family into answers, and anything else into a 500."""
    assert issubclass(OutOfScopeError, EventError)
    assert issubclass(AuthenticationError, EventError)


class TestOverrides:
    ASKED = changed(DEPLOY, ("override", ["minimum_age"]))
    MAY = replace(SOURCE, keys=(replace(SOURCE.keys[0], overrides=frozenset({"minimum_age"})),))

    def test_a_key_that_may_override_does(self) -> None:
        """A fix need not wait for three days."""
        assert receive(signed(self.ASKED), self.MAY, NOW).overrides == {"minimum_age"}
        assert receive(signed(DEPLOY), self.MAY, NOW).overrides == frozenset()

    def test_a_key_that_may_not_is_told_so(self) -> None:
        """Who may deploy may not yet overrule the operator; nothing is deployed meanwhile."""
        with pytest.raises(OutOfScopeError, match="may not override minimum_age") as refused:
            receive(signed(self.ASKED), SOURCE, NOW)
        assert "beside the key" in refused.value.advice()

    def test_the_right_of_another_key_does_not_help(self) -> None:
        """It is the key that signed whose right counts."""
        other = parse_verification_key("other", generate_key_pair(lambda n: b"\x08" * n)[1])
        strong = replace(other, overrides=frozenset({"minimum_age"}))
        with pytest.raises(OutOfScopeError):
            receive(signed(self.ASKED), replace(SOURCE, keys=(*SOURCE.keys, strong)), NOW)

    @pytest.mark.parametrize("name", ["signed_by", "quarantine", "MINIMUM_AGE", "x" * 200])
    def test_nothing_else_can_be_overridden(self, name: str) -> None:
        """What an image is, no sender decides."""
        asked = changed(DEPLOY, ("override", ["minimum_age", name]))
        with pytest.raises(OutOfScopeError, match="is no policy that an event can override"):
            receive(signed(asked), self.MAY, NOW)

    @pytest.mark.parametrize("value", ["minimum_age", {"minimum_age": True}, [1], [None], [""]])
    def test_it_is_a_list_of_names(self, value: object) -> None:
        """Anything else is a mistake in somebody's script."""
        with pytest.raises(MalformedEventError, match="override"):
            receive(signed(changed(DEPLOY, ("override", value))), self.MAY, NOW)
