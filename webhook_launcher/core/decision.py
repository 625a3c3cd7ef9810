"""What an intent leads to, given what the registry answers and what runs. Pure."""

from dataclasses import dataclass

from webhook_launcher.core.model import Action, Image, Trust, Wish, WorkloadState


@dataclass(frozen=True, slots=True)
class Decision:
    """The image to deploy, or None; `reason` says why, in words for the history.

    `runs`: nothing is to be deployed, since the image that was asked for runs. `drifted`: what runs
    is not the current release, so a person may have deployed it by hand.
    """

    image: Image | None
    reason: str
    runs: bool = False
    drifted: bool = False


def is_news(wish: Wish, resolved: Image, state: WorkloadState) -> bool:
    """True when the wish is for an image that was not dealt with yet, or for one in so many words.

    The tracked digest that was last acted on is remembered, so that a look never undoes an
    explicit deployment or a rollback: only a tag that *moved since* does.
    """
    if wish.action is Action.RESTORE:
        return False
    known = {state.tracked, state.seen if wish.origin.trust is Trust.POLL else None}
    return wish.explicit or resolved.digest not in known


def decide(wish: Wish, resolved: Image, state: WorkloadState, *, runs: bool) -> Decision:
    """Whether to deploy `resolved`, to restore the current release, or to leave things alone.

    `runs` says that the current release is what runs now, proved.
    """
    current, drifted = state.current, not runs
    if current is not None and current.digest == resolved.digest:
        if runs:
            return Decision(None, "it already runs", runs=True)
        return Decision(resolved, "it is wanted and does not run", drifted=drifted)
    if is_news(wish, resolved, state):
        return Decision(resolved, "it is not what runs", drifted=drifted)
    if current is not None and not runs:
        return Decision(current, "the current release does not run", drifted=drifted)
    return Decision(None, "the tracked reference has not moved since it was last acted on")
