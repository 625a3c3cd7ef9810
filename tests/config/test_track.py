"""The `track:` key."""

from pathlib import Path

import pytest

from tests.config.faults import faults_of, good
from webhook_launcher.core.series import PRERELEASES, PatternTags, SemverTags
from webhook_launcher.core.versions import parse_range
from webhook_launcher.core.workload import Track, TrackKind

TRACK = "workloads.web.track"


def track(value: dict[str, object], path: Path | None = None) -> Track:
    """What a workload with this `track` follows."""
    settings = good(TRACK, value, path) if path else good(TRACK, value)
    return settings.workloads["web"].track


def test_a_range_of_versions() -> None:
    """The contract's example; pre-releases and other families only when asked for."""
    found = track({"semver": ">=1.2 <2"})
    assert found == Track(TrackKind.SEMVER, series=SemverTags(parse_range(">=1.2 <2")))
    assert str(found) == "semver >=1.2 <2"


@pytest.mark.parametrize(
    ("given", "words"),
    [(True, PRERELEASES), (False, frozenset()), (["RC", "beta"], frozenset({"rc", "beta"}))],
)
def test_pre_releases_are_asked_for(given: object, words: frozenset[str]) -> None:
    """All of the usual words, or those that are named."""
    series = track({"semver": "^1", "prerelease": given}).series
    assert series == SemverTags(parse_range("^1"), prereleases=words)


def test_a_family_is_named_by_what_stands_around_the_version() -> None:
    """`web-1.2.3-alpine`."""
    series = track({"semver": "^1", "prefix": "web-", "suffix": "-alpine"}).series
    assert series == SemverTags(parse_range("^1"), "web-", "-alpine")


def test_a_pattern() -> None:
    """The contract's example."""
    found = track({"pattern": "^main-[0-9]+$"})
    assert found == Track(TrackKind.PATTERN, series=PatternTags("^main-[0-9]+$"))


def test_a_file_may_be_beside_the_configuration_and_need_not_be_there(tmp_path: Path) -> None:
    """The container that writes it may start later."""
    found = track({"file": "./wanted"}, tmp_path / "config.yml")
    assert found == Track(TrackKind.FILE, path=tmp_path / "wanted")
    assert str(found) == f"file {tmp_path}/wanted"


@pytest.mark.parametrize(
    ("given", "key", "said"),
    [
        ({"semver": 1.2}, "semver", "put it in quotes"),
        ({"semver": "1.2"}, "semver", "write '^1.2'"),
        ({"semver": ">=2 <1"}, "semver", "no version at all"),
        ({"semver": ""}, "semver", "must not be empty"),
        ({"semver": "^1", "prerelease": "rc"}, "prerelease", "list of words"),
        ({"semver": "^1", "prerelease": []}, "prerelease", "list of words"),
        ({"semver": "^1", "prerelease": ["rc.1"]}, "prerelease", "letters only"),
        ({"semver": "^1", "suffix": "-al pine"}, "suffix", "suffix of a tag"),
        ({"semver": "^1", "prefix": "-"}, "prefix", "prefix of a tag"),
        ({"pattern": "("}, "pattern", "RE2 syntax"),
        ({"pattern": ["a"]}, "pattern", "put it in quotes"),
        ({"file": 5}, "file", "put it in quotes"),
        ({"file": "a\0b"}, "file", "must be a path"),
        ({"tag": "a", "suffix": "-alpine"}, "suffix", "belongs to a semver; there is none"),
        ({"pattern": "a", "prerelease": True}, "prerelease", "belongs to a semver"),
        ({"file": "x", "timeout": "5s"}, "timeout", "belongs to a command"),
    ],
)
def test_what_cannot_be_followed_is_told_at_its_place(
    given: dict[str, object], key: str, said: str
) -> None:
    """At start, with what to write instead."""
    found = faults_of(TRACK, given)
    assert list(found) == [f"{TRACK}.{key}"]
    assert said in found[f"{TRACK}.{key}"]


def test_a_freeze_is_told_of_whatever_is_followed() -> None:
    """Both alarms are of every kind."""
    found = track({"tag": "stable", "stale_after": "2h", "quiet_after": "8d"})
    assert (found.tag, found.stale_after, found.quiet_after) == ("stable", 7200, 8 * 86400)
    assert list(faults_of(TRACK, {"tag": "a", "stale_after": "0s"})) == [f"{TRACK}.stale_after"]


def test_of_two_things_one_must_go() -> None:
    """And both are named."""
    found = faults_of(TRACK, {"semver": "^1", "pattern": "a", "file": "x"})
    assert found == {TRACK: "follows several things; keep one of semver, pattern, file"}
