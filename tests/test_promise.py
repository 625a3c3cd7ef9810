"""The promise, under random schedules: a state machine over launcher, journal and fakes.

What was acknowledged is not lost; the newest wanted image that is admitted ends up running, or
the last good one stays; nothing else ever runs; receipts are whole; nothing is left behind.

`PROMISE_EXAMPLES` and `PROMISE_SEED` play more schedules, and others (`make crash`).
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes import KilledError, digest
from tests.world import OPERATOR, SIGNED, TOKEN, WEB, World
from webhook_launcher.core.errors import (
    DigestMismatchError,
    LauncherError,
    RateLimitedError,
    RegistryDeniedError,
    RegistryUnavailableError,
)
from webhook_launcher.core.model import Action
from webhook_launcher.core.reference import Digest
from webhook_launcher.core.workload import Hooks

# Images by how they behave; compose refuses the first of `REFUSED`.
GOOD = [digest(f"good {number}") for number in range(4)]
BAD = [digest(f"bad {number}") for number in range(2)]
REFUSED = [digest("refused")]
ANY = st.sampled_from(GOOD + BAD + REFUSED)
STEPS = st.integers(1, 60)
# What a registry in trouble says, and whether that is tried again by itself.
OUTAGES: dict[str, tuple[LauncherError, bool]] = {
    "unavailable": (RegistryUnavailableError("down"), True),
    "limited": (RateLimitedError("429", retry_after=100), True),
    "denied": (RegistryDeniedError("401"), False),
    "wrong bytes": (DigestMismatchError("other bytes"), False),
}
WITH_HOOKS = replace(WEB, hooks=Hooks(before=(("backup",),), after=(("notify",),)))


class Promise(RuleBasedStateMachine):
    """Push, deploy, roll back, poll, break and kill in any order; then look what is left."""

    def __init__(self) -> None:
        super().__init__()
        # In memory where there is such a place: thousands of commits are made here.
        memory = Path("/dev/shm")  # noqa: S108 - a directory of our own in it
        self._directory = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.world = World(Path(self._directory.name) / "state", WITH_HOOKS)
        self.world.host.unhealthy.update(BAD)
        self.world.host.refused.update(REFUSED)
        self.wanted: Digest | None = None  # what must run at the end, if it is known
        self.by_push = False  # then a look finds it again, whatever came of the first one
        self.final = False  # some fault makes what is tried end as an error, with no other try
        self.good: Digest | None = None  # what was current the last time all was quiet
        self.stumbled = False  # since then

    def teardown(self) -> None:
        """Whatever happened: with everything well again, the promise is kept."""
        try:
            self.make_all_well()
        finally:
            self.world.close()
            self._directory.cleanup()

    @initialize(first=st.sampled_from(GOOD))
    def begin(self, first: Digest) -> None:
        """Something good runs."""
        self.world.push(first)
        self.world.work()
        assert self.world.host.runs() == first
        self.good = first

    @rule(pushed=ANY, signed=st.booleans())
    def push(self, pushed: Digest, signed: bool) -> None:
        """A tag moves, with an event; one that did not move since it was dealt with is no news."""
        moved = pushed != self.world.state().tracked
        self.world.push(pushed, origin=SIGNED if signed else TOKEN)
        self._expect(pushed if moved else None, by_push=True)

    @rule(pushed=ANY)
    def move(self, pushed: Digest) -> None:
        """A tag moves and nobody says so."""
        self.world.tag(pushed)
        self.wanted = None

    @rule(named=ANY)
    def deploy(self, named: Digest) -> None:
        """A signed event names a digest."""
        self.world.deploy(named)
        self._expect(named)

    @rule()
    def roll_back(self) -> None:
        """The operator wants the previous release."""
        self.world.ask(Action.ROLLBACK, origin=OPERATOR)
        self.wanted = None

    @rule()
    def poll(self) -> None:
        """The poller looks."""
        self.world.poll()

    @rule()
    def remove(self) -> None:
        """Somebody removes the containers."""
        self.world.host.containers_of.clear()

    @rule()
    def break_containers(self) -> None:
        """They stop, and the engine never starts them again: it was killed in the middle of it."""
        self.world.host.broken.update(self.world.host.containers_of)
        self.world.host.containers_of.clear()

    @rule()
    def release(self) -> None:
        """An operator releases the quarantine."""
        self.world.journal.workloads.release_quarantine("web")
        self.wanted = None

    @rule(outage=st.sampled_from([*OUTAGES, None]))
    def registry(self, outage: str | None) -> None:
        """The registry is in trouble, or comes back."""
        error, passes = OUTAGES[outage] if outage else (None, True)
        self.world.registry.down = (lambda: error) if error else None
        self._fault(final=not passes)

    @rule(fails=st.booleans())
    def before_hook(self, fails: bool) -> None:
        """The user's own command fails, or works again."""
        self.world.hooks.failing = {"before"} if fails else set()
        self._fault(final=fails)

    @rule(fails=st.booleans())
    def after_hook(self, fails: bool) -> None:
        """A release that runs, proved, is not undone by it."""
        self.world.hooks.failing ^= {"after"} if fails else set()

    @rule(seconds=st.sampled_from([1, 60, 4000]))
    def time_passes(self, seconds: int) -> None:
        """Pauses end, and nobody works meanwhile."""
        self.world.clock.sleep(seconds)

    @rule()
    def engine_comes_back(self) -> None:
        """With what ran."""
        self.world.host.away = False

    @rule(full=st.booleans())
    def disk(self, full: bool) -> None:
        """Compose can start nothing for a while."""
        self.world.host.full = full
        self.wanted = None

    @precondition(lambda self: not self.stumbled)
    @rule(starts=st.integers(1, 5))
    def host_stumbles(self, starts: int) -> None:
        """The next starts come to nothing, of whatever image: a port that is taken for a moment.

        Once between two quiet times: a host that is in the way of one image twice in a row, and of
        the former one never, cannot be told from a bad image.
        """
        self.world.host.stumbles, self.stumbled = starts, True

    @rule(steps=STEPS)
    def work_until_the_engine_goes(self, steps: int) -> None:
        """In the middle of anything."""
        self.world.host.outage.arm(steps, self.world.host.leave)
        self.world.work(seconds=20)
        self.world.host.outage.disarm()

    @rule(steps=STEPS)
    def work_until_killed(self, steps: int) -> None:
        """In the middle of anything, and started again."""
        self.world.fuse.arm(steps)
        try:
            self.world.work(seconds=20)
        except KilledError:
            self.world.restart()
        self.world.fuse.disarm()

    @rule()
    def restart(self) -> None:
        """The launcher ends in good order and is started again."""
        self.world.restart()

    @rule()
    def work(self) -> None:
        """For a while."""
        self.world.work(seconds=600)

    @precondition(lambda self: not self.world.host.away)
    @rule()
    def make_all_well(self) -> None:
        """Every outage ends and everything that waits is done: the promise, checked."""
        world = self.world
        world.registry.down, world.host.full, world.host.away = None, False, False
        world.host.stumbles = 0
        world.hooks.failing, self.final = set(), False
        world.clock.sleep(4000)  # longer than the poller leaves a registry alone
        world.work()
        world.poll()
        world.work()
        self._check_promise()

    @invariant()
    def nothing_is_claimed_or_open_while_nobody_works(self) -> None:
        """A claim without a worker would hold its project for ever."""
        if not self.world.journal.intents.waiting("web") and not self.world.host.away:
            assert self.world.journal.deployments.interrupted("web") == []
        assert self.world.worker._unsettled.__len__() == 0

    def _check_promise(self) -> None:
        world = self.world
        runs, state = world.host.runs(), world.state()
        assert runs == world.current(), "what runs is not what the journal says"
        assert runs in GOOD
        assert state.previous is None or state.previous.digest in GOOD
        assert world.waiting() == []
        assert world.journal.deployments.interrupted("web") == []
        assert world.host.leftovers == {}
        assert {i.digest for i in (state.current, state.previous) if i} <= world.host.pulled
        assert set(world.host.started) <= {*GOOD, *BAD, *REFUSED}
        assert state.quarantined <= {*BAD, *REFUSED}, "a good image was blamed"
        if self.wanted is not None:
            assert runs == self.wanted, "the newest good wish was lost"
        self.good, self.wanted, self.stumbled = runs, None, False

    def _expect(self, asked: Digest | None, *, by_push: bool = False) -> None:
        """A good image that is asked for last must run; after any other nothing is known.

        A deploy event that meets a fault which does not pass by itself ends as an error, which
        its sender is told.
        """
        hopeless = self.world.host.full or (self.final and not by_push)
        self.wanted = asked if asked in GOOD and not hopeless else None
        self.by_push = by_push

    def _fault(self, *, final: bool) -> None:
        self.final = final or "before" in self.world.hooks.failing
        if final and not self.by_push:
            self.wanted = None


_EXAMPLES = int(os.environ.get("PROMISE_EXAMPLES", "60"))
_SEED = os.environ.get("PROMISE_SEED")
if _SEED is not None:
    seed(int(_SEED))(Promise)

TestPromise: Any = Promise.TestCase
TestPromise.settings = settings(
    max_examples=_EXAMPLES,
    stateful_step_count=25,
    derandomize=_SEED is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
