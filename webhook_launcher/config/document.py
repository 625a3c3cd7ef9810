"""Reading a YAML document strictly, with every problem collected instead of the first raised."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from webhook_launcher.config.syntax import read_yaml
from webhook_launcher.core.errors import Problem

__all__ = ["Section", "read_yaml"]

T = TypeVar("T")
_MISSING: Any = object()


class Section:
    """A mapping of the document at a path. Every key must be taken; what is left is unknown."""

    def __init__(self, value: object, path: str, problems: list[Problem], base: Path) -> None:
        self.path = path
        self.problems = problems
        self.base = base
        self._known: list[str] = []
        self._taken: set[str] = set()
        self._values: Mapping[str, Any] = {}
        if isinstance(value, dict):
            self._values = value
        else:
            self.problem("", "must be a mapping of keys to values")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def at(self, key: str) -> str:
        """The path of a key of this section."""
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def problem(self, key: str, message: str) -> None:
        """Record a problem at a key of this section ("" for the section itself)."""
        self.problems.append(Problem(self.at(key), message))

    def take(self, key: str, parse: Callable[[Any], T], default: T = _MISSING) -> T:
        """The parsed value of a key. Without a default the key is required.

        `parse` raises ValueError with what to write instead; the problem is recorded, and the
        default (or None) stands in, so that reading goes on to the next problem.
        """
        value = self._value(key)
        if value is _MISSING:
            if default is _MISSING:
                self.problem(key, "is missing and has no default")
                return None  # type: ignore[return-value] # a problem is recorded: never used
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.problem(key, str(error))
            return None if default is _MISSING else default  # type: ignore[return-value] # ditto

    def section(self, key: str) -> "Section":
        """A nested section; an empty one when the key is absent."""
        value = self._value(key)
        return Section({} if value is _MISSING else value, self.at(key), self.problems, self.base)

    def sections(self, key: str) -> Iterator[tuple[str, "Section"]]:
        """Named sections below a key, such as the workloads by name."""
        yield from self.section(key).children()

    def children(self) -> Iterator[tuple[str, "Section"]]:
        """Every key of this section with the section below it."""
        for name, value in self._values.items():
            yield name, Section(value, self.at(name), self.problems, self.base)

    def items(self, key: str) -> list["Section"]:
        """A list of sections below a key."""
        value = self._value(key)
        if value is _MISSING:
            return []
        if not isinstance(value, list):
            self.problem(key, "must be a list")
            return []
        path = self.at(key)
        return [
            Section(item, f"{path}[{index}]", self.problems, self.base)
            for index, item in enumerate(value)
        ]

    def is_empty(self, key: str) -> bool:
        """True for a list that is written there without anything in it."""
        return self._values.get(key) == []

    def finish(self) -> None:
        """Report the keys that nobody took, with the nearest known one."""
        for key in self._values:
            if key in self._taken:
                continue
            near = difflib.get_close_matches(key, self._known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else self._choices()
            self.problem(key, f"is not a known key{hint}")

    def _choices(self) -> str:
        return f"; known here: {', '.join(sorted(self._known))}" if self._known else ""

    def _value(self, key: str) -> Any:
        self._known.append(key)
        self._taken.add(key)
        return self._values.get(key, _MISSING)
