import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semver import Version

from webhook_launcher.core.versions import parse_range, parse_version


def holds(text: str, version: str) -> bool:
    """Whether a version is inside a range."""
    return Version.parse(version) in parse_range(text)


@pytest.mark.parametrize("text", ["1.2.3", "v1.2.3", "0.0.0", "1.2.3-rc.1", "1.2.3+build.5"])
def test_a_whole_version_is_one(text: str) -> None:
    """SemVer 2.0.0, and the `v` that git tags have before it."""
    assert str(parse_version(text)) == text.removeprefix("v")


@pytest.mark.parametrize(
    "text",
    [
        *[
            "v",
            "1",
            "1.2",
            "latest",
            "01.2.3",
            "1.2.3-01",
            "1.2.3-",
            "V1.2.3",
            "vv1.2.3",
            "-1.2.3",
            "1.2.3.4",
            *("v", "1", "1.2", "latest", "01.2.3", "1.2.3-01", "1.2.3-", "V1.2.3", "vv1.2.3"),
            *("-1.2.3", "1.2.3.4", "${VERSION}"),
        ],
        *("", " 1.2.3", "1.2.3\n", "1.2.٣", "1.2.3" + "0" * 128),
    ],
)
def test_anything_else_is_none(text: str) -> None:
    """Tags and labels are foreign text: what is not clearly a version is not guessed to be one."""
    assert parse_version(text) is None


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=1.2 <2", ["1.2.0", "1.99.0"], ["1.1.9", "2.0.0"]),
        (">= 1.2, < 2", ["1.2.0", "1.99.0"], ["1.1.9", "2.0.0"]),
        ("^1.4", ["1.4.0", "1.9.9"], ["1.3.9", "2.0.0"]),
        ("^0.3", ["0.3.0", "0.3.9"], ["0.2.9", "0.4.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.2", "0.0.4"]),
        ("^0.0", ["0.0.0", "0.0.9"], ["0.1.0"]),
        ("^0", ["0.0.0", "0.9.0"], ["1.0.0"]),
        ("~1.4", ["1.4.0", "1.4.9"], ["1.3.9", "1.5.0"]),
        ("~1.4.2", ["1.4.2", "1.4.9"], ["1.4.1", "1.5.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["0.9.0", "2.0.0"]),
        ("1.x", ["1.0.0", "1.9.0"], ["0.9.0", "2.0.0"]),
        ("1.2.*", ["1.2.0", "1.2.9"], ["1.1.0", "1.3.0"]),
        ("*", ["0.0.0", "999.0.0"], []),
        (">1.2", ["1.3.0"], ["1.2.0", "1.2.9"]),
        (">1.2.3", ["1.2.4"], ["1.2.3"]),
        ("<=1.2", ["1.2.9", "0.1.0"], ["1.3.0"]),
        ("<=1.2.3", ["1.2.3"], ["1.2.4"]),
        ("=1.2", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("1.2.3", ["1.2.3"], ["1.2.4", "1.2.2"]),
        ("^1 || ^3", ["1.5.0", "3.1.0"], ["2.0.0", "4.0.0"]),
    ],
)
def test_ranges_mean_what_npm_and_cargo_mean(
    text: str, inside: list[str], outside: list[str]
) -> None:
    """Who writes `^1.4` has written it elsewhere before."""
    assert [version for version in inside if not holds(text, version)] == []
    assert [version for version in outside if holds(text, version)] == []


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("<2", ["1.9.0-rc.1"], ["2.0.0-rc.1"]),
        (">=1.2", ["1.2.0-rc.1"], []),
        (">1.5.0", [], ["1.5.0-rc.1"]),
        (">=2.0.0-rc.2 <3", ["2.0.0-rc.2", "2.0.0-rc.10", "2.0.0"], ["2.0.0-rc.1", "3.0.0-rc.1"]),
    ],
)
def test_a_pre_release_stands_with_its_release(
    text: str, inside: list[str], outside: list[str]
) -> None:
    """2.0.0-rc.1 precedes 2.0.0, and nobody who writes `<2` wants it."""
    assert [version for version in inside if not holds(text, version)] == []
    assert [version for version in outside if holds(text, version)] == []


@pytest.mark.parametrize("text", [">=1.2", "*", "^1 || >=2", ">=1 <9999999"])
def test_a_date_does_not_win_a_range_of_small_numbers(text: str) -> None:
    """2026.11.3 is SemVer by its form (wud #866), and is above every version of the software."""
    assert holds(text, "2026.11.3") is (text == ">=1 <9999999")
    assert holds(">=2026.1", "2026.11.3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs a range"),
        ("^1 ||", "needs a range"),
        ("1.2", "write '^1.2', '~1.2' or '1.2.x'"),
        ("1", "npm and cargo read differently"),
        ("1.2 - 1.5", "write '>=1.2 <=1.5'"),
        ("latest", "no comparator"),
        ("=>1.2", "no comparator"),
        ("1.x.2", "number after a wildcard"),
        (">x", "write '*'"),
        (">=1.2-rc.1", "without major, minor and patch"),
        (">=1.2.3-01", "no pre-release"),
        (">=2 <1", "no version at all"),
        (">=1 <1", "no version at all"),
        ("^1 ~2", "no version at all"),
        (">=1 " * 100, "longer than"),
    ],
)
def test_what_is_no_range_says_what_to_write(text: str, said: str) -> None:
    """The operator reads this at start, not when a release was missed."""
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_range(text)


NUMBERS = st.tuples(*[st.integers(0, 12)] * 3)


@given(NUMBERS, NUMBERS)
def test_caret_and_tilde_agree_with_their_definition(
    bound: tuple[int, ...], found: tuple[int, ...]
) -> None:
    """`^`: at least the bound, the first number that is not 0 the same. `~`: the first two."""
    written, version = (".".join(map(str, numbers)) for numbers in (bound, found))
    place = next((i for i, number in enumerate(bound) if number), 2)
    assert holds(f"^{written}", version) is (
        found >= bound and found[: place + 1] == bound[: place + 1]
    )
    assert holds(f"~{written}", version) is (found >= bound and found[:2] == bound[:2])
