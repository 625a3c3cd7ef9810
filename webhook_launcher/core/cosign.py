"""cosign's key signatures, read and verified here: who signed, and what exactly they said.

The signature is checked over the raw bytes before anything in them is parsed; what is parsed then
is read so that no two readers can understand it differently: no key twice, none but the known ones
(which leaves out another case), base64 in its one spelling. Both forms end in a `Statement`.
Whether that is about the image in question is for the caller to compare.

Legacy (sigstore/cosign, specs/SIGNATURE_SPEC.md): 1. the layer is a simple-signing payload; 2. the
signature beside it was made by one of our keys over the payload; 3. the payload is of cosign's
type; 4. it names a digest and a repository.

Bundle v0.3 (sigstore/protobuf-specs; DSSE 1.0; in-toto Statement v1): 1. the layer is a bundle,
and says so itself; 2. it has a DSSE envelope of an in-toto statement with exactly one signature;
3. that was made by one of our keys over the envelope's pre-authentication encoding; 4. the
statement is a signature of cosign's and not an attestation of something else (GHSA-w6c6-c85g-mmv6);
5. it has one subject with a digest.

Nothing unsigned is believed: neither the layer's annotations, nor the bundle's hint which key it
was, nor OCI's `subject`.
"""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webhook_launcher.core import strict_json
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.dsse import pae
from webhook_launcher.core.errors import InvalidReferenceError
from webhook_launcher.core.image_key import ImageKey
from webhook_launcher.core.reference import Digest, Repository, parse_reference

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGN_TYPE = "https://sigstore.dev/cosign/sign/v1"
_LEGACY_TYPE = "cosign container image signature"
_ENVELOPE_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_SHOWN = 80
# in-toto's ResourceDescriptor.
_SUBJECT_KEYS = frozenset(
    {"name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"}
)
# A field of protobuf's JSON that is empty may be written or left out.
_SIGNATURE_KEYS = frozenset({"sig", "keyid"})


class ForeignError(Exception):
    """Not made by one of the keys, or it cannot be told: somebody else's, or broken on the way."""


class AttestationError(Exception):
    """Made by one of the keys, about something else than that the image is signed."""


class OddStatementError(Exception):
    """Made by one of the keys, and not what cosign writes."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a key signed. `repository` is None in bundles, which name none."""

    key: ImageKey
    form: Form
    digest: Digest
    repository: Repository | None
    annotations: Mapping[str, str] = field(default_factory=dict)


def read_statement(attachment: Attachment, keys: Sequence[ImageKey]) -> Statement:
    """Steps as above. Raises ForeignError, AttestationError or OddStatementError."""
    if attachment.fault is not None:
        raise ForeignError(attachment.fault)
    read = _read_legacy if attachment.form is Form.LEGACY else _read_bundle
    return read(attachment, keys)


def _read_legacy(attachment: Attachment, keys: Sequence[ImageKey]) -> Statement:
    if attachment.media_type != PAYLOAD_TYPE:
        raise ForeignError(f"its layer is {_shown(attachment.media_type)}")
    signature = _decoded(attachment.signature, "its signature")
    key = _maker(keys, signature, attachment.content)
    try:
        payload = _signed(attachment.content)
        _has(payload, required={"critical"}, optional={"optional"})
        critical = _has(payload["critical"], required={"identity", "image", "type"})
        _is(critical, "type", _LEGACY_TYPE)
        identity = _has(critical["identity"], required={"docker-reference"})
        image = _has(critical["image"], required={"docker-manifest-digest"})
        return Statement(
            key,
            Form.LEGACY,
            Digest(_text(image["docker-manifest-digest"])),
            parse_reference(_text(identity["docker-reference"])).repository,
            _annotations(payload.get("optional")),
        )
    except (_OddError, InvalidReferenceError) as error:
        raise OddStatementError(f"signed by {key.id}, but {error}") from error


def _read_bundle(attachment: Attachment, keys: Sequence[ImageKey]) -> Statement:
    if attachment.media_type != BUNDLE_TYPE:
        raise ForeignError(f"its layer is {_shown(attachment.media_type)}")
    try:
        content, signature = _envelope(attachment.content)
    except _OddError as error:
        raise ForeignError(str(error)) from error
    key = _maker(keys, signature, pae(_ENVELOPE_TYPE, content))
    try:
        statement = _signed(content)
        # First, since others' statements need not be what cosign's are: `cosign attest` itself
        # writes those of another _type.
        _is_signature(statement, key)
        _has(statement, required={"_type", "subject", "predicateType"}, optional={"predicate"})
        _is(statement, "_type", _STATEMENT_TYPE)
        subject = _only(statement["subject"], "subject")
        _has(subject, required={"digest"}, optional=_SUBJECT_KEYS)
        digest = _has(subject["digest"], required={"sha256"})["sha256"]
        annotations = _annotations(subject.get("annotations"))
        return Statement(key, Form.BUNDLE, Digest(f"sha256:{_text(digest)}"), None, annotations)
    except (_OddError, InvalidReferenceError) as error:
        raise OddStatementError(f"signed by {key.id}, but {error}") from error


def _envelope(body: bytes) -> tuple[bytes, bytes]:
    """The payload of a bundle's DSSE envelope, and its only signature."""
    bundle = _signed(body)
    _has(bundle, required={"mediaType", "dsseEnvelope"}, optional={"verificationMaterial"})
    _is(bundle, "mediaType", BUNDLE_TYPE)
    envelope = _has(bundle["dsseEnvelope"], required={"payload", "payloadType", "signatures"})
    _is(envelope, "payloadType", _ENVELOPE_TYPE)
    made = _only(envelope["signatures"], "signature")
    _has(made, required={"sig"}, optional=_SIGNATURE_KEYS)
    return (
        _decoded(envelope["payload"], "its payload"),
        _decoded(made["sig"], "its signature"),
    )


def _maker(keys: Sequence[ImageKey], signature: bytes, content: bytes) -> ImageKey:
    for key in keys:
        if key.made(signature, content):
            return key
    raise ForeignError("made by none of the keys")


class _OddError(Exception):
    """What is wrong with a document."""


def _signed(content: bytes) -> dict[str, Any]:
    try:
        found = strict_json.loads(content)
    except strict_json.StrictJsonError as error:
        raise _OddError(f"it cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise _OddError("it is no JSON object")
    return found


def _has(value: Any, *, required: set[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """The object, if it has what is required and else only what is optional."""
    if not isinstance(value, dict):
        raise _OddError(f"the place of {', '.join(sorted(required))} holds no object")
    if missing := required - value.keys():
        raise _OddError(f"it has no {', '.join(sorted(missing))}")
    if unknown := value.keys() - required - set(optional):
        raise _OddError(f"it has the unknown key {_shown(min(unknown))}")
    return value


def _is(document: Mapping[str, Any], key: str, expected: str) -> None:
    if document[key] != expected:
        raise _OddError(f"its {key} is {_shown(document[key])}")


def _is_signature(statement: Mapping[str, Any], key: ImageKey) -> None:
    predicate_type = statement.get("predicateType", SIGN_TYPE)  # without one, it is odd
    if predicate_type != SIGN_TYPE:
        raise AttestationError(
            f"an attestation of {_shown(predicate_type)} by {key.id}, which is no signature"
        )


def _only(value: Any, name: str) -> Any:
    if not isinstance(value, list) or len(value) != 1:
        count = len(value) if isinstance(value, list) else "no list of"
        raise _OddError(f"it has {count} {name}s, not one")
    return value[0]


def _annotations(value: Any) -> dict[str, str]:
    """Signed key-value pairs; what is no text cannot satisfy a rule and is left out."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _OddError("its annotations are no object")
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _OddError("it has something else where text belongs")
    return value


def _decoded(value: Any, name: str) -> bytes:
    """Base64 in its one spelling: no line ends, whole padding, no bits left over."""
    try:
        found = base64.b64decode(_text(value), validate=True)
    except (_OddError, ValueError, binascii.Error):
        raise ForeignError(f"{name} is not base64") from None
    if base64.b64encode(found).decode("ascii") != value:
        raise ForeignError(f"{name} is not base64 in its one spelling")
    return found


def _shown(value: Any) -> str:
    """Foreign text made safe for a log line: quoted, escaped and cut."""
    return ascii(value[:_SHOWN]) if isinstance(value, str) else "no text"
