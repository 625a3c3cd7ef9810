from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

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
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
)
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import read, receive

SOURCE = source("gitea", secrets=secrets(SECRET))
PUSH = recorded("gitea")
IMAGE = pushed("git.example.com:3000/acme/web:stable")


@pytest.mark.parametrize("name", ["X_Gitea_Signature", "X_Forgejo_Signature"])
def test_a_signed_package_event_names_an_image(name: str) -> None:
    """Gitea and Forgejo sign alike; the registry knows owner and name in lower case."""
    event = receive(with_headers(PUSH, **{name: mac(PUSH.body)}), SOURCE, NOW)
    assert event.mentions == (IMAGE,)
    assert (event.trust, event.actor) == (Trust.SIGNED, "alice")
    assert event.delivery_id == PUSH.headers["x-gitea-delivery"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_Gitea_Signature": ""},
        {"X_Gitea_Signature": mac(PUSH.body, b"wrong")},
        {"X_Gitea_Signature": mac(PUSH.body, b"")},
        {"X_Hub_Signature_256": f"sha256={mac(PUSH.body)}"},
    ],
)
def test_without_giteas_own_signature_nobody_is_let_in(headers: dict[str, str]) -> None:
    """With an empty secret the headers hold empty digests; GitHub's header is not Gitea's."""
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, **headers), SOURCE, NOW)


def test_githubs_headers_do_not_matter() -> None:
    """Gitea sends them too, of other events as well: the source's kind is what counts."""
    for event in ("push", "ping", None):
        assert read(with_headers(PUSH, X_GitHub_Event=event), SOURCE).mentions == (IMAGE,)


def test_the_form_body_is_the_same_event() -> None:
    """Both formats can be chosen in the hook's settings."""
    form = with_headers(
        replace(PUSH, body=urlencode({"payload": PUSH.body.decode()}).encode()),
        Content_Type="application/x-www-form-urlencoded",
    )
    assert read(form, SOURCE).mentions == (IMAGE,)


@pytest.mark.parametrize(
    "changes",
    [
        [("action", "deleted")],
        [("package.type", "npm")],
        [("package.version", D1), ("package.html_url", MISSING)],
        [("package.version", "")],
        [("package", MISSING)],
    ],
)
def test_everything_else_is_ignored(changes: list[tuple[str, Any]]) -> None:
    """`version` is the digest where a manifest has no tag."""
    statement = read(changed(PUSH, *changes), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


def test_other_events_are_ignored() -> None:
    """A hook can be set to all events."""
    assert read(with_headers(PUSH, X_Gitea_Event="push"), SOURCE).ignored


@pytest.mark.parametrize(
    "change",
    [
        ("package.owner", MISSING),
        ("package.name", ""),
        ("package.html_url", MISSING),
        ("package.html_url", "/relative"),
        ("package.version", "a b"),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """The host is in `html_url` alone."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), SOURCE)


@pytest.mark.parametrize("named", ["Acme/Web/v2", "Acme/Api/stable", "Evil/Web/stable"])
def test_a_url_that_names_something_else_is_refused(named: str) -> None:
    """`html_url` repeats owner, name and version."""
    owner, _, last = named.partition("/")
    url = f"https://git.example.com:3000/{owner}/-/packages/container/{last}"
    with pytest.raises(ContradictionError, match="html_url"):
        read(changed(PUSH, ("package.html_url", url)), SOURCE)


def test_an_owner_that_has_two_names_is_refused() -> None:
    """Old versions call it `username`, later ones both."""
    with pytest.raises(ContradictionError, match=r"owner\.login and package\.owner\.username"):
        read(changed(PUSH, ("package.owner.username", "Evil")), SOURCE)


def test_gitea_below_a_path_of_a_shared_host() -> None:
    """ROOT_URL may have one; the registry is at the root of the host all the same."""
    url = "https://git.example.com:3000/gitea/Acme/-/packages/container/Web/stable"
    assert read(changed(PUSH, ("package.html_url", url)), SOURCE).mentions == (IMAGE,)


def test_a_name_of_several_parts_is_encoded_in_the_url() -> None:
    """Gitea allows slashes in names."""
    url = "https://git.example.com:3000/Acme/-/packages/container/Web%2FApi/stable"
    nested = changed(PUSH, ("package.name", "Web/Api"), ("package.html_url", url))
    assert read(nested, SOURCE).mentions == (pushed("git.example.com:3000/acme/web/api:stable"),)


def test_a_configured_registry_fills_in_and_pins() -> None:
    """Another host than the configured one is refused, and a missing URL does not matter then."""
    pinned = replace(SOURCE, registry="git.example.com:3000")
    assert read(changed(PUSH, ("package.html_url", MISSING)), pinned).mentions == (IMAGE,)
    with pytest.raises(ContradictionError, match="html_url"):
        read(PUSH, replace(SOURCE, registry="git.example.com"))
