"""Who vouches for a bundle: made by a small Sigstore, and then by what an attacker could do to it.

Each row is one thing that is wrong, everything else being right.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests import keyless
from tests.fakes import START, digest
from tests.keyless import REF, REPOSITORY, SIGNED_AT, WORKFLOW, Sigstore, claims, edited, statement
from tests.signing import Document, Signer, b64, bundle_attachment, encode, legacy_attachment
from webhook_launcher.adapters.keyless import KeylessVerifier
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.errors import ConfigurationError
from webhook_launcher.core.keyless import KeylessIdentity, Vouched

A = digest("A")
OURS, STRANGERS = Sigstore(), Sigstore()
IDENTITY = KeylessIdentity(
    keyless.GITHUB, REPOSITORY, WORKFLOW, (REF,), trusted_root=OURS.trusted_root()
)
GOOD = OURS.attest(statement(A))
REUSED = "https://github.com/acme/ci/.github/workflows/build.yml@refs/tags/v1"


def vouched(attachment: Attachment, identity: KeylessIdentity = IDENTITY) -> Vouched:
    """What the identity vouches for: this one."""
    found = KeylessVerifier().verify(identity, [attachment])
    assert found.passed_over == ()
    (one,) = found.vouched
    return one


def passed_over(attachment: Attachment, identity: KeylessIdentity = IDENTITY) -> str:
    """Why it does not count; the text is safe to show."""
    found = KeylessVerifier().verify(identity, [attachment])
    assert found.vouched == ()
    (reason,) = found.passed_over
    assert reason.isprintable()
    return reason


def made_by(said: dict[int, str], **written: Any) -> Attachment:
    """A good attestation with a certificate that says this."""
    return OURS.attest(statement(A), OURS.leaf(said), **written)


# ── what counts ──────────────────────────────────────────────────────────────────────────────────


def test_a_good_one_comes_with_what_its_certificate_says() -> None:
    """That is what `verify` and `history` show: where to look when something is wrong."""
    found = vouched(GOOD)
    assert found.payload_type == "application/vnd.in-toto+json"
    assert json.loads(found.payload) == statement(A)
    assert found.since == SIGNED_AT
    assert found.claims == {
        "signer": f"{WORKFLOW}@{REF}",
        "ref": REF,
        "commit": "08802efe1f8e5fec4ad842d6b8ce97656092ee72",
        "run": f"{REPOSITORY}/actions/runs/8812/attempts/1",
    }


def test_it_counts_long_after_its_certificate_ended() -> None:
    """Certificates last ten minutes; the log says that it was made in them."""
    assert SIGNED_AT + timedelta(minutes=9) < START
    vouched(OURS.attest(statement(A), OURS.leaf(issued=SIGNED_AT - timedelta(days=300)),
                        logged=SIGNED_AT - timedelta(days=300)))  # fmt: skip


def test_a_reusable_workflow_signs_for_the_repository_that_called_it() -> None:
    """The certificate names both; who is trusted to call it is as much the question."""
    identity = replace(IDENTITY, workflow=REUSED)
    assert vouched(made_by(claims(signer=REUSED)), identity).claims["signer"] == REUSED
    caller = claims(repository="https://github.com/evil/web", signer=REUSED)
    assert "does not match" in passed_over(made_by(caller), identity)
    moved = claims(signer=REUSED.replace("v1", "v2"))
    assert "does not match" in passed_over(made_by(moved), identity)


def test_a_kind_of_refs() -> None:
    """Releases by tag have a new ref each; a branch of that name is none of them."""
    identity = replace(IDENTITY, refs=("refs/heads/main", "refs/tags/*"))
    for ref in ("refs/heads/main", "refs/tags/v1.2.3"):
        vouched(made_by(claims(signer=f"{WORKFLOW}@{ref}", ref=ref)), identity)
    for ref in ("refs/heads/tags/v1", "refs/pull/1/merge", "refs/tags/", "refs/heads/main2"):
        reason = passed_over(made_by(claims(signer=f"{WORKFLOW}@{ref}", ref=ref)), identity)
        assert "none of the refs permitted" in reason


def test_numeric_ids_survive_a_name_that_changes_hands() -> None:
    """A repository that is deleted leaves its name to whoever comes next."""
    identity = replace(IDENTITY, repository_id="772247423", owner_id="2314423")
    vouched(GOOD, identity)
    assert "Identifier" in passed_over(GOOD, replace(identity, repository_id="1"))
    assert "OwnerIdentifier" in passed_over(GOOD, replace(identity, owner_id="1"))
    without = {key: text for key, text in claims().items() if key != keyless.OWNER_ID}
    assert "does not contain" in passed_over(made_by(without), identity)


def test_others_beside_it_take_nothing_from_it() -> None:
    """A key's bundle, a legacy signature, rubbish: an image collects all kinds of things."""
    others = [
        Signer().bundle(A),
        Signer().legacy(A, "ghcr.io/acme/web"),
        bundle_attachment(b"\xff"),
        Attachment(Form.BUNDLE, "x", fault="sha256:…: it has 3 bytes, not 4"),
        STRANGERS.attest(statement(A)),
    ]
    found = KeylessVerifier().verify(IDENTITY, [*others, GOOD, *others])
    assert len(found.vouched) == 1
    assert len(found.passed_over) == 2 * len(others)


# ── somebody else ────────────────────────────────────────────────────────────────────────────────

EVIL = "https://github.com/evil/web"


@pytest.mark.parametrize(
    "said",
    [
        claims() | {keyless.ISSUER: "https://gitlab.com"},
        claims() | {keyless.ISSUER: keyless.GITHUB + "/"},
        claims() | {keyless.SOURCE: EVIL},
        claims() | {keyless.SOURCE: REPOSITORY + "-evil"},  # ours is a prefix of it
        claims() | {keyless.SOURCE: REPOSITORY[:-1]},  # it is a prefix of ours
        claims() | {keyless.SOURCE: REPOSITORY.upper()},
        claims() | {keyless.SIGNER: f"{EVIL}/.github/workflows/release.yml@{REF}"},
        claims() | {keyless.SIGNER: f"{REPOSITORY}/.github/workflows/test.yml@{REF}"},
        claims() | {keyless.SIGNER: f"{WORKFLOW}@{REF}-evil"},
        claims() | {keyless.SIGNER: f"{WORKFLOW}@refs/heads/evil"},
        claims() | {keyless.SOURCE_REF: "refs/heads/evil"},
        claims(signer=f"{WORKFLOW}@refs/heads/evil", ref="refs/heads/evil"),
        claims(signer=f"{WORKFLOW}@refs/pull/7/merge", ref="refs/pull/7/merge"),
        *({k: text for k, text in claims().items() if k != left_out}
          for left_out in (keyless.ISSUER, keyless.SOURCE, keyless.SIGNER, keyless.SOURCE_REF)),
    ],
)  # fmt: skip
def test_another_maker(said: dict[int, str]) -> None:
    """Anybody gets a certificate of Fulcio's: it is theirs, with their repository in it."""
    reason = passed_over(made_by(said))
    assert "does not match" in reason or "does not contain" in reason or "permitted" in reason


def test_another_sigstore() -> None:
    """Who runs a Fulcio of their own may write any name into a certificate."""
    assert "certificate chain" in passed_over(STRANGERS.attest(statement(A)))


@pytest.mark.parametrize("part", ["ca", "ct", "rekor"])
def test_a_part_of_another_sigstore(part: str) -> None:
    """A certificate that no log has seen, an entry that no log has written."""
    mixed = replace(OURS, **{part: getattr(STRANGERS, part)})
    passed_over(mixed.attest(statement(A)))


# ── something else ───────────────────────────────────────────────────────────────────────────────


def envelope(bundle: Document) -> Document:
    """Of a bundle, to be edited."""
    found: Document = bundle["dsseEnvelope"]
    return found


def entry(bundle: Document) -> Document:
    """Its log entry, to be edited."""
    found: Document = bundle["verificationMaterial"]["tlogEntries"][0]
    return found


def taken_from(other: Attachment, *path: str) -> Callable[[Document], None]:
    """An edit that puts a part of another bundle in its place."""

    def edit(bundle: Document) -> None:
        source, target = json.loads(other.content), bundle
        for name in path[:-1]:
            source, target = source[name], target[name]
        target[path[-1]] = source[path[-1]]

    return edit


OTHER = OURS.attest(statement(digest("B")))
TAMPERED: dict[str, Callable[[Document], object]] = {
    "payload": lambda bundle: envelope(bundle).update(payload=b64(encode(statement(digest("B"))))),
    "payload type": lambda bundle: envelope(bundle).update(payloadType="application/json"),
    "signature": taken_from(OTHER, "dsseEnvelope", "signatures"),
    "no signature": lambda bundle: envelope(bundle).update(signatures=[]),
    "two signatures": lambda bundle: envelope(bundle).update(
        signatures=envelope(bundle)["signatures"] * 2
    ),
    "certificate": taken_from(OTHER, "verificationMaterial", "certificate"),
    "no certificate": lambda bundle: bundle["verificationMaterial"].pop("certificate"),
    "no log entry": lambda bundle: bundle["verificationMaterial"].update(tlogEntries=[]),
    "two log entries": lambda bundle: bundle["verificationMaterial"]["tlogEntries"].append(
        entry(bundle)
    ),
    "another artifact's log entry": taken_from(OTHER, "verificationMaterial", "tlogEntries"),
    "time moved": lambda bundle: entry(bundle).update(integratedTime="1772366100"),
    "time far away": lambda bundle: entry(bundle).update(integratedTime="9" * 18),
    "no time": lambda bundle: entry(bundle).pop("integratedTime"),
    "no promise": lambda bundle: entry(bundle).pop("inclusionPromise"),
    "no proof": lambda bundle: entry(bundle).pop("inclusionProof"),
    "index moved": lambda bundle: entry(bundle).update(logIndex="2"),
    "root of another tree": lambda bundle: entry(bundle)["inclusionProof"].update(
        rootHash=b64(sha256(b"x").digest())
    ),
    "entry of another kind": lambda bundle: entry(bundle).update(
        kindVersion={"kind": "intoto", "version": "0.0.2"}
    ),
    "unknown log": lambda bundle: entry(bundle).update(logId={"keyId": b64(b"x" * 32)}),
    "media type": lambda bundle: bundle.update(mediaType="application/json"),
    "message instead of envelope": lambda bundle: bundle.update(
        {"messageSignature": {"signature": bundle.pop("dsseEnvelope")["signatures"][0]["sig"]}}
    ),
}


@pytest.mark.parametrize("name", list(TAMPERED))
def test_tampered_with(name: str) -> None:
    """Nothing in a bundle can be exchanged by somebody who has none of the keys."""
    vouched(GOOD)
    passed_over(edited(GOOD, TAMPERED[name]))


@pytest.mark.parametrize("minutes", [-1, 11])
def test_logged_before_or_after_its_certificate(minutes: int) -> None:
    """A key that leaked when its ten minutes were over signs nothing that counts."""
    late = OURS.attest(statement(A), logged=SIGNED_AT + timedelta(minutes=minutes))
    assert "certificate" in passed_over(late)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'"' * 1000, b"[" * 100_000, b'{"mediaType": 1}'],
)
def test_rubbish(content: bytes) -> None:
    """Whoever may push may attach anything."""
    passed_over(bundle_attachment(content))


@pytest.mark.parametrize("path", [("certificate", "rawBytes"), ("tlogEntries",)])
@pytest.mark.parametrize("value", ["", "AA==", b64(b"0" * 300), None, 7, [], [{}]])
def test_rubbish_inside(path: tuple[str, ...], value: object) -> None:
    """No exception of a parser deep inside keeps the launcher from judging the others."""

    def edit(bundle: Document) -> None:
        target = bundle["verificationMaterial"]
        for name in path[:-1]:
            target = target[name]
        target[path[-1]] = value

    found = KeylessVerifier().verify(IDENTITY, [edited(GOOD, edit), GOOD])
    assert (len(found.vouched), len(found.passed_over)) == (1, 1)


def test_the_legacy_form_says_so() -> None:
    """cosign 2's keyless signatures are not looked at, and whoever has them should know."""
    assert "in the form `legacy`" in passed_over(legacy_attachment(b"{}", None))


def test_a_payload_of_another_type_is_the_policys_to_refuse() -> None:
    """It is signed and logged all the same: the library does not look at it."""
    odd = OURS.attest(statement(A), kind="application/json")
    assert vouched(odd).payload_type == "application/json"


# ── the keys ─────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_written_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container's user has none, and what lies there must not decide what is trusted."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    passed_over(GOOD, replace(IDENTITY, trusted_root=None))
    assert list(tmp_path.iterdir()) == []


def broken(edit: Callable[[Document], object]) -> bytes:
    """A trusted root with a part changed."""
    document = json.loads(OURS.trusted_root())
    edit(document)
    return encode(document)


@pytest.mark.parametrize(
    "root",
    [
        b"",
        b"{}",
        broken(lambda root: root.update(tlogs=[])),
        broken(lambda root: root.update(certificateAuthorities=[])),
        broken(lambda root: root.update(mediaType="application/json")),
        broken(lambda root: root["certificateAuthorities"][0]["certChain"].update(certificates=[])),
    ],
)
def test_keys_that_are_none(root: bytes) -> None:
    """The operator's fault, and said so: not every image is unattested now."""
    with pytest.raises(ConfigurationError, match=r"attested_by\.trusted_root: cannot be used"):
        KeylessVerifier().verify(replace(IDENTITY, trusted_root=root), [GOOD])


def test_the_age_of_the_keys() -> None:
    """They are replaced every year or so; then what is new cannot be verified with these."""
    verifier = KeylessVerifier()
    dates = verifier.trust_dates(OURS.trusted_root(), START)
    assert (dates.newest, dates.ended) == (SIGNED_AT - timedelta(days=365), ())
    ended = verifier.trust_dates(OURS.trusted_root(ended=SIGNED_AT), START)
    assert ended.ended == ("certificate authority", "transparency log", "certificate log")
    assert verifier.trust_dates(None, START).ended == ()
