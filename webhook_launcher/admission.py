"""What must be known of an image before it is judged, then the judgement: an image to a release.

The evidence of what was admitted is kept. What ran here before is judged by that again, under
today's policy, so that a rollback needs no registry; only when it does not suffice (a key was
changed, a policy added) is the registry asked.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from webhook_launcher.core.attachment import Attachment
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    LauncherError,
    ManifestNotFoundError,
    PolicyRefusedError,
)
from webhook_launcher.core.evidence import (
    NOTHING_KNOWN,
    Answer,
    Check,
    Evidence,
    Facts,
    Need,
    Standing,
)
from webhook_launcher.core.keyless import KeylessIdentity, Vouching
from webhook_launcher.core.model import Image, Platform, Verdict
from webhook_launcher.core.policy import Candidate, Release, admit, judge, questions
from webhook_launcher.core.workload import Workload

_log = logging.getLogger(__name__)


class Registry(Protocol):
    """Answers what an image is made of and what is attached to it. Raises RegistryError."""

    def facts(self, image: Image, platform: Platform) -> Facts:
        """From the verified bytes of its manifest and config."""

    def attachments(self, image: Image) -> tuple[Attachment, ...]:
        """Every signature and attestation of its digest."""


class Checks(Protocol):
    """Runs the user's own checks. Raises CommandError."""

    def run(self, check: Check, workload: str, image: Image, facts: Facts) -> Answer:
        """How it ended for this image."""


class Keyless(Protocol):
    """Verifies keyless signatures. Raises ConfigurationError where it cannot verify any."""

    def verify(self, identity: KeylessIdentity, attachments: Sequence[Attachment]) -> Vouching:
        """What the identity vouches for among them."""


class KeptEvidence(Protocol):
    """The journal's evidence. Every method has committed when it returns."""

    def sighted(self, image: Image, now: datetime) -> datetime:
        """When the digest was first seen in its repository: now, if it never was."""

    def get(self, workload: str, image: Image) -> Evidence | None:
        """What was kept of an image that was admitted here."""

    def superseded(self, workload: str, image: Image) -> bool:
        """True when it ran here before what runs now."""

    def keep(self, workload: str, image: Image, evidence: Evidence) -> None:
        """Keep what a rollback to this image will be judged by."""


class Admission:
    """Gathers evidence and admits."""

    def __init__(
        self,
        registry: Registry,
        checks: Checks,
        keyless: Keyless,
        kept: KeptEvidence,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._checks = checks
        self._keyless = keyless
        self._kept = kept
        self._clock = clock

    def sight(self, image: Image) -> None:
        """Note that the registry has this digest: from now on it ages."""
        for one in image.each:
            self._kept.sighted(one, self._clock.now())

    def admit(self, workload: Workload, candidate: Candidate, platform: Platform) -> Release:
        """A release, its evidence kept. Raises PolicyRefusedError, and what looking raises."""
        if candidate.returns:
            # Without anything kept as well: much of a list asks nothing of what ran here before.
            kept = self._kept.get(workload.name, candidate.image) or NOTHING_KNOWN
            kept = self._vouched_for(workload, kept)
            try:
                return admit(replace(candidate, evidence=kept), workload.policies)
            except PolicyRefusedError:
                if not questions(workload.policies):
                    raise  # nothing that could be looked at again would change it
        evidence = self._compare(workload, candidate, platform)
        release = admit(replace(candidate, evidence=evidence), workload.policies)
        self._keep(workload, candidate.image, evidence)
        return release

    def judge(
        self, workload: Workload, candidate: Candidate, platform: Platform
    ) -> Sequence[Verdict]:
        """What every policy says of it; nothing is admitted, or kept but the first sight."""
        evidence = self._compare(workload, candidate, platform)
        return judge(replace(candidate, evidence=evidence), workload.policies)

    def keep_way_back(self, workload: Workload, candidate: Candidate, platform: Platform) -> None:
        """See that a return can be judged without a registry, as far as that goes.

        Under today's policy: one that would be refused is told before it is needed.
        """
        image = candidate.image
        kept = self._kept.get(workload.name, image)
        try:
            if kept is None or not _answers(kept, workload):
                kept = self._look(workload, image, platform)
                self._keep(workload, image, kept)
            admit(replace(candidate, evidence=self._vouched_for(workload, kept)), workload.policies)
        except PolicyRefusedError as error:
            _tell("there is no way back", workload, image, error)
        except LauncherError as error:
            _tell("the way back needs the registry", workload, image, error)

    def _keep(self, workload: Workload, image: Image, evidence: Evidence) -> None:
        if questions(workload.policies):
            self._kept.keep(workload.name, image, evidence)

    def _compare(self, workload: Workload, candidate: Candidate, platform: Platform) -> Evidence:
        """What there is to know of the image, and of what it would replace."""
        evidence = self._look(workload, candidate.image, platform)
        evidence = self._vouched_for(workload, evidence)
        if Need.STANDING not in questions(workload.policies):
            return evidence
        standings = []
        for one in candidate.each:
            current = one.state.current
            known = None if current is None else self._known(workload, current, platform)
            superseded = self._kept.superseded(workload.name, one.image)
            standings.append(Standing(superseded, known))
        if not evidence.parts:
            return replace(evidence, standing=standings[0])
        pairs = zip(evidence.parts, standings, strict=True)
        return Evidence(parts=tuple(replace(part, standing=it) for part, it in pairs))

    def _vouched_for(self, workload: Workload, evidence: Evidence) -> Evidence:
        """Who signed what is attached without a key; what is kept is only the signatures."""
        if evidence.parts:
            each = (self._vouched_for(workload, part) for part in evidence.parts)
            return replace(evidence, parts=tuple(each))
        attached = evidence.attachments
        if attached is None:
            return evidence
        identities = [q for q in questions(workload.policies) if isinstance(q, KeylessIdentity)]
        vouching = {identity: self._keyless.verify(identity, attached) for identity in identities}
        return replace(evidence, vouching=vouching)

    def _known(self, workload: Workload, current: Image, platform: Platform) -> Evidence | None:
        """As it was kept when it was admitted, or by its digest from the registry."""
        kept = self._kept.get(workload.name, current)
        if kept is not None and _answers(kept, workload):
            return kept
        try:
            return self._look(workload, current, platform)
        except ManifestNotFoundError:
            return None

    def _look(self, workload: Workload, image: Image, platform: Platform) -> Evidence:
        """Ask for what the policies need, and nothing else."""
        if image.parts:
            return Evidence(parts=tuple(self._look(workload, one, platform) for one in image.parts))
        asked = questions(workload.policies)
        checks = sorted((q for q in asked if isinstance(q, Check)), key=lambda check: check.argv)
        facts, attachments, answers = None, None, {}
        if checks or Need.FACTS in asked:
            facts = self._registry.facts(image, platform)
            answers = {
                check: self._checks.run(check, workload.name, image, facts) for check in checks
            }
        if Need.ATTACHMENTS in asked:
            attachments = self._registry.attachments(image)
        seen = self._kept.sighted(image, self._clock.now())
        return Evidence(facts, attachments, answers, seen)


def _tell(what: str, workload: Workload, image: Image, error: LauncherError) -> None:
    _log.warning(
        what, extra={"workload": workload.name, "image": image.pinned, "detail": str(error)}
    )


def _answers(evidence: Evidence, workload: Workload) -> bool:
    """True when it has what the policies ask of an image today, which may be more than then."""
    asked = questions(workload.policies)
    for one in evidence.parts or (evidence,):
        if one.facts is None and Need.FACTS in asked:
            return False
        if one.attachments is None and Need.ATTACHMENTS in asked:
            return False
        if any(check not in one.answers for check in asked if isinstance(check, Check)):
            return False
    return True
