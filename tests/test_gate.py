"""The gate: what counts as healthy, when it gives up, and what it takes as proof."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from tests.clock import FakeClock
from webhook_launcher.core.container import Container, Healthcheck, ProbeResult
from webhook_launcher.core.errors import (
    EngineError,
    EngineUnavailableError,
    UnhealthyWorkloadError,
)
from webhook_launcher.core.model import Image
from webhook_launcher.core.reference import Digest, parse_reference
from webhook_launcher.core.workload import HealthSettings
from webhook_launcher.gate import Gate, prove

INDEX, MANIFEST, CONFIG, OTHER = (Digest("sha256:" + letter * 64) for letter in "abcd")
IMAGE = Image(parse_reference("ghcr.io/acme/web:stable"), INDEX, MANIFEST, CONFIG)
CHECK = Healthcheck(("/bin/check",), interval=30.0, timeout=5.0, start_period=10.0, retries=3)
DERIVED = HealthSettings()
OK, ILL = ProbeResult(True, "exit status 0:"), ProbeResult(False, "exit status 1: it is ill")


@dataclass
class FakeEngine:
    """Containers that a test edits, now or at a time; probes that it decides."""

    clock: FakeClock
    running: dict[str, Container] = field(default_factory=dict)
    probes: dict[str, Callable[[], ProbeResult]] = field(default_factory=dict)
    probed: list[tuple[str, float, float]] = field(default_factory=list)  # id, time, limit
    stopped: set[str] = field(default_factory=set)  # by somebody, or by an engine that is going
    log: str = "GET / 200\nboom\n"
    fault: EngineError | None = None
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def start(self, container_id: str = "1", **changes: object) -> Container:
        """A running container with a healthcheck, started just now."""
        container = Container(
            id=container_id,
            name=f"shop-web-{container_id}",
            service="web",
            number=1,
            image=CONFIG,
            image_ref=IMAGE.pinned,
            status="running",
            running=True,
            exit_code=0,
            oom_killed=False,
            restart_count=0,
            started_at=self.clock.now(),
            health="starting",
            healthcheck=CHECK,
        )
        self.running[container_id] = replace(container, **changes)  # type: ignore[arg-type]
        return self.running[container_id]

    def change(self, container_id: str = "1", **changes: object) -> None:
        """Something happens to a container."""
        changed = replace(self.running[container_id], **changes)  # type: ignore[arg-type]
        self.running[container_id] = changed

    def at(self, seconds: float, happening: Callable[[], None]) -> None:
        """Let something happen when that much time has passed."""
        self._later.append((self.clock.elapsed + seconds, happening))

    def containers(self, project: str, services: Sequence[str]) -> list[Container]:
        """What is there now."""
        if self.fault:
            raise self.fault
        assert project == "shop"
        due = [entry for entry in self._later if entry[0] <= self.clock.elapsed]
        self._later = [entry for entry in self._later if entry not in due]
        for _, happening in due:
            happening()
        return [found for found in self.running.values() if found.service in services]

    def probe(self, container: Container, limit: float) -> ProbeResult:
        """The healthcheck's result; success unless the test says otherwise."""
        self.probed.append((container.id, self.clock.elapsed, limit))
        return self.probes.get(container.id, lambda: OK)()

    def was_stopped(self, container_id: str) -> bool:
        """By somebody."""
        return container_id in self.stopped

    def logs(self, container_id: str) -> str:
        """The end of the log."""
        assert container_id in self.running
        return self.log


@pytest.fixture
def clock() -> FakeClock:
    """Time stands still until somebody sleeps."""
    return FakeClock()


@pytest.fixture
def engine(clock: FakeClock) -> FakeEngine:
    """No containers yet."""
    return FakeEngine(clock)


def wait(
    engine: FakeEngine, health: HealthSettings = DERIVED, services: Sequence[str] = ("web",)
) -> list[Container]:
    """Wait at the gate; the deployment began when the clock did."""
    gate = Gate(engine, engine.clock)
    return gate.wait("shop", services, IMAGE, health, engine.clock.start)


def refused(
    engine: FakeEngine, health: HealthSettings = DERIVED, services: Sequence[str] = ("web",)
) -> UnhealthyWorkloadError:
    """The gate's refusal."""
    with pytest.raises(UnhealthyWorkloadError) as raised:
        wait(engine, health, services)
    return raised.value


# ── with a healthcheck ───────────────────────────────────────────────────────────────────────


def test_one_success_of_the_healthcheck_is_healthy(engine: FakeEngine) -> None:
    """This is what makes a deployment take 1 s where the engine's interval is 30 s."""
    container = engine.start()
    assert wait(engine) == [container]
    assert engine.clock.elapsed == 0


def test_the_healthcheck_is_tried_again_within_a_tenth_of_a_second(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """The wait for a service that needs 0.8 s to start must end right after it."""
    engine.start()
    engine.probes["1"] = lambda: OK if clock.elapsed >= 0.8 else ILL
    wait(engine)
    assert 0.8 <= clock.elapsed <= 0.9


def test_every_replica_has_to_succeed(engine: FakeEngine, clock: FakeClock) -> None:
    """Compose itself checks only the first of several without a healthcheck."""
    engine.start("1")
    engine.start("2")
    engine.probes["2"] = lambda: OK if clock.elapsed >= 2 else ILL
    assert len(wait(engine)) == 2
    assert clock.elapsed >= 2


def test_a_replica_that_succeeded_is_not_asked_again(engine: FakeEngine, clock: FakeClock) -> None:
    """A healthcheck costs the workload something; one success per replica was agreed."""
    engine.start("1")
    engine.start("2")
    engine.probes["2"] = lambda: OK if clock.elapsed >= 1 else ILL
    wait(engine)
    assert [probed for probed, _, _ in engine.probed].count("1") == 1


def test_a_replica_that_succeeded_and_dies_meanwhile_fails(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """Its success was true when it was given; the state is looked at to the end."""
    engine.start("1")
    engine.start("2")
    engine.probes["2"] = lambda: OK if clock.elapsed >= 1 else ILL
    engine.at(0.5, lambda: engine.change("1", status="exited", running=False, exit_code=7))
    assert "shop-web-1 is exited, exit status 7" in str(refused(engine))
    assert clock.elapsed < 1


def test_a_healthcheck_that_never_succeeds_fails_at_its_own_deadline(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """start_period 10 + interval 30 x retries 3 + timeout 5: when the engine would give up."""
    engine.start()
    engine.probes["1"] = lambda: ILL
    error = refused(engine)
    assert "shop-web-1 is not healthy after 105 s: healthcheck: exit status 1" in str(error)
    assert clock.elapsed == pytest.approx(105, abs=0.1)


def test_a_configured_timeout_replaces_the_derived_one(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """The operator knows the service; half a minute per interval may be far too patient."""
    engine.start()
    engine.probes["1"] = lambda: ILL
    refused(engine, HealthSettings(timeout=4.0))
    assert clock.elapsed == pytest.approx(4, abs=0.1)


def test_the_most_patient_container_sets_the_deadline(engine: FakeEngine, clock: FakeClock) -> None:
    """Two services with healthchecks of their own: the slow one is allowed its time."""
    engine.start("1", healthcheck=replace(CHECK, interval=1.0, start_period=0.0, timeout=1.0))
    engine.start("2", healthcheck=replace(CHECK, start_period=100.0))
    engine.probes["2"] = lambda: OK if clock.elapsed >= 150 else ILL
    assert len(wait(engine)) == 2


def test_a_probe_is_limited_to_what_is_left(engine: FakeEngine, clock: FakeClock) -> None:
    """A healthcheck that hangs must not hold the deployment beyond its deadline."""
    engine.start()

    def hanging() -> ProbeResult:
        clock.sleep(min(5.0, engine.probed[-1][2]))
        return ProbeResult(False, "no result within 5 s")

    engine.probes["1"] = hanging
    error = refused(engine, HealthSettings(timeout=12.0))
    assert clock.elapsed == pytest.approx(12, abs=0.2)
    assert "no result within 5 s" in str(error)


def test_a_probe_just_before_the_deadline_has_time_to_answer(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """Cut off after its start it would fail a healthy release, or hide why an ill one is ill."""
    engine.start()

    def answering() -> ProbeResult:
        clock.sleep(0.3)
        return OK if engine.probed[-1][2] >= 0.3 and clock.elapsed >= 1 else ILL

    engine.probes["1"] = answering
    wait(engine, HealthSettings(timeout=1.0))
    assert engine.probed[-1][1] < 1


def test_unhealthy_by_the_engine_fails_at_once(engine: FakeEngine, clock: FakeClock) -> None:
    """The engine's own verdict is final for it: waiting cannot improve the release."""
    engine.start()
    engine.probes["1"] = lambda: ILL
    engine.at(1, lambda: engine.change(health="unhealthy"))
    assert "unhealthy by its own healthcheck" in str(refused(engine))
    assert clock.elapsed == pytest.approx(1, abs=0.1)


def test_with_settle_it_has_to_go_on_succeeding(engine: FakeEngine, clock: FakeClock) -> None:
    """One that answers and then falls over is not what the operator meant by settled."""
    engine.start()
    engine.probes["1"] = lambda: ILL if 2 <= clock.elapsed < 3 else OK
    wait(engine, HealthSettings(settle=4.0))
    assert clock.elapsed == pytest.approx(7, abs=0.2)


def test_settling_is_given_on_top_of_the_deadline(engine: FakeEngine, clock: FakeClock) -> None:
    """A service that is healthy just in time must still be able to settle."""
    engine.start()
    engine.probes["1"] = lambda: OK if clock.elapsed >= 9.5 else ILL
    wait(engine, HealthSettings(timeout=10.0, settle=5.0))
    assert clock.elapsed == pytest.approx(14.5, abs=0.2)


def test_a_paused_container_is_not_healthy(engine: FakeEngine) -> None:
    """It answers nobody; somebody paused it by hand and may go on."""
    engine.start(status="paused", running=False)
    assert "it is paused" in str(refused(engine, HealthSettings(timeout=1.0)))


# ── without a healthcheck ────────────────────────────────────────────────────────────────────


def test_without_a_healthcheck_it_must_stay_up_for_five_seconds(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """Compose calls it healthy at once, and a crash after 2 s a success."""
    engine.start(healthcheck=None, health=None)
    wait(engine)
    assert clock.elapsed == pytest.approx(5, abs=0.1)
    assert engine.probed == []


def test_the_settle_time_is_configurable(engine: FakeEngine, clock: FakeClock) -> None:
    """Some services prove themselves only after a minute, some need no time at all."""
    engine.start(healthcheck=None, health=None)
    wait(engine, HealthSettings(settle=60.0))
    assert clock.elapsed == pytest.approx(60, abs=0.1)


def test_a_crash_within_the_settle_time_fails_at_once(engine: FakeEngine, clock: FakeClock) -> None:
    """The old release is waiting to come back."""
    engine.start(healthcheck=None, health=None)
    engine.at(2, lambda: engine.change(status="exited", running=False, exit_code=7))
    assert "exited, exit status 7" in str(refused(engine))
    assert clock.elapsed == pytest.approx(2, abs=0.1)


def test_a_crash_that_the_restart_policy_hides_fails(engine: FakeEngine, clock: FakeClock) -> None:
    """With `restart: always` it looks like running at nearly every moment."""
    engine.start(healthcheck=None, health=None)

    def crash() -> None:
        engine.change(restart_count=1, started_at=clock.now())

    engine.at(2, crash)
    assert "was restarted (count 1)" in str(refused(engine))


def test_a_restart_before_the_first_look_counts(engine: FakeEngine, clock: FakeClock) -> None:
    """A release that dies in 50 ms has been restarted before anybody looks."""
    clock.sleep(1)
    engine.start(healthcheck=None, health=None, restart_count=2)
    assert "was restarted (count 2)" in str(refused(engine))
    assert clock.elapsed == 1


def test_restarts_from_before_the_deployment_do_not_count(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """An `up` that had nothing to do must not fail for last month's reboot."""
    month = timedelta(days=30)
    engine.start(healthcheck=None, restart_count=3, started_at=clock.start - month)
    wait(engine)


def test_a_container_started_again_by_hand_fails(engine: FakeEngine, clock: FakeClock) -> None:
    """The restart count begins anew then; the time it was started tells."""
    engine.start(healthcheck=None, health=None)
    engine.at(1, lambda: engine.change(started_at=clock.now()))
    assert "was started again" in str(refused(engine))


def test_a_container_that_came_up_late_and_was_started_again_fails(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """It had no start time when it was first looked at; the first one it gets counts."""
    engine.start(healthcheck=None, health=None, status="created", running=False, started_at=None)
    engine.at(1, lambda: engine.change(status="running", running=True, started_at=clock.now()))
    engine.at(2, lambda: engine.change(started_at=clock.now()))
    assert "was started again" in str(refused(engine))


def test_a_container_that_never_starts_fails_at_the_deadline(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """Ten seconds to get up, five to stay up."""
    engine.start(healthcheck=None, health=None, status="created", running=False, started_at=None)
    assert "it is created" in str(refused(engine))
    assert clock.elapsed == pytest.approx(15, abs=0.1)


def test_a_container_that_starts_a_moment_later_may_settle(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """Being created and being started are two steps of `up`."""
    engine.start(healthcheck=None, health=None, status="created", running=False, started_at=None)
    engine.at(3, lambda: engine.change(status="running", running=True, started_at=clock.now()))
    wait(engine)
    assert clock.elapsed == pytest.approx(8, abs=0.1)


# ── what fails at once, and what is told ─────────────────────────────────────────────────────


@pytest.mark.parametrize("status", ["exited", "dead", "restarting", "removing"])
def test_what_will_not_get_better_fails_at_once(
    engine: FakeEngine, clock: FakeClock, status: str
) -> None:
    """Every second more is a second of outage."""
    engine.start(status=status, running=False, exit_code=3)
    assert f"is {status}, exit status 3" in str(refused(engine))
    assert clock.elapsed == 0


def test_exit_status_zero_is_a_failure_too(engine: FakeEngine) -> None:
    """A service that ends is not serving, however content it is."""
    engine.start(status="exited", running=False, exit_code=0)
    assert "exit status 0" in str(refused(engine))


def test_being_killed_for_memory_is_told(engine: FakeEngine) -> None:
    """The remedy is a limit in the compose file, not a newer image."""
    engine.start(status="exited", running=False, exit_code=137, oom_killed=True)
    assert "(out of memory)" in str(refused(engine))


def test_no_container_at_all_fails(engine: FakeEngine) -> None:
    """Nothing is never healthy."""
    assert "no container of web" in str(refused(engine))


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_container_that_the_engine_stopped_is_no_verdict(
    engine: FakeEngine, exit_code: int
) -> None:
    """Obeying SIGTERM, it exits as it likes: a daemon's shutdown had a good image blamed."""
    engine.start(status="exited", running=False, exit_code=exit_code)
    engine.stopped.add("1")
    assert refused(engine).disturbed


def test_an_engine_that_goes_while_it_is_asked_leaves_nothing_known(engine: FakeEngine) -> None:
    """Then the attempt stays open until it answers."""

    class Going(FakeEngine):
        def was_stopped(self, container_id: str) -> bool:
            raise EngineUnavailableError(f"went away with {container_id}")

    going = Going(engine.clock)
    going.start(status="exited", running=False)
    with pytest.raises(EngineUnavailableError):
        wait(going)


def test_an_engine_that_tells_no_events_is_believed_to_have_stopped_nothing(
    engine: FakeEngine,
) -> None:
    """A socket proxy may not pass them on; a broken image must still be refused."""

    class Mute(FakeEngine):
        def was_stopped(self, container_id: str) -> bool:
            raise EngineError(f"403 for {container_id}")

    mute = Mute(engine.clock)
    mute.start(status="exited", running=False, exit_code=3)
    assert not refused(mute).disturbed


@pytest.mark.parametrize(
    ("status", "exit_code", "out_of_memory", "disturbed"),
    [
        ("exited", 143, False, True),
        ("exited", 137, False, True),
        ("exited", 137, True, False),
        ("exited", 3, False, False),
    ],
)
def test_a_container_ended_from_outside_is_told_from_one_that_failed(
    engine: FakeEngine, status: str, exit_code: int, out_of_memory: bool, disturbed: bool
) -> None:
    """What somebody stopped by hand says nothing about the image."""
    engine.start(status=status, running=False, exit_code=exit_code, oom_killed=out_of_memory)
    assert refused(engine).disturbed is disturbed


def test_a_service_without_a_container_fails(engine: FakeEngine) -> None:
    """Two services move together; one of them missing is half a release."""
    engine.start()
    assert "no container of jobs" in str(refused(engine, services=("web", "jobs")))


def test_the_evidence_has_state_probe_and_log_of_every_container(engine: FakeEngine) -> None:
    """The containers may be gone when somebody asks why."""
    engine.start("1")
    engine.start("2", status="exited", running=False, exit_code=9)
    output = refused(engine).output
    assert "shop-web-1: running" in output
    assert "shop-web-2: exited, exit status 9" in output
    assert output.count("boom") == 2


def test_the_evidence_has_what_the_healthcheck_said(engine: FakeEngine) -> None:
    """It is the sentence that its author wrote for this case."""
    engine.start()
    engine.probes["1"] = lambda: ILL
    assert "exit status 1: it is ill" in refused(engine, HealthSettings(timeout=1.0)).output


def test_the_reason_survives_a_log_that_cannot_be_read(engine: FakeEngine) -> None:
    """A missing log must not turn an unhealthy release into an engine error."""

    class Mute(FakeEngine):
        def logs(self, container_id: str) -> str:
            raise EngineError(f"no log of {container_id}")

    mute = Mute(engine.clock)
    mute.start(status="exited", running=False, exit_code=3)
    error = refused(mute)
    assert "exit status 3" in str(error)
    assert "no log of 1" in error.output


def test_an_engine_that_goes_away_is_not_an_unhealthy_release(engine: FakeEngine) -> None:
    """Rolling back would blame, and quarantine, an image for a daemon that restarts."""
    engine.start()
    engine.fault = EngineUnavailableError("gone")
    with pytest.raises(EngineUnavailableError):
        wait(engine)


# ── proof ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("image", [CONFIG, MANIFEST, INDEX])
def test_each_id_an_engine_may_give_the_image_is_accepted(
    engine: FakeEngine, image: Digest
) -> None:
    """The config digest on overlay2; on the containerd store the digest that was pulled."""
    engine.start(image=image)
    wait(engine)


def test_another_image_is_refused_and_both_are_named(engine: FakeEngine) -> None:
    """A tag that was moved locally, or an `up` that did nothing: healthy, and not the release."""
    engine.start(image=OTHER)
    message = str(refused(engine))
    assert OTHER in message
    assert IMAGE.pinned in message


def test_what_the_compose_file_calls_it_proves_nothing(engine: FakeEngine) -> None:
    """`Config.Image` is a string."""
    engine.start(image=OTHER, image_ref=IMAGE.pinned)
    refused(engine)


def test_one_replica_with_another_image_is_refused(engine: FakeEngine) -> None:
    """A proof holds for all of them or for none."""
    engine.start("1")
    engine.start("2", image=OTHER)
    assert "shop-web-2" in str(refused(engine))


def test_an_old_container_that_was_not_replaced_is_called_that(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """The reason is compose then, not the image."""
    engine.start(image=OTHER, started_at=clock.start - timedelta(hours=1))
    assert "(it was not replaced)" in str(refused(engine))


def test_a_container_that_already_ran_this_image_is_accepted(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """`up` leaves alone what is as it should be; its image id is the proof, not its age."""
    engine.start(started_at=clock.start - timedelta(hours=1))
    wait(engine)


def test_the_manifest_has_to_agree_where_the_engine_tells_it(engine: FakeEngine) -> None:
    """One index id can stand for another platform's image (containerd store)."""
    engine.start("1", image=INDEX, manifest=MANIFEST)
    wait(engine)
    engine.change("1", manifest=OTHER)
    assert OTHER in str(refused(engine))


def test_an_adopted_image_is_proved_by_the_engines_own_id() -> None:
    """What was found running has no manifest that we hashed; the id is what we have."""
    clock = FakeClock()
    adopted = replace(IMAGE, manifest=None, config=OTHER)
    running = FakeEngine(clock).start(image=OTHER, manifest=MANIFEST)
    prove([running], adopted, clock.start)
    with pytest.raises(UnhealthyWorkloadError):
        prove([replace(running, image=CONFIG)], adopted, clock.start)


def test_a_container_that_stopped_proves_nothing() -> None:
    """It has the right image and does not run it."""
    clock = FakeClock()
    stopped = FakeEngine(clock).start(status="exited", running=False)
    with pytest.raises(UnhealthyWorkloadError, match="is exited"):
        prove([stopped], IMAGE, clock.start)
