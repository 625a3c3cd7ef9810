"""The loop: steps, waits, wakes, survives faults, and stops when it is told to."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from webhook_launcher.loop import Loop

_LONG = 20.0  # far longer than anything here takes: reached only when something hangs


class Steps:
    """A step that counts its calls and lets a test wait for one of them."""

    def __init__(self, answer: Callable[[int], float]) -> None:
        self.count = 0
        self._answer = answer
        self._changed = threading.Condition()

    def __call__(self) -> float:
        """The step."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()
            number = self.count
        return self._answer(number)

    def reach(self, number: int) -> bool:
        """Wait until it was called so often."""
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= number, _LONG)


@pytest.fixture
def started() -> Iterator[Callable[[Callable[[], float]], Loop]]:
    """Starts loops, and ends them after the test."""
    loops: list[Loop] = []

    def start(step: Callable[[], float]) -> Loop:
        loop = Loop("tested", step)
        loops.append(loop)
        loop.start()
        return loop

    yield start
    for loop in loops:
        loop.stop()
    assert all(loop.join(time.monotonic() + _LONG) for loop in loops)


Started = Callable[[Callable[[], float]], Loop]


def test_a_step_that_found_work_is_followed_by_another_at_once(started: Started) -> None:
    """A queue is emptied without pauses."""
    steps = Steps(lambda number: 0.0 if number < 100 else 3600.0)
    started(steps)
    assert steps.reach(100)


def test_a_loop_waits_as_long_as_its_step_says(started: Started) -> None:
    """And not shorter: an idle launcher uses no processor time."""
    steps = Steps(lambda _: 3600.0)
    loop = started(steps)
    assert steps.reach(1)
    loop.stop()
    assert loop.join(time.monotonic() + _LONG)
    assert steps.count == 1


def test_a_wake_ends_the_wait(started: Started) -> None:
    """A delivery is worked on now, not at the end of an idle minute."""
    steps = Steps(lambda _: 3600.0)
    loop = started(steps)
    assert steps.reach(1)
    loop.wake()
    assert steps.reach(2)


def test_a_wake_during_a_step_is_not_lost(started: Started) -> None:
    """What arrives after the step has looked, and before it waits, must be looked at."""
    loop: Loop
    woken = threading.Event()

    def answer(number: int) -> float:
        if number == 1:
            assert woken.wait(_LONG)
        return 3600.0

    steps = Steps(answer)
    loop = started(steps)
    assert steps.reach(1)
    loop.wake()
    woken.set()
    assert steps.reach(2)


def test_a_stop_during_a_step_ends_the_loop_after_it(started: Started) -> None:
    """The step in progress is finished: a deployment is not cut off."""
    asked, finished = threading.Event(), threading.Event()

    def answer(_: int) -> float:
        assert asked.wait(_LONG)
        finished.set()
        return 3600.0

    steps = Steps(answer)
    loop = started(steps)
    assert steps.reach(1)
    loop.stop()
    assert not finished.is_set()
    asked.set()
    assert loop.join(time.monotonic() + _LONG)
    assert (finished.is_set(), steps.count) == (True, 1)


def test_a_stop_whose_wake_was_cleared_still_ends_the_loop(started: Started) -> None:
    """The stop may come between the loop's look at it and the clearing of the wake.

    The step clears the wake itself, which leaves the loop in exactly that state.
    """
    loop = Loop("tested", lambda: 0.0)

    def step() -> float:
        loop.stop()
        loop._wake.clear()
        return 3600.0

    loop._step = step
    loop.start()
    assert loop.join(time.monotonic() + _LONG)


def test_a_stop_before_the_start_means_no_step() -> None:
    """A launcher that is stopped while it starts begins nothing."""
    steps = Steps(lambda _: 0.0)
    loop = Loop("tested", steps)
    loop.stop()
    loop.start()
    assert loop.join(time.monotonic() + _LONG)
    assert steps.count == 0


def test_a_loop_outlives_a_step_that_raises(
    started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    """One fault must not end all deployments until somebody restarts the launcher."""

    def answer(number: int) -> float:
        if number == 1:
            raise RuntimeError("broken once")
        return 3600.0

    steps = Steps(answer)
    with caplog.at_level(logging.ERROR):
        loop = started(steps)
        assert steps.reach(1)
        loop.wake()  # instead of the pause after a fault
        assert steps.reach(2)
    assert loop.alive
    (record,) = caplog.records
    assert record.getMessage() == "step failed"
    assert record.__dict__["loop"] == "tested"
    assert "broken once" in str(record.exc_info)


@pytest.mark.parametrize("wait", [float("inf"), 1e12])
def test_a_wait_for_ever_can_be_woken_and_stopped(started: Started, wait: float) -> None:
    """`every: off` is a wait without end; `Event.wait` raises for it, which ended the loop."""
    steps = Steps(lambda _: wait)
    loop = started(steps)
    assert steps.reach(1)
    loop.wake()
    assert steps.reach(2)
    assert loop.alive


def test_a_join_gives_up_at_its_deadline(started: Started) -> None:
    """A deployment that takes longer is resumed at the next start; the stop must go on."""
    release = threading.Event()

    def answer(_: int) -> float:
        assert release.wait(_LONG)
        return 3600.0

    steps = Steps(answer)
    loop = started(steps)
    assert steps.reach(1)
    loop.stop()
    assert not loop.join(time.monotonic())
    assert loop.alive
    release.set()


def test_a_loop_that_never_started_has_ended() -> None:
    """Stopping a service that failed halfway through its start must not raise."""
    loop = Loop("tested", lambda: 0.0)
    assert not loop.alive
    assert loop.join(time.monotonic())
    assert loop.name == "tested"
