"""The client against distribution itself (2.8), filled by plain HTTP PUTs."""

import os
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
import requests

from tests.adapters.registry.fake import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Document,
    encode,
    index,
    manifest,
    sha256,
)
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.errors import ManifestNotFoundError
from webhook_launcher.core.model import Platform
from webhook_launcher.core.reference import Digest, Reference, parse_reference

pytestmark = pytest.mark.engine

AMD64 = Platform("linux", "amd64")


class Repository:
    """A fresh repository in the real registry."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.name = f"test/{uuid4().hex}"

    def reference(self, rest: str) -> Reference:
        """`:tag` or `@digest`."""
        return parse_reference(f"{self.host}/{self.name}{rest}")

    def push(self, tag: str, document: Document) -> Digest:
        """PUT a manifest; its digest as the registry says it."""
        answer = requests.put(
            f"http://{self.host}/v2/{self.name}/manifests/{tag}",
            data=encode(document),
            headers={"Content-Type": document["mediaType"]},
            timeout=10,
        )
        answer.raise_for_status()
        return Digest(answer.headers["Docker-Content-Digest"])

    def push_blob(self, body: bytes) -> None:
        """A monolithic upload: POST, then PUT to the place it names."""
        begun = requests.post(f"http://{self.host}/v2/{self.name}/blobs/uploads/", timeout=10)
        begun.raise_for_status()
        place = begun.headers["Location"]
        answer = requests.put(place, params={"digest": str(sha256(body))}, data=body, timeout=10)
        answer.raise_for_status()


@pytest.fixture
def repository() -> Repository:
    """A repository that has the blobs of the test's manifests."""
    # KeyError, not a skip: a test that needs an engine never skips where one is promised.
    repository = Repository(os.environ["LAUNCHER_TEST_REGISTRY"])
    for body in (b"layer", b"config of app", b"config of arm"):
        repository.push_blob(body)
    return repository


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    """A client on the real clock."""
    client = RegistryClient({}, lambda _: None, now=time.monotonic, sleep=time.sleep)
    yield client
    client.close()


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_single_manifest(repository: Repository, client: RegistryClient, media_type: str) -> None:
    """2.8 converts schema 2 for clients that do not ask for it: we must get it as it is."""
    document = manifest(media_type=media_type)
    digest = repository.push("stable", document)
    image = client.image(repository.reference(":stable"), AMD64)
    assert (image.digest, image.manifest) == (digest, digest)
    assert image.config == document["config"]["digest"]
    assert image.media_type == media_type
    assert client.head(repository.reference(":stable")) == digest


@pytest.mark.parametrize(
    ("list_type", "media_type"), [(OCI_INDEX, OCI_MANIFEST), (DOCKER_LIST, DOCKER_MANIFEST)]
)
def test_index(
    repository: Repository, client: RegistryClient, list_type: str, media_type: str
) -> None:
    """2.8 answers a list with the amd64 manifest to clients that do not ask for lists."""
    ours, theirs = manifest("app", media_type), manifest("arm", media_type)
    manifest_digest = repository.push("ours", ours)
    repository.push("theirs", theirs)
    digest = repository.push(
        "stable", index({"linux/arm64": theirs, "linux/amd64": ours}, list_type)
    )
    image = client.image(repository.reference(":stable"), AMD64)
    assert image.ids == {digest, manifest_digest, ours["config"]["digest"]}
    assert client.head(repository.reference(":stable")) == digest
    by_digest = client.image(repository.reference(f":ignored@{digest}"), AMD64)
    assert by_digest.ids == image.ids


def test_missing_tag_and_repository(repository: Repository, client: RegistryClient) -> None:
    """Distribution's own words for what is missing reach the operator."""
    with pytest.raises(ManifestNotFoundError, match="MANIFEST_UNKNOWN"):
        client.image(repository.reference(":gone"), AMD64)
    with pytest.raises(ManifestNotFoundError):
        client.head(repository.reference(":gone"))
    with pytest.raises(ManifestNotFoundError):
        client.image(parse_reference(f"{repository.host}/never/pushed:1"), AMD64)


def test_moved_tag(repository: Repository, client: RegistryClient) -> None:
    """No answer is cached: the tag's new digest is seen by the very next look."""
    first = repository.push("stable", manifest("app"))
    reference = repository.reference(":stable")
    assert client.head(reference) == first
    second = repository.push("stable", manifest("arm"))
    assert client.head(reference) == client.image(reference, AMD64).digest == second
    assert client.image(reference.at(first), AMD64).digest == first


def test_every_tag_is_listed(repository: Repository, client: RegistryClient) -> None:
    """Distribution's own list: 2.8 knows no pages, 3 does; both end."""
    pushed = [f"1.{number}.0" for number in range(12)] + ["latest"]
    for tag in pushed:
        repository.push(tag, manifest())
    where = repository.reference(":latest").repository
    assert sorted(client.tags(where)) == sorted(pushed)
    with pytest.raises(ManifestNotFoundError, match="the tags of"):
        client.tags(parse_reference(f"{repository.host}/never/pushed:1").repository)
