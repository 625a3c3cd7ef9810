"""What senders also send: older and newer versions, self-hosted, rare and legal, and not for us.

One line each: the recording of a kind, what is different, what it leads to. Text is a reference
(`host/path:tag`, `@1` for its digest) or several; `-` is ignored, `!` is refused.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.sources.senders import D1, D2, MISSING, changed, recorded, source, with_body
from webhook_launcher.core.errors import EventError
from webhook_launcher.core.source import Delivery
from webhook_launcher.sources import KINDS, read

SIGNATURE = f"sha256-{'a' * 64}.sig"
LONGEST_TAG = "v" * 128
DEEP = "/".join(["a" * 30] * 8)  # 247 characters, of the 255 that are allowed
GHCR = "package.package_version.container_metadata"
HARBOR = "event_data.resources.0"
TARGET = "events.0.target"
PUSHED = "Microsoft.ContainerRegistry.ImagePushed"


@dataclass(frozen=True)
class Variant:
    """A delivery and what it leads to."""

    name: str
    delivery: Delivery
    leads_to: str
    registry: str | None = None


def of(kind: str, name: str, leads_to: str, *changes: tuple[str, Any], **more: Any) -> Variant:
    """A recording with changes; `registry` configures one, other names are headers."""
    registry = more.pop("registry", None)
    delivery = changed(recorded(kind), *changes)
    headers = {**delivery.headers, **{k.replace("_", "-"): v for k, v in more.items()}}
    sent = replace(delivery, headers={k: v for k, v in headers.items() if v is not MISSING})
    return Variant(f"{kind}: {name}", sent, leads_to, registry)


def harbor(name: str, leads_to: str, url: str, path: str, **resource: Any) -> Variant:
    """Harbor says a name in three fields."""
    project, _, rest = path.partition("/")
    whole = {"repo_full_name": path, "namespace": project, "name": rest}
    fields = [(f"{HARBOR}.{field}", value) for field, value in resource.items()]
    return of(
        "harbor",
        name,
        leads_to,
        (f"{HARBOR}.resource_url", url),
        ("event_data.repository", whole),
        *fields,
    )


def notified(name: str, leads_to: str, repository: str, **request: Any) -> Variant:
    """Distribution: another repository, with the URL that fits it."""
    url = f"http://registry:5000/v2/{repository}/manifests/{D1}"
    return of(
        "distribution",
        name,
        leads_to,
        (f"{TARGET}.repository", repository),
        (f"{TARGET}.url", url),
        *((f"events.0.request.{field}", value) for field, value in request.items()),
    )


def event_grid(**changes: Any) -> dict[str, Any]:
    """A CloudEvent of Event Grid."""
    push = json.loads(recorded("acr").body)
    base = {
        "specversion": "1.0",
        "type": PUSHED,
        "id": "831e1650",
        "source": "/subscriptions/1/resourceGroups/g/providers/x/registries/acme",
        "subject": "acme/web:stable",
        "time": "2026-03-01T11:59:59Z",
        "data": push,
    }
    return {**base, **changes}


def posted(kind: str, name: str, leads_to: str, body: Any, **headers: str) -> Variant:
    """Another body altogether."""
    delivery = with_body(recorded(kind), body)
    merged = {**delivery.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Variant(f"{kind}: {name}", replace(delivery, headers=merged), leads_to)


WEB = "acme.azurecr.io/acme/web:stable@1"
VARIANTS = [
    # GitHub: an index is three events; owners keep their case; charts and signatures are packages.
    of(
        "github",
        "child of an index",
        "-",
        (f"{GHCR}.tag.name", ""),
        ("package.package_version.package_url", "ghcr.io/acme/web:"),
    ),
    of(
        "github",
        "package_type npm, ecosystem docker",
        "ghcr.io/acme/web:stable@1",
        ("package.package_type", "npm"),
        ("package.ecosystem", "docker"),
    ),
    of("github", "npm", "-", ("package.package_type", "npm"), ("package.ecosystem", "npm")),
    of(
        "github",
        "nothing but what is needed",
        "ghcr.io/acme/web:stable",
        (
            "package",
            {
                "name": "web",
                "package_type": "container",
                "owner": {"login": "acme"},
                "package_version": {"container_metadata": {"tag": {"name": "stable"}}},
            },
        ),
    ),
    of(
        "github",
        "nested name",
        "ghcr.io/acme/web/api:stable@1",
        ("package.name", "Web/API"),
        ("package.package_version.package_url", "ghcr.io/acme/web/api:stable"),
    ),
    of(
        "github",
        "cosign",
        "-",
        (f"{GHCR}.tag.name", SIGNATURE),
        ("package.package_version.package_url", f"ghcr.io/acme/web:{SIGNATURE}"),
    ),
    of(
        "github",
        "chart",
        "-",
        (f"{GHCR}.manifest.config.media_type", "application/vnd.cncf.helm.config.v1+json"),
    ),
    of("github", "updated", "ghcr.io/acme/web:stable@1", ("action", "updated")),
    of(
        "github",
        "Enterprise Server",
        "containers.ghe.example.com/acme/web:stable@1",
        ("package.package_version.package_url", "containers.ghe.example.com/acme/web:stable"),
        registry="containers.ghe.example.com",
    ),
    of(
        "github",
        "longest tag",
        f"ghcr.io/acme/web:{LONGEST_TAG}@1",
        (f"{GHCR}.tag.name", LONGEST_TAG),
        ("package.package_version.package_url", f"ghcr.io/acme/web:{LONGEST_TAG}"),
    ),
    of("github", "tag too long", "!", (f"{GHCR}.tag.name", LONGEST_TAG + "v")),
    of("github", "no owner", "!", ("package.owner", MISSING)),
    posted("github", "ping", "-", {"zen": "x", "hook_id": 1, "hook": {}}, x_github_event="ping"),
    # Docker Hub: years of bodies.
    of("dockerhub", "before 2015", "-", ("push_data.tag", MISSING)),
    of(
        "dockerhub",
        "official",
        "docker.io/library/nginx:stable",
        ("repository", {"repo_name": "nginx"}),
    ),
    of(
        "dockerhub",
        "image media type",
        "docker.io/acme/web:stable",
        ("push_data.media_type", "application/vnd.oci.image.index.v1+json"),
    ),
    of(
        "dockerhub",
        "chart",
        "-",
        ("push_data.media_type", "application/vnd.cncf.helm.config.v1+json"),
    ),
    of(
        "dockerhub",
        "underscores and dots",
        "docker.io/acme/a__b.c-d_e:stable",
        ("repository", {"repo_name": "acme/a__b.c-d_e"}),
    ),
    of("dockerhub", "no repository", "!", ("repository", MISSING)),
    of("dockerhub", "tag is a number", "!", ("push_data.tag", 5)),
    of("dockerhub", "tag of one character", "docker.io/acme/web:1", ("push_data.tag", "1")),
    # Distribution: the name by which the client knew it, ports, IPv6.
    notified("IPv6", "[2001:db8::1]:5000/acme/web:stable@1", "acme/web", host="[2001:db8::1]:5000"),
    notified(
        "upper-case host",
        "registry.example.com/acme/web:stable@1",
        "acme/web",
        host="Registry.EXAMPLE.com",
    ),
    notified("port too large", "!", "acme/web", host="registry:70000"),
    notified("deep repository", f"registry:5000/{DEEP}:stable@1", DEEP),
    notified("a repository called v2", "registry:5000/v2/manifests/x:stable@1", "v2/manifests/x"),
    notified("one component", "registry:5000/web:stable@1", "web"),
    notified("upper-case repository", "!", "acme/Web"),
    of(
        "distribution",
        "configured host beats the client's name",
        "r.example.com/acme/web:stable@1",
        registry="r.example.com",
    ),
    of(
        "distribution",
        "schema 1",
        "registry:5000/acme/web:stable@1",
        (f"{TARGET}.mediaType", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
    ),
    of("distribution", "blob", "-", (f"{TARGET}.mediaType", "application/octet-stream")),
    of(
        "distribution",
        "tag deleted",
        "-",
        ("events.0.action", "delete"),
        (f"{TARGET}.digest", MISSING),
    ),
    of(
        "distribution",
        "mount",
        "-",
        ("events.0.action", "mount"),
        (f"{TARGET}.fromRepository", "acme/base"),
    ),
    of(
        "distribution", "odd actor", "registry:5000/acme/web:stable@1", ("events.0.actor", {"": ""})
    ),
    of(
        "distribution",
        "URL by tag",
        "registry:5000/acme/web:stable@1",
        (f"{TARGET}.url", "http://registry:5000/v2/acme/web/manifests/stable"),
    ),
    of("distribution", "no URL", "registry:5000/acme/web:stable@1", (f"{TARGET}.url", MISSING)),
    of("distribution", "referrers tag", "-", (f"{TARGET}.tag", f"sha256-{'b' * 64}")),
    of(
        "distribution",
        "two pushes",
        "registry:5000/acme/web:stable@1 registry:5000/acme/web:v2",
        (
            "events.1",
            {
                "action": "push",
                "request": {"host": "registry:5000"},
                "target": {
                    "mediaType": "application/vnd.oci.image.index.v1+json",
                    "repository": "acme/web",
                    "tag": "v2",
                },
            },
        ),
    ),
    # Quay.
    of(
        "quay",
        "scheme",
        "quay.io/acme/web:stable quay.io/acme/web:1.4.2",
        ("docker_url", "https://quay.io/acme/web"),
    ),
    of(
        "quay",
        "self-hosted with port",
        "quay.local:8443/acme/web:a",
        ("docker_url", "quay.local:8443/acme/web"),
        ("updated_tags", ["a"]),
    ),
    of(
        "quay",
        "signature among the tags",
        "quay.example.com/acme/web:v1",
        ("updated_tags", ["v1", SIGNATURE]),
    ),
    of(
        "quay",
        "old count",
        "quay.example.com/acme/web:v1",
        ("updated_tags", ["v1", "v1"]),
        ("pruned_image_count", 3),
    ),
    of(
        "quay",
        "nested",
        "quay.example.com/acme/a/b:v1",
        ("updated_tags", ["v1"]),
        ("docker_url", "quay.example.com/acme/a/b"),
        ("repository", "acme/a/b"),
    ),
    of(
        "quay",
        "build with its digests",
        "-",
        ("updated_tags", MISSING),
        ("docker_tags", ["latest", "v1"]),
        ("manifest_digests", [f"quay.io/acme/web@{D1}"]),
    ),
    of("quay", "build", "-", ("updated_tags", MISSING), ("docker_tags", ["latest"])),
    of("quay", "another host than ours", "!", registry="quay.io"),
    # Harbor.
    harbor(
        "port and depth",
        "h.example.com:8443/acme/a/b/c:stable@1",
        "h.example.com:8443/acme/a/b/c:stable",
        "acme/a/b/c",
    ),
    harbor("address", "192.0.2.7/acme/web:stable@1", "192.0.2.7/acme/web:stable", "acme/web"),
    harbor(
        "IPv6",
        "[2001:db8::1]:443/acme/web:stable@1",
        "[2001:db8::1]:443/acme/web:stable",
        "acme/web",
    ),
    harbor("by digest only", "-", f"harbor.example.com/acme/web@{D1}", "acme/web", tag=D1),
    harbor("old way of digests", "-", f"harbor.example.com/acme/web:{D1}", "acme/web", tag=D1),
    harbor(
        "tag and digest in the URL",
        "harbor.example.com/acme/web:stable@1",
        f"harbor.example.com/acme/web:stable@{D1}",
        "acme/web",
    ),
    harbor(
        "another digest in the URL", "!", f"harbor.example.com/acme/web:stable@{D2}", "acme/web"
    ),
    of("harbor", "1.x", "harbor.example.com/acme/web:stable@1", ("type", "pushImage")),
    of("harbor", "chart upload of 1.x", "-", ("type", "uploadChart")),
    of("harbor", "no digest", "harbor.example.com/acme/web:stable", (f"{HARBOR}.digest", MISSING)),
    of("harbor", "no resources", "-", ("event_data.resources", [])),
    # Azure.
    posted(
        "acr", "CloudEvents, one", WEB, event_grid(), content_type="application/cloudevents+json"
    ),
    posted(
        "acr",
        "CloudEvents, batch",
        WEB,
        [event_grid(), event_grid(type="x.y", data={})],
        content_type="application/cloudevents-batch+json",
    ),
    posted(
        "acr",
        "Event Grid schema",
        WEB,
        [{**event_grid(type=None, specversion=None), "eventType": PUSHED, "dataVersion": "1.0"}],
    ),
    posted("acr", "subject of another tag", "!", [event_grid(subject="acme/web:v9")]),
    posted(
        "acr",
        "two schemas that disagree",
        "!",
        [event_grid(eventType="Microsoft.ContainerRegistry.ImageDeleted")],
    ),
    posted(
        "acr", "image deleted", "-", [event_grid(type="Microsoft.ContainerRegistry.ImageDeleted")]
    ),
    posted(
        "acr", "chart pushed", "-", [event_grid(type="Microsoft.ContainerRegistry.ChartPushed")]
    ),
    posted("acr", "ping", "-", {"id": "1", "action": "ping"}),
    of("acr", "child of an index", "-", ("target.tag", MISSING)),
    of("acr", "quarantine", "-", ("action", "quarantine")),
    of("acr", "delete", "-", ("action", "delete"), ("target.tag", MISSING)),
    of("acr", "chart", "-", ("action", "chart_push"), ("request", MISSING)),
    of("acr", "chart deleted", "-", ("action", "chart_delete"), ("request", MISSING)),
    of("acr", "no host, none configured", "!", ("request.host", MISSING)),
    of(
        "acr",
        "no host, one configured",
        "acme.azurecr.io/acme/web:stable@1",
        ("request", MISSING),
        registry="acme.azurecr.io",
    ),
    of(
        "acr",
        "login server alone",
        "acme.azurecr.io/acme/web:stable@1",
        ("request", MISSING),
        ("loginServer", "acme.azurecr.io"),
    ),
    # Amazon.
    of("ecr", "pull through cache", "-", ("detail-type", "ECR Pull Through Cache Action")),
    of("ecr", "replication", "-", ("detail-type", "ECR Replication Action")),
    of("ecr", "failure", "-", ("detail.result", "FAILURE")),
    of(
        "ecr",
        "signature",
        "-",
        ("detail.artifact-media-type", "application/vnd.dev.cosign.artifact.sig.v1+json"),
    ),
    of(
        "ecr",
        "no digest",
        "210987654321.dkr.ecr.eu-central-1.amazonaws.com/acme/web:stable",
        ("detail.image-digest", MISSING),
    ),
    of(
        "ecr",
        "GovCloud",
        "210987654321.dkr.ecr.us-gov-west-1.amazonaws.com/acme/web:stable@1",
        ("region", "us-gov-west-1"),
    ),
    # Google.
    posted(
        "artifact-registry",
        "gcr.io",
        "eu.gcr.io/acme/web:stable",
        {"action": "INSERT", "tag": "eu.gcr.io/acme/web:stable"},
    ),
    posted(
        "artifact-registry",
        "digest alone",
        "-",
        {"action": "INSERT", "digest": f"eu.gcr.io/acme/web@{D1}"},
    ),
    posted(
        "artifact-registry",
        "domain-scoped project",
        "!",
        {"action": "INSERT", "tag": "eu.gcr.io/example.com:acme/web:stable"},
    ),
    posted("artifact-registry", "foreign message", "-", {"message": {"attributes": {"a": "b"}}}),
    # Gitea.
    of(
        "gitea",
        "old, username alone",
        "git.example.com:3000/acme/web:stable",
        ("package.owner", {"username": "Acme"}),
    ),
    of(
        "gitea",
        "IPv6",
        "[::1]:3000/acme/web:stable",
        ("package.html_url", "http://[::1]:3000/Acme/-/packages/container/Web/stable"),
    ),
    of(
        "gitea",
        "linked",
        "git.example.com:3000/acme/web:stable",
        ("repository", {"full_name": "acme/else"}),
    ),
    of(
        "gitea",
        "user name in the URL",
        "!",
        ("package.html_url", "https://evil@git.example.com/Acme/-/packages/container/Web/stable"),
    ),
    # Zot.
    of("zot", "older prefix left", "zot.example.com/acme/web:stable@1", registry="zot.example.com"),
    of(
        "zot",
        "empty digest",
        "zot.example.com/acme/web:stable",
        ("digest", ""),
        registry="zot.example.com",
    ),
    of("zot", "lint failed", "-", ce_type="zotregistry.image.lint_failed"),
    of("zot", "scanned", "-", ce_type="zotregistry.image.scanned"),
    of("zot", "no event type", "!", ce_type=MISSING),
    of("zot", "signature by digest", "-", ("reference", D1)),
    # Artifactory.
    of(
        "jfrog",
        "deep",
        "acme.jfrog.example/docker-local/a/b/c:stable@1",
        ("data.path", "a/b/c/stable/list.manifest.json"),
        ("data.name", "list.manifest.json"),
        ("data.image_name", "c"),
    ),
    of("jfrog", "no platform URL", "!", ("jpd_origin", MISSING)),
    of(
        "jfrog",
        "platform URL with a path",
        "acme.example.com/docker-local/acme/web:stable@1",
        ("jpd_origin", "https://acme.example.com/artifactory"),
    ),
    of(
        "jfrog",
        "no digest",
        "acme.jfrog.example/docker-local/acme/web:stable",
        ("data.sha256", MISSING),
    ),
    of("jfrog", "sample of the test button", "!", ("data.sha256", "sample_checksum")),
    of("jfrog", "chart", "-", ("data.image_type", "oci")),
    # Nexus.
    of("nexus", "group", "n.example.com:8443/acme/web:stable", registry="n.example.com:8443"),
    of("nexus", "asset", "-", x_nexus_webhook_id="rm:repository:asset"),
    of("nexus", "deleted", "-", ("action", "DELETED")),
    of(
        "nexus",
        "updated",
        "n.example.com/acme/web:stable",
        ("action", "UPDATED"),
        registry="n.example.com",
    ),
    of("nexus", "no registry", "!"),
    # Aliyun.
    of("aliyun", "no region", "!", ("repository.region", MISSING)),
    of(
        "aliyun",
        "personal instance",
        "crpi-1.cn-hangzhou.personal.cr.aliyuncs.com/acme/web:stable@1",
        registry="crpi-1.cn-hangzhou.personal.cr.aliyuncs.com",
    ),
    of(
        "aliyun",
        "no digest",
        "registry.cn-hangzhou.aliyuncs.com/acme/web:stable",
        ("push_data.digest", MISSING),
    ),
    # GitLab.
    posted("gitlab", "system hook", "-", {"event_name": "project_create", "name": "x"}),
    posted(
        "jfrog",
        "the user plugin before version 7",
        "-",
        {"artifactory": {"webhook": {"event": "docker.tagCreated", "data": {"docker": {}}}}},
    ),
    posted("gitlab", "job", "-", {"object_kind": "build", "tag": False}),
]


def outcome(variant: Variant) -> str:
    """What it leads to, in the notation of the table."""
    kind = variant.name.partition(":")[0]
    given = source(kind)
    if variant.registry is not None:
        given = replace(given, registry=variant.registry)
    try:
        statement = read(variant.delivery, given)
    except EventError:
        return "!"
    found = []
    for mention in statement.mentions:
        assert mention.reference is not None
        tagged = replace(mention.reference, digest=None)
        assert mention.reference.digest in (None, D1)
        found.append(f"{tagged}{'@1' if mention.reference.digest else ''}")
    assert bool(found) is (statement.ignored is None)
    return " ".join(found) or "-"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_variant_leads_to_what_it_says(variant: Variant) -> None:
    """A receiver that knows one sample of each sender fails at the second installation."""
    assert outcome(variant) == variant.leads_to


def test_fields_that_nobody_knows_change_nothing() -> None:
    """Every sender adds fields with its next version; only deploy events are ours to be strict."""
    for variant in VARIANTS:
        if variant.name.startswith("generic") or not variant.delivery.body.startswith(b"{"):
            continue
        more = changed(variant.delivery, ("x_new", {"a": [1, 2.5, None, {"b": "c"}]}))
        assert outcome(replace(variant, delivery=more)) == variant.leads_to, variant.name


def test_every_kind_has_a_recording_of_our_own() -> None:
    """A new kind needs one: the hostile tests start from it, and the documentation shows it."""
    own = {path.stem for path in (Path(__file__).parent / "deliveries").glob("*.http")}
    assert own == set(KINDS)
