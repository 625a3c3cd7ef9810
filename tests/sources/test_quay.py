from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.sources.senders import MISSING, NOW, TOKEN, changed, pushed, recorded, secrets, source
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
)
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import read, receive

SOURCE = source("quay", tokens=secrets(TOKEN))
PUSH = recorded("quay")


def test_every_updated_tag_of_a_push_is_an_image() -> None:
    """A push may set several; taking the first loses the others."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (
        pushed("quay.example.com/acme/web:stable"),
        pushed("quay.example.com/acme/web:1.4.2"),
    )
    assert event.trust is Trust.TOKEN


def test_without_the_token_nobody_is_let_in() -> None:
    """Quay sends no credentials of its own."""
    with pytest.raises(AuthenticationError):
        receive(replace(PUSH, token="guessed"), SOURCE, NOW)


def test_the_same_body_later_is_another_push() -> None:
    """Two pushes of one tag look alike; taking the second for a repetition would lose it."""
    first, second = (receive(PUSH, SOURCE, NOW + timedelta(seconds=s)) for s in (0, 60))
    assert first.delivery_id != second.delivery_id
    assert first.mentions == second.mentions


@pytest.mark.parametrize(
    "changes",
    [
        [("updated_tags", MISSING), ("docker_tags", ["stable"]), ("build_id", "1")],
        [("updated_tags", None)],
        [("updated_tags", [])],
    ],
)
def test_other_notifications_are_ignored(changes: list[tuple[str, Any]]) -> None:
    """Builds and scans share the URL; a finished build would deploy twice."""
    statement = read(changed(PUSH, *changes), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


@pytest.mark.parametrize(
    "change",
    [
        ("docker_url", MISSING),
        ("docker_url", ""),
        ("docker_url", "quay.example.com"),
        ("docker_url", "quay.example.com/"),
        ("docker_url", "quay.example.com/acme/web:v9"),
        ("docker_url", f"quay.example.com/acme/web@sha256:{'1' * 64}"),
        ("docker_url", "javascript://quay.example.com/acme/web"),
        ("updated_tags", "stable"),
        ("updated_tags", [""]),
        ("updated_tags", [1]),
        ("updated_tags", ["a b"]),
        ("updated_tags", ["t"] * 300),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """Above all a missing `docker_url`: the registry is not guessed."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), replace(SOURCE, registry="quay.example.com"))


def test_a_scheme_before_the_host_is_dropped() -> None:
    """Some versions write one."""
    with_scheme = changed(PUSH, ("docker_url", "https://quay.example.com/acme/web"))
    assert read(with_scheme, SOURCE).mentions == read(PUSH, SOURCE).mentions


def test_docker_url_beats_name_and_must_fit_the_repository() -> None:
    """`name` is wrong in Quay's own documentation; `repository` is not."""
    assert read(changed(PUSH, ("name", "repository")), SOURCE).mentions
    with pytest.raises(ContradictionError, match=r"docker_url.*repository"):
        read(changed(PUSH, ("repository", "acme/api")), SOURCE)


def test_a_configured_registry_is_a_pin() -> None:
    """Who holds the URL must not be able to speak for another registry."""
    assert read(PUSH, replace(SOURCE, registry="quay.example.com")).mentions
    with pytest.raises(ContradictionError, match="docker_url"):
        read(PUSH, replace(SOURCE, registry="quay.io"))
