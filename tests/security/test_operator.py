"""The operator with the admin token, and mistakes in the configuration."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.compose.test_client import FakeCompose
from tests.builders import CONFIGURATION, D1, LEFT_OUT, Edge, admin, changed
from tests.cli.conftest import command
from tests.config.faults import faults, faults_of, read, with_changes
from tests.world import OPERATOR, WEB, A, B, World
from webhook_launcher.adapters.compose import Compose
from webhook_launcher.cli.output import plain
from webhook_launcher.core.errors import ComposeError
from webhook_launcher.core.model import Status
from webhook_launcher.core.policies import NoDowngrade
from webhook_launcher.core.reference import parse_repository
from webhook_launcher.core.workload import ComposeProject

__all__ = ["command"]  # a fixture


# ── with the admin token ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "reference", [f"ghcr.io/acme/other@{D1}", f"evil.example/acme/web@{D1}", "ghcr.io/acme/web"]
)
def test_an_operator_who_names_another_repository(edge: Edge, reference: str) -> None:
    """O1: which repository a workload runs stands in the configuration alone."""
    path = "/api/v1/workloads/web/deploy"
    answer = edge.http.post(path, json={"reference": reference}, headers=admin())
    assert answer.status_code == 422
    assert not edge.woken


def test_nothing_stops_an_operator_who_goes_back(world: World) -> None:
    """O2: the named exception of `no_downgrade`; the history and its receipt say who it was."""
    for pushed in (A, B):
        world.push(pushed)
        world.work()
    world.workloads["web"] = replace(WEB, policies=(NoDowngrade(),))
    world.restart()
    world.deploy(A, origin=OPERATOR)
    world.work()
    assert world.host.runs() == A
    assert world.history()[-1].origin.trust is OPERATOR.trust


def test_an_operator_who_deploys_what_failed(world: World) -> None:
    """O3: quarantine binds operators too, until they lift it in so many words."""
    world.push(A)
    world.work()
    world.host.unhealthy.add(B)
    world.push(B)
    world.work()
    intent = world.deploy(B, origin=OPERATOR)
    world.work()
    assert (world.intent(intent).status, world.host.runs()) == (Status.ERROR, A)


def test_nothing_stops_an_operator_who_signs_with_another_name(edge: Edge) -> None:
    """O4: there is one admin token: `actor` is what its holder writes there."""
    path = "/api/v1/workloads/web/deploy"
    body = {"reference": f"ghcr.io/acme/web@{D1}", "actor": "somebody else"}
    assert edge.http.post(path, json=body, headers=admin()).status_code == 202
    [intent] = edge.journal.intents.waiting("web")
    assert (intent.wish.origin.source, intent.wish.origin.actor) == ("operator", "somebody else")


def test_an_operators_terminal() -> None:
    """O5: whatever a hook, a container or an asker wrote is shown without what terminals obey."""
    assert plain("\x1b[2J\r\n\x07a\u202eb\x9bc") == " [2J   a b c"


# ── mistakes in the configuration ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sources.hub.token", LEFT_OUT),
        ("sources.hub.token", ""),
        ("sources.hub.token", "short"),
        ("sources.ghcr.secret", LEFT_OUT),
        ("sources.ghcr.secret", ""),
        ("sources.ci.keys", []),
        ("sources.ci.keys", LEFT_OUT),
        ("admin.token", "short"),
    ],
)
def test_a_source_that_lets_everybody_in(path: str, value: Any) -> None:
    """C1: no secret, an empty one or one that is soon guessed: the launcher does not start."""
    assert any(found.startswith(path.rpartition(".")[0]) for found in faults_of(path, value))


@pytest.mark.parametrize(
    "policy",
    [
        ["signed_by_us"],
        [{"signed_by": {"keys": []}}],
        [{"signed_by": {}}],
        [{"minimum_age": "soon"}],
        [{"command": []}],
        [{"require_trust": "anybody"}],
        {"signed_by": {}},
        "none",
    ],
)
def test_a_policy_that_admits_everything(policy: Any) -> None:
    """C2: unknown, empty or misspelt: refused, and never left out."""
    assert faults_of("workloads.web.policy", policy)


def test_a_file_that_grows_when_it_is_read() -> None:
    """C3: aliases of aliases are counted before anything is built."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert faults("\n".join(lines))


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "-x", "A", "a\nb", ".", "x" * 64, "a b"])
@pytest.mark.parametrize("section", ["sources", "workloads"])
def test_a_name_that_becomes_a_path(section: str, name: str) -> None:
    """C4: names are files in the state directory and among the recorded deliveries."""
    entries = CONFIGURATION[section]
    assert faults(with_changes({section: {**entries, name: next(iter(entries.values()))}}))


def test_a_project_name_that_becomes_a_path() -> None:
    """C4: the override is named after it."""
    assert faults_of("workloads.web.compose.project", "../../etc/x")


def test_an_image_by_a_variable(tmp_path: Path) -> None:
    """C5: `image: ${IMAGE}` from the environment moves nothing: it must be of the repository."""
    file = tmp_path / "compose.yml"
    run = FakeCompose()
    environment = {"PATH": "/bin", "IMAGE": "evil.example/x", "DOCKER_CONFIG": str(tmp_path)}
    compose = Compose(run, tmp_path / "state", environment)
    web = parse_repository("ghcr.io/acme/web")
    project = ComposeProject("shop", tmp_path, (file,))
    file.write_text(json.dumps({"services": {"app": {"image": "evil.example/x"}}}))
    with pytest.raises(ComposeError, match="no service"):
        compose.services(project, web)
    listed = replace(project, services=("app",))
    override = compose.pin(listed, f"{web}@{D1}", compose.services(listed, web))
    assert json.loads(override.read_text()) == {"services": {"app": {"image": f"{web}@{D1}"}}}
    assert all("IMAGE" not in given for given in run.environments)


def test_nothing_stops_a_compose_file_that_asks_for_the_host() -> None:
    """C6: `privileged`, the socket, a mount of `/`: it is run as it is written."""
    body = {"privileged": True, "volumes": ["/:/host"]}
    settings = read(
        with_changes({"workloads.web.compose": {"inline": {"services": {"web": body}}}})
    )
    assert settings.workloads["web"].project.inline == {"services": {"web": body}}


def test_nothing_stops_a_secret_in_a_file_that_all_may_read(tmp_path: Path) -> None:
    """C7: its modes are not looked at."""
    secret = tmp_path / "secret"
    secret.write_text("a-secret-that-all-may-read")
    secret.chmod(0o644)
    text = json.dumps(
        changed(
            CONFIGURATION,
            {"sources.ghcr.secret": LEFT_OUT, "sources.ghcr.secret_file": str(secret)},
        )
    )
    assert read(text).sources["ghcr"].secrets


def test_nothing_stops_listening_everywhere_without_tls() -> None:
    """C8: what travels is then public: E1 and E2."""
    assert read(with_changes({"listen": "0.0.0.0:8080"})).listen == ("0.0.0.0", 8080)  # noqa: S104
