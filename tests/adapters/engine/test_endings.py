"""Who ended a container: its program by itself, or the engine."""

import time
from collections.abc import Iterator

import pytest

from campaign.daemon import Daemon
from testbed.images import Behaviour, Recipe, TestRegistry
from tests.projects import Host, SystemClock
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.adapters.engine.endings import was_signalled
from webhook_launcher.core.container import Container
from webhook_launcher.core.errors import EngineUnavailableError
from webhook_launcher.core.model import Image

pytestmark = pytest.mark.engine


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """An engine that may be stopped."""
    made = Daemon()
    yield made
    made.close()


@pytest.fixture
def image(registry: TestRegistry, repository: str) -> Image:
    """One that obeys SIGTERM with status 0."""
    return registry.push(repository, "x", Recipe(repository))


def run(host: Host, image: Image) -> Container:
    """One container of the image."""
    project = host.project({"web": {"image": str(image.reference.repository)}})
    host.deploy(project, image)
    (container,) = host.engine.containers(project.name, ["web"])
    return container


def test_a_program_that_ends_by_itself_was_not_stopped(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """Else no broken image would ever be blamed."""
    for behaviour in (Behaviour.EXITS, Behaviour.EXITS_WELL):
        image = registry.push(repository, "x", Recipe(f"{repository} {behaviour}", behaviour))
        container = run(host, image)
        host.docker("wait", container.id)
        assert not host.engine.was_stopped(container.id)


def test_a_container_that_somebody_stopped_was(host: Host, image: Image) -> None:
    """It obeys, and exits with 0: the status does not tell."""
    container = run(host, image)
    host.engine.stop([container.id])
    assert host.docker("inspect", "-f", "{{.State.ExitCode}}", container.id) == "0"
    assert host.engine.was_stopped(container.id)


def test_a_stop_before_it_was_started_again_is_none(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """What happened to an earlier run says nothing about this one."""
    image = registry.push(repository, "x", Recipe(repository, Behaviour.CRASHES_LATER))
    container = run(host, image)
    host.docker("kill", container.id)
    host.docker("start", container.id)
    host.docker("wait", container.id)
    assert not host.engine.was_stopped(container.id)


def test_a_container_that_is_gone_was_removed_by_somebody(host: Host) -> None:
    """A program cannot remove its container."""
    assert host.engine.was_stopped("0" * 64)


def test_an_engine_that_goes_says_that_it_stopped_its_containers(
    daemon: Daemon, registry: TestRegistry, repository: str
) -> None:
    """For the seconds in which it still answers, a good image must not be blamed.

    It takes no new connection then, and goes on with those that are in use; who asks anew is told
    that it is away, which blames nobody either. One container does not obey, so that it waits.
    """
    connection = Connection(daemon.environment)
    engine = Engine(connection, SystemClock())
    good = registry.push(repository, "x", Recipe(f"{repository} good"))
    stubborn = registry.push(
        repository, "y", Recipe(f"{repository} stubborn", Behaviour.IGNORES_TERM)
    )
    for image in (good, stubborn):
        engine.pull(image)
    container = daemon.docker("run", "--detach", "--init", good.pinned)
    daemon.docker("run", "--detach", stubborn.pinned)
    with connection.client() as client:
        client.inspect_container(container)
        daemon.ask_to_stop()
        deadline = time.monotonic() + 20
        running = True
        while running and time.monotonic() < deadline:
            running = client.inspect_container(container)["State"]["Running"]
        assert was_signalled(client, container)
    with pytest.raises(EngineUnavailableError):
        engine.was_stopped(container)
    connection.close()
