"""Admission: the only way from an Image to a Release.

A policy is one small class with one method that says why it holds, or raises PolicyRefusedError.
Every policy of a workload must hold; an empty list still runs the built-in ones. There is no other
constructor of `Release`, so nothing reaches the engine that was not admitted under today's policy,
a rollback included.
"""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, replace
from datetime import datetime
from typing import Protocol

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import NOTHING_KNOWN, Evidence, Question
from webhook_launcher.core.model import Action, Image, Origin, Verdict, WorkloadState
from webhook_launcher.core.reference import Repository

_SEAL = object()
# What a signed deploy event may override, if its key may: only what asks for patience. Everything
# else is about what the image is, and no sender may decide that.
OVERRIDABLE = frozenset({"minimum_age"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the policies judge: an image, for a workload, asked for by somebody, now."""

    workload: str
    repositories: tuple[Repository, ...]  # the only ones that this workload may ever run
    image: Image
    action: Action
    origin: Origin
    state: WorkloadState
    now: datetime
    evidence: Evidence = NOTHING_KNOWN
    beside: tuple[Evidence, ...] = ()  # of every image of the same release, if several

    @property
    def each(self) -> tuple["Candidate", ...]:
        """One for each image, with its own evidence and beside what it would replace."""
        if not self.image.parts:
            return (self,)
        before = self.state.current.each if self.state.current else ()
        current = {one.reference.repository: one for one in before}
        known = self.evidence.parts or (NOTHING_KNOWN,) * len(self.image.parts)
        return tuple(
            replace(
                self,
                image=part,
                evidence=evidence,
                beside=known,
                state=replace(self.state, current=current.get(part.reference.repository)),
            )
            for part, evidence in zip(self.image.parts, known, strict=True)
        )

    @property
    def returns(self) -> bool:
        """True when the image ran here before and comes back: nobody can ask for that from afar.

        Policies about what is *newer* do not bind it; those about what the image *is* do.
        """
        return self.action in (Action.ROLLBACK, Action.RESTORE)


class Policy(Protocol):
    """A rule that can refuse an image."""

    @property
    def name(self) -> str:
        """Stable slug: the key in the configuration, shown with refusals and in the evidence."""

    @property
    def needs(self) -> frozenset[Question]:
        """What must have been looked for before it can judge."""

    def verify(self, candidate: Candidate) -> str:
        """Why it holds, for the evidence; raises PolicyRefusedError when it does not."""


@dataclass(frozen=True, slots=True)
class Release:
    """A digest that was admitted for a workload. Made by `admit`, nothing else.

    The seal is not kept, so that `dataclasses.replace` cannot make another one either.
    """

    workload: str
    image: Image
    verdicts: tuple[Verdict, ...]
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a Release is made by core.policy.admit and nothing else")

    @property
    def pinned(self) -> str:
        """`registry/repository@digest`."""
        return self.image.pinned


class FromRepository:
    """The image comes from the workload's own repository."""

    name = "repository"
    needs: frozenset[Question] = frozenset()

    def verify(self, candidate: Candidate) -> str:
        """Compare registry and path with the workload's `image` and `images`."""
        asked = candidate.image.reference.repository
        if asked not in candidate.repositories:
            only = " and ".join(map(str, candidate.repositories))
            raise PolicyRefusedError(
                self.name,
                f"{asked} is not the repository of workload {candidate.workload!r}",
                advice=f"Only {only} may run there (`image:` of the workload).",
            )
        return f"it is of {asked}"


class NotQuarantined:
    """A digest that failed here is not tried again until an operator says so."""

    name = "quarantine"
    needs: frozenset[Question] = frozenset()

    def verify(self, candidate: Candidate) -> str:
        """Refuse a quarantined digest, whoever asks."""
        if candidate.image.digest in candidate.state.quarantined:
            raise PolicyRefusedError(
                self.name,
                f"{candidate.image.digest} failed on {candidate.workload!r} before "
                "and is in quarantine",
                advice="Push a newer image, or release it: "
                f"`webhook-launcher release-quarantine {candidate.workload}`.",
            )
        return "it did not fail here"


BUILT_IN: tuple[Policy, ...] = (FromRepository(), NotQuarantined())


def admit(candidate: Candidate, policies: Sequence[Policy]) -> Release:
    """Run every built-in and configured policy, in order; the first refusal is raised.

    Of several images that run as one, each is judged by all of them, and so is the combination:
    whether it is whole, and whether it failed here before.
    """
    if candidate.image.parts:
        NotQuarantined().verify(candidate)
    held = [
        Verdict(policy.name, holds=True, said=_named(one, candidate, policy.verify(one)))
        for one in candidate.each
        for policy in (*BUILT_IN, *policies)
    ]
    _refuse_part(candidate)
    return Release(candidate.workload, candidate.image, tuple(held), _SEAL)


def judge(candidate: Candidate, policies: Sequence[Policy]) -> tuple[Verdict, ...]:
    """What every policy says, refusals included: for people who ask, not for the engine."""
    return tuple(
        _verdict(policy, one) for one in candidate.each for policy in (*BUILT_IN, *policies)
    )


def questions(policies: Sequence[Policy]) -> frozenset[Question]:
    """What must be looked for before these policies can judge."""
    return frozenset[Question]().union(*(policy.needs for policy in policies))


def _refuse_part(candidate: Candidate) -> None:
    """A release has an image of each repository of the workload: they move together."""
    found = {one.reference.repository for one in candidate.image.each}
    if missing := [one for one in candidate.repositories if one not in found]:
        raise PolicyRefusedError(
            FromRepository.name,
            f"the release has no image of {' and '.join(map(str, missing))}, "
            f"which workload {candidate.workload!r} runs with it",
        )


def _named(one: Candidate, whole: Candidate, said: str) -> str:
    """Of several images it must be told which one is meant."""
    return f"{one.image.reference.repository}: {said}" if whole.image.parts else said


def _verdict(policy: Policy, candidate: Candidate) -> Verdict:
    try:
        return Verdict(policy.name, holds=True, said=policy.verify(candidate))
    except PolicyRefusedError as error:
        return Verdict(policy.name, holds=False, said=str(error), advice=error.advice())
