"""The names of keep-tags."""

import re

from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.adapters.engine.keep import keep_tag

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
_SLOTS = st.sampled_from(["current", "previous", "next"])


def test_the_tag_says_what_it_is_for() -> None:
    """An operator who reads `docker images` must know what not to remove."""
    assert keep_tag("shop", "web", "previous") == "shop.web.previous"


@given(st.tuples(_NAMES, _NAMES, _SLOTS), st.tuples(_NAMES, _NAMES, _SLOTS))
def test_different_workloads_never_share_a_tag(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Sharing would move the tag away from an image that is still to be returned to."""
    assert (keep_tag(*one) == keep_tag(*other)) == (one == other)


def test_a_dash_in_a_name_is_no_boundary() -> None:
    """Project `a-b` with workload `c` is not project `a` with workload `b-c`."""
    assert keep_tag("a-b", "c", "current") != keep_tag("a", "b-c", "current")


@given(st.text(max_size=200), st.text(max_size=200), _SLOTS)
def test_whatever_the_names_are_it_is_a_tag(project: str, workload: str, slot: str) -> None:
    """A name that the engine refuses would fail the deployment at its last step."""
    assert _TAG.fullmatch(keep_tag(project, workload, slot))


def test_long_names_are_cut_and_told_apart() -> None:
    """The configuration allows 63 + 63 characters and a slot: more than a tag has."""
    one, other = ("x" * 63, "y" * 63 + "1"), ("x" * 63, "y" * 63 + "2")
    assert keep_tag(*one, "previous") != keep_tag(*other, "previous")
    assert keep_tag(*one, "previous") != keep_tag(*one, "current")
