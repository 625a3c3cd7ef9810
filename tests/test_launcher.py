import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import KilledError, digest
from tests.world import OPERATOR, POLL, SIGNED, TOKEN, WEB, A, B, C, D, E, World
from webhook_launcher.core.container import Jobs
from webhook_launcher.core.errors import (
    ComposeError,
    EngineError,
    RateLimitedError,
    RegistryUnavailableError,
)
from webhook_launcher.core.model import Action, Origin, Status, Trust
from webhook_launcher.core.reference import parse_reference
from webhook_launcher.core.workload import ComposeProject, Hooks, Track, TrackKind, Workload


def running(world: World, *pushed: object) -> World:
    """A world in which these were pushed and deployed, one after the other."""
    for one in pushed:
        world.push(one)  # type: ignore[arg-type]
        world.work()
    return world


def with_workload(world: World, **changes: object) -> Workload:
    """Change the configuration of `web` and start again with it."""
    world.workloads["web"] = replace(world.workloads["web"], **changes)  # type: ignore[arg-type]
    world.restart()
    return world.workloads["web"]


class TestTheMainJob:
    def test_a_pushed_image_becomes_the_current_release(self, world: World) -> None:
        """The one job: when an image is pushed, run exactly that image."""
        intent = world.push(A)
        world.work()
        assert world.host.runs() == world.current() == A
        settled = world.intent(intent)
        assert (settled.status, settled.code) == (Status.SUCCESS, None)
        [deployment] = world.history()
        assert settled.deployment == deployment.id
        assert (deployment.status, deployment.image.digest) == (Status.SUCCESS, A)
        assert {"resolve", "pull", "up", "gate"} <= deployment.timings.keys()
        assert [verdict.policy for verdict in deployment.verdicts] == ["repository", "quarantine"]

    def test_the_release_before_becomes_the_previous_one(self, world: World) -> None:
        """It is what a rollback returns to, and its image is kept from pruning."""
        running(world, A, B)
        assert (world.current(), world.previous()) == (B, A)
        assert world.host.kept_tags["web:current"] == B
        assert world.host.kept_tags["web:previous"] == A

    def test_a_push_of_what_runs_changes_nothing(self, world: World) -> None:
        """Senders repeat themselves; a restart for nothing is an outage for nothing."""
        running(world, A)
        again = world.push(A)
        world.work()
        assert world.intent(again).code == "unchanged"
        assert world.host.started == [A]

    def test_many_pushes_lead_to_one_deployment_of_the_newest(self, world: World) -> None:
        """The tag is resolved when the intent is claimed: newest wins."""
        for pushed in (A, B, C, D):
            world.push(pushed)
        world.work()
        assert world.host.started == [D]

    def test_a_signed_push_of_a_digest_that_was_overtaken_deploys_the_newer(
        self, world: World
    ) -> None:
        """The event is about D, the tag is at E already: E is newer, D never runs."""
        running(world, A)
        world.tag(E)
        intent = world.hear(D)
        world.work()
        assert world.host.runs() == E
        assert world.intent(intent).status is Status.SUCCESS

    def test_a_first_look_adopts_what_ran_before_the_launcher_came(self, world: World) -> None:
        """The first deployment that fails must have something to return to."""
        world.host.run("web", "app", f"{WEB.repository}@{A}")
        world.host.unhealthy.add(B)
        world.push(B)
        world.work()
        assert world.host.runs() == world.current() == A
        assert world.host.kept_tags["web:current"] == A

    def test_a_quarantined_image_is_not_adopted(self, world: World) -> None:
        """Else a first deployment whose failure could not be cleared becomes a good release."""
        world.host.run("web", "app", f"{WEB.repository}@{A}")
        world.journal.workloads.quarantine("web", A, "bad", world.clock.now())
        world.push(B)
        world.work()
        assert (world.current(), world.previous()) == (B, None)

    def test_what_runs_and_could_not_come_back_is_not_replaced(self, world: World) -> None:
        """Else a broken first image would end a workload that served, with no way back."""
        world.host.run("web", "app", f"registry.example/other@{A}")
        intent = world.push(B)
        world.work()
        settled = world.intent(intent)
        assert (settled.status, settled.code) == (Status.ERROR, "not-adoptable")
        assert world.host.runs() == A
        assert "deploy W REFERENCE" in (settled.detail or "")
        assert world.history() == []

    def test_an_operator_may_order_to_replace_it(self, world: World) -> None:
        """Who gives the order by name knows what runs there."""
        world.host.run("web", "app", f"registry.example/other@{A}")
        intent = world.deploy(B, origin=OPERATOR)
        world.work()
        assert world.intent(intent).status is Status.SUCCESS
        assert world.host.runs() == world.current() == B

    def test_a_missing_replica_is_a_workload_that_does_not_run(self, world: World) -> None:
        """Half of the containers are not what the compose file asks for."""
        running(world, A)
        world.host.replicas_wanted = 2
        world.poll()
        assert world.waiting() == [(Action.RESTORE, Trust.POLL)]

    def test_two_workloads_of_one_project_leave_each_other_alone(self, tmp_path: Path) -> None:
        """They share files, override and lane, and nothing else."""
        api = replace(
            WEB,
            name="api",
            repository=replace(WEB.repository, path="acme/api"),
            project=ComposeProject("web", Path("/srv/web")),
        )
        world = World(tmp_path, WEB, api)
        world.host.services_of[str(api.repository)] = ("api",)
        world.host.unhealthy.add(D)
        world.push(A)
        world.push(B, "api")
        world.work()
        world.push(C)
        world.push(D, "api")
        world.work()
        assert (world.host.runs(service="app"), world.host.runs(service="api")) == (C, B)
        assert (world.current("web"), world.current("api")) == (C, B)
        world.close()


class TestAReleaseThatFails:
    def test_an_unhealthy_release_is_undone_and_quarantined(self, world: World) -> None:
        """Run the new one healthy, or keep running the old one."""
        running(world, A)
        world.host.unhealthy.add(B)
        intent = world.push(B)
        world.work()
        assert world.host.runs() == world.current() == A
        settled = world.intent(intent)
        assert (settled.status, settled.code) == (Status.FAILURE, "unhealthy")
        assert "is back and healthy" in (settled.detail or "")
        assert world.state().quarantined == {B}
        failed, rollback = world.history()[1:]
        assert (failed.image.digest, failed.restored, failed.output) == (B, True, "log")
        assert (rollback.image.digest, rollback.rollback, rollback.undoes) == (A, True, failed.id)
        assert world.waiting() == []

    def test_the_previous_release_survives_a_failed_one(self, world: World) -> None:
        """A rollback by the operator after it must not find the failed one."""
        running(world, A, B)
        world.host.unhealthy.add(C)
        running(world, C)
        assert (world.current(), world.previous()) == (B, A)

    def test_the_poll_does_not_try_a_failed_digest_again(self, world: World) -> None:
        """The tag still points at it; without memory every poll would be an outage."""
        running(world, A)
        world.host.unhealthy.add(B)
        running(world, B)
        world.poll()
        world.work()
        assert world.host.started == [A, B, A]
        assert world.waiting() == []

    def test_a_quarantined_digest_is_refused_for_everybody(self, world: World) -> None:
        """A digest that failed here is not tried again, whoever asks, until it is released."""
        running(world, A)
        world.host.unhealthy.add(B)
        running(world, B)
        asked = [world.deploy(B), world.deploy(B, origin=OPERATOR), world.push(B)]
        for intent in asked[:2]:
            assert world.intent(intent).code in (None, "superseded")
        world.deploy(B, origin=OPERATOR)
        world.work()
        assert world.host.started == [A, B, A]
        refused = world.ask(Action.DEPLOY, replace(WEB.tracked, digest=B))  # type: ignore[type-var]
        world.work()
        assert world.intent(refused).code == "policy-refused"
        assert world.intent(refused).status is Status.ERROR

    def test_a_tag_that_returns_to_a_quarantined_digest_is_refused_once(self, world: World) -> None:
        """The refusal is told; the poll does not repeat it for ever."""
        running(world, A)
        world.host.unhealthy.add(B)
        running(world, B, C)
        refused = world.push(B, origin=TOKEN)
        world.work()
        assert world.intent(refused).code == "policy-refused"
        world.poll()
        assert world.waiting() == []
        assert world.host.runs() == C

    def test_a_released_digest_is_deployed_by_the_next_poll(self, world: World) -> None:
        """The operator mended what it failed on: nobody has to push it again."""
        running(world, A)
        world.host.unhealthy.add(B)
        running(world, B)
        world.host.unhealthy.clear()
        assert world.journal.workloads.release_quarantine("web", B) == 1
        world.poll()
        world.work()
        assert world.host.runs() == B

    def test_what_nothing_started_of_is_not_quarantined_and_tried_again(self, world: World) -> None:
        """A full disk says nothing about an image: what is newest runs when there is room."""
        running(world, A)
        world.host.full = True
        intent = world.push(B)
        world.work_now()
        assert world.state().quarantined == frozenset()
        assert world.waiting() == [(Action.CHECK, Trust.SIGNED), (Action.RESTORE, Trust.POLL)]
        world.host.full = False
        world.work()
        assert world.host.runs() == world.current() == B
        assert world.intent(intent).status is Status.SUCCESS

    def test_what_a_host_in_trouble_could_not_start_is_tried_by_the_next_poll(
        self, world: World
    ) -> None:
        """The newest image that is admitted runs in the end: nobody pushes it a second time."""
        running(world, A)
        world.host.full = True
        world.push(B)
        world.work_now()
        world.host.full = False
        world.work()
        world.poll()
        world.work()
        assert world.host.runs() == B

    def test_an_interference_is_no_verdict_on_the_image(self, world: World) -> None:
        """Somebody removed a container meanwhile: the switch is tried once more."""
        running(world, A)
        world.host.refused_once.add(B)
        intent = world.push(B)
        world.work()
        assert world.intent(intent).status is Status.SUCCESS
        assert world.host.runs() == world.current() == B
        assert world.state().quarantined == frozenset()

    def test_a_container_that_is_never_started_again_is_made_anew(self, world: World) -> None:
        """A killed engine leaves such: starting it once more would be refused for ever."""
        running(world, A)
        world.host.containers_of.clear()
        world.host.broken.add(("web", "app"))
        intent = world.ask(Action.RESTORE, origin=POLL)
        world.work()
        assert world.host.runs() == A
        assert world.intent(intent).status is Status.SUCCESS
        assert len(world.history()) == 2

    def test_a_failed_rollback_is_tried_again_later_and_later(self, world: World) -> None:
        """Nothing is healthy now; nobody may have to notice for it to be mended."""
        running(world, A)
        world.host.unhealthy |= {A, B}
        intent = world.push(B)
        world.work_now()
        assert world.waiting() == [(Action.CHECK, Trust.SIGNED), (Action.RESTORE, Trust.POLL)]
        failed, rollback = world.history()[1:]
        assert (failed.restored, rollback.status) == (False, Status.FAILURE)
        world.journal.intents.settle(world.intent(intent), Status.ERROR)  # that one apart
        waits = []
        for _ in range(7):
            [restore] = world.journal.intents.waiting("web")
            assert restore.not_before is not None
            waits.append((restore.not_before - world.clock.now()).total_seconds())
            world.clock.sleep(waits[-1])
            world.work_now()
        assert waits == [15, 30, 60, 120, 240, 300, 300]
        world.host.unhealthy.remove(A)
        world.work()
        assert world.host.runs() == world.current() == A
        assert world.waiting() == []

    def test_is_not_blamed_when_its_control_fails_too(self, world: World) -> None:
        """The database is down, or a line of the compose file is wrong: both releases are ill.

        A quarantine would keep a good image away for ever. It is tried again, with growing pauses.
        """
        running(world, A)
        world.host.unhealthy |= {A, B}
        intent = world.push(B)
        world.work_now()
        failed = world.history()[1]
        assert (failed.status, failed.code) == (Status.ERROR, "not-judged")
        assert world.state().quarantined == frozenset()
        assert (world.intent(intent).status, world.intent(intent).code) == (
            Status.QUEUED,
            "not-judged",
        )
        world.clock.sleep(60)
        world.host.unhealthy.clear()
        world.work()
        assert world.host.runs() == world.current() == B
        assert world.intent(intent).status is Status.SUCCESS

    def test_is_not_blamed_for_another_actors_interference(self, world: World) -> None:
        """A container that a person stops during the gate says nothing about the image."""
        running(world, A)
        world.host.disturbed[B] = 3
        intent = world.push(B)
        world.work_now()
        assert world.host.runs() == world.current() == A
        assert world.history()[1].code == "not-judged"
        assert world.intent(intent).status is Status.QUEUED
        world.work()
        assert world.host.runs() == B
        assert world.state().quarantined == frozenset()

    def test_whose_container_cannot_be_created_is_answered_after_the_second_try(
        self, world: World
    ) -> None:
        """Nothing was touched, so there was no control and no verdict; but CI gets its answer.

        The disk may have been full: the poll asks again, and then the image runs.
        """
        running(world, A)
        world.host.unmade.add(B)
        intent = world.push(B)
        world.work_now()
        assert world.intent(intent).code == "start-refused"
        world.work()
        assert (world.intent(intent).status, world.intent(intent).code) == (
            Status.ERROR,
            "compose-failed",
        )
        assert world.host.started == [A]
        assert world.state().quarantined == frozenset()
        world.host.unmade.clear()
        world.poll()
        world.work()
        assert world.host.runs() == world.current() == B

    def test_is_not_blamed_when_compose_cannot_read_its_files(self, world: World) -> None:
        """A secrets tool writes the `env_file` anew just then; what runs is not touched."""
        running(world, A)
        before, pins = dict(world.host.containers_of), dict(world.host.pins_of)
        world.host.unreadable = True
        intent = world.push(B)
        world.work_now()
        assert (world.host.containers_of, world.host.pins_of) == (before, pins)
        [failed] = world.history()[1:]
        assert (failed.status, failed.code) == (Status.ERROR, "not-judged")
        assert (failed.restored, failed.switching) == (True, False)
        assert world.waiting() == [(Action.CHECK, Trust.SIGNED)]
        world.host.unreadable = False
        world.work()
        assert world.host.runs() == B
        assert world.intent(intent).status is Status.SUCCESS

    def test_is_tried_again_when_compose_cannot_read_the_project(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Someone edits the compose file at the moment of the push; without polls it is lost."""
        running(world, A)

        def unreadable(*_asked: object) -> tuple[str, ...]:
            raise ComposeError("yaml: line 3: mapping values are not allowed here")

        with monkeypatch.context() as broken:
            broken.setattr(world.host, "services", unreadable)
            intent = world.push(B)
            world.work_now()
        assert world.intent(intent).code == "not-judged"
        world.work()
        assert world.host.runs() == world.current() == B

    def test_the_current_release_that_fails_is_neither_quarantined_nor_rolled_back(
        self, world: World
    ) -> None:
        """It was good and is all there is: what broke it is outside, and may be mended."""
        running(world, A, B)
        world.host.containers_of.clear()
        world.host.unhealthy.add(B)
        intent = world.ask(Action.RESTORE, origin=POLL)
        world.work_now()
        assert world.state().quarantined == frozenset()
        assert (world.current(), world.previous()) == (B, A)
        assert world.host.started == [A, B, B]
        assert world.intent(intent).status is Status.QUEUED

    def test_a_first_deployment_that_fails_leaves_nothing(self, world: World) -> None:
        """There is nothing to return to, and half-started is worse than absent.

        There is no control either: without its database a good image fails, too.
        """
        world.host.unhealthy.add(A)
        intent = world.push(A)
        world.work_now()
        assert world.host.containers_of == {}
        assert "its containers were removed" in (world.intent(intent).detail or "")
        assert world.current() is None
        assert world.state().quarantined == frozenset()
        assert world.waiting() == [(Action.CHECK, Trust.SIGNED)]
        world.host.unhealthy.clear()
        world.work()
        assert world.host.runs() == world.current() == A

    def test_a_first_deployment_that_compose_refuses_leaves_what_was_there(
        self, world: World
    ) -> None:
        """It was ordered to be replaced, not to be removed while nothing can replace it."""
        world.host.run("web", "app", f"registry.example/other@{A}")
        world.host.unreadable = True
        world.deploy(B, origin=OPERATOR)
        world.work_now()
        assert world.host.runs() == A

    def test_a_first_deployment_leaves_a_container_that_had_stopped_before(
        self, world: World
    ) -> None:
        """A completed job holds no deployment back; its container is no less the user's."""
        world.host.services_of["registry.test/acme/web"] = ("app", "migrate")
        world.host.jobs_of = Jobs(optional=frozenset({"migrate"}))
        world.host.completing = {"migrate"}
        world.host.run("web", "migrate", f"registry.test/acme/web:old@{A}")
        world.host.unreadable = True
        world.push(B)
        world.work_now()
        assert world.host.runs(service="migrate") == A

    def test_a_first_deployment_that_cannot_be_cleared_is_not_adopted(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was never proved would be the release to return to, and the control of others."""

        def forbidden(_ids: object) -> None:
            raise EngineError("the engine refuses: forbidden")

        monkeypatch.setattr(world.host, "remove", forbidden)
        world.host.unhealthy.add(A)
        world.push(A)
        world.work()
        assert world.current() is None
        assert {one.code for one in world.history()} == {"not-judged"}

    def test_without_rollback_the_new_release_stays(self, world: World) -> None:
        """Who turned it off wants to look at the failed one: no poll may take it away."""
        with_workload(world, rollback=False)
        running(world, A)
        world.host.unhealthy.add(B)
        intent = world.push(B)
        world.work()
        world.poll()
        world.work()
        assert world.intent(intent).status is Status.FAILURE
        assert world.host.runs() == B
        assert (world.current(), world.previous()) == (B, A)
        world.ask(Action.ROLLBACK)
        world.work()
        assert world.host.runs() == A


class TestAReleaseWithoutAVerdict:
    def test_without_rollback_is_tried_again_too(self, world: World) -> None:
        """A person stopped its container twice; without polls nothing would ever start it."""
        with_workload(world, rollback=False)
        running(world, A)
        world.host.disturbed[B] = 2
        intent = world.push(B)
        world.work()
        assert world.intent(intent).status is Status.SUCCESS
        assert world.host.runs() == world.current() == B

    def test_is_tried_as_often_after_an_outage_of_the_engine(self, world: World) -> None:
        """The claims during the outage were no tries; a database starts later than its engine."""
        running(world, A)
        world.host.away = True
        world.push(B)
        world.work(seconds=1800)
        world.host.away = False
        world.host.unhealthy |= {A, B}
        world.work(seconds=301)
        world.host.unhealthy.clear()
        world.work()
        assert world.host.runs() == world.current() == B


class TestAReleaseThatComposeDoesNotStart:
    """It is undone at once, and blamed only when that happens twice in a row."""

    STARTS = 2  # an `up` is tried twice before its release is given up

    def test_is_tried_once_more_and_quarantined_then(self, world: World) -> None:
        """The same host ran the former release, twice: it is the new one's own fault."""
        running(world, A)
        world.host.refused.add(B)
        intent = world.push(B)
        world.work()
        assert world.host.runs() == world.current() == A
        assert world.state().quarantined == {B}
        tried = [(one.image.digest, one.status, one.code) for one in world.history()[1:]]
        assert tried == [
            (B, Status.ERROR, "compose-failed"),
            (A, Status.SUCCESS, None),
            (B, Status.FAILURE, "compose-failed"),
            (A, Status.SUCCESS, None),
        ]
        settled = world.intent(intent)
        assert (settled.status, settled.code) == (Status.FAILURE, "compose-failed")
        assert settled.deployment == world.history()[3].id
        world.poll()
        assert world.waiting() == []

    @pytest.mark.parametrize("origin", [TOKEN, SIGNED])
    def test_runs_when_the_host_was_in_the_way_for_a_moment(
        self, world: World, origin: Origin
    ) -> None:
        """A port that was taken for a second: the newest image runs, and its sender is told so."""
        running(world, A)
        world.host.stumbles = self.STARTS
        intent = world.push(B, origin=origin)
        world.work()
        assert world.host.runs() == world.current() == B
        assert world.state().quarantined == frozenset()
        assert world.intent(intent).status is Status.SUCCESS

    def test_leaves_who_asked_waiting_meanwhile(self, world: World) -> None:
        """CI that follows its deploy event must not be told an end that is none."""
        running(world, A)
        world.host.stumbles = self.STARTS
        intent = world.deploy(B)
        world.work_now()
        assert world.host.runs() == A
        waiting = world.intent(intent)
        assert (waiting.status, waiting.code) == (Status.QUEUED, "start-refused")
        assert waiting.not_before is not None
        assert (waiting.not_before - world.clock.now()).total_seconds() == 10
        world.work()
        assert world.intent(intent).status is Status.SUCCESS

    @pytest.mark.parametrize("stumbles", [3, 4, 5, 6, 7, 8])
    def test_is_no_reason_to_run_nothing(self, world: World, stumbles: int) -> None:
        """However long the host is in the way: one of the two runs when it is not, unblamed."""
        running(world, A)
        world.host.stumbles = stumbles
        world.push(B)
        world.work()
        assert world.host.runs() == world.current() == B
        assert world.state().quarantined == frozenset()

    def test_is_remembered_over_a_restart(self, world: World) -> None:
        """A launcher that is restarted every minute must not exchange containers for ever."""
        running(world, A)
        world.host.refused.add(B)
        world.push(B)
        world.work_now()
        world.restart()
        world.work()
        assert world.state().quarantined == {B}
        assert world.host.started == [A, A, A]

    def test_is_remembered_for_whoever_asks(self, world: World) -> None:
        """Anybody may send hints: each of them must not cost an exchange of containers."""
        running(world, A)
        world.host.refused.add(B)
        world.push(B, origin=TOKEN)
        world.work_now()
        for _ in range(5):
            world.hear(None, origin=TOKEN)
            world.work_now()
        world.work()
        assert world.state().quarantined == {B}
        assert world.host.started == [A, A, A]

    def test_long_ago_does_not_count(self, world: World) -> None:
        """Twice within a year is not twice in a row."""
        running(world, A)
        world.host.stumbles = self.STARTS
        world.deploy(B)
        world.work_now()
        world.deploy(A)  # takes its place
        world.work()
        world.clock.sleep(3601)
        world.host.stumbles = self.STARTS
        world.deploy(B)
        world.work()
        assert world.host.runs() == B
        assert world.state().quarantined == frozenset()

    def test_counts_anew_after_its_release_from_quarantine(self, world: World) -> None:
        """The operator has mended something: it gets as many tries as any other."""
        running(world, A)
        world.host.refused.add(B)
        running(world, B)
        world.host.refused.clear()
        world.journal.workloads.release_quarantine("web")
        world.host.stumbles = self.STARTS
        world.deploy(B)
        world.work()
        assert world.host.runs() == B

    def test_of_another_workload_does_not_count(self, tmp_path: Path) -> None:
        """What could not be started there may well start here."""
        other = replace(WEB, name="other", project=ComposeProject("other", Path("/srv/other")))
        world = World(tmp_path / "state", WEB, other)
        for name in ("web", "other"):
            world.push(A, name)
        world.work()
        for name in ("web", "other"):
            world.host.stumbles = self.STARTS
            world.push(B, name)
            world.work_now()
        assert world.state("other").quarantined == frozenset()
        world.work()
        assert world.host.runs("other") == B
        world.close()

    def test_in_a_restoration_is_tried_again_without_a_count(self, world: World) -> None:
        """It was good and is all there is."""
        running(world, A)
        world.host.containers_of.clear()
        world.host.stumbles = 5 * self.STARTS
        world.ask(Action.RESTORE, origin=POLL)
        world.work()
        assert world.host.runs() == A
        assert world.state().quarantined == frozenset()

    def test_and_is_killed_during_the_return_brings_the_former_one_back(self, world: World) -> None:
        """Nothing runs then: that must not wait for a registry that is down."""
        running(world, A)
        world.host.refused.add(B)
        world.push(B)
        world.fuse.arm(3, only="old one gone")
        with pytest.raises(KilledError):
            world.work()
        world.restart()
        world.host.full = True
        world.registry.down = lambda: RegistryUnavailableError("down")
        world.work_now()
        assert (Action.RESTORE, Trust.POLL) in world.waiting()
        world.host.full = False
        world.work(seconds=60)
        assert world.host.runs() == A
        world.registry.down = None
        world.work()
        assert world.state().quarantined == {B}
        assert world.host.runs() == world.current() == A


class TestWhatIsAskedForByName:
    def test_an_operators_rollback_swaps_current_and_previous(self, world: World) -> None:
        """And a second one swaps them back."""
        running(world, A, B)
        world.ask(Action.ROLLBACK)
        world.work()
        assert (world.host.runs(), world.current(), world.previous()) == (A, A, B)
        assert world.history()[-1].rollback

    def test_the_next_poll_does_not_undo_a_rollback(self, world: World) -> None:
        """The tag still points at what the operator fled from."""
        running(world, A, B)
        world.ask(Action.ROLLBACK)
        world.work()
        world.poll()
        world.work()
        assert world.host.runs() == A
        running(world, C)
        assert world.host.runs() == C

    def test_a_rollback_needs_no_registry(self, world: World) -> None:
        """It is wanted most when something is broken already."""
        running(world, A, B)
        world.registry.down = lambda: RegistryUnavailableError("down")
        world.ask(Action.ROLLBACK)
        world.work()
        assert world.host.runs() == A
        world.registry.down = None
        world.poll()
        world.work()
        assert world.host.runs() == A

    def test_a_rollback_without_a_previous_release_is_an_error(self, world: World) -> None:
        """And not tried again."""
        running(world, A)
        intent = world.ask(Action.ROLLBACK)
        world.work()
        assert world.intent(intent).code == "no-previous-release"

    def test_an_explicit_digest_is_not_undone_by_the_next_poll(self, world: World) -> None:
        """Also when the tag had moved, unseen, before it."""
        running(world, A)
        world.tag(B)
        world.deploy(C)
        world.work()
        world.poll()
        world.work()
        assert world.host.runs() == world.current() == C

    def test_a_tag_that_moves_after_an_explicit_digest_is_deployed(self, world: World) -> None:
        """Newest wins."""
        running(world, A)
        world.deploy(C)
        world.work()
        world.tag(D)
        world.poll()
        world.work()
        assert world.host.runs() == D

    def test_a_push_between_an_explicit_wish_and_its_deployment_is_newer(
        self, world: World
    ) -> None:
        """The tag was looked at after the push: a poll may not take it for news, an event is."""
        running(world, A)
        world.deploy(C)
        world.push(B, origin=TOKEN)
        world.work()
        assert world.host.runs() == B

    def test_an_explicit_digest_stays_after_a_crash_in_its_switch(self, world: World) -> None:
        """What the tag was then is remembered with the attempt, not with the running program."""
        world.tag(B)
        world.deploy(C)
        world.fuse.arm(1000)
        world.work_now()
        steps = list(world.fuse.steps)
        world.host.containers_of.clear()
        world.deploy(D)
        world.fuse.arm(steps.index("upped") + 1)
        with pytest.raises(KilledError):
            world.work()
        world.restart()
        world.work()
        world.poll()
        world.work()
        assert world.host.runs() == D

    def test_an_operator_gets_what_is_tracked_after_a_rollback(self, world: World) -> None:
        """`deploy W` without a reference asks for a result, and no hint may swallow it."""
        running(world, A, B)
        world.ask(Action.ROLLBACK)
        world.work()
        world.ask(Action.CHECK)
        world.push(B, origin=TOKEN)
        world.work()
        assert world.host.runs() == B

    def test_a_command_that_names_the_reference_is_not_undone_either(self, world: World) -> None:
        """What it names counts as dealt with, as a tag does."""
        with_workload(world, track=Track(TrackKind.COMMAND, argv=("latest",)))
        world.tracker.named["web"] = WEB.tracked  # type: ignore[assignment]
        world.registry.push(WEB.tracked, A)  # type: ignore[arg-type]
        world.deploy(C)
        world.work()
        world.poll()
        world.work()
        assert world.host.runs() == C

    def test_a_workload_that_follows_nothing_cannot_be_looked_at(self, world: World) -> None:
        """It is an operator's error, and no try in an hour will mend it."""
        with_workload(world, track=Track(TrackKind.NONE))
        intent = world.ask(Action.CHECK)
        world.work()
        assert world.intent(intent).status is Status.ERROR
        assert world.intent(intent).attempts == 1

    def test_what_is_wanted_is_what_was_asked_for_last(self, world: World) -> None:
        """A look that finds nothing new and a restoration do not change what people want."""
        running(world, A)
        world.deploy(C)
        world.work()
        world.ask(Action.CHECK, origin=POLL, hint=True)
        world.work()
        world.ask(Action.RESTORE, origin=POLL)
        world.work()
        wanted = world.state().wanted
        assert wanted is not None
        assert wanted.digest == C


class TestTheRegistry:
    def test_a_stale_answer_is_asked_again_for_a_while(self, world: World) -> None:
        """A push event may be faster than the registry's own caches."""
        running(world, A)
        world.registry.stale = [A, A, A]
        world.push(B)
        world.work()
        assert world.host.runs() == B
        assert world.clock.passed < 5

    def test_a_registry_that_stays_stale_is_said_to_be(self, world: World) -> None:
        """And not tried for ever: the event may be old, and the poll comes."""
        running(world, A)
        intent = world.hear(B)
        world.work()
        assert world.intent(intent).code == "digest-mismatch"
        assert world.host.started == [A]
        assert world.clock.passed < 10

    def test_a_stale_answer_is_known_although_something_else_runs(self, world: World) -> None:
        """After an explicit deployment what the tag said before is the tracked digest."""
        running(world, A)
        world.deploy(C)
        world.work()
        world.registry.stale = [A, A]
        world.push(B)
        world.work()
        assert world.host.runs() == B

    def test_a_missing_digest_is_an_error_and_touches_nothing(self, world: World) -> None:
        """Exactly that digest runs, or nothing changes."""
        running(world, A)
        world.fuse.arm(10_000)
        world.registry.tags = {"registry.test/acme/web:stable": A}
        intent = world.ask(Action.DEPLOY, replace(WEB.tracked, digest=B))  # type: ignore[type-var]
        world.work()
        assert world.intent(intent).code == "manifest-not-found"
        assert not {"pull", "pin", "up"} & set(world.fuse.steps)
        assert len(world.history()) == 1

    def test_a_registry_that_is_down_postpones_with_growing_waits(self, world: World) -> None:
        """The old release serves meanwhile; a registry that recovers is not stormed."""
        running(world, A)
        world.registry.down = lambda: RegistryUnavailableError("down")
        intent = world.push(B)
        waits = []
        for _ in range(11):
            world.work_now()
            waiting = world.intent(intent)
            assert waiting.status is Status.QUEUED
            assert waiting.code == "registry-unavailable"
            assert waiting.not_before is not None
            waits.append((waiting.not_before - world.clock.now()).total_seconds())
            world.clock.sleep(waits[-1])
        assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
        world.registry.down = None
        world.work()
        assert world.host.runs() == B

    @pytest.mark.parametrize(("asked", "waited"), [(90, 90), (0.5, 1), (86_400, 300)])
    def test_what_a_limiting_registry_asks_for_is_honoured_up_to_a_cap(
        self, world: World, asked: float, waited: float
    ) -> None:
        """It knows its limits; but no answer from outside may park a workload for a day."""
        world.registry.down = lambda: RateLimitedError("429", retry_after=asked)
        intent = world.push(A)
        world.work_now()
        until = world.intent(intent).not_before
        assert until is not None
        assert (until - world.clock.now()).total_seconds() == waited

    def test_an_image_that_cannot_be_pulled_leaves_the_old_one_alone(self, world: World) -> None:
        """Pull first: the old release is untouched until the new one is here."""
        running(world, A)
        world.host.unpullable.add(B)
        intent = world.push(B)
        world.work_now()
        assert world.host.runs() == A
        assert world.intent(intent).code == "pull-failed"
        assert world.history()[-1].status is Status.ERROR
        world.host.unpullable.clear()
        world.work()
        assert world.host.runs() == B


class TestHooks:
    def test_they_run_around_an_update_with_the_digest(self, world: World) -> None:
        """Before: a migration with the new image; after: telling somebody."""
        with_workload(world, hooks=Hooks(before=(("x",),), after=(("y",),)))
        running(world, A)
        assert world.hooks.ran == [f"before {A}", f"after {A}"]
        assert {"before", "after"} <= world.history()[0].timings.keys()

    def test_a_failing_before_hook_stops_the_deployment(self, world: World) -> None:
        """It is how a user says no."""
        with_workload(world, hooks=Hooks(before=(("x",),)))
        running(world, A)
        world.hooks.failing.add("before")
        intent = world.push(B)
        world.work()
        assert world.intent(intent).code == "hook-failed"
        assert world.host.started == [A]

    def test_a_failing_after_hook_is_told_and_undoes_nothing(self, world: World) -> None:
        """The release runs and is proved."""
        with_workload(world, hooks=Hooks(after=(("x",),)))
        world.hooks.failing.add("after")
        intent = world.push(A)
        world.work()
        assert world.intent(intent).status is Status.SUCCESS
        assert "hooks.after failed" in (world.intent(intent).detail or "")
        assert world.current() == A


class TestTheEngine:
    def test_an_engine_that_is_away_postpones_without_limit(self, world: World) -> None:
        """A machine may be without its engine for a day; the intent is not given up."""
        world.host.away = True
        intent = world.push(A)
        world.work(seconds=12_000)
        assert world.intent(intent).status is Status.QUEUED
        assert world.intent(intent).attempts > 40
        world.host.away = False
        world.work()
        assert world.host.runs() == A

    @pytest.mark.parametrize("bad", [False, True])
    def test_it_may_go_away_at_any_step(self, tmp_path: Path, bad: bool) -> None:
        """The attempt stays open, since nobody knows what runs, and is finished when it is back."""
        at = 0
        while True:
            at += 1
            world = running(World(tmp_path / str(at)), A)
            if bad:
                world.host.unhealthy.add(B)
            world.push(B)
            world.host.outage.arm(at, world.host.leave)
            world.work_now()
            gone = world.host.outage.blown
            away = world.host.away
            world.host.outage.disarm()
            world.host.away = False
            world.work()
            check_promise(world, A if bad else B)
            world.close()
            if not gone:
                break
            assert away
        assert at > 15


def check_promise(world: World, good: object) -> None:
    """The newest good release runs, and nothing is left open."""
    assert world.host.runs() == world.current() == good
    assert world.waiting() == []
    assert world.journal.deployments.interrupted("web") == []
    assert world.host.containers_of.keys() == {("web", "app")}
    assert world.host.leftovers == {}
    # A person's `docker compose up` with the override would run what it says.
    assert {parse_reference(pinned).digest for pinned in world.host.pins_of.values()} == {good}


def _healthy(world: World) -> object:
    world.push(B)
    return B


def _unhealthy(world: World) -> object:
    world.host.unhealthy.add(B)
    world.push(B)
    return A


def _refused_by_compose(world: World) -> object:
    world.host.refused.add(B)
    world.push(B)
    return A


def _not_created(world: World) -> object:
    running(world, A)
    world.host.unmade.add(B)
    world.push(B)
    return A


def _named(world: World) -> object:
    world.tag(C)
    world.deploy(B)
    return B


def _rolled_back(world: World) -> object:
    running(world, C)
    world.ask(Action.ROLLBACK)
    return A


def _removed_by_hand(world: World) -> object:
    world.host.containers_of.clear()
    world.ask(Action.RESTORE, origin=POLL)
    return A


STORIES = [
    _healthy,
    _unhealthy,
    _refused_by_compose,
    _not_created,
    _named,
    _rolled_back,
    _removed_by_hand,
]


class TestAKill:
    @pytest.mark.parametrize("story", STORIES)
    def test_at_any_step_ends_in_the_promised_state(
        self, tmp_path: Path, story: Callable[[World], object]
    ) -> None:
        """After a restart the newest wanted or the last good release runs, nothing left open.

        And nothing in quarantine was ever started: the host checks that.
        """
        at = 0
        killed = True
        while killed:
            at += 1
            world = running(World(tmp_path / str(at)), A)
            good = story(world)
            world.fuse.arm(at)
            killed = self._is_killed(world)
            world.restart()
            world.work()
            world.poll()
            world.work()
            check_promise(world, good)
            world.close()
        assert at > 20

    @pytest.mark.parametrize("story", [_healthy, _unhealthy, _refused_by_compose, _rolled_back])
    def test_a_second_one_during_the_recovery_does_not_matter(
        self, tmp_path: Path, story: Callable[[World], object]
    ) -> None:
        """A machine that loses power twice is no different.

        Every fifteenth pair of moments; `make kills` tries nine times as many.
        """
        world = running(World(tmp_path / "count"), A)
        story(world)
        world.fuse.arm(10_000)
        world.work()
        steps = len(world.fuse.steps)
        world.close()
        stride = 5 if os.environ.get("EVERY_KILL") else 15
        for first in range(4, steps, stride):
            for second in range(2, steps, stride):
                world = running(World(tmp_path / f"{first}-{second}"), A)
                good = story(world)
                world.fuse.arm(first)
                self._is_killed(world)
                world.restart()
                world.fuse.arm(second)
                self._is_killed(world)
                world.restart()
                world.work()
                check_promise(world, good)
                world.close()

    def test_before_the_outcome_is_recorded_does_not_repeat_a_rollback(self, world: World) -> None:
        """A rollback that is done twice is none."""
        running(world, A, B)
        intent = world.ask(Action.ROLLBACK)
        world.fuse.arm(10_000)
        self._kill_before_settling(world)
        world.restart()
        world.work()
        assert world.host.runs() == A
        assert world.intent(intent).status is Status.SUCCESS

    def test_before_the_outcome_is_recorded_does_not_change_it(self, world: World) -> None:
        """Who follows a delivery is told of the failure, not that its digest is refused."""
        running(world, A)
        world.host.unhealthy.add(B)
        intent = world.deploy(B)
        self._kill_before_settling(world)
        world.restart()
        world.work()
        settled = world.intent(intent)
        assert (settled.status, settled.code) == (Status.FAILURE, "unhealthy")
        assert settled.deployment == world.history()[1].id

    def test_during_the_return_is_still_a_failure_for_its_intent(self, world: World) -> None:
        """What comes back after a restart is the former release, not what was asked for."""
        running(world, A)
        world.host.unhealthy.add(B)
        intent = world.push(B)
        world.fuse.arm(10_000)
        world.work_now()
        again = [step for step, name in enumerate(world.fuse.steps, 1) if name == "up"][1]
        world.journal.workloads.release_quarantine("web")
        world.host.unhealthy = {C}
        intent = world.push(C)
        world.fuse.arm(again)
        assert self._is_killed(world)
        world.restart()
        world.work()
        assert world.intent(intent).status is Status.FAILURE
        failed, rollback = world.history()[-2:]
        assert (failed.image.digest, failed.restored) == (C, True)
        assert (rollback.undoes, rollback.status) == (failed.id, Status.SUCCESS)

    def _is_killed(self, world: World) -> bool:
        try:
            world.work()
        except KilledError:
            return True
        return False

    def _kill_before_settling(self, world: World) -> None:
        settle = world.journal.intents.settle

        def killed(*_: object, **__: object) -> None:
            raise KilledError

        world.journal.intents.settle = killed  # type: ignore[method-assign]
        with pytest.raises(KilledError):
            world.work()
        world.journal.intents.settle = settle  # type: ignore[method-assign]


class TestImagesOfFormerReleases:
    def test_go_after_a_success_but_for_the_current_and_the_previous(self, world: World) -> None:
        """Disks fill up with a release a day; a rollback must not need the registry."""
        running(world, A, B, C, D)
        assert world.host.pulled == {C, D}
        assert (world.current(), world.previous()) == (D, C)

    def test_are_as_many_as_configured(self, world: World) -> None:
        """`keep: 3` is the current, the previous, and one more."""
        world.workloads["web"] = replace(WEB, keep=3)
        world.restart()
        running(world, A, B, C, D)
        assert world.host.pulled == {B, C, D}

    def test_all_stay_if_nothing_is_to_be_removed(self, world: World) -> None:
        """`keep: all`."""
        world.workloads["web"] = replace(WEB, keep=None)
        world.restart()
        running(world, A, B, C, D)
        assert world.host.pulled == {A, B, C, D}

    def test_stay_while_nothing_succeeds(self, world: World) -> None:
        """A failure is no moment to throw anything away."""
        running(world, A, B)
        world.host.unhealthy.add(C)
        world.push(C)
        world.work()
        assert world.host.pulled == {A, B, C}
        world.push(D)
        world.work()
        assert world.host.pulled == {B, D}

    def test_of_before_a_rollback_stay_to_return_to(self, world: World) -> None:
        """The two change places; neither goes."""
        running(world, A, B, C)
        world.ask(Action.ROLLBACK)
        world.work()
        assert (world.current(), world.previous()) == (B, C)
        assert world.host.pulled == {B, C}

    def test_that_were_here_before_are_not_ours(self, world: World) -> None:
        """Somebody built or pulled it, and did not ask us to remove it."""
        world.host.pulled.add(A)
        running(world, A, B, C, D)
        assert world.host.pulled == {A, C, D}

    def test_that_cannot_be_removed_fail_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The release runs and is proved; the rest is housekeeping."""

        def refuse(*_: object) -> list[str]:
            raise EngineError("the engine refuses")

        monkeypatch.setattr(world.host, "remove_former", refuse)
        running(world, A, B, C, D)
        assert world.current() == D
        assert world.history()[-1].status is Status.SUCCESS


def test_an_origin_is_kept_with_every_deployment(world: World) -> None:
    """Who asked is part of the evidence."""
    origin = Origin(Trust.SIGNED, "ci", "d", "key-2026", "octocat", "run 1", world.clock.now())
    world.push(digest("X"), origin=origin)
    world.work()
    assert world.history()[0].origin == origin
