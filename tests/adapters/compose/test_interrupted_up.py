"""A killed `up`, at any moment: sweep and `up` again bring the workload back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe, TestRegistry
from tests.projects import Host
from webhook_launcher.core.errors import ComposeError
from webhook_launcher.core.model import Image
from webhook_launcher.core.workload import ComposeProject

pytestmark = pytest.mark.engine

Listed = Sequence[dict[str, Any]]


@pytest.fixture
def images(registry: TestRegistry, repository: str) -> list[Image]:
    """Two releases of one repository."""
    return [registry.push(repository, "stable", Recipe(f"{repository} v{n}")) for n in (1, 2)]


def listed(host: Host, project: ComposeProject) -> Listed:
    """Everything the project has on the engine, as one look sees it."""
    with host.connection.client() as client:
        return client.list_containers([f"com.docker.compose.project={project.name}"])


def replacement_created(found: Listed) -> bool:
    """The old one still serves."""
    return any(container["State"] == "created" for container in found)


def old_stopped(found: Listed) -> bool:
    """Nothing serves any more."""
    return replacement_created(found) and any(c["State"] == "exited" for c in found)


def old_removed(found: Listed) -> bool:
    """Only the replacement is left, not started, perhaps not renamed."""
    return len(found) == 1 and found[0]["State"] == "created"


def interrupt(
    host: Host, project: ComposeProject, release: Image, moment: Callable[[Listed], bool] | float
) -> None:
    """Begin an `up` of the release and kill it, after some seconds or when the moment has come.

    A moment can be too short to be seen; then it is killed later, or not at all. Whatever state
    that leaves is a state that a kill can leave.
    """
    host.engine.pull(release)
    host.compose.pin(project, release.pinned, ["web"])
    base, options = host.compose.command(project), ["--no-deps", "--no-build", "--pull", "never"]
    argv = [*base, "up", "-d", *options, "web"]
    running = subprocess.Popen(
        argv,
        env=dict(host.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + (moment if isinstance(moment, float) else 30.0)
    while running.poll() is None and time.monotonic() < deadline:
        if not isinstance(moment, float) and moment(listed(host, project)):
            break
        time.sleep(0.002)
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def recover(host: Host, project: ComposeProject, release: Image) -> None:
    """What the launcher does after a restart; then exactly the release runs, in one container.

    The engine may still be carrying out the last request of the killed `up` ("removal is already
    in progress"): like `Rollout.switch`, a refusal of compose is met with one more try.
    """
    try:
        host.deploy(project, release)
    except ComposeError:
        host.deploy(project, release)
    host.engine.name(project.name, ["web"])
    (container,) = host.engine.containers(project.name, ["web"])
    assert container.running
    assert container.image in release.ids
    ((name,),) = [found["Names"] for found in listed(host, project)]
    assert name == f"/{project.name}-web-1"


@pytest.mark.parametrize(
    "moment",
    [replacement_created, old_stopped, old_removed, 0.1, 0.2, 0.3, 0.5],
    ids=lambda moment: getattr(moment, "__name__", str(moment)),
)
def test_a_killed_up_is_mended(
    host: Host, images: list[Image], moment: Callable[[Listed], bool] | float
) -> None:
    """Without the sweep half of the next `up`s failed, with nothing running (measured)."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    interrupt(host, project, images[1], moment)
    recover(host, project, images[1])


def test_a_killed_up_can_be_undone(host: Host, images: list[Image]) -> None:
    """After the restart the release may have been revoked: the one before comes back."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    interrupt(host, project, images[1], old_stopped)
    recover(host, project, images[0])


def test_a_first_up_that_was_killed_is_mended(host: Host, images: list[Image]) -> None:
    """Its container is created and replaces nothing: there is nothing to sweep."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    interrupt(host, project, images[0], replacement_created)
    recover(host, project, images[0])


def test_an_engine_that_is_still_stopping_the_old_one(
    host: Host, registry: TestRegistry, repository: str, images: list[Image]
) -> None:
    """The engine finishes a stop that nobody waits for any more, seconds later."""
    stubborn = registry.push(repository, "x", Recipe("stubborn", Behaviour.IGNORES_TERM))
    web = {"image": str(images[0].reference.repository), "stop_grace_period": "2s"}
    project = host.project({"web": web})
    host.deploy(project, stubborn)
    interrupt(host, project, images[1], 0.6)
    recover(host, project, images[1])


def test_a_leftover_that_is_all_there_is_keeps_its_volumes(host: Host, images: list[Image]) -> None:
    """It inherited the anonymous volumes: removing it would hide the workload's files for ever."""
    web = {"image": str(images[0].reference.repository), "volumes": ["/data"]}
    project = host.project({"web": web})
    host.deploy(project, images[0])
    (old,) = host.engine.containers(project.name, ["web"])
    host.docker("exec", old.id, "touch", "/data/precious")
    interrupt(host, project, images[1], replacement_created)
    host.docker("rm", "--force", old.id)
    (left,) = listed(host, project)
    assert left["Names"] != [f"/{project.name}-web-1"]
    host.engine.sweep(project.name, ["web"])
    (swept,) = listed(host, project)
    assert (swept["Id"], swept["Names"]) == (left["Id"], [f"/{project.name}-web-1"])
    recover(host, project, images[1])
    (container,) = host.engine.containers(project.name, ["web"])
    assert host.docker("exec", container.id, "ls", "/data") == "precious"
    recover(host, project, images[0])
    (container,) = host.engine.containers(project.name, ["web"])
    assert host.docker("exec", container.id, "ls", "/data") == "precious"


def test_a_leftovers_own_name_may_be_taken(host: Host, images: list[Image]) -> None:
    """A stranger's container of that name is no reason to fail the sweep; it is left alone."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    (old,) = host.engine.containers(project.name, ["web"])
    interrupt(host, project, images[1], replacement_created)
    host.docker("rm", "--force", old.id)
    name = f"{project.name}-web-1"
    stranger = host.docker("create", "--name", name, images[0].pinned)
    host.engine.sweep(project.name, ["web"])
    (left,) = listed(host, project)
    assert left["Names"] != [f"/{name}"]
    host.docker("rm", stranger)


def test_a_replacement_that_runs_gets_its_own_name(host: Host, images: list[Image]) -> None:
    """The engine may remove the old one between the sweep and `up`, which then only starts it."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    (old,) = host.engine.containers(project.name, ["web"])
    interrupt(host, project, images[1], replacement_created)
    host.docker("rm", "--force", old.id)
    host.compose.up(project, ["web"])
    (before,) = host.engine.containers(project.name, ["web"])
    assert before.running
    assert before.name == f"{old.id[:12]}_{old.name}"
    host.engine.name(project.name, ["web"])
    (after,) = host.engine.containers(project.name, ["web"])
    assert (after.id, after.name, after.running) == (before.id, old.name, True)


def test_a_name_that_somebody_took_is_left_to_them(host: Host, images: list[Image]) -> None:
    """It is cosmetic, and no reason to fail a release that runs."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    (old,) = host.engine.containers(project.name, ["web"])
    interrupt(host, project, images[1], replacement_created)
    host.docker("rm", "--force", old.id)
    host.compose.up(project, ["web"])
    stranger = host.docker("create", "--name", old.name, images[0].pinned)
    host.engine.name(project.name, ["web"])
    (after,) = host.engine.containers(project.name, ["web"])
    assert after.name == f"{old.id[:12]}_{old.name}"
    host.docker("rm", stranger)


def test_sweeping_what_is_in_order_changes_nothing(host: Host, images: list[Image]) -> None:
    """It runs before every `up`, and every replaced container carries the label for ever."""
    project = host.project(
        {"web": {"image": str(images[0].reference.repository), "deploy": {"replicas": 2}}}
    )
    for release in images:
        host.deploy(project, release)
    before = listed(host, project)
    host.engine.sweep(project.name, ["web"])
    after = listed(host, project)
    assert [found["Id"] for found in after] == [found["Id"] for found in before]
    assert all(found["State"] == "running" for found in after)


def test_a_stopped_replacement_is_not_a_leftover(host: Host, images: list[Image]) -> None:
    """Exited is not created: it ran, and its log and state are evidence."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    for release in images:
        host.deploy(project, release)
    (container,) = host.engine.containers(project.name, ["web"])
    host.engine.stop([container.id])
    host.engine.sweep(project.name, ["web"])
    assert [found["Id"] for found in listed(host, project)] == [container.id]


def test_other_projects_are_not_swept(host: Host, images: list[Image]) -> None:
    """Their `up` may be running just now."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    interrupt(host, project, images[1], replacement_created)
    before = [found["Id"] for found in listed(host, project)]
    host.engine.sweep("some-other-project", ["web"])
    assert [found["Id"] for found in listed(host, project)] == before


def test_other_services_of_the_project_are_not_swept(host: Host, images: list[Image]) -> None:
    """A person may be replacing the database while a push for the app comes."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    interrupt(host, project, images[1], replacement_created)
    before = [(found["Id"], found["Names"]) for found in listed(host, project)]
    host.engine.sweep(project.name, ["db"])
    host.engine.name(project.name, ["db"])
    assert [(found["Id"], found["Names"]) for found in listed(host, project)] == before


def test_a_container_that_cannot_be_started_is_made_anew(host: Host, images: list[Image]) -> None:
    """An engine that was killed leaves such; here its network is gone, which it knows by its id.

    Its files go on, also those in volumes without a name, and so does the network.
    """
    web = {"image": str(images[0].reference.repository), "volumes": ["/data"]}
    project = host.project({"web": web})
    host.deploy(project, images[0])
    (old,) = host.engine.containers(project.name, ["web"])
    host.docker("exec", old.id, "touch", "/data/precious")
    host.docker("stop", "--time", "1", old.id)
    host.docker("network", "rm", f"{project.name}_default")
    with pytest.raises(ComposeError, match="not found"):
        host.compose.up(project, ["web"])
    host.compose.up(project, ["web"], anew=True)
    (made,) = host.engine.containers(project.name, ["web"])
    assert (made.running, made.name) == (True, old.name)
    assert made.id != old.id
    assert host.docker("exec", made.id, "ls", "/data") == "precious"
    host.docker("network", "inspect", f"{project.name}_default")
