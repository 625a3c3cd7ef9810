"""The gate: what counts as healthy, when it gives up, and what it takes as proof."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.clock import FakeClock
from webhook_launcher.core.container import Container, Healthcheck, Jobs, ProbeResult, RunningProbe
from webhook_launcher.core.errors import (
    EngineError,
    EngineUnavailableError,
    SupersededError,
    UnhealthyWorkloadError,
)
from webhook_launcher.core.model import Image
from webhook_launcher.core.proof import prove
from webhook_launcher.core.reference import Digest, parse_reference
from webhook_launcher.core.workload import HealthSettings
from webhook_launcher.gate import Gate

INDEX, MANIFEST, CONFIG, OTHER = (Digest("sha256:" + letter * 64) for letter in "abcd")
IMAGE = Image(parse_reference("ghcr.io/acme/web:stable"), INDEX, MANIFEST, CONFIG)
CHECK = Healthcheck(("/bin/check",), interval=30.0, timeout=5.0, start_period=10.0, retries=3)
DERIVED = HealthSettings()
HANGS = ProbeResult(False, "no result yet", RunningProbe("exec", 7))
OK, ILL = ProbeResult(True, "exit status 0:"), ProbeResult(False, "exit status 1: it is ill")


@dataclass
class FakeEngine:
    """Containers that a test edits, now or at a time; probes that it decides."""

    clock: FakeClock
    running: dict[str, Container] = field(default_factory=dict)
    probes: dict[str, Callable[[], ProbeResult]] = field(default_factory=dict)
    probed: list[tuple[str, float, float]] = field(default_factory=list)  # id, time, limit
    following: Callable[[], ProbeResult] = lambda: HANGS
    ended: list[tuple[str, float]] = field(default_factory=list)
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

    def follow_probe(self, probe: RunningProbe) -> ProbeResult:
        """The result of a probe that had not ended."""
        return self.following()

    def end_probe(self, container_id: str, probe: RunningProbe) -> None:
        """Remember it."""
        self.ended.append((container_id, self.clock.elapsed))

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
    """start_period 10 + timeout 5 + retries 3 x (interval 30 + timeout 5): the engine's own.

    The engine waits an interval after the *end* of each probe, so a shorter deadline condemned
    releases that Docker itself would have called healthy.
    """
    engine.start()
    engine.probes["1"] = lambda: ILL
    error = refused(engine)
    assert "shop-web-1 is not healthy after 120 s: healthcheck: exit status 1" in str(error)
    assert clock.elapsed == pytest.approx(120, abs=0.1)
    assert error.judges


def test_a_deadline_of_hours_is_capped_and_no_verdict(engine: FakeEngine, clock: FakeClock) -> None:
    """`interval: 1h` is legal; it must not hold the lane for hours, nor blame the image."""
    engine.start(healthcheck=replace(CHECK, interval=3600.0, start_period=0.0))
    engine.probes["1"] = lambda: ILL
    error = refused(engine)
    assert clock.elapsed == pytest.approx(600, abs=0.1)
    assert not error.judges


def test_a_long_start_period_is_granted_in_full(engine: FakeEngine, clock: FakeClock) -> None:
    """Whoever writes `start_period: 1h` knows that the service needs it."""
    engine.start(healthcheck=replace(CHECK, interval=3600.0, start_period=3600.0))
    engine.probes["1"] = lambda: OK if clock.elapsed >= 3650 else ILL
    wait(engine)
    engine.start(healthcheck=replace(CHECK, interval=3600.0, start_period=3600.0))
    engine.probes["1"] = lambda: ILL
    before = clock.elapsed
    refused(engine)
    assert clock.elapsed - before == pytest.approx(3720, abs=0.1)


def test_an_explicit_timeout_is_a_verdict(engine: FakeEngine, clock: FakeClock) -> None:
    """The operator said how long the service may take."""
    engine.start(healthcheck=replace(CHECK, interval=3600.0))
    engine.probes["1"] = lambda: ILL
    assert refused(engine, HealthSettings(timeout=700.0)).judges
    assert clock.elapsed == pytest.approx(700, abs=0.1)


def test_an_explicit_timeout_outranks_the_engines_unhealthy(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """A service that needs longer than interval x retries could never be deployed otherwise."""
    engine.start(health="unhealthy")
    engine.probes["1"] = lambda: OK if clock.elapsed >= 20 else ILL
    wait(engine, HealthSettings(timeout=60.0))
    assert 20 <= clock.elapsed < 23


def test_the_engines_healthy_is_accepted(engine: FakeEngine) -> None:
    """It ran the same command; whoever forbids us to run it has forbidden nothing to the engine."""
    engine.start(health="healthy")
    engine.probes["1"] = lambda: ILL
    wait(engine)
    assert engine.probed == []


def test_probes_come_at_growing_intervals(engine: FakeEngine, clock: FakeClock) -> None:
    """A check that starts a runtime costs a core if it runs 20 times a second for minutes."""
    engine.start()
    engine.probes["1"] = lambda: OK if clock.elapsed >= 100 else ILL
    wait(engine)
    times = [at for _, at, _ in engine.probed]
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[0] <= 0.11
    assert max(gaps) <= 5.1
    assert clock.elapsed - 100 <= 5.1
    assert len(times) < 100


def test_a_probe_that_hangs_is_ended_at_its_own_timeout_before_the_next(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """Hung commands that pile up take the container's process ids until it cannot fork."""
    engine.start()
    engine.probes["1"] = lambda: HANGS
    engine.following = lambda: HANGS if len(engine.ended) < len(engine.probed) else ILL
    error = refused(engine, HealthSettings(timeout=20.0))
    begun = [at for _, at, _ in engine.probed]
    ended = [at for _, at in engine.ended]
    assert len(begun) >= 3
    for start, end in zip(begun, ended, strict=True):
        assert end - start == pytest.approx(5, abs=0.2) or end == clock.elapsed
    assert all(start > end for start, end in zip(begun[1:], ended, strict=False))
    assert "no result" in str(error)


def test_a_probe_that_cannot_be_ended_leaves_it_to_the_engine(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """Without a shell in the image nothing ends it; the engine's own probes do end."""
    engine.start()
    engine.probes["1"] = lambda: HANGS
    engine.at(7, lambda: engine.change(health="healthy"))
    wait(engine)
    assert clock.elapsed == pytest.approx(7, abs=0.1)
    assert len(engine.probed) == 1


def test_where_commands_are_forbidden_the_engine_decides(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """A proxy in front of the socket answers 403: that is no word about the release."""
    forbidden = ProbeResult(False, "cannot be run: forbidden", allowed=False)
    engine.start()
    engine.probes["1"] = lambda: forbidden
    engine.at(30, lambda: engine.change(health="healthy"))
    wait(engine)
    assert clock.elapsed == pytest.approx(30, abs=0.1)
    assert len(engine.probed) == 1
    engine.start()
    assert not refused(engine).judges


def test_a_newer_wish_ends_the_wait(engine: FakeEngine, clock: FakeClock) -> None:
    """A release that nobody wants any more must not hold up the one that mends it."""
    engine.start()
    engine.probes["1"] = lambda: ILL

    def heed() -> None:
        if clock.elapsed >= 3:
            raise SupersededError("a newer push came", newer="i2")

    gate = Gate(engine, clock)
    with pytest.raises(SupersededError):
        gate.wait("shop", ("web",), IMAGE, DERIVED, clock.start, heed=heed)
    assert clock.elapsed == pytest.approx(3, abs=0.1)


# ── other actors ─────────────────────────────────────────────────────────────────────────────


def test_a_container_that_another_actor_replaced_is_no_verdict(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """`docker compose up -d` by hand brings another image's container: the release did nothing."""
    engine.start("1", health="starting")
    engine.probes["1"] = lambda: ILL

    def replaced() -> None:
        engine.running.clear()
        engine.start("2", image=OTHER)

    engine.at(2, replaced)
    gate = Gate(engine, clock)
    with pytest.raises(UnhealthyWorkloadError, match="replaced by another actor") as raised:
        gate.wait("shop", ("web",), IMAGE, DERIVED, clock.start, made={"1"})
    assert not raised.value.judges


def test_a_replacement_of_the_same_image_is_as_good(engine: FakeEngine, clock: FakeClock) -> None:
    """A person pulled the tag, too, and has just the image that is being deployed."""
    engine.start("2")
    gate = Gate(engine, clock)
    assert gate.wait("shop", ("web",), IMAGE, DERIVED, clock.start, made={"1"})


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────

EXITED = {"status": "exited", "running": False, "healthcheck": None, "health": None}


@pytest.mark.parametrize("field", ["awaited", "optional", "former"])
def test_a_job_that_exited_with_0_has_passed(engine: FakeEngine, field: str) -> None:
    """A migration of the same image ends; that is its success."""
    engine.start("1")
    engine.start("2", service="migrate", **EXITED)
    gate = Gate(engine, engine.clock)
    jobs = Jobs(**{field: frozenset({"migrate"})})
    assert gate.wait("shop", ("web", "migrate"), IMAGE, DERIVED, engine.clock.start, jobs=jobs)


@pytest.mark.parametrize(
    ("jobs", "changes"),
    [
        (Jobs(), {}),
        (Jobs(optional=frozenset({"web"})), {"exit_code": 1}),
        (Jobs(awaited=frozenset({"web"})), {"exit_code": 3}),
        (Jobs(optional=frozenset({"web"})), {"healthcheck": CHECK}),
    ],
)
def test_what_exits_and_is_no_job_fails(
    engine: FakeEngine, jobs: Jobs, changes: dict[str, object]
) -> None:
    """A server that ends is down, and a migration that fails has failed."""
    engine.start("1", **{**EXITED, **changes})
    gate = Gate(engine, engine.clock)
    with pytest.raises(UnhealthyWorkloadError, match="is exited"):
        gate.wait("shop", ("web",), IMAGE, DERIVED, engine.clock.start, jobs=jobs)


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
    error = refused(engine, HealthSettings(timeout=1.0))
    assert "it is paused" in str(error)
    assert not error.judges


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


def test_a_container_started_again_by_hand_proves_itself_anew(
    engine: FakeEngine, clock: FakeClock
) -> None:
    """`docker restart`, autoheal, a cron job: no verdict, and no reason to stop waiting either."""
    engine.start(healthcheck=None, health=None)
    engine.at(3, lambda: engine.change(started_at=clock.now()))
    wait(engine)
    assert clock.elapsed == pytest.approx(8, abs=0.1)


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
    assert "service web has no container" in str(refused(engine))


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
    assert "service jobs has no container" in str(refused(engine, services=("web", "jobs")))


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


def test_a_probe_that_hangs_does_not_go_on_succeeding(engine: FakeEngine, clock: FakeClock) -> None:
    """A service that answers once and then locks up has not been well for `settle` seconds."""
    engine.start()
    engine.probes["1"] = lambda: OK if clock.elapsed < 0.05 else HANGS
    refused(engine, HealthSettings(settle=4.0))


def test_the_engines_healthy_does_not_outlive_its_unhealthy(engine: FakeEngine) -> None:
    """Where nothing can be executed, the engine's own verdict has to hold for `settle`, too."""
    engine.start()
    engine.probes["1"] = lambda: ProbeResult(False, "forbidden", allowed=False)
    engine.at(1, lambda: engine.change(health="healthy"))
    engine.at(3, lambda: engine.change(health="unhealthy"))
    refused(engine, HealthSettings(timeout=60.0, settle=20.0))
