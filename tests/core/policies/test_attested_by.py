"""`attested_by`: of what the workflow vouches for, one that counts is enough; the rest is nothing.

Who made a bundle is verified elsewhere (tests/adapters/keyless); here is what was signed.
"""

from dataclasses import replace
from typing import Any

import pytest

from tests.core.policies.judged import A, B, candidate
from tests.fakes import image_of
from tests.keyless import GITHUB, REF, REPOSITORY, SIGNED_AT, SLSA, WORKFLOW, statement
from tests.signing import STATEMENT_TYPE, encode
from webhook_launcher.core.cosign import SIGN_TYPE
from webhook_launcher.core.errors import NotSignedYetError, PolicyRefusedError
from webhook_launcher.core.evidence import Evidence, Need
from webhook_launcher.core.keyless import KeylessIdentity, Vouched, Vouching
from webhook_launcher.core.model import Action
from webhook_launcher.core.policies import AttestedBy
from webhook_launcher.core.policy import Candidate
from webhook_launcher.core.reference import Digest, parse_reference

IDENTITY = KeylessIdentity(GITHUB, REPOSITORY, WORKFLOW, (REF,))
POLICY = AttestedBy(IDENTITY)


def vouched(document: object, payload_type: str = STATEMENT_TYPE, **claims: str) -> Vouched:
    """An envelope whose maker is right."""
    payload = document if isinstance(document, bytes) else encode(document)
    return Vouched(payload_type, payload, {"signer": f"{WORKFLOW}@{REF}"} | claims, SIGNED_AT)


GOOD = vouched(statement(A), commit="08802efe", run=f"{REPOSITORY}/actions/runs/1")
FAILED = vouched(statement(A, "https://in-toto.io/attestation/vulns/v0.1"))


def having(*found: Vouched, passed_over: tuple[str, ...] = (), **changes: Any) -> Candidate:
    """Image A, under which this is vouched for."""
    vouching = {IDENTITY: Vouching(found, passed_over)}
    return candidate(Evidence(vouching=vouching), **changes)


def refused(found: Candidate, policy: AttestedBy = POLICY, *, again: bool) -> str:
    """The text of the refusal, safe to show, and whether it will be asked again for a while."""
    with pytest.raises(PolicyRefusedError) as raised:
        policy.verify(found)
    assert raised.value.policy == "attested_by"
    assert str(raised.value).isprintable()
    assert isinstance(raised.value, NotSignedYetError) == again == raised.value.retryable
    return str(raised.value)


def test_good_provenance() -> None:
    """The verdict is where to look for the build, from the certificate alone."""
    assert POLICY.verify(having(GOOD)) == (
        f"slsa-provenance by {WORKFLOW}@{REF}, commit 08802efe, "
        f"run {REPOSITORY}/actions/runs/1, 2026-03-01 11:50 UTC"
    )


@pytest.mark.parametrize("action", list(Action))
def test_it_binds_whatever_is_asked(action: Action) -> None:
    """A way back to what nobody attested would be the way around."""
    assert POLICY.verify(having(GOOD, action=action))
    refused(having(action=action), again=True)


def test_one_that_counts_is_enough() -> None:
    """What else was attested, scans and lists of contents, comes along."""
    for order in ([FAILED, GOOD], [GOOD, FAILED], [vouched(statement(B)), GOOD]):
        assert POLICY.verify(having(*order, passed_over=("made by another",)))


def test_several_subjects() -> None:
    """One run may build several images, and attest them with one signature."""
    both = statement(B)["subject"] + statement(A)["subject"]
    assert POLICY.verify(having(vouched(statement(A, subject=both))))


def test_nothing_is_attached_yet() -> None:
    """The push comes first, the attestation a minute later: asked again for a while."""
    text = refused(having(), again=True)
    assert "has no slsa-provenance by" in text
    assert "nothing is attached to it" in text


def test_what_is_attached_instead_is_told() -> None:
    """So that a wrong name in the configuration is found without guessing."""
    text = refused(having(FAILED, passed_over=("one", "two", "two", "three")), again=True)
    assert "two (2); one (1); three (1); and others" in text


def test_an_attestation_of_another_kind_is_none() -> None:
    """A scan that says "do not deploy" is by the right workflow about the right image."""
    text = refused(having(FAILED), again=True)
    assert "'https://in-toto.io/attestation/vulns/v0.1'" in text


@pytest.mark.parametrize(
    "kind",
    [SIGN_TYPE, SLSA + "/", SLSA + "1", SLSA[:-1], SLSA.upper(), "", None, 1, [SLSA], {SLSA: 1}],
)
def test_the_type_is_compared_as_a_whole(kind: object) -> None:
    """Neither a prefix nor another spelling."""
    refused(having(vouched(statement(A) | {"predicateType": kind})), again=True)


def test_any_of_several_types() -> None:
    """As the list is documented; several at once are several policies."""
    policy = AttestedBy(IDENTITY, frozenset({SLSA, SIGN_TYPE}))
    assert policy.verify(having(vouched(statement(A, SIGN_TYPE)))).startswith("signature by")
    assert policy.verify(having(GOOD)).startswith("slsa-provenance by")
    assert "no signature or slsa-provenance by" in refused(having(), policy, again=True)


def test_of_another_image() -> None:
    """No build attaches that: somebody with a push right did, and waiting makes it no better."""
    text = refused(having(vouched(statement(B)), FAILED), again=False)
    assert "another digest" in text


@pytest.mark.parametrize(
    "subject",
    [
        None,
        [],
        {},
        "sha256",
        [A],
        [None],
        [{}],
        [{"digest": A}],
        [{"digest": {"sha256": A}}],  # the algorithm's name is not part of the value
        [{"digest": {"sha512": A.removeprefix("sha256:")}}],
        [{"digest": {"SHA256": A.removeprefix("sha256:")}}],
        [{"digest": {"sha256": A.removeprefix("sha256:").upper()}}],
        [{"digest": {"sha256": A.removeprefix("sha256:")[:32]}}],
        [{"digest": {"sha256": [A.removeprefix("sha256:")]}}],
        [{"name": A.removeprefix("sha256:"), "digest": {}}],
    ],
)
def test_the_digest_is_compared_as_a_whole(subject: object) -> None:
    """And taken from the signed statement only."""
    refused(having(vouched(statement(A) | {"subject": subject})), again=False)


@pytest.mark.parametrize(
    "odd",
    [
        vouched(statement(A), "application/json"),
        vouched(statement(A), "application/vnd.in-toto+json "),
        vouched(statement(A, _type="https://in-toto.io/Statement/v0.1")),
        vouched({"subject": statement(A)["subject"], "predicateType": SLSA}),
        vouched([statement(A)]),
        vouched(b"\xff"),
        vouched(b""),
        vouched(encode(statement(A))[:-1] + b',"predicateType":"x"}'),  # a key twice
        vouched(b"[" * 100),
    ],
)
def test_what_is_no_statement(odd: Vouched) -> None:
    """The library verifies signatures, and looks at nothing of what was signed."""
    assert "by this workflow, but" in refused(having(odd), again=True)


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(),
        Evidence(attachments=()),
        Evidence(vouching={replace(IDENTITY, refs=("refs/tags/*",)): Vouching((GOOD,))}),
        Evidence(vouching={replace(IDENTITY, trusted_root=b"{}"): Vouching((GOOD,))}),
    ],
)
def test_nobody_looked_for_this_identity(evidence: Evidence) -> None:
    """An answer to another question is none: not even one that differs in its keys only."""
    assert "not looked for" in refused(candidate(evidence), again=False)


def test_a_digest_of_another_algorithm() -> None:
    """Attachments are found by sha256 only; waiting would be for nothing."""
    image = image_of(parse_reference("ghcr.io/acme/web:stable"), Digest("sha512:" + "a" * 128))
    assert "sha256" in refused(replace(having(), image=image), again=False)


def test_what_it_asks() -> None:
    """Both, or there is nothing to verify, or nobody who does."""
    assert POLICY.needs == {Need.ATTACHMENTS, IDENTITY}


def test_a_policy_that_nothing_could_meet() -> None:
    """Or that anything could: neither can be built."""
    with pytest.raises(ValueError, match="needs a predicate"):
        AttestedBy(IDENTITY, frozenset())
    with pytest.raises(ValueError, match="needs a predicate and a ref"):
        AttestedBy(replace(IDENTITY, refs=()))


def test_keys_are_not_shown() -> None:
    """They are pages long, and a policy is printed when a test or a check fails."""
    assert "secret" not in repr(replace(IDENTITY, trusted_root=b"secret"))
