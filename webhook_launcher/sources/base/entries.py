"""Lists of pushes in one delivery: each entry by itself, so that a bad one costs no good one.

What some entry says that cannot be used is told beside what the others led to. Only when no entry
is of use is it an error of the whole delivery.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.source import Statement

T = TypeVar("T")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class NoPush:
    """Why an entry is authentic, readable and nothing to act on."""

    reason: str


def read_entries(
    entries: Iterable[T],
    read: Callable[[T], Mention | NoPush],
    empty: str = "the list is empty",
) -> Statement:
    """A statement without delivery id: the pushes, or the reasons (`empty`) why there is none.

    Raises the first entry's MalformedEventError when no entry is a push and at least one cannot
    be used; the text then names the others too.
    """
    mentions: list[Mention] = []
    reasons: list[str] = []
    errors: list[MalformedEventError] = []
    for entry in entries:
        try:
            found = read(entry)
        except MalformedEventError as error:
            errors.append(error)
            continue
        if isinstance(found, NoPush):
            reasons.append(found.reason)
        else:
            mentions.append(found)
    refused = _shortened([f"{error.code}: {error}" for error in errors])
    if mentions:
        return Statement(None, tuple(dict.fromkeys(mentions)), refused=refused)
    if errors:
        texts = _shortened([str(error) for error in errors])
        raise type(errors[0])("; ".join(texts), advice=errors[0].advice())
    return Statement(None, ignored="; ".join(_shortened(reasons)) or empty)


def _shortened(texts: list[str]) -> tuple[str, ...]:
    """The distinct ones, and only the first few: a delivery may have hundreds of entries."""
    distinct = list(dict.fromkeys(texts))
    more = [f"and {len(distinct) - _SHOWN} more"] if len(distinct) > _SHOWN else []
    return (*distinct[:_SHOWN], *more)
