"""`doctor` on a real engine: what a user sees, and what a script reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.images import Recipe, TestRegistry
from tests.cli.conftest import Command
from tests.projects import Host


@pytest.fixture
def config(host: Host, registry: TestRegistry, repository: str) -> Path:
    """A workload whose image is in the registry, and a compose file that uses it."""
    registry.push(repository, "stable", Recipe("web"))
    image = f"{registry.host}/{repository}"
    project = host.project({"app": {"image": f"{image}:stable", "init": True}})
    path = host.directory / "config.yml"
    document = {
        "state": str(host.directory / "state"),
        "workloads": {
            "web": {
                "image": image,
                "track": {"tag": "stable"},
                "compose": {"file": str(project.files[0]), "project": project.name},
            }
        },
    }
    path.write_text(json.dumps(document))
    return path


@pytest.mark.engine
@pytest.mark.second_engine
def test_a_host_that_is_fit(config: Path, command: Command) -> None:
    """All of it on real parts; nothing is left behind where the journal will be."""
    ended = command("doctor", "--config", str(config))
    assert ended.status == 0, ended.out
    lines = [line.split(":")[0].split(maxsplit=1) for line in ended.out.splitlines()]
    assert [check for _, check in lines][:4] == ["engine", "compose", "workload web", "mounts"]
    assert {shown for shown, _ in lines} == {"ok"}
    assert not (config.parent / "state").exists()


@pytest.mark.engine
def test_what_fails_is_shown_with_its_fix_and_exits_1(
    config: Path, command: Command, registry: TestRegistry, repository: str
) -> None:
    """A script goes by the status, a person by the arrow."""
    document = json.loads(config.read_text())
    document["workloads"]["web"]["track"]["tag"] = "stabel"
    config.write_text(json.dumps(document))
    ended = command("doctor", "--config", str(config))
    assert ended.status == 1
    assert f"FAIL  registry {registry.host}: web: " in ended.out
    assert "      -> Check that the push finished" in ended.out
    as_json = command("doctor", "--config", str(config), "--json")
    assert as_json.status == 1
    found = json.loads(as_json.out)
    assert found["healthy"] is False
    (failed,) = [one for one in found["findings"] if one["status"] == "failed"]
    assert failed["check"] == f"registry {registry.host}"
    assert "spelled right" in failed["advice"]


def test_a_configuration_that_is_wrong_is_said_first(tmp_path: Path, command: Command) -> None:
    """There is nothing to check yet."""
    (tmp_path / "config.yml").write_text("workloads: {}")
    ended = command("doctor", "--config", str(tmp_path / "config.yml"))
    assert ended.status == 78
    assert "there is nothing to keep up to date" in ended.err


@pytest.mark.parametrize(
    ("mode", "status"), [(0o777, "failed"), (0o702, "failed"), (0o755, "good")]
)
def test_a_state_directory_is_judged_as_a_start_judges_it(
    tmp_path: Path, command: Command, mode: int, status: str
) -> None:
    """`doctor` called good what `serve` then refused: a directory in which everybody may write."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    found = {one["check"]: one for one in without_engine(tmp_path, command)["findings"]}
    assert found["state"]["status"] == status
    assert ("chmod 0700" in (found["state"]["advice"] or "")) == (status == "failed")


def without_engine(tmp_path: Path, command: Command) -> dict[str, Any]:
    """What it finds where there is neither engine nor registry, as a script reads it."""
    document = {
        "state": str(tmp_path / "state"),
        "workloads": {
            "web": {
                "image": "127.0.0.1:1/acme/web",
                "track": {"tag": "stable"},
                "compose": {"inline": {"services": {"web": {}}}},
            }
        },
    }
    (tmp_path / "config.yml").write_text(json.dumps(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
        ended = command("doctor", "--config", str(tmp_path / "config.yml"), "--json")
    assert ended.status == 1
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_without_an_engine_it_says_so_and_looks_on(tmp_path: Path, command: Command) -> None:
    """This is when people call it."""
    findings = without_engine(tmp_path, command)["findings"]
    found = {one["check"]: one["status"] for one in findings}
    assert found["engine"] == "failed"
    assert found["registry 127.0.0.1:1"] == "failed"
    assert found["state"] == "good"
