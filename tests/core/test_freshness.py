from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes import digest
from tests.world import WEB
from webhook_launcher.core.freshness import warnings
from webhook_launcher.core.model import WorkloadState
from webhook_launcher.core.workload import PollSettings, Track, TrackKind

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
assert WEB.tracked is not None
FOUND = WEB.tracked.at(digest("A"))


def looked(answered: timedelta, moved: timedelta = timedelta()) -> WorkloadState:
    """The last answer came so long ago, and another one before it."""
    return WorkloadState(
        "web",
        checked_at=NOW,
        check_result="429 from registry.test",
        found=FOUND,
        found_at=NOW - answered,
        moved_at=NOW - moved,
    )


def test_nothing_is_told_of_what_is_fresh_or_was_never_looked_at() -> None:
    """A warning that is always there is read by nobody."""
    assert warnings(WEB, looked(HOUR), NOW) == []
    assert warnings(WEB, WorkloadState("web"), NOW) == []


def test_a_registry_that_stays_silent_is_told_with_what_it_said_last() -> None:
    """The old image goes on running meanwhile, and looks well."""
    assert warnings(WEB, looked(24 * HOUR), NOW) == []
    assert warnings(WEB, looked(73 * HOUR), NOW) == [
        "no look was answered for 3 d; the last one: 429 from registry.test"
    ]


def test_a_look_that_was_never_answered_is_told_at_once() -> None:
    """Wrong credentials from the first day on: nothing will ever be deployed."""
    state = WorkloadState("web", checked_at=NOW, check_result="401 from registry.test")
    assert warnings(WEB, state, NOW) == [
        "no look was ever answered; the last one: 401 from registry.test"
    ]


@pytest.mark.parametrize(
    ("every", "stale_after", "silent", "told"),
    [
        (900.0, None, 25 * HOUR, True),
        (86400.0, None, 95 * HOUR, False),
        (86400.0, None, 97 * HOUR, True),
        (None, None, 9999 * HOUR, False),
        (None, 7200.0, 3 * HOUR, True),
        (900.0, 7200.0, HOUR, False),
    ],
)
def test_how_long_is_by_the_poll_unless_it_is_written(
    every: float | None, stale_after: float | None, silent: timedelta, *, told: bool
) -> None:
    """Who polls once a day misses four looks before it is news; who never polls has no clock."""
    web = replace(
        WEB,
        poll=PollSettings(every),
        track=Track(TrackKind.TAG, "stable", stale_after=stale_after),
    )
    assert bool(warnings(web, looked(silent), NOW)) is told


def test_what_does_not_move_any_more_is_told_where_it_should() -> None:
    """A mirror that stands still answers every look (TUF: indefinite freeze)."""
    weekly = replace(WEB, track=Track(TrackKind.TAG, "stable", quiet_after=8 * 86400.0))
    assert warnings(weekly, looked(HOUR, 7 * 24 * HOUR), NOW) == []
    assert warnings(WEB, looked(HOUR, 999 * 24 * HOUR), NOW) == []
    assert warnings(weekly, looked(HOUR, 9 * 24 * HOUR), NOW) == [
        "what is tracked has not moved for 9 d; is it still built and pushed?"
    ]


def test_what_follows_nothing_is_never_stale() -> None:
    """`track: none`: there is nothing to look at."""
    manual = replace(WEB, track=Track(TrackKind.NONE))
    assert warnings(manual, looked(999 * HOUR, 999 * HOUR), NOW) == []
