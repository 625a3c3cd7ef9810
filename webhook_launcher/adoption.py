"""Take over releases that the launcher did not deploy: from before its start, or a person's.

Containers that existed before the first deployment are never removed. A container that does not
run, or whose image could not be brought back, is replaced only on an operator's order.
"""

import logging

from webhook_launcher.admission import Admission
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import LauncherError, NotAdoptableError
from webhook_launcher.core.model import Action, Image, Intent, Platform, Trust, WorkloadState
from webhook_launcher.core.workload import Workload
from webhook_launcher.presence import same
from webhook_launcher.records import Deployments, Workloads
from webhook_launcher.resolver import Resolver
from webhook_launcher.rollout import Rollout

_log = logging.getLogger(__name__)


class Adoption:
    """Makes releases of images that run without the launcher's doing."""

    def __init__(
        self,
        resolver: Resolver,
        admission: Admission,
        rollout: Rollout,
        deployments: Deployments,
        workloads: Workloads,
        clock: Clock,
    ) -> None:
        self._resolver = resolver
        self._admission = admission
        self._rollout = rollout
        self._deployments = deployments
        self._workloads = workloads
        self._clock = clock

    def know(self, workload: Workload, intent: Intent) -> WorkloadState:
        """Return the workload's state; adopt the running image where the journal has none.

        Raises:
            NotAdoptableError: The containers do not run, or their image could not be brought back.
                Only an operator may order to replace them.
        """
        state = self._workloads.state(workload.name)
        if state.current is not None:
            return state
        image, previous = self._rollout.presence.adopt(workload)
        ordered = intent.wish.origin.trust is Trust.OPERATOR and intent.wish.action is Action.DEPLOY
        if image is None and not ordered:
            self._refuse_unknown(workload)
        if image is None or image.digest in state.quarantined:
            return state
        if _is_by_digest(image) and self._deployments.in_doubt(workload.name):
            return state  # a first deployment that failed, and could not be removed
        if previous is not None and previous.digest not in state.quarantined:
            self._workloads.promote(workload.name, previous, None)
        self._rollout.commit(workload, image, previous)
        self._workloads.promote(workload.name, image, None)
        _log.info("adopted", extra={"workload": workload.name, "image": image.pinned})
        return self._workloads.state(workload.name)

    def _refuse_unknown(self, workload: Workload) -> None:
        """Raise NotAdoptableError where the workload's services have unknown containers."""
        states = self._rollout.presence.states(workload)
        if not states:
            return
        project = workload.project.name
        if "running" not in states.values():
            command = "unpause" if "paused" in states.values() else "start"
            shown = ", ".join(f"{name} is {state}" for name, state in sorted(states.items()))
            raise NotAdoptableError(
                f"the containers of project {project!r} are stopped ({shown}), and a deployment "
                "would replace them",
                advice=f"Start them (`docker compose {command}`), and the launcher takes them "
                f"over; or order the replacement: `webhook-launcher deploy {workload.name}`.",
            )
        raise NotAdoptableError(
            f"what runs in project {project!r} is not one image of "
            f"{workload.repository} with a digest, so it could not be brought back"
        )

    def take_over(
        self,
        workload: Workload,
        intent: Intent,
        image: Image,
        state: WorkloadState,
        platform: Platform,
    ) -> bool:
        """Adopt an image that a person deployed by hand, if the workload follows it now.

        Otherwise a poll between the person's `docker compose up` and the event of the push would
        bring back the older release. An image that a policy refuses is not adopted.
        """
        wanted = self._deployed_by_hand(workload, intent, image, state)
        if wanted is None:
            return False
        origin, now = intent.wish.origin, self._clock.now()
        candidate = workload.candidate(wanted, Action.CHECK, origin, state, now)
        try:
            self._admission.admit(workload, candidate, platform)
        except LauncherError as error:
            _log.info("not taken over", extra={"workload": workload.name, "detail": str(error)})
            return False
        self._rollout.pin(workload, wanted)
        self._rollout.commit(workload, wanted, state.current)
        self._workloads.promote(workload.name, wanted, wanted.digest)
        _log.info("adopted", extra={"workload": workload.name, "image": wanted.pinned})
        return True

    def _deployed_by_hand(
        self, workload: Workload, intent: Intent, image: Image, state: WorkloadState
    ) -> Image | None:
        """Return the tracked image if it runs although the launcher did not deploy it."""
        wish = intent.wish
        if state.current is None or wish.action not in (Action.CHECK, Action.RESTORE):
            return None
        running = self._rollout.presence.running(workload)
        if running is None or same(running, state.current):
            return None
        if _is_by_digest(running):
            return None  # a container without a tag is the launcher's own, from an open attempt
        if wish.action is Action.CHECK:
            return image if same(running, image) else None
        tracked = self._resolver.tracked_now(workload)
        return running if tracked == running.digest else None


def _is_by_digest(image: Image) -> bool:
    """Return True when a container names the image by its digest alone, as the launcher does."""
    return any(one.reference.tag is None for one in image.each)
