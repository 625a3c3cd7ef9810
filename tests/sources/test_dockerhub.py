import json
from dataclasses import replace
from typing import Any

import pytest

from tests.sources.senders import (
    MISSING,
    NOW,
    TOKEN,
    changed,
    pushed,
    recorded,
    secrets,
    source,
    with_body,
)
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
)
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import read, receive

SOURCE = source("dockerhub", tokens=secrets(b"an-older-token-of-the-url", TOKEN))
PUSH = recorded("dockerhub")


def test_a_push_with_the_token_in_the_url_is_a_look_at_one_tag() -> None:
    """Docker Hub signs nothing and sends no digest: trust is `token`, the tag gets resolved."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (pushed("docker.io/acme/web:stable"),)
    assert (event.trust, event.secret_id, event.actor) == (Trust.TOKEN, "1", "alice")


@pytest.mark.parametrize("token", [None, "", "a-long-token-of-the-ur", "nöt-it", "…"])
def test_without_the_token_nobody_is_let_in(token: str | None) -> None:
    """It is the only thing between the network and a redeploy."""
    with pytest.raises(AuthenticationError):
        receive(replace(PUSH, token=token), SOURCE, NOW)


def test_a_source_without_tokens_lets_nobody_in() -> None:
    """Even if the configuration let it through."""
    with pytest.raises(AuthenticationError):
        receive(PUSH, replace(SOURCE, tokens=()), NOW)


def test_six_deliveries_of_one_push_have_one_id() -> None:
    """Docker Hub repeats itself for a push of several platforms; only the callback differs."""
    again = changed(PUSH, ("callback_url", "https://registry.hub.docker.com/u/acme/web/hook/2/"))
    reordered = with_body(again, dict(reversed(json.loads(again.body).items())))
    ids = {read(delivery, SOURCE).delivery_id for delivery in (PUSH, again, reordered)}
    assert len(ids) == 1
    later = changed(PUSH, ("push_data.pushed_at", 1767225601))
    assert read(later, SOURCE).delivery_id not in ids


def test_a_bare_name_is_an_official_image() -> None:
    """`nginx` and `library/nginx` are one repository, whichever field says which."""
    official = changed(
        PUSH,
        ("repository.repo_name", "nginx"),
        ("repository.namespace", "library"),
        ("repository.name", "nginx"),
        ("repository.repo_url", "https://hub.docker.com/_/nginx"),
    )
    assert read(official, SOURCE).mentions == (pushed("docker.io/library/nginx:stable"),)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("push_data.tag", MISSING), "no tag"),
        (("push_data.tag", ""), "no tag"),
        (("push_data.media_type", "application/vnd.cncf.helm.config.v1+json"), "Helm chart"),
    ],
)
def test_what_is_no_tagged_image_is_ignored(change: tuple[str, Any], reason: str) -> None:
    """Old bodies have no tag, and `latest` is not invented; charts are pushed to the same place."""
    statement = read(changed(PUSH, change), SOURCE)
    assert statement.mentions == ()
    assert reason in (statement.ignored or "")


@pytest.mark.parametrize(
    "change",
    [
        ("repository", MISSING),
        ("repository.repo_name", MISSING),
        ("repository.repo_name", "Acme/Web"),
        ("repository.repo_name", "ghcr.io:80/acme"),
        ("repository.repo_name", ["acme/web"]),
        ("push_data", "stable"),
        ("push_data.tag", 1.0),
        ("push_data.tag", "../stable"),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """Nothing that is not a repository or a tag becomes one by being cleaned up."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), SOURCE)


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.docker.com/r/acme/api",
        "https://registry.hub.docker.com/u/acme/api/",
        "https://hub.docker.com/_/web",
        "https://hub.docker.com/r/acme/api/tags",
    ],
)
def test_a_page_of_another_repository_is_refused(url: str) -> None:
    """`repo_url` says it once more."""
    with pytest.raises(ContradictionError, match=r"repo_name and repository\.repo_url"):
        read(changed(PUSH, ("repository.repo_url", url)), SOURCE)


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.docker.com/r/acme/web/",
        "https://registry.hub.docker.com/u/acme/web/",
        "https://hub.docker.com/repository/docker/acme/other",
        "",
        None,
    ],
)
def test_a_page_that_says_nothing_else_does_not_matter(url: str | None) -> None:
    """Only the forms that are known to name the repository count."""
    assert read(changed(PUSH, ("repository.repo_url", url)), SOURCE).mentions


def test_a_repository_that_is_not_its_parts_is_refused() -> None:
    """Three fields say it; if they disagree, nobody knows what was pushed."""
    with pytest.raises(ContradictionError, match=r"repo_name.*namespace"):
        read(changed(PUSH, ("repository.name", "api")), SOURCE)


def test_a_truncated_body_is_refused() -> None:
    """Documented samples lack their last brace."""
    with pytest.raises(MalformedEventError):
        read(with_body(PUSH, PUSH.body[:-1].rstrip()[:-1]), SOURCE)
