"""Which files a project has, by compose's own rules."""

from pathlib import Path

import pytest

from webhook_launcher.adapters.compose.files import first_files, read_dotenv
from webhook_launcher.core.errors import ComposeError


def put(directory: Path, *names: str) -> None:
    """Empty files."""
    for name in names:
        (directory / name).write_text("services: {}\n")


@pytest.mark.parametrize(
    ("present", "read"),
    [
        (["compose.yaml"], ["compose.yaml"]),
        (["compose.yml"], ["compose.yml"]),
        (["docker-compose.yml"], ["docker-compose.yml"]),
        (["docker-compose.yaml"], ["docker-compose.yaml"]),
        (["docker-compose.yml", "compose.yaml"], ["compose.yaml"]),
        (["compose.yaml", "compose.override.yaml"], ["compose.yaml", "compose.override.yaml"]),
        (
            ["docker-compose.yml", "docker-compose.override.yml"],
            ["docker-compose.yml", "docker-compose.override.yml"],
        ),
    ],
)
def test_the_files_are_those_that_compose_would_read(
    tmp_path: Path, present: list[str], read: list[str]
) -> None:
    """Any `-f` turns compose's own search off; a file that we miss would change the services."""
    put(tmp_path, *present)
    assert first_files(tmp_path) == tuple(tmp_path / name for name in read)


def test_compose_file_of_dotenv_counts_first(tmp_path: Path) -> None:
    """With `-f a.yml` alone, the services of b.yml would be lost without a word."""
    put(tmp_path, "compose.yaml", "a.yml", "b.yml")
    (tmp_path / ".env").write_text("COMPOSE_FILE=a.yml:b.yml\n")
    assert first_files(tmp_path) == (tmp_path / "a.yml", tmp_path / "b.yml")


def test_the_separator_of_compose_file_can_be_configured(tmp_path: Path) -> None:
    """COMPOSE_PATH_SEPARATOR is part of compose's rule."""
    (tmp_path / ".env").write_text("COMPOSE_PATH_SEPARATOR=;\nCOMPOSE_FILE='a.yml;b.yml'\n")
    assert first_files(tmp_path) == (tmp_path / "a.yml", tmp_path / "b.yml")


def test_an_absolute_compose_file_stays_absolute(tmp_path: Path) -> None:
    """A shared base file may lie elsewhere."""
    (tmp_path / ".env").write_text("COMPOSE_FILE=/srv/base.yml:own.yml\n")
    assert first_files(tmp_path) == (Path("/srv/base.yml"), tmp_path / "own.yml")


def test_a_directory_without_files_is_an_error_with_advice(tmp_path: Path) -> None:
    """`config` in it would print compose's help instead."""
    with pytest.raises(ComposeError, match="no compose file") as raised:
        first_files(tmp_path)
    assert "compose.yaml" in raised.value.advice()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NAME=value", "value"),
        ("  export NAME=value  ", "value"),
        ("NAME = value # a comment", "value"),
        ("NAME='a # b'", "a # b"),
        ('NAME="a b" # c', "a b"),
        ("NAME=", ""),
        ("NAME=''", ""),
        ("NAME=a=b", "a=b"),
        ("NAME=a#b", "a#b"),
        ("NAME: value", "value"),
    ],
)
def test_assignments_of_dotenv_are_read_as_compose_does(
    tmp_path: Path, line: str, value: str
) -> None:
    """A COMPOSE_FILE that is read differently names other files."""
    (tmp_path / ".env").write_text(f"# NAME=commented\nOTHER=1\n{line}\nLAST=2\n")
    assert read_dotenv(tmp_path) == {"OTHER": "1", "NAME": value, "LAST": "2"}
