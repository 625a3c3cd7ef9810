"""What jobs of GitHub and GitLab really left in the public Sigstore.

Verified offline with the keys that come with sigstore-python. The bundles are those of packages on
PyPI, as the sources of pypi-attestations 0.0.30 (test/assets, Apache-2.0) have them; two were in
PyPI's own wrapping (PEP 740) and are unwrapped. What they are about is a file, not an image: a
digest is a digest.
"""

from dataclasses import replace
from pathlib import Path

from tests.core.policies.judged import candidate
from tests.fakes import image_of
from webhook_launcher.adapters.keyless import KeylessVerifier
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.evidence import Evidence
from webhook_launcher.core.keyless import KeylessIdentity, Vouching
from webhook_launcher.core.policies import AttestedBy
from webhook_launcher.core.reference import Digest, parse_reference

HERE = Path(__file__).parent / "bundles"
GITHUB = KeylessIdentity(
    "https://token.actions.githubusercontent.com",
    "https://github.com/trailofbits/pypi-attestations",
    "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml",
    ("refs/tags/*",),
)
GITLAB = KeylessIdentity(
    "https://gitlab.com",
    "https://gitlab.com/facutuesca/gitlab-oidc-project",
    "https://gitlab.com/facutuesca/gitlab-oidc-project//.gitlab-ci.yml",
    ("refs/heads/main",),
)


def looked(name: str, identity: KeylessIdentity) -> Vouching:
    """What the identity vouches for in one recorded bundle."""
    content = (HERE / f"{name}.json").read_bytes()
    attachment = Attachment(Form.BUNDLE, "application/vnd.dev.sigstore.bundle.v0.3+json", content)
    return KeylessVerifier().verify(identity, [attachment])


def verdict(name: str, identity: KeylessIdentity, policy: AttestedBy, digest: str) -> str:
    """What the policy says of it."""
    found = candidate(Evidence(vouching={identity: looked(name, identity)}))
    image = image_of(parse_reference("ghcr.io/acme/web:stable"), Digest(f"sha256:{digest}"))
    return policy.verify(replace(found, image=image))


def test_build_provenance_by_github() -> None:
    """The whole way, with everything real: actions/attest-build-provenance, Fulcio, Rekor."""
    said = verdict(
        "github-provenance",
        GITHUB,
        AttestedBy(GITHUB),
        "9bb1add04b1b4e182be6b0b80931593f7a291eb49d69b4fd728a5d4cbcdc4bd3",
    )
    assert said == (
        "slsa-provenance by https://github.com/trailofbits/pypi-attestations/.github/workflows/"
        "release.yml@refs/tags/v0.0.19, commit 08802efe1f8e5fec4ad842d6b8ce97656092ee72, run "
        "https://github.com/trailofbits/pypi-attestations/actions/runs/12169989787/attempts/1, "
        "2024-12-04 23:13 UTC"
    )


def test_a_job_of_gitlab() -> None:
    """GitLab writes two slashes before the file: as it is in the certificate, so it is asked."""
    kind = "https://docs.pypi.org/attestations/publish/v1"
    said = verdict(
        "gitlab-publish",
        GITLAB,
        AttestedBy(GITLAB, frozenset({kind})),
        "c1ca9b0d85df1606451098233018534497bf584362e10e4a8c21dfaea92c02a8",
    )
    assert said.startswith(f"{kind} by {GITLAB.workflow}@refs/heads/main, commit 72f7c63b")


def test_a_repository_that_was_renamed_keeps_its_number() -> None:
    """So a name alone would let go of it, and hand it to whoever takes the old name."""
    now = replace(GITHUB, repository_id="772247423")
    before = replace(
        now,
        repository="https://github.com/trailofbits/pypi-attestation-models",
        workflow="https://github.com/trailofbits/pypi-attestation-models/.github/workflows/"
        "release.yml",
    )
    for name, identity in [("github-provenance", now), ("github-before-renaming", before)]:
        assert len(looked(name, identity).vouched) == 1
        squatter = replace(identity, repository_id="772247424")
        assert len(looked(name, squatter).vouched) == 0
