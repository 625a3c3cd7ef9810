"""A launcher without its engine: real configuration, journal, sources and HTTP; a clock to set."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from tests.clock import FakeClock
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.config import Settings, parse
from webhook_launcher.core.model import Deployment, Image, Origin, Status, Trust
from webhook_launcher.core.reference import Digest, parse_reference
from webhook_launcher.core.signatures import SigningKey, parse_signing_key, sign
from webhook_launcher.core.source import Source
from webhook_launcher.sources import KINDS, may_send, receive
from webhook_launcher.web import create_app
from webhook_launcher.web.api import Console
from webhook_launcher.web.health import Check, Health
from webhook_launcher.web.reception import Intake

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
D1 = Digest("sha256:" + "1" * 64)
D2 = Digest("sha256:" + "2" * 64)
ADMIN = "an-admin-token-of-the-tests"
URL_TOKEN = "a-url-token-of-the-tests"
HEADER_SECRET = "a-header-secret-of-the-tests"
GITHUB_SECRET = "a-github-secret-of-the-tests"
# Base64 of 32 equal bytes.
HMAC_KEY = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="

CONFIGURATION: dict[str, Any] = {
    "state": "state",
    "admin": {"token": ADMIN},
    "sources": {
        "hub": {"kind": "dockerhub", "token": URL_TOKEN},
        "ghcr": {"kind": "github", "secret": GITHUB_SECRET},
        "local": {
            "kind": "distribution",
            "secret": HEADER_SECRET,
            "registry": "127.0.0.1:5000",
        },
        "ci": {
            "kind": "deploy",
            "keys": [{"id": "ci-1", "secret": HMAC_KEY}],
            "workloads": ["web", "pinned"],
        },
    },
    "workloads": {
        "web": {
            "image": "ghcr.io/acme/web",
            "track": {"tag": "stable"},
            "compose": {"inline": {"services": {"web": {}}}},
        },
        "site": {
            "image": "docker.io/acme/site",
            "track": {"tag": "latest"},
            "compose": {"inline": {"services": {"site": {}}}},
        },
        "pinned": {
            "image": "127.0.0.1:5000/acme/pinned",
            "track": "none",
            "compose": {"inline": {"services": {"pinned": {}}}},
        },
    },
}


class WallClock(FakeClock):
    """Wall time as it is, for signatures that somebody else makes with their own clock."""

    def now(self) -> datetime:
        """Wall time."""
        return datetime.now(UTC)


LEFT_OUT = object()


def changed(configuration: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with values at dotted paths replaced, or left out (LEFT_OUT)."""
    copy: dict[str, Any] = json.loads(json.dumps(configuration))
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = copy
        for parent in parents:
            section = section.setdefault(parent, {})
        if value is LEFT_OUT:
            section.pop(last, None)
        else:
            section[last] = value
    return copy


def settings_in(directory: Path, **changes: Any) -> Settings:
    """Settings of CONFIGURATION with changes (`limits__body="1KiB"`), read as a file would be."""
    paths = {name.replace("__", "."): value for name, value in changes.items()}
    text = json.dumps(changed(CONFIGURATION, paths))
    return parse(text, directory / "config.yml", KINDS)


@dataclass
class Edge:
    """The WSGI application on a real journal; `woken` counts the wakes of the workers."""

    settings: Settings
    clock: FakeClock
    journal: Journal
    app: Flask
    woken: list[None] = field(default_factory=list)
    on_wake: Callable[[], None] = lambda: None
    on_reload: Callable[[], Mapping[str, Any]] = dict

    @property
    def http(self) -> FlaskClient:
        """A client of it."""
        return self.app.test_client()

    def wake(self) -> None:
        """What is called when there is an intent."""
        self.woken.append(None)
        self.on_wake()

    def reload(self) -> Mapping[str, Any]:
        """What the API calls to reload."""
        return self.on_reload()

    def settle(self, status: Status, **more: str) -> None:
        """Stand in for the worker: every intent that may be claimed ends like this."""
        while intent := self.journal.intents.claim(self.clock.now()):
            self.journal.intents.settle(intent, status, **more)

    def deployed(self, workload: str, digest: Digest, tag: str = "stable") -> Deployment:
        """Stand in for the launcher: this digest was deployed with success."""
        repository = self.settings.workloads[workload].repository
        image = Image(parse_reference(f"{repository}:{tag}"), digest)
        deployment = Deployment(
            id=self.journal.new_id(),
            workload=workload,
            intent="an-intent",
            image=image,
            origin=Origin(Trust.POLL, "poll"),
            status=Status.SUCCESS,
            started_at=self.clock.now(),
            tracked=digest,
        )
        self.journal.deployments.begin(deployment)
        self.journal.deployments.succeed(deployment)
        return deployment


@contextmanager
def edge_in(
    directory: Path,
    *,
    clock: FakeClock | None = None,
    checks: Mapping[str, Check] | None = None,
    senders: Mapping[str, Source] | None = None,
    notes: Mapping[str, Check] | None = None,
    **changes: Any,
) -> Iterator[Edge]:
    """An Edge with CONFIGURATION and changes; its journal is closed at the end.

    `senders` replaces the sources by such as no file can say: with keys that were looked up.
    """
    settings = settings_in(directory, **changes)
    if senders is not None:
        settings = replace(settings, sources=senders)
    clock = clock or FakeClock(NOW)
    lanes = {name: workload.project.name for name, workload in settings.workloads.items()}
    journal = Journal(settings.state, lanes, limit=settings.limits.pending)
    edge = Edge(settings, clock, journal, Flask("replaced below"))
    health = Health(checks or {}, notes or {})
    edge.app = create_app(
        Intake(
            settings.sources,
            {name: workload.interest for name, workload in settings.workloads.items()},
            receive,
            journal.deliveries,
            clock,
            edge.wake,
            settings.limits.body,
            frozenset(kind.name for kind in KINDS.values() if kind.punishes_errors),
            deliveries_per_minute=settings.limits.deliveries,
            refused_per_minute=settings.limits.refused,
        ),
        Console(
            settings.admin_token,
            settings.workloads,
            journal.deliveries,
            journal.intents,
            journal.deployments,
            journal.workloads,
            journal.receipts,
            clock,
            edge.wake,
            health.remarks,
            edge.reload,
        ),
        health,
        tuple,
        partial(may_send, settings.sources),
    )
    try:
        yield edge
    finally:
        journal.close()


@contextmanager
def serving(app: WSGIApplication) -> Iterator[str]:
    """The application on a real socket; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def deploy_event(
    event: Mapping[str, Any] | bytes,
    *,
    identity: str = "msg_1",
    at: datetime = NOW,
    key: str = HMAC_KEY,
) -> dict[str, Any]:
    """Body and headers of a signed deploy event, as arguments of the test client."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    signing: SigningKey = parse_signing_key(key)
    seconds = int(at.timestamp())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(seconds),
        "webhook-signature": sign(identity, seconds, body, [signing]),
    }
    return {"data": body, "headers": headers}


def told(answer: Response) -> dict[str, Any]:
    """The JSON object of an answer."""
    found = json.loads(answer.get_data())
    assert isinstance(found, dict)
    return found


def admin(token: str = ADMIN) -> dict[str, str]:
    """The header that opens the API."""
    return {"Authorization": f"Bearer {token}"}
