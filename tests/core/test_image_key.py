"""Which keys may sign images, and what a wrong key file is told."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.signing import Signer
from webhook_launcher.core.image_key import read_image_key

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Made once: it takes a while.
RSA_2048 = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())


def pem(key: PublicKeyTypes) -> bytes:
    """A public key as a file."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (P256, SHA256()),
        (P384, SHA384()),  # cosign 3
        (P384, SHA256()),  # cosign 2
        (RSA_2048, SHA256()),
    ],
)
def test_what_cosign_signs_with_is_verified(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, algorithm: HashAlgorithm
) -> None:
    """A key that is accepted at load must work with every cosign that people have."""
    signer = Signer(key=key, hash=algorithm)
    signature = signer.sign(b"content")
    assert signer.public().made(signature, b"content")
    assert not signer.public().made(signature, b"other content")
    assert not signer.public().made(signature[:-1], b"content")
    assert not signer.public().made(b"", b"content")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(P256, SHA384()), (P384, SHA512()), (RSA_2048, SHA384())],
)
def test_other_hashes_are_not(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, algorithm: HashAlgorithm
) -> None:
    """Every further way to be right is one that nobody looks after."""
    signer = Signer(key=key, hash=algorithm)
    assert not signer.public().made(signer.sign(b"content"), b"content")


def test_another_key_did_not_make_it() -> None:
    """Otherwise anybody could sign."""
    assert not Signer().public().made(Signer().sign(b"content"), b"content")


def test_a_key_ends_at_its_time() -> None:
    """GHSA-wqqc-jjcq-vfxm: a window of validity that nobody enforces is none."""
    key = Signer().public(not_after=NOON)
    assert not key.expired(NOON - timedelta(microseconds=1))
    assert key.expired(NOON)
    assert not Signer().public().expired(NOON)


def test_ed25519_is_refused_with_the_reason() -> None:
    """It looks like the better key; without the reason people would report a bug."""
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(ValueError, match=r"Ed25519ph.*cosign generate-key-pair"):
        read_image_key("k", pem(public))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        dsa.generate_private_key(2048).public_key(),
    ],
)
def test_other_kinds_are_refused(key: PublicKeyTypes) -> None:
    """Only kinds that cosign signs with in one known way."""
    with pytest.raises(ValueError, match="no ECDSA key of P-256 or P-384 and no RSA key"):
        read_image_key("k", pem(key))


def test_short_rsa_is_refused() -> None:
    """1024 bits have been factored."""
    key = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505 - that is the test
    with pytest.raises(ValueError, match="1024 bits; 2048 to 8192"):
        read_image_key("k", pem(key))


def test_a_private_key_is_refused_as_one() -> None:
    """It should not be on this host at all; the message must not repeat it."""
    private = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="private key") as raised:
        read_image_key("k", private)
    assert private.decode().splitlines()[1] not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        pem(P256.public_key()) + pem(P384.public_key()),
    ],
)
def test_anything_but_one_public_key_is_refused(content: bytes) -> None:
    """Of two keys in a file, one would be believed by accident."""
    with pytest.raises(ValueError, match="must hold one public key in PEM"):
        read_image_key("k", content)


@pytest.mark.parametrize(
    "content",
    [
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\n",
        pem(P256.public_key()).replace(b"MFkw", b"MFkx"),
    ],
)
def test_a_damaged_key_is_refused(content: bytes) -> None:
    """At load, with words, and not at the first deployment."""
    with pytest.raises(ValueError, match="cannot be read"):
        read_image_key("k", content)


def test_one_key_under_two_ids_can_be_told() -> None:
    """The configuration refuses it: two ends of validity for one key are a contradiction."""
    signer = Signer()
    assert read_image_key("a", signer.pem).der == read_image_key("b", b"# x\n" + signer.pem).der
    assert signer.public().der != Signer().public().der
