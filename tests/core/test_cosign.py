"""Reading cosign's signatures: what is believed of them, and in which order."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signing import (
    SIGN_TYPE,
    Document,
    Signer,
    b64,
    bundle_attachment,
    encode,
    legacy_attachment,
    pae,
)
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.cosign import (
    AttestationError,
    ForeignError,
    OddStatementError,
    read_statement,
)
from webhook_launcher.core.reference import Digest, Repository

D = Digest("sha256:" + "1" * 64)
WEB = "ghcr.io/acme/web"
OURS = Signer("release")
KEYS = [Signer("other").public(), OURS.public()]


def test_legacy() -> None:
    """The form that cosign 2 writes."""
    statement = read_statement(OURS.legacy(D, WEB, {"env": "prod"}), KEYS)
    assert (statement.key.id, statement.form, statement.digest) == ("release", Form.LEGACY, D)
    assert statement.repository == Repository("ghcr.io", "acme/web")
    assert statement.annotations == {"env": "prod"}


def test_bundle() -> None:
    """The form that cosign 3 writes."""
    statement = read_statement(OURS.bundle(D, {"env": "prod"}), KEYS)
    assert (statement.key.id, statement.form, statement.digest) == ("release", Form.BUNDLE, D)
    assert statement.repository is None
    assert statement.annotations == {"env": "prod"}


@pytest.mark.parametrize(
    "reference",
    ["index.docker.io/library/nginx", "docker.io/library/nginx:1.27", "docker.io/library/nginx"],
)
def test_a_legacy_reference_is_read_as_everywhere(reference: str) -> None:
    """cosign writes Docker Hub's other name, skopeo writes the tag as well."""
    statement = read_statement(OURS.legacy(D, reference), KEYS)
    assert statement.repository == Repository("docker.io", "library/nginx")


def test_skopeos_payload() -> None:
    """skopeo signs a time as a number; only text can satisfy a required annotation."""
    signed = {"creator": "containers/image 5.34", "timestamp": 1767225600}
    statement = read_statement(OURS.legacy(D, f"{WEB}:1", signed), KEYS)
    assert statement.annotations == {"creator": "containers/image 5.34"}


@pytest.mark.parametrize("optional", [None, {}])
def test_no_annotations(optional: dict[str, str] | None) -> None:
    """Both spellings are in registries."""
    assert read_statement(OURS.legacy(D, WEB, optional), KEYS).annotations == {}
    assert read_statement(OURS.bundle(D, optional), KEYS).annotations == {}


def without_optional(payload: Document) -> None:
    """containers/image's reader does not need it."""
    del payload["optional"]


def test_optional_is_optional() -> None:
    """A payload without it is whole."""
    assert read_statement(OURS.legacy(D, WEB, edit=without_optional), KEYS).annotations == {}


# ── not ours ─────────────────────────────────────────────────────────────────────────────────────


def changed(attachment: Attachment, body: bytes) -> Attachment:
    """Other bytes under the same signature."""
    return replace(attachment, content=body)


def tampered_payload() -> Attachment:
    """Another digest in a signed payload."""
    attachment = OURS.legacy(D, WEB)
    return changed(attachment, attachment.content.replace(b"1111", b"2222"))


def tampered_statement() -> Attachment:
    """Another digest in a signed statement."""

    def edit(bundle: Document) -> None:
        statement = encode({"_type": "x", "subject": [], "predicateType": SIGN_TYPE})
        bundle["dsseEnvelope"]["payload"] = b64(statement)

    return OURS.bundle(D, edit_bundle=edit)


def edited(edit: Callable[[Document], object]) -> Attachment:
    """A bundle whose unsigned parts were changed."""
    return OURS.bundle(D, edit_bundle=edit)


def signatures(count: int) -> Callable[[Document], None]:
    """An envelope with that many (good) signatures."""

    def edit(bundle: Document) -> None:
        envelope = bundle["dsseEnvelope"]
        envelope["signatures"] = envelope["signatures"] * count

    return edit


def message_signature(bundle: Document) -> None:
    """The other content a bundle may have: a signature over a blob."""
    del bundle["dsseEnvelope"]
    message = {"messageDigest": {"algorithm": "SHA2_256", "digest": b64(bytes(32))}}
    bundle["messageSignature"] = message | {"signature": b64(OURS.sign(b"x"))}


def without_pae() -> Attachment:
    """A signature over the statement itself."""
    statement = encode({"_type": "x"})

    def edit(bundle: Document) -> None:
        bundle["dsseEnvelope"]["signatures"] = [{"sig": b64(OURS.sign(statement))}]

    return OURS.signed_statement(statement, edit_bundle=edit)


def spaced(text: str) -> str:
    """The same base64 in another spelling."""
    return text[:4] + "\n" + text[4:]


FOREIGN: dict[str, Callable[[], Attachment]] = {
    "legacy: another key": lambda: Signer().legacy(D, WEB),
    "legacy: payload tampered": tampered_payload,
    "legacy: no signature beside it": lambda: legacy_attachment(OURS.legacy(D, WEB).content, None),
    "legacy: empty signature": lambda: replace(OURS.legacy(D, WEB), signature=""),
    "legacy: not base64": lambda: replace(OURS.legacy(D, WEB), signature="*"),
    "legacy: layer is an octet stream": lambda: replace(
        OURS.legacy(D, WEB), media_type="application/octet-stream"
    ),
    "bundle: another key": lambda: Signer().bundle(D),
    "bundle: statement tampered": tampered_statement,
    "bundle: no pre-authentication encoding": without_pae,
    "bundle: other payload type": lambda: OURS.bundle(D, kind="application/json"),
    "bundle: payload type of another signature": lambda: edited(
        lambda bundle: bundle["dsseEnvelope"].update(payloadType="application/json")
    ),
    "bundle: no signature": lambda: edited(signatures(0)),
    "bundle: two signatures": lambda: edited(signatures(2)),
    "bundle: message signature": lambda: edited(message_signature),
    "bundle: both contents": lambda: edited(lambda b: b.update(messageSignature={})),
    "bundle: other media type inside": lambda: edited(
        lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2")
    ),
    "bundle: layer of another type": lambda: replace(
        OURS.bundle(D), media_type="application/vnd.dev.sigstore.bundle+json;version=0.2"
    ),
    "bundle: snake case": lambda: edited(lambda b: b.update(dsse_envelope=b.pop("dsseEnvelope"))),
    "bundle: envelope is a list": lambda: edited(lambda b: b.update(dsseEnvelope=[])),
    "bundle: no JSON": lambda: bundle_attachment(b"\xff"),
    "bundle: a JSON list": lambda: bundle_attachment(b"[]"),
    "could not be read": lambda: replace(OURS.bundle(D), fault="it has more than 1 MiB"),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_no_key_of_ours_made_says_nothing(make: Callable[[], Attachment]) -> None:
    """It is anybody's: it must not count, and it must not count against the image either."""
    with pytest.raises(ForeignError):
        read_statement(make(), KEYS)


@pytest.mark.parametrize("part", ["payload", "sig"])
def test_base64_in_another_spelling_is_refused(part: str) -> None:
    """Readers disagree on what such text decodes to; DSSE's own verifiers have."""

    def edit(bundle: Document) -> None:
        envelope = bundle["dsseEnvelope"]
        place = envelope if part == "payload" else envelope["signatures"][0]
        place[part] = spaced(place[part])

    with pytest.raises(ForeignError, match="base64"):
        read_statement(edited(edit), KEYS)


def test_bits_left_over_in_base64_are_refused() -> None:
    """`QQ==` and `QR==` are one byte in Python, and two texts."""
    attachment = OURS.legacy(D, WEB)
    text = attachment.signature
    assert text is not None
    signer = OURS
    while not text.endswith("="):  # DER signatures have 70 to 72 bytes
        attachment = signer.legacy(D, WEB)
        text = attachment.signature or ""
    last = text.rstrip("=")[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(last) + 1]
    odd = text.rstrip("=")[:-1] + other + "=" * text.count("=")
    with pytest.raises(ForeignError, match="one spelling"):
        read_statement(replace(attachment, signature=odd), KEYS)


def test_without_keys_nothing_is_ours() -> None:
    """An empty list of keys must never mean "any key"."""
    for attachment in (OURS.legacy(D, WEB), OURS.bundle(D)):
        with pytest.raises(ForeignError):
            read_statement(attachment, [])


# ── ours, and not a signature of an image ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "predicate",
    ["https://slsa.dev/provenance/v1", SIGN_TYPE + "/", SIGN_TYPE.upper(), "", None, [SIGN_TYPE]],
)
def test_an_attestation_is_no_signature(predicate: Any) -> None:
    """GHSA-w6c6-c85g-mmv6: "FAIL: do not deploy", signed by our key, satisfied `cosign verify`."""
    attachment = OURS.bundle(D, edit=lambda statement: statement.update(predicateType=predicate))
    with pytest.raises(AttestationError, match="which is no signature"):
        read_statement(attachment, KEYS)


def test_an_attestation_need_not_look_like_a_signature() -> None:
    """cosign 3.1's `attest` writes Statement v0.1; that must not speak against the image."""

    def edit(statement: Document) -> None:
        statement.update(_type="https://in-toto.io/Statement/v0.1", predicateType="x", more=[])
        statement["subject"] *= 2

    with pytest.raises(AttestationError):
        read_statement(OURS.bundle(D, edit=edit), KEYS)


def payload(edit: Callable[[Document], object]) -> Callable[[], Attachment]:
    """A payload of ours, edited before it was signed."""
    return lambda: OURS.legacy(D, WEB, edit=edit)


def statement(edit: Callable[[Document], object]) -> Callable[[], Attachment]:
    """A statement of ours, edited before it was signed."""
    return lambda: OURS.bundle(D, edit=edit)


def twice(key: str, body: bytes) -> bytes:
    """A JSON object whose first key is there twice."""
    return b'{"%s":1,%s' % (key.encode(), body[1:])


ODD: dict[str, Callable[[], Attachment]] = {
    "legacy: other type": payload(lambda p: p["critical"].update(type="cosign attestation")),
    "legacy: no identity": payload(lambda p: p["critical"].pop("identity")),
    "legacy: empty identity": payload(
        lambda p: p["critical"]["identity"].update({"docker-reference": ""})
    ),
    "legacy: no image": payload(lambda p: p["critical"].pop("image")),
    "legacy: key in another case": payload(lambda p: p.update(Critical=p.pop("critical"))),
    "legacy: inner key in another case": payload(
        lambda p: p["critical"].update(Type=p["critical"].pop("type"))
    ),
    "legacy: both cases": payload(lambda p: p["critical"].update(Type="x")),
    "legacy: something new that is critical": payload(lambda p: p["critical"].update(until=1)),
    "legacy: digest is no digest": payload(
        lambda p: p["critical"]["image"].update({"docker-manifest-digest": "sha256:1"})
    ),
    "legacy: digest is a number": payload(
        lambda p: p["critical"]["image"].update({"docker-manifest-digest": 1})
    ),
    "legacy: key twice": lambda: OURS.signed_payload(
        twice("critical", OURS.legacy(D, WEB).content)
    ),
    "legacy: no JSON": lambda: OURS.signed_payload(b"hello"),
    "legacy: JSON null": lambda: OURS.signed_payload(b"null"),
    "legacy: annotations are a list": payload(lambda p: p.update(optional=[])),
    "bundle: other _type": statement(lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")),
    "bundle: no subject": statement(lambda s: s.update(subject=[])),
    "bundle: two subjects": statement(lambda s: s.update(subject=s["subject"] * 2)),
    "bundle: subject is no list": statement(lambda s: s.update(subject=s["subject"][0])),
    "bundle: subject without sha256": statement(
        lambda s: s["subject"][0].update(digest={"sha512": "1" * 128})
    ),
    "bundle: digest in another case": statement(
        lambda s: s["subject"][0].update(digest={"sha256": "A" * 64})
    ),
    "bundle: digest key in another case": statement(
        lambda s: s["subject"][0]["digest"].update(SHA256="2" * 64)
    ),
    "bundle: key in another case": statement(lambda s: s.update(PredicateType=s["predicateType"])),
    "bundle: annotations are text": statement(lambda s: s["subject"][0].update(annotations="x")),
    "bundle: key twice": lambda: OURS.signed_statement(
        twice("_type", encode({"_type": "https://in-toto.io/Statement/v1"}))
    ),
    "bundle: no JSON": lambda: OURS.signed_statement(b"hello"),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
def test_what_is_ours_and_odd_is_told_apart(make: Callable[[], Attachment]) -> None:
    """No cosign writes it: somebody with the key tries what another reader might accept."""
    with pytest.raises(OddStatementError, match="signed by release, but"):
        read_statement(make(), KEYS)


def test_foreign_words_are_quoted_and_cut() -> None:
    """What is in an attachment ends in logs: no line may be forged there."""
    attachment = OURS.bundle(D, edit=lambda s: s.update(predicateType="x\n" + "y" * 500))
    with pytest.raises(AttestationError) as raised:
        read_statement(attachment, KEYS)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 250


# ECDSA signatures differ each time; an example must not.
_MADE = (OURS.legacy(D, WEB), OURS.bundle(D))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_changed_byte_ends_in_a_refusal_or_the_same_statement(data: st.DataObject) -> None:
    """Whatever is changed on the way, nothing but what the key signed comes out."""
    attachment = data.draw(st.sampled_from(_MADE))
    place = data.draw(st.integers(0, len(attachment.content) - 1))
    body = bytearray(attachment.content)
    body[place] ^= data.draw(st.integers(1, 255))
    try:
        found = read_statement(changed(attachment, bytes(body)), KEYS)
    except (ForeignError, AttestationError, OddStatementError):
        return
    assert found.digest == D
    assert attachment.form is Form.BUNDLE  # only there, something is unsigned


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_any_json_by_a_key_of_ours_ends_in_an_error_of_ours(value: Any) -> None:
    """A worker must not die of what a key holder thinks up."""
    body = json.dumps(value).encode()
    for attachment in (OURS.signed_payload(body), OURS.signed_statement(body)):
        with pytest.raises(OddStatementError):
            read_statement(attachment, KEYS)


def test_the_encoding_is_dsses_own() -> None:
    """The example of the specification (DSSE protocol.md), so that both of ours cannot be wrong."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
