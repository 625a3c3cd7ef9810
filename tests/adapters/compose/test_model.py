"""What `config` says of a project, and which services a deployment moves."""

import json
from typing import Any

import pytest

from webhook_launcher.adapters.compose.model import ProjectModel
from webhook_launcher.core.errors import ComposeError
from webhook_launcher.core.reference import parse_repository

WEB = parse_repository("ghcr.io/acme/web")


def model(**services: dict[str, Any]) -> ProjectModel:
    """A project as `config --format json` prints it."""
    return ProjectModel.parse(json.dumps({"name": "p", "services": services}).encode())


def test_every_service_of_the_repository_is_moved() -> None:
    """Web and worker from one image must not run two versions of it."""
    project = model(
        web={"image": "ghcr.io/acme/web:stable"},
        worker={"image": "ghcr.io/acme/web:1.2@sha256:" + "a" * 64},
        bare={"image": "ghcr.io/acme/web"},
        other={"image": "ghcr.io/acme/web2:stable"},
        db={"image": "postgres:16"},
        built={"build": "."},
    )
    assert project.running(WEB, ()) == ("bare", "web", "worker")


def test_repositories_are_compared_as_what_they_mean() -> None:
    """`nginx` and `docker.io/library/nginx` are one repository."""
    project = model(a={"image": "nginx"}, b={"image": "index.docker.io/library/nginx:1"})
    assert project.running(parse_repository("docker.io/library/nginx"), ()) == ("a", "b")


def test_a_service_that_is_switched_off_by_profile_is_not_started() -> None:
    """Naming it in `up` would start a debug container that the operator does not want."""
    project = model(
        web={"image": "ghcr.io/acme/web"},
        debug={"image": "ghcr.io/acme/web", "profiles": ["debug"]},
    )
    assert project.running(WEB, ()) == ("web",)
    assert project.running(WEB, ["debug"]) == ("debug", "web")
    assert project.running(WEB, ["*"]) == ("debug", "web")


@pytest.mark.parametrize("body", [{"scale": 0}, {"deploy": {"replicas": 0}}])
def test_a_service_scaled_to_zero_is_left_alone(body: dict[str, Any]) -> None:
    """It has no container, so the gate would wait for one that never comes."""
    project = model(
        web={"image": "ghcr.io/acme/web", "deploy": {"replicas": 2}},
        off={"image": "ghcr.io/acme/web", **body},
    )
    assert project.running(WEB, ()) == ("web",)


def test_a_job_that_others_wait_for_is_left_alone() -> None:
    """A migration ends by design; the gate would call that a crash."""
    waits = {"migrate": {"condition": "service_completed_successfully", "required": True}}
    project = model(
        web={"image": "ghcr.io/acme/web", "depends_on": waits},
        migrate={"image": "ghcr.io/acme/web"},
    )
    assert project.running(WEB, ()) == ("web",)


def test_an_image_that_no_registry_can_serve_is_not_ours() -> None:
    """A local name in another grammar must not stop the deployment of its neighbours."""
    project = model(web={"image": "ghcr.io/acme/web"}, odd={"image": "Local_Name:x"})
    assert project.running(WEB, ()) == ("web",)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"services": [1]}', b"null"])
def test_unexpected_output_is_an_error_of_ours_with_the_output(text: bytes) -> None:
    """A compose version that prints something else must be seen, not guessed at."""
    with pytest.raises(ComposeError, match="unexpected") as raised:
        ProjectModel.parse(text)
    assert raised.value.output == text.decode()
