import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes import ManualClock
from tests.world import OPERATOR, POLL, WEB, A, B, World
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.attempt import Outcome
from webhook_launcher.core import errors
from webhook_launcher.core.errors import (
    ComposeError,
    ConfigurationError,
    EngineUnavailableError,
    JournalError,
    LauncherError,
    PolicyRefusedError,
    QueueFullError,
    RegistryUnavailableError,
)
from webhook_launcher.core.model import Action, Intent, Origin, Status, Trust, Wish
from webhook_launcher.core.workload import Workload
from webhook_launcher.worker import Worker

DONE = Outcome(Status.SUCCESS, "it runs", deployment="d1")


class FakeLauncher:
    """Does what the test says, by default succeeds."""

    def __init__(self) -> None:
        self.answer: Callable[[], Outcome] = lambda: DONE
        self.launched: list[str] = []

    def launch(self, workload: Workload, intent: Intent) -> Outcome:
        """Launch."""
        self.launched.append(f"{workload.name} {intent.wish.action}")
        return self.answer()

    def fail(self, error: BaseException) -> None:
        """Raise from now on."""

        def answer() -> Outcome:
            raise error

        self.answer = answer


class Bench:
    """A worker between a real journal and a launcher that the test plays."""

    def __init__(self, state: Path) -> None:
        self.clock = ManualClock()
        self.journal = Journal(state, {"web": "web", "api": "api"})
        self.launcher = FakeLauncher()
        self.worker = Worker(self.journal.intents, self.launcher, {"web": WEB}, self.clock)

    def ask(self, action: Action = Action.DEPLOY, workload: str = "web") -> Intent:
        """Add an intent."""
        wish = Wish(workload, action, OPERATOR, WEB.tracked)
        [intent] = self.journal.intents.enqueue([wish], self.clock.now())
        return intent

    def now_is(self, intent: Intent) -> Intent:
        """The intent as the journal has it."""
        found = self.journal.intents.get(intent.id)
        assert found is not None
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """With nothing to do yet."""
    made = Bench(tmp_path / "state")
    yield made
    made.journal.close()


def test_an_intent_is_settled_with_its_outcome(bench: Bench) -> None:
    """Claim, then settle: the sender asks what became of it."""
    intent = bench.ask()
    assert bench.worker.step() == 0.0
    settled = bench.now_is(intent)
    assert (settled.status, settled.detail, settled.deployment) == (
        Status.SUCCESS,
        "it runs",
        "d1",
    )


class TestTrying:
    @pytest.mark.parametrize("kind", [RegistryUnavailableError, EngineUnavailableError])
    def test_again_is_for_what_says_it_may_succeed(
        self, bench: Bench, kind: type[LauncherError]
    ) -> None:
        """`retryable` is the only thing asked."""
        bench.launcher.fail(kind("down"))
        intent = bench.ask()
        bench.worker.step()
        waiting = bench.now_is(intent)
        assert (waiting.status, waiting.code, waiting.detail) == (Status.QUEUED, kind.code, "down")

    @pytest.mark.parametrize(
        "error", [ComposeError("no"), PolicyRefusedError("signature", "no"), LauncherError("no")]
    )
    def test_again_is_not_for_anything_else(self, bench: Bench, error: LauncherError) -> None:
        """The outcome has the advice, since somebody must act."""
        bench.launcher.fail(error)
        intent = bench.ask()
        bench.worker.step()
        settled = bench.now_is(intent)
        assert (settled.status, settled.code) == (Status.ERROR, error.code)
        assert error.advice() in (settled.detail or "")

    def test_again_follows_the_error_and_no_list_of_kinds(self, bench: Bench) -> None:
        """A new kind of error says it itself."""

        class NewError(LauncherError):
            code = "new"
            retryable = True

        bench.launcher.fail(NewError("later"))
        intent = bench.ask()
        bench.worker.step()
        assert bench.now_is(intent).status is Status.QUEUED

    def test_again_has_an_end_but_for_the_engine_and_restorations(self, bench: Bench) -> None:
        """After an hour and a quarter of an outage the poll takes over.

        Nobody else watches the engine, and nobody else brings a workload back.
        """
        bench.launcher.fail(RegistryUnavailableError("down"))
        asked = bench.ask()
        bench.ask(Action.RESTORE)
        for _ in range(200):
            bench.clock.sleep(bench.worker.step())
            bench.clock.sleep(60)
        assert bench.now_is(asked).status is Status.ERROR
        assert bench.now_is(asked).attempts == 20
        [restore] = bench.journal.intents.waiting("web")
        assert restore.attempts > 20

    def test_every_error_says_whether(self) -> None:
        """The default is no: an error that is tried for ever must have been meant so."""
        kinds = [
            kind
            for kind in vars(errors).values()
            if isinstance(kind, type) and issubclass(kind, LauncherError)
        ]
        assert not LauncherError.retryable
        assert ConfigurationError in kinds
        assert {kind.__name__ for kind in kinds if kind.retryable} == {
            "CommandTimeoutError",
            "EngineUnavailableError",
            "JournalDamagedError",
            "NotJudgedError",
            "NotRipeError",
            "NotSignedYetError",
            "NotTogetherYetError",
            "ProjectBusyError",
            "PullError",
            "QueueFullError",
            "RateLimitedError",
            "RegistryUnavailableError",
            "ReloadUnfinishedError",
            "StartRefusedError",
            "TrackError",
        }


class TestAFault:
    def test_settles_the_intent_and_frees_its_project(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A bug in the launcher must not leave a project stuck until somebody restarts it."""
        bench.launcher.fail(ZeroDivisionError("oops"))
        intent = bench.ask()
        with caplog.at_level(logging.ERROR):
            assert bench.worker.step() == 0.0
        settled = bench.now_is(intent)
        assert (settled.status, settled.code) == (Status.ERROR, "fault")
        assert "oops" in (settled.detail or "")
        assert "ZeroDivisionError" in caplog.text
        bench.launcher.answer = lambda: DONE
        again = bench.ask()
        bench.worker.step()
        assert bench.now_is(again).status is Status.SUCCESS

    def test_is_followed_by_a_restoration(self, bench: Bench) -> None:
        """It may have come between the old container and the new one."""
        bench.launcher.fail(ZeroDivisionError("oops"))
        bench.ask()
        bench.worker.step()
        [restore] = bench.journal.intents.waiting("web")
        assert restore.wish.action is Action.RESTORE

    def test_a_workload_that_nobody_knows_is_one(self, bench: Bench) -> None:
        """The journal's lanes and the configuration are made from the same; if not, say so."""
        intent = bench.ask(workload="api")
        bench.worker.step()
        assert bench.now_is(intent).code == "fault"


class TestABrokenJournal:
    @pytest.mark.parametrize("when", ["launching", "settling", "postponing"])
    def test_keeps_the_intent_with_the_worker(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        """It is claimed in the journal, so nobody else would ever take it again."""

        def full(*_: object, **__: object) -> None:
            raise JournalError("disk full")

        if when == "launching":
            bench.launcher.fail(JournalError("disk full"))
        elif when == "settling":
            monkeypatch.setattr(bench.journal.intents, "settle", full)
        else:
            bench.launcher.fail(RegistryUnavailableError("down"))
            monkeypatch.setattr(bench.journal.intents, "postpone", full)
        intent = bench.ask()
        for _ in range(2):
            with pytest.raises(JournalError):
                bench.worker.step()
            assert bench.now_is(intent).status is Status.IN_PROGRESS
        monkeypatch.undo()
        bench.launcher.answer = lambda: DONE
        assert bench.worker.step() == 0.0
        assert bench.now_is(intent).status is Status.SUCCESS

    def test_while_claiming_loses_nothing(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The claim was not committed."""
        intent = bench.ask()

        def full(*_: object) -> None:
            raise JournalError("disk full")

        monkeypatch.setattr(bench.journal.intents, "claim", full)
        with pytest.raises(JournalError):
            bench.worker.step()
        monkeypatch.undo()
        bench.worker.step()
        assert bench.now_is(intent).status is Status.SUCCESS

    def test_in_the_middle_of_a_deployment_ends_in_the_promised_state(self, tmp_path: Path) -> None:
        """At every write of the journal: what was switched is finished when there is room."""
        at = 0
        while True:
            at += 1
            world = World(tmp_path / str(at))
            world.push(A)
            world.work()
            world.host.unhealthy.add(B)
            world.push(B)
            world.fuse.arm(at, lambda: JournalError("disk full"), only="before")
            while world.waiting():
                try:
                    world.clock.sleep(world.step())
                except JournalError:
                    world.clock.sleep(5)  # as the loop does
            blown = world.fuse.blown
            assert world.host.runs() == world.current() == A
            assert world.journal.deployments.interrupted("web") == []
            world.close()
            if not blown:
                break
        assert at > 10


class TestWaiting:
    def test_is_until_the_next_postponed_intent(self, bench: Bench) -> None:
        """Neither late nor by looking all the time."""
        bench.launcher.fail(RegistryUnavailableError("down", retry_after=3))
        bench.ask()
        bench.worker.step()
        assert bench.worker.step() == pytest.approx(3)
        bench.clock.sleep(2.99)
        assert bench.worker.step() == pytest.approx(0.05)

    def test_is_short_when_there_is_nothing(self, bench: Bench) -> None:
        """What another worker postpones wakes nobody."""
        assert bench.worker.step() == 5.0

    def test_does_not_spin_on_what_a_pause_or_a_lane_holds(self, bench: Bench) -> None:
        """It was due long ago; a resume or a free lane wakes the workers."""
        wish = Wish("web", Action.CHECK, Origin(Trust.POLL, "poll"), hint=True)
        bench.journal.workloads.pause("web", True)
        bench.journal.intents.enqueue([wish], bench.clock.now(), bench.clock.now())
        bench.clock.sleep(100)
        assert bench.worker.step() == 5.0


def test_projects_are_worked_on_at_the_same_time(tmp_path: Path) -> None:
    """A slow workload must not hold up the others: one worker object serves several threads."""
    both = threading.Barrier(2, timeout=30)
    bench = Bench(tmp_path)
    bench.worker = Worker(
        bench.journal.intents, bench.launcher, {"web": WEB, "api": WEB}, bench.clock
    )

    def answer() -> Outcome:
        both.wait()  # passes only when both are in here
        return DONE

    bench.launcher.answer = answer
    intents = [bench.ask(), bench.ask(workload="api")]
    threads = [threading.Thread(target=bench.worker.step) for _ in intents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [bench.now_is(intent).status for intent in intents] == [Status.SUCCESS] * 2
    bench.journal.close()


def test_a_full_queue_does_not_keep_a_workload_down(tmp_path: Path) -> None:
    """The restoration after a failed rollback is taken in any case."""
    world = World(tmp_path)
    world.journal.intents._limit = 0
    with pytest.raises(QueueFullError):
        world.ask(Action.CHECK)
    world.ask(Action.RESTORE, origin=POLL)
    assert world.waiting() == [(Action.RESTORE, Trust.POLL)]
    world.close()
