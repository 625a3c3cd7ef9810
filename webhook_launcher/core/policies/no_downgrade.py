"""`no_downgrade`: what runs here is not replaced by something older.

Rollback, in TUF's words: software older than what was known to be available. A signature does not
stop it, since the old release was signed as well. Two things are compared, and none of them is a
date in the image, which its builder writes and which reproducible builds set to 1970:

1. the digest with those that ran on this workload before what runs now: it does not come again;
2. the version in a label of the verified bytes, or in an annotation that a key of `signed_by`
   signed, with that of what runs: it is not lower. Once a version runs, an image that has none is
   refused too, since nobody can tell.

The floor is what runs. An operator who rolls back, or names a digest, lowers it, of this workload
only; what is newer may then be deployed again. A deploy event that was signed before the newest
accepted one is ignored by the journal, under any policy.
"""

from dataclasses import dataclass, replace

from semver import Version

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Need, Question
from webhook_launcher.core.model import Action, Trust
from webhook_launcher.core.policies.facts import facts_of
from webhook_launcher.core.policies.signed_by import SignedBy
from webhook_launcher.core.policy import Candidate
from webhook_launcher.core.versions import parse_version

# image-spec 1.1, annotations.md; docker/metadata-action and most build tools write it as a label.
VERSION_LABEL = "org.opencontainers.image.version"
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class NoDowngrade:
    """`label` has the version, or `annotation` of what `signatures` finds.

    `max_major_step` bounds how far a version may jump; None: any.
    """

    label: str = VERSION_LABEL
    max_major_step: int | None = None
    annotation: str | None = None
    signatures: SignedBy | None = None
    name = "no_downgrade"

    @property
    def needs(self) -> frozenset[Question]:
        """Where the version is, and what runs."""
        place = Need.FACTS if self.annotation is None else Need.ATTACHMENTS
        return frozenset({place, Need.STANDING})

    def verify(self, candidate: Candidate) -> str:
        """Compare digest and version with what ran and what runs here."""
        current = candidate.state.current
        if candidate.returns:
            return "it ran here before"
        if _named_by_operator(candidate):
            return f"an operator named {candidate.image.digest}"
        if current is None or current.digest == candidate.image.digest:
            return "nothing else runs here"
        standing = candidate.evidence.standing
        if standing is not None and standing.superseded:
            raise self._refused(
                candidate, f"{candidate.image.digest} ran here and was replaced by a newer release"
            )
        if standing is None or standing.current is None:
            raise self._refused(
                candidate, f"what runs now, {current.pinned}, could not be looked at to compare"
            )
        return self._compared(
            candidate, replace(candidate, image=current, evidence=standing.current)
        )

    def _compared(self, candidate: Candidate, current: Candidate) -> str:
        # Signed twice with different versions: the one that refuses rather than admits.
        floor = max(self._versions(current), default=None)
        version = min(self._versions(candidate), default=None)
        if floor is None:
            return "what runs here has no version to compare with, and it never ran here before"
        if version is None:
            raise self._refused(candidate, f"{floor} runs here, and {self._missing(candidate)}")
        if version < floor:
            raise self._refused(candidate, f"{floor} runs here, and {version} is older")
        if self.max_major_step is not None and version.major > floor.major + self.max_major_step:
            raise self._refused(
                candidate,
                f"{floor} runs here, and {version} is more than "
                f"{self.max_major_step} major version(s) ahead",
            )
        return f"{version}, after {floor}"

    def _versions(self, candidate: Candidate) -> list[Version]:
        if self.annotation is None:
            texts = [facts_of(candidate, self.name).labels.get(self.label, "")]
        elif self.signatures is None:
            raise PolicyRefusedError(self.name, "who may sign the version is not known")
        else:
            statements = self.signatures.statements(candidate)
            texts = [one.annotations.get(self.annotation, "") for one in statements]
        return [version for text in texts if (version := parse_version(text)) is not None]

    def _missing(self, candidate: Candidate) -> str:
        if self.annotation is not None:
            return f"no signature of this image has a version in the annotation {self.annotation}"
        facts = facts_of(candidate, self.name)
        if self.label not in facts.labels:
            return f"this image has no label {self.label}"
        return f"{facts.labels[self.label][:_SHOWN]!a} in the label {self.label} is no version"

    def _refused(self, candidate: Candidate, happened: str) -> PolicyRefusedError:
        return PolicyRefusedError(
            self.name,
            happened,
            advice="If it is meant, an operator may name it: "
            f"`webhook-launcher deploy {candidate.workload} {candidate.image.pinned}`.",
        )


def _named_by_operator(candidate: Candidate) -> bool:
    """Not "run what is tracked": that is what an attacker may have moved."""
    named = candidate.image.reference.digest is not None
    return named and (candidate.action, candidate.origin.trust) == (Action.DEPLOY, Trust.OPERATOR)
