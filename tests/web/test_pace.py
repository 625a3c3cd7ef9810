"""Allowances: what is granted, when it comes back, and that it stays small."""

import pytest

from tests.clock import FakeClock
from webhook_launcher.web.pace import Allowance, Pace

NOW = 1000.0


def test_a_minutes_worth_may_come_at_once() -> None:
    """A release of fifty images is a burst; only what goes on and on is held back."""
    allowance = Allowance(60, NOW)
    assert [allowance.take(NOW) for _ in range(60)] == [0.0] * 60
    assert allowance.take(NOW) == pytest.approx(1.0)


def test_it_comes_back_evenly_and_not_beyond() -> None:
    """The time in Retry-After must be enough, and a quiet day must not allow a flood."""
    allowance = Allowance(60, NOW)
    while not allowance.take(NOW):
        pass
    assert allowance.take(NOW + 0.5) == pytest.approx(0.5)
    assert allowance.take(NOW + 1.0) == 0.0
    assert sum(allowance.take(NOW + 86400) == 0 for _ in range(100)) == 60


def test_asking_takes_nothing() -> None:
    """It is asked before a delivery is known to be authentic."""
    allowance = Allowance(1, NOW)
    assert [allowance.wait(NOW) for _ in range(3)] == [0.0] * 3
    assert allowance.take(NOW) == 0.0


def test_forged_deliveries_use_up_nothing_of_the_authentic_ones() -> None:
    """Or whoever knows a path could silence its sender."""
    pace = Pace(2, 3, FakeClock().monotonic)
    assert [pace.refused("ghcr", "forger") > 0 for _ in range(5)] == [False] * 3 + [True] * 2
    assert pace.wait("ghcr") == 0
    assert [pace.authentic("ghcr") > 0 for _ in range(3)] == [False, False, True]


def test_each_source_and_client_has_its_own() -> None:
    """One that sends too much is no reason to refuse another."""
    pace = Pace(1, 1, FakeClock().monotonic)
    assert pace.authentic("a") == pace.authentic("b") == 0
    assert pace.wait("a") > 0
    assert pace.wait("c") == 0
    assert pace.refused("a", "x") == pace.refused("a", "y") == pace.refused("b", "x") == 0
    assert pace.refused("a", "x") > 0


def test_a_flood_from_everywhere_stays_small_and_is_forgotten() -> None:
    """An account for each address of an IPv6 network would be an attack on memory."""
    clock = FakeClock()
    pace = Pace(1, 1, clock.monotonic)
    waits = [pace.refused("a", f"client {number}") for number in range(3000)]
    assert sum(wait == 0 for wait in waits) < 1100
    assert len(pace._of_client) < 1100
    clock.sleep(120)
    assert pace.refused("a", "another") == 0
    assert len(pace._of_client) == 1
