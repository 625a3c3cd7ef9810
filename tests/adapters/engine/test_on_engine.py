"""The engine adapter on a real engine and registry."""

from dataclasses import replace
from pathlib import Path

import pytest

from testbed.images import Behaviour, Recipe, TestRegistry
from tests.projects import Host
from webhook_launcher.core.container import Container
from webhook_launcher.core.errors import ManifestNotFoundError, PullError
from webhook_launcher.core.model import Image
from webhook_launcher.core.reference import make_repository
from webhook_launcher.core.workload import ComposeProject

pytestmark = pytest.mark.engine


@pytest.fixture
def image(registry: TestRegistry, repository: str) -> Image:
    """A release that works."""
    return registry.push(repository, "stable", Recipe(repository))


def run(host: Host, image: Image, **service: object) -> tuple[ComposeProject, Container]:
    """A project with one service, deployed; without a network, which takes longer than the rest."""
    body = {"image": str(image.reference.repository), "network_mode": "none", **service}
    project = host.project({"web": body})
    host.deploy(project, image)
    (container,) = host.engine.containers(project.name, ["web"])
    return project, container


def test_what_it_says_of_itself(host: Host) -> None:
    """The platform decides which manifest of an index is verified."""
    host.engine.ping()
    platform = host.engine.platform()
    assert platform.os == "linux"
    assert str(platform) == host.docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
    versions = host.engine.versions()
    assert versions["engine"] == host.docker("version", "--format", "{{.Server.Version}}")
    assert all(versions.values())
    assert host.engine.platform() == platform, "asked again over the same connection"


# ── pull and keep ────────────────────────────────────────────────────────────────────────────


def test_a_pulled_image_has_the_ids_that_we_computed(host: Host, image: Image) -> None:
    """Bytes hashed by us and bytes unpacked by the engine are the same: that is the proof."""
    host.engine.pull(image)
    assert host.docker("image", "inspect", "--format", "{{.Id}}", image.pinned) in image.ids


def test_an_image_that_is_there_needs_no_registry(
    host: Host, registry: TestRegistry, repository: str, image: Image
) -> None:
    """A rollback has to work while the registry is down, or has deleted the release."""
    host.engine.pull(image)
    registry.delete(repository, image.digest)
    host.engine.pull(image)


def test_a_digest_that_the_registry_does_not_have(
    host: Host, registry: TestRegistry, repository: str, image: Image
) -> None:
    """Deleted between the look and the pull; told apart from a broken engine."""
    registry.delete(repository, image.digest)
    with pytest.raises(ManifestNotFoundError, match=str(image.digest)):
        host.engine.pull(image)


def test_a_registry_that_is_down_is_a_failed_pull(host: Host, unreachable: Image) -> None:
    """Retryable, and nothing was touched."""
    with pytest.raises(PullError, match="connection refused") as raised:
        host.engine.pull(unreachable)
    assert raised.value.retryable


@pytest.fixture
def unreachable(image: Image) -> Image:
    """An image of a loopback registry where nobody listens."""
    nobody = make_repository("127.0.0.1:1", image.reference.repository.path)
    return replace(image, reference=replace(image.reference, repository=nobody))


def test_a_kept_image_survives_pruning_and_an_unkept_one_does_not(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """Pulled by digest it is dangling: `docker image prune` would take the rollback with it."""
    ours = {"Labels": {"pruned-by": repository}}
    kept, other = (
        registry.push(repository, "x", Recipe(f"{repository} {n}", config=ours)) for n in "ab"
    )
    for pulled in (kept, other):
        host.engine.pull(pulled)
    host.engine.keep(kept, "shop", repository.rpartition("/")[2], "previous")
    # The filter spares what a developer, or another test, has on the same engine.
    host.docker("image", "prune", "--force", "--filter", f"label=pruned-by={repository}")
    listed = host.docker("image", "ls", "--all", "--quiet", "--no-trunc").splitlines()
    assert not kept.ids.isdisjoint(listed)
    # The containerd store has it under the name of its digest, and so prunes none of them.
    assert other.ids.isdisjoint(listed) is (host.engine.versions()["store"] == "overlay2")
    host.engine.pull(kept)


def test_a_keep_tag_moves(host: Host, registry: TestRegistry, repository: str) -> None:
    """There is one current and one previous image; the one before those may go."""
    name = repository.rpartition("/")[2]
    first, second = (registry.push(repository, "x", Recipe(f"{repository} {n}")) for n in "ab")
    for release in (first, second):
        host.engine.pull(release)
        host.engine.keep(release, "shop", name, "current")
    tagged = host.docker(
        "image", "inspect", "-f", "{{.Id}}", f"webhook-launcher/keep:shop.{name}.current"
    )
    assert tagged in second.ids


def test_an_image_that_is_gone_cannot_be_kept(host: Host, image: Image) -> None:
    """The launcher must know that it has nothing to return to."""
    with pytest.raises(PullError, match="not on the engine"):
        host.engine.keep(image, "shop", "web", "previous")


# ── containers ───────────────────────────────────────────────────────────────────────────────


def test_a_running_container_is_described(host: Host, image: Image) -> None:
    """Every field as a real engine fills it."""
    project, container = run(host, image)
    assert container.name == f"{project.name}-web-1"
    assert (container.service, container.number) == ("web", 1)
    assert container.image in image.ids
    assert container.image_ref == image.pinned
    assert (container.status, container.running) == ("running", True)
    assert container.healthcheck is not None
    assert container.healthcheck.deadline == 0 + 5 + 3 * (1 + 5)
    assert container.health == "starting"
    assert container.started_at is not None
    assert abs((host.clock.now() - container.started_at).total_seconds()) < 60


def test_a_stopped_container_is_described(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """The exit status is what a person asks for first."""
    bad = registry.push(repository, "x", Recipe("bad", Behaviour.EXITS))
    project, _ = run(host, bad)
    host.docker("wait", f"{project.name}-web-1")
    (container,) = host.engine.containers(project.name, ["web"])
    assert (container.status, container.running, container.exit_code) == ("exited", False, 3)


def test_containers_of_run_and_of_other_services_are_not_counted(host: Host, image: Image) -> None:
    """A `docker compose run web sh` of the operator is not the release."""
    project, container = run(host, image)
    label = "com.docker.compose"
    stray = host.docker(
        *("run", "--detach", "--label", f"{label}.project={project.name}"),
        *("--label", f"{label}.service=web", "--label", f"{label}.oneoff=True", image.pinned),
    )
    assert stray != container.id
    assert host.engine.containers(project.name, ["web"]) == [container]
    assert host.engine.containers(project.name, ["jobs"]) == []
    assert host.engine.containers("no-such-project", ["web"]) == []


def test_replicas_are_told_apart(host: Host, image: Image) -> None:
    """The gate wants every one of them."""
    project = host.project(
        {
            "web": {
                "image": str(image.reference.repository),
                "network_mode": "none",
                "deploy": {"replicas": 2},
            }
        }
    )
    host.deploy(project, image)
    found = host.engine.containers(project.name, ["web"])
    assert [container.number for container in found] == [1, 2]


def test_removed_containers_are_gone_and_their_volumes_are_not(host: Host, image: Image) -> None:
    """Nothing half-started stays after a failed first deployment, and no byte is lost."""
    project, container = run(host, image, volumes=["/kept-anonymous"])
    (volume,) = host.docker(
        "inspect", "-f", "{{range .Mounts}}{{.Name}}{{end}}", container.id
    ).splitlines()
    host.engine.remove([container.id, container.id, "0" * 64])
    assert host.engine.containers(project.name, ["web"]) == []
    assert host.docker("volume", "ls", "--quiet", "--filter", f"name={volume}") == volume
    host.docker("volume", "rm", volume)


def test_a_stopped_container_stays(host: Host, image: Image) -> None:
    """Its log is the evidence."""
    project, container = run(host, image, restart="always")
    host.engine.stop([container.id, "0" * 64])
    (found,) = host.engine.containers(project.name, ["web"])
    assert (found.id, found.status) == (container.id, "exited")


# ── the container's own healthcheck ──────────────────────────────────────────────────────────


def probed(host: Host, registry: TestRegistry, recipe: Recipe) -> tuple[Container, str]:
    """A container of an image made by the recipe, and the name of its project."""
    image = registry.push(f"test/probe-{recipe.marker}", "x", recipe)
    project, container = run(host, image)
    return container, project.name


def probe_until_ok(host: Host, container: Container) -> bool:
    """Probe while the program starts; False when it never gets well."""
    deadline = host.clock.monotonic() + 10
    while host.clock.monotonic() < deadline:
        if host.engine.probe(container, 10).ok:
            return True
    return False


def test_a_probe_of_a_healthy_container_succeeds_long_before_the_engines(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """The engine's first one comes after a whole interval: an hour here."""
    recipe = Recipe(repository.rpartition("/")[2], interval=3600)
    container, name = probed(host, registry, recipe)
    assert probe_until_ok(host, container)
    (now,) = host.engine.containers(name, ["web"])
    assert now.health == "starting"


def test_a_failing_probe_tells_its_output(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """What the healthcheck's author wanted to be read."""
    recipe = Recipe(repository.rpartition("/")[2], Behaviour.NEVER_HEALTHY)
    container, _ = probed(host, registry, recipe)
    result = host.engine.probe(container, 10)
    assert not result.ok
    assert result.output == "exit status 1: it is ill"


def test_a_probe_runs_as_the_containers_user_in_its_directory_and_environment(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """As the engine's own would: root could see what the service cannot."""
    config = {
        "User": "1234:5678",
        "WorkingDir": "/tmp",  # noqa: S108 - in a container of the test's own
        "Env": ["PATH=/bin", "GREETING=hello"],
        "Healthcheck": {"Test": ["CMD-SHELL", "id -u; pwd; echo $GREETING; exit 9"]},
    }
    recipe = Recipe(repository.rpartition("/")[2], config=config)
    container, _ = probed(host, registry, recipe)
    assert host.engine.probe(container, 10).output == "exit status 9: 1234\n/tmp\nhello"


def test_a_cmd_healthcheck_needs_no_shell(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """Images without a shell have a healthcheck program of their own."""
    config = {"Healthcheck": {"Test": ["CMD", "/bin/echo", "$HOME; exit 1"]}}
    recipe = Recipe(repository.rpartition("/")[2], config=config)
    container, _ = probed(host, registry, recipe)
    result = host.engine.probe(container, 10)
    assert result.ok
    assert result.output == "exit status 0: $HOME; exit 1"


def test_a_healthcheck_program_that_is_not_there_has_failed(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """A typing mistake in the image must not be taken for an engine at fault."""
    config = {"Healthcheck": {"Test": ["CMD", "/bin/no-such-check"]}}
    recipe = Recipe(repository.rpartition("/")[2], config=config)
    container, _ = probed(host, registry, recipe)
    result = host.engine.probe(container, 10)
    assert not result.ok
    assert "no-such-check" in result.output


def test_a_probe_that_hangs_is_told_and_can_be_followed_and_ended(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """A check that hangs must not hold up the gate, nor fill the container with processes."""
    # The engine's own probe comes after an hour, and is not counted here.
    recipe = Recipe(repository.rpartition("/")[2], Behaviour.HANGS, timeout=600, interval=3600)
    container, _ = probed(host, registry, recipe)
    result = host.engine.probe(container, 0.5)
    assert (result.ok, result.output) == (False, "no result yet waiting")
    assert result.running is not None
    assert host.engine.follow_probe(result.running).running == result.running
    before = host.docker("top", container.id)
    host.engine.end_probe(container.id, result.running)
    deadline = host.clock.monotonic() + 10  # the engine notices the end a moment later
    while (ended := host.engine.follow_probe(result.running)).running is not None:
        assert host.clock.monotonic() < deadline
    assert not ended.ok
    # The whole command: its children would go on without it.
    assert len(host.docker("top", container.id).splitlines()) < len(before.splitlines())


def test_a_probe_that_ends_after_the_wait_gives_its_status(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """A check that takes seconds is slow, not ill."""
    config = {"Healthcheck": {"Test": ["CMD-SHELL", "while ! test -e /tmp/go; do :; done"]}}
    container, _ = probed(host, registry, Recipe(repository.rpartition("/")[2], config=config))
    result = host.engine.probe(container, 3)
    assert result.running is not None
    host.docker("exec", container.id, "touch", "/tmp/go")  # noqa: S108 - in the container
    while (result := host.engine.follow_probe(result.running)).running is not None:
        host.clock.sleep(0.05)
    assert result.ok


def test_a_probe_without_a_shell_runs_as_it_is(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """A distroless image has its own program: it is executed, and nothing can end it."""
    config = {
        "Cmd": ["/bin/busybox", "sleep", "600"],
        "Healthcheck": {"Test": ["CMD", "/bin/busybox", "echo", "fine"]},
    }
    recipe = Recipe(repository.rpartition("/")[2], config=config)
    container, _ = probed(host, registry, recipe)
    host.docker("exec", container.id, "/bin/busybox", "rm", "/bin/sh")
    assert host.engine.probe(container, 10).output == "exit status 0: fine"


def test_a_probe_that_never_stops_talking_ends_too(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """Output is not a sign of life, and only its end is kept."""
    check = ["CMD-SHELL", "while :; do echo still at it; done"]
    config = {"Healthcheck": {"Test": check, "Timeout": 300_000_000}}
    recipe = Recipe(repository.rpartition("/")[2], config=config)
    container, _ = probed(host, registry, recipe)
    result = host.engine.probe(container, 0.3)
    assert not result.ok
    assert "no result yet" in result.output
    assert result.running is not None
    host.engine.end_probe(container.id, result.running)
    deadline = host.clock.monotonic() + 10  # the engine notices the end a moment later
    while host.engine.follow_probe(result.running).running is not None:
        assert host.clock.monotonic() < deadline
    assert len(result.output) < 5000


@pytest.mark.parametrize("recipe", [{"Test": ["NONE"]}, {"Test": []}, None])
def test_an_image_without_a_healthcheck_is_known_as_such(
    host: Host, registry: TestRegistry, repository: str, recipe: dict[str, list[str]] | None
) -> None:
    """`HEALTHCHECK NONE` must lead to the settle time, not to a probe that fails for ever."""
    config = {} if recipe is None else {"Healthcheck": recipe}
    made = Recipe(repository.rpartition("/")[2], interval=None, config=config)
    container, _ = probed(host, registry, made)
    assert container.healthcheck is None
    assert container.health is None
    assert host.engine.probe(container, 10).ok


def test_a_healthcheck_of_the_compose_file_counts_more_than_the_images(
    host: Host, image: Image
) -> None:
    """The operator has the last word; `disable: true` is one of them."""
    _, own = run(host, image, healthcheck={"test": ["CMD", "/bin/true"], "interval": "7s"})
    assert own.healthcheck is not None
    assert (own.healthcheck.command, own.healthcheck.interval) == (("/bin/true",), 7.0)
    _, off = run(host, image, healthcheck={"disable": True})
    assert off.healthcheck is None


def test_a_probe_of_a_container_that_ended_fails_without_an_error(host: Host, image: Image) -> None:
    """It crashed between the look and the probe: a fact about the release."""
    _, container = run(host, image)
    host.engine.stop([container.id])
    assert "cannot be run" in host.engine.probe(container, 10).output
    host.engine.remove([container.id])
    assert not host.engine.probe(container, 10).ok


# ── logs, adoption, mounts ───────────────────────────────────────────────────────────────────


def test_logs_are_the_last_lines_of_both_streams(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """They go into the history, and the container may be gone by then."""
    script = "for n in 1 2 3 4 5; do echo out $n; done; echo err >&2; exit 1"
    config = {"Cmd": ["/bin/sh", "-c", script]}
    project, container = run(host, registry.push(repository, "x", Recipe("l", config=config)))
    host.docker("wait", f"{project.name}-web-1")
    everything = [*(f"out {number}" for number in range(1, 6)), "err"]
    # Each stream is in order; the engine copies the two of them independently.
    assert sorted(host.engine.logs(container.id).splitlines()) == sorted(everything)
    assert len(host.engine.logs(container.id, lines=3).splitlines()) == 3
    assert len(host.engine.logs(container.id, max_bytes=6)) == len("[...] ") + 6


def test_logs_of_a_terminal_are_read_as_they_are(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """`tty: true` has no frames; reading them anyway would eat the text."""
    config = {"Cmd": ["/bin/sh", "-c", "echo plain text"]}
    image = registry.push(repository, "x", Recipe("t", config=config))
    project, container = run(host, image, tty=True)
    host.docker("wait", f"{project.name}-web-1")
    assert host.engine.logs(container.id).strip() == "plain text"


def test_logs_that_cannot_be_read_say_why(host: Host, image: Image) -> None:
    """With `logging: none` there is nothing; a container may be gone as well."""
    _, container = run(host, image, logging={"driver": "none"})
    assert "no log" in host.engine.logs(container.id)
    assert "no log" in host.engine.logs("0" * 64)


def test_what_runs_is_adopted_with_its_digest(
    host: Host, image: Image, registry: TestRegistry
) -> None:
    """The first deployment of the launcher has something to return to."""
    project = host.project({"web": {"image": f"{image.reference.repository}:stable"}})
    host.docker("pull", f"{image.reference.repository}:stable")
    host.compose.pin(project, f"{image.reference.repository}:stable", ["web"])
    host.compose.up(project, ["web"])
    adopted = host.engine.adopted(project.name, ["web"], image.reference.repository)
    assert adopted is not None
    assert adopted.digest == image.digest
    assert adopted.reference.tag == "stable"
    (container,) = host.engine.containers(project.name, ["web"])
    assert container.image in adopted.ids
    assert adopted.manifest == container.manifest
    assert adopted.manifest in (None, image.manifest)


def test_what_was_started_by_digest_is_adopted_under_that_digest(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """One image can have several digests: the same config in two manifests."""
    image = registry.push(repository, "stable", Recipe(repository))
    spaced = registry.manifest(repository, "stable") + b"\n"
    twin = Image(
        image.reference.at(registry.put_manifest(repository, "twin", spaced)),
        registry.put_manifest(repository, "twin", spaced),
        config=image.config,
    )
    for release in (image, twin):
        host.engine.pull(release)
        project, _ = run(host, release)
        adopted = host.engine.adopted(project.name, ["web"], image.reference.repository)
        assert adopted is not None
        assert adopted.digest == release.digest


def test_nothing_is_adopted_when_nothing_runs(host: Host, image: Image) -> None:
    """A stopped workload is no release to return to."""
    project, container = run(host, image)
    host.engine.stop([container.id])
    assert host.engine.adopted(project.name, ["web"], image.reference.repository) is None
    assert host.engine.adopted("no-such", ["web"], image.reference.repository) is None


def test_nothing_is_adopted_from_another_repository(
    host: Host, registry: TestRegistry, repository: str, image: Image
) -> None:
    """It could not be admitted for this workload."""
    project, _ = run(host, image)
    other = registry.push(f"{repository}-2", "x", Recipe("x")).reference.repository
    assert host.engine.adopted(project.name, ["web"], other) is None


def test_nothing_is_adopted_from_services_on_different_images(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """Returning to either would change the other service."""
    one, two = (registry.push(repository, "x", Recipe(f"{repository} {n}")) for n in "ab")
    body = {"image": str(one.reference.repository), "network_mode": "none"}
    project = host.project({"web": body, "jobs": body})
    for release, service in ((one, "web"), (two, "jobs")):
        host.engine.pull(release)
        host.compose.pin(project, release.pinned, [service])
        host.compose.up(project, [service])
    assert host.engine.adopted(project.name, ["web", "jobs"], one.reference.repository) is None


def test_project_directories_are_looked_for_on_the_engines_host(
    host: Host, image: Image, tmp_path: Path
) -> None:
    """From a container, by the mounts that the engine gave it."""
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    volumes = [f"{right}:{right}", f"{tmp_path}/elsewhere:{wrong}"]
    _, container = run(host, image, volumes=volumes)
    line = f"641 622 254:1 /docker/containers/{container.id}/hostname /etc/hostname rw\n"
    (tmp_path / "mountinfo").write_text(line)
    (problem,) = host.engine.missing_binds([right, wrong], tmp_path / "mountinfo")
    elsewhere = f"{tmp_path}/elsewhere"
    assert problem.startswith(f"{wrong} is {elsewhere}")
    assert f"-v {elsewhere}:{elsewhere}" in problem


def test_a_container_knows_its_own_id(host: Host, image: Image, tmp_path: Path) -> None:
    """What a real container sees in its mountinfo leads back to it."""
    _, container = run(host, image)
    seen = tmp_path / "mountinfo"
    seen.write_text(host.docker("exec", container.id, "cat", "/proc/self/mountinfo"))
    assert host.engine.missing_binds([], seen) == []
    assert len(host.engine.missing_binds([Path("/srv/web")], seen)) == 1


def test_outside_a_container_every_directory_is_where_it_is(host: Host, tmp_path: Path) -> None:
    """Nothing to complain about; nor when the engine is another machine's."""
    plain = tmp_path / "mountinfo"
    plain.write_text("22 1 254:1 / / rw - ext4 /dev/vda rw\n")
    assert host.engine.missing_binds([Path("/srv/web")], plain) == []
    plain.write_text(f"641 622 254:1 /docker/containers/{'0' * 64}/hostname /etc/hostname rw\n")
    assert host.engine.missing_binds([Path("/srv/web")], plain) == []
