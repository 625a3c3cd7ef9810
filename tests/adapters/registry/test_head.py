"""`RegistryClient.head`: the poll's cheap look."""

from datetime import UTC, datetime

import pytest

from tests.adapters.registry.fake import (
    FakeRegistry,
    Reply,
    Seen,
    encode,
    manifest,
    sha256,
    sha512,
)
from tests.adapters.registry.test_image import with_headers
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.errors import (
    DigestMismatchError,
    ManifestNotFoundError,
    UnsupportedManifestError,
)


def test_a_look_is_one_head(registry: FakeRegistry, client: RegistryClient) -> None:
    """Docker Hub counts a GET as a pull and a HEAD not: a poll must not use the quota up."""
    digest = registry.put("acme/web:stable", manifest())
    assert client.head(registry.reference("acme/web:stable")) == digest
    assert (registry.count("HEAD"), registry.count("GET")) == (1, 0)


@pytest.mark.parametrize(
    "header", [None, "", "nonsense", "sha256:short", str(sha512(encode(manifest())))]
)
def test_unusable_digest_header_leads_to_our_own_hash(
    registry: FakeRegistry, client: RegistryClient, header: str | None
) -> None:
    """The header is optional; and a sha512 one never equals the sha256 that a deploy records."""
    digest = registry.put("acme/web:stable", manifest())

    def change(seen: Seen, reply: Reply) -> Reply:
        return with_headers(Docker_Content_Digest=header)(seen, reply) if is_head(seen) else reply

    registry.edit(change)
    assert client.head(registry.reference("acme/web:stable")) == digest
    assert registry.count("GET") == 1


def test_registry_that_knows_no_head_is_asked_by_get(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """A proxy that lets only GET pass must not end the fallback."""
    digest = registry.put("acme/web:stable", manifest())
    registry.edit(lambda seen, reply: Reply(405) if is_head(seen) else reply)
    assert client.head(registry.reference("acme/web:stable")) == digest


def test_head_of_another_content_type_is_not_believed(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """A converted schema 1 has another digest: it would look like a moved tag for ever."""
    registry.put("acme/web:stable", manifest())
    registry.edit(
        with_headers(Content_Type="application/vnd.docker.distribution.manifest.v1+prettyjws")
    )
    with pytest.raises(UnsupportedManifestError):
        client.head(registry.reference("acme/web:stable"))


def test_head_by_digest_must_answer_that_digest(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """A registry that answers for something else is caught by the GET that follows."""
    asked = registry.put("acme/web:stable", manifest("asked"))
    other = encode(manifest("other"))

    def lie(_: Seen, reply: Reply) -> Reply:
        return Reply(200, reply.headers | {"Docker-Content-Digest": str(sha256(other))}, other)

    registry.edit(lie)
    with pytest.raises(DigestMismatchError):
        client.head(registry.reference(f"acme/web@{asked}"))


def test_missing_tag_is_told(registry: FakeRegistry, client: RegistryClient) -> None:
    """A HEAD's 404 has no body to explain it; the message must still name what is missing."""
    with pytest.raises(ManifestNotFoundError, match="acme/web:gone"):
        client.head(registry.reference("acme/web:gone"))


def is_head(seen: Seen) -> bool:
    """The first request of a look."""
    return seen.method == "HEAD"


def test_the_registrys_clock_is_read_of_its_answer(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """`doctor` compares it with ours; who sends no date, or nonsense, cannot be compared with."""
    registry.put("acme/web:stable", manifest())
    reference = registry.reference("acme/web:stable")
    registry.edit(with_headers(Date="Tue, 24 Nov 2026 02:33:28 GMT"))
    assert client.date(reference) == datetime(2026, 11, 24, 2, 33, 28, tzinfo=UTC)
    registry.edit(with_headers(Date="yesterday"))
    assert client.date(reference) is None
