"""Versions and ranges of them: SemVer 2.0.0's precedence, ranges as npm and cargo write them.

The text comes from tags and labels, so from whoever may push: everything is bounded, and what is
not clearly a version is none.
"""

import re
from dataclasses import dataclass

from semver import Version

_LONGEST = 128  # characters, as of a tag; a version in a label may be as long
_LONGEST_RANGE = 256
# A tag such as 2026.11.3 is SemVer by its form and a date by its meaning: it must not win a range
# that speaks of small numbers.
_FIRST_YEAR = 1000
_WHOLE = 3  # major, minor, patch
_COMPARATOR = re.compile(
    r"(?P<operator>>=|<=|>|<|=|\^|~)?"
    r"v?(?P<major>[0-9]{1,9}|[xX*])"
    r"(?:\.(?P<minor>[0-9]{1,9}|[xX*])(?:\.(?P<patch>[0-9]{1,9}|[xX*]))?)?"
    r"(?:-(?P<prerelease>[0-9A-Za-z.-]{1,64}))?"
)
_SPACED = re.compile(r"(>=|<=|>|<|=|\^|~) +")


def parse_version(text: str) -> Version | None:
    """A whole SemVer 2.0.0 version, a `v` before it allowed; None for anything else."""
    if len(text) > _LONGEST:
        return None
    try:
        return Version.parse(text.removeprefix("v"))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Bound:
    """One side of an interval: `operator` is one of `>= > <= <`."""

    operator: str
    version: Version

    @property
    def lower(self) -> bool:
        """True when it bounds from below."""
        return self.operator.startswith(">")

    def holds(self, version: Version) -> bool:
        """A pre-release stands with its release, unless the bound itself names a pre-release.

        So `<2` keeps 2.0.0-rc.1 out, which by precedence alone it would let in.
        """
        if version.prerelease and not self.version.prerelease:
            version = version.finalize_version()
        sign = version.compare(self.version)
        if sign == 0:
            return self.operator.endswith("=")
        return (sign > 0) is self.lower

    def names(self, version: Version) -> bool:
        """True when it names a pre-release of the same release as this one."""
        own = self.version
        return bool(own.prerelease) and own.finalize_version() == version.finalize_version()


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Alternatives, each a conjunction of bounds; an empty one holds every version."""

    text: str
    alternatives: tuple[tuple[Bound, ...], ...]

    def __contains__(self, version: Version) -> bool:
        return any(_within(version, bounds) for bounds in self.alternatives)

    def names(self, version: Version) -> bool:
        """True when it asks for pre-releases of this one's release by naming one."""
        return any(bound.names(version) for bounds in self.alternatives for bound in bounds)


def parse_range(text: str) -> VersionRange:
    """`>=1.2 <2`, `^1.4`, `~1.4.2`, `1.x`, `1.2.3`, several with `||` between them.

    Raises ValueError saying what to write instead.
    """
    if len(text) > _LONGEST_RANGE:
        raise ValueError(f"is longer than {_LONGEST_RANGE} characters")
    return VersionRange(text, tuple(_conjunction(part) for part in text.split("||")))


def _within(version: Version, bounds: tuple[Bound, ...]) -> bool:
    if version.major >= _FIRST_YEAR > max((b.version.major for b in bounds), default=0):
        return False
    return all(bound.holds(version) for bound in bounds)


def _conjunction(text: str) -> tuple[Bound, ...]:
    words = _SPACED.sub(r"\1", text.replace(",", " ")).split()
    if not words:
        raise ValueError("needs a range such as '>=1.2 <2', '^1.4', '~1.4' or '1.x'")
    if "-" in words:
        raise ValueError("has a range with a hyphen; write '>=1.2 <=1.5'")
    bounds = tuple(bound for word in words for bound in _bounds(word))
    lows = [b for b in bounds if b.lower]
    highs = [b for b in bounds if not b.lower]
    if any(not (a.holds(b.version) and b.holds(a.version)) for a in lows for b in highs):
        raise ValueError(f"{text.strip()!r} holds no version at all")
    return bounds


def _bounds(word: str) -> tuple[Bound, ...]:
    """One comparator as the interval that it means; npm's rules for what is left out."""
    found = _COMPARATOR.fullmatch(word)
    if not found:
        raise ValueError(f"has {word!r}, which is no comparator such as >=1.2, <2, ^1.4, ~1.4, 1.x")
    operator = found["operator"] or ""
    given = [found["major"], found["minor"], found["patch"]]
    numbers = [int(n) for n in given if n is not None and n.isdigit()]
    wild = any(n is not None and not n.isdigit() for n in given)
    if wild and any(n is not None and n.isdigit() for n in given[len(numbers) :]):
        raise ValueError(f"has {word!r}, with a number after a wildcard")
    if found["prerelease"] and len(numbers) < _WHOLE:
        raise ValueError(f"has {word!r}, a pre-release without major, minor and patch")
    if not operator and not wild and len(numbers) < _WHOLE:
        raise ValueError(
            f"has {word!r}, which npm and cargo read differently; "
            f"write '^{word}', '~{word}' or '{word}.x'"
        )
    if not numbers:
        if operator:
            raise ValueError(f"has {word!r}; write '*' for every version")
        return ()
    return _interval(operator, numbers, found["prerelease"])


def _interval(operator: str, numbers: list[int], prerelease: str | None) -> tuple[Bound, ...]:
    """The bounds of one comparator; `numbers` are the one to three that were given."""
    low = _padded(numbers)
    try:
        low = Version.parse(f"{low}-{prerelease}") if prerelease else low
    except ValueError as error:
        raise ValueError(f"names {prerelease!r}, no pre-release that SemVer allows") from error
    last = len(numbers) - 1
    after = _next(numbers, last)
    exact: dict[str, tuple[Bound, ...]]
    if len(numbers) == _WHOLE:
        exact = {">": (Bound(">", low),), "<=": (Bound("<=", low),)}
        exact[""] = exact["="] = (Bound(">=", low), Bound("<=", low))
    else:
        exact = {">": (Bound(">=", after),), "<=": (Bound("<", after),)}
        exact[""] = exact["="] = (Bound(">=", low), Bound("<", after))
    # `^`: the first number that is not 0 must not change; of 0.0, the last one given.
    first = next((place for place, number in enumerate(numbers) if number), last)
    meanings = exact | {
        ">=": (Bound(">=", low),),
        "<": (Bound("<", low),),
        "^": (Bound(">=", low), Bound("<", _next(numbers, first))),
        "~": (Bound(">=", low), Bound("<", _next(numbers, min(1, last)))),
    }
    return meanings[operator]


def _next(numbers: list[int], place: int) -> Version:
    """The first version after all that share the numbers up to this place."""
    return _padded([*numbers[:place], numbers[place] + 1])


def _padded(numbers: list[int]) -> Version:
    major, minor, patch = [*numbers, 0, 0][:_WHOLE]
    return Version(major, minor, patch)
