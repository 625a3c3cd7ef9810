"""`RegistryClient.image`: the one resolution that a deployment rests on."""

from collections.abc import Callable

import pytest

from tests.adapters.registry.conftest import Clock
from tests.adapters.registry.fake import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Document,
    FakeRegistry,
    Reply,
    Seen,
    encode,
    index,
    manifest,
    sha256,
    sha512,
)
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    ManifestNotFoundError,
    UnsupportedManifestError,
)
from webhook_launcher.core.model import Platform
from webhook_launcher.core.reference import Digest, Reference, Repository

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")


def with_headers(**changes: str | None) -> Callable[[Seen, Reply], Reply]:
    """An edit that sets headers, or drops them for None."""

    def edit(_: Seen, reply: Reply) -> Reply:
        for name, value in changes.items():
            header = name.replace("_", "-")
            reply.headers.pop(header, None)
            if value is not None:
                reply.headers[header] = value
        return reply

    return edit


def with_body(body: bytes) -> Callable[[Seen, Reply], Reply]:
    """An edit that swaps the body and leaves the headers as they were."""

    def edit(_: Seen, reply: Reply) -> Reply:
        reply.body = body
        return reply

    return edit


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_single_manifest_is_its_own_platform_manifest(
    registry: FakeRegistry, client: RegistryClient, media_type: str
) -> None:
    """On the containerd store the engine names such an image by this digest: the proof needs it."""
    document = manifest(media_type=media_type)
    digest = registry.put("acme/web:stable", document)
    image = client.image(registry.reference("acme/web:stable"), AMD64)
    assert image.digest == image.manifest == digest
    assert image.config == document["config"]["digest"]
    assert image.media_type == media_type
    assert image.pinned == f"{registry.host}/acme/web@{digest}"


@pytest.mark.parametrize(
    ("list_type", "media_type"), [(OCI_INDEX, OCI_MANIFEST), (DOCKER_LIST, DOCKER_MANIFEST)]
)
def test_index_gives_its_digest_and_the_ids_of_this_platform(
    registry: FakeRegistry, client: RegistryClient, list_type: str, media_type: str
) -> None:
    """The index's digest is pulled; what an engine calls the image may be any of the three."""
    ours, theirs = manifest("arm64", media_type), manifest("amd64", media_type)
    registry.put("acme/web:arm64", ours)
    registry.put("acme/web:amd64", theirs)
    listed = index({"linux/amd64": theirs, "linux/arm64": ours}, list_type)
    digest = registry.put("acme/web:stable", listed)
    image = client.image(registry.reference("acme/web:stable"), ARM64)
    assert image.digest == digest
    assert image.ids == {digest, sha256(encode(ours)), ours["config"]["digest"]}
    assert image.platform == ARM64


def test_every_request_accepts_all_four_types_and_no_encoding(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Without one of them a registry answers 404, or converts: then the digest is another one."""
    document = manifest()
    registry.put("acme/web:amd64", document)
    registry.put("acme/web:stable", index({"linux/amd64": document}))
    client.head(registry.reference("acme/web:stable"))
    client.image(registry.reference("acme/web:stable"), AMD64)
    assert len(registry.seen) == 3
    for seen in registry.seen:
        wanted = {OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST}
        assert set(seen.headers["accept"].split(", ")) == wanted
        assert seen.headers["accept-encoding"] == "identity"


def test_tag_is_resolved_once(registry: FakeRegistry, client: RegistryClient) -> None:
    """A tag that moves between two resolutions would mix two images; there is only one."""
    first = manifest("first")
    registry.put("acme/web:first", first)
    digest = registry.put("acme/web:stable", index({"linux/amd64": first}))

    def move(seen: Seen, reply: Reply) -> Reply:
        if seen.path.endswith("/stable"):
            registry.put("acme/web:stable", manifest("second"))
        return reply

    registry.edit(move)
    assert client.image(registry.reference("acme/web:stable"), AMD64).digest == digest
    assert [seen.path.endswith("/stable") for seen in registry.seen] == [True, False]


def test_digest_is_asked_for_when_the_reference_has_one(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """A signed event names an exact digest: the tag beside it must not decide anything."""
    asked = registry.put("acme/web:stable", manifest("asked"))
    registry.put("acme/web:stable", manifest("newer"))
    image = client.image(registry.reference(f"acme/web:stable@{asked}"), AMD64)
    assert image.digest == asked
    assert registry.seen[0].path == f"/v2/acme/web/manifests/{asked}"


def test_sha512_digest_is_proven_in_sha512(registry: FakeRegistry, client: RegistryClient) -> None:
    """What was asked for is what is proven, in its own algorithm, though the header is sha256.

    From then on it has its one name: quarantine, age and signatures are kept by that.
    """
    document = manifest()
    known = registry.put("acme/web:stable", document)
    asked = sha512(encode(document))
    image = client.image(registry.reference(f"acme/web@{asked}"), AMD64)
    assert (image.digest, image.manifest) == (known, known)
    registry.edit(with_body(encode(manifest("another"))))
    with pytest.raises(DigestMismatchError):
        client.image(registry.reference(f"acme/web@{asked}"), AMD64)


def test_missing_digest_header_is_no_obstacle(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """The distribution-spec makes the header optional; our own hash needs no help."""
    digest = registry.put("acme/web:stable", manifest())
    registry.edit(with_headers(Docker_Content_Digest=None))
    assert client.image(registry.reference("acme/web:stable"), AMD64).digest == digest


@pytest.mark.parametrize(
    "header", [f"sha256:{'0' * 64}", f"sha512:{'0' * 128}", "sha256:short", "nonsense", ""]
)
def test_lie_in_the_digest_header_is_refused(
    registry: FakeRegistry, client: RegistryClient, header: str
) -> None:
    """Header and bytes that differ mean that something between us rewrites one of them."""
    registry.put("acme/web:stable", manifest())
    registry.edit(with_headers(Docker_Content_Digest=header))
    with pytest.raises(DigestMismatchError, match="acme/web:stable"):
        client.image(registry.reference("acme/web:stable"), AMD64)


@pytest.mark.parametrize("header", ["asked", "honest", None])
def test_body_that_is_not_the_asked_digest_is_refused(
    registry: FakeRegistry, client: RegistryClient, header: str | None
) -> None:
    """The core promise: exactly the named digest runs or nothing changes, whatever headers say."""
    asked = registry.put("acme/web:stable", manifest("asked"))
    swapped = encode(manifest("swapped"))
    said = {"asked": str(asked), "honest": str(sha256(swapped)), None: None}[header]
    registry.edit(with_body(swapped))
    registry.edit(with_headers(Docker_Content_Digest=said))
    with pytest.raises(DigestMismatchError, match=str(sha256(swapped))):
        client.image(registry.reference(f"acme/web@{asked}"), AMD64)


def test_platform_manifest_is_hashed_too(registry: FakeRegistry, client: RegistryClient) -> None:
    """A chain is proven link by link: the index alone does not vouch for the config digest."""
    document = manifest("good")
    entry = registry.put("acme/web:amd64", document)
    registry.put("acme/web:stable", index({"linux/amd64": document}))
    evil = encode(manifest("evil"))

    def swap(seen: Seen, reply: Reply) -> Reply:
        if seen.path.endswith(str(entry)):
            reply.body = evil
            reply.headers.pop("Docker-Content-Digest")
        return reply

    registry.edit(swap)
    with pytest.raises(DigestMismatchError):
        client.image(registry.reference("acme/web:stable"), AMD64)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("size", 1, "size"), ("mediaType", DOCKER_MANIFEST, "type")],
)
def test_index_that_misdescribes_its_manifest_is_refused(
    registry: FakeRegistry, client: RegistryClient, field: str, value: object, said: str
) -> None:
    """Type and size are part of a descriptor: containerd refuses such an image, so must we."""
    document = manifest()
    registry.put("acme/web:amd64", document)
    listed = index({"linux/amd64": document})
    listed["manifests"][0][field] = value
    registry.put("acme/web:stable", listed)
    with pytest.raises(UnsupportedManifestError, match=said):
        client.image(registry.reference("acme/web:stable"), AMD64)


def test_index_that_points_to_an_index_is_refused(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Nesting has no bound in the spec; nobody publishes it, and an engine picks differently."""
    inner = index({"linux/amd64": manifest()})
    registry.put("acme/web:inner", inner)
    registry.put("acme/web:stable", index({"linux/amd64": inner}))
    with pytest.raises(UnsupportedManifestError, match="linux/amd64"):
        client.image(registry.reference("acme/web:stable"), AMD64)


def test_no_manifest_for_this_platform_names_those_there_are(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """The publisher must learn from the message what to build; attestations are no platform."""
    listed = index({"linux/arm64": manifest(), "unknown/unknown": manifest("attestation")})
    registry.put("acme/web:stable", listed)
    with pytest.raises(UnsupportedManifestError) as caught:
        client.image(registry.reference("acme/web:stable"), AMD64)
    assert "no image for linux/amd64; it has: linux/arm64" in str(caught.value)
    assert "unknown" not in str(caught.value)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/json",
        "text/html; charset=utf-8",
        OCI_INDEX,
        None,
    ],
)
def test_other_content_type_is_refused(
    registry: FakeRegistry, client: RegistryClient, content_type: str | None
) -> None:
    """Schema 1 converted on the fly has another digest; a type that lies invites confusion."""
    registry.put("acme/web:stable", manifest())
    registry.edit(with_headers(Content_Type=content_type))
    with pytest.raises(UnsupportedManifestError, match="acme/web:stable"):
        client.image(registry.reference("acme/web:stable"), AMD64)


def test_content_type_may_have_parameters_and_capitals(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """RFC 9110: media types are compared without case and apart from their parameters."""
    registry.put("acme/web:stable", manifest())
    registry.edit(with_headers(Content_Type=f"{OCI_MANIFEST.upper()} ; charset=utf-8"))
    client.image(registry.reference("acme/web:stable"), AMD64)


def test_index_and_manifest_at_once_is_refused(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """CVE-2021-41190: the same bytes are one image to us and another to the engine."""
    both: Document = {**manifest(), "manifests": index({"linux/amd64": manifest()})["manifests"]}
    registry.put("acme/web:stable", both)
    with pytest.raises(UnsupportedManifestError, match="at once"):
        client.image(registry.reference("acme/web:stable"), AMD64)


def test_404_is_final_without_patience(
    registry: FakeRegistry, client: RegistryClient, clock: Clock
) -> None:
    """The poll and operators want an answer now: a wrong tag must not cost seconds."""
    with pytest.raises(ManifestNotFoundError, match=r"MANIFEST_UNKNOWN.*acme/web:gone"):
        client.image(registry.reference("acme/web:gone"), AMD64)
    assert clock.slept == []


def test_404_right_after_an_event_is_tried_again(
    registry: FakeRegistry, client: RegistryClient, clock: Clock
) -> None:
    """An event can overtake its own manifest; a second later it is there."""

    def appear(_: Seen, reply: Reply) -> Reply:
        if len(registry.seen) == 3:
            registry.put("acme/web:new", manifest())
        return reply

    registry.edit(appear)
    image = client.image(registry.reference("acme/web:new"), AMD64, patience=5)
    assert image.digest == sha256(encode(manifest()))
    assert clock.slept == [0.2, 0.4, 0.8]


def test_patience_is_bounded(registry: FakeRegistry, client: RegistryClient, clock: Clock) -> None:
    """A tag that was deleted again must not hold a worker longer than it was told to wait."""
    with pytest.raises(ManifestNotFoundError):
        client.image(registry.reference("acme/web:gone"), AMD64, patience=3)
    assert clock.slept == [0.2, 0.4, 0.8, 1.0]
    assert sum(clock.slept) <= 3


def test_patience_covers_the_platform_manifest(
    registry: FakeRegistry, client: RegistryClient, clock: Clock
) -> None:
    """A replicating registry may show the index before what it points to."""
    document = manifest()
    registry.put("acme/web:stable", index({"linux/amd64": document}))

    def appear(_: Seen, reply: Reply) -> Reply:
        if clock.slept:
            registry.put("acme/web:amd64", document)
        return reply

    registry.edit(appear)
    image = client.image(registry.reference("acme/web:stable"), AMD64, patience=5)
    assert image.manifest == sha256(encode(document))
    assert registry.seen[0].path.endswith("stable")
    assert sum(seen.path.endswith("stable") for seen in registry.seen) == 1


@pytest.mark.parametrize("patience", [0, 5])
def test_patience_is_for_404_only(
    registry: FakeRegistry, client: RegistryClient, clock: Clock, patience: float
) -> None:
    """Wrong bytes do not get better by asking again; a lying registry gets one chance."""
    registry.put("acme/web:stable", manifest())
    registry.edit(with_headers(Docker_Content_Digest=f"sha256:{'0' * 64}"))
    with pytest.raises(DigestMismatchError):
        client.image(registry.reference("acme/web:stable"), AMD64, patience=patience)
    assert clock.slept == []


@pytest.mark.parametrize(
    "reference",
    [
        Reference(Repository("127.0.0.1:1", "acme/web")),
        Reference(Repository("127.0.0.1:1", "acme/../_catalog"), "stable"),
        Reference(Repository("127.0.0.1:1", "acme/web"), "../../x?y"),
        Reference(Repository("127.0.0.1:1/x", "acme/web"), "stable"),
    ],
)
def test_nothing_that_is_no_reference_becomes_a_url(
    client: RegistryClient, reference: Reference
) -> None:
    """A Reference is a plain value; where it turns into a URL, its grammar is checked once more."""
    with pytest.raises(InvalidReferenceError):
        client.image(reference, AMD64)
    with pytest.raises(InvalidReferenceError):
        client.head(reference)


def test_image_is_a_value_of_digests(registry: FakeRegistry, client: RegistryClient) -> None:
    """Policies and the journal rely on Digest's check; text that looks like one is not enough."""
    registry.put("acme/web:stable", manifest())
    image = client.image(registry.reference("acme/web:stable"), AMD64)
    assert all(isinstance(d, Digest) for d in (image.digest, image.manifest, image.config))
