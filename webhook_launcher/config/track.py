"""The `track:` key of a workload: what it follows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.core.errors import InvalidReferenceError
from webhook_launcher.core.reference import make_tag
from webhook_launcher.core.series import PRERELEASES, PatternTags, SemverTags, parse_pattern
from webhook_launcher.core.versions import VersionRange, parse_range
from webhook_launcher.core.workload import Track, TrackKind

_TRACKS = (
    "{tag: stable}, {semver: '>=1.2 <2'}, {pattern: '^main-[0-9]+$'}, {file: PATH}, "
    "{command: [...]} or none"
)
_KINDS = tuple(kind.value for kind in TrackKind if kind is not TrackKind.NONE)
# Keys that belong to one kind only.
_OF = {"timeout": "command", "prefix": "semver", "suffix": "semver", "prerelease": "semver"}


def read_track(section: Section) -> Track:
    """`{tag: stable}` and the like, or `none`; problems are recorded in the section."""
    if "track" not in section:
        section.take("track", values.text, "")
        section.problem("track", f"is missing; write {_TRACKS}")
        return Track(TrackKind.NONE)
    # A `track:` left empty is no decision to follow nothing.
    if section.take("track", _names_no_tracker, False):
        return Track(TrackKind.NONE)
    track = section.section("track")
    stale_after = track.take("stale_after", values.duration, None)
    quiet_after = track.take("quiet_after", values.duration, None)
    found = _tracks(track)
    track.finish()
    given = [kind for kind in _KINDS if kind in track]
    if len(given) > 1:
        track.problem("", f"follows several things; keep one of {', '.join(given)}")
    elif not given:
        track.problem("", f"must be {_TRACKS}")
    for key, kind in _OF.items():
        if key in track and kind not in track:
            track.problem(key, f"belongs to a {kind}; there is none")
    chosen = next((found[kind] for kind in given), Track(TrackKind.NONE))
    return replace(chosen, stale_after=stale_after, quiet_after=quiet_after)


def _tracks(track: Section) -> dict[str, Track]:
    """A Track of every kind, so that every key is taken, whichever kind it is."""
    timeout = track.take("timeout", values.duration, 30.0)
    argv = track.take("command", values.argv_from(track.base), None)
    pattern = track.take("pattern", _pattern, None)
    versions = track.take("semver", _range, None)
    prefix = track.take("prefix", _affix("prefix"), "")
    suffix = track.take("suffix", _affix("suffix"), "")
    no_words: frozenset[str] = frozenset()
    prereleases = track.take("prerelease", _prereleases, no_words)
    series = SemverTags(versions, prefix, suffix, prereleases) if versions else None
    return {
        "tag": Track(TrackKind.TAG, tag=track.take("tag", values.tag, None)),
        "semver": Track(TrackKind.SEMVER, series=series),
        "pattern": Track(TrackKind.PATTERN, series=pattern),
        "file": Track(TrackKind.FILE, path=track.take("file", values.path_from(track.base), None)),
        "command": Track(TrackKind.COMMAND, argv=argv or (), timeout=timeout),
    }


def _names_no_tracker(value: Any) -> bool:
    if isinstance(value, dict):
        return False
    if value != "none":
        raise ValueError(f"must be {_TRACKS}")
    return True


def _range(value: Any) -> VersionRange:
    return parse_range(values.text(value))


def _pattern(value: Any) -> PatternTags:
    return parse_pattern(values.text(value))


def _affix(name: str) -> Callable[[Any], str]:
    """A part of a tag: what comes before the version, or after it."""

    def parse(value: Any) -> str:
        text = values.text(value)
        try:
            make_tag(text if name == "prefix" else f"0{text}")
        except InvalidReferenceError as error:
            raise ValueError(f"must be the {name} of a tag ({error})") from error
        return text

    return parse


def _prereleases(value: Any) -> frozenset[str]:
    """`true` for the usual words, or a list of words such as `[rc, beta]`."""
    if isinstance(value, bool):
        return PRERELEASES if value else frozenset()
    if not isinstance(value, list) or not value:
        raise ValueError("must be true, false or a list of words such as [rc, beta]")
    words = frozenset(values.text(word).lower() for word in value)
    for word in sorted(words):
        if not (word.isascii() and word.isalpha()):
            raise ValueError(
                f"has {word!r}; a word has letters only, what follows it is its number"
            )
    return words
