"""Services that complete: they run once for each release, and are no drift when they are done."""

import pytest

from tests.fakes import KilledError
from tests.world import A, B, World
from webhook_launcher.core.container import Jobs
from webhook_launcher.core.reference import Digest
from webhook_launcher.gate import Gate

REPOSITORY = "registry.test/acme/web"


@pytest.fixture
def migrating(world: World) -> World:
    """Two services of the image: `app`, and `migrate`, which exits with 0."""
    world.host.services_of[REPOSITORY] = ("app", "migrate")
    world.host.jobs_of = Jobs(optional=frozenset({"migrate"}))
    world.host.completing = {"migrate"}
    world.push(A)
    world.work()
    return world


def runs_of(world: World, service: str) -> list[Digest]:
    """What the service's container was made from, by the numbers of the containers."""
    found = world.host.containers_of.get(("web", service))
    return [] if found is None else [Digest(found.image_ref.partition("@")[2])]


def test_a_completed_job_is_no_drift(migrating: World) -> None:
    """It would run again and again with no push at all."""
    started = list(migrating.host.started)
    migrating.poll()
    migrating.work()
    assert migrating.host.started == started == [A, A]


def test_a_job_whose_container_was_pruned_is_no_drift(migrating: World) -> None:
    """`docker container prune` removes whatever has exited."""
    del migrating.host.containers_of["web", "migrate"]
    migrating.poll()
    migrating.work()
    assert migrating.host.started == [A, A]


def test_a_restoration_does_not_run_it_again(migrating: World) -> None:
    """The container of the app was removed; its database was migrated long ago."""
    del migrating.host.containers_of["web", "app"]
    migrating.poll()
    migrating.work()
    assert migrating.host.started == [A, A, A]
    assert migrating.host.runs() == A


def test_a_new_release_runs_it_once_more(migrating: World) -> None:
    """Each release brings its own migrations."""
    migrating.push(B)
    migrating.work()
    assert migrating.host.started == [A, A, B, B]
    assert runs_of(migrating, "migrate") == [B]


def test_a_job_known_only_by_its_former_container_passes(migrating: World) -> None:
    """Many compose files have no `restart:` line for a migration."""
    migrating.host.jobs_of = Jobs()
    migrating.push(B)
    migrating.work()
    migrating.poll()
    migrating.work()
    assert migrating.host.started == [A, A, B, B]
    assert migrating.current() == B


def test_when_everything_has_ended_it_is_drift(migrating: World) -> None:
    """A server that exits with 0 is down, whatever its status says."""
    migrating.host.jobs_of = Jobs()
    migrating.host.completing = {"app", "migrate"}
    migrating.host.run("web", "app", migrating.host.containers_of["web", "app"].image_ref)
    migrating.host.completing = set()
    migrating.poll()
    migrating.work()
    assert migrating.host.containers_of["web", "app"].running


@pytest.fixture
def serving(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two servers of the image, `app` and `worker`, without a restart policy; the real gate."""
    monkeypatch.setattr(world.host, "logs", lambda _id: "", raising=False)
    world.host.services_of[REPOSITORY] = ("app", "worker")
    gate = Gate(world.host, world.clock)  # type: ignore[arg-type]
    monkeypatch.setattr(world.host, "wait", gate.wait)
    world.push(A)
    world.work()
    assert world.current() == A
    return world


def test_a_server_that_exits_with_0_fails_also_after_a_crash(serving: World) -> None:
    """Its dead container must not make the second try take it for a job."""
    serving.host.completing = {"app"}
    serving.push(B)
    serving.fuse.arm(1, KilledError, only="upped")
    with pytest.raises(KilledError):
        serving.work()
    serving.host.completing = {"app"}
    serving.restart()
    serving.work_now()
    assert serving.current() == A


def test_a_control_whose_server_exits_with_0_fails(serving: World) -> None:
    """The failed release left a container that exited with 0; that makes no job of the server."""
    serving.host.completing = {"app"}
    serving.push(B)
    serving.work_now()
    assert serving.state().quarantined == frozenset()
    assert {one.status.value for one in serving.history() if one.undoes} == {"failure"}
