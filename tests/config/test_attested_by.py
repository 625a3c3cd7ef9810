"""`attested_by` in the configuration: names become what the certificate must say, or a problem."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.config.faults import faults_of, good
from tests.keyless import GITHUB, REPOSITORY, SLSA, WORKFLOW, Sigstore
from webhook_launcher.core.cosign import SIGN_TYPE
from webhook_launcher.core.keyless import KeylessIdentity
from webhook_launcher.core.policies import AttestedBy

PLACE = "workloads.web.policy"
AT = f"{PLACE}[0].attested_by"
ROOT = Sigstore().trusted_root()
CALLED = "acme/ci/.github/workflows/build.yml@refs/tags/v1"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration beside a trusted root, and files that are none."""
    (tmp_path / "trusted_root.json").write_bytes(ROOT)
    (tmp_path / "array.json").write_text("[]")
    (tmp_path / "bundle.json").write_text('{"mediaType": "application/vnd.dev.sigstore.bundle"}')
    (tmp_path / "long.json").write_bytes(ROOT + b" " * 1024**2)
    return tmp_path / "config.yml"


def written(**changes: Any) -> dict[str, Any]:
    """What most people write; None leaves a key out."""
    least = {
        "repository": "acme/web",
        "workflow": ".github/workflows/release.yml",
        "ref": "refs/heads/main",
    }
    return {key: value for key, value in (least | changes).items() if value is not None}


def read(directory: Path, **changes: Any) -> AttestedBy:
    """The policy of a good configuration."""
    item = {"attested_by": written(**changes)}
    (policy,) = good(PLACE, [item], directory).workloads["web"].policies
    assert isinstance(policy, AttestedBy)
    return policy


def test_what_most_people_write(directory: Path) -> None:
    """A workflow of the repository itself, at GitHub, with build provenance."""
    identity = KeylessIdentity(GITHUB, REPOSITORY, WORKFLOW, ("refs/heads/main",))
    assert read(directory) == AttestedBy(identity, frozenset({SLSA}))


def test_everything(directory: Path) -> None:
    """As docs/configuration.md writes it."""
    policy = read(
        directory,
        issuer="https://gitlab.com",
        repository="https://gitlab.com/acme/web",
        workflow="https://gitlab.com/acme/web//.gitlab-ci.yml",
        ref=["refs/heads/main", "refs/tags/*"],
        predicate=["signature", "https://in-toto.io/attestation/release/v0.1"],
        repository_id=55235664,
        owner_id="12885801",
        trusted_root="trusted_root.json",
    )
    assert policy == AttestedBy(
        KeylessIdentity(
            "https://gitlab.com",
            "https://gitlab.com/acme/web",
            "https://gitlab.com/acme/web//.gitlab-ci.yml",
            ("refs/heads/main", "refs/tags/*"),
            "55235664",
            "12885801",
            ROOT,
        ),
        frozenset({SIGN_TYPE, "https://in-toto.io/attestation/release/v0.1"}),
    )


def test_a_workflow_of_another_repository(directory: Path) -> None:
    """It says of which ref it must be: whoever owns it decides what is built."""
    at_commit = CALLED.replace("refs/tags/v1", "08802efe1f8e5fec4ad842d6b8ce97656092ee72")
    for spelled, called in [
        (CALLED, CALLED),
        (f"https://github.com/{CALLED}", CALLED),
        (at_commit, at_commit),
    ]:
        identity = read(directory, workflow=spelled).identity
        assert identity.signer("refs/heads/main") == f"https://github.com/{called}"


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [
        ({"repository": None}, "repository", "is missing"),
        ({"workflow": None}, "workflow", "is missing"),
        ({"ref": None}, "ref", "is missing"),
        ({"repository": "acme"}, "repository", "whole name of one repository"),
        ({"repository": "acme/*"}, "repository", "without a pattern"),
        ({"repository": "https://github.com/acme/web/"}, "repository", "whole name"),
        ({"repository": "http://github.com/acme/web"}, "repository", "whole name"),
        ({"issuer": "https://gitlab.com"}, "repository", "https:// address"),
        ({"issuer": "gitlab.com"}, "issuer", "must be the issuer's https:// address"),
        ({"issuer": f"{GITHUB}/"}, "issuer", "must be the issuer's https:// address"),
        ({"workflow": "release.yml"}, "workflow", "such as .github/workflows/release.yml"),
        ({"workflow": ".github/workflows/*.yml"}, "workflow", "must be a file"),
        ({"workflow": ".github/workflows/release.yml@refs/heads/x"}, "workflow", "must be a file"),
        ({"workflow": CALLED.partition("@")[0]}, "workflow", "is of another repository"),
        ({"workflow": CALLED.replace("v1", "*")}, "workflow", "must be a file"),
        ({"workflow": f"https://github.com/acme/web-2/{'x'}"}, "workflow", "another repository"),
        ({"ref": "main"}, "ref", "refs/heads/main"),
        ({"ref": "*"}, "ref", "refs/heads/main"),
        ({"ref": "refs/*"}, "ref", "refs/heads/main"),  # pull requests too
        ({"ref": "refs/main"}, "ref", "refs/heads/main"),
        ({"workflow": CALLED.replace("refs/tags/v1", "v1")}, "workflow", "must be a file"),
        ({"workflow": CALLED.replace("refs/tags/v1", "")}, "workflow", "must be a file"),
        ({"ref": "refs/heads/v*"}, "ref", "refs/heads/main"),
        ({"ref": []}, "ref", "at least one ref"),
        ({"ref": ["refs/heads/main", 1]}, "ref", "refs/heads/main"),
        ({"predicate": "provenance"}, "predicate", "slsa-provenance, signature"),
        ({"predicate": []}, "predicate", "at least one type"),
        ({"predicate": {}}, "predicate", "slsa-provenance"),
        ({"repository_id": "acme"}, "repository_id", "the number itself"),
        ({"owner_id": True}, "owner_id", "must be text"),
        ({"trusted_root": "none.json"}, "trusted_root", "cannot read"),
        ({"trusted_root": "array.json"}, "trusted_root", "is no trusted root"),
        ({"trusted_root": "bundle.json"}, "trusted_root", "is no trusted root"),
        ({"trusted_root": "config.yml"}, "trusted_root", "cannot read"),
        ({"trusted_root": "long.json"}, "trusted_root", "is no trusted root"),
        ({"repo": "acme/web"}, "repo", "not a known key"),
    ],
)
def test_what_cannot_be_meant_refuses_the_file(
    directory: Path, changes: dict[str, Any], key: str, why: str
) -> None:
    """Fails closed at load; a name that is only nearly right would refuse every image later."""
    found = faults_of(PLACE, [{"attested_by": written(**changes)}], directory)
    assert why in found[f"{AT}.{key}"]


@pytest.mark.parametrize("item", ["attested_by", {"attested_by": None}, {"attested_by": {}}])
def test_without_an_identity_there_is_no_such_policy(directory: Path, item: object) -> None:
    """An empty one must never mean "anybody"."""
    assert faults_of(PLACE, [item], directory)


def test_without_the_extra_it_does_not_load(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that cannot be asked must stop the launcher, and say how to go on."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sigstore" else find(name)
    )
    found = faults_of(PLACE, [{"attested_by": written()}], directory)
    assert "pip install 'webhook-launcher[keyless]'" in found[AT]
