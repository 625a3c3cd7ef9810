import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.core.series import (
    PRERELEASES,
    PatternTags,
    SemverTags,
    newest,
    parse_pattern,
)
from webhook_launcher.core.versions import parse_range

ONE = SemverTags(parse_range(">=1.2 <2"))


def early(text: str = ">=1.2 <2", prefix: str = "", suffix: str = "") -> SemverTags:
    """A range that asks for pre-releases."""
    return SemverTags(parse_range(text), prefix, suffix, PRERELEASES)


class TestARange:
    def test_takes_the_newest_by_version_and_not_by_text(self) -> None:
        """1.10.0 comes after 1.9.0, though not in the alphabet."""
        assert newest(ONE, ["1.9.0", "1.10.0", "1.2.0", "2.0.0", "latest"]) == "1.10.0"

    def test_has_no_newest_where_no_tag_is_inside(self) -> None:
        """Then nothing is guessed."""
        assert newest(ONE, ["latest", "1.1.0", "1.2", "1", ""]) is None

    def test_takes_tags_with_and_without_v_for_the_same_versions(self) -> None:
        """A project that drops the `v` one day goes on with its versions."""
        assert newest(ONE, ["v1.2.0", "1.3.0", "v1.4.0"]) == "v1.4.0"

    def test_takes_no_floating_tag(self) -> None:
        """`1.3` is moved with every 1.3.x: as a version it would be older than 1.3.1."""
        assert ONE.rank("1.3") is None

    def test_takes_pre_releases_only_when_asked(self) -> None:
        """Nobody wants a release candidate by surprise."""
        tags = ["1.3.0", "1.4.0-rc.1", "1.4.0-beta.2", "2.0.0-rc.1"]
        assert newest(ONE, tags) == "1.3.0"
        assert newest(early(), tags) == "1.4.0-rc.1"
        assert newest(early(), [*tags, "1.4.0"]) == "1.4.0"
        assert newest(SemverTags(ONE.versions, prereleases=frozenset({"beta"})), tags) == (
            "1.4.0-beta.2"
        )

    def test_that_names_a_pre_release_asks_for_those_of_that_version(self) -> None:
        """As npm has it."""
        series = SemverTags(parse_range(">=2.0.0-rc.2 <3"))
        assert newest(series, ["2.0.0-rc.1", "2.0.0-rc.3", "2.1.0-rc.1"]) == "2.0.0-rc.3"
        assert newest(series, ["2.0.0-rc.3", "2.0.0-slim"]) == "2.0.0-rc.3"

    @pytest.mark.parametrize(
        "variant",
        [
            "alpine",
            "alpine3.20",
            "slim",
            "bookworm",
            "debian-12-r4",
            [
                *("alpine", "alpine3.20", "slim", "bookworm", "debian-12-r4", "windowsservercore"),
                *("amd64", "rc.1-alpine", "rc1.alpine", "20261101", "1", "g1a2b3c"),
            ],
            "amd64",
            "rc.1-alpine",
            "rc1.alpine",
            "20261101",
            "1",
            "g1a2b3c",
        ],
    )
    def test_does_not_mix_families(self, variant: str) -> None:
        """1.3.0-alpine is no pre-release of 1.3.0 but another image."""
        assert early().rank(f"1.9.0-{variant}") is None

    def test_of_a_variant_takes_that_family_alone(self) -> None:
        """Its pre-releases as well, when they are asked for."""
        tags = ["1.9.0", "1.3.0-alpine", "1.2.0-alpine", "1.4.0-rc.1-alpine", "1.8.0-slim"]
        assert newest(SemverTags(ONE.versions, suffix="-alpine"), tags) == "1.3.0-alpine"
        assert newest(early(suffix="-alpine"), tags) == "1.4.0-rc.1-alpine"
        monorepo = ["web-1.3.0", "api-1.9.0", "web-v1.4.0", "1.8.0"]
        assert newest(SemverTags(ONE.versions, prefix="web-"), monorepo) == "web-v1.4.0"

    def test_an_affix_must_leave_a_version_between(self) -> None:
        """Prefix and suffix may not share characters of the tag."""
        series = SemverTags(parse_range("*"), prefix="1.2.", suffix=".3")
        assert [series.rank(tag) for tag in ("1.2.3", "1.2.", ".3", "1.2..3")] == [None] * 4

    @pytest.mark.parametrize(
        "tag", ["1.2.3-" + "a" * 122, "1.2.3-rc" + "1" * 119 + "x", "9" * 128, "1.2.3-" + "-" * 122]
    )
    def test_no_tag_takes_long(self, tag: str) -> None:
        """Whoever may push chooses the names; a list has thousands."""
        began = time.thread_time()
        for _ in range(100):
            early().rank(tag)
        assert time.thread_time() - began < 0.5


class TestAPattern:
    @pytest.mark.parametrize(
        ("pattern", "oldest_first"),
        [
            ("^main-[0-9]+$", ["main-9", "main-10", "main-100"]),
            ("build-[0-9.]+", ["build-2026.9.30", "build-2026.11.3", "build-2026.11.20"]),
            (r"main-[0-9a-f]{7}-(\d+)", ["main-fffffff-1764000000", "main-0000000-1764000001"]),
            (r"\d{4}-\d\d-\d\d", ["2025-12-31", "2026-01-01"]),
            (r"(\d+)-(\d+)-[a-z]+", ["1-9-z", "1-10-a", "2-0-a"]),
            (r"r(?P<number>\d+)(?:-fix(\d+))?", ["r1", "r1-fix1", "r1-fix2", "r2"]),
            ("[0-9.]+", ["1.2", "1.2.1", "1.10"]),
        ],
    )
    def test_orders_by_the_numbers_in_its_groups(
        self, pattern: str, oldest_first: list[str]
    ) -> None:
        """As a person reads build numbers and dates, whatever text stands beside them."""
        series = parse_pattern(pattern)
        for older, newer in pairwise(oldest_first):
            assert newest(series, [older, newer]) == newest(series, [newer, older]) == newer

    @pytest.mark.parametrize("tag", ["xmain-1", "main-1x", "main-", "main-1\n", "MAIN-1", ""])
    def test_matches_whole_tags(self, tag: str) -> None:
        """With or without `^` and `$`: `main-1-cache` is not `main-1`."""
        assert parse_pattern("main-[0-9]+").rank(tag) is None
        assert parse_pattern("^main-[0-9]+$").rank(tag) is None

    def test_decides_a_tie_the_same_way_every_time(self) -> None:
        """Two builds of one number: which it is must not depend on the order of a list."""
        series = parse_pattern(r"main-(\d+)-[a-z]+")
        assert newest(series, ["main-1-b", "main-1-a"]) == "main-1-b"
        assert newest(series, ["main-1-a", "main-1-b"]) == "main-1-b"

    @pytest.mark.parametrize("pattern", ["(a+)+", "(a|aa)+", "(a|a?)+", "(.*)*", "(a*)*b"])
    def test_no_tag_stalls_any_pattern(self, pattern: str) -> None:
        """A backtracking engine would hold every thread of the launcher for hours."""
        series = parse_pattern(pattern)
        began = time.thread_time()
        for _ in range(100):
            series.rank("a" * 127 + "!")
        assert time.thread_time() - began < 0.5

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            ("(", "missing \\)"),
            ("(?=a)a", "RE2 syntax"),
            (r"(a)\1", "invalid escape"),
            ("(a{1000}){1000}", "invalid repetition"),
            ("a" * 257, "longer than 256"),
        ],
    )
    def test_that_is_none_is_refused_with_the_reason(
        self, pattern: str, said: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """At start, and in the error alone: the library may not write to our standard error."""
        with pytest.raises(ValueError, match=said):
            parse_pattern(pattern)
        assert capfd.readouterr().err == ""

    def test_a_tag_longer_than_any_is_none(self) -> None:
        """The registry is foreign as well."""
        assert parse_pattern("a+").rank("a" * 128)
        assert parse_pattern("a+").rank("a" * 129) is None


TAGS = st.text(st.sampled_from("0129.-_avx"), min_size=1, max_size=12)


@given(st.lists(TAGS), st.sampled_from([early("*"), PatternTags(".*"), PatternTags("(.*)-(.*)")]))
def test_any_two_ranks_compare_and_the_newest_is_the_highest(
    tags: list[str], series: SemverTags | PatternTags
) -> None:
    """No list of tags may raise, and its order must not matter."""
    found = newest(series, tags)
    assert newest(series, reversed(tags)) == found
    ranks = [rank for tag in tags if (rank := series.rank(tag)) is not None]
    assert (found is None) is (not ranks)
    if found is not None:
        assert series.rank(found) == max(ranks)


def test_a_series_is_told_as_it_was_written() -> None:
    """The status shows it."""
    assert str(ONE) == "semver >=1.2 <2"
    assert str(SemverTags(ONE.versions, "web-", "-alpine")) == "semver >=1.2 <2 web-…-alpine"
    assert str(PatternTags("^main-[0-9]+$")) == "pattern ^main-[0-9]+$"
