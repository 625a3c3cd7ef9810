"""A signed envelope around bytes that in-toto's and sigstore's tools read: DSSE, with Ed25519.

Rules: the DSSE protocol and envelope, v1.0.2 (github.com/secure-systems-lab/dsse). What is signed
is PAE(type, payload), so a signature for one type is none for another (CVE-2022-35929). Keys are
PEM: PKCS #8 for the private, SubjectPublicKeyInfo for the public one.

`unseal` takes exactly the bytes that `seal` makes. Common tools are laxer, and may be; but the next
receipt holds the hash of these bytes, and the last of a chain has no next one.
"""

import base64
import json
from collections.abc import Mapping
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from webhook_launcher.core import strict_json

_MAKE_ONE = "make one with `openssl genpkey -algorithm ed25519`"


class EnvelopeError(ValueError):
    """The bytes are not an envelope that one of the keys signed; the text says why."""


class PublicKey:
    """An Ed25519 key that verifies. `id` is the SHA-256 of its DER, in hex."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = sha256(der).hexdigest()

    @property
    def pem(self) -> bytes:
        """As `openssl pkey -pubout` writes it."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """True when this key made the signature over the message."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """An Ed25519 key that signs. Its `repr` shows nothing."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @property
    def pem(self) -> bytes:
        """As `openssl genpkey` writes it, not encrypted."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and other.public.id == self.public.id

    def __hash__(self) -> int:
        return hash(self.public.id)

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032)."""
        return self._key.sign(message)


def generate_key() -> PrivateKey:
    """A new key, from the operating system's randomness."""
    return PrivateKey(Ed25519PrivateKey.generate())


def parse_private_key(pem: bytes) -> PrivateKey:
    """An Ed25519 key. Raises ValueError, which says what to write and never quotes the key."""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("is encrypted; the launcher has no passphrase for it") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"is not a private key in PEM; {_MAKE_ONE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"is not an Ed25519 key; {_MAKE_ONE}")
    return PrivateKey(key)


def parse_public_key(pem: bytes) -> PublicKey:
    """An Ed25519 key. Raises ValueError, which says what to give instead."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a public key in PEM; `receipts key` prints it") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("is not an Ed25519 key; `receipts key` prints it")
    return PublicKey(key)


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding of type and payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, key: PrivateKey) -> bytes:
    """The envelope as one line of JSON, without a line end."""
    return _written(payload_type, payload, key.public.id, key.sign(pae(payload_type, payload)))


def unseal(envelope: bytes, payload_type: str, keys: Mapping[str, PublicKey]) -> tuple[str, bytes]:
    """The payload, and before it the id of that one of `keys` which signed it.

    In order: 1. the bytes are those of an envelope with one signature, and of no other spelling of
    it; 2. its type is `payload_type`; 3. its key is one of `keys`; 4. the signature is that key's.
    Raises EnvelopeError.
    """
    kind, payload, key_id, signature = _read(envelope)
    if kind != payload_type:
        raise EnvelopeError(f"its payload is not {payload_type}")
    key = keys.get(key_id)
    if key is None:
        raise EnvelopeError(f"it names another key: {key_id[:64]}")
    if not key.verifies(signature, pae(kind, payload)):
        raise EnvelopeError("its signature is not over this content")
    return key_id, payload


def claimed(envelope: bytes) -> bytes:
    """The payload, whoever wrote it: for messages, never for decisions. Raises EnvelopeError."""
    return _read(envelope)[1]


def _written(kind: str, payload: bytes, key_id: str, signature: bytes) -> bytes:
    envelope = {
        "payloadType": kind,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key_id, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


def _read(envelope: bytes) -> tuple[str, bytes, str, bytes]:
    """Type, payload, key id and signature."""
    try:
        document = strict_json.loads(envelope)
    except strict_json.StrictJsonError as error:
        raise EnvelopeError(f"it is no envelope: {error}") from None
    match document:
        case {
            "payloadType": str(kind),
            "payload": str(payload),
            "signatures": [{"keyid": str(key_id), "sig": str(signature)}],
        }:
            parts = kind, _bytes(payload), key_id, _bytes(signature)
        case _:
            raise EnvelopeError("it is no envelope with one signature")
    # Spaces, escapes, other keys, the unused bits of base64: nothing that nobody signs.
    if _written(*parts) != envelope:
        raise EnvelopeError("it is an envelope, but not as the launcher writes it")
    return parts


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise EnvelopeError("it is no envelope: not base64") from None
