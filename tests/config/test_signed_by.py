"""`signed_by` in the configuration: keys are judged when it is loaded, each with its place."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.config.faults import faults_of, good
from tests.signing import Signer
from webhook_launcher.core.attachment import Form
from webhook_launcher.core.policies import SignedBy

PLACE = "workloads.web.policy"
KEYS = f"{PLACE}[0].signed_by.keys"
SIGNER = Signer("release")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration beside key files."""
    (tmp_path / "cosign.pub").write_bytes(SIGNER.pem)
    (tmp_path / "other.pub").write_bytes(Signer().pem)
    (tmp_path / "cosign.key").write_bytes(
        SIGNER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    (tmp_path / "ed25519.pub").write_bytes(
        edwards.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "empty.pub").touch()
    return tmp_path / "config.yml"


def read(directory: Path, **written: Any) -> SignedBy:
    """The policy of a good configuration."""
    (policy,) = good(PLACE, [{"signed_by": written}], directory).workloads["web"].policies
    assert isinstance(policy, SignedBy)
    return policy


def problems(directory: Path, **written: Any) -> dict[str, str]:
    """The problems of a bad one."""
    return faults_of(PLACE, [{"signed_by": written}], directory)


def key(**changes: Any) -> dict[str, Any]:
    """An entry of the list of keys."""
    return {"id": "release", "key_file": "cosign.pub"} | changes


def test_a_key_and_nothing_else(directory: Path) -> None:
    """What most people write: both forms, no annotations, until the key is removed."""
    policy = read(directory, keys=[key()])
    assert policy == SignedBy((SIGNER.public(),))
    assert policy.forms == frozenset(Form)


def test_everything(directory: Path) -> None:
    """As docs/configuration.md writes it."""
    policy = read(
        directory,
        keys=[key(not_after="2027-01-31"), key(id=2027, key_file="other.pub")],
        format="bundle",
        annotations={"env": "prod"},
    )
    assert [one.id for one in policy.keys] == ["release", "2027"]
    assert policy.forms == {Form.BUNDLE}
    assert policy.annotations == {"env": "prod"}


def test_a_key_may_stand_in_the_file_itself(directory: Path) -> None:
    """It is public: one file less to carry around."""
    policy = read(directory, keys=[{"id": "release", "key": SIGNER.pem.decode()}])
    assert policy.keys == (SIGNER.public(),)


@pytest.mark.parametrize(
    ("written", "end"),
    [
        ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC)),  # the whole day
        ("2027-01-31T12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_the_end_of_a_key(directory: Path, written: str, end: datetime) -> None:
    """On our clock, in UTC, whatever zone it was written in."""
    assert read(directory, keys=[key(not_after=written)]).keys[0].not_after == end


@pytest.mark.parametrize(
    "written",
    ["tomorrow", "2027-01-31T12:00:00", "2027-13-01", "9999-12-31", "", 2027, "٢٠٢٧-01-01"],
)
def test_no_end_that_two_people_read_differently(directory: Path, written: object) -> None:
    """A time without its zone, or none at all."""
    assert f"{KEYS}[0].not_after" in problems(directory, keys=[key(not_after=written)])


@pytest.mark.parametrize("form", [form.value for form in Form])
def test_forms(directory: Path, form: str) -> None:
    """An explicit form cannot be moved to the other by hiding what is there."""
    assert read(directory, keys=[key()], format=form).forms == {Form(form)}


@pytest.mark.parametrize(
    ("written", "place", "why"),
    [
        ({}, "keys", "at least one key"),
        ({"keys": []}, "keys", "at least one key"),
        ({"keys": "cosign.pub"}, "keys", "must be a list"),
        ({"keys": [{"id": "a"}]}, "keys[0].key_file", "is missing"),
        ({"keys": [{"key_file": "cosign.pub"}]}, "keys[0].id", "is missing"),
        ({"keys": [key(key_file="none.pub")]}, "keys[0].key_file", "cannot read"),
        ({"keys": [key(key_file="empty.pub")]}, "keys[0].key_file", "is empty"),
        ({"keys": [key(key_file="cosign.key")]}, "keys[0].key_file", "private key"),
        ({"keys": [key(key_file="ed25519.pub")]}, "keys[0].key_file", "Ed25519ph"),
        ({"keys": [key(key_file="config.yml")]}, "keys[0].key_file", "cannot read"),
        ({"keys": [key(key="x")]}, "keys[0].key", "given twice"),
        ({"keys": [key(keyfile="x")]}, "keys[0].keyfile", "not a known key"),
        ({"keys": [key(), key()]}, "keys[1]", "same key as 'release'"),
        ({"keys": [key(), key(key_file="other.pub")]}, "keys[1].id", "id of another key"),
        ({"keys": [key()], "format": "v3"}, "format", "must be any, legacy, bundle"),
        ({"keys": [key()], "format": []}, "format", "must be any, legacy, bundle"),
        ({"keys": [key()], "annotations": ["env"]}, "annotations", "must be a mapping"),
        ({"keys": [key()], "annotations": {"n": 1}}, "annotations", "in quotes"),
        ({"keys": [key()], "anotations": {}}, "anotations", "did you mean 'annotations'?"),
    ],
)
def test_what_cannot_be_meant_refuses_the_file(
    directory: Path, written: dict[str, Any], place: str, why: str
) -> None:
    """Fails closed, at load: at the first deployment it would be too late to be told."""
    found = problems(directory, **written)
    assert why in found[f"{PLACE}[0].signed_by.{place}"]


@pytest.mark.parametrize("item", ["signed_by", {"signed_by": None}, {"signed_by": []}])
def test_without_keys_there_is_no_such_policy(directory: Path, item: object) -> None:
    """An empty one must never mean "any key"."""
    assert faults_of(PLACE, [item], directory)
