"""`RegistryClient.blob`: hashed bytes, and the only redirects that are followed."""

from collections.abc import Callable

import pytest

from tests.adapters.registry.conftest import MakeClient
from tests.adapters.registry.fake import Auth, FakeRegistry, Reply, Seen, sha256, sha512
from webhook_launcher.adapters.registry import Credential, RegistryClient, RegistrySettings
from webhook_launcher.adapters.registry.blobs import checked_place
from webhook_launcher.adapters.registry.document import Descriptor
from webhook_launcher.core.errors import (
    DigestMismatchError,
    ManifestNotFoundError,
    RateLimitedError,
    RegistryError,
    RegistryUnavailableError,
    UnsupportedManifestError,
)
from webhook_launcher.core.reference import Digest, Repository

BODY = b'{"config": {"Labels": {"a": "b"}}}'
LIMIT = 1024
HUB = RegistrySettings("docker.io")
LOOPBACK = RegistrySettings("127.0.0.1:5000")
COMPANY = RegistrySettings("registry.example.com", insecure=True)


def of(body: bytes, digest: Digest | None = None) -> Descriptor:
    """What a manifest says of these bytes."""
    return Descriptor("application/octet-stream", digest or sha256(body), len(body))


def web(registry: FakeRegistry) -> Repository:
    """The repository of these tests."""
    return Repository(registry.host, "acme/web")


def to(location: str, status: int = 307) -> Callable[[Seen, Reply], Reply]:
    """An edit that sends requests for blobs elsewhere."""

    def edit(seen: Seen, reply: Reply) -> Reply:
        if "/v2/" not in seen.path or "/blobs/" not in seen.path or reply.status != 200:
            return reply
        return Reply(status, {"Location": location})

    return edit


def test_bytes_as_they_are_stored(registry: FakeRegistry, client: RegistryClient) -> None:
    """Signatures are over bytes: nothing may be decoded or changed on the way."""
    registry.put_blob("acme/web", BODY)
    assert client.blob(web(registry), of(BODY), LIMIT) == BODY
    assert registry.seen[0].headers["accept-encoding"] == "identity"


def test_sha512_is_a_digest_too(registry: FakeRegistry, client: RegistryClient) -> None:
    """The image-spec registers it, and the descriptor says which it is."""
    registry.blobs["acme/web", str(sha512(BODY))] = BODY
    assert client.blob(web(registry), of(BODY, sha512(BODY)), LIMIT) == BODY


def test_other_bytes_are_refused(registry: FakeRegistry, client: RegistryClient) -> None:
    """A registry or a proxy that swaps a blob must not be believed."""
    registry.blobs["acme/web", str(sha256(BODY))] = BODY.replace(b"b", b"c")
    with pytest.raises(DigestMismatchError):
        client.blob(web(registry), of(BODY), LIMIT)


def test_a_size_that_is_not_the_descriptors_is_refused(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """The size is signed together with the digest; two readers must not see two documents."""
    registry.put_blob("acme/web", BODY)
    wanted = Descriptor("application/octet-stream", sha256(BODY), len(BODY) - 1)
    with pytest.raises(DigestMismatchError):
        client.blob(web(registry), wanted, LIMIT)


def test_a_large_one_is_not_even_asked_for(registry: FakeRegistry, client: RegistryClient) -> None:
    """Limits come before work."""
    with pytest.raises(UnsupportedManifestError, match="at most 1024"):
        client.blob(web(registry), of(bytes(LIMIT + 1)), LIMIT)
    assert registry.seen == []


def test_one_larger_than_it_says_is_cut_off(registry: FakeRegistry, client: RegistryClient) -> None:
    """A descriptor is a claim: memory is bounded by what arrives."""
    registry.blobs["acme/web", str(sha256(BODY))] = bytes(LIMIT + 1)
    with pytest.raises(RegistryError, match="more than 1024 bytes"):
        client.blob(web(registry), of(BODY), LIMIT)


def test_a_missing_blob_is_said(registry: FakeRegistry, client: RegistryClient) -> None:
    """A manifest without its blob is a push that did not finish."""
    with pytest.raises(ManifestNotFoundError, match="404"):
        client.blob(web(registry), of(BODY), LIMIT)


@pytest.mark.parametrize(
    ("status", "error"), [(429, RateLimitedError), (500, RegistryUnavailableError)]
)
def test_an_overloaded_registry_is_asked_later(
    registry: FakeRegistry, client: RegistryClient, status: int, error: type[Exception]
) -> None:
    """Unknown is neither yes nor no."""
    registry.edits.append(lambda seen, reply: Reply(status))
    with pytest.raises(error):
        client.blob(web(registry), of(BODY), LIMIT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_storage_elsewhere_gets_no_credentials(
    registry: FakeRegistry, other: FakeRegistry, make_client: MakeClient, status: int
) -> None:
    """Object stores are other hosts; the token is the registry's and nobody else's."""
    registry.auth = Auth(users={"ann": "secret"})
    digest = registry.put_blob("acme/web", BODY)
    other.put_blob("store", BODY)
    registry.edits.append(to(f"http://{other.host}/v2/store/blobs/{digest}?X-Sig=abc%2F", status))
    client = make_client(credential=Credential("ann", "secret"))
    assert client.blob(web(registry), of(BODY), LIMIT) == BODY
    assert [seen.query for seen in other.seen] == [{"X-Sig": "abc/"}]
    assert all("authorization" not in seen.headers for seen in other.seen)
    assert "authorization" in registry.seen[-1].headers


def test_storage_that_lies_is_refused(
    registry: FakeRegistry, other: FakeRegistry, client: RegistryClient
) -> None:
    """The bytes are judged by their digest, wherever they come from."""
    digest = registry.put_blob("acme/web", BODY)
    other.blobs["store", digest] = b"x" * len(BODY)
    registry.edits.append(to(f"http://{other.host}/v2/store/blobs/{digest}"))
    with pytest.raises(DigestMismatchError):
        client.blob(web(registry), of(BODY), LIMIT)


def test_storage_that_is_down_is_the_registrys_failure(
    registry: FakeRegistry, other: FakeRegistry, client: RegistryClient
) -> None:
    """It is tried again; and a signed URL is a secret that no error may show."""
    registry.put_blob("acme/web", BODY)
    registry.edits.append(to(f"http://{other.host}/gone?X-Signature=s3cr3t"))
    with pytest.raises(RegistryUnavailableError, match="which answers 404") as raised:
        client.blob(web(registry), of(BODY), LIMIT)
    assert "s3cr3t" not in str(raised.value) + raised.value.advice()


def test_a_circle_ends(registry: FakeRegistry, client: RegistryClient) -> None:
    """Every redirect is a request of ours."""
    registry.put_blob("acme/web", BODY)
    registry.edits.append(lambda seen, reply: Reply(307, {"Location": seen.path}))
    with pytest.raises(RegistryError, match="from place to place"):
        client.blob(web(registry), of(BODY), LIMIT)
    assert len(registry.seen) == 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_manifests_and_heads_follow_no_redirect(
    registry: FakeRegistry, other: FakeRegistry, client: RegistryClient, status: int
) -> None:
    """Only blobs may be elsewhere."""
    registry.edits.append(lambda seen, reply: Reply(status, {"Location": f"http://{other.host}/"}))
    with pytest.raises(RegistryError, match="a redirect, which is not followed"):
        client.head(registry.reference("acme/web:stable"))
    assert other.seen == []


@pytest.mark.parametrize(
    ("settings", "location", "place"),
    [
        (HUB, "https://cdn.example.net/a?b=%2F", "https://cdn.example.net/a?b=%2F"),
        (HUB, "/elsewhere", "https://registry-1.docker.io/elsewhere"),
        (HUB, "https://10.1.2.3/a", "https://10.1.2.3/a"),
        (LOOPBACK, "http://localhost:9000/a", "http://localhost:9000/a"),
        (COMPANY, "http://10.1.2.3:9000/a", "http://10.1.2.3:9000/a"),
    ],
)
def test_where_it_may_lead(settings: RegistrySettings, location: str, place: str) -> None:
    """Real storage: a CDN, the registry itself, an object store by address."""
    assert checked_place(f"{settings.base}/v2/acme/web/blobs/x", location, settings) == place


@pytest.mark.parametrize(
    ("settings", "location"),
    [
        (HUB, ""),
        (HUB, "http://cdn.example.net/a"),
        (HUB, "ftp://cdn.example.net/a"),
        (HUB, "file:///etc/passwd"),
        (HUB, "https://user:pass@cdn.example.net/a"),
        (HUB, "https://cdn.example.net\\@evil.example/a"),
        (HUB, "https://cdn.example.net/a#b"),
        (HUB, "https://cdn.example.net/a\r\nX: y"),
        (HUB, "https://[::1/a"),
        (HUB, "https://localhost/a"),
        (HUB, "https://127.0.0.1/a"),
        (HUB, "https://127.1/a"),
        (HUB, "https://0x7f000001/a"),
        (HUB, "https://2130706433/a"),
        (HUB, "https://[::ffff:127.0.0.1]/a"),
        (HUB, "https://[::1]/a"),
        (HUB, "https://0.0.0.0/a"),
        (COMPANY, "http://169.254.169.254/latest/meta-data/"),
        (COMPANY, "http://[fe80::1]/a"),
        (COMPANY, "http://127.0.0.1:2375/containers/json"),
        (COMPANY, "http://foo.localhost/a"),
    ],
)
def test_where_it_may_not_lead(settings: RegistrySettings, location: str) -> None:
    """A registry must not be able to aim us at this host's own services or out of TLS."""
    with pytest.raises(RegistryError, match="redirects a blob"):
        checked_place(f"{settings.base}/v2/acme/web/blobs/x", location, settings)
