"""Which of a repository's tags a workload follows, and which of those is the newest.

Tags are named by whoever may push: what is not clearly of the series has no rank in it, and no tag
takes long to judge.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from semver import Version

from webhook_launcher.core.versions import VersionRange, parse_version

# Ranks of one series compare; a tie of versions or numbers is broken by the text of the tag.
Rank = tuple[Any, ...]

_LONGEST_TAG = 128
_LONGEST_PATTERN = 256
_DIGITS = re.compile(r"([0-9]+)")
# A pre-release begins with a word; one that names a variant (alpine, slim, debian) is none.
_PRERELEASE = re.compile(r"([A-Za-z]+)[0-9]*(?:[.-][0-9]+)*")
PRERELEASES = frozenset(
    {"a", "alpha", "b", "beta", "c", "canary", "cr", "dev", "ea", "m", "milestone", "next"}
    | {"nightly", "pre", "preview", "rc", "snapshot", "unstable"}
)


class Series(Protocol):
    """The tags that a workload follows, and their order."""

    def rank(self, tag: str) -> Rank | None:
        """Where a tag stands; None when it is not of this series."""


def newest(series: Series, tags: Iterable[str]) -> str | None:
    """The tag of the highest rank, None when none is of the series."""
    ranked = [(rank, tag) for tag in tags if (rank := series.rank(tag)) is not None]
    return max(ranked)[1] if ranked else None


@dataclass(frozen=True, slots=True)
class SemverTags:
    """Versions inside a range, of one family: prefix, whole version, suffix.

    `prereleases` are the words that a pre-release may begin with; empty for none.
    """

    versions: VersionRange
    prefix: str = ""
    suffix: str = ""
    prereleases: frozenset[str] = frozenset()

    def __str__(self) -> str:
        family = f"{self.prefix}…{self.suffix}" if self.prefix or self.suffix else ""
        return " ".join(part for part in ("semver", self.versions.text, family) if part)

    def rank(self, tag: str) -> Rank | None:
        """By SemVer's precedence."""
        bare = len(tag) - len(self.prefix) - len(self.suffix)
        if bare <= 0 or not (tag.startswith(self.prefix) and tag.endswith(self.suffix)):
            return None
        version = parse_version(tag[len(self.prefix) : len(self.prefix) + bare])
        if version is None or version not in self.versions:
            return None
        if version.prerelease and not self._asked_for(version):
            return None
        return (version, tag)

    def _asked_for(self, version: Version) -> bool:
        """By `prerelease`, or by a range that names a pre-release of the same version."""
        found = _PRERELEASE.fullmatch(version.prerelease or "")
        word = found[1].lower() if found else ""
        return word in self.prereleases or (word in PRERELEASES and self.versions.names(version))


@dataclass(frozen=True, slots=True)
class PatternTags:
    """Tags that an expression matches as a whole, in the natural order of its groups.

    Digits are compared as numbers and the rest as text, group by group from the left; without
    groups, over the whole tag. So main-9 comes before main-10.
    """

    text: str

    def __str__(self) -> str:
        return f"pattern {self.text}"

    def rank(self, tag: str) -> Rank | None:
        """By the numbers in it."""
        found = _compiled(self.text).fullmatch(tag) if len(tag) <= _LONGEST_TAG else None
        if not found:
            return None
        return (tuple(_natural(group or "") for group in found.groups() or (tag,)), tag)


def parse_pattern(text: str) -> PatternTags:
    """A regular expression in RE2's syntax. Raises ValueError when it is none."""
    if len(text) > _LONGEST_PATTERN:
        raise ValueError(f"is longer than {_LONGEST_PATTERN} characters")
    _compiled(text)
    return PatternTags(text)


def _natural(text: str) -> Rank:
    """Text and numbers in turn, so that two of them compare place by place."""
    return tuple(int(p) if i % 2 else p for i, p in enumerate(_DIGITS.split(text)))


@lru_cache(maxsize=256)
def _compiled(text: str) -> Any:
    """RE2 takes time linear in the tag, whatever the expression: no tag can stall the launcher.

    Python's own engine backtracks: `^(a+)+$` on 40 characters would hold every thread for hours.
    """
    import re2  # noqa: PLC0415 - 6 MiB that only those pay who follow a pattern

    options = re2.Options()
    options.log_errors = False  # it would write to standard error
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = error.args[0]
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ValueError(f"is no regular expression (RE2 syntax): {reason}") from error
