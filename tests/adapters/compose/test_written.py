"""The files that we write for compose."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from webhook_launcher.adapters.compose.written import completed, pinned_services, write_json

IMAGE = "ghcr.io/acme/web@sha256:" + "a" * 64


def test_a_written_file_replaces_the_one_before_in_one_step(tmp_path: Path) -> None:
    """A crash in the middle leaves the old pin or the new one, never half of one."""
    path = tmp_path / "overrides" / "web.json"
    write_json(path, {"services": {"web": {"image": "old"}}})
    before = path.stat().st_ino
    write_json(path, {"services": {"web": {"image": "new"}}})
    assert json.loads(path.read_text()) == {"services": {"web": {"image": "new"}}}
    assert path.stat().st_ino != before
    assert [found.name for found in path.parent.iterdir()] == ["web.json"]


def test_only_we_may_read_a_written_file(tmp_path: Path) -> None:
    """Inline documents can hold passwords."""
    path = tmp_path / "projects" / "web" / "compose.json"
    write_json(path, {})
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_document_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    """The old file counts, and no fragment lies beside it."""
    path = tmp_path / "web.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_launcher_had_half_written_goes_with_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the crash campaign: every kill at this moment left another file for ever."""
    path = tmp_path / "web.json"

    def killed(*_: object, **__: object) -> None:
        os._exit(0)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(json, "dump", killed)
        write_json(path, {"a": 1})
    os.waitpid(child, 0)
    assert [found.name for found in tmp_path.iterdir()] == [".web.json.fresh"]
    write_json(path, {"a": 2})
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


def test_pins_of_services_that_are_no_more_are_dropped(tmp_path: Path) -> None:
    """In an override they would add the service to the project, silently."""
    path = tmp_path / "web.json"
    pins = {"web": {"image": "a"}, "gone": {"image": "b"}}
    write_json(path, {"services": pins})
    assert pinned_services(path, {"web", "db"}) == {"web": {"image": "a"}}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"services": 3}', "{}"])
def test_an_override_that_cannot_be_read_is_replaced(tmp_path: Path, content: str) -> None:
    """It is only ever ours; a deployment must not fail on what a person did to it."""
    path = tmp_path / "web.json"
    path.write_text(content)
    assert pinned_services(path, {"web"}) == {}


def services_of(document: dict[str, object]) -> Any:
    """The services of a completed document."""
    return document["services"]


def test_inline_services_without_an_image_get_the_workloads() -> None:
    """`inline: {services: {server: {ports: [...]}}}` names no image anywhere."""
    inline = {"services": {"server": {"ports": ["10080:80"]}, "empty": None}, "name": "x"}
    done = completed(inline, IMAGE, ())
    assert done["name"] == "x"
    assert services_of(done) == {
        "server": {"ports": ["10080:80"], "image": IMAGE},
        "empty": {"image": IMAGE},
    }


def test_inline_services_that_say_what_they_run_are_left_alone() -> None:
    """A side-car keeps its own image."""
    bodies = {"db": {"image": "postgres"}, "b": {"build": "."}, "e": {"extends": {"service": "db"}}}
    assert services_of(completed({"services": bodies}, IMAGE, ())) == bodies


def test_only_the_listed_services_get_the_image() -> None:
    """What is not listed is none of the workload's business; compose names what it lacks."""
    bodies = {"a": {"ports": ["1:1"]}, "b": {"ports": ["2:2"]}}
    done = services_of(completed({"services": bodies}, IMAGE, ("a",)))
    assert done["a"]["image"] == IMAGE
    assert "image" not in done["b"]


def test_the_configured_document_is_not_changed() -> None:
    """It is the configuration, shared and used again for the next image."""
    inline: dict[str, object] = {"services": {"a": {}}}
    completed(inline, IMAGE, ())
    assert inline == {"services": {"a": {}}}
