"""`signed_by`: one of these keys signed exactly this digest, with cosign.

What a signature proves is who, not when, and a bundle does not even say for which repository: so
the keys are the workload's, never the signature's to name.

A signature that does not count is not always an attack. Others sign too; people push first and
sign seconds later; what an image was promoted with comes along. So "not signed yet" is said as
long as a signer at work could leave it so, and is asked again for a while; refused at once is what
no signer leaves behind: our own key's signature under this image that speaks of another digest, or
that no cosign writes.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.cosign import (
    AttestationError,
    ForeignError,
    OddStatementError,
    Statement,
    read_statement,
)
from webhook_launcher.core.errors import NotSignedYetError, PolicyRefusedError
from webhook_launcher.core.evidence import Need, Question
from webhook_launcher.core.image_key import ImageKey
from webhook_launcher.core.policies.found import shown
from webhook_launcher.core.policy import Candidate


class _PassedOverError(Exception):
    """Why an attachment does not count, and yet says nothing against the image."""


@dataclass(frozen=True, slots=True)
class SignedBy:
    """`keys`, any of which suffices; the accepted `forms`; and annotations it must have signed."""

    keys: tuple[ImageKey, ...]
    forms: frozenset[Form] = frozenset(Form)
    annotations: Mapping[str, str] = field(default_factory=dict)
    name = "signed_by"
    needs: frozenset[Question] = frozenset({Need.ATTACHMENTS})

    def __post_init__(self) -> None:
        if not self.keys or not self.forms:
            raise ValueError("a signature needs a key and a form that it may have")

    def verify(self, candidate: Candidate) -> str:
        """Find one signature that counts.

        1. The digest is one that can be signed, and attachments were looked for. Each in turn:
        2. its form is accepted; 3. it is a signature by one of the keys (`core.cosign`); 4. about
        the candidate's digest; 5. the key's time is not over; 6. it is for the workload's
        repository, where it names one; 7. it has the annotations. The first that passes all of it
        is enough; without one, the image is refused.
        """
        if not candidate.image.digest.startswith("sha256:"):
            raise PolicyRefusedError(
                self.name,
                f"cosign signs sha256 digests, and {candidate.image.pinned} is none",
                advice="Deploy the image by its tag or its sha256 digest.",
            )
        attachments = candidate.evidence.attachments
        if attachments is None:
            raise PolicyRefusedError(
                self.name, f"signatures of {candidate.image.pinned} were not looked for"
            )
        reasons: Counter[str] = Counter()
        wrong = None
        for attachment in attachments:
            try:
                statement = self._checked(attachment, candidate)
                return f"signed by {statement.key.id} ({statement.form})"
            except _PassedOverError as reason:
                reasons[str(reason)] += 1
            except OddStatementError as reason:
                wrong = wrong or str(reason)
        raise self._refusal(candidate.image.pinned, reasons, wrong)

    def statements(self, candidate: Candidate) -> list[Statement]:
        """All signatures that count, in no order that means anything; none is an empty list."""
        found = []
        for attachment in candidate.evidence.attachments or ():
            with suppress(_PassedOverError, OddStatementError):
                found.append(self._checked(attachment, candidate))
        return found

    def _refusal(self, image: str, reasons: Counter[str], wrong: str | None) -> PolicyRefusedError:
        """At once for what is wrong; else what could still become right."""
        if wrong is not None:
            return PolicyRefusedError(
                self.name,
                f"a signature of {image} is not what it should be: {wrong}",
                advice="No cosign leaves this behind. Find out who pushed it; to sign again, "
                "delete what is attached to the image first (`cosign clean`).",
            )
        names = " or ".join(key.id for key in self.keys)
        return NotSignedYetError(
            self.name,
            f"{image} is not signed by {names}{shown(reasons)}",
            advice=f"Sign the digest: `cosign sign --key KEY {image}`. It is looked for again "
            "for some minutes; later, deploy or check again.",
        )

    def _checked(self, attachment: Attachment, candidate: Candidate) -> Statement:
        """Raises _PassedOverError or, for what nobody but an attacker does, OddStatementError."""
        if attachment.form not in self.forms:
            raise _PassedOverError(f"the form `{attachment.form}` is not accepted here")
        try:
            statement = read_statement(attachment, self.keys)
        except (ForeignError, AttestationError) as error:
            raise _PassedOverError(str(error)) from error
        key = statement.key
        if statement.digest != candidate.image.digest:
            raise OddStatementError(f"signed by {key.id}, but for {statement.digest}")
        if key.expired(candidate.now):
            raise _PassedOverError(f"made by {key.id}, whose time ended {key.not_after:%Y-%m-%d}")
        if statement.repository not in (None, candidate.image.reference.repository):
            raise _PassedOverError(f"made by {key.id} for {statement.repository}")
        for name, value in self.annotations.items():
            if statement.annotations.get(name) != value:
                raise _PassedOverError(f"made by {key.id} without the annotation {name}={value}")
        return statement
