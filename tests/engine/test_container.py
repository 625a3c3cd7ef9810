"""The launcher in its own container: the image, the shipped service, and the main job inside."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from testbed.images import Recipe
from testbed.launcher import Launcher
from tests.engine.contained import STATE, Contained, build_image, configuration_is_valid
from tests.engine.stage import Stage, current, eventually, idle
from tests.projects import Host

# The first test waits for the build; without caches that begins with a base made from packages.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

RELOAD = ("webhook-launcher", "reload")
# The launcher's master is the only child of the init process.
_MASTER = "pid = int(open('/proc/1/task/1/children').read().split()[0])"
CRASH = f"import os; {_MASTER}; os.kill(pid, 9)"
HANG_UPS = f"""import os, time
{_MASTER}
for _ in range(100):
    os.kill(pid, 1)
    time.sleep(0.02)
"""
Contain = Callable[..., Contained]


@pytest.fixture(scope="module")
def image(machine: Mapping[str, str]) -> Iterator[str]:
    """The launcher's image, built once, and gone after the tests; its layers stay cached."""
    if not machine["DOCKER_HOST"].startswith("unix://"):
        pytest.skip("the engine is not on this machine, so its socket cannot be mounted")
    tag = build_image(machine)
    yield tag
    subprocess.run(["docker", "image", "rm", tag], capture_output=True, timeout=60, check=False)


@pytest.fixture
def contain(host: Host, image: str) -> Iterator[Contain]:
    """Starts launchers in containers; they are gone after the test."""
    started: list[Contained] = []

    def start(launcher: Launcher, *mounts: str, **changes: Any) -> Contained:
        made = Contained(host, image, launcher, *mounts, **changes)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.clear()


@pytest.fixture
def facts(host: Host, image: str) -> dict[str, Any]:
    """What the engine says of the image."""
    found: list[dict[str, Any]] = json.loads(host.docker("image", "inspect", image))
    config: dict[str, Any] = found[0]["Config"]
    return config


def with_relative_mount(stage: Stage) -> dict[str, Any]:
    """A service that mounts a file which lies beside its compose file."""
    return {"app": {**stage.service(), "volumes": ["./greeting:/greeting:ro"]}}


def test_the_image_says_what_it_is_and_is_no_root(facts: dict[str, Any]) -> None:
    """Scanners and people read the labels; a launcher that is broken into should own little."""
    labels = facts["Labels"]
    assert labels["org.opencontainers.image.title"] == "webhook-launcher"
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert {"org.opencontainers.image.version", "org.opencontainers.image.revision"} <= {*labels}
    assert facts["User"] == "launcher"
    assert list(facts["Volumes"]) == [STATE]
    assert facts["Entrypoint"] == ["env", "--ignore-signal=HUP"]
    assert facts["Cmd"] == ["webhook-launcher", "serve"]
    assert "/healthz" in " ".join(facts["Healthcheck"]["Test"])


def test_the_shipped_compose_file_is_valid(machine: Mapping[str, str]) -> None:
    """It is the first thing that a user copies."""
    found = configuration_is_valid(machine)
    assert found.returncode == 0, found.stderr


def test_the_main_job_works_inside_the_container(stage: Stage, contain: Contain) -> None:
    """No root, read-only root, no capabilities: what is left must be enough for everything.

    The relative bind mount shows that compose inside and the engine outside mean one path.
    """
    launcher = stage.prepare(with_relative_mount(stage), top={"state": STATE})
    directory = stage.project.directory
    (directory / "greeting").write_text("from the host")
    one = stage.push(Recipe("one"))
    contained = contain(launcher, f"{directory}:{directory}:ro")
    contained.wait_until_live()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    two = stage.push(Recipe("two"))
    answer = stage.announce(launcher, two)
    assert answer.status == 202
    (intent,) = launcher.outcome(answer.body["delivery"])
    assert intent["status"] == "success", intent
    assert stage.serves() == "two"
    (service,) = stage.containers()
    assert stage.host.docker("exec", service, "cat", "/greeting") == "from the host"
    assert launcher.get("/readyz").status == 200
    checked = json.loads(contained.run("webhook-launcher", "doctor", "--json"))
    assert [one for one in checked["findings"] if one["status"] != "good"] == []
    assert contained.run("id", "-un") == "launcher"
    assert _capabilities(contained) == 0
    assert contained.inspected()["HostConfig"]["ReadonlyRootfs"] is True


def test_stopping_the_container_is_a_clean_end_and_starting_it_goes_on(
    stage: Stage, contain: Contain
) -> None:
    """`docker stop` on a host that is updated must neither kill it nor make it forget."""
    launcher = stage.prepare(top={"state": STATE})
    directory = stage.project.directory
    one = stage.push(Recipe("one"))
    contained = contain(launcher, f"{directory}:{directory}:ro")
    contained.wait_until_live()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    assert contained.stop() == 0
    assert not contained.inspected()["State"]["OOMKilled"]
    contained.start()
    contained.wait_until_live()
    assert current(launcher) == one.digest
    assert len(launcher.history("web")) == 1


def test_after_reloads_the_engine_still_restarts_it(stage: Stage, contain: Contain) -> None:
    """By the command, which sends no signal through the engine, with the API and without.

    After `kill` by the engine, `unless-stopped` counts the container as stopped by hand: the next
    crash is the end of it.
    """
    launcher = stage.prepare(top={"state": STATE})
    directory = stage.project.directory
    contained = contain(launcher, f"{directory}:{directory}:ro", restart="unless-stopped")
    contained.wait_until_live()
    whole = json.loads(launcher.config.read_text())
    for _ in ("through the API", "without admin, so by the process", "again"):
        assert json.loads(contained.run(*RELOAD, "--json"))["workloads"] == ["web"]
        launcher.config.write_text(json.dumps({k: v for k, v in whole.items() if k != "admin"}))
    launcher.config.write_text(json.dumps({**whole, "parallel": "none"}))
    refused = contained.run("sh", "-c", f"{' '.join(RELOAD)} 2>&1; echo $?").splitlines()
    assert refused[-1] == "78"
    assert refused[0].startswith("error: parallel: must be a whole number")
    launcher.config.write_text(json.dumps(whole))
    contained.run_detached("python3", "-c", CRASH)
    eventually(lambda: contained.inspected()["RestartCount"] == 1, 30)
    contained.wait_until_live()
    assert contained.inspected()["State"]["Running"]
    assert json.loads(contained.run(*RELOAD, "--json"))["workloads"] == ["web"]


def test_a_reload_at_any_moment_of_the_start_ends_nothing(stage: Stage, contain: Contain) -> None:
    """SIGHUP every 20 ms, from the first moment at which anybody can be in the container."""
    launcher = stage.prepare(top={"state": STATE})
    directory = stage.project.directory
    contained = contain(launcher, f"{directory}:{directory}:ro")
    contained.run("python3", "-c", HANG_UPS)
    contained.wait_until_live()
    assert contained.run(*RELOAD).startswith("reloaded")


def test_other_commands_run_in_the_image(host: Host, image: str) -> None:
    """`docker run IMAGE webhook-launcher …` is how the README makes keys; by entrypoint and all."""
    command = ("run", "--rm", "--network", "none", image, "webhook-launcher", "keygen", "--json")
    assert "private_key" in json.loads(host.docker(*command))


def test_a_project_mounted_at_another_path_is_reported_with_the_fix(
    stage: Stage, contain: Contain
) -> None:
    """Its relative bind mounts would silently become empty directories of the host."""
    elsewhere = {"file": "/projects/web/compose.yaml", "project": "web"}
    launcher = stage.prepare(
        with_relative_mount(stage), options={"compose": elsewhere}, top={"state": STATE}
    )
    contained = contain(launcher, f"{stage.project.directory}:/projects/web:ro")
    contained.wait_until_live()
    eventually(lambda: "mounts" in _reasons(launcher))
    directory = stage.project.directory
    fix = f"-v {directory}:{directory} and name {directory} in the configuration"
    assert fix in _reasons(launcher)["mounts"]
    errors = [line for line in contained.log().splitlines() if "would go astray" in line]
    assert len(errors) == 1
    assert json.loads(errors[0])["level"] == "error"
    assert fix in errors[0]


def test_a_project_without_relative_mounts_may_be_mounted_anywhere(
    stage: Stage, contain: Contain
) -> None:
    """Only its compose file is read inside, so nothing is wrong and nothing is said."""
    elsewhere = {"file": "/projects/web/compose.yaml", "project": stage.repository[5:]}
    launcher = stage.prepare(options={"compose": elsewhere}, top={"state": STATE})
    contained = contain(launcher, f"{stage.project.directory}:/projects/web:ro")
    contained.wait_until_live()
    eventually(lambda: launcher.get("/readyz").status == 200)
    assert "would go astray" not in contained.log()


def test_the_images_own_healthcheck_becomes_healthy(stage: Stage, contain: Contain) -> None:
    """Compose, swarm and people wait for it; here at the documented port, on a bridge."""
    launcher = stage.prepare(top={"state": STATE, "listen": "0.0.0.0:8080"})
    directory = stage.project.directory
    # The check is the image's; only its pace is the test's.
    pace = {"interval": "1s", "timeout": "3s", "start_period": "20s"}
    contained = contain(
        launcher, f"{directory}:{directory}:ro", network_mode="bridge", healthcheck=pace
    )
    eventually(lambda: contained.health() == "healthy", 30)


def _reasons(launcher: Launcher) -> dict[str, str]:
    found: dict[str, str] = launcher.get("/readyz").body.get("reasons", {})
    return found


def _capabilities(contained: Contained) -> int:
    """The bounding set of the launcher itself: what it could ever get."""
    (line,) = (
        line
        for line in contained.run("cat", "/proc/1/status").splitlines()
        if line.startswith("CapBnd")
    )
    return int(line.split()[1], 16)
