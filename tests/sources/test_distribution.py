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
    with_headers,
)
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
)
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import KINDS, read, receive

SOURCE = source("distribution", secrets=secrets(SECRET), registry="registry.example.com")
PUSH = recorded("distribution")
EVENT = json.loads(PUSH.body)["events"][0]
HEX2 = "2" * 64


def test_a_tagged_manifest_push_names_an_image_of_the_configured_registry() -> None:
    """The payload has the name by which one client knew the registry; the configured one counts."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (pushed("registry.example.com/acme/web:stable", D1),)
    assert (event.trust, event.secret_id, event.actor) == (Trust.TOKEN, "0", "alice")
    assert event.delivery_id == EVENT["id"]


def test_without_a_configured_registry_the_payloads_host_selects() -> None:
    """It can only select among workloads; where to pull from is theirs to say."""
    assert read(PUSH, replace(SOURCE, registry=None)).mentions == (
        pushed("registry:5000/acme/web:stable", D1),
    )
    with pytest.raises(MalformedEventError, match=r"request\.host"):
        read(changed(PUSH, ("events.0.request", MISSING)), replace(SOURCE, registry=None))


@pytest.mark.parametrize(
    ("secret", "presented"),
    [
        (b"a-shared-secret", "a-shared-secret"),
        (b"a-shared-secret", "Bearer a-shared-secret"),
        (b"Bearer a-shared-secret", "Bearer a-shared-secret"),
        (b"user:pass", "Basic dXNlcjpwYXNz"),
    ],
)
def test_the_header_may_be_spelled_as_people_configure_it(secret: bytes, presented: str) -> None:
    """Registries send any header verbatim; each spelling proves the same knowledge."""
    given = replace(SOURCE, secrets=secrets(secret))
    receive(with_headers(PUSH, Authorization=presented), given, NOW)


@pytest.mark.parametrize(
    "presented",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic !!!", "Basic", "a-shared-secret2", "…"],
)
def test_another_header_value_is_refused(presented: str | None) -> None:
    """Equality of the whole secret, and no exception whatever arrives."""
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, Authorization=presented), SOURCE, NOW)


def test_the_header_is_the_configured_one() -> None:
    """Some proxies take `Authorization` for themselves."""
    own = replace(SOURCE, header="X-Registry-Secret")
    with pytest.raises(AuthenticationError, match="X-Registry-Secret"):
        receive(PUSH, own, NOW)
    receive(with_headers(PUSH, X_Registry_Secret="a-shared-secret"), own, NOW)


def test_a_url_token_alone_is_as_good_as_a_header() -> None:
    """Both are a secret that every request carries."""
    by_url = replace(SOURCE, secrets=(), tokens=secrets(b"token-of-the-url"))
    event = receive(replace(PUSH, token="token-of-the-url"), by_url, NOW)
    assert event.trust is Trust.TOKEN
    with pytest.raises(AuthenticationError):
        receive(PUSH, by_url, NOW)
    with pytest.raises(AuthenticationError):
        receive(PUSH, replace(by_url, tokens=()), NOW)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.index.v1+json",
    ],
)
def test_every_manifest_type_counts(media_type: str) -> None:
    """Old and new clients push different ones."""
    assert read(changed(PUSH, ("events.0.target.mediaType", media_type)), SOURCE).mentions


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_both_envelope_versions_are_read(version: str) -> None:
    """2.8 and 3.0 differ in the content type only."""
    media_type = f"application/vnd.docker.distribution.events.{version}+json"
    assert receive(with_headers(PUSH, Content_Type=media_type), SOURCE, NOW).mentions


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("events.0.action", "pull"), "pulls"),
        (("events.0.action", "delete"), "deletes"),
        (("events.0.action", MISSING), "pulls"),
        (("events.0.target.mediaType", "application/octet-stream"), "blobs"),
        (("events.0.target.mediaType", MISSING), "blobs"),
        (("events.0.target.tag", MISSING), "without a tag"),
        (("events.0.target", MISSING), "blobs"),
        (("events", []), "no events"),
        (("events", MISSING), "no events"),
    ],
)
def test_everything_else_is_ignored(change: tuple[str, Any], reason: str) -> None:
    """One `docker push` makes a dozen notifications, of which one is interesting."""
    statement = read(changed(PUSH, change), SOURCE)
    assert statement.mentions == ()
    assert reason in (statement.ignored or "")


def test_the_digest_of_an_ignored_event_does_not_matter() -> None:
    """A pull with a malformed digest is still a pull, and a 4xx would block the queue."""
    odd = changed(PUSH, ("events.0.action", "pull"), ("events.0.target.digest", "sha256:0123"))
    assert read(odd, SOURCE).ignored


def test_every_event_of_the_envelope_is_read() -> None:
    """Taking the first of a list is how others lose pushes."""
    other = json.loads(json.dumps(EVENT).replace("stable", "v2"))
    pull = {**EVENT, "action": "pull"}
    several = changed(PUSH, ("events", [pull, EVENT, other, EVENT]))
    statement = read(several, SOURCE)
    assert statement.mentions == (
        pushed("registry.example.com/acme/web:stable", D1),
        pushed("registry.example.com/acme/web:v2", D1),
    )
    assert (statement.delivery_id or "").startswith("sha256:")
    assert (
        statement.delivery_id != read(changed(PUSH, ("events", [EVENT, other])), SOURCE).delivery_id
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://registry:5000/v2/acme/web/manifests/sha256:{HEX2}", "digest"),
        ("http://registry:5000/v2/acme/web/manifests/v2", "tag"),
        (f"http://registry:5000/v2/acme/api/manifests/{D1}", "repository"),
    ],
)
def test_a_url_that_names_something_else_is_refused(url: str, said: str) -> None:
    """Two fields that disagree: which of them lies cannot be known."""
    with pytest.raises(ContradictionError, match=rf"{said}.*url"):
        read(changed(PUSH, ("events.0.target.url", url)), SOURCE)


@pytest.mark.parametrize(
    "url", [MISSING, "", "http://registry:5000/v2/acme/web/manifests/stable", "not a url"]
)
def test_a_url_that_says_nothing_else_is_fine(url: Any) -> None:
    """Older versions put the tag there; it is no required field."""
    assert read(changed(PUSH, ("events.0.target.url", url)), SOURCE).mentions


@pytest.mark.parametrize(
    "change",
    [
        ("events", {}),
        ("events", [[]]),
        ("events", [EVENT] * 300),
        ("events.0.target.digest", "sha256:0123456789abcdef0"),
        ("events.0.target.digest", D2.upper()),
        ("events.0.target.repository", MISSING),
        ("events.0.target.repository", "../acme"),
        ("events.0.target.tag", "a b"),
        ("events.0.target.tag", 1),
        ("events.0.target.tag", "x" * 2000),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """The digest is authoritative here, so a malformed one leaves nothing to go by."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), SOURCE)


def test_an_actor_with_an_empty_key_is_nobody() -> None:
    """Docker sends `{"": ""}` where nobody logged in."""
    assert read(changed(PUSH, ("events.0.actor", {"": ""})), SOURCE).actor is None


def test_the_table_says_that_errors_block_its_queue() -> None:
    """`web` answers 200 to what cannot be used, or the registry repeats it for ever."""
    assert KINDS["distribution"].punishes_errors
