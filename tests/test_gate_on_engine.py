"""The gate on a real engine: real crashes, real healthchecks, real image ids."""

from datetime import datetime

import pytest

from testbed.images import Behaviour, Recipe, TestRegistry
from tests.projects import Host
from webhook_launcher.core.container import Container
from webhook_launcher.core.errors import UnhealthyWorkloadError
from webhook_launcher.core.model import Image
from webhook_launcher.core.workload import ComposeProject, HealthSettings
from webhook_launcher.gate import Gate

pytestmark = pytest.mark.engine

# An hour: a gate that waited for the engine's own first probe would wait that long.
HOUR = 3600.0
DERIVED = HealthSettings()


class Trial:
    """Deploys recipes to one project and waits at the gate, as the launcher does."""

    def __init__(self, host: Host, registry: TestRegistry, repository: str) -> None:
        self.host = host
        self.registry = registry
        self.repository = repository
        self.project: ComposeProject | None = None

    def wait(
        self, recipe: Recipe, health: HealthSettings = DERIVED, **service: object
    ) -> list[Container]:
        """What the gate returns for a release."""
        image = self.registry.push(self.repository, "stable", recipe)
        return self.wait_for(image, health, self.begin(image, **service))

    def begin(self, image: Image, **service: object) -> datetime:
        """Deploy; when that began. Without a network, which takes longer than all the rest."""
        body = {"image": str(image.reference.repository), "network_mode": "none", **service}
        self.project = self.project or self.host.project({"web": body})
        began = self.host.clock.now()
        self.host.deploy(self.project, image)
        return began

    def wait_for(self, image: Image, health: HealthSettings, since: datetime) -> list[Container]:
        """Only the gate."""
        assert self.project is not None
        gate = Gate(self.host.engine, self.host.clock)
        return gate.wait(self.project.name, ["web"], image, health, since)

    def refused(
        self, recipe: Recipe, health: HealthSettings = DERIVED, **service: object
    ) -> UnhealthyWorkloadError:
        """The gate's refusal of a release."""
        with pytest.raises(UnhealthyWorkloadError) as raised:
            self.wait(recipe, health, **service)
        return raised.value


@pytest.fixture
def trial(host: Host, registry: TestRegistry, repository: str) -> Trial:
    """A project that does not exist yet."""
    return Trial(host, registry, repository)


def test_a_good_release_is_accepted_long_before_the_engines_first_probe(trial: Trial) -> None:
    """The figure of the whole project: ready in well under a second, whatever the interval."""
    (container,) = trial.wait(Recipe("good", interval=HOUR))
    assert container.running
    assert container.health == "starting"


def test_a_slow_start_is_waited_for(trial: Trial) -> None:
    """A second and a half of failing probes is not a failed release."""
    began = trial.host.clock.monotonic()
    trial.wait(Recipe("slow", Behaviour.SLOW_START, interval=HOUR))
    assert trial.host.clock.monotonic() - began >= 1.5


def test_every_replica_is_asked(trial: Trial) -> None:
    """Two containers, two proofs."""
    found = trial.wait(Recipe("two", interval=HOUR), deploy={"replicas": 2})
    assert [container.number for container in found] == [1, 2]


@pytest.mark.parametrize("restart", ["no", "always", "on-failure"])
@pytest.mark.parametrize("interval", [HOUR, None], ids=["healthcheck", "none"])
def test_a_release_that_exits_at_once_is_refused(
    trial: Trial, interval: float | None, restart: str
) -> None:
    """`up --wait` calls a restart loop without a healthcheck healthy (measured)."""
    error = trial.refused(Recipe("bad", Behaviour.EXITS, interval=interval), restart=restart)
    assert "going down" in error.output


def test_a_release_that_exits_with_success_is_refused(trial: Trial) -> None:
    """A service that has nothing to do is not serving."""
    error = trial.refused(Recipe("done", Behaviour.EXITS_WELL, interval=None))
    assert "exited, exit status 0" in str(error)


def test_a_crash_without_a_healthcheck_is_refused(trial: Trial) -> None:
    """After 2 s: the case in which compose itself reports success."""
    error = trial.refused(Recipe("later", Behaviour.CRASHES_LATER, interval=None))
    assert "exit status 7" in str(error)
    assert "crashed" in error.output


def test_a_crash_that_the_restart_policy_hides_is_refused(trial: Trial) -> None:
    """It runs again before anybody looks; the count of restarts tells."""
    error = trial.refused(Recipe("later", Behaviour.CRASHES_LATER, interval=None), restart="always")
    assert "restart" in str(error)


def test_a_release_without_a_healthcheck_is_accepted_when_it_stays_up(trial: Trial) -> None:
    """Nothing else can be asked of it."""
    began = trial.host.clock.monotonic()
    trial.wait(Recipe("plain", interval=None), HealthSettings(settle=1.0))
    assert trial.host.clock.monotonic() - began >= 1.0


def test_an_image_with_healthcheck_none_is_judged_by_staying_up(trial: Trial) -> None:
    """`HEALTHCHECK NONE` switches the base image's check off."""
    config = {"Healthcheck": {"Test": ["NONE"]}}
    trial.wait(Recipe("none", interval=None, config=config), HealthSettings(settle=0.3))


def test_a_release_that_never_gets_healthy_is_refused_at_its_deadline(trial: Trial) -> None:
    """With what its healthcheck said, and its log."""
    recipe = Recipe("ill", Behaviour.NEVER_HEALTHY, interval=HOUR)
    error = trial.refused(recipe, HealthSettings(timeout=1.0))
    assert "not healthy after 1 s" in str(error)
    assert "it is ill" in error.output


def test_the_engines_own_verdict_ends_the_wait(trial: Trial) -> None:
    """Three failures in 0.3 s: nothing is gained by waiting out the deadline."""
    recipe = Recipe("ill", Behaviour.NEVER_HEALTHY, interval=0.1, timeout=HOUR)
    assert "unhealthy by its own healthcheck" in str(trial.refused(recipe))


def test_a_healthcheck_that_hangs_is_refused_at_the_deadline(trial: Trial) -> None:
    """A probe without an answer must not hold the deployment for the probe's own hour."""
    recipe = Recipe("hang", Behaviour.HANGS, interval=HOUR, timeout=HOUR)
    error = trial.refused(recipe, HealthSettings(timeout=1.0))
    assert "no result yet" in str(error)


def test_a_release_that_needs_more_memory_than_it_has_is_told(trial: Trial) -> None:
    """The remedy is a limit in the compose file."""
    script = "s=x; while :; do s=$s$s$s$s; done"
    config = {"Cmd": ["/bin/sh", "-c", script]}
    recipe = Recipe("greedy", interval=None, config=config)
    assert "out of memory" in str(trial.refused(recipe, mem_limit="16m", memswap_limit="16m"))


def test_an_up_that_had_nothing_to_do_is_accepted(trial: Trial) -> None:
    """A redelivered event: the container is older than the deployment and runs the image."""
    image = trial.registry.push(trial.repository, "stable", Recipe("same", interval=HOUR))
    trial.wait_for(image, DERIVED, trial.begin(image))
    trial.wait_for(image, DERIVED, trial.begin(image))


def restarted_once(host: Host, project: ComposeProject) -> bool:
    """True when the engine has restarted the container and it runs."""
    (container,) = host.engine.containers(project.name, ["web"])
    return container.restart_count == 1 and container.running


def test_restarts_of_the_past_are_not_held_against_it(trial: Trial) -> None:
    """It crashed last week and was restarted; today's `up` has nothing to do."""
    config = {"Cmd": ["/bin/sh", "-c", "test -e /tmp/second && exec sleep 600; touch /tmp/second"]}
    recipe = Recipe("twice", interval=None, config=config)
    image = trial.registry.push(trial.repository, "stable", recipe)
    trial.begin(image, restart="always", init=True)
    assert trial.project is not None
    deadline = trial.host.clock.monotonic() + 20
    while not restarted_once(trial.host, trial.project):
        assert trial.host.clock.monotonic() < deadline
    trial.wait_for(image, HealthSettings(settle=0.5), trial.begin(image))


def test_another_image_under_the_same_tag_is_not_taken_for_the_release(trial: Trial) -> None:
    """A tag that was moved on the engine: healthy, and not what was admitted."""
    image = trial.registry.push(trial.repository, "stable", Recipe("real", interval=HOUR))
    spoof = trial.registry.push(trial.repository, "spoof", Recipe("spoof", interval=HOUR))
    since = trial.begin(spoof)
    trial.host.engine.pull(image)
    trial.host.docker("tag", spoof.pinned, f"{image.reference.repository}:stable")
    with pytest.raises(UnhealthyWorkloadError, match="|".join(spoof.ids)):
        trial.wait_for(image, DERIVED, since)


def test_an_old_container_that_was_not_replaced_is_not_the_release(trial: Trial) -> None:
    """`up` that did nothing, for whatever reason."""
    trial.wait(Recipe("old", interval=HOUR))
    image = trial.registry.push(trial.repository, "stable", Recipe("new", interval=HOUR))
    with pytest.raises(UnhealthyWorkloadError, match="was not replaced"):
        trial.wait_for(image, DERIVED, trial.host.clock.now())
