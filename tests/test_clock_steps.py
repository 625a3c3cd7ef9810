"""The wall clock is set back or forward an hour: nothing is stuck, done twice or gone back on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.world import SIGNED, WEB, A, B, C, World
from webhook_launcher.core.errors import EngineUnavailableError, RegistryUnavailableError
from webhook_launcher.core.model import Status
from webhook_launcher.core.policies import MinimumAge
from webhook_launcher.core.retention import Retention

STEPS = pytest.mark.parametrize("hours", [-1.0, 1.0])
# The longest pause between two tries, and a little.
PATIENCE = 320.0


@STEPS
def test_a_retry_is_not_put_off_by_the_step(hours: float, world: World) -> None:
    """A registry that was down for a minute must not cost an hour more."""
    world.push(A)
    world.work()
    world.registry.down = lambda: RegistryUnavailableError("down")
    world.push(B)
    for _ in range(6):
        world.clock.sleep(world.step())
    world.clock.step(hours)
    world.registry.down = None
    world.work(PATIENCE)
    assert world.host.runs() == B


@STEPS
def test_an_engine_that_comes_back_is_noticed(hours: float, world: World) -> None:
    """The attempt that was open is finished within the usual pause."""
    world.push(A)
    world.work()
    world.push(B)
    world.host.outage.arm(1, world.host.leave, only="gate")
    for _ in range(4):
        world.clock.sleep(world.step())
    world.clock.step(hours)
    world.host.outage.disarm()
    world.host.away = False
    world.work(PATIENCE)
    assert world.host.runs() == B
    assert [d.status for d in world.history()].count(Status.IN_PROGRESS) == 0


@STEPS
def test_a_step_in_the_middle_of_a_deployment_changes_nothing(hours: float, world: World) -> None:
    """Whatever the times in the record say: it ran once and is the current one."""
    world.push(A)
    world.work()
    world.push(B)
    world.fuse.arm(1, lambda: _Stepped(world, hours), only="upped")
    with pytest.raises(_Stepped):
        world.work()
    world.restart()
    world.work(PATIENCE)
    assert world.host.runs() == B == world.current()
    assert world.host.started.count(B) == 1


@STEPS
def test_the_poll_goes_on_by_the_clock_that_only_goes_forward(hours: float, world: World) -> None:
    """Its intervals are of the monotonic clock."""
    world.push(A)
    world.work()
    world.poller.step()
    wait = world.poller.step()
    world.clock.step(hours)
    assert world.poller.step() == pytest.approx(wait, abs=1)
    world.tag(B)
    world.poll()
    world.work(PATIENCE)
    assert world.host.runs() == B


@STEPS
def test_an_age_is_told_by_the_wall_clock_and_late_by_the_step_at_most(
    hours: float, world: World
) -> None:
    """First sights are wall times, kept for years: set back it waits longer, never for ever."""
    world.workloads["web"] = replace(WEB, policies=(MinimumAge(timedelta(hours=5)),))
    world.restart()
    world.push(A)
    world.work_now()
    world.clock.step(hours)
    world.clock.sleep((5 - hours) * 3600)
    world.work_now()
    assert world.host.runs() == A


@pytest.mark.parametrize("hours", [-1.0, 1.0, -24 * 365.0])
def test_nothing_older_runs_and_nothing_runs_twice(hours: float, world: World) -> None:
    """What was dealt with is known by its digest, not by a time."""
    for pushed in (A, B):
        world.push(pushed)
        world.work()
    world.clock.step(hours)
    world.hear(A)  # a repeated event of an earlier push; the tag is at B
    world.work(PATIENCE)
    world.poll()
    world.work(PATIENCE)
    assert world.host.runs() == B
    assert world.host.started == [A, B]
    world.push(C, origin=SIGNED)
    world.work(PATIENCE)
    assert world.host.runs() == C


@pytest.mark.parametrize("hours", [-1.0, 1.0])
def test_what_is_kept_is_not_forgotten_by_the_step(hours: float, world: World) -> None:
    """An hour is no reason to forget a delivery that may be repeated."""
    world.push(A)
    world.work()
    world.clock.step(hours)
    world.journal.prune(world.clock.now(), Retention())
    assert world.history()
    assert world.current() == A


def test_while_the_engine_is_away_no_step_ends_the_wait(world: World) -> None:
    """An outage is waited for without end, whatever the clock does meanwhile."""
    world.push(A)
    world.work()
    intent = world.push(B)
    world.host.away = True
    for hours in (1.0, -2.0, 1.0, 48.0, -48.0):
        world.clock.sleep(world.step())
        world.clock.step(hours)
    assert not world.intent(intent).status.final
    assert world.intent(intent).code in (None, EngineUnavailableError.code)
    world.host.away = False
    world.work(PATIENCE)
    assert world.host.runs() == B


class _Stepped(BaseException):
    """The launcher dies, and the clock is set meanwhile."""

    def __init__(self, world: World, hours: float) -> None:
        world.clock.step(hours)
