"""Which projects depend on where their directory is."""

import json
from typing import Any

import pytest

from tests.projects import Host
from webhook_launcher.adapters.compose.model import mounts_relatively
from webhook_launcher.core.errors import ComposeError
from webhook_launcher.core.reference import parse_repository

WEB = parse_repository("registry.test/acme/web")


def printed(service: dict[str, Any], **more: Any) -> bytes:
    """What `config --no-path-resolution` prints of a project with the service `web`."""
    return json.dumps({"services": {"web": service}, **more}).encode()


def bind(source: str) -> dict[str, Any]:
    """A service with one bind mount."""
    return {"volumes": [{"type": "bind", "source": source, "target": "/x"}]}


@pytest.mark.parametrize("source", ["./site", "site/en", "../shared", "."])
def test_a_relative_bind_mount_depends_on_the_directory(source: str) -> None:
    """Compose resolves it on the launcher's side, the engine mounts it on its own."""
    assert mounts_relatively(printed(bind(source)), ["web"])


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "~/.ssh"])
def test_other_bind_mounts_do_not(source: str) -> None:
    """Wherever the project is, they mean the same place."""
    assert not mounts_relatively(printed(bind(source)), ["web"])


def test_a_named_volume_does_not() -> None:
    """Its source is a name and only looks like a relative path."""
    volume = {"volumes": [{"type": "volume", "source": "site", "target": "/x"}]}
    assert not mounts_relatively(printed(volume), ["web"])


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_a_secret_or_config_from_a_file_is_a_bind_mount_too(kind: str) -> None:
    """Compose mounts their files; a wrong path would make a directory of the secret."""
    service = {kind: [{"source": "key"}]}
    assert mounts_relatively(printed(service, **{kind: {"key": {"file": "./key"}}}), ["web"])
    assert not mounts_relatively(printed(service, **{kind: {"key": {"file": "/key"}}}), ["web"])
    assert not mounts_relatively(printed(service, **{kind: {"key": {"content": "x"}}}), ["web"])


def test_services_that_are_not_ours_do_not_matter() -> None:
    """We recreate only our own; a warning about others could not be acted on here."""
    document = {"services": {"web": {}, "db": bind("./rows")}}
    assert not mounts_relatively(json.dumps(document).encode(), ["web"])


@pytest.mark.parametrize("text", [b"", b"[]", b'{"services": {}}'])
def test_what_compose_never_prints_is_a_compose_error(text: bytes) -> None:
    """Not known is an answer too, and the caller has to hear it."""
    with pytest.raises(ComposeError):
        mounts_relatively(text, ["web"])


@pytest.mark.engine
@pytest.mark.parametrize(("source", "expected"), [("./site", True), ("/srv/site", False)])
@pytest.mark.parametrize("inline", [True, False])
def test_the_real_compose_keeps_paths_as_they_were_written(
    host: Host, source: str, expected: bool, inline: bool
) -> None:
    """The option that it depends on must be known to the compose that is there."""
    service = {"image": "registry.test/acme/web:1", "volumes": [f"{source}:/www:ro"]}
    project = host.project({"web": service}, inline=inline)
    assert host.compose.mounts_relatively(project, WEB) is expected
