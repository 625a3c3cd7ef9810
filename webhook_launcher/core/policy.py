"""Admission: the only way from an Image to a Release.

A policy is one small class with one method that raises `PolicyRefusedError`. Every policy of a
workload must hold; an empty list still runs the built-in ones. There is no other constructor of
`Release`, so nothing reaches the engine that was not admitted under today's policy, a rollback
included.
"""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass
from typing import Protocol

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.model import Action, Image, Origin
from webhook_launcher.core.reference import Digest, Repository

_SEAL = object()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the policies judge: an image, for a workload, asked for by somebody."""

    workload: str
    repository: Repository  # the only repository this workload may ever run
    image: Image
    action: Action
    origin: Origin
    quarantined: frozenset[Digest] = frozenset()


class Policy(Protocol):
    """A rule that can refuse an image."""

    @property
    def name(self) -> str:
        """Stable slug, shown with refusals and in the evidence."""

    def verify(self, candidate: Candidate) -> None:
        """Return when the rule holds, raise PolicyRefusedError when it does not."""


@dataclass(frozen=True, slots=True)
class Release:
    """A digest that was admitted for a workload. Made by `admit`, nothing else.

    The seal is not kept, so that `dataclasses.replace` cannot make another one either.
    """

    workload: str
    image: Image
    policies: tuple[str, ...]
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

    def verify(self, candidate: Candidate) -> None:
        """Compare registry and path with the workload's `image`."""
        asked = candidate.image.reference.repository
        if asked != candidate.repository:
            raise PolicyRefusedError(
                self.name,
                f"{asked} is not the repository of workload {candidate.workload!r}",
                advice=f"Only {candidate.repository} may run there (`image:` of the workload).",
            )


class NotQuarantined:
    """A digest that failed here is not tried again until an operator says so."""

    name = "quarantine"

    def verify(self, candidate: Candidate) -> None:
        """Refuse a quarantined digest, whoever asks."""
        if candidate.image.digest in candidate.quarantined:
            raise PolicyRefusedError(
                self.name,
                f"{candidate.image.digest} failed on {candidate.workload!r} before "
                "and is in quarantine",
                advice="Push a newer image, or release it: "
                f"`webhook-launcher release-quarantine {candidate.workload}`.",
            )


BUILT_IN: tuple[Policy, ...] = (FromRepository(), NotQuarantined())


def admit(candidate: Candidate, policies: Sequence[Policy]) -> Release:
    """Run every built-in and configured policy, in order; the first refusal is raised."""
    held = []
    for policy in (*BUILT_IN, *policies):
        policy.verify(candidate)
        held.append(policy.name)
    return Release(candidate.workload, candidate.image, tuple(held), _SEAL)
