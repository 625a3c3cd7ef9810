"""`attested_by` and a real registry; and cosign 3 on the small Sigstore that the tests sign with.

No test can reach the public Sigstore. What it really left is in tests/adapters/keyless; here is
where that lies in a registry, and that the stand-in is a true one: another implementation accepts
what it signs, and refuses what is to be refused.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from testbed.images import Recipe, TestRegistry, digest_of
from tests.cosign import program
from tests.keyless import GITHUB, REF, REPOSITORY, WORKFLOW, Sigstore, claims, edited, statement
from tests.signing import bundle_manifest, encode
from webhook_launcher.adapters.keyless import KeylessVerifier
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.attachment import Attachment
from webhook_launcher.core.errors import NotSignedYetError, PolicyRefusedError
from webhook_launcher.core.evidence import Evidence
from webhook_launcher.core.keyless import KeylessIdentity
from webhook_launcher.core.model import Action, Image, Origin, Trust, WorkloadState
from webhook_launcher.core.policies import AttestedBy
from webhook_launcher.core.policy import Candidate

pytestmark = pytest.mark.engine
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
SIGSTORE = Sigstore()
IDENTITY = KeylessIdentity(
    GITHUB, REPOSITORY, WORKFLOW, (REF,), trusted_root=SIGSTORE.trusted_root()
)
POLICY = AttestedBy(IDENTITY)


class Scene:
    """A repository in a registry, and the launcher's own look at what is attached there."""

    def __init__(self, registry: TestRegistry, repository: str) -> None:
        self.registry = registry
        self.repository = repository
        self.client = RegistryClient({}, lambda _: None, now=time.monotonic, sleep=time.sleep)

    def push(self, marker: str) -> Image:
        """An image that nobody attested yet."""
        return self.registry.push(self.repository, marker, Recipe(marker))

    def attach(self, image: Image, *attachments: Attachment) -> None:
        """As `push-to-registry: true` does where there is no referrers API."""
        entries = []
        for attachment in attachments:
            document, blobs = bundle_manifest(attachment, {"digest": image.digest})
            for blob in blobs:
                self.registry.put_blob(self.repository, blob)
            body = encode(document)
            self.registry.put_manifest(self.repository, digest_of(body), body, OCI_MANIFEST)
            entries.append(
                {"mediaType": OCI_MANIFEST, "digest": digest_of(body), "size": len(body)}
            )
        index = encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
        tag = image.digest.replace(":", "-")
        self.registry.put_manifest(self.repository, tag, index, OCI_INDEX)

    def verdict(self, image: Image) -> str:
        """What the policy says of the image after a look at the registry. May raise."""
        vouching = KeylessVerifier().verify(IDENTITY, self.client.attachments(image))
        candidate = Candidate(
            "web",
            (image.reference.repository,),
            image,
            Action.CHECK,
            Origin(Trust.POLL, "poll"),
            WorkloadState("web"),
            datetime.now(UTC),
            Evidence(vouching={IDENTITY: vouching}),
        )
        return POLICY.verify(candidate)


@pytest.fixture
def scene(registry: TestRegistry, repository: str) -> Iterator[Scene]:
    """A scene of its own for each test."""
    made = Scene(registry, repository)
    yield made
    made.client.close()


def test_an_attestation_beside_others_is_found(scene: Scene) -> None:
    """Where GitHub's action and cosign 3 put it, among what strangers put there."""
    image = scene.push("one")
    with pytest.raises(NotSignedYetError, match="nothing is attached"):
        scene.verdict(image)
    strangers = Sigstore().attest(statement(image.digest))
    scene.attach(image, strangers)
    with pytest.raises(NotSignedYetError, match="certificate chain"):
        scene.verdict(image)
    scene.attach(image, strangers, SIGSTORE.attest(statement(image.digest)))
    assert scene.verdict(image).startswith(f"slsa-provenance by {WORKFLOW}@{REF}")


def test_an_attestation_moved_to_another_image(scene: Scene) -> None:
    """Index and OCI subject are the pusher's to write; the statement's subject is not."""
    old, new = scene.push("old"), scene.push("new")
    scene.attach(new, SIGSTORE.attest(statement(old.digest)))
    with pytest.raises(PolicyRefusedError, match="another digest"):
        scene.verdict(new)


# ── cosign's own opinion of the stand-in ─────────────────────────────────────────────────────────

FILE = b"what was built"


@pytest.fixture
def cosign(tmp_path: Path) -> Path:
    """A directory with a file, the trusted root, and cosign 3 linked in it."""
    (tmp_path / "cosign").symlink_to(program(3))
    (tmp_path / "file").write_bytes(FILE)
    (tmp_path / "root.json").write_bytes(SIGSTORE.trusted_root())
    return tmp_path


def accepts(cosign: Path, bundle: Attachment) -> bool:
    """Whether cosign 3 takes a bundle for an attestation of the file by our workflow."""
    (cosign / "bundle.json").write_bytes(bundle.content)
    argv = [
        "./cosign",
        "verify-blob-attestation",
        "--bundle=bundle.json",
        "--trusted-root=root.json",
        f"--certificate-identity={WORKFLOW}@{REF}",
        f"--certificate-oidc-issuer={GITHUB}",
        "--type=slsaprovenance1",
        "file",
    ]
    done = subprocess.run(argv, cwd=cosign, capture_output=True, text=True, check=False)
    return done.returncode == 0


def test_cosign_accepts_what_the_stand_in_signs(cosign: Path) -> None:
    """Else the tests would show that the launcher agrees with the tests."""
    assert accepts(cosign, SIGSTORE.attest(statement(digest_of(FILE))))


def test_cosign_refuses_what_it_should(cosign: Path) -> None:
    """And not because it takes everything."""
    good = SIGSTORE.attest(statement(digest_of(FILE)))
    other = claims(signer=f"{WORKFLOW}-evil@{REF}")
    for bad in (
        SIGSTORE.attest(statement(digest_of(b"other"))),
        SIGSTORE.attest(statement(digest_of(FILE)), SIGSTORE.leaf(other)),
        Sigstore().attest(statement(digest_of(FILE))),
        replace(SIGSTORE, ct=Sigstore().ct).attest(statement(digest_of(FILE))),
        replace(SIGSTORE, rekor=Sigstore().rekor).attest(statement(digest_of(FILE))),
        edited(good, lambda bundle: bundle["verificationMaterial"].update(tlogEntries=[])),
    ):
        assert not accepts(cosign, bad), json.loads(bad.content)["verificationMaterial"]
