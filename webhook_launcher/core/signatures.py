"""Who sent these bytes: Standard Webhooks (v1, v1a), HMAC over the raw body, static secrets.

Every check looks at every candidate and every secret before it answers, compares in constant time
on bytes, and returns the id of what matched or raises AuthenticationError, whose text never says
what would have matched. Rules: standardwebhooks.com, RFC 2104; `v1a` and its `whsk_`/`whpk_` keys
are Svix's Ed25519 scheme. An empty secret matches nothing, whatever the configuration let through.
"""

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from webhook_launcher.core.errors import AuthenticationError

Scheme = Literal["v1", "v1a"]
Algorithm = Literal["sha1", "sha256", "sha512"]  # sha1 only where the sender has nothing better
Encoding = Literal["hex", "base64"]

# A rotation needs two; more entries than this are somebody buying our processor time.
MAX_SIGNATURES = 16
_MAX_ID = 256
_ED25519_BYTES = 32
# Standard Webhooks asks senders for 24 to 64 bytes; below 16 a secret can be searched for.
_MIN_SECRET_BYTES = 16
_SIGNATURE_BYTES: dict[str, int] = {"v1": 32, "v1a": 64}
_DIGEST_BYTES: dict[str, int] = {"sha1": 20, "sha256": 32, "sha512": 64}
# Not `isdigit`, which knows digits of other scripts; not `float`, which knows 1e9 and nan.
_SECONDS = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_PRINTABLE = re.compile(r"[!-~]+")


class SharedSecret(Protocol):
    """What HMAC and static checks need of a secret: the id to report and the bytes."""

    @property
    def id(self) -> str:
        """The name under which the configuration knows it."""

    @property
    def value(self) -> bytes:
        """The secret itself."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that verifies one Standard Webhooks scheme: HMAC secret (v1) or public key (v1a)."""

    id: str
    scheme: Scheme
    material: bytes = field(repr=False)
    overrides: frozenset[str] = frozenset()  # policies that an event signed with it may override


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs: HMAC secret (v1) or Ed25519 seed (v1a)."""

    scheme: Scheme
    material: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """What a verified Standard Webhooks delivery proves besides its body."""

    id: str
    signed_at: datetime
    key_id: str


def parse_verification_key(id: str, text: str) -> VerificationKey:  # noqa: A002 - the field's name
    """`whsec_` and base64 (or bare base64) for v1, `whpk_` and base64 of 32 bytes for v1a.

    Raises ValueError, which says what to write instead and never quotes the key.
    """
    prefix, material = _split_key(text)
    if prefix == "whsk_":
        raise ValueError(
            "a private key (whsk_) belongs to the sender alone; give its public half (whpk_) here"
        )
    if prefix == "whpk_":
        if len(material) != _ED25519_BYTES:
            raise ValueError("a public key is `whpk_` and the base64 of exactly 32 bytes")
        return VerificationKey(id, "v1a", material)
    return VerificationKey(id, "v1", _long_enough(material))


def parse_signing_key(text: str) -> SigningKey:
    """`whsec_` and base64 (or bare base64) for v1; `whsk_` and base64 of seed + public for v1a.

    Raises ValueError, which says what to write instead and never quotes the key.
    """
    prefix, material = _split_key(text)
    if prefix == "whpk_":
        raise ValueError("a public key (whpk_) cannot sign; give the private half (whsk_)")
    if prefix == "whsec_":
        return SigningKey("v1", _long_enough(material))
    seed, public = material[:_ED25519_BYTES], material[_ED25519_BYTES:]
    if len(seed) != _ED25519_BYTES or public not in (b"", _public_of(seed)):
        raise ValueError(
            "a private key is `whsk_` and the base64 of 64 bytes, seed and public key; "
            "make a pair with `webhook-launcher keygen`"
        )
    return SigningKey("v1a", seed)


def generate_secret(randomness: Callable[[int], bytes]) -> str:
    """A new `whsec_` secret; `randomness(n)` gives n random bytes (`os.urandom`)."""
    return f"whsec_{_b64(randomness(32))}"


def generate_key_pair(randomness: Callable[[int], bytes]) -> tuple[str, str]:
    """A new Ed25519 pair: (`whsk_` private key, `whpk_` public key)."""
    seed = randomness(_ED25519_BYTES)
    public = _public_of(seed)
    return f"whsk_{_b64(seed + public)}", f"whpk_{_b64(public)}"


def sign(id: str, timestamp: int, body: bytes, keys: Iterable[SigningKey]) -> str:  # noqa: A002
    """The `webhook-signature` header: one signature per key, separated by spaces."""
    content = _signed_content(id, str(timestamp), body)
    return " ".join(f"{key.scheme},{_b64(_signature(key, content))}" for key in keys)


def verify_standard_webhook(
    headers: Mapping[str, str],
    body: bytes,
    keys: Sequence[VerificationKey],
    *,
    now: datetime,
    tolerance: timedelta,
) -> SignedMessage:
    """Verify `webhook-id`, `-timestamp` and `-signature` (or the `svix-` alias) over the body.

    `headers` has lower-case names. In order: 1. the three headers of one family are there; 2. the
    time is ASCII digits and within `tolerance` of `now`, early or late; 3. one of at most
    MAX_SIGNATURES entries was made by one of `keys` of the entry's own scheme; unknown schemes and
    malformed entries are passed over. Raises AuthenticationError.
    """
    message_id, seconds, signatures = _standard_headers(headers)
    if not _SECONDS.fullmatch(seconds):
        raise AuthenticationError("webhook-timestamp is not a number of seconds")
    if abs(now.timestamp() - int(seconds)) > tolerance.total_seconds():
        raise AuthenticationError(
            f"the signed time is more than {tolerance.total_seconds():g} s away from our clock"
        )
    entries = signatures.split(" ")
    if len(entries) > MAX_SIGNATURES:
        raise AuthenticationError(f"webhook-signature has more than {MAX_SIGNATURES} entries")
    content = _signed_content(message_id, seconds, body)
    matching = [key.id for key in keys if _made_by(key, content, entries)]
    if not matching:
        raise AuthenticationError("no signature was made with a key of this source")
    return SignedMessage(message_id, datetime.fromtimestamp(int(seconds), UTC), matching[0])


def verify_hmac(
    presented: str | None,
    body: bytes,
    secrets: Iterable[SharedSecret],
    *,
    algorithm: Algorithm = "sha256",
    encoding: Encoding = "hex",
) -> str:
    """The id of the secret that made one of the MACs in `presented` over the raw body.

    `presented` is one MAC or several separated by commas, each bare or behind `<algorithm>=`.
    An entry of another algorithm or length is passed over. Raises AuthenticationError.
    """
    if not presented:
        raise AuthenticationError("the delivery carries no signature")
    entries = presented.split(",")
    if len(entries) > MAX_SIGNATURES:
        raise AuthenticationError(f"more than {MAX_SIGNATURES} signatures in one header")
    length = _DIGEST_BYTES[algorithm]
    decoded = [
        _decode(entry.strip().removeprefix(f"{algorithm}="), encoding, length) for entry in entries
    ]
    matching = [
        secret.id
        for secret in secrets
        if secret.value and _any_equal(hmac.digest(secret.value, body, algorithm), decoded)
    ]
    if not matching:
        raise AuthenticationError("the signature was not made with a secret of this source")
    return matching[0]


def verify_static(presented: Iterable[bytes], secrets: Iterable[SharedSecret]) -> str:
    """The id of the secret that equals one of the values presented. AuthenticationError if none.

    Digests are compared, so that the time says nothing about the length of a secret either.
    """
    hashes = [sha256(value).digest() for value in presented]
    matching = [
        secret.id
        for secret in secrets
        if secret.value and _any_equal(sha256(secret.value).digest(), hashes)
    ]
    if not matching:
        raise AuthenticationError("the delivery does not carry a secret of this source")
    return matching[0]


def wire_bytes(value: str) -> bytes:
    """A header's or path's bytes: WSGI hands them over as Latin-1, a recording as UTF-8."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _standard_headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Id, timestamp and signatures, all of one family: a mixture is nobody's delivery."""
    names = ("id", "timestamp", "signature")
    family = "webhook" if any(f"webhook-{name}" in headers for name in names) else "svix"
    message_id, seconds, signatures = (headers.get(f"{family}-{name}", "") for name in names)
    for name, value in zip(names, (message_id, seconds, signatures), strict=True):
        if not value:
            raise AuthenticationError(f"the delivery carries no webhook-{name}")
    if len(message_id) > _MAX_ID or not _PRINTABLE.fullmatch(message_id):
        raise AuthenticationError("webhook-id is not a short printable identifier")
    return message_id, seconds, signatures


def _made_by(key: VerificationKey, content: bytes, entries: list[str]) -> bool:
    """Did this key make one of the entries of its own scheme?"""
    presented = [
        _decode(text, "base64", _SIGNATURE_BYTES[key.scheme])
        for version, comma, text in (entry.partition(",") for entry in entries)
        if comma and version == key.scheme
    ]
    if not key.material:
        return False
    if key.scheme == "v1":
        return _any_equal(hmac.digest(key.material, content, "sha256"), presented)
    public = Ed25519PublicKey.from_public_bytes(key.material)
    holding = [_ed25519_holds(public, signature, content) for signature in presented]
    return any(holding)


def _ed25519_holds(public: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        public.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _any_equal(expected: bytes, presented: Iterable[bytes]) -> bool:
    """True when one is equal; each is compared, so the time does not say which."""
    found = False
    for value in presented:
        found |= hmac.compare_digest(expected, value)
    return found


def _decode(text: str, encoding: Encoding, length: int) -> bytes:
    """The signature's bytes; empty, which equals no digest, when it is not one of that length."""
    try:
        if encoding == "base64":
            decoded = base64.b64decode(text, validate=True)
        else:
            decoded = bytes.fromhex(text) if _HEX.fullmatch(text) else b""
    except ValueError:
        return b""
    return decoded if len(decoded) == length else b""


def _signed_content(message_id: str, seconds: str, body: bytes) -> bytes:
    return f"{message_id}.{seconds}.".encode() + body


def _signature(key: SigningKey, content: bytes) -> bytes:
    if key.scheme == "v1":
        return hmac.digest(key.material, content, "sha256")
    return Ed25519PrivateKey.from_private_bytes(key.material).sign(content)


def _public_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _split_key(text: str) -> tuple[str, bytes]:
    """Prefix (`whsec_` when there is none) and decoded bytes of a key as people paste it."""
    text = text.strip()
    prefix = next((p for p in ("whsec_", "whpk_", "whsk_") if text.startswith(p)), "")
    encoded = text.removeprefix(prefix).rstrip("=")
    if not encoded:
        raise ValueError("the key is empty; make one with `webhook-launcher keygen`")
    try:
        # Some senders leave the padding away (the reference implementations accept that).
        material = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError(
            "a key is base64 behind `whsec_` or `whpk_`; make one with `webhook-launcher keygen`"
        ) from None  # the original error may quote the key
    return prefix or "whsec_", material


def _long_enough(secret: bytes) -> bytes:
    if len(secret) < _MIN_SECRET_BYTES:
        raise ValueError(
            f"the secret has fewer than {_MIN_SECRET_BYTES} bytes behind its base64; "
            "make one with `webhook-launcher keygen`"
        )
    return secret


def _b64(material: bytes) -> str:
    return base64.b64encode(material).decode("ascii")
