"""Where a `generic` source finds things in a JSON body: dotted paths, written in the configuration.

`push.image.tag` goes down objects by name and lists by number. A name that contains a dot cannot
be written; no sender known to us has one where it matters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.sources.base.body import MAX_ENTRIES, MAX_TEXT, Entry

_MAX_STEPS = 16


@dataclass(frozen=True, slots=True)
class Path:
    """A dotted path, parsed."""

    steps: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.steps)

    def find(self, value: Any) -> Any:
        """What is there, None when nothing is."""
        for step in self.steps:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return None
        return value

    def text(self, value: Any, *, numbers: bool = False) -> str | None:
        """The text there; None when it is absent, null or empty. MalformedEventError else.

        With `numbers` a whole number counts as its digits: ids and tags are often numbers. One
        with a fraction never does, since 1.10 and 1.1 are one number and two tags.
        """
        found = self.find(value)
        if found is None or found == "":
            return None
        if numbers and isinstance(found, float):
            raise MalformedEventError(
                f"{self} is a number with a fraction",
                advice=f"Let the sender write {self} as text, in quotes.",
            )
        if numbers and isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if not isinstance(found, str) or len(found) > MAX_TEXT:
            raise MalformedEventError(f"{self} is not a short string")
        return found

    def entries(self, value: Any) -> list[Entry]:
        """The list there; empty when it is absent or null. MalformedEventError else."""
        found = self.find(value)
        if found is None:
            return []
        if not isinstance(found, list) or len(found) > MAX_ENTRIES:
            raise MalformedEventError(f"{self} is not a list of at most {MAX_ENTRIES} entries")
        return [Entry(entry, f"{self}[{index}]") for index, entry in enumerate(found)]


def path_option(value: object) -> Path:
    """A dotted path from the configuration. ValueError says what to write."""
    steps = tuple(value.split(".")) if isinstance(value, str) else ()
    if not steps or len(steps) > _MAX_STEPS or not all(step.strip() for step in steps):
        raise ValueError("must be a path into the JSON body, such as push.image.tag")
    # `isdecimal` knows other scripts' digits, and very long numbers are slow to read.
    if any(step.isdecimal() and not (step.isascii() and len(step) <= 4) for step in steps):  # noqa: PLR2004
        raise ValueError("must number list entries with at most four digits, such as images.0")
    return Path(steps)


def mapping_option(value: object, allowed: frozenset[str]) -> Mapping[str, object]:
    """A mapping with none but the allowed keys. ValueError says what to write."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f"must be a mapping with some of {', '.join(sorted(allowed))}")
    unknown = sorted(str(key) for key in value if key not in allowed)
    if unknown:
        raise ValueError(f"{unknown[0]} is not known; write some of {', '.join(sorted(allowed))}")
    return value
