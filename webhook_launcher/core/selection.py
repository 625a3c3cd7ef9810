"""From an authentic Event to wishes: which configured workloads it is about, and what they ask.

Payload values only select among workloads; they never say where to pull from. Pure functions.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from webhook_launcher.core.errors import OutOfScopeError
from webhook_launcher.core.model import Action, Event, Mention, Origin, Trust, Wish
from webhook_launcher.core.reference import Reference, Repository
from webhook_launcher.core.series import Series

# cosign's signature, attestation and SBOM tags, and the OCI 1.1 referrers fallback tag.
_NOT_AN_IMAGE = re.compile(r"sha256-[0-9a-f]{64}(\.(sig|att|sbom))?")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Interest:
    """What selection needs to know of a workload: its repositories and the tags it follows.

    `tag` and `series` are None when only the workload's own command or file knows the tag;
    `follows` is False for `track: none`, which only signed deploy events may move.
    """

    workload: str
    repositories: tuple[Repository, ...]  # its own first
    tag: str | None = None
    series: Series | None = None
    follows: bool = True

    @property
    def tracked(self) -> str:
        """What it follows, in words."""
        if not self.follows:
            return "nothing by itself"
        return self.tag or (str(self.series) if self.series else "what its command or file says")

    def names(self, tag: str | None) -> bool:
        """True when this tag is the one that is followed, or of the series that is."""
        if tag is None or self.series is None:
            return tag is not None and tag == self.tag
        return self.series.rank(tag) is not None


def is_image_tag(tag: str) -> bool:
    """False for the tags under which signatures and other referrers are stored."""
    return not _NOT_AN_IMAGE.fullmatch(tag)


def select(event: Event, interests: Iterable[Interest], origin: Origin) -> tuple[list[Wish], str]:
    """The wishes of an event and, when there are none, the reason.

    `interests` are the workloads in the source's scope. Raises OutOfScopeError when a deploy
    event names a workload or repository it may not.
    """
    if not event.mentions:
        return [], event.ignored or "the event says nothing about an image"
    in_scope = list(interests)
    wishes: dict[str, Wish] = {}
    reasons: list[str] = []
    for mention in event.mentions:
        if mention.workload is not None:
            found = [_named(mention, in_scope, origin)]
        else:
            found = _pushed(mention, in_scope, origin, reasons)
        for wish in found:
            # Of several pushes in one event, one that says what the tracked tag is says more.
            if wish.reference is not None or wish.workload not in wishes:
                wishes[wish.workload] = wish
    return list(wishes.values()), "" if wishes else _summary(reasons)


def _summary(reasons: list[str]) -> str:
    """The distinct reasons, and only the first few: an event may carry hundreds of entries."""
    distinct = list(dict.fromkeys(reasons))
    more = [f"and {len(distinct) - _SHOWN} more"] if len(distinct) > _SHOWN else []
    return "; ".join(distinct[:_SHOWN] + more)


def _named(mention: Mention, in_scope: list[Interest], origin: Origin) -> Wish:
    """A deploy event: the workload is named, the reference must be in its repository."""
    interest = next((i for i in in_scope if i.workload == mention.workload), None)
    if interest is None:
        raise OutOfScopeError(f"workload {mention.workload!a} is not in this source's scope")
    return wish_for(mention, interest, origin)


def wish_for(mention: Mention, interest: Interest, origin: Origin) -> Wish:
    """The wish of somebody who names a workload: a deploy event or an operator.

    Raises OutOfScopeError when the reference is not the workload's, or may not be named so.
    """
    reference = mention.reference
    if reference is None:
        if not interest.follows:
            raise OutOfScopeError(
                f"workload {interest.workload!r} follows no tag, so the event must name a reference"
            )
        return Wish(interest.workload, Action.CHECK, origin)
    if reference.repository not in interest.repositories:
        own = " or ".join(map(str, interest.repositories))
        only = "repository" if len(interest.repositories) == 1 else "repositories"
        raise OutOfScopeError(
            f"{reference} is not in {own}, the only {only} of workload {interest.workload!r}"
        )
    if reference.tag is None and reference.digest is None:
        raise OutOfScopeError(f"{reference} names neither a tag nor a digest")
    if reference.digest is not None and origin.trust not in (Trust.SIGNED, Trust.OPERATOR):
        raise OutOfScopeError("only a signed event may name an exact digest")
    return Wish(interest.workload, Action.DEPLOY, origin, reference)


def _pushed(
    mention: Mention, in_scope: list[Interest], origin: Origin, reasons: list[str]
) -> list[Wish]:
    """A push: every workload that follows this repository takes a look at what it tracks."""
    reference = mention.reference
    if reference is None or reference.tag is None:
        reasons.append("the push has no tag")
        return []
    if not is_image_tag(reference.tag):
        reasons.append(f"{reference.tag} is a signature or referrers tag, not an image")
        return []
    same = [i for i in in_scope if reference.repository in i.repositories]
    if not same:
        reasons.append(f"no workload in this source's scope runs {reference.repository}")
        return []
    wishes = [_look(i, reference, origin) for i in same if _touches(i, mention)]
    if not wishes:
        tracked = ", ".join(f"{i.workload}: {i.tracked}" for i in same)
        reasons.append(f"tag {reference.tag} is not tracked ({tracked})")
    return wishes


def _touches(interest: Interest, mention: Mention) -> bool:
    if not interest.follows:
        return False
    if mention.one_of_several or (interest.tag is None and interest.series is None):
        return True
    return interest.names(mention.reference.tag if mention.reference else None)


def _look(interest: Interest, reference: Reference, origin: Origin) -> Wish:
    """The pushed reference goes along when it is followed: the look must not miss it."""
    own = reference.repository == interest.repositories[0]
    exact = reference if own and interest.names(reference.tag) else None
    if exact is not None and origin.trust is not Trust.SIGNED:
        exact = Reference(reference.repository, reference.tag)
    return Wish(interest.workload, Action.CHECK, origin, exact, hint=True)
