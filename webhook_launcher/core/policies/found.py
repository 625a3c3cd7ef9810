"""How a refusal tells what is attached to an image instead of what is wanted."""

from collections import Counter

_SHOWN_REASONS = 3


def shown(reasons: Counter[str]) -> str:
    """What there is instead, the most frequent first: the end of a sentence."""
    if not reasons:
        return ": nothing is attached to it"
    counted = [f"{reason} ({count})" for reason, count in reasons.most_common(_SHOWN_REASONS)]
    more = ["and others"] if len(reasons) > _SHOWN_REASONS else []
    return f"; what is attached to it: {'; '.join(counted + more)}"
