"""Verifies keyless bundles with sigstore-python: certificate, signature, log entry.

X.509, Fulcio's timestamps and Rekor's log are left to it whole: these are where others went wrong
(CVE-2026-22703, CVE-2026-24122). Nothing is asked over a network: the keys are those that came
with the package, or those of a file. What a library cannot know, its caller must ask: whose
certificate it is (`_Maker`), and what was signed (`core.policies.attested_by`).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from urllib.parse import quote

from cryptography.hazmat import asn1
from cryptography.x509 import (
    Certificate,
    ExtensionNotFound,
    ObjectIdentifier,
    UnrecognizedExtension,
)
from sigstore.errors import Error, VerificationError
from sigstore.models import Bundle, InvalidBundle, TrustedRoot
from sigstore.verify import Verifier, policy
from sigstore_models.trustroot.v1 import TrustedRoot as TrustedRootDocument

from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.errors import ConfigurationError, Problem
from webhook_launcher.core.keyless import KeylessIdentity, TrustDates, Vouched, Vouching

# Not `Verifier.production`, which writes to a cache below HOME, and would read it back.
_PUBLIC_INSTANCE = "https://tuf-repo-cdn.sigstore.dev"
# sigstore/fulcio, docs/oid-info.md: 1.3.6.1.4.1.57264.1.n
_FULCIO = "1.3.6.1.4.1.57264.1"
_REF = 14
_CLAIMS: Mapping[str, int] = {"signer": 9, "ref": _REF, "commit": 13, "run": 21}
_SHOWN = 240


def verify(identity: KeylessIdentity, attachments: Sequence[Attachment]) -> Vouching:
    """As `KeylessVerifier.verify`."""
    verifier = _verifier(identity.trusted_root)
    found = [_verified(verifier, identity, attachment) for attachment in attachments]
    return Vouching(
        tuple(one for one in found if isinstance(one, Vouched)),
        tuple(one for one in found if isinstance(one, str)),
    )


def trust_dates(trusted_root: bytes | None, now: datetime) -> TrustDates:
    """As `KeylessVerifier.trust_dates`."""
    _verifier(trusted_root)
    document = json.loads(_embedded() if trusted_root is None else trusted_root)
    spans: dict[str, list[dict[str, str]]] = {
        "certificate authority": [ca["validFor"] for ca in document["certificateAuthorities"]],
        "transparency log": [log["publicKey"]["validFor"] for log in document["tlogs"]],
        "certificate log": [log["publicKey"]["validFor"] for log in document["ctlogs"]],
    }
    return TrustDates(
        max(datetime.fromisoformat(span["start"]) for of in spans.values() for span in of),
        tuple(name for name, of in spans.items() if not any(_lasts(span, now) for span in of)),
    )


def _lasts(span: Mapping[str, str], now: datetime) -> bool:
    return "end" not in span or datetime.fromisoformat(span["end"]) > now


def _verified(
    verifier: Verifier, identity: KeylessIdentity, attachment: Attachment
) -> Vouched | str:
    """What is vouched for; or the reason why this attachment is passed over.

    1. It could be read, and is a bundle with a certificate and one entry of a log; 2. certificate,
    entry and signature are right, at a time that the log vouches for; 3. the certificate is the
    identity's.
    """
    if attachment.fault is not None:
        return attachment.fault
    if attachment.form is not Form.BUNDLE:
        return f"a signature in the form `{attachment.form}`, which is no bundle"
    try:
        bundle = Bundle.from_json(attachment.content)
        payload_type, payload = verifier.verify_dsse(bundle, _Maker(identity))
        return _vouched(bundle.signing_certificate, payload_type, payload)
    except InvalidBundle:
        return "a bundle without a certificate and an entry of a transparency log"
    except Error as error:
        return _printable(str(error))
    except Exception as error:  # noqa: BLE001 # hostile bytes spoil no other attachment
        return f"a bundle that cannot be read ({type(error).__name__})"


class _Maker:
    """sigstore's policy for one identity; it bounds the ref as well, which has no one value."""

    def __init__(self, identity: KeylessIdentity) -> None:
        self._identity = identity

    def verify(self, cert: Certificate) -> None:
        """Raises sigstore's VerificationError for every other certificate."""
        identity = self._identity
        ref = _claim(cert, _REF)
        wanted: list[policy.VerificationPolicy] = [
            policy.OIDCIssuerV2(identity.issuer),
            policy.OIDCSourceRepositoryURI(identity.repository),
        ]
        if identity.repository_id is not None:
            wanted.append(policy.OIDCSourceRepositoryIdentifier(identity.repository_id))
        if identity.owner_id is not None:
            wanted.append(policy.OIDCSourceRepositoryOwnerIdentifier(identity.owner_id))
        wanted.append(policy.OIDCBuildSignerURI(identity.signer(ref or "")))
        policy.AllOf(wanted).verify(cert)
        if ref is None or not identity.permits(ref):
            raise VerificationError(f"made for {ref}, which is none of the refs permitted")


def _vouched(certificate: Certificate, payload_type: str, payload: bytes) -> Vouched:
    claims = {name: _claim(certificate, number) for name, number in _CLAIMS.items()}
    return Vouched(
        payload_type,
        payload,
        {name: _printable(claim) for name, claim in claims.items() if claim is not None},
        certificate.not_valid_before_utc,
    )


def _claim(certificate: Certificate, number: int) -> str | None:
    """The text of one of Fulcio's extensions; None without it."""
    oid = ObjectIdentifier(f"{_FULCIO}.{number}")
    try:
        extension = certificate.extensions.get_extension_for_oid(oid).value
    except ExtensionNotFound:
        return None
    if not isinstance(extension, UnrecognizedExtension):
        raise TypeError(f"{oid.dotted_string} is known by another name")
    return asn1.decode_der(str, extension.value)


@lru_cache(maxsize=8)
def _verifier(trusted_root: bytes | None) -> Verifier:
    """Made once for each root: it parses certificates, and keeps nothing of what it verifies."""
    content = _embedded() if trusted_root is None else trusted_root
    try:
        return Verifier(trusted_root=TrustedRoot(TrustedRootDocument.from_json(content)))
    except Exception as error:  # whatever pydantic, sigstore or X.509 call it
        where = Problem("attested_by.trusted_root", f"cannot be used: {_printable(str(error))}")
        raise ConfigurationError([where]) from error


def _embedded() -> bytes:
    """The keys of the public instance, as they were when this sigstore-python was released."""
    place = files("sigstore._store").joinpath(quote(_PUBLIC_INSTANCE, safe=""))
    return place.joinpath("trusted_root.json").read_bytes()


def _printable(text: str) -> str:
    """Shown to people and kept: one line, bounded, without control characters."""
    line = " ".join(text.split())[:_SHOWN]
    return "".join(character if character.isprintable() else "?" for character in line)
