"""The contract's example, and what a file of a few lines leaves to the defaults."""

from datetime import timedelta
from pathlib import Path

import pytest

from webhook_launcher.config import load, parse
from webhook_launcher.core.errors import ConfigurationError
from webhook_launcher.core.reference import Repository
from webhook_launcher.core.workload import TrackKind
from webhook_launcher.sources import KINDS

# The configuration of the contract with the users, with the paths made local and without the
# trackers that this version refuses.
EXAMPLE = """
listen: 127.0.0.1:8080
state: var/lib/webhook-launcher           # SQLite journal, generated overrides, keys
parallel: 4                               # workloads deployed at the same time
poll: {every: 15m, jitter: 20%}           # the fallback; `every: off` turns it off
limits: {body: 1MiB, pending: 10000}
admin: {token_file: secrets/admin}        # bearer token of the API and the page

registries:                               # optional
  127.0.0.1:5000: {insecure: true}        # plain HTTP; loopback is allowed without saying so
  ghcr.io: {username: acme, password_file: secrets/ghcr}

sources:                                  # the name is the last part of the URL
  hub:   {kind: dockerhub, token_file: secrets/hub}            # POST /hooks/hub/<token>
  ghcr:
    kind: github
    secrets: [{id: 2026, secret_file: secrets/gh}, {id: old, secret_file: secrets/gh-old}]
  local: {kind: distribution, header: Authorization, secret_file: secrets/local,
          registry: "127.0.0.1:5000"}
  ci:
    kind: deploy                          # signed deploy events, Standard Webhooks
    tolerance: 5m
    keys: [{id: ci-2026, public_key: whpk_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=},
           {id: ci-hmac, secret_file: secrets/ci}]
    workloads: [web]                      # scope

workloads:
  web:
    image: ghcr.io/acme/web               # the only repository this workload may ever run
    track: {tag: stable}
    compose: {file: srv/web/compose.yml, project: web, services: [app, jobs]}
    health: {timeout: 60s, settle: 5s}    # default: derived from the container's healthcheck
    rollback: true
    policy: []
  server:                                 # no compose file of your own: the launcher writes it
    image: docker.io/library/nginx
    track: {tag: stable}
    compose: {inline: {services: {server: {ports: ["10080:80"]}}}}
"""
SMALL = """
workloads:
  web:
    image: ghcr.io/acme/web
    track: {tag: stable}
    compose: {inline: {services: {web: {}}}}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the example's files are: the secrets and a compose file."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("admin", "ghcr", "hub", "gh", "gh-old", "local"):
        (secrets / name).write_text(f"the-secret-of-{name}\n")
    (secrets / "ci").write_text("whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n")
    compose = tmp_path / "srv/web/compose.yml"
    compose.parent.mkdir(parents=True)
    compose.write_text("services: {app: {}, jobs: {}}\n")
    return tmp_path


def test_every_key_of_the_contract_is_understood(directory: Path) -> None:
    """Users' files are written from the contract's example: each of its keys must arrive."""
    file = directory / "config.yml"
    file.write_text(EXAMPLE)
    settings = load(file, KINDS)
    assert (settings.listen, settings.parallel) == (("127.0.0.1", 8080), 4)
    assert settings.state == directory / "var/lib/webhook-launcher"
    assert (settings.poll.every, settings.poll.jitter) == (900.0, 0.2)
    assert (settings.limits.body, settings.limits.pending) == (1024**2, 10_000)
    assert settings.admin_token == b"the-secret-of-admin"
    assert settings.registries["127.0.0.1:5000"].insecure
    ghcr = settings.registries["ghcr.io"]
    assert (ghcr.username, ghcr.password) == ("acme", "the-secret-of-ghcr")


def test_the_sources_of_the_contract_are_understood(directory: Path) -> None:
    """Ids may be numbers, secrets files, and one source may hold keys of both schemes."""
    sources = parse(EXAMPLE, directory / "config.yml", KINDS).sources
    assert [token.value for token in sources["hub"].tokens] == [b"the-secret-of-hub"]
    assert [secret.id for secret in sources["ghcr"].secrets] == ["2026", "old"]
    assert sources["ghcr"].registry == "ghcr.io"
    assert (sources["local"].header, sources["local"].registry) == (
        "Authorization",
        "127.0.0.1:5000",
    )
    ci = sources["ci"]
    assert [(key.id, key.scheme) for key in ci.keys] == [("ci-2026", "v1a"), ("ci-hmac", "v1")]
    assert (ci.tolerance, ci.workloads) == (timedelta(minutes=5), frozenset({"web"}))
    assert sources["hub"].workloads is None


def test_the_workloads_of_the_contract_are_understood(directory: Path) -> None:
    """What is run, from where, followed how, gated how."""
    workloads = parse(EXAMPLE, directory / "config.yml", KINDS).workloads
    web, server = workloads["web"], workloads["server"]
    assert web.repository == Repository("ghcr.io", "acme/web")
    assert (web.track.kind, web.track.tag) == (TrackKind.TAG, "stable")
    assert (web.project.name, web.project.services) == ("web", ("app", "jobs"))
    assert web.project.files == (directory / "srv/web/compose.yml",)
    assert web.project.directory == directory / "srv/web"
    assert (web.health.timeout, web.health.settle, web.rollback) == (60.0, 5.0, True)
    assert web.policies == ()
    assert server.project.inline == {"services": {"server": {"ports": ["10080:80"]}}}
    assert server.project.name == "server"


def test_a_small_file_has_the_documented_defaults(tmp_path: Path) -> None:
    """Five lines are enough to start; what they leave out must be safe."""
    settings = parse(SMALL, tmp_path / "config.yml", KINDS)
    assert settings.listen == ("127.0.0.1", 8080)
    assert settings.state == Path("/var/lib/webhook-launcher")
    assert settings.admin_token is None
    assert (settings.parallel, settings.poll.every, settings.poll.jitter) == (4, 900.0, 0.2)
    assert (settings.limits.body, settings.limits.pending) == (1024**2, 10_000)
    web = settings.workloads["web"]
    assert web.rollback
    assert web.poll == settings.poll
    assert (web.health.timeout, web.health.settle) == (None, None)
    assert (web.hooks.before, web.hooks.after) == ((), ())


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"\xff\xfe\x00", "not UTF-8"), (b"#" * 1100000, "longer than 1MiB")],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """The first mistake of all is the wrong path: the message says which file was meant."""
    file = tmp_path / "config.yml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words) as caught:
        load(file, KINDS)
    assert str(file) in str(caught.value)


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    """Docker makes a directory where a bind-mounted file is missing."""
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load(tmp_path, KINDS)
