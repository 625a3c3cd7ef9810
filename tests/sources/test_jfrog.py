from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    MISSING,
    NOW,
    SECRET,
    changed,
    mac,
    options,
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

SOURCE = source("jfrog", secrets=secrets(SECRET))
PUSH = recorded("jfrog")
IMAGE = pushed("acme.jfrog.example/docker-local/acme/web:stable", D1)


def test_the_plain_secret_proves_the_caller_and_the_mac_the_body() -> None:
    """One header, two meanings, by a checkbox in Artifactory; trust says which it was."""
    plain = receive(PUSH, SOURCE, NOW)
    signed = receive(with_headers(PUSH, X_JFrog_Event_Auth=mac(PUSH.body)), SOURCE, NOW)
    assert (plain.trust, signed.trust) == (Trust.TOKEN, Trust.SIGNED)
    assert plain.mentions == signed.mentions == (IMAGE,)


@pytest.mark.parametrize("value", [None, "", "a-shared", mac(PUSH.body, b"wrong"), mac(b"other")])
def test_anything_else_is_refused(value: str | None) -> None:
    """Neither the secret nor a MAC made with it."""
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, X_JFrog_Event_Auth=value), SOURCE, NOW)


def test_the_repository_is_key_and_path_without_tag_and_file() -> None:
    """`image_name` is only the end of it."""
    assert read(PUSH, SOURCE).mentions == (IMAGE,)
    whole = changed(PUSH, ("data.image_name", "acme/web"))
    assert read(whole, SOURCE).mentions == (IMAGE,)


def test_a_configured_registry_replaces_the_platforms_url() -> None:
    """`jpd_origin` is missing without a custom base URL, and need not be the registry's host."""
    own = replace(SOURCE, registry="docker.acme.example")
    expected = (pushed("docker.acme.example/docker-local/acme/web:stable", D1),)
    for delivery in (PUSH, changed(PUSH, ("jpd_origin", MISSING))):
        assert read(delivery, own).mentions == expected
    with pytest.raises(MalformedEventError, match="jpd_origin"):
        read(changed(PUSH, ("jpd_origin", MISSING)), SOURCE)


@pytest.mark.parametrize(
    "changes",
    [
        [("domain", "artifact"), ("event_type", "deployed")],
        [("event_type", "deleted")],
        [("event_type", "promoted")],
        [("data.image_type", "oci")],
        [("data.repo_key", "docker-remote-cache")],
        [("data.tag", MISSING)],
        [("data.tag", D1)],
        [("data.tag", f"sha256__{'1' * 64}"), ("data.path", f"a/sha256__{'1' * 64}/manifest.json")],
        [("domain", MISSING), ("event_type", MISSING), ("data", MISSING)],
    ],
)
def test_everything_else_is_ignored(changes: list[tuple[str, Any]]) -> None:
    """Charts, deletions, filled caches; an overwrite arrives as a deletion and a push."""
    statement = read(changed(PUSH, *changes), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


def test_promotions_count_where_they_are_asked_for() -> None:
    """Some copy images to a release repository instead of pushing there."""
    asked = source("jfrog", options=options("jfrog", promoted=True))
    assert read(changed(PUSH, ("event_type", "promoted")), asked).mentions == (IMAGE,)
    with pytest.raises(ValueError, match="true or false"):
        options("jfrog", promoted="yes")


@pytest.mark.parametrize(
    "change",
    [
        ("data.sha256", "sample_checksum"),
        ("data.sha256", D1),
        ("data.path", "web/stable"),
        ("data.path", "manifest.json"),
        ("data.path", MISSING),
        ("data.repo_key", MISSING),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """Artifactory's test button sends placeholders."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change, ("data.tag", "stable")), SOURCE)


@pytest.mark.parametrize(
    ("field", "value"),
    [("data.tag", "v2"), ("data.image_name", "api"), ("data.image_name", "eb")],
)
def test_a_path_that_names_something_else_is_refused(field: str, value: str) -> None:
    """Tag and name are said twice."""
    with pytest.raises(ContradictionError, match=r"data\.path"):
        read(changed(PUSH, (field, value)), SOURCE)


def test_the_files_name_says_nothing_about_the_image() -> None:
    """`manifest.json` or `list.manifest.json`: neither is a reason to lose a push."""
    assert read(changed(PUSH, ("data.name", "list.manifest.json")), SOURCE).mentions


def test_the_same_body_later_is_another_push() -> None:
    """There is no id and no time: going back to an earlier image would look like a repetition."""
    ids = {receive(PUSH, SOURCE, NOW + timedelta(minutes=m)).delivery_id for m in range(3)}
    assert len(ids) == 3
