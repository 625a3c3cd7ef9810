"""`signed_by` against what cosign 2 and 3 really leave in a real registry.

Odd payloads that only a key holder can make are in tests/core; here is what the tools write, and
what somebody with push access can do with it.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from testbed.cosign import Publisher
from testbed.images import Recipe, TestRegistry, digest_of
from tests.cosign import program
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.attachment import Form
from webhook_launcher.core.errors import NotSignedYetError, PolicyRefusedError
from webhook_launcher.core.evidence import Evidence
from webhook_launcher.core.model import Action, Image, Origin, Trust, WorkloadState
from webhook_launcher.core.policies import SignedBy
from webhook_launcher.core.policy import Candidate

pytestmark = pytest.mark.engine
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
FORM_OF = {2: Form.LEGACY, 3: Form.BUNDLE}
BOTH = pytest.mark.parametrize("major", [2, 3])
INDEX = "application/vnd.oci.image.index.v1+json"


class Scene:
    """A repository, publishers with their keys, and the launcher's own look at what is there."""

    def __init__(self, registry: TestRegistry, repository: str, keys: Path) -> None:
        self.registry = registry
        self.repository = repository
        self.keys = keys
        self.client = RegistryClient({}, lambda _: None, now=time.monotonic, sleep=time.sleep)

    def push(self, marker: str = "one") -> Image:
        """An image that nobody signed yet."""
        return self.registry.push(self.repository, marker, Recipe(marker))

    def publisher(self, major: int, identity: str = "release") -> Publisher:
        """Somebody with a key of their own, the same in every test: making one takes a while."""
        publisher = Publisher(self.keys, identity, major)
        return publisher if (self.keys / f"{identity}.pub").exists() else publisher.generate()

    def verdict(self, image: Image, policy: SignedBy) -> str:
        """What the policy says of the image after a look at the registry. May raise."""
        candidate = Candidate(
            "web",
            (image.reference.repository,),
            image,
            Action.CHECK,
            Origin(Trust.POLL, "poll"),
            WorkloadState("web"),
            datetime.now(UTC),
            Evidence(attachments=self.client.attachments(image)),
        )
        return policy.verify(candidate)

    def copy(self, image: Image, target: str) -> Image:
        """The image and all that is attached to it, byte for byte, to another repository."""
        tag = image.digest.replace(":", "-")
        for name in (image.digest, f"{tag}.sig", tag):
            self._copy_manifest(name, target)
        repository = replace(image.reference.repository, path=target)
        return replace(image, reference=replace(image.reference, repository=repository))

    def _copy_manifest(self, name: str, target: str) -> None:
        accept = f"{OCI_MANIFEST}, {INDEX}, application/vnd.docker.distribution.manifest.v2+json"
        try:
            body = self.registry.manifest(self.repository, name, accept)
        except OSError:  # 404: it is not there
            return
        document = json.loads(body)
        for entry in document.get("manifests", []):
            self._copy_manifest(entry["digest"], target)
        for blob in [document.get("config"), *document.get("layers", [])]:
            if blob is not None:
                self.registry.put_blob(target, self.registry.blob(self.repository, blob["digest"]))
        self.registry.put_manifest(target, name, body, document["mediaType"])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the publishers keep their keys; without their tools, nothing can be shown."""
    for major in FORM_OF:
        program(major)
    return tmp_path_factory.mktemp("keys")


@pytest.fixture
def scene(registry: TestRegistry, repository: str, keys: Path) -> Iterator[Scene]:
    """A scene of its own for each test."""
    made = Scene(registry, repository, keys)
    yield made
    made.client.close()


def trusting(*publishers: Publisher) -> SignedBy:
    """The policy with the keys of these."""
    return SignedBy(tuple(publisher.key for publisher in publishers))


# ── what the tools write ─────────────────────────────────────────────────────────────────────────


@BOTH
def test_good_signature(scene: Scene, major: int) -> None:
    """cosign 2 writes the one form, cosign 3 the other; a registry without referrers API."""
    image, release = scene.push(), scene.publisher(major)
    with pytest.raises(NotSignedYetError, match="nothing is attached"):
        scene.verdict(image, trusting(release))
    release.sign(image.pinned)
    assert scene.verdict(image, trusting(release)) == f"signed by release ({FORM_OF[major]})"


def test_cosign_3_in_the_legacy_form(scene: Scene) -> None:
    """For registries and verifiers that cannot do with bundles."""
    image, release = scene.push(), scene.publisher(3)
    release.sign(image.pinned, "--new-bundle-format=false")
    policy = replace(trusting(release), forms=frozenset({Form.LEGACY}))
    assert scene.verdict(image, policy) == "signed by release (legacy)"


@BOTH
def test_wrong_key(scene: Scene, major: int) -> None:
    """Anybody who may push can sign with a key of their own."""
    image, stranger = scene.push(), scene.publisher(major, "stranger")
    stranger.sign(image.pinned)
    with pytest.raises(NotSignedYetError, match="made by none of the keys"):
        scene.verdict(image, trusting(scene.publisher(major)))


@BOTH
def test_two_signatures_of_which_one_is_ours(scene: Scene, major: int) -> None:
    """Whichever came first."""
    image, release = scene.push(), scene.publisher(major)
    scene.publisher(major, "before").sign(image.pinned)
    release.sign(image.pinned)
    scene.publisher(major, "after").sign(image.pinned)
    assert scene.verdict(image, trusting(release)).startswith("signed by release")


@BOTH
def test_required_annotation(scene: Scene, major: int) -> None:
    """cosign's `verify` of bundles looks at it only when it is told to."""
    image, release = scene.push(), scene.publisher(major)
    policy = replace(trusting(release), annotations={"env": "prod"})
    release.sign(image.pinned, "-a", "env=test")
    with pytest.raises(NotSignedYetError, match="without the annotation env=prod"):
        scene.verdict(image, policy)
    release.sign(image.pinned, "-a", "env=prod", "-a", "by=ci")
    assert scene.verdict(image, policy).startswith("signed by release")


@BOTH
def test_an_index_is_signed_and_not_its_platforms(scene: Scene, major: int) -> None:
    """The digest that is asked for is the one that is signed, and nothing below it."""
    index = scene.registry.push_index(scene.repository, "index", Recipe("index"))
    release = scene.publisher(major)
    release.sign(index.pinned)
    assert scene.verdict(index, trusting(release))
    assert index.manifest is not None
    with pytest.raises(NotSignedYetError):
        scene.verdict(replace(index, digest=index.manifest), trusting(release))


RSA = rsa.generate_private_key(65537, 2048)
P384 = ec.generate_private_key(ec.SECP384R1())


@BOTH
@pytest.mark.parametrize("key", [RSA, P384], ids=["RSA", "P-384"])
def test_other_keys(
    scene: Scene, tmp_path: Path, major: int, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    """P-384: cosign 2 hashes with SHA-256, cosign 3 with SHA-384."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    release = replace(Publisher(tmp_path).import_key(pem), major=major)
    image = scene.push()
    release.sign(image.pinned)
    assert scene.verdict(image, trusting(release)) == f"signed by release ({FORM_OF[major]})"


@pytest.mark.usefixtures("keys")
def test_ed25519_from_cosign_is_refused_at_load(tmp_path: Path) -> None:
    """With the reason, before anybody signs with it."""
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    release = Publisher(tmp_path).import_key(pem)
    with pytest.raises(ValueError, match="Ed25519ph"):
        _ = release.key


# ── what somebody with push access can do with it ────────────────────────────────────────────────


def test_signature_of_another_image_retagged(scene: Scene) -> None:
    """The attack that a digest in the payload is there for."""
    old, new, release = scene.push("old"), scene.push("new"), scene.publisher(2)
    release.sign(old.pinned)
    tag = f"{old.digest.replace(':', '-')}.sig"
    body = scene.registry.manifest(scene.repository, tag, OCI_MANIFEST)
    target = f"{new.digest.replace(':', '-')}.sig"
    scene.registry.put_manifest(scene.repository, target, body, OCI_MANIFEST)
    with pytest.raises(PolicyRefusedError, match=f"but for {old.digest}") as refused:
        scene.verdict(new, trusting(release))
    assert not refused.value.retryable


@pytest.mark.parametrize("subject", ["as it was", "rewritten"])
def test_bundle_of_another_image_listed_under_this_one(scene: Scene, subject: str) -> None:
    """Index and OCI subject are the pusher's; the statement's subject is not."""
    old, new, release = scene.push("old"), scene.push("new"), scene.publisher(3)
    release.sign(old.pinned)
    index = scene.registry.manifest(scene.repository, old.digest.replace(":", "-"), INDEX)
    if subject == "rewritten":
        (entry,) = json.loads(index)["manifests"]
        manifest = scene.registry.manifest(scene.repository, entry["digest"], OCI_MANIFEST)
        forged = manifest.replace(old.digest.encode(), new.digest.encode())
        scene.registry.put_manifest(scene.repository, digest_of(forged), forged, OCI_MANIFEST)
        index = index.replace(entry["digest"].encode(), digest_of(forged).encode())
    target = new.digest.replace(":", "-")
    scene.registry.put_manifest(scene.repository, target, index, INDEX)
    with pytest.raises(PolicyRefusedError, match=f"but for {old.digest}"):
        scene.verdict(new, trusting(release))


def test_tampered_payload(scene: Scene) -> None:
    """Rewritten and stored anew under its own digest, with the old signature beside it."""
    old, new, release = scene.push("old"), scene.push("new"), scene.publisher(2)
    release.sign(old.pinned)
    tag = f"{old.digest.replace(':', '-')}.sig"
    document = json.loads(scene.registry.manifest(scene.repository, tag, OCI_MANIFEST))
    (layer,) = document["layers"]
    payload = scene.registry.blob(scene.repository, layer["digest"])
    forged = payload.replace(old.digest.encode(), new.digest.encode())
    scene.registry.put_blob(scene.repository, forged)
    layer["digest"] = digest_of(forged)
    target = f"{new.digest.replace(':', '-')}.sig"
    body = json.dumps(document).encode()
    scene.registry.put_manifest(scene.repository, target, body, OCI_MANIFEST)
    with pytest.raises(NotSignedYetError, match="made by none of the keys"):
        scene.verdict(new, trusting(release))


def test_legacy_signature_copied_to_another_repository(scene: Scene) -> None:
    """cosign accepts it, by its own specification; a test image must not pass as production."""
    image, release = scene.push(), scene.publisher(2)
    release.sign(image.pinned)
    copied = scene.copy(image, f"{scene.repository}-production")
    with pytest.raises(
        NotSignedYetError, match=f"made by release for {image.reference.repository}"
    ):
        scene.verdict(copied, trusting(release))
    release.sign(copied.pinned)  # beside the old one, as after a promotion
    assert scene.verdict(copied, trusting(release)) == "signed by release (legacy)"


def test_legacy_signature_under_another_name_of_the_registry(scene: Scene) -> None:
    """What the documentation says to do when the push goes through another name."""
    image, release = scene.push(), scene.publisher(2)
    release.sign(image.pinned, "--sign-container-identity", "ghcr.io/acme/web")
    with pytest.raises(NotSignedYetError, match=r"for ghcr\.io/acme/web"):
        scene.verdict(image, trusting(release))
    release.sign(image.pinned, "--sign-container-identity", str(image.reference.repository))
    assert scene.verdict(image, trusting(release))


def test_bundle_copied_to_another_repository_is_accepted(scene: Scene) -> None:
    """It names none; docs/configuration.md says what to do about it."""
    image, release = scene.push(), scene.publisher(3)
    release.sign(image.pinned)
    copied = scene.copy(image, f"{scene.repository}-production")
    assert scene.verdict(copied, trusting(release)) == "signed by release (bundle)"


@BOTH
def test_attestation_in_place_of_a_signature(scene: Scene, major: int) -> None:
    """GHSA-w6c6-c85g-mmv6: cosign 3.1's `verify --key` exits 0 for this image."""
    image, release = scene.push(), scene.publisher(major)
    release.attest(image.pinned, '{"result": "FAIL: do not deploy"}')
    with pytest.raises(NotSignedYetError) as refused:
        scene.verdict(image, trusting(release))
    if major == 3:
        assert "which is no signature" in str(refused.value)
    release.sign(image.pinned)
    assert scene.verdict(image, trusting(release)).startswith("signed by release")
