"""Signatures as cosign writes them, made here with keys of our own, and any that it would not.

Every part of a payload or bundle can be changed before it is signed: what a key holder could do.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.adapters.registry.fake import sha256
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.image_key import ImageKey, read_image_key

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
SIGN_TYPE = "https://sigstore.dev/cosign/sign/v1"

Document = dict[str, Any]
Edit = Callable[[Document], object]


def encode(document: Any) -> bytes:
    """As cosign writes JSON: without spaces."""
    return json.dumps(document, separators=(",", ":")).encode()


def b64(body: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(body).decode()


def pae(kind: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding, by code that is not the one under test."""
    parts = ["DSSEv1", str(len(kind.encode())), kind, str(len(body))]
    return " ".join(parts).encode() + b" " + body


@dataclass
class Signer:
    """A key pair; P-256 unless another key is given."""

    id: str = "release"
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    hash: HashAlgorithm = field(default_factory=SHA256)

    @property
    def pem(self) -> bytes:
        """What `cosign.pub` holds."""
        public = self.key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def public(self, not_after: datetime | None = None) -> ImageKey:
        """As the launcher reads it."""
        return read_image_key(self.id, self.pem, not_after)

    def sign(self, content: bytes) -> bytes:
        """DER for ECDSA, PKCS #1 v1.5 for RSA."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(content, padding.PKCS1v15(), self.hash)
        return self.key.sign(content, ec.ECDSA(self.hash))

    # ── legacy ───────────────────────────────────────────────────────────────────────────────

    def legacy(
        self,
        digest: str,
        reference: str,
        annotations: Mapping[str, Any] | None = None,
        edit: Edit = lambda payload: None,
    ) -> Attachment:
        """A simple-signing payload for an image, edited, then signed."""
        payload: Document = {
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": dict(annotations) if annotations is not None else None,
        }
        edit(payload)
        return self.signed_payload(encode(payload))

    def signed_payload(self, payload: bytes) -> Attachment:
        """Any bytes, signed as a payload."""
        return legacy_attachment(payload, b64(self.sign(payload)))

    # ── bundle ───────────────────────────────────────────────────────────────────────────────

    def bundle(
        self,
        digest: str,
        annotations: Mapping[str, Any] | None = None,
        *,
        edit: Edit = lambda statement: None,
        edit_bundle: Edit = lambda bundle: None,
        kind: str = STATEMENT_TYPE,
    ) -> Attachment:
        """A statement about an image, edited, signed, and the bundle around it edited."""
        subject: Document = {"digest": {"sha256": digest.removeprefix("sha256:")}}
        if annotations is not None:
            subject["annotations"] = dict(annotations)
        statement: Document = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [subject],
            "predicateType": SIGN_TYPE,
            "predicate": {},
        }
        edit(statement)
        return self.signed_statement(encode(statement), edit_bundle=edit_bundle, kind=kind)

    def signed_statement(
        self,
        statement: bytes,
        *,
        edit_bundle: Edit = lambda bundle: None,
        kind: str = STATEMENT_TYPE,
    ) -> Attachment:
        """Any bytes, signed as a statement."""
        signature = {"sig": b64(self.sign(pae(kind, statement)))}
        bundle: Document = {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {"publicKey": {"hint": "unsigned"}},
            "dsseEnvelope": {
                "payload": b64(statement),
                "payloadType": kind,
                "signatures": [signature],
            },
        }
        edit_bundle(bundle)
        return bundle_attachment(encode(bundle))


def legacy_attachment(payload: bytes, signature: str | None) -> Attachment:
    """A payload and its signature as they are read from a registry."""
    return Attachment(Form.LEGACY, PAYLOAD_TYPE, payload, signature)


def bundle_attachment(body: bytes) -> Attachment:
    """A bundle's JSON as it is read from a registry."""
    return Attachment(Form.BUNDLE, BUNDLE_TYPE, body)


def legacy_manifest(attachments: Sequence[Attachment]) -> tuple[Document, list[bytes]]:
    """What cosign 2 stores under `sha256-<hex>.sig`, and the blobs that go with it."""
    config = b"{}"
    layers = [
        {
            "mediaType": one.media_type,
            "digest": sha256(one.content),
            "size": len(one.content),
            "annotations": {"dev.cosignproject.cosign/signature": one.signature},
        }
        for one in attachments
    ]
    return _manifest("application/vnd.oci.image.config.v1+json", config, layers), [
        config,
        *(one.content for one in attachments),
    ]


def bundle_manifest(attachment: Attachment, subject: Document) -> tuple[Document, list[bytes]]:
    """The manifest that cosign 3 stores for one bundle, and its blobs."""
    config = b"{}"
    layer = {
        "mediaType": attachment.media_type,
        "digest": sha256(attachment.content),
        "size": len(attachment.content),
    }
    document = _manifest("application/vnd.oci.empty.v1+json", config, [layer])
    document |= {"artifactType": BUNDLE_TYPE, "subject": subject}
    document["annotations"] = {"dev.sigstore.bundle.predicateType": SIGN_TYPE}
    return document, [config, attachment.content]


def _manifest(config_type: str, config: bytes, layers: list[Document]) -> Document:
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": config_type, "digest": sha256(config), "size": len(config)},
        "layers": layers,
    }
