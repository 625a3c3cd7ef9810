"""A small Sigstore: a Fulcio that issues certificates, a CT log, a Rekor, and their trusted root.

Everything that a real one signs is signed here with keys of its own, so that a test can leave out,
move or exchange any part: what a thief of a registry account, a maintainer of another repository
or a broken log could bring about.
"""

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.signing import (
    BUNDLE_TYPE,
    STATEMENT_TYPE,
    Document,
    Edit,
    b64,
    bundle_attachment,
    encode,
    pae,
)
from webhook_launcher.core.attachment import Attachment

SLSA = "https://slsa.dev/provenance/v1"
SIGNED_AT = datetime(2026, 3, 1, 11, 50, tzinfo=UTC)
GITHUB = "https://token.actions.githubusercontent.com"
REPOSITORY = "https://github.com/acme/web"
WORKFLOW = f"{REPOSITORY}/.github/workflows/release.yml"
REF = "refs/heads/main"
# sigstore/fulcio, docs/oid-info.md
ISSUER, SIGNER, RUNNER, SOURCE, COMMIT, SOURCE_REF, SOURCE_ID = 8, 9, 11, 12, 13, 14, 15
OWNER_ID, RUN = 17, 21
_NEW_KEY = partial(ec.generate_private_key, ec.SECP256R1())


def claims(
    repository: str = REPOSITORY, signer: str = f"{WORKFLOW}@{REF}", ref: str = REF
) -> dict[int, str]:
    """What Fulcio takes over from the token of a GitHub workflow."""
    return {
        ISSUER: GITHUB,
        SIGNER: signer,
        RUNNER: "github-hosted",
        SOURCE: repository,
        COMMIT: "08802efe1f8e5fec4ad842d6b8ce97656092ee72",
        SOURCE_REF: ref,
        SOURCE_ID: "772247423",
        OWNER_ID: "2314423",
        RUN: f"{repository}/actions/runs/8812/attempts/1",
    }


def statement(digest: str, predicate_type: str = SLSA, **changes: Any) -> Document:
    """What actions/attest-build-provenance signs, changed."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "ghcr.io/acme/web", "digest": {"sha256": digest.removeprefix("sha256:")}}
        ],
        "predicateType": predicate_type,
        "predicate": {"buildDefinition": {"buildType": "https://actions.github.io/…/v1"}},
    } | changes


@dataclass(frozen=True)
class Leaf:
    """A certificate for ten minutes, and its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """As it stands in a bundle."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """As it stands in a log entry."""
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass
class Sigstore:
    """One instance; two of them trust each other in nothing."""

    ca: ec.EllipticCurvePrivateKey = field(default_factory=_NEW_KEY)
    ct: ec.EllipticCurvePrivateKey = field(default_factory=_NEW_KEY)
    rekor: ec.EllipticCurvePrivateKey = field(default_factory=_NEW_KEY)

    # ── Fulcio ───────────────────────────────────────────────────────────────────────────────

    @cached_property
    def root(self) -> x509.Certificate:
        """Its certificate authority."""
        name = _name("sigstore of a test")
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.ca.public_key())
            .serial_number(1)
            .not_valid_before(SIGNED_AT - timedelta(days=365))
            .not_valid_after(SIGNED_AT + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.ca.public_key()), critical=False
            )
            .sign(self.ca, SHA256())
        )

    def leaf(self, said: Mapping[int, str] | None = None, issued: datetime = SIGNED_AT) -> Leaf:
        """A certificate with these claims, and the CT log's promise in it (RFC 6962, 3.2)."""
        said = claims() if said is None else said
        key = _NEW_KEY()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(issued)
            .not_valid_after(issued + timedelta(minutes=10))
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier(said.get(SIGNER, "https://nobody.example/"))]
                ),
                critical=True,
            )
        )
        for number, text in said.items():
            oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}")
            builder = builder.add_extension(
                x509.UnrecognizedExtension(oid, asn1.encode_der(text)), critical=False
            )
        unlogged = builder.sign(self.ca, SHA256())
        promise = x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), self._promise(unlogged, issued)
        )
        return Leaf(key, builder.add_extension(promise, critical=False).sign(self.ca, SHA256()))

    def _promise(self, certificate: x509.Certificate, issued: datetime) -> bytes:
        """The extension's value: a list of one signed certificate timestamp (RFC 6962, 3.3)."""
        content = certificate.tbs_certificate_bytes
        millis = int(issued.timestamp() * 1000)
        signed = struct.pack("!BBQH", 0, 0, millis, 1)
        signed += sha256(_der(self.ca)).digest()
        signed += len(content).to_bytes(3, "big") + content + struct.pack("!H", 0)
        signature = self.ct.sign(signed, ec.ECDSA(SHA256()))
        promise = struct.pack("!B32sQH", 0, sha256(_der(self.ct)).digest(), millis, 0)
        promise += struct.pack("!BBH", 4, 3, len(signature)) + signature
        listed = struct.pack("!H", len(promise)) + promise
        return asn1.encode_der(struct.pack("!H", len(listed)) + listed)

    # ── Rekor ────────────────────────────────────────────────────────────────────────────────

    def entry(
        self, leaf: Leaf, payload: bytes, signature: bytes, logged: datetime | None = None
    ) -> Document:
        """What Rekor answers for a `dsse` entry, of a log that has this and one other entry."""
        moment = int((logged or SIGNED_AT + timedelta(minutes=1)).timestamp())
        body = encode(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
                    "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hexdigest()},
                    "signatures": [{"signature": b64(signature), "verifier": b64(leaf.pem)}],
                },
            }
        )
        log_id = sha256(_der(self.rekor)).digest()
        other = sha256(b"\0another entry").digest()
        tree = sha256(b"\1" + other + sha256(b"\0" + body).digest()).digest()
        note = f"rekor.example - 1\n2\n{b64(tree)}\n"
        signed = log_id[:4] + self.rekor.sign(note.encode(), ec.ECDSA(SHA256()))
        promised = encode(
            {"body": b64(body), "integratedTime": moment, "logID": log_id.hex(), "logIndex": 1}
        )
        return {
            "logIndex": "1",
            "logId": {"keyId": b64(log_id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(moment),
            "inclusionPromise": {
                "signedEntryTimestamp": b64(self.rekor.sign(promised, ec.ECDSA(SHA256())))
            },
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": b64(tree),
                "treeSize": "2",
                "hashes": [b64(other)],
                "checkpoint": {"envelope": f"{note}\n— rekor.example {b64(signed)}\n"},
            },
            "canonicalizedBody": b64(body),
        }

    # ── what a workflow does with them ───────────────────────────────────────────────────────

    def attest(
        self,
        document: Document | bytes,
        leaf: Leaf | None = None,
        *,
        kind: str = STATEMENT_TYPE,
        logged: datetime | None = None,
        edit: Edit = lambda bundle: None,
    ) -> Attachment:
        """The bundle of a statement, signed, logged, and edited at last."""
        leaf = leaf or self.leaf()
        payload = document if isinstance(document, bytes) else encode(document)
        signature = leaf.key.sign(pae(kind, payload), ec.ECDSA(SHA256()))
        bundle: Document = {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(leaf.der)},
                "tlogEntries": [self.entry(leaf, payload, signature, logged)],
            },
            "dsseEnvelope": {
                "payload": b64(payload),
                "payloadType": kind,
                "signatures": [{"sig": b64(signature)}],
            },
        }
        edit(bundle)
        return bundle_attachment(encode(bundle))

    def trusted_root(self, *, ended: datetime | None = None) -> bytes:
        """The public half of all of it, as `trusted_root.json` has it."""
        span = {"start": _stamp(SIGNED_AT - timedelta(days=365))}
        if ended is not None:
            span["end"] = _stamp(ended)
        return encode(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [_log(self.rekor, "https://rekor.example", span)],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "example", "commonName": "fulcio"},
                        "uri": "https://fulcio.example",
                        "certChain": {
                            "certificates": [
                                {"rawBytes": b64(self.root.public_bytes(Encoding.DER))}
                            ]
                        },
                        "validFor": span,
                    }
                ],
                "ctlogs": [_log(self.ct, "https://ctfe.example", span)],
                "timestampAuthorities": [],
            }
        )


def payload_of(attachment: Attachment) -> Document:
    """The statement in a bundle."""
    bundle = json.loads(attachment.content)
    found: Document = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return found


def edited(attachment: Attachment, edit: Edit) -> Attachment:
    """A bundle, changed by somebody who has none of the keys."""
    bundle = json.loads(attachment.content)
    edit(bundle)
    return replace(attachment, content=encode(bundle))


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    """Of a leaf, which signs, or of an authority, which issues."""
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not signs,
        crl_sign=not signs,
        encipher_only=False,
        decipher_only=False,
    )


def _log(key: ec.EllipticCurvePrivateKey, url: str, span: Mapping[str, str]) -> Document:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": b64(_der(key)),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": span,
        },
        "logId": {"keyId": b64(sha256(_der(key)).digest())},
    }


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
