"""Where compose is found, and what it may see."""

from pathlib import Path

import pytest

from webhook_launcher.adapters.compose.program import (
    find_program,
    is_too_old,
    program_environment,
)


def plugin(directory: Path) -> Path:
    """An executable plugin in a directory of the user's."""
    directory.mkdir(parents=True)
    path = directory / "docker-compose"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_users_own_plugin_comes_first(tmp_path: Path) -> None:
    """It is the one that `docker compose` would take."""
    found = plugin(tmp_path / ".docker" / "cli-plugins")
    assert find_program({"HOME": str(tmp_path)}) == (str(found),)


def test_docker_config_names_the_directory_of_the_users_plugins(tmp_path: Path) -> None:
    """DOCKER_CONFIG moves `~/.docker`, plugins included."""
    plugin(tmp_path / ".docker" / "cli-plugins")
    found = plugin(tmp_path / "other" / "cli-plugins")
    environment = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "other")}
    assert find_program(environment) == (str(found),)


def test_a_file_that_cannot_be_executed_is_passed_over(tmp_path: Path) -> None:
    """A half-downloaded plugin must not hide the one of the system."""
    found = plugin(tmp_path / ".docker" / "cli-plugins")
    found.chmod(0o644)
    assert find_program({"HOME": str(tmp_path)}) != (str(found),)


def test_only_what_docker_needs_is_passed_on() -> None:
    """The launcher's environment holds secrets, and must not change what a file interpolates."""
    environment = {
        "PATH": "/bin",
        "HOME": "/root",
        "DOCKER_HOST": "unix:///x",
        "DOCKER_CONFIG": "/c",
        "LAUNCHER_CONFIG": "/etc/x",
        "COMPOSE_FILE": "other.yml",
        "COMPOSE_PROJECT_NAME": "other",
        "WEB_IMAGE": "evil",
        "TOKEN": "secret",
    }
    kept = program_environment(environment)
    assert set(kept) == {"PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"}


def test_the_operator_can_name_what_else_is_passed_on() -> None:
    """Some files interpolate what only the launcher's unit file knows, or need an ssh agent."""
    environment = {"PATH": "/bin", "DOMAIN": "example.org", "TOKEN": "secret"}
    kept = program_environment(environment, ["DOMAIN", "NOT_SET"])
    assert kept == {"PATH": "/bin", "DOMAIN": "example.org"}


@pytest.mark.parametrize(
    ("version", "too_old"),
    [
        ("2.20.3", True),
        ("1.29.2", True),
        ("v2.9.0", True),
        ("2.21.0", False),
        ("2.26.1-4", False),
        ("v2.40.3-desktop.1", False),
        ("5.0.0", False),
        ("dev", False),
    ],
)
def test_versions_below_the_minimum_are_told(version: str, too_old: bool) -> None:
    """Older ones print another JSON and know fewer options; numbers compare as numbers."""
    assert is_too_old(version) is too_old
