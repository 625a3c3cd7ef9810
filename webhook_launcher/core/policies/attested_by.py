"""`attested_by`: this workflow, built from this repository, attested exactly this digest.

No key to keep: the maker is known by a certificate of Sigstore's, and which one it must be stands
in the configuration. Certificate, signature and log entry are verified when evidence is gathered
(`KeylessIdentity`); what was signed is read here, as strictly as `signed_by` reads it, since the
library checks neither the payload's type nor the statement's (GHSA-w6c6-c85g-mmv6).

An attestation says what somebody found out about an image, which may be that it must not run: so
the type of its predicate counts, and none of the wanted type is a refusal (CVE-2022-35929). What
stands in the predicate is the workflow's own word, and is not asked.

What is not there yet may follow: people push first and attest then. Refused at once is only what
no build leaves behind, the workflow's own attestation under this image about another digest.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook_launcher.core import strict_json
from webhook_launcher.core.cosign import SIGN_TYPE
from webhook_launcher.core.errors import NotSignedYetError, PolicyRefusedError
from webhook_launcher.core.evidence import Need, Question
from webhook_launcher.core.keyless import KeylessIdentity, Vouched
from webhook_launcher.core.policies.found import shown
from webhook_launcher.core.policy import Candidate

SLSA_PROVENANCE = "https://slsa.dev/provenance/v1"
# What they are called in the configuration; any other type is written out.
PREDICATES: Mapping[str, str] = {"slsa-provenance": SLSA_PROVENANCE, "signature": SIGN_TYPE}
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_SHOWN = 120


class _PassedOverError(Exception):
    """Why an attestation does not count, and yet says nothing against the image."""


class _OtherImageError(Exception):
    """It is by the right maker, of the right type, and about something else."""


@dataclass(frozen=True, slots=True)
class AttestedBy:
    """Who must have attested it, and the types of predicate, any of which suffices."""

    identity: KeylessIdentity
    predicates: frozenset[str] = frozenset({SLSA_PROVENANCE})
    name = "attested_by"

    def __post_init__(self) -> None:
        if not self.predicates or not self.identity.refs:
            raise ValueError("an attestation needs a predicate and a ref that it may be of")

    @property
    def needs(self) -> frozenset[Question]:
        """What is attached to the image, and who vouches for that."""
        return frozenset({Need.ATTACHMENTS, self.identity})

    def verify(self, candidate: Candidate) -> str:
        """Find one attestation that counts.

        1. The digest is one that can be attested, and somebody looked who vouches for what is
        attached. Of what this identity vouches for, each in turn: 2. its payload is an in-toto
        statement, and the statement says so itself; 3. its predicate is of a wanted type; 4. the
        candidate's digest is among its subjects. The first that passes all of it is enough;
        without one, the image is refused.
        """
        if not candidate.image.digest.startswith("sha256:"):
            raise PolicyRefusedError(
                self.name,
                f"attestations are looked for of sha256 digests, and {candidate.image.pinned} "
                "is none",
                advice="Deploy the image by its tag or its sha256 digest.",
            )
        vouching = candidate.evidence.vouching.get(self.identity)
        if vouching is None:
            raise PolicyRefusedError(
                self.name, f"attestations of {candidate.image.pinned} were not looked for"
            )
        reasons = Counter(vouching.passed_over)
        wrong = None
        for vouched in vouching.vouched:
            try:
                return self._checked(vouched, candidate)
            except _PassedOverError as reason:
                reasons[str(reason)] += 1
            except _OtherImageError as reason:
                wrong = wrong or str(reason)
        raise self._refusal(candidate.image.pinned, reasons, wrong)

    def _checked(self, vouched: Vouched, candidate: Candidate) -> str:
        """What to say of it. Raises _PassedOverError or _OtherImageError."""
        statement = _statement(vouched)
        predicate = statement.get("predicateType")
        if not isinstance(predicate, str) or predicate not in self.predicates:
            raise _PassedOverError(f"by this workflow, but of the type {_quoted(predicate)}")
        if not _is_about(statement.get("subject"), candidate.image.digest):
            raise _OtherImageError(f"{_by(vouched)} attested {predicate}, but of another digest")
        return f"{_named(predicate)} by {_by(vouched)}"

    def _refusal(self, image: str, reasons: Counter[str], wrong: str | None) -> PolicyRefusedError:
        """At once for what is wrong; else what could still become right."""
        if wrong is not None:
            return PolicyRefusedError(
                self.name,
                f"an attestation under {image} is not about it: {wrong}",
                advice="No build leaves this behind. Find out who pushed it; to attest again, "
                "delete what is attached to the image first (`cosign clean`).",
            )
        wanted = " or ".join(_named(predicate) for predicate in sorted(self.predicates))
        return NotSignedYetError(
            self.name,
            f"{image} has no {wanted} by {self.identity.workflow} "
            f"for {self.identity.repository}{shown(reasons)}",
            advice="Attest the digest in that workflow, with `push-to-registry: true`. It is "
            "looked for again for some minutes; later, deploy or check again.",
        )


def _statement(vouched: Vouched) -> dict[str, Any]:
    if vouched.payload_type != _PAYLOAD_TYPE:
        raise _PassedOverError(
            f"by this workflow, but its payload is {_quoted(vouched.payload_type)}"
        )
    try:
        statement = strict_json.loads(vouched.payload)
    except strict_json.StrictJsonError as error:
        raise _PassedOverError(f"by this workflow, but its statement is {error}") from error
    if not isinstance(statement, dict):
        raise _PassedOverError("by this workflow, but its statement is no object")
    if statement.get("_type") != _STATEMENT_TYPE:
        raise _PassedOverError(
            f"by this workflow, but its statement is {_quoted(statement.get('_type'))}"
        )
    return statement


def _is_about(subjects: Any, digest: str) -> bool:
    """One build may have several results; each is a subject with its digest."""
    value = digest.removeprefix("sha256:")
    if not isinstance(subjects, list):
        return False
    digests = [subject.get("digest") for subject in subjects if isinstance(subject, dict)]
    return any(isinstance(found, dict) and found.get("sha256") == value for found in digests)


def _by(vouched: Vouched) -> str:
    """The maker, and what else the certificate says that helps to find the build."""
    claims = vouched.claims
    more = [f"{name} {claims[name][:_SHOWN]}" for name in ("commit", "run") if name in claims]
    made = f"{vouched.since:%Y-%m-%d %H:%M} UTC"
    return ", ".join([claims["signer"], *more, made])


def _named(predicate: str) -> str:
    """As the configuration calls it."""
    return next((name for name, uri in PREDICATES.items() if uri == predicate), predicate)


def _quoted(value: Any) -> str:
    """Foreign text made safe for a log line: quoted, escaped and cut."""
    return ascii(value[:_SHOWN]) if isinstance(value, str) else "no text"
