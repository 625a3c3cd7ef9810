"""Rollback by whoever can move a tag or repeat an event, and what an operator may do."""

from dataclasses import replace

import pytest

from tests.core.policies.judged import FACTS, STABLE, A, B, candidate
from tests.fakes import START, image_of
from tests.signing import Signer
from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Evidence, Facts, Need, Standing
from webhook_launcher.core.model import Action, Trust, WorkloadState
from webhook_launcher.core.policies import NoDowngrade, SignedBy
from webhook_launcher.core.policies.no_downgrade import VERSION_LABEL
from webhook_launcher.core.policy import Candidate
from webhook_launcher.core.reference import Digest

POLICY = NoDowngrade()
RUNS = WorkloadState("web", image_of(STABLE, B))


def facts(version: str | None, label: str = VERSION_LABEL) -> Facts:
    """What an image with this version says of itself."""
    return replace(FACTS, labels={} if version is None else {label: version})


def moved(
    found: str | None, runs: str | None, *, superseded: bool = False, label: str = VERSION_LABEL
) -> Candidate:
    """A tag that moved to an image of version `found`, while one of version `runs` runs."""
    standing = Standing(superseded, Evidence(facts(runs, label)))
    evidence = Evidence(facts(found, label), first_seen=START, standing=standing)
    return candidate(evidence, state=RUNS)


@pytest.mark.parametrize(
    ("found", "runs"),
    [
        *(("1.1.0", "1.2.0"), ("1.9.0", "1.10.0"), ("1.2.0-rc.1", "1.2.0"), ("v1.1.9", "1.2.0")),
        *(("1.2.0-rc.1", "1.2.0-rc.2"), ("0.9.0+2026", "1.0.0+1970")),
    ],
)
def test_a_tag_that_was_moved_to_an_older_version_is_refused(found: str, runs: str) -> None:
    """Whoever holds the registry account can move it; the old release is signed as well."""
    with pytest.raises(PolicyRefusedError, match="is older") as refused:
        POLICY.verify(moved(found, runs))
    assert "webhook-launcher deploy web ghcr.io/acme/web@sha256:" in refused.value.advice()


@pytest.mark.parametrize(
    ("found", "runs"),
    [
        *(("1.2.1", "1.2.0"), ("1.10.0", "1.9.0"), ("v2.0.0", "1.0.0"), ("1.2.0", "1.2.0-rc.1")),
        *(("1.2.0", "1.2.0"), ("1.2.0+b", "1.2.0+c")),
    ],
)
def test_a_newer_version_and_a_rebuild_of_the_same_one_are_admitted(found: str, runs: str) -> None:
    """By SemVer, not by text; a base image is renewed without a new version."""
    assert "after" in POLICY.verify(moved(found, runs))


@pytest.mark.parametrize("version", [None, "2.0.0"])
def test_a_replayed_digest_is_refused_whatever_version_it_has(version: str | None) -> None:
    """It ran here and was replaced; nothing that is new has its digest."""
    with pytest.raises(PolicyRefusedError, match="was replaced by a newer release"):
        POLICY.verify(moved(version, "1.2.0", superseded=True))


def test_a_missing_label_is_refused_once_a_version_runs() -> None:
    """Nobody can tell, and leaving the label out must not be the way round."""
    with pytest.raises(PolicyRefusedError, match=f"no label {VERSION_LABEL}"):
        POLICY.verify(moved(None, "1.2.0"))


@pytest.mark.parametrize("garbage", ["", "latest", "1.2", "22.04", "main", "99" * 100, "1.2.3\n"])
def test_a_garbage_version_is_none(garbage: str) -> None:
    """Also what a base image left in the label."""
    with pytest.raises(PolicyRefusedError, match="is no version") as refused:
        POLICY.verify(moved(garbage, "1.2.0"))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("runs", [None, "latest"])
def test_without_a_version_the_digests_alone_are_compared(runs: str | None) -> None:
    """An image that never had versions can be kept from going back all the same."""
    for found in (None, "latest", "1.0.0"):
        assert "never ran here" in POLICY.verify(moved(found, runs))
    with pytest.raises(PolicyRefusedError):
        POLICY.verify(moved(None, runs, superseded=True))


@pytest.mark.parametrize("steps", [0, 1])
def test_a_fast_forward_is_bounded_where_that_is_asked(steps: int) -> None:
    """999.0.0 would make every real release look older, until an operator goes back."""
    assert POLICY.verify(moved("999.0.0", "1.2.0"))
    bounded = NoDowngrade(max_major_step=steps)
    assert bounded.verify(moved(f"{1 + steps}.99.0", "1.2.0"))
    with pytest.raises(PolicyRefusedError, match="ahead"):
        bounded.verify(moved(f"{2 + steps}.0.0", "1.2.0"))


def test_the_version_may_be_in_another_label() -> None:
    """Builds had their own before there was a standard one."""
    own = NoDowngrade("com.acme.version")
    with pytest.raises(PolicyRefusedError, match="is older"):
        own.verify(moved("1.0.0", "1.1.0", label="com.acme.version"))
    assert POLICY.verify(moved("1.0.0", "1.1.0", label="com.acme.version"))


def test_the_first_image_and_the_one_that_runs_are_no_downgrade() -> None:
    """There is nothing to go back from."""
    assert POLICY.verify(candidate())
    same = WorkloadState("web", image_of(STABLE, A))
    assert POLICY.verify(candidate(state=same))


@pytest.mark.parametrize("standing", [None, Standing(superseded=False)])
def test_what_runs_must_be_known_to_be_compared_with(standing: Standing | None) -> None:
    """A question without an answer is not a yes."""
    evidence = Evidence(facts("9.0.0"), standing=standing)
    with pytest.raises(PolicyRefusedError, match="could not be looked at"):
        POLICY.verify(candidate(evidence, state=RUNS))


def test_an_image_that_was_not_looked_at_is_refused() -> None:
    """The same of the new one."""
    evidence = Evidence(standing=Standing(superseded=False, current=Evidence(facts("1.0.0"))))
    with pytest.raises(PolicyRefusedError, match="not looked at"):
        POLICY.verify(candidate(evidence, state=RUNS))


@pytest.mark.parametrize("action", [Action.ROLLBACK, Action.RESTORE])
def test_a_rollback_and_a_restoration_are_exempt(action: Action) -> None:
    """They are the launcher's own and the operator's: no event can ask for one."""
    returns = replace(moved("1.0.0", "2.0.0", superseded=True), action=action)
    assert POLICY.verify(returns) == "it ran here before"


def named(action: Action, trust: Trust, *, digest: bool) -> Candidate:
    """An older image that somebody asks for."""
    asked = moved("1.0.0", "2.0.0", superseded=True)
    image = image_of(STABLE.at(A) if digest else STABLE, A)
    return replace(asked, action=action, image=image, origin=replace(asked.origin, trust=trust))


def test_an_operator_who_names_the_digest_is_obeyed() -> None:
    """The named exception; whose word it was stays with the deployment."""
    said = POLICY.verify(named(Action.DEPLOY, Trust.OPERATOR, digest=True))
    assert said == f"an operator named {A}"


@pytest.mark.parametrize(
    ("action", "trust", "digest"),
    [
        (Action.DEPLOY, Trust.SIGNED, True),
        (Action.DEPLOY, Trust.OPERATOR, False),
        (Action.CHECK, Trust.OPERATOR, True),
        (Action.CHECK, Trust.POLL, False),
    ],
)
def test_nobody_else_is_not_even_with_a_digest(
    action: Action, trust: Trust, *, digest: bool
) -> None:
    """A CI key may be stolen; "run what is tracked" is what an attacker may have moved."""
    with pytest.raises(PolicyRefusedError):
        POLICY.verify(named(action, trust, digest=digest))


# ── the version in a signed annotation ───────────────────────────────────────────────────────────

OURS, STRANGER = Signer("release"), Signer("stranger")
BY_KEY = NoDowngrade(annotation="version", signatures=SignedBy((OURS.public(),)))
WEB = str(STABLE.repository)


def signed(of: Digest, *versions: str | None, signer: Signer = OURS) -> Evidence:
    """An image with a signature for each version; None is one without the annotation."""
    said = [{} if version is None else {"version": version} for version in versions]
    found = [signer.bundle(of, one or None) for one in said[:1]]
    return Evidence(
        attachments=(*found, *(signer.legacy(of, WEB, one or None) for one in said[1:]))
    )


def beside(found: Evidence, runs: Evidence) -> Candidate:
    """Image A, while B runs."""
    return candidate(replace(found, standing=Standing(superseded=False, current=runs)), state=RUNS)


def test_a_signed_version_is_compared_where_one_is_named() -> None:
    """A label is its builder's word; an annotation is the word of who holds the key."""
    assert BY_KEY.needs == {Need.ATTACHMENTS, Need.STANDING}
    assert "after" in BY_KEY.verify(beside(signed(A, "1.3.0"), signed(B, "1.2.0")))
    with pytest.raises(PolicyRefusedError, match=r"1\.2\.0 runs here, and 1\.1\.0 is older"):
        BY_KEY.verify(beside(signed(A, "1.1.0"), signed(B, "1.2.0")))


def test_the_label_does_not_count_then() -> None:
    """Whoever may push writes any."""
    found = replace(signed(A, "1.1.0"), facts=facts("9.0.0"))
    with pytest.raises(PolicyRefusedError, match="is older"):
        BY_KEY.verify(beside(found, signed(B, "1.2.0")))


@pytest.mark.parametrize(
    "found", [signed(A), signed(A, None), signed(A, "x"), signed(A, "9.0.0", signer=STRANGER)]
)
def test_an_image_without_a_version_that_our_key_signed_is_refused(found: Evidence) -> None:
    """A stranger's annotation is a stranger's word."""
    with pytest.raises(PolicyRefusedError, match="no signature of this image has a version"):
        BY_KEY.verify(beside(found, signed(B, "1.2.0")))


def test_of_two_signed_versions_the_one_that_refuses_counts() -> None:
    """A second signature must not lift an old image, nor lower what runs."""
    with pytest.raises(PolicyRefusedError, match="is older"):
        BY_KEY.verify(beside(signed(A, "1.1.0", "9.0.0"), signed(B, "1.2.0")))
    with pytest.raises(PolicyRefusedError, match="is older"):
        BY_KEY.verify(beside(signed(A, "1.1.0"), signed(B, "1.0.0", "1.2.0")))


def test_an_annotation_without_a_signer_admits_nothing() -> None:
    """The configuration refuses it; so does the policy."""
    alone = NoDowngrade(annotation="version")
    with pytest.raises(PolicyRefusedError, match="who may sign"):
        alone.verify(beside(signed(A, "2.0.0"), signed(B, "1.0.0")))
