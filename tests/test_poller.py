import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import FakeRegistry, digest
from tests.world import WEB, A, B, C, World
from webhook_launcher.core.errors import (
    RateLimitedError,
    RegistryDeniedError,
    RegistryUnavailableError,
    TrackError,
)
from webhook_launcher.core.model import Action, Trust
from webhook_launcher.core.reference import Digest, Reference
from webhook_launcher.core.series import SemverTags
from webhook_launcher.core.versions import parse_range
from webhook_launcher.core.workload import (
    ComposeProject,
    Hooks,
    PollSettings,
    Track,
    TrackKind,
    Workload,
)

CHECK = (Action.CHECK, Trust.POLL)
RESTORE = (Action.RESTORE, Trust.POLL)


def workload(name: str, registry: str = "registry.test") -> Workload:
    """Another workload, with a project of its own."""
    return replace(
        WEB,
        name=name,
        repository=replace(WEB.repository, registry=registry, path=f"acme/{name}"),
        project=ComposeProject(name, Path("/srv") / name),
    )


API, FAR = workload("api"), workload("far", "elsewhere.test")


@pytest.fixture
def three(tmp_path: Path) -> Iterator[World]:
    """`web` and `api` of one registry, `far` of another; all deployed."""
    world = World(tmp_path, WEB, API, FAR)
    for name in world.workloads:
        world.push(A, name)
    world.work()
    yield world
    world.close()


def deployed(world: World) -> World:
    """`web` runs A."""
    world.push(A)
    world.work()
    return world


class TestAtStart:
    def test_every_workload_is_looked_at(self, three: World) -> None:
        """Whatever was pushed while the launcher was down is found at once."""
        three.restart()
        for name in three.workloads:
            three.tag(B, name)
        three.look()
        assert [three.waiting(name) for name in three.workloads] == [[CHECK]] * 3
        assert three.woken == 3
        three.work()
        assert three.host.runs("far") == B

    def test_also_when_the_poll_is_off(self, world: World) -> None:
        """`every: off` turns off the polling, not the look after a pause of ours; once."""
        world.workloads["web"] = replace(WEB, poll=PollSettings(every=None))
        world.restart()
        world.tag(A)
        wait = world.look()
        assert world.waiting() == [CHECK]
        assert 0 < wait < 1_000_000, "a thread cannot wait for ever"
        world.work()
        world.tag(B)
        world.clock.sleep(1_000_000)
        world.look()
        assert world.waiting() == []


class TestAMovedTag:
    def test_leads_to_one_look_that_deploys_it(self, world: World) -> None:
        """The fallback works with no webhook at all."""
        deployed(world).tag(B)
        world.poll()
        world.poll()
        assert world.waiting() == [CHECK]
        world.work()
        assert world.host.runs() == B
        assert world.history()[-1].origin.reason == "the tracked reference moved"

    def test_that_did_not_move_leads_to_nothing(self, world: World) -> None:
        """And the status says that somebody looked."""
        deployed(world)
        world.clock.sleep(100)
        world.poll()
        assert world.waiting() == []
        assert world.state().check_result == "nothing moved"
        assert world.state().checked_at == world.clock.now()
        assert world.woken == 0

    def test_is_asked_for_with_the_cheap_request(self, world: World) -> None:
        """A HEAD, which Docker Hub does not count, and one per look."""
        deployed(world)
        world.registry.asked.clear()
        world.poll()
        assert world.registry.asked == ["registry.test/acme/web:stable"]

    def test_waits_while_a_deployment_goes_on(self, world: World) -> None:
        """It is being dealt with; the next look sees the result."""
        deployed(world).tag(B)
        world.deploy(C)
        world.registry.asked.clear()
        world.poll()
        assert world.waiting() == [(Action.DEPLOY, Trust.SIGNED)]
        assert world.registry.asked == []

    def test_is_found_while_the_current_release_is_beyond_repair(self, world: World) -> None:
        """The newer image may be what mends it, and restorations go on for ever."""
        deployed(world)
        world.host.unhealthy |= {A, B}
        world.push(B)
        world.work_now()
        assert world.waiting() == [(Action.CHECK, Trust.SIGNED), RESTORE]
        world.tag(C)
        world.poll()
        world.work()
        assert world.host.runs() == C

    def test_of_a_command_may_name_the_digest_itself(self, world: World) -> None:
        """Then no registry has to be asked."""
        world.workloads["web"] = replace(WEB, track=Track(TrackKind.COMMAND, argv=("latest",)))
        world.restart()
        assert WEB.tracked is not None
        world.tracker.named["web"] = WEB.tracked.at(A)
        world.poll()
        assert world.waiting() == [CHECK]
        assert world.registry.asked == []

    def test_of_nothing_is_nothing(self, world: World) -> None:
        """`track: none`: only signed events and operators move it."""
        world.workloads["web"] = replace(WEB, track=Track(TrackKind.NONE))
        world.restart()
        world.poll()
        assert world.waiting() == []


class TestASeries:
    """A workload that follows `^1`; its tracker names the newest tag of the list."""

    @pytest.fixture
    def ranged(self, world: World) -> World:
        """1.1.0 runs; 1.2.0 was pushed, and nobody said so."""
        series = SemverTags(parse_range("^1"))
        world.workloads["web"] = replace(WEB, track=Track(TrackKind.SEMVER, series=series))
        world.restart()
        self.release(world, "1.1.0", A)
        world.poll()
        world.work()
        self.release(world, "1.2.0", B)
        return world

    @staticmethod
    def release(world: World, version: str, pushed: Digest) -> None:
        """Push a tag that is then the newest."""
        world.tracker.named["web"] = Reference(WEB.repository, version)
        world.registry.push(world.tracker.named["web"], pushed)

    def test_is_followed_to_a_new_tag(self, ranged: World) -> None:
        """No tag moved: there is another one."""
        ranged.poll()
        assert ranged.waiting() == [CHECK]
        ranged.work()
        assert ranged.host.runs() == B
        state = ranged.state()
        assert str(state.found) == f"registry.test/acme/web:1.2.0@{B}"
        ranged.poll()
        assert (ranged.waiting(), ranged.state().check_result) == ([], "nothing moved")

    def test_does_not_go_back_when_its_newest_tag_is_gone(self, ranged: World) -> None:
        """Deleted, or a mirror that is behind: an operator may order it, a list may not."""
        ranged.poll()
        ranged.work()
        ranged.tracker.named["web"] = Reference(WEB.repository, "1.1.0")
        ranged.poll()
        assert ranged.waiting() == []
        ranged.ask(Action.CHECK, Reference(WEB.repository, "1.1.0"), hint=True)
        ranged.work()
        assert ranged.host.runs() == B

    def test_goes_on_after_an_operators_rollback_with_what_is_newer_still(
        self, ranged: World
    ) -> None:
        """And not before: the poll does not undo a rollback."""
        ranged.poll()
        ranged.work()
        ranged.ask(Action.ROLLBACK)
        ranged.work()
        ranged.poll()
        assert (ranged.waiting(), ranged.host.runs()) == ([], A)
        self.release(ranged, "1.3.0", C)
        ranged.poll()
        ranged.work()
        assert ranged.host.runs() == C

    def test_of_a_registry_in_trouble_is_left_alone(self, ranged: World) -> None:
        """A list costs more requests than a look at a tag."""
        ranged.tracker.broken["web"] = RateLimitedError("429", retry_after=600)
        ranged.poll()
        ranged.tracker.broken.clear()
        ranged.poll()
        said = ranged.state().check_result
        assert said is not None
        assert "not asked again for 600 s" in said
        ranged.clock.sleep(600)
        ranged.poll()
        assert ranged.waiting() == [CHECK]


class TestWhatCameToNothing:
    def test_is_asked_for_more_and_more_seldom(self, world: World) -> None:
        """A `before` hook that fails may be a backup: not once a look, for days."""
        deployed(self._with_a_hook(world))
        world.hooks.failing.add("before")
        world.tag(B)
        ran = []
        for look in range(16):
            before = len(world.hooks.ran)
            self._look(world)
            if len(world.hooks.ran) > before:
                ran.append(look)
        assert ran == [0, 1, 3, 7, 11, 15]  # at least once an hour, with a look every 15 minutes

    def test_is_forgotten_when_the_tag_moves_on(self, world: World) -> None:
        """The newer image is looked at at once."""
        deployed(self._with_a_hook(world))
        world.hooks.failing.add("before")
        world.tag(B)
        for _ in range(4):
            self._look(world)
        world.hooks.failing.clear()
        world.tag(C)
        self._look(world)
        assert world.host.runs() == C

    def test_is_tried_again_by_a_delivery_at_once(self, world: World) -> None:
        """Who pushes again has perhaps mended it, and wants to see."""
        deployed(self._with_a_hook(world))
        world.hooks.failing.add("before")
        world.tag(B)
        for _ in range(4):
            self._look(world)
        world.hooks.failing.clear()
        world.push(B)
        world.work()
        assert world.host.runs() == B

    def _with_a_hook(self, world: World) -> World:
        world.workloads["web"] = replace(WEB, hooks=Hooks(before=(("backup",),)))
        world.restart()
        return world

    def _look(self, world: World) -> None:
        world.poll()
        world.work()
        world.clock.sleep(900)


class TestDrift:
    def test_a_removed_container_is_brought_back(self, world: World) -> None:
        """Nobody says so: `docker rm` sends no webhook."""
        deployed(world).host.containers_of.clear()
        world.poll()
        assert world.waiting() == [RESTORE]
        world.work()
        assert world.host.runs() == A

    def test_another_image_is_replaced(self, world: World) -> None:
        """Somebody ran `compose up` with a file of their own: exactly the admitted image runs."""
        deployed(world).host.run("web", "app", f"{WEB.repository}@{digest('X')}")
        world.poll()
        world.work()
        assert world.host.runs() == A

    def test_a_stopped_container_is_started(self, world: World) -> None:
        """A container that does not run is no release that runs."""
        deployed(world)
        stopped = replace(world.host.containers_of["web", "app"], running=False, status="exited")
        world.host.containers_of["web", "app"] = stopped
        world.poll()
        world.work()
        assert world.host.containers_of["web", "app"].running

    def test_is_mended_while_the_registry_is_down(self, world: World) -> None:
        """The image is here: an outage elsewhere is no reason to be down here."""
        deployed(world).host.containers_of.clear()
        world.registry.down = lambda: RegistryUnavailableError("down")
        world.poll()
        world.work()
        assert world.host.runs() == A

    def test_is_mended_while_a_look_waits_for_the_registry(self, world: World) -> None:
        """That may take an hour and more, and what should run needs no registry."""
        deployed(world)
        world.registry.down = lambda: RegistryUnavailableError("down")
        world.push(B)
        world.work_now()
        world.host.containers_of.clear()
        world.poll()
        world.work(seconds=5)
        assert world.host.runs() == A

    def test_is_not_guessed_while_the_engine_is_away(self, world: World) -> None:
        """Nothing is known then; the engine's own restart policy comes first."""
        deployed(world).host.away = True
        world.poll()
        assert world.waiting() == []

    def test_mended_by_hand_in_the_meantime_is_left_alone(self, world: World) -> None:
        """The operator was faster than the queue."""
        deployed(world)
        before = dict(world.host.containers_of)
        world.host.containers_of.clear()
        world.poll()
        world.host.containers_of.update(before)
        world.work()
        assert world.host.started == [A]


class TestARegistryInTrouble:
    @pytest.mark.parametrize(
        ("error", "closed"),
        [
            (RateLimitedError("429", retry_after=7200), 7200),
            (RateLimitedError("429", retry_after=1), 30),
            (RateLimitedError("429"), 30),
            (RegistryUnavailableError("refused"), 30),
        ],
    )
    def test_is_left_alone_by_all_its_workloads(
        self, three: World, error: RegistryUnavailableError, closed: float
    ) -> None:
        """For as long as it asked for, or the back-off: a thousand workloads must not storm it."""

        def down() -> RegistryUnavailableError:
            return error

        three.registry.down = down
        three.registry.asked.clear()
        three.poll()
        assert three.registry.asked == [
            "registry.test/acme/web:stable",
            "elsewhere.test/acme/far:stable",
        ]
        three.registry.down = None
        three.registry.asked.clear()
        three.clock.sleep(closed - 1)
        three.poll()
        assert three.registry.asked == []
        three.clock.sleep(1)
        three.poll()
        assert len(three.registry.asked) == 3

    def test_is_not_said_to_have_moved_nothing(self, three: World) -> None:
        """Nobody looked: the status must not claim that the newest image runs."""
        three.registry.down = lambda: RateLimitedError("429 from registry.test", retry_after=600)
        three.poll()
        assert three.state("web").check_result == "429 from registry.test"
        said = three.state("api").check_result
        assert said is not None
        assert "registry.test" in said
        assert "not asked again for 600 s" in said
        three.registry.down = None
        three.clock.sleep(600)
        three.poll()
        assert three.state("api").check_result == "nothing moved"

    def test_that_stays_silent_is_told_once(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not with every look of three days; and again when it happens again."""
        deployed(world).poll()
        for _ in range(2):
            world.registry.down = lambda: RegistryDeniedError("403")
            world.clock.sleep(86_000)
            world.poll()
            assert [r for r in caplog.records if r.msg == "stale"] == []
            world.clock.sleep(1_000)
            world.poll()
            world.poll()
            [told] = [r for r in caplog.records if r.msg == "stale"]
            assert told.__dict__["detail"].startswith("no look was answered for 24 h")
            world.registry.down = None
            world.poll()
            caplog.clear()

    def test_is_left_alone_for_longer_each_time_up_to_an_hour(self, world: World) -> None:
        """And for the first wait again after it was well."""
        deployed(world)
        world.registry.down = lambda: RegistryUnavailableError("down")
        waits = []
        for _ in range(9):
            world.registry.asked.clear()
            start = world.clock.passed
            while not world.registry.asked:
                world.poll()
                world.clock.sleep(5)
            waits.append(world.clock.passed - start)
        assert waits == [5, 30, 60, 120, 240, 480, 960, 1920, 3600]
        world.registry.down = None
        world.clock.sleep(3600)
        world.poll()
        world.registry.down = lambda: RegistryUnavailableError("down")
        world.poll()
        world.registry.asked.clear()
        world.clock.sleep(30)
        world.poll()
        assert world.registry.asked

    def test_that_only_denies_is_asked_again(self, three: World) -> None:
        """That is about one repository and nothing to wait for."""
        three.registry.down = lambda: RegistryDeniedError("403")
        three.registry.asked.clear()
        three.poll()
        assert len(three.registry.asked) == 3
        assert three.state("web").check_result == "403"


class TestTheInterval:
    @pytest.mark.parametrize(("random", "expected"), [(0.0, 720.0), (0.5, 900.0), (1.0, 1080.0)])
    def test_varies_within_the_jitter(self, world: World, random: float, expected: float) -> None:
        """Launchers that start together must not look together."""
        deployed(world).random = random
        assert world.look() == pytest.approx(expected)
        world.registry.asked.clear()
        world.clock.sleep(expected - 1)
        assert world.look() == pytest.approx(1)
        assert world.registry.asked == []
        world.clock.sleep(1)
        world.look()
        assert len(world.registry.asked) == 1

    def test_is_each_workloads_own(self, three: World) -> None:
        """The next look is the first that is due."""
        three.workloads["api"] = replace(API, poll=PollSettings(every=10.0, jitter=0.0))
        three.restart()
        assert three.look() == pytest.approx(10)
        three.registry.asked.clear()
        three.clock.sleep(10)
        three.look()
        assert three.registry.asked == ["registry.test/acme/api:stable"]


class TestOneThatFails:
    def test_a_track_command_is_reported_and_stops_no_other(self, three: World) -> None:
        """A user's script is the least reliable part there is."""
        three.tracker.broken["web"] = TrackError("track.command of 'web' exited with status 3")
        three.tag(B, "far")
        three.poll()
        assert three.state("web").check_result == "track.command of 'web' exited with status 3"
        assert three.waiting("far") == [CHECK]

    def test_a_fault_does_not_keep_the_others_from_being_looked_at(self, three: World) -> None:
        """The loop starts the step again: it must not begin with the same one for ever."""
        three.restart()
        three.tracker.broken["web"] = ZeroDivisionError("oops")
        three.tag(B, "far")
        with pytest.raises(ZeroDivisionError):
            three.look()
        three.look()
        assert three.waiting("far") == [CHECK]


def test_a_poll_without_workloads_waits(tmp_path: Path) -> None:
    """A configuration that only has sources yet is no fault."""
    world = World(tmp_path)
    world.workloads.clear()
    world.restart()
    assert world.look() > 1
    world.close()


class Gatekeeper:
    """A registry in which looks at one host hang until the test lets them go on."""

    def __init__(self, inner: FakeRegistry, hanging: str) -> None:
        self._inner = inner
        self._hanging = hanging
        self.entered, self.released = threading.Semaphore(0), threading.Event()
        self.inside = 0

    def head(self, reference: Reference) -> Digest:
        """Counts how many look at the hanging host at the same time."""
        if reference.repository.registry == self._hanging:
            self.inside += 1
            self.entered.release()
            assert self.released.wait(30)
            self.inside -= 1
        return self._inner.head(reference)


class TestSeveralThreads:
    @pytest.fixture
    def gate(self, three: World) -> Gatekeeper:
        """`web` and `api` are of the registry that hangs, `far` is not; all have moved."""
        gate = Gatekeeper(three.registry, "registry.test")
        three.restart()
        three.poller._registry = gate
        for name in three.workloads:
            three.tag(B, name)
        return gate

    def test_a_registry_that_hangs_holds_up_itself_and_one_thread(
        self, three: World, gate: Gatekeeper
    ) -> None:
        """A black hole takes 30 s a look; the others' images must not wait for it."""
        hung = threading.Thread(target=three.look)
        hung.start()
        assert gate.entered.acquire(timeout=10)
        wait = three.look()
        assert three.waiting("far") == [CHECK]
        assert gate.inside == 1, "its other workload does not wait in a second thread"
        assert wait > 0
        gate.released.set()
        hung.join(10)
        assert [three.waiting(name) for name in three.workloads] == [[CHECK]] * 3

    def test_a_thread_that_finds_all_taken_comes_back(self, three: World) -> None:
        """There may be more registries than hang, later."""
        three.poller._free.clear()
        assert 0 < three.poller.step() <= 5

    def test_a_stop_waits_for_one_look(self, three: World) -> None:
        """A thousand workloads are due at the start: a step is one of them."""
        three.restart()
        three.registry.asked.clear()
        assert three.poller.step() == 0
        assert len(three.registry.asked) == 1


def test_a_look_that_fails_in_an_unforeseen_way_is_not_repeated_at_once(three: World) -> None:
    """Nor does it take its registry out of the round."""
    three.restart()
    three.tracker.broken["web"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        three.look()
    three.registry.asked.clear()
    three.look()
    assert sorted(three.registry.asked) == [
        "elsewhere.test/acme/far:stable",
        "registry.test/acme/api:stable",
    ]
