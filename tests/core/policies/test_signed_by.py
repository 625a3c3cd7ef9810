"""`signed_by`: one signature that counts is enough, and nothing else is one.

The names are those of the attacks, and of the states in which honest people leave a registry.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.core.policies.judged import STABLE, A, B, candidate
from tests.fakes import START
from tests.signing import Document, Signer, encode
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.errors import NotSignedYetError, PolicyRefusedError
from webhook_launcher.core.evidence import Evidence, Need
from webhook_launcher.core.model import Action
from webhook_launcher.core.policies import SignedBy
from webhook_launcher.core.policy import Candidate
from webhook_launcher.core.reference import Digest

OURS, STRANGER = Signer("release-2026"), Signer("stranger")
POLICY = SignedBy((OURS.public(),))
WEB = str(STABLE.repository)
BOTH = pytest.mark.parametrize("form", list(Form))


def signed(form: Form, signer: Signer = OURS, digest: Digest = A, **annotations: Any) -> Attachment:
    """A good signature of the image, in a form."""
    if form is Form.LEGACY:
        return signer.legacy(digest, WEB, annotations or None)
    return signer.bundle(digest, annotations or None)


def having(*attachments: Attachment, **changes: Any) -> Candidate:
    """Image A with these attachments."""
    return candidate(Evidence(attachments=attachments), **changes)


def refused(found: Candidate, policy: SignedBy = POLICY) -> PolicyRefusedError:
    """The refusal; its text is safe to show."""
    with pytest.raises(PolicyRefusedError) as raised:
        policy.verify(found)
    assert raised.value.policy == "signed_by"
    assert str(raised.value).isprintable()
    return raised.value


def passed_over(found: Candidate, policy: SignedBy = POLICY) -> str:
    """The text of a refusal that will be asked again for a while."""
    error = refused(found, policy)
    assert isinstance(error, NotSignedYetError)
    assert error.retryable
    return str(error)


def final(found: Candidate, policy: SignedBy = POLICY) -> str:
    """The text of a refusal at once."""
    error = refused(found, policy)
    assert not isinstance(error, NotSignedYetError)
    assert not error.retryable
    return str(error)


# ── what counts ──────────────────────────────────────────────────────────────────────────────────


@BOTH
def test_good_signature(form: Form) -> None:
    """The verdict names the key and the form: it stands in the evidence."""
    assert POLICY.verify(having(signed(form))) == f"signed by release-2026 ({form})"


@BOTH
@pytest.mark.parametrize("action", list(Action))
def test_it_binds_whatever_is_asked(form: Form, action: Action) -> None:
    """A rollback to an image whose key was revoked meanwhile must fail too."""
    POLICY.verify(having(signed(form), action=action))
    passed_over(having(signed(form, STRANGER), action=action))


def test_it_asks_for_attachments() -> None:
    """Or it would refuse for ever."""
    assert POLICY.needs == {Need.ATTACHMENTS}


@BOTH
def test_several_signatures_of_which_one_is_ours(form: Form) -> None:
    """Others sign too; skopeo carries the signatures of where it copied from along."""
    others = [signed(form, STRANGER), Attachment(form, "x", fault="it is gone")]
    POLICY.verify(having(*others, signed(form), *others))


def test_any_of_the_keys_suffices() -> None:
    """That is how keys rotate; the verdict says which it was."""
    policy = SignedBy((OURS.public(), STRANGER.public()))
    assert "by stranger" in policy.verify(having(signed(Form.BUNDLE, STRANGER)))


# ── what does not ────────────────────────────────────────────────────────────────────────────────


def test_not_looked_for_is_not_signed() -> None:
    """A question without an answer is not a yes."""
    assert "were not looked for" in final(candidate(Evidence(attachments=None)))


def test_unsigned() -> None:
    """CVE-2025-25204: zero verified signatures are a refusal. People sign after they push."""
    assert "is not signed by release-2026: nothing is attached" in passed_over(having())


@BOTH
def test_wrong_key(form: Form) -> None:
    """It may be the build's, and ours may follow within seconds."""
    assert "made by none of the keys (2)" in passed_over(having(*[signed(form, STRANGER)] * 2))


@BOTH
def test_tampered_payload(form: Form) -> None:
    """What the signature was made over is what is read."""
    attachment, other = signed(form, env="test"), signed(form, env="prod")
    body = attachment.content.replace(b"test", b"prod")
    if form is Form.BUNDLE:  # its statement is in base64
        bundle, donor = json.loads(attachment.content), json.loads(other.content)
        bundle["dsseEnvelope"]["payload"] = donor["dsseEnvelope"]["payload"]
        body = encode(bundle)
    assert "none of the keys" in passed_over(having(replace(attachment, content=body)))


@BOTH
def test_signature_of_another_digest_under_this_one(form: Form) -> None:
    """The `.sig` of an older image, retagged: an attack, and refused at once."""
    assert f"but for {B}" in final(having(signed(form, digest=B)))
    assert final(having(signed(form, STRANGER), signed(form, digest=B)))


@BOTH
def test_that_attack_does_not_block_what_is_signed(form: Form) -> None:
    """Whoever may push to the repository could stop every release."""
    POLICY.verify(having(signed(form, digest=B), signed(form)))


def test_legacy_signature_copied_to_another_repository() -> None:
    """cosign accepts it; here a test image's signature does not admit it to production.

    It comes along when an image is promoted with its signatures, before it is signed anew.
    """
    copied = OURS.legacy(A, "ghcr.io/acme/web-test")
    assert "for ghcr.io/acme/web-test" in passed_over(having(copied))
    assert "for docker.io/acme/web" in passed_over(having(OURS.legacy(A, "docker.io/acme/web")))


def test_legacy_signature_with_its_tag() -> None:
    """skopeo signs the whole reference; the repository is what counts."""
    POLICY.verify(having(OURS.legacy(A, f"{WEB}:stable")))


def test_bundle_copied_to_another_repository_is_accepted() -> None:
    """It names no repository, so there is nothing to compare: docs/security.md says so."""
    POLICY.verify(having(signed(Form.BUNDLE)))


@pytest.mark.parametrize(
    "predicate", ["https://slsa.dev/provenance/v1", "https://cosign.sigstore.dev/attestation/v1"]
)
def test_attestation_in_place_of_a_signature(predicate: str) -> None:
    """cosign 3's `verify` is satisfied by "FAIL: do not deploy", signed with the same key."""

    def fail(statement: Document) -> None:
        statement.update(predicateType=predicate, predicate={"result": "FAIL: do not deploy"})

    attestation = OURS.bundle(A, edit=fail)
    assert "which is no signature" in passed_over(having(attestation))
    POLICY.verify(having(attestation, signed(Form.BUNDLE)))


def odd_legacy(edit: Callable[[Document], object]) -> Attachment:
    """A payload by our key that cosign would not write."""
    return OURS.legacy(A, WEB, edit=edit)


@pytest.mark.parametrize(
    "attachment",
    [
        odd_legacy(lambda p: p["critical"].update(type="atomic container signature")),
        odd_legacy(lambda p: p["critical"].pop("identity")),
        odd_legacy(lambda p: p.update(CRITICAL=p.pop("critical"))),
        OURS.signed_payload(b'{"critical":{},' + OURS.legacy(A, WEB).content[1:]),
        OURS.bundle(A, edit=lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")),
        OURS.bundle(A, edit=lambda s: s["subject"].append(s["subject"][0])),
    ],
    ids=["type", "no identity", "another case", "key twice", "statement type", "two subjects"],
)
def test_our_key_under_what_no_cosign_writes(attachment: Attachment) -> None:
    """Cosign accepts most of these; a key holder who tries them is not to be waited for."""
    assert "not what it should be: signed by release-2026, but" in final(having(attachment))


@pytest.mark.parametrize(
    "attachment",
    [
        replace(OURS.legacy(A, WEB), media_type="application/octet-stream"),
        OURS.bundle(A, kind="application/json"),
        OURS.bundle(A, edit_bundle=lambda b: b["dsseEnvelope"].update(signatures=[])),
        OURS.bundle(A, edit_bundle=lambda b: b["dsseEnvelope"]["signatures"].append({"sig": ""})),
    ],
    ids=["layer type", "payload type", "no signature", "two signatures"],
)
def test_envelopes_that_are_none_do_not_count(attachment: Attachment) -> None:
    """What they hold is not even looked at."""
    passed_over(having(attachment))


# ── forms, annotations, times ────────────────────────────────────────────────────────────────────


@BOTH
def test_a_form_that_is_not_accepted(form: Form) -> None:
    """Hiding the referrers must not move us to the weaker form, where the other is required."""
    (other,) = set(Form) - {form}
    policy = replace(POLICY, forms=frozenset({other}))
    assert f"the form `{form}` is not accepted" in passed_over(having(signed(form)), policy)
    policy.verify(having(signed(form), signed(other)))


@BOTH
def test_required_annotation(form: Form) -> None:
    """Signed, so that only a key holder can have written it; other ones do not matter."""
    policy = replace(POLICY, annotations={"env": "prod"})
    policy.verify(having(signed(form, env="prod", more="x")))
    for attachment in (signed(form), signed(form, env="test"), signed(form, ENV="prod")):
        assert "without the annotation env=prod" in passed_over(having(attachment), policy)


def test_every_annotation_is_required_of_one_signature() -> None:
    """Two halves of two signatures are no whole one."""
    policy = replace(POLICY, annotations={"env": "prod", "approved": "yes"})
    halves = (signed(Form.BUNDLE, env="prod"), signed(Form.BUNDLE, approved="yes"))
    passed_over(having(*halves), policy)


def test_an_annotation_that_is_no_text_satisfies_nothing() -> None:
    """1 and "1" are not one value; cosign writes text only."""
    policy = replace(POLICY, annotations={"n": "1"})
    passed_over(having(OURS.bundle(A, {"n": 1})), policy)


@BOTH
def test_key_after_its_time(form: Form) -> None:
    """GHSA-wqqc-jjcq-vfxm. On our own clock: nothing that is signed says when it was."""
    policy = SignedBy((OURS.public(not_after=START),))
    policy.verify(having(signed(form), now=START - timedelta(seconds=1)))
    assert "whose time ended" in passed_over(having(signed(form), now=START), policy)


def test_new_key_beside_one_whose_time_is_over() -> None:
    """Signed with both while keys rotate: the newer one counts."""
    policy = SignedBy((OURS.public(not_after=START), STRANGER.public()))
    both = (signed(Form.BUNDLE), signed(Form.BUNDLE, STRANGER))
    assert "by stranger" in policy.verify(having(*both))


def test_sha512_names_are_not_signed_by_cosign() -> None:
    """An image asked for by its sha512 is told why, at once; nothing will change it."""
    digest = Digest("sha512:" + "1" * 128)
    asked = having()
    other = replace(asked, image=replace(asked.image, digest=digest))
    assert "sha256" in final(other)


def test_a_policy_that_could_accept_nothing_or_anything_cannot_be_made() -> None:
    """An empty list is a mistake, whatever made it."""
    with pytest.raises(ValueError, match="needs a key"):
        SignedBy(())
    with pytest.raises(ValueError, match="needs a key"):
        SignedBy((OURS.public(),), frozenset())


def test_the_text_stays_short_whatever_is_attached() -> None:
    """It goes into logs, notifications and the page."""

    def other(name: str) -> Attachment:
        return OURS.bundle(A, edit=lambda s: s.update(predicateType=f"https://example.com/{name}"))

    many = [other(str(n)) for n in range(64)]
    text = passed_over(having(*many))
    assert len(text) < 700
    assert text.endswith("and others")
