from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sources.senders import D1, NOW, changed, options, recorded, source, with_body
from tests.sources.tokens import PUBLIC_KEYS, STRANGER, bearing, token
from webhook_launcher.core.errors import AuthenticationError, MalformedEventError
from webhook_launcher.core.model import Mention, Trust
from webhook_launcher.core.reference import parse_reference
from webhook_launcher.core.source import KEY_LOOKUP, Delivery, Source
from webhook_launcher.sources import KINDS, receive
from webhook_launcher.sources.github_oidc import GITHUB, audience_of

ROOT = Path(__file__).parents[2]
KIND = KINDS["github-oidc"]
IDENTITY = {
    "repository_id": 74,
    "repository_owner_id": 65,
    "job_workflow_ref": "acme/web/.github/workflows/deploy.yml@refs/heads/main",
    "environment": "production",
}
SOURCE = source("github-oidc", options={**options("github-oidc"), KEY_LOOKUP: PUBLIC_KEYS.get})
DEPLOY = recorded("github-oidc")
SECONDS = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "iss": GITHUB,
    "iat": SECONDS - 5,
    "nbf": SECONDS - 305,
    "exp": SECONDS + 295,
    "jti": "6c0f5e0e-1111-4000-8000-000000000000",
    "sub": "repo:acme@65/web@74:environment:production",
    "repository": "acme/web",
    "repository_id": "74",
    "repository_owner_id": "65",
    "job_workflow_ref": "acme/web/.github/workflows/deploy.yml@refs/heads/main",
    "environment": "production",
    "ref": "refs/heads/main",
    "event_name": "push",
}


def sent(delivery: Delivery = DEPLOY, **changes: Any) -> Delivery:
    """As a job sends it: with a token that was asked for with the body's hash."""
    return bearing(delivery, token({"aud": audience_of(delivery.body), **CLAIMS, **changes}))


def test_the_token_of_the_pinned_job_deploys() -> None:
    """No shared secret; the audience binds the token to the body, so the event is signed."""
    event = receive(sent(), SOURCE, NOW)
    assert event.mentions == (Mention(parse_reference(f"ghcr.io/acme/web:1.4.2@{D1}"), "web"),)
    assert event.trust is Trust.SIGNED
    assert event.secret_id == CLAIMS["job_workflow_ref"]
    assert event.delivery_id == CLAIMS["jti"]
    assert event.signed_at is not None


def test_the_audience_is_the_hash_of_the_body() -> None:
    """The contract with the job, written out."""
    assert audience_of(b"{}") == f"webhook-launcher:{sha256(b'{}').hexdigest()}"


def test_a_token_does_not_carry_another_body() -> None:
    """Who sees a token go by can repeat the same request and nothing else."""
    captured = sent()
    with pytest.raises(AuthenticationError):
        receive(replace(captured, body=changed(DEPLOY, ("workload", "api")).body), SOURCE, NOW)


@pytest.mark.parametrize(
    "audience",
    [
        "https://github.com/acme",
        "webhook-launcher",
        "webhook-launcher:",
        None,
        [audience_of(DEPLOY.body)],
    ],
)
def test_another_audience_is_refused(audience: Any) -> None:
    """The default audience is every receiver's that did not ask for its own."""
    with pytest.raises(AuthenticationError):
        receive(sent(aud=audience), SOURCE, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"repository_id": "75"},
        {"repository_id": None},
        {"repository_owner_id": "66"},
        {"job_workflow_ref": "acme/web/.github/workflows/test.yml@refs/heads/main"},
        {"job_workflow_ref": "acme/web/.github/workflows/deploy.yml@refs/heads/feature"},
        {"environment": "staging"},
        {"environment": None},
        {"environment": ["production"]},
        {"iss": "https://gitlab.example.com"},
        {"iss": f"{GITHUB}/acme"},
        {"event_name": "pull_request"},
        {"event_name": "pull_request_target"},
        {"event_name": None},
        {"jti": None},
        {"jti": ""},
        {"exp": SECONDS - 61},
        {"iat": SECONDS + 120},
    ],
)
def test_every_pin_must_hold(change: dict[str, Any]) -> None:
    """A fork, another workflow, a pull request: each has a genuine token of GitHub."""
    with pytest.raises(AuthenticationError):
        receive(sent(**change), SOURCE, NOW)


def test_a_token_that_lasts_for_a_month_is_good_for_a_day() -> None:
    """GitLab's last as long as the job may; a `jti` is not remembered for ever."""
    lasting, day = sent(iat=SECONDS, exp=SECONDS + 30 * 86400), timedelta(days=1)
    assert receive(lasting, SOURCE, NOW + day + timedelta(seconds=60)).mentions
    with pytest.raises(AuthenticationError, match="issued more than a day ago"):
        receive(lasting, SOURCE, NOW + day + timedelta(seconds=61))


def test_the_text_of_sub_does_not_matter() -> None:
    """Its form changed in 2026, and names in it can be taken over."""
    assert receive(sent(sub="repo:acme/web:ref:refs/heads/main"), SOURCE, NOW).mentions


def test_another_key_is_refused() -> None:
    """The right claims, made by somebody else."""
    claims = {"aud": audience_of(DEPLOY.body), **CLAIMS}
    with pytest.raises(AuthenticationError):
        receive(bearing(DEPLOY, token(claims, STRANGER)), SOURCE, NOW)


def test_a_source_without_identity_lets_nobody_in() -> None:
    """Even if the configuration let it through."""
    bare = replace(SOURCE, options={KEY_LOOKUP: PUBLIC_KEYS.get})
    with pytest.raises(AuthenticationError):
        receive(sent(), bare, NOW)


def test_the_body_is_a_deploy_event() -> None:
    """The same rules as for kind `deploy`: a mistake is told."""
    with pytest.raises(MalformedEventError, match="image"):
        receive(sent(with_body(DEPLOY, {"type": "deploy", "image": "x"})), SOURCE, NOW)


GITLAB = "https://gitlab.example.com"
# As GitLab documents them: ids and booleans are text, times are numbers, one audience.
GITLAB_CLAIMS: dict[str, Any] = {
    "iss": GITLAB,
    "sub": "project_path:acme/web:ref_type:branch:ref:main",
    "iat": SECONDS,
    "nbf": SECONDS - 5,
    "exp": SECONDS + 3600,
    "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
    "namespace_id": "72",
    "namespace_path": "acme",
    "project_id": "20",
    "project_path": "acme/web",
    "user_id": "1",
    "user_login": "alice",
    "user_email": "alice@example.com",
    "user_access_level": "developer",
    "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "groups_direct": ["acme"],
    "environment": "production",
    "environment_protected": "true",
    "deployment_tier": "production",
    "environment_action": "start",
    "runner_id": 1,
    "runner_environment": "self-hosted",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "project_visibility": "private",
    "ci_config_ref_uri": "gitlab.example.com/acme/web//.gitlab-ci.yml@refs/heads/main",
    "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
}


def gitlab() -> Source:
    """The source that the documentation shows."""
    text = (ROOT / "docs/senders.md").read_text("utf-8")
    block = text.partition("### github-oidc with GitLab CI")[2].partition("```yaml\n")[2]
    pins = yaml.safe_load(block.partition("```")[0])["gitlab-ci"]["identity"]
    parsed = KIND.options["identity"](pins)
    return replace(SOURCE, options={"identity": parsed, KEY_LOOKUP: PUBLIC_KEYS.get})


def of_gitlab(body: bytes, **changes: Any) -> Delivery:
    """As the job of examples/gitlab-ci.yml sends it: its `aud`, with the variable expanded."""
    job = yaml.safe_load((ROOT / "examples/gitlab-ci.yml").read_text("utf-8"))["deploy"]
    audience = job["id_tokens"]["LAUNCHER_TOKEN"]["aud"]
    audience = audience.replace("$DEPLOY_BODY_SHA256", sha256(body).hexdigest())
    claims = {**GITLAB_CLAIMS, "aud": audience, **changes}
    return bearing(replace(DEPLOY, body=body), token(claims))


def test_a_job_of_gitlab_ci_deploys() -> None:
    """Another issuer with its own key set and its own ids; the documented source takes it."""
    event = receive(of_gitlab(DEPLOY.body), gitlab(), NOW)
    assert (event.trust, event.secret_id) == (Trust.SIGNED, "acme/web")
    assert event.delivery_id == GITLAB_CLAIMS["jti"]
    assert event.mentions == (
        Mention(parse_reference(f"ghcr.io/acme/web:1.4.2@{D1}"), workload="web"),
    )
    assert KIND.jwks is not None
    assert KIND.jwks(gitlab()) == f"{GITLAB}/oauth/discovery/keys"
    assert KIND.jwks(SOURCE) == f"{GITHUB}/.well-known/jwks"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://gitlab.com"},
        {"project_id": "21"},
        {"namespace_id": "73"},
        {"ref_path": "refs/tags/main"},
        {"ref_path": None},
        {"ref_protected": "false"},
        {"environment": "staging"},
        {"environment": None},
        {"pipeline_source": "merge_request_event"},
        {"pipeline_source": "external_pull_request_event"},
        {"pipeline_source": "parent_pipeline"},
        {"pipeline_source": None},
        {"jti": None},
        {"aud": GITLAB},
        {"aud": [f"webhook-launcher:{sha256(DEPLOY.body).hexdigest()}", GITLAB]},
        {"exp": SECONDS - 61},
    ],
)
def test_every_other_job_of_gitlab_ci_is_refused(change: dict[str, Any]) -> None:
    """Forks, other branches, merge requests, other projects of the same GitLab."""
    with pytest.raises(AuthenticationError):
        receive(of_gitlab(DEPLOY.body, **change), gitlab(), NOW)


def test_a_job_of_gitlab_ci_carries_no_other_body() -> None:
    """The variable in `aud` is the hash of the body that the job before it wrote."""
    other = replace(of_gitlab(DEPLOY.body), body=DEPLOY.body + b"\n")
    with pytest.raises(AuthenticationError):
        receive(other, gitlab(), NOW)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {**IDENTITY, "sub": "repo:acme/web:ref:refs/heads/main"},
        {**IDENTITY, "aud": "mine"},
        {**IDENTITY, "environment": ""},
        {**IDENTITY, "environment": ["a"]},
        {**IDENTITY, "Ref": "x"},
        {k: v for k, v in IDENTITY.items() if k != "environment"},
        {k: v for k, v in IDENTITY.items() if k != "repository_owner_id"},
        {k: v for k, v in IDENTITY.items() if k != "job_workflow_ref"},
        {"issuer": "https://gitlab.example.com", "project_id": 1, "ref": "main"},
        {"project_id": 20, "namespace_id": 72, "ref_path": "refs/heads/main"},  # of which GitLab?
    ],
)
def test_an_identity_that_is_too_wide_is_a_configuration_error(value: object) -> None:
    """Leaving out one pin lets in every workflow, fork or branch."""
    with pytest.raises(ValueError, match="must"):
        KIND.options["identity"](value)
    assert "identity" in KIND.required_options


def test_a_short_ref_alone_is_no_pin() -> None:
    """GitLab's ref is `main` for a branch and for a tag, and tags are easier to make."""
    ids = {"issuer": "https://gitlab.com", "project_id": 20, "namespace_id": 72}
    pins = {**ids, "ref": "main"}
    with pytest.raises(ValueError, match="ref_type"):
        KIND.options["identity"](pins)
    KIND.options["identity"]({**pins, "ref_type": "branch"})
    KIND.options["identity"]({**ids, "ref_path": "refs/heads/main"})
