import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import (
    NOW,
    OPERATOR,
    POLL,
    SIGNED,
    A,
    B,
    ask,
    attempt,
    check,
    deploy,
    later,
    look,
    now_is,
    restore,
)
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.errors import QueueFullError
from webhook_launcher.core.model import Action, Intent, Status, Wish
from webhook_launcher.core.reference import parse_reference


def claim(journal: Journal, seconds: float = 0) -> Intent:
    """Claim what must be there."""
    found = journal.intents.claim(later(seconds))
    assert found is not None
    return found


class TestNewestWins:
    def test_there_is_one_pending_look_for_a_workload(self, journal: Journal) -> None:
        """The tag is resolved when it is claimed: a thousand pushes are one look."""
        looks = [ask(journal, look()) for _ in range(20)]
        assert journal.intents.waiting("web") == [looks[-1]]
        replaced = now_is(journal, looks[0])
        assert (replaced.status, replaced.code) == (Status.INACTIVE, "superseded")
        assert replaced.detail == f"superseded by {looks[1].id}"

    def test_a_look_of_less_trust_stands_beside_one_of_more(self, journal: Journal) -> None:
        """A policy may admit what the one asks for, and refuse the other's."""
        signed, token = ask(journal, look(origin=SIGNED)), ask(journal, look())
        polled = [ask(journal, look(origin=POLL)) for _ in range(3)][-1]
        assert journal.intents.waiting("web") == [signed, token, polled]
        newest = ask(journal, look(origin=SIGNED))
        assert journal.intents.waiting("web") == [newest]

    @pytest.mark.parametrize("explicit", [deploy(), deploy(origin=OPERATOR), check()])
    def test_a_look_never_cancels_an_explicit_wish(self, journal: Journal, explicit: Wish) -> None:
        """Who knows a URL token may cause looks, and must not undo what was asked for signed."""
        asked = ask(journal, explicit)
        looked = ask(journal, look())
        assert journal.intents.waiting("web") == [asked, looked]

    @pytest.mark.parametrize(
        "explicit", [deploy(), check(), Wish("web", Action.ROLLBACK, OPERATOR)]
    )
    def test_an_explicit_wish_replaces_looks_and_explicit_wishes(
        self, journal: Journal, explicit: Wish
    ) -> None:
        """It is the newest thing that somebody wants."""
        older = [ask(journal, deploy(named=B)), ask(journal, look())]
        newest = ask(journal, explicit)
        assert journal.intents.waiting("web") == [newest]
        assert {now_is(journal, one).status for one in older} == {Status.INACTIVE}

    def test_nothing_but_its_like_replaces_a_restoration(self, journal: Journal) -> None:
        """A newer wish may be refused, and then nobody else would bring the workload back."""
        repairs = [ask(journal, restore()) for _ in range(2)]
        asked = ask(journal, deploy())
        assert journal.intents.waiting("web") == [repairs[1], asked]

    def test_what_is_claimed_is_not_replaced(self, journal: Journal) -> None:
        """A deployment that runs is not stopped half-way."""
        ask(journal, look())
        claimed = claim(journal)
        newer = ask(journal, look())
        assert journal.intents.waiting("web") == [claimed, newer]

    def test_workloads_do_not_replace_each_other(self, journal: Journal) -> None:
        """Also when they share a project."""
        ask(journal, look("web"))
        ask(journal, deploy("jobs"))
        assert journal.intents.pending() == 2


class TestClaiming:
    def test_is_in_order_and_counts_attempts(self, journal: Journal) -> None:
        """First come, first served."""
        ask(journal, look("api"))
        ask(journal, look("web"))
        first, second = claim(journal), claim(journal)
        assert [first.workload, second.workload] == ["api", "web"]
        assert (first.attempts, first.status) == (1, Status.IN_PROGRESS)
        assert now_is(journal, first) == first
        assert journal.intents.claim(NOW) is None

    def test_a_project_is_deployed_by_one_at_a_time(self, journal: Journal) -> None:
        """Two `compose up` of different digests on one project left no container at all."""
        ask(journal, look("web"))
        ask(journal, look("jobs"))
        ask(journal, look("api"))
        web, api = claim(journal), claim(journal)
        assert (web.workload, api.workload) == ("web", "api")
        assert journal.intents.claim(NOW) is None
        journal.intents.settle(web, Status.SUCCESS)
        assert claim(journal).workload == "jobs"

    def test_holds_with_real_threads(self, state: Path) -> None:
        """Workers are threads; the journal alone keeps them apart."""
        lanes = {f"w{number}": f"p{number % 3}" for number in range(12)}
        journal = Journal(state, lanes)
        for name in lanes:
            ask(journal, look(name))
        busy: dict[str, threading.Lock] = {lane: threading.Lock() for lane in lanes.values()}
        faults: list[str] = []
        done: list[str] = []
        together = threading.Barrier(3, timeout=30)
        first = threading.local()

        def work() -> None:
            while journal.intents.pending():
                intent = journal.intents.claim(NOW)
                if intent is None:
                    continue
                lane = busy[lanes[intent.workload]]
                if not lane.acquire(blocking=False):
                    faults.append(intent.workload)
                    return
                if not hasattr(first, "passed"):
                    first.passed = True
                    together.wait()  # passes only when three projects are claimed at once
                done.append(intent.workload)
                lane.release()
                journal.intents.settle(intent, Status.SUCCESS)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        journal.close()
        assert faults == []
        assert sorted(done) == sorted(lanes)

    def test_a_look_waits_for_an_older_explicit_wish(self, journal: Journal) -> None:
        """Otherwise a postponed older wish would end up running after the newer push."""
        ask(journal, deploy())
        asked = claim(journal)
        journal.intents.postpone(asked, later(60), code="registry-unavailable", detail="down")
        looked = ask(journal, look())
        repair = ask(journal, restore())
        assert claim(journal).id == repair.id
        journal.intents.settle(repair, Status.SUCCESS)
        assert journal.intents.claim(later(59)) is None
        assert claim(journal, 60).id == asked.id
        journal.intents.settle(asked, Status.SUCCESS)
        assert claim(journal, 60).id == looked.id

    def test_is_in_order_whether_postponed_before_or_not(self, journal: Journal) -> None:
        """What was tried before and is due again does not go behind what came later."""
        asked = [ask(journal, look(name)) for name in ("api", "web", "blog")]
        first = claim(journal)
        journal.intents.postpone(first, later(10), code="registry-unavailable", detail="down")
        claimed = [claim(journal, 10).id for _ in asked]
        assert claimed == [one.id for one in asked]

    def test_costs_no_more_when_many_wait_for_a_registry(self, state: Path) -> None:
        """Deliveries wait for it: with 1,000 workloads postponed it took 35 ms.

        Told by the steps of SQLite's machine, which no load of the host changes.
        """
        lanes = {f"w{number}": f"w{number}" for number in range(2000)}
        journal = Journal(state, lanes)
        steps: list[int] = []

        def cost(waiting: int) -> int:
            wishes = [look(name) for name in list(lanes)[:waiting]]
            journal.intents.enqueue(wishes, NOW, later(60))
            steps.clear()
            journal._database._connection.set_progress_handler(lambda: steps.append(1), 10)
            assert journal.intents.claim(NOW) is None
            assert journal.intents.next_due(NOW) == later(60)
            journal._database._connection.set_progress_handler(None, 0)
            return len(steps)

        few = cost(20)
        assert few > 0
        assert cost(2000) <= few + 5
        journal.close()


class TestPausing:
    def test_holds_what_nobody_asked_for_by_name(self, journal: Journal) -> None:
        """The operator looks into something: nothing may change underneath."""
        journal.workloads.pause("web", True)
        ask(journal, restore())
        ask(journal, deploy())
        ask(journal, look("web", POLL))
        assert journal.intents.claim(NOW) is None
        journal.workloads.pause("web", False)
        assert claim(journal).wish.action is Action.RESTORE

    @pytest.mark.parametrize("wish", [deploy(origin=OPERATOR), check(origin=OPERATOR)])
    def test_does_not_hold_what_the_operator_asks_for(self, journal: Journal, wish: Wish) -> None:
        """The one who paused asks for it."""
        journal.workloads.pause("web", True)
        asked = ask(journal, wish)
        assert claim(journal).id == asked.id

    def test_does_not_hold_what_was_begun(self, journal: Journal) -> None:
        """Half a deployment is not a state to pause in."""
        looked = ask(journal, look())
        journal.workloads.pause("web", True)
        journal.deployments.begin(attempt())
        assert claim(journal).id == looked.id

    def test_holds_no_other_workload(self, journal: Journal) -> None:
        """Nor its neighbour in the same project."""
        journal.workloads.pause("web", True)
        ask(journal, look("web"))
        ask(journal, look("jobs"))
        assert claim(journal).workload == "jobs"


class TestPostponing:
    def test_gives_it_back_for_later(self, journal: Journal) -> None:
        """With what stopped it, for people who ask meanwhile."""
        ask(journal, look())
        claimed = claim(journal)
        journal.intents.postpone(claimed, later(60), code="registry-unavailable", detail="down")
        waiting = now_is(journal, claimed)
        assert (waiting.status, waiting.code, waiting.detail) == (
            Status.QUEUED,
            "registry-unavailable",
            "down",
        )
        assert journal.intents.claim(later(59.9)) is None
        assert claim(journal, 60).attempts == 2

    def test_what_is_newer_replaces_it(self, journal: Journal) -> None:
        """Trying the older one again could only undo the newer one."""
        ask(journal, look())
        claimed = claim(journal)
        newer = ask(journal, deploy())
        journal.intents.postpone(claimed, later(60), code="registry-unavailable", detail="down")
        assert now_is(journal, claimed).detail == f"superseded by {newer.id}"
        assert claim(journal, 5).id == newer.id

    @pytest.mark.parametrize("first", ["postponed", "heard"])
    def test_in_a_flood_the_pause_is_not_lost(self, journal: Journal, first: str) -> None:
        """Each delivery would else be an attempt on an engine that is down, as fast as they come.

        Whether the newer one came before or after the older one had failed. It waits 5 s at most:
        what was down may be up again.
        """
        ask(journal, look())
        claimed = claim(journal)
        if first == "heard":
            ask(journal, look())
        journal.intents.postpone(claimed, later(60), code="engine-unavailable", detail="down")
        for seconds in range(4):
            journal.intents.enqueue([look()], later(seconds * 0.5))
        assert journal.intents.claim(later(4.9)) is None
        assert claim(journal, 6.5).id == journal.intents.waiting("web")[0].id

    def test_a_pause_that_is_shorter_stays_short(self, journal: Journal) -> None:
        """The first retry comes after a second, whoever asks."""
        ask(journal, look())
        journal.intents.postpone(claim(journal), later(1), code="engine-unavailable", detail="x")
        newer = ask(journal, look())
        assert claim(journal, 1).id == newer.id

    def test_a_registry_that_asked_to_be_left_alone_is(self, journal: Journal) -> None:
        """It counts what comes before its time, and asks for more the next time."""
        ask(journal, look())
        journal.intents.postpone(claim(journal), later(60), code="rate-limited", detail="429")
        newer = ask(journal, look())
        assert journal.intents.claim(later(59)) is None
        assert claim(journal, 60).id == newer.id

    def test_an_operator_does_not_wait(self, journal: Journal) -> None:
        """Who orders it has seen that the engine is up again."""
        ask(journal, deploy())
        journal.intents.postpone(claim(journal), later(60), code="engine-unavailable", detail="x")
        ordered = ask(journal, deploy(origin=OPERATOR))
        assert claim(journal).id == ordered.id

    def test_an_explicit_wish_outlives_newer_looks(self, journal: Journal) -> None:
        """As when they are enqueued."""
        ask(journal, deploy())
        claimed = claim(journal)
        ask(journal, look())
        ask(journal, restore())
        journal.intents.postpone(claimed, later(60), code="x", detail="y")
        assert now_is(journal, claimed).status is Status.QUEUED

    def test_the_next_time_is_known(self, journal: Journal) -> None:
        """The worker sleeps until then; what is due and held by a lane is no reason to wake."""
        assert journal.intents.next_due(NOW) is None
        for workload, seconds in (("web", 60), ("api", 30)):
            ask(journal, look(workload))
            journal.intents.postpone(claim(journal), later(seconds), code="x", detail="y")
        assert journal.intents.next_due(NOW) == later(30)
        assert journal.intents.next_due(later(30)) == later(60)
        assert journal.intents.next_due(later(60)) is None

    def test_a_wish_may_begin_later(self, journal: Journal) -> None:
        """A restoration waits a little."""
        journal.intents.enqueue([restore()], NOW, later(15))
        assert journal.intents.claim(later(14)) is None
        assert claim(journal, 15).wish.action is Action.RESTORE


class TestARestart:
    def test_gives_claims_back_in_their_order(self, state: Path, journal: Journal) -> None:
        """Claim, then settle: what a killed launcher had begun is begun again, and first."""
        for workload in ("web", "api", "blog"):
            ask(journal, look(workload))
        claimed = [claim(journal), claim(journal)]
        journal.close()
        again = Journal(state, LANES)
        assert again.intents.claim(NOW) is not None  # only blog is free as yet
        assert [one.id for one in again.intents.release_claims()][:2] == [one.id for one in claimed]
        assert claim(again).id == claimed[0].id
        assert now_is(again, claimed[0]).attempts == 2
        again.close()

    def test_ends_what_is_no_longer_configured(self, state: Path, journal: Journal) -> None:
        """Nobody could ever claim it, and its sender asks what became of it."""
        waiting, begun = ask(journal, look("web")), ask(journal, look("api"))
        claim(journal)
        journal.close()
        again = Journal(state, {"blog": "blog"})
        again.intents.release_claims()
        again.intents.settle_unknown()
        for intent in (waiting, begun):
            ended = now_is(again, intent)
            assert (ended.status, ended.code) == (Status.INACTIVE, "unknown-workload")
        assert again.intents.pending() == 0
        again.close()

    def test_an_intent_is_read_as_it_was_written(self, journal: Journal) -> None:
        """Every field: evidence that changes on the way is none."""
        wish = deploy(named=A)
        origin = replace(wish.origin, delivery="x", reason="run 8812")
        wish = replace(wish, origin=origin, reference=parse_reference("ghcr.io/acme/web:v1"))
        asked = ask(journal, wish)
        assert now_is(journal, asked) == asked
        journal.intents.settle(asked, Status.FAILURE, code="c", detail="d", deployment="e")
        settled = now_is(journal, asked)
        assert (settled.code, settled.detail, settled.deployment) == ("c", "d", "e")
        assert settled.wish == wish


class TestTheLimit:
    def test_refuses_what_would_be_too_much_as_a_whole(self, state: Path) -> None:
        """One event about several workloads is taken or not."""
        journal = Journal(state, {f"w{number}": "p" for number in range(5)}, limit=3)
        ask(journal, look("w0"))
        with pytest.raises(QueueFullError):
            journal.intents.enqueue([look("w1"), look("w2"), look("w3")], NOW)
        assert journal.intents.pending() == 1
        journal.close()

    def test_takes_what_only_replaces_and_what_repairs(self, state: Path) -> None:
        """Newest wins also when the queue is full; and no flood may keep a workload down."""
        journal = Journal(state, {f"w{number}": f"p{number}" for number in range(5)}, limit=1)
        ask(journal, look("w0"))
        claimed = claim(journal)
        ask(journal, look("w1"))
        journal.intents.postpone(claimed, NOW, code="x", detail="y")
        assert journal.intents.pending() == 2
        newest = ask(journal, look("w1"))
        ask(journal, restore("w2"))
        assert journal.intents.waiting("w1") == [newest]
        journal.close()
