"""What an image's verified bytes say of it, and that nobody else's bytes are believed."""

import json
from typing import Any

import pytest

from tests.adapters.registry.fake import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Document,
    FakeRegistry,
    Reply,
    Seen,
    descriptor,
    encode,
    index,
    manifest,
)
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.errors import (
    DigestMismatchError,
    ManifestNotFoundError,
    RegistryUnavailableError,
    UnsupportedManifestError,
)
from webhook_launcher.core.evidence import Facts
from webhook_launcher.core.model import Image, Platform

AMD64 = Platform("linux", "amd64")
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Labels": {"org.opencontainers.image.version": "1.4.2", "a": ""}},
}


def pushed(registry: FakeRegistry, config: object, name: str = "acme/web:stable") -> Document:
    """A manifest with this config, and two layers."""
    body = config if isinstance(config, bytes) else json.dumps(config).encode()
    registry.put_blob(name.partition(":")[0], body)
    document = manifest() | {"config": descriptor(body, OCI_CONFIG)}
    document["layers"] = [document["layers"][0], document["layers"][0] | {"size": 1000}]
    registry.put(name, document)
    return document


def facts(registry: FakeRegistry, client: RegistryClient) -> Facts:
    """Resolve, then ask."""
    image = client.image(registry.reference("acme/web:stable"), AMD64)
    return client.facts(image, AMD64)


def test_labels_size_and_platform_are_those_of_the_bytes(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Policies judge by them."""
    document = pushed(registry, CONFIG)
    found = facts(registry, client)
    assert found.labels == {"org.opencontainers.image.version": "1.4.2", "a": ""}
    assert found.platform == Platform("linux", "amd64", "v1")
    assert found.size == document["config"]["size"] + len(b"layer") + 1000
    assert found.manifest == encode(document)


def test_they_cost_one_request_after_a_resolution(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Docker Hub counts the GET of a manifest as a pull."""
    pushed(registry, CONFIG)
    facts(registry, client)
    assert registry.count("GET") == 1
    assert sum("/blobs/" in seen.path for seen in registry.seen) == 1


def test_of_an_index_they_are_those_of_this_platform(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Another platform's labels say nothing of what will run here."""
    arm = pushed(registry, CONFIG | {"architecture": "arm64"}, "acme/web:arm")
    amd = pushed(registry, CONFIG, "acme/web:amd")
    registry.put("acme/web:stable", index({"linux/arm64": arm, "linux/amd64": amd}))
    assert facts(registry, client).platform.architecture == "amd64"


def test_an_adopted_image_is_resolved_by_its_digest(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """The engine knows its digest and not its manifest."""
    pushed(registry, CONFIG)
    known = client.image(registry.reference("acme/web:stable"), AMD64)
    registry.put("acme/web:stable", manifest("another"))
    adopted = Image(known.reference, known.digest, config=known.config)
    assert client.facts(adopted, AMD64).labels["org.opencontainers.image.version"] == "1.4.2"


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"os": "linux", "architecture": "amd64"}, {}),
        (CONFIG | {"config": None}, {}),
        (CONFIG | {"config": {"Labels": None}}, {}),
        (CONFIG | {"config": {"Labels": {}}}, {}),
    ],
)
def test_no_labels_are_none(
    config: dict[str, Any],
    labels: dict[str, str],
    registry: FakeRegistry,
    client: RegistryClient,
) -> None:
    """Docker writes null, buildkit leaves them out."""
    pushed(registry, config)
    assert facts(registry, client).labels == labels


def test_a_config_without_a_platform_is_for_none(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """It is not taken for ours: the policy `platform` refuses it."""
    pushed(registry, {"config": {}, "os": 5})
    assert facts(registry, client).platform == Platform("", "", None)


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"os": "linux", "os": "windows"}',
        b'{"os": "linux", "OS": "windows"}',
        b'{"Config": {"Labels": {"a": "b"}}, "config": {}}',
        b'{"config": {"Labels": {"a": 1}}}',
        b'{"config": {"Labels": ["a"]}}',
        b'{"config": {"Labels": {"a": "b", "a": "c"}}}',
        b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}",
        b"\xff",
        json.dumps({"config": {"Labels": {str(n): "" for n in range(1001)}}}).encode(),
    ],
)
def test_a_config_that_two_could_read_differently_is_refused(
    config: bytes, registry: FakeRegistry, client: RegistryClient
) -> None:
    """The class of CVE-2021-41190: we would judge one image and the engine run another."""
    pushed(registry, config)
    with pytest.raises(UnsupportedManifestError, match=r"config of|labels in"):
        facts(registry, client)


def test_other_bytes_than_the_manifest_says_are_refused(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Labels of somebody's choice would pass every policy about them."""
    document = pushed(registry, CONFIG)
    digest = document["config"]["digest"]
    honest = registry.blobs["acme/web", digest]
    registry.blobs["acme/web", digest] = honest.replace(b"1.4.2", b"9.9.9")
    with pytest.raises(DigestMismatchError):
        facts(registry, client)


def test_a_huge_config_is_not_read(registry: FakeRegistry, client: RegistryClient) -> None:
    """Refused by what the manifest says, before it is asked for."""
    pushed(registry, b"{" + b" " * (4 * 1024 * 1024) + b"}")
    with pytest.raises(UnsupportedManifestError, match="at most"):
        facts(registry, client)
    assert not any("/blobs/" in seen.path for seen in registry.seen)


def test_a_config_that_is_missing_is_no_answer(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """And no answer admits nothing."""
    pushed(registry, CONFIG)
    registry.blobs.clear()
    with pytest.raises(ManifestNotFoundError):
        facts(registry, client)


def test_a_registry_that_fails_meanwhile_is_asked_again_later(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Unknown is not a refusal."""
    pushed(registry, CONFIG)

    def down(seen: Seen, reply: Reply) -> Reply:
        return Reply(503) if "/blobs/" in seen.path else reply

    registry.edits.append(down)
    with pytest.raises(RegistryUnavailableError):
        facts(registry, client)


def test_an_index_in_the_place_of_the_manifest_is_refused(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Whoever kept an image's record could otherwise be led to another."""
    pushed(registry, CONFIG)
    digest = registry.put("acme/web:x", index({"linux/amd64": manifest()}))
    image = Image(registry.reference("acme/web:x"), digest, digest, digest, OCI_MANIFEST)
    with pytest.raises(UnsupportedManifestError, match="an index where"):
        client.facts(image, AMD64)
