"""The registry, a mirror or a man in the middle before it, and its token server."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.registry.conftest import Clock, MakeClient
from tests.adapters.registry.fake import (
    OCI_INDEX,
    OCI_MANIFEST,
    Auth,
    Document,
    FakeRegistry,
    Reply,
    Seen,
    encode,
    index,
    manifest,
    sha256,
)
from tests.adapters.registry.test_tls import client_of, make_pair
from tests.fakes import PLATFORM
from tests.signing import Signer
from tests.sources.authentic import CASES
from tests.sources.senders import NOW, changed
from tests.test_no_downgrade import guarded
from tests.world import WEB, A, B, World
from webhook_launcher.adapters.registry import Credential, RegistryClient, RegistrySettings
from webhook_launcher.adapters.registry.blobs import checked_place
from webhook_launcher.adapters.registry.realm import checked_realm
from webhook_launcher.core.errors import (
    AuthenticationError,
    DigestMismatchError,
    LauncherError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
    UnsupportedManifestError,
)
from webhook_launcher.core.policies import SignedBy
from webhook_launcher.core.source import KEY_LOOKUP
from webhook_launcher.sources import receive

__all__ = ["guarded"]  # a fixture


def lying(registry: FakeRegistry, body: bytes, **headers: str) -> None:
    """From now on manifests are these bytes, under these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    registry.edit(lambda _, reply: replace(reply, body=body, headers={**reply.headers, **named}))


def told(error: pytest.ExceptionInfo[LauncherError]) -> str:
    """What a log and a history would have of it: nothing for a terminal to obey."""
    text = str(error.value) + error.value.advice()
    assert all(character.isprintable() for character in text)
    return text


# ── the registry ─────────────────────────────────────────────────────────────────────────────


def test_other_bytes_than_the_digest(registry: FakeRegistry, client: RegistryClient) -> None:
    """R1: whatever its headers say, bytes are hashed here."""
    asked = registry.put("acme/web:stable", manifest("asked"))
    lying(registry, encode(manifest("swapped")), Docker_Content_Digest=str(asked))
    with pytest.raises(DigestMismatchError):
        client.image(registry.reference(f"acme/web@{asked}"), PLATFORM)


def test_a_header_against_the_body(registry: FakeRegistry, client: RegistryClient) -> None:
    """R2: a tag's digest is that of the bytes; a header that says otherwise is no small thing."""
    registry.put("acme/web:stable", manifest("one"))
    lying(registry, encode(manifest("one")), Docker_Content_Digest=f"sha256:{'0' * 64}")
    with pytest.raises(DigestMismatchError):
        client.image(registry.reference("acme/web:stable"), PLATFORM)


@pytest.mark.parametrize(
    "twist",
    [
        lambda d: d | {"manifests": []},
        lambda d: d | {"mediaType": OCI_INDEX},
        lambda d: d | {"Layers": []},
        lambda d: d | {"schemaVersion": 1},
        lambda d: d | {"config": d["config"] | {"mediaType": "application/x\n"}},
    ],
)
def test_a_document_that_two_readers_read_differently(
    registry: FakeRegistry, client: RegistryClient, twist: Callable[[Document], Document]
) -> None:
    """R3: what we verify is what the engine runs, or nothing is run (CVE-2021-41190)."""
    registry.put("acme/web:stable", encode(twist(manifest())), OCI_MANIFEST)
    with pytest.raises(UnsupportedManifestError) as raised:
        client.image(registry.reference("acme/web:stable"), PLATFORM)
    told(raised)


def test_another_platforms_manifest(registry: FakeRegistry, client: RegistryClient) -> None:
    """R4: a platform's manifest is the one that the index names, by digest, type and size."""
    ours, theirs = manifest("amd64"), manifest("arm64")
    listed = index({"linux/amd64": ours, "linux/arm64": theirs})
    tagged = registry.put("acme/web:stable", listed)
    for document in (ours, theirs):
        registry.put("acme/web:inner", document)
    image = client.image(registry.reference("acme/web:stable"), PLATFORM)
    assert (image.digest, image.manifest) == (tagged, sha256(encode(ours)))

    def swapped(seen: Seen, reply: Reply) -> Reply:
        inner = seen.path.endswith(str(sha256(encode(ours))))
        return replace(reply, body=encode(theirs), headers={}) if inner else reply

    registry.edit(swapped)
    with pytest.raises((DigestMismatchError, UnsupportedManifestError)):
        client.image(registry.reference("acme/web:stable"), PLATFORM)


def test_another_platforms_manifest_has_no_signature_of_its_own(world: World) -> None:
    """R4: a signature of the index is not one of what is inside it."""
    signer = Signer()
    world.workloads["web"] = replace(WEB, policies=(SignedBy((signer.public(),)),))
    world.restart()
    world.registry.attached[A] = (signer.bundle(A),)
    world.deploy(B)  # inside A, and not signed
    world.step()
    assert world.host.runs() is None
    world.deploy(A)
    world.work()
    assert world.host.runs() == A


@pytest.mark.parametrize("how", ["long", "slow", "interim"])
def test_an_answer_without_end(registry: FakeRegistry, client: RegistryClient, how: str) -> None:
    """R5: bytes and seconds of every answer are bounded."""
    registry.put("acme/web:stable", manifest())
    endless = {
        "long": Reply(200, {"Content-Type": OCI_MANIFEST}, b" " * (5 * 1024 * 1024)),
        "slow": Reply(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, pause=0.02),
        "interim": Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 400_000),
    }[how]
    registry.edit(lambda _, reply: endless)
    with pytest.raises(RegistryError) as raised:
        client.image(registry.reference("acme/web:stable"), PLATFORM)
    told(raised)


def test_nothing_stops_a_signature_that_is_hidden(world: World) -> None:
    """R6: a release can be held back: without its signature it does not run. Nor does another."""
    signer = Signer()
    world.push(A)
    world.work()
    world.workloads["web"] = replace(WEB, policies=(SignedBy((signer.public(),)),))
    world.restart()
    world.registry.attached[B] = ()  # it was signed; the registry says nothing of that
    world.push(B)
    world.work()
    assert world.host.runs() == A


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_text_for_terminals(registry: FakeRegistry, client: RegistryClient, status: int) -> None:
    """R7: an error of the registry is told in our words, and never in its own."""
    evil = "\x1b[2J\r\nevent: deployed \u202e"
    body = json.dumps({"errors": [{"code": evil, "message": evil}], "mediaType": evil}).encode()
    headers = {"Content-Type": "application/x;\x1b[2J", "X-Evil": "y"}
    registry.edit(lambda _, reply: Reply(status, headers, body))
    with pytest.raises(LauncherError) as raised:
        client.image(registry.reference("acme/web:stable"), PLATFORM)
    assert "deployed" not in told(raised)


def test_tags_that_are_none(registry: FakeRegistry, client: RegistryClient) -> None:
    """R8: options, paths and texts in a list of tags are left out, so none is ever pulled."""
    tags = ["1.0.0", "-rf", "../../x", "2.0.0\n", "\x1b[2J", 3, None, "9.9.9@sha256:0", "x" * 200]

    def listing(seen: Seen, reply: Reply) -> Reply:
        headers = {"Content-Type": "application/json"}
        return Reply(200, headers, encode({"name": "acme/web", "tags": tags}))

    registry.edits.append(listing)
    assert client.tags(registry.reference("acme/web:x").repository) == ["1.0.0"]


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://user@storage.example/",
        "https://storage.example\\@169.254.169.254/",
        "file:///etc/passwd",
        "//169.254.169.254/",
        "gopher://x/",
    ],
)
def test_a_redirect_to_this_host(place: str) -> None:
    """R9: a cloud's metadata service and whatever else listens here is not asked."""
    settings = RegistrySettings("ghcr.io")
    with pytest.raises(RegistryError) as raised:
        checked_place("https://ghcr.io/v2/acme/web/blobs/sha256:0", place, settings)
    assert "meta-data" not in told(raised)


def test_a_redirect_of_a_manifest(
    registry: FakeRegistry, client: RegistryClient, other: FakeRegistry
) -> None:
    """R9: manifests and tokens are not followed anywhere."""
    other.put("acme/web:stable", manifest())
    place = f"http://{other.host}/v2/acme/web/manifests/stable"
    registry.edit(lambda _, reply: Reply(307, {"Location": place}))
    with pytest.raises(RegistryError, match="not followed"):
        client.image(registry.reference("acme/web:stable"), PLATFORM)
    assert not other.seen


def test_nothing_stops_a_redirect_to_a_name_that_resolves_to_this_host() -> None:
    """R10: only what is written as an address is known for one; a GET is sent, without answer."""
    settings = RegistrySettings("ghcr.io")
    place = "https://127.0.0.1.nip.example/x"
    assert checked_place("https://ghcr.io/v2/a/blobs/b", place, settings) == place


def test_the_newest_tag_hidden(client: RegistryClient, registry: FakeRegistry) -> None:
    """R11: a list that ends early, or goes on elsewhere, is an error and never a shorter list."""
    registry.put("acme/web:1.0.0", manifest())

    def cut(seen: Seen, reply: Reply) -> Reply:
        headers = {**reply.headers, "Link": '<https://evil.example/v2/x/tags/list>; rel="next"'}
        return replace(reply, headers=headers)

    registry.edits.append(cut)
    with pytest.raises(RegistryError) as raised:
        client.tags(registry.reference("acme/web:x").repository)
    told(raised)


# ── between us and the registry ──────────────────────────────────────────────────────────────


def test_a_certificate_of_nobody(tmp_path: Path, clock: Clock) -> None:
    """M1: TLS is verified by the system's store, and there is no way to turn that off."""
    pair = make_pair(tmp_path, "0.0.0.0")  # noqa: S104 - loopback by a name that is none
    registry = FakeRegistry(pair.server, "0.0.0.0")  # noqa: S104 - as above
    try:
        client = client_of(clock, None)
        with pytest.raises(RegistryUnavailableError, match="certificate"):
            client.image(registry.reference("acme/web:stable"), PLATFORM)
        client.close()
        assert not registry.seen
    finally:
        registry.close()


def test_nothing_stops_a_tag_over_plain_http(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """M2: where `insecure` is configured, whoever is between says what a tag is."""
    registry.put("acme/web:stable", manifest("honest"))
    forged = encode(manifest("forged"))
    lying(registry, forged, Docker_Content_Digest=str(sha256(forged)))
    assert client.image(registry.reference("acme/web:stable"), PLATFORM).digest == sha256(forged)


def test_a_proxy_of_the_environment(
    registry: FakeRegistry,
    client: RegistryClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """M3: neither proxies nor `.netrc`, nor authorities, of the environment are used."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil\n")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    registry.put("acme/web:stable", manifest())
    client.image(registry.reference("acme/web:stable"), PLATFORM)
    assert not any("authorization" in seen.headers for seen in registry.seen)


# ── the token server ─────────────────────────────────────────────────────────────────────────


def test_credentials_for_another_host(
    registry: FakeRegistry, make_client: MakeClient, other: FakeRegistry
) -> None:
    """A1: a challenge that names somebody else's token server gets nothing sent anywhere."""
    registry.put("acme/web:stable", manifest())
    other.auth = Auth(users={"me": "canary-password"})
    registry.auth = Auth(realm="https://tokens.evil.example/token")
    client = make_client(credential=Credential("me", "canary-password"))
    with pytest.raises(RegistryDeniedError) as raised:
        client.image(registry.reference("acme/web:stable"), PLATFORM)
    assert "canary" not in told(raised)
    assert not any("authorization" in seen.headers for seen in registry.seen)


@pytest.mark.parametrize(
    "realm",
    [
        "http://ghcr.io/token",
        "https://ghcr.io.evil.example/token",
        "https://ghcr.io@evil.example/token",
        "https://ghcr.io\\.evil.example/token",
        "https://evil.example/https://ghcr.io/token",
        "https://169.254.169.254/token",
        "https://ghcr.io:99999/token",
        "https://ghcr.io/token#@evil.example",
        "https://ghcr.io/token\r\nHost: evil.example",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_realm_that_another_parser_reads_otherwise(realm: str) -> None:
    """A2: one pattern for the whole address, and the host must be a part of the registry."""
    with pytest.raises(RegistryDeniedError) as raised:
        checked_realm(realm, RegistrySettings("ghcr.io"))
    told(raised)


@pytest.mark.parametrize("token", ["x\r\nX-Evil: y", "x y", "", 5, None, "\u2028"])
def test_a_token_that_is_a_header(
    registry: FakeRegistry, client: RegistryClient, token: object
) -> None:
    """A3: what a token server gives is sent on only if it is one word of a header."""
    registry.put("acme/web:stable", manifest())
    registry.auth = Auth(anonymous=True)

    def evil(seen: Seen, reply: Reply) -> Reply:
        headers = {"Content-Type": "application/json"}
        return Reply(200, headers, encode({"token": token})) if seen.path == "/token" else reply

    registry.edits.append(evil)
    with pytest.raises(LauncherError) as raised:
        client.image(registry.reference("acme/web:stable"), PLATFORM)
    told(raised)
    assert not any("x-evil" in seen.headers for seen in registry.seen)


def test_a_wider_scope(registry: FakeRegistry, client: RegistryClient) -> None:
    """A4: the scope is built here, to pull one repository, whatever the challenge asks for."""
    registry.put("acme/web:stable", manifest())
    registry.auth = Auth(anonymous=True)

    def wider(_: Seen, reply: Reply) -> Reply:
        challenge = reply.headers.get("WWW-Authenticate", "")
        headers = {"WWW-Authenticate": challenge.replace(":pull", ":pull,push,delete")}
        return replace(reply, headers={**reply.headers, **headers}) if challenge else reply

    registry.edits.append(wider)
    client.image(registry.reference("acme/web:stable"), PLATFORM)
    asked = [seen.query["scope"] for seen in registry.seen if seen.path == "/token"]
    assert asked == ["repository:acme/web:pull"]


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.eu-central-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem",
        "https://evil.s3.amazonaws.com/SimpleNotificationService-0.pem",
        "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/SimpleNotificationService-0.pem",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
    ],
)
def test_a_certificate_from_elsewhere(url: str) -> None:
    """A5: keys are fetched from the sender's own host and name; others are not even asked."""
    case = next(case for case in CASES if case.kind == "sns")
    asked: list[str] = []

    def lookup(name: str) -> None:
        asked.append(name)

    source = replace(case.source, options={**case.source.options, KEY_LOOKUP: lookup})
    with pytest.raises(AuthenticationError):
        receive(changed(case.delivery, ("SigningCertURL", url)), source, NOW)
    assert asked == []
