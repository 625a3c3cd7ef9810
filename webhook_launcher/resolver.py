"""From an intent to an Image: which reference is meant, and what the registry says it is.

The reference is resolved once, when the intent is claimed, so that the newest push counts; the
digest found here is the one that is verified, pulled, run and proved.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    CommandError,
    DigestMismatchError,
    LauncherError,
    ManifestNotFoundError,
    NoPreviousReleaseError,
)
from webhook_launcher.core.model import (
    Action,
    Image,
    Intent,
    Platform,
    Trust,
    Wish,
    WorkloadState,
    as_one,
)
from webhook_launcher.core.reference import Digest, Reference
from webhook_launcher.core.workload import Workload

_log = logging.getLogger(__name__)
# Seconds: an event may arrive before its manifest can be read, or while the tag still answers
# with the digest before it (docker/distribution#2625; Docker Hub and Harbor behave alike).
PATIENCE = 5.0
_STEP = 0.25


class Registry(Protocol):
    """Answers what a reference is."""

    def head(self, reference: Reference) -> Digest:
        """The digest a tag has now; cheap."""

    def image(self, reference: Reference, platform: Platform, *, patience: float = 0) -> Image:
        """The image, every byte hashed; `patience` seconds of retries while it is not found."""


class Tracker(Protocol):
    """Answers what a workload follows."""

    def reference(self, workload: Workload) -> Reference | None:
        """The tracked reference, or None for `track: none`."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The image that is meant, and the digest of the tracked reference at that moment if known."""

    image: Image
    tracked: Digest | None


class Resolver:
    """Resolves the reference of an intent, by action."""

    def __init__(self, registry: Registry, tracker: Tracker, clock: Clock) -> None:
        self._registry = registry
        self._tracker = tracker
        self._clock = clock

    def resolve(
        self, workload: Workload, intent: Intent, state: WorkloadState, platform: Platform
    ) -> Resolution:
        """The image of an intent. Raises RegistryError, VerificationError or CommandError."""
        wish = intent.wish
        if wish.action is Action.ROLLBACK:
            if state.previous is None:
                raise NoPreviousReleaseError(f"{workload.name!r} has no previous release")
            return Resolution(state.previous, self.tracked_now(workload))
        if wish.action is Action.RESTORE:
            if state.current is None:
                raise NoPreviousReleaseError(f"{workload.name!r} has no current release")
            return Resolution(state.current, None)
        if wish.action is Action.DEPLOY and wish.reference is not None:
            # Looked at first: a push that comes while this deploys must count as newer.
            tracked = self.tracked_now(workload)
            image = self._image(workload, wish.reference, platform, state, self._patience(intent))
            same = wish.reference == workload.tracked
            return Resolution(image, image.digest if same else tracked)
        return self._look(workload, intent, state, platform)

    def digest_now(self, workload: Workload, wish: Wish, begun: Reference) -> Digest | None:
        """Return the digest that a wish would lead to now, None when it cannot be known.

        `begun` is what is being deployed: of a series, an older tag leads to nothing.
        """
        try:
            reference = self._meant(workload, wish)
            if reference is None or workload.newer(begun, reference):
                return None
            return workload.identity(reference, lambda one: one.digest or self._registry.head(one))
        except LauncherError:
            return None

    def _meant(self, workload: Workload, wish: Wish) -> Reference | None:
        """Return the reference that is looked up for a wish, None for `track: none`."""
        if wish.action is Action.DEPLOY and wish.reference is not None:
            return wish.reference
        reference, pushed = self._tracker.reference(workload), wish.reference
        if reference is not None and pushed is not None and workload.newer(pushed, reference):
            return replace(pushed, digest=None)
        return reference

    def _look(
        self, workload: Workload, intent: Intent, state: WorkloadState, platform: Platform
    ) -> Resolution:
        """What is followed now. Of a series, never a tag older than the one that runs.

        A list of tags may lag behind the event of a push, so the tag that was pushed counts as
        well; and it may lose the newest tag, which is no reason to go back.
        """
        reference = self._tracker.reference(workload)
        if reference is None:
            raise CommandError(
                f"{workload.name!r} follows nothing (`track: none`), so there is nothing to check",
                advice="Name a reference: `webhook-launcher deploy W REFERENCE`.",
            )
        pushed = intent.wish.reference
        if pushed is not None and workload.newer(pushed, reference):
            with suppress(ManifestNotFoundError):  # it is not there: what the list says counts
                tag_only = replace(pushed, digest=None)
                return self._not_back(workload, tag_only, intent, state, platform)
        return self._not_back(workload, reference, intent, state, platform)

    def _not_back(
        self,
        workload: Workload,
        reference: Reference,
        intent: Intent,
        state: WorkloadState,
        platform: Platform,
    ) -> Resolution:
        """The reference, or what runs when that has the newer tag of the series."""
        if state.current is not None and workload.newer(state.current.reference, reference):
            return Resolution(state.current, None)
        image = self._expected(workload, reference, intent, state, platform)
        return Resolution(image, image.digest)

    def _image(
        self,
        workload: Workload,
        reference: Reference,
        platform: Platform,
        state: WorkloadState,
        patience: float = 0.0,
    ) -> Image:
        """The image of a reference and, of a workload with several, the others beside it.

        They are those of the same tag; a reference by digest alone moves its own image and leaves
        the others as they are.
        """
        running = state.current.each if state.current else ()
        current = {one.reference.repository: one for one in running}
        found = []
        for one in workload.members(reference):
            if one.tag is None and one.digest is None:
                if one.repository not in current:
                    raise CommandError(
                        f"{reference} has no tag, and what of {one.repository} is to run with it "
                        "is not known",
                        advice=f"Name a tag: {reference.repository}:TAG@{reference.digest}.",
                    )
                found.append(current[one.repository])
            else:
                found.append(self._registry.image(one, platform, patience=patience))
        return as_one(found)

    def _expected(
        self,
        workload: Workload,
        reference: Reference,
        intent: Intent,
        state: WorkloadState,
        platform: Platform,
    ) -> Image:
        """The tracked image; waits a little for a registry that still answers as before the push.

        When a signed push named digest D, the tag may say D, or something newer than D (then
        the newer push wins). It may not go on saying what it said before D.
        """
        patience = self._patience(intent)
        image = self._image(workload, reference, platform, state, patience)
        said = intent.wish.reference
        named = said.digest if said is not None and said.tag == reference.tag else None
        before = {state.tracked, state.current.digest if state.current else None}
        deadline = self._clock.monotonic() + patience
        while named is not None and image.each[0].digest != named and image.digest in before:
            if self._clock.monotonic() >= deadline:
                raise DigestMismatchError(
                    f"the event says {reference} is {named}, "
                    f"the registry still answers {image.each[0].digest}",
                    advice="If the event is late or repeated, nothing is to be done; "
                    "else the poll finds the image once the registry serves it.",
                )
            self._clock.sleep(_STEP)
            image = self._image(workload, reference, platform, state)
        return image

    def tracked_now(self, workload: Workload) -> Digest | None:
        """Return the tracked digest now, so that the next look does not take it for news.

        Best effort: an explicit wish does not depend on it.
        """
        try:
            reference = self._tracker.reference(workload)
            if reference is None:
                return None
            return workload.identity(reference, lambda one: one.digest or self._registry.head(one))
        except LauncherError as error:
            _log.info(
                "tracked reference not known",
                extra={"workload": workload.name, "code": error.code, "detail": str(error)},
            )
            return None

    @staticmethod
    def _patience(intent: Intent) -> float:
        """Only right after an event: neither a poll nor a retry needs to wait for visibility."""
        trust = intent.wish.origin.trust
        fresh = intent.attempts <= 1 and trust in (Trust.SIGNED, Trust.TOKEN)
        return PATIENCE if fresh else 0.0
