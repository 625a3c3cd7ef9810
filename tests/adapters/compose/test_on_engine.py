"""Compose on a real engine: what `up` does to a project, and what it leaves alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe, TestRegistry
from tests.projects import Host
from webhook_launcher.core.container import Container
from webhook_launcher.core.errors import ComposeError, EngineUnavailableError
from webhook_launcher.core.model import Image
from webhook_launcher.core.workload import ComposeProject

pytestmark = pytest.mark.engine


@pytest.fixture
def images(registry: TestRegistry, repository: str) -> list[Image]:
    """Two releases of one repository."""
    return [registry.push(repository, "stable", Recipe(f"{repository} v{n}")) for n in (1, 2)]


def only(host: Host, project: ComposeProject, service: str = "web") -> Container:
    """The one container of a service."""
    (container,) = host.engine.containers(project.name, [service])
    return container


def test_version_is_one_that_we_can_use(host: Host) -> None:
    """The parser of versions, against what a real binary prints."""
    assert host.compose.version()[0].isdigit()


def test_the_pinned_digest_runs_and_the_tag_does_not_matter(
    host: Host, images: list[Image]
) -> None:
    """The user's file follows `stable`, which has moved on to the second release."""
    first = images[0]
    project = host.project({"web": {"image": f"{first.reference.repository}:stable"}})
    host.deploy(project, first)
    container = only(host, project)
    assert container.image in first.ids
    assert host.served(container.id).endswith("v1")


def test_the_users_file_is_never_changed(host: Host, images: list[Image]) -> None:
    """It is theirs, under version control, with comments."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    (file,) = project.files
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    host.deploy(project, images[0])
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_a_new_release_replaces_the_container(host: Host, images: list[Image]) -> None:
    """The main job."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    before = only(host, project)
    host.deploy(project, images[1])
    after = only(host, project)
    assert after.id != before.id
    assert after.name == before.name
    assert after.image in images[1].ids


def test_the_same_release_again_changes_nothing(host: Host, images: list[Image]) -> None:
    """A redelivered event must not cost the users a second of outage."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    host.deploy(project, images[0])
    before = only(host, project)
    host.deploy(project, images[0])
    assert only(host, project) == replace(before, health=only(host, project).health)


def test_two_services_on_one_image_move_together(host: Host, images: list[Image]) -> None:
    """Web and jobs of two versions would not understand each other."""
    image = str(images[0].reference.repository)
    project = host.project({"web": {"image": image}, "jobs": {"image": f"{image}:stable"}})
    for release in images:
        assert host.deploy(project, release) == ("jobs", "web")
        found = host.engine.containers(project.name, ["web", "jobs"])
        assert {container.image for container in found} <= release.ids


def test_other_services_are_left_alone(
    host: Host, images: list[Image], registry: TestRegistry, repository: str
) -> None:
    """Neither dependencies nor strangers, nor services that the file does not name any more."""
    base = registry.push(f"{repository}-db", "1", Recipe("db"))
    host.engine.pull(base)
    services: dict[str, dict[str, Any]] = {
        "web": {"image": str(images[0].reference.repository), "depends_on": ["db"]},
        "db": {"image": base.pinned},
        "orphan": {"image": base.pinned},
    }
    project = host.project(services)
    host.compose.pin(project, images[0].pinned, ["web"])
    host.engine.pull(images[0])
    host.compose.up(project, ["web", "db", "orphan"])
    before = [only(host, project, "db").id, only(host, project, "orphan").id]
    del services["orphan"]
    services["db"]["environment"] = {"CHANGED": "1"}
    project.files[0].write_text(json.dumps({"services": services}))
    host.deploy(project, images[1])
    after = [only(host, project, "db"), only(host, project, "orphan")]
    assert [container.id for container in after] == before
    assert all(container.running for container in after)


def test_the_first_start_makes_the_projects_networks_and_volumes(
    host: Host, images: list[Image]
) -> None:
    """`--no-deps` does not mean that the user has to prepare anything."""
    web = {
        "image": str(images[0].reference.repository),
        "networks": ["inside"],
        "volumes": ["kept:/kept"],
    }
    project = host.project({"web": web}, more={"networks": {"inside": {}}, "volumes": {"kept": {}}})
    host.deploy(project, images[0])
    assert only(host, project).running
    networks = host.docker("network", "ls", "--format", "{{.Name}}").splitlines()
    assert f"{project.name}_inside" in networks


def test_relative_paths_and_dotenv_are_those_of_the_users_directory(
    host: Host, images: list[Image]
) -> None:
    """The override lies elsewhere, and must not move `./site` with it."""
    web = {
        "image": "${REPOSITORY}:stable",
        "volumes": ["./site:/www:ro"],
        "environment": {"GREETING": "${GREETING}"},
    }
    project = host.project({"web": web})
    site = project.directory / "site"
    site.mkdir()
    (site / "index.html").write_text("from the host")
    dotenv = f"REPOSITORY={images[0].reference.repository}\nGREETING=hello there\n"
    (project.directory / ".env").write_text(dotenv)
    host.deploy(project, images[0])
    container = only(host, project)
    assert host.served(container.id) == "from the host"
    assert host.docker("exec", container.id, "sh", "-c", "echo $GREETING") == "hello there"


def test_without_named_files_the_projects_own_are_read(host: Host, images: list[Image]) -> None:
    """COMPOSE_FILE names two files; losing the second would lose a service."""
    image = str(images[0].reference.repository)
    project = replace(host.project({"web": {"image": image}}), files=())
    second = json.dumps({"services": {"jobs": {"image": image}}})
    (project.directory / "jobs.yaml").write_text(second)
    (project.directory / ".env").write_text("COMPOSE_FILE=compose.yaml:jobs.yaml\n")
    assert host.deploy(project, images[0]) == ("jobs", "web")


def test_an_inline_document_runs(host: Host, images: list[Image]) -> None:
    """The seed's way: the user has no compose file at all."""
    project = host.project({"server": {"environment": {"A": "1"}}}, inline=True)
    for release in images:
        assert host.deploy(project, release) == ("server",)
        assert only(host, project, "server").image in release.ids


def test_without_an_engine_the_project_can_be_read_and_not_started(
    host: Host, images: list[Image], tmp_path: Path
) -> None:
    """`check` validates on any machine; whose fault a failed `up` is, the engine's ping tells."""
    away = Host({**host.environment, "DOCKER_HOST": f"unix://{tmp_path}/nobody"}, tmp_path)
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    assert away.compose.services(project, images[0].reference.repository) == ("web",)
    away.compose.pin(project, images[0].pinned, ["web"])
    with pytest.raises(ComposeError):
        away.compose.up(project, ["web"])
    with pytest.raises(EngineUnavailableError):
        away.engine.ping()


def test_an_inline_document_that_compose_refuses_is_told(host: Host, images: list[Image]) -> None:
    """A mistake in the configuration, found by `check` and not by the first push."""
    project = host.project({"server": {"prots": ["80:80"]}}, inline=True)
    with pytest.raises(ComposeError, match="prots"):
        host.compose.services(project, images[0].reference.repository)


def test_an_unknown_service_is_refused_before_anything_is_written(
    host: Host, images: list[Image]
) -> None:
    """An override that names it would start a service that nobody wrote."""
    image = str(images[0].reference.repository)
    project = host.project({"web": {"image": image}}, chosen=["wbe"])
    with pytest.raises(ComposeError, match="no service wbe"):
        host.deploy(project, images[0])
    assert not host.state.exists()


def test_services_of_inactive_profiles_can_be_chosen_and_are_not_started_otherwise(
    host: Host, images: list[Image]
) -> None:
    """`profiles` is how users keep a debug container out of `up`."""
    image = str(images[0].reference.repository)
    services = {"web": {"image": image}, "debug": {"image": image, "profiles": ["debug"]}}
    assert host.deploy(host.project(services), images[0]) == ("web",)
    chosen = host.project(services, chosen=["debug"])
    assert host.deploy(chosen, images[0]) == ("debug",)
    assert only(host, chosen, "debug").running


def test_an_image_that_is_not_there_fails_and_the_old_one_runs_on(
    host: Host, images: list[Image]
) -> None:
    """`--pull never`: the digest was verified, nothing else may be fetched in its place."""
    project = host.project({"web": {"image": str(images[0].reference.repository)}})
    services = host.deploy(project, images[0])
    before = only(host, project)
    host.compose.pin(project, images[1].pinned, services)
    with pytest.raises(ComposeError, match="No such image") as raised:
        host.compose.up(project, services)
    assert only(host, project).id == before.id
    assert only(host, project).running
    assert "--pull never web" in raised.value.output


def test_a_service_with_a_build_section_is_never_built(
    host: Host, images: list[Image], tmp_path: Path
) -> None:
    """What runs is what was pushed and verified, not what lies in the directory."""
    web = {"image": str(images[0].reference.repository), "build": str(tmp_path)}
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    project = host.project({"web": web})
    host.compose.pin(project, images[1].pinned, ["web"])
    with pytest.raises(ComposeError):
        host.compose.up(project, ["web"])


def test_a_program_that_ignores_term_is_replaced_after_its_grace(
    host: Host, registry: TestRegistry, repository: str, images: list[Image]
) -> None:
    """The engine waits for the service's own grace, and so must we."""
    stubborn = registry.push(repository, "x", Recipe("stubborn", Behaviour.IGNORES_TERM))
    web = {"image": str(stubborn.reference.repository), "stop_grace_period": "1s"}
    project = host.project({"web": web})
    host.deploy(project, stubborn)
    host.deploy(project, images[1])
    assert only(host, project).image in images[1].ids


def test_a_taken_port_is_told_and_the_service_starts_when_it_is_free(
    host: Host, images: list[Image]
) -> None:
    """Compose leaves the container behind, created; the next `up` goes on with it."""
    web = {"image": str(images[0].reference.repository), "ports": ["127.0.0.1:0:8080"]}
    other = host.project({"web": web})
    host.deploy(other, images[0])
    port = host.docker("port", only(host, other).id, "8080/tcp").rpartition(":")[2]
    project = host.project({"web": {**web, "ports": [f"127.0.0.1:{port}:8080"]}})
    with pytest.raises(ComposeError, match="already"):
        host.deploy(project, images[0])
    host.engine.remove([only(host, other).id])
    host.deploy(project, images[0])
    assert only(host, project).running
