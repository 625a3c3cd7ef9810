"""Deliveries for tests: own recordings in `deliveries/`, changed and signed as a test needs."""

import copy
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Digest, Reference, parse_reference
from webhook_launcher.core.source import Delivery, Secret, Source
from webhook_launcher.sources import KINDS

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)  # 1772366400, as in deliveries/deploy.http
D1 = Digest("sha256:" + "1" * 64)
D2 = Digest("sha256:" + "2" * 64)
SECRET = b"a-shared-secret"
TOKEN = b"a-long-token-of-the-url"
MISSING = object()
TOPIC = "arn:aws:sns:eu-central-1:210987654321:pushes"
# What the recordings of kinds with required options need configured, as in the YAML file.
OPTIONS: dict[str, dict[str, object]] = {
    "sns": {"topics": [TOPIC]},
    "artifact-registry": {
        "audience": "https://launcher.example.com/hooks/gar",
        "email": "pusher@acme.iam.gserviceaccount.com",
    },
    "github-oidc": {
        "identity": {
            "repository_id": 74,
            "repository_owner_id": "65",
            "job_workflow_ref": "acme/web/.github/workflows/deploy.yml@refs/heads/main",
            "environment": "production",
        }
    },
    "generic": {
        "fields": {
            "repository": "name",
            "tag": "labels.tag",
            "digest": "digest",
            "actor": "by.name",
        },
        "each": "images",
        "when": {"event": "image.*", "final": True},
        "id_header": "X-Delivery",
    },
}
_DELIVERIES = Path(__file__).parent / "deliveries"


def http(text: str) -> Delivery:
    """A recorded request: request line, headers, blank line, body."""
    head, _, body = text.partition("\n\n")
    request, *lines = head.splitlines()
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    parts = request.split(" ")[1].strip("/").split("/")
    token = parts[2] if len(parts) > 2 else None
    return Delivery(headers, body.removesuffix("\n").encode(), token)


def recorded(name: str) -> Delivery:
    """The project's own recording of a kind (`deliveries/<name>.http`)."""
    return http((_DELIVERIES / f"{name}.http").read_text(encoding="utf-8"))


def options(kind: str, **given: object) -> dict[str, object]:
    """The kind's own options, parsed from YAML values as the configuration does it."""
    raw = {**OPTIONS.get(kind, {}), **given}
    return {name: KINDS[kind].options[name](value) for name, value in raw.items()}


def source(kind: str, **given: Any) -> Source:
    """A configured source of a kind, with the kind's own defaults."""
    own = KINDS[kind]
    defaults = {"name": kind, "kind": kind, "registry": own.registry, "header": own.header}
    return Source(**{**defaults, "options": options(kind), **given})


def secrets(*values: bytes) -> tuple[Secret, ...]:
    """Secrets with the ids `0`, `1` and so on."""
    return tuple(Secret(str(number), value) for number, value in enumerate(values))


def with_body(delivery: Delivery, body: Any) -> Delivery:
    """The same request with another body: bytes, or a value to be written as JSON."""
    return replace(delivery, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def with_headers(delivery: Delivery, **headers: str | None) -> Delivery:
    """The same request with headers changed (`_` for `-`) or, where None, left out."""
    changed = dict(delivery.headers)
    for name, value in headers.items():
        key = name.replace("_", "-").lower()
        changed.pop(key, None)
        if value is not None:
            changed[key] = value
    return replace(delivery, headers=changed)


def changed(delivery: Delivery, *changes: tuple[str, Any]) -> Delivery:
    """The same request with fields of its JSON body changed: `("events.0.action", "pull")`."""
    body = json.loads(delivery.body)
    for path, value in changes:
        _put(body, path.split("/") if "/" in path else path.split("."), value)
    return with_body(delivery, body)


def _put(body: Any, path: list[str], value: Any) -> None:
    *parents, last = [int(part) if part.isdigit() else part for part in path]
    for part in parents:
        body = body[part]
    if value is MISSING:
        del body[last]
    elif isinstance(body, list) and last == len(body):
        body.append(copy.deepcopy(value))
    else:
        body[last] = value


def mac(body: bytes, secret: bytes = SECRET, algorithm: str = "sha256") -> str:
    """The hex MAC that a sender with this secret makes."""
    return hmac.new(secret, body, algorithm).hexdigest()


def pushed(text: str, digest: Digest | None = None, *, one_of_several: bool = False) -> Mention:
    """What a push of this image says."""
    reference: Reference = parse_reference(text)
    return Mention(reference.at(digest) if digest else reference, one_of_several=one_of_several)
