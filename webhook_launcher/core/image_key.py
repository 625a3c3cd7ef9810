"""Public keys that sign images: which kinds are believed, and with which hash.

======  ==============================  ====================================================
P-256   ECDSA, SHA-256                  what `cosign generate-key-pair` makes
P-384   ECDSA, SHA-384 or SHA-256       cosign 3 signs with the one, cosign 2 with the other
RSA     2048 to 8192 bits, PKCS #1      SHA-256
        v1.5
======  ==============================  ====================================================

Ed25519 is refused: cosign 2 signs with pure Ed25519, cosign 3 with Ed25519ph, which neither
`cryptography` nor cosign 3's own `verify` can check.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

_CURVES: dict[str, tuple[HashAlgorithm, ...]] = {
    "secp256r1": (SHA256(),),
    "secp384r1": (SHA384(), SHA256()),
}
# Below, RSA can be factored by those who mean it; above, a check would cost too much time.
_RSA_BITS = range(2048, 8192 + 1)
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_MAKE = "make one with `cosign generate-key-pair` (P-256) and give its cosign.pub"


@dataclass(frozen=True, slots=True)
class ImageKey:
    """A key that may sign images until `not_after` (an aware time; None: until it is removed)."""

    id: str
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey = field(repr=False)
    not_after: datetime | None = None

    @property
    def der(self) -> bytes:
        """SubjectPublicKeyInfo: two keys are one when this is equal."""
        return self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def expired(self, now: datetime) -> bool:
        """True from `not_after` on."""
        return self.not_after is not None and now >= self.not_after

    def made(self, signature: bytes, content: bytes) -> bool:
        """Did this key sign the content? `signature` is DER for ECDSA."""
        key = self.key
        if isinstance(key, rsa.RSAPublicKey):
            checks = [partial(key.verify, signature, content, padding.PKCS1v15(), SHA256())]
        else:
            schemes = [ec.ECDSA(algorithm) for algorithm in _CURVES[key.curve.name]]
            checks = [partial(key.verify, signature, content, scheme) for scheme in schemes]
        return any(_passes(check) for check in checks)


def read_image_key(identity: str, pem: bytes, not_after: datetime | None = None) -> ImageKey:
    """A key from a file with one PEM block. Raises ValueError saying what to give instead."""
    kinds = [kind.decode("ascii") for kind in _BEGIN.findall(pem)]
    if any("PRIVATE" in kind for kind in kinds):
        raise ValueError(
            "holds a private key, which belongs where images are signed and nowhere else; "
            "give its public half (`cosign public-key --key FILE`)"
        )
    if kinds != ["PUBLIC KEY"]:
        raise ValueError(f"must hold one public key in PEM (BEGIN PUBLIC KEY); {_MAKE}")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"holds a public key that cannot be read; {_MAKE}") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        raise ValueError(
            "is an Ed25519 key: cosign 3 signs with Ed25519ph, which cannot be verified here, nor "
            f"by cosign 3 itself; {_MAKE}"
        )
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _RSA_BITS:
            raise ValueError(f"is an RSA key of {key.key_size} bits; 2048 to 8192 are accepted")
        return ImageKey(identity, key, not_after)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return ImageKey(identity, key, not_after)
    raise ValueError(f"is no ECDSA key of P-256 or P-384 and no RSA key; {_MAKE}")


def _passes(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True
