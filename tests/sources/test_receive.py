"""What holds for every kind: the table, the URL's token, the ids of deliveries."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.sources.senders import (
    NOW,
    SECRET,
    TOKEN,
    changed,
    mac,
    pushed,
    recorded,
    secrets,
    source,
    with_headers,
)
from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.model import Event, Trust
from webhook_launcher.core.source import Kind
from webhook_launcher.sources import KINDS, read, receive

PUSH = recorded("gitea")
SIGNED = with_headers(PUSH, X_Gitea_Signature=mac(PUSH.body))
SOURCE = source("gitea", secrets=secrets(SECRET))


def test_the_table_is_read_only() -> None:
    """A kind that is replaced at run time would be a way around authentication."""
    with pytest.raises(TypeError):
        KINDS["github"] = KINDS["dockerhub"]  # type: ignore[index]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_is_under_its_own_name_and_can_be_configured(kind: Kind) -> None:
    """What the table promises to the configuration."""
    assert KINDS[kind.name] is kind
    assert kind.credentials <= {"secrets", "tokens", "keys"}
    assert kind.required_options <= kind.options.keys()
    # Whoever needs none of the three proves itself by something that is required instead.
    assert kind.credentials or kind.required_options


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_missing_url_token_is_refused_whatever_else_is_right(kind: str) -> None:
    """A token that is configured is a second layer for every kind, never an alternative."""
    delivery = replace(recorded(kind), token=None)
    with pytest.raises(AuthenticationError, match="token"):
        receive(delivery, source(kind, secrets=secrets(SECRET), tokens=secrets(TOKEN)), NOW)


def test_a_token_that_nobody_asked_for_does_not_matter() -> None:
    """The signature proves the sender; a longer URL is no reason to lose a push."""
    event = receive(replace(SIGNED, token="left-over-from-before"), SOURCE, NOW)
    assert event.mentions == (pushed("git.example.com:3000/acme/web:stable"),)


def test_an_event_says_how_its_sender_proved_itself() -> None:
    """Trust, secret and ids go into every record of a deployment."""
    assert receive(SIGNED, replace(SOURCE, name="forge"), NOW) == Event(
        source="forge",
        trust=Trust.SIGNED,
        delivery_id=PUSH.headers["x-gitea-delivery"],
        mentions=read(PUSH, SOURCE).mentions,
        secret_id="0",
        actor="alice",
    )


def test_a_delivery_without_id_gets_one_of_its_own() -> None:
    """Where neither id nor time tells two pushes apart, the moment does."""
    quay, given = recorded("quay"), source("quay", tokens=secrets(TOKEN))
    moments = [NOW, NOW + timedelta(microseconds=1), NOW + timedelta(days=1)]
    assert len({receive(quay, given, moment).delivery_id for moment in moments}) == 3


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
def test_tags_of_signatures_and_referrers_are_left_out(suffix: str) -> None:
    """Whatever kind reports them: they are pushed beside an image and are none."""
    tag = f"sha256-{'a' * 64}{suffix}"
    both = changed(recorded("quay"), ("updated_tags", ["stable", tag]))
    given = source("quay")
    assert read(both, given).mentions == (pushed("quay.example.com/acme/web:stable"),)
    alone = read(changed(both, ("updated_tags", [tag])), given)
    assert alone.mentions == ()
    assert "signature" in (alone.ignored or "")
