from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    MISSING,
    NOW,
    changed,
    options,
    pushed,
    recorded,
    secrets,
    source,
    with_headers,
)
from webhook_launcher.core.errors import AuthenticationError, MalformedEventError
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import KINDS, read, receive

SOURCE = source("zot", secrets=secrets(b"zot:a-shared-secret"), registry="zot.example.com")
PUSH = recorded("zot")


def test_an_updated_image_is_one_of_the_configured_registry() -> None:
    """The event names no host, so a source needs one configured."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (pushed("zot.example.com/acme/web:stable", D1),)
    assert (event.trust, event.actor) == (Trust.TOKEN, "alice")
    assert event.delivery_id == PUSH.headers["ce-id"]
    assert KINDS["zot"].needs_registry


def test_another_password_is_refused() -> None:
    """Zot sends Basic credentials."""
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, Authorization="Basic em90Ondyb25n"), SOURCE, NOW)


@pytest.mark.parametrize(
    "kind",
    [
        "zotregistry.image.lint_failed",
        "zotregistry.image.deleted",
        "zotregistry.repository.created",
        "zotregistry.image.updated.x",
        "image.updated",
        "",
    ],
)
def test_only_the_header_tells_an_update_from_a_failed_lint(kind: str) -> None:
    """Their bodies are the same."""
    statement = read(with_headers(PUSH, Ce_Type=kind), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


def test_without_the_header_nothing_is_assumed() -> None:
    """A body alone may be a lint that failed."""
    with pytest.raises(MalformedEventError, match="Ce-Type"):
        read(with_headers(PUSH, Ce_Type=None), SOURCE)


def test_the_prefix_of_types_can_be_configured() -> None:
    """Newer versions let the operator choose it."""
    own = source("zot", registry="zot.example.com", options=options("zot", type_prefix="acme"))
    assert read(with_headers(PUSH, Ce_Type="acme.image.updated"), own).mentions
    assert read(PUSH, own).ignored


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("reference", D1), "no tag"),
        (("reference", ""), "no tag"),
        (("reference", f"sha256-{'a' * 64}.sig"), "signature"),
        (
            ("manifest", '{"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"}}'),
            "Helm",
        ),
    ],
)
def test_what_is_no_tagged_image_is_ignored(change: tuple[str, str], reason: str) -> None:
    """Signatures and charts are updates too."""
    statement = read(changed(PUSH, change), SOURCE)
    assert statement.mentions == ()
    assert reason in (statement.ignored or "")


@pytest.mark.parametrize("manifest", [MISSING, "", "not json", "[]", '{"config":[]}', 7])
def test_a_manifest_that_says_nothing_does_not_matter(manifest: Any) -> None:
    """It is looked at for one media type only; the registry's own manifest decides."""
    assert read(changed(PUSH, ("manifest", manifest)), SOURCE).mentions


def test_an_empty_digest_is_none() -> None:
    """The tag gets resolved; a malformed one is refused."""
    assert read(changed(PUSH, ("digest", "")), SOURCE).mentions == (
        pushed("zot.example.com/acme/web:stable"),
    )
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, ("digest", "sha256:abcdef")), SOURCE)
