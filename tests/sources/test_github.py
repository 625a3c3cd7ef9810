from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.sources.senders import (
    D1,
    D2,
    MISSING,
    NOW,
    SECRET,
    changed,
    mac,
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
from webhook_launcher.core.source import Delivery
from webhook_launcher.sources import read, receive

SOURCE = source("github", secrets=secrets(SECRET))
PUSH = recorded("github")
CONTAINER = "package.package_version.container_metadata"


def signed(delivery: Delivery, secret: bytes = SECRET) -> Delivery:
    """With the header that GitHub computes."""
    return with_headers(delivery, X_Hub_Signature_256=f"sha256={mac(delivery.body, secret)}")


def test_a_signed_push_is_an_event_about_one_image() -> None:
    """The main path: tag and digest from container_metadata, names in lower case, ids recorded."""
    event = receive(signed(PUSH), SOURCE, NOW)
    assert event.mentions == (pushed("ghcr.io/acme/web:stable", D1, one_of_several=True),)
    assert (event.source, event.trust, event.secret_id) == ("github", Trust.SIGNED, "0")
    assert event.delivery_id == "0d2b4f4e-5c3f-4a53-9d56-6b8f2f3b9f10"
    assert event.actor == "octocat"


def test_a_second_secret_is_enough_and_is_named() -> None:
    """Rotation: both are valid for a while, and the record tells when the old one is out of use."""
    rotated = replace(SOURCE, secrets=secrets(b"new", SECRET))
    assert receive(signed(PUSH), rotated, NOW).secret_id == "1"


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Hub_Signature_256": None},
        {"X_Hub_Signature_256": ""},
        {"X_Hub_Signature_256": "sha256="},
        {"X_Hub_Signature_256": "sha256=…"},
        {"X_Hub_Signature_256": f"sha256={mac(PUSH.body, b'wrong')}"},
        {
            "X_Hub_Signature_256": None,
            "X_Hub_Signature": f"sha1={mac(PUSH.body, algorithm='sha1')}",
        },
        {"X_Hub_Signature_256": None, "X_Hub_Signature": f"sha256={mac(PUSH.body)}"},
    ],
)
def test_without_the_sha256_signature_nobody_is_let_in(headers: dict[str, str | None]) -> None:
    """GitHub always sends it; accepting the SHA-1 one as well would only weaken it."""
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, **headers), SOURCE, NOW)


def test_a_changed_body_is_not_what_was_signed() -> None:
    """One byte is enough, also one that JSON does not care about."""
    with pytest.raises(AuthenticationError):
        receive(replace(signed(PUSH), body=PUSH.body + b" "), SOURCE, NOW)


def test_nothing_is_parsed_before_the_signature_holds() -> None:
    """A parser's faults must not be reachable for strangers."""
    with pytest.raises(AuthenticationError):
        receive(with_body(PUSH, b"not json"), SOURCE, NOW)


def test_a_url_token_is_asked_for_on_top() -> None:
    """Every kind may have one as a second layer, which then is not optional."""
    both = replace(SOURCE, tokens=secrets(b"token-of-the-url"))
    assert receive(replace(signed(PUSH), token="token-of-the-url"), both, NOW).secret_id == "0"
    for token in (None, "", "token-of-the-ur", "another"):
        with pytest.raises(AuthenticationError):
            receive(replace(signed(PUSH), token=token), both, NOW)


def test_the_form_body_is_the_same_event() -> None:
    """A hook set to form bodies signs the form as it is sent."""
    body = urlencode({"payload": PUSH.body.decode()}, quote_via=quote).encode()
    form = with_headers(
        replace(PUSH, body=body), Content_Type="application/x-www-form-urlencoded; charset=utf-8"
    )
    assert receive(signed(form), SOURCE, NOW).mentions == read(PUSH, SOURCE).mentions


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload",
        b"other=1",
        b"payload=%7B%7D&payload=%7B%7D",
        b"payload=%ff",
        b"\xff",
        b"&".join([b"a=1"] * 100) + b"&payload=%7B%7D",
    ],
)
def test_a_form_that_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    """Which of two payloads counts depends on the reader; many fields cost time."""
    form = with_headers(with_body(PUSH, body), Content_Type="application/x-www-form-urlencoded")
    with pytest.raises(MalformedEventError):
        read(form, SOURCE)


def test_registry_package_is_the_same_content_under_another_key() -> None:
    """GitHub Apps send that one; a hook for both events delivers a push twice."""
    package = PUSH.body.replace(b'"package":', b'"registry_package":', 1)
    other = with_headers(with_body(PUSH, package), X_GitHub_Event="registry_package")
    assert read(other, SOURCE).mentions == read(PUSH, SOURCE).mentions


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([("action", "deleted")], "deleted"),
        ([("action", MISSING)], "none"),
        ([("package.package_type", "npm"), ("package.ecosystem", "npm")], "no container"),
        ([("package.package_type", MISSING), ("package.ecosystem", MISSING)], "no container"),
        ([(f"{CONTAINER}.tag.name", "")], "no tag"),
        ([(CONTAINER, MISSING)], "no tag"),
        ([("package.package_version", None)], "no tag"),
        (
            [
                (
                    f"{CONTAINER}.manifest.config.media_type",
                    "application/vnd.cncf.helm.config.v1+json",
                )
            ],
            "Helm chart",
        ),
        (
            [
                (f"{CONTAINER}.tag.name", f"sha256-{'a' * 64}.sig"),
                ("package.package_version.package_url", ""),
            ],
            "signature",
        ),
    ],
)
def test_what_is_no_tagged_image_is_ignored_with_the_reason(
    changes: list[tuple[str, Any]], reason: str
) -> None:
    """Authentic but uninteresting is no error: GitHub shows errors to the owner of the hook."""
    statement = read(changed(PUSH, *changes), SOURCE)
    assert statement.mentions == ()
    assert reason in (statement.ignored or "")


@pytest.mark.parametrize("event", ["ping", "push", "deployment", "workflow_run", "\x1b[31m"])
def test_other_events_are_ignored(event: str) -> None:
    """A hook set to "everything" must not end in errors; the first delivery is a ping."""
    statement = read(with_headers(PUSH, X_GitHub_Event=event), SOURCE)
    assert statement.mentions == ()
    assert (statement.ignored or "").isprintable()


def test_without_event_header_the_body_decides() -> None:
    """A recording may have lost its headers, and the body is what is signed."""
    bare = with_headers(PUSH, X_GitHub_Event=None)
    assert read(bare, SOURCE).mentions
    ping = with_body(bare, {"zen": "Keep it logically awesome.", "hook_id": 1})
    assert read(ping, SOURCE).ignored


@pytest.mark.parametrize(
    "changes",
    [
        [("package", MISSING)],
        [("package", [])],
        [("package.owner", None)],
        [("package.owner.login", "")],
        [("package.name", 7)],
        [("package.name", "..")],
        [(f"{CONTAINER}.tag.name", "no tag")],
        [(f"{CONTAINER}.tag.digest", f"sha256:{'1' * 40}")],
        [(f"{CONTAINER}.manifest.digest", "sha256:abc")],
    ],
)
def test_what_cannot_be_read_is_refused(changes: list[tuple[str, Any]]) -> None:
    """A malformed digest is not dropped: that would carry on with half of what was said."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, *changes), SOURCE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (f"{CONTAINER}.manifest.digest", D2),
        ("package.package_version.package_url", "ghcr.io/acme/web:other"),
        ("package.package_version.package_url", "ghcr.io/acme/api:stable"),
        ("package.package_version.package_url", "ghcr.io.evil.example/acme/web:stable"),
        ("package.package_version.package_url", f"ghcr.io/acme/web@{D2}"),
        ("package.package_version.version", D2),
        ("package.package_version.name", D2),
        ("registry_package", {"name": "other"}),
    ],
)
def test_fields_that_disagree_are_refused_by_name(field: str, value: str) -> None:
    """Which of the two is true cannot be known here."""
    with pytest.raises(
        ContradictionError, match=r"container_metadata|package_url|registry_package"
    ):
        read(changed(PUSH, (field, value)), SOURCE)


def test_the_configured_registry_is_used() -> None:
    """GitHub Enterprise Server has a registry of its own; the payload does not decide it."""
    host = "containers.github.example.com"
    own = replace(SOURCE, registry=host)
    path = "package.package_version.package_url"
    for url in (f"https://{host.upper()}/Acme/Web:stable", f"{host}/acme/web@{D1}", ""):
        [mention] = read(changed(PUSH, (path, url)), own).mentions
        assert str(mention.reference).startswith(f"{host}/acme/web:stable@")
    with pytest.raises(ContradictionError, match="the source's registry"):
        read(PUSH, own)


@pytest.mark.parametrize("identity", [None, "", "x" * 201, "with\ttab", "ümlaut"])
def test_without_a_usable_delivery_id_the_body_is_its_own(identity: str | None) -> None:
    """The header is not signed; deduplication still needs something bounded to go by."""
    statement = read(with_headers(PUSH, X_GitHub_Delivery=identity), SOURCE)
    assert (statement.delivery_id or "").startswith("sha256:")
