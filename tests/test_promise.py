"""The promise, under random schedules: a state machine over launcher, journal and fakes.

What was acknowledged is not lost; the newest wanted image that is admitted ends up running, or
the last good one stays; nothing else ever runs.
"""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes import KilledError, digest
from tests.world import OPERATOR, SIGNED, TOKEN, World
from webhook_launcher.core.errors import RegistryUnavailableError
from webhook_launcher.core.model import Action
from webhook_launcher.core.reference import Digest

# Images by how they behave; compose refuses the first of `REFUSED`.
GOOD = [digest(f"good {number}") for number in range(4)]
BAD = [digest(f"bad {number}") for number in range(2)]
REFUSED = [digest("refused")]
ANY = st.sampled_from(GOOD + BAD + REFUSED)
STEPS = st.integers(1, 60)


class Promise(RuleBasedStateMachine):
    """Push, deploy, roll back, poll, break and kill in any order; then look what is left."""

    def __init__(self) -> None:
        super().__init__()
        # In memory where there is such a place: thousands of commits are made here.
        memory = Path("/dev/shm")  # noqa: S108 - a directory of our own in it
        self._directory = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.world = World(Path(self._directory.name) / "state")
        self.world.host.unhealthy.update(BAD)
        self.world.host.refused.update(REFUSED)
        self.wanted: Digest | None = None  # what must run at the end, if it is known
        self.good: Digest | None = None  # what was current the last time all was quiet

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
        self._expect(pushed if moved else None)

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
    def release(self) -> None:
        """An operator releases the quarantine."""
        self.world.journal.workloads.release_quarantine("web")
        self.wanted = None

    @rule(down=st.booleans())
    def registry(self, down: bool) -> None:
        """The registry goes or comes back."""
        self.world.registry.down = (lambda: RegistryUnavailableError("down")) if down else None

    @rule()
    def engine_comes_back(self) -> None:
        """With what ran."""
        self.world.host.away = False

    @rule(full=st.booleans())
    def disk(self, full: bool) -> None:
        """Compose can start nothing for a while."""
        self.world.host.full = full
        self.wanted = None

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
        assert set(world.host.started) <= {*GOOD, *BAD, *REFUSED}
        assert state.quarantined <= {*BAD, *REFUSED}, "a good image was blamed"
        if self.wanted is not None:
            assert runs == self.wanted, "the newest good wish was lost"
        self.good, self.wanted = runs, None

    def _expect(self, asked: Digest | None) -> None:
        """A good image that is asked for last must run; after any other nothing is known."""
        self.wanted = asked if asked in GOOD and not self.world.host.full else None


TestPromise: Any = Promise.TestCase
TestPromise.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
