import json
from dataclasses import replace
from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    D2,
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

SOURCE = source("harbor", secrets=secrets(SECRET))
PUSH = recorded("harbor")
RESOURCE = json.loads(PUSH.body)["event_data"]["resources"][0]
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "4b2f89a6-548d-4c12-9993-a1f5790b97d2",
    "source": "/projects/1/webhook/policies/3",
    "type": "harbor.artifact.pushed",
    "operator": "alice",
    "data": json.loads(PUSH.body)["event_data"],
}


def test_a_push_with_the_policys_header_names_an_image() -> None:
    """Harbor repeats the header verbatim and signs nothing: trust is `token`."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (pushed("harbor.example.com/acme/web:stable", D1),)
    assert (event.trust, event.actor) == (Trust.TOKEN, "alice")
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, Authorization="a-shared-secre"), SOURCE, NOW)


def test_the_cloudevents_format_is_the_same_event_with_an_id() -> None:
    """The format is a setting of Harbor's policy; people change it."""
    statement = read(with_body(PUSH, CLOUD_EVENT), SOURCE)
    assert statement.mentions == read(PUSH, SOURCE).mentions
    assert statement.delivery_id == CLOUD_EVENT["id"]


def test_the_old_event_name_is_a_push() -> None:
    """Harbor 1.x said `pushImage`."""
    assert read(changed(PUSH, ("type", "pushImage")), SOURCE).mentions


@pytest.mark.parametrize(
    "kind",
    [
        "PULL_ARTIFACT",
        "DELETE_ARTIFACT",
        "SCANNING_COMPLETED",
        "QUOTA_EXCEED",
        "REPLICATION",
        "TAG_RETENTION",
        "harbor.artifact.pulled",
        None,
    ],
)
def test_only_the_type_tells_a_push_from_a_pull(kind: str | None) -> None:
    """They share the whole envelope; a receiver that does not look deploys on every pull."""
    statement = read(changed(PUSH, ("type", kind)), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


@pytest.mark.parametrize(
    ("tag", "url"),
    [
        (D1, f"harbor.example.com/acme/web@{D1}"),
        (D1, f"harbor.example.com/acme/web:{D1}"),
        (None, f"harbor.example.com/acme/web@{D1}"),
        ("", f"harbor.example.com/acme/web@{D1}"),
    ],
)
def test_an_untagged_push_is_ignored(tag: str | None, url: str) -> None:
    """Children of an index arrive with their digest as tag; old versions write no reference."""
    path = "event_data.resources.0"
    untagged = changed(PUSH, (f"{path}.tag", tag), (f"{path}.resource_url", url))
    assert "no tag" in (read(untagged, SOURCE).ignored or "")


def test_every_resource_is_read() -> None:
    """Harbor sends one today; the format is a list."""
    second = {"tag": "v2", "resource_url": "harbor.example.com/acme/web:v2"}
    two = changed(PUSH, ("event_data.resources.1", second))
    assert read(two, SOURCE).mentions == (
        pushed("harbor.example.com/acme/web:stable", D1),
        pushed("harbor.example.com/acme/web:v2"),
    )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("event_data.resources.0.tag", "latest", "tag"),
        ("event_data.resources.0.resource_url", f"harbor.example.com/acme/web@{D2}", "digest"),
        (
            "event_data.resources.0.resource_url",
            "harbor.example.com/acme/api:stable",
            "repo_full_name",
        ),
        ("event_data.repository", {"repo_full_name": "acme/api"}, "repo_full_name"),
    ],
)
def test_fields_that_disagree_are_refused_by_name(field: str, value: str, said: str) -> None:
    """A payload that says two things is a bug or an attack; both are for a person to look at."""
    with pytest.raises(ContradictionError, match=rf"{said}.*resource_url"):
        read(changed(PUSH, (field, value)), SOURCE)


def test_another_host_than_the_configured_one_is_refused() -> None:
    """The header is shared by every project of a Harbor; the host is pinned."""
    with pytest.raises(ContradictionError, match="resource_url"):
        read(PUSH, replace(SOURCE, registry="harbor.internal:8443"))


@pytest.mark.parametrize(
    "change",
    [
        ("event_data.resources.0.digest", "sha256:abc123"),
        ("event_data.resources.0.resource_url", MISSING),
        ("event_data.resources.0.resource_url", "harbor.example.com"),
        ("event_data.resources.0.tag", {}),
        ("event_data.resources", {}),
        ("event_data", []),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """A malformed digest is not dropped, and no part of a reference is invented."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), SOURCE)


def test_a_repetition_has_the_same_id_and_a_later_push_another() -> None:
    """Harbor repeats failed deliveries; of the default format digest, tag and time identify."""
    again = changed(PUSH, ("operator", "robot$retry"))
    assert read(again, SOURCE).delivery_id == read(PUSH, SOURCE).delivery_id
    for change in (("occur_at", 1772366400), ("event_data.resources.0.digest", D2)):
        assert read(changed(PUSH, change), SOURCE).delivery_id != read(PUSH, SOURCE).delivery_id
    assert read(changed(PUSH, ("occur_at", MISSING)), SOURCE).delivery_id is None


def test_one_image_pushed_to_two_repositories_in_one_second_is_two_deliveries() -> None:
    """The time has whole seconds; without the repository the second push would be lost."""
    body = json.loads(PUSH.body)
    body["event_data"]["resources"][0]["resource_url"] = "harbor.example.com/acme/other:stable"
    body["event_data"]["repository"] |= {"repo_full_name": "acme/other", "name": "other"}
    other = read(with_body(PUSH, body), SOURCE)
    assert other.mentions != read(PUSH, SOURCE).mentions
    assert other.delivery_id != read(PUSH, SOURCE).delivery_id
