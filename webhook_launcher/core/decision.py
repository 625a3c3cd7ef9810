"""What an intent leads to, given what the registry answers and what runs. Pure."""

from dataclasses import dataclass

from webhook_launcher.core.model import Image, Intent, Trust, WorkloadState


@dataclass(frozen=True, slots=True)
class Decision:
    """The image to deploy, or None; `reason` says why, in words for the history."""

    image: Image | None
    reason: str


def is_explicit(intent: Intent) -> bool:
    """True when somebody asks for a result, not only for a look.

    A signed deploy event or an operator without a reference means: run what is tracked, also
    when that digest was dealt with before. A push or the poll only says that it may have moved.
    """
    wish = intent.wish
    if wish.action.explicit:
        return True
    asked = wish.origin.trust in (Trust.SIGNED, Trust.OPERATOR)
    return asked and wish.reference is None and not wish.hint


def decide(intent: Intent, resolved: Image, state: WorkloadState, *, runs: bool) -> Decision:
    """Whether to deploy `resolved`, to restore the current release, or to leave things alone.

    `runs` says that the current release is what runs now, proved. The tracked digest that was
    last acted on is remembered, so that a look never undoes an explicit deployment or a
    rollback: only a tag that *moved since* does.
    """
    current = state.current
    if current is not None and current.digest == resolved.digest:
        if runs:
            return Decision(None, "it already runs")
        return Decision(resolved, "it is wanted and does not run")
    if is_explicit(intent) or resolved.digest != state.tracked:
        return Decision(resolved, "it is not what runs")
    if current is not None and not runs:
        return Decision(current, "the current release does not run")
    return Decision(None, "the tracked reference has not moved since it was last acted on")
