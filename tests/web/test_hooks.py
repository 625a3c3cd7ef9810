"""`POST /hooks/...`: every answer of the contract, on real sources and a real journal."""

import base64
import hashlib
import hmac
import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Response

from tests.builders import (
    D1,
    GITHUB_SECRET,
    HEADER_SECRET,
    NOW,
    URL_TOKEN,
    Edge,
    deploy_event,
    edge_in,
    told,
)
from webhook_launcher.core.model import Action, Status, Trust

CANARY_KEY = f"whsec_{base64.b64encode(b'another-key-of-32-bytes-or-so...').decode()}"


def hub_push(repository: str = "acme/site", tag: str = "latest") -> dict[str, Any]:
    """Docker Hub's body."""
    return {"push_data": {"tag": tag, "pusher": "alice"}, "repository": {"repo_name": repository}}


def github(
    body: dict[str, Any], delivery: str = "d-1", secret: str = GITHUB_SECRET
) -> dict[str, Any]:
    """Body and headers of a signed GitHub delivery."""
    raw = json.dumps(body).encode()
    mac = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "package" if "package" in body else "ping",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={mac}",
    }
    return {"data": raw, "headers": headers}


def package(tag: str = "stable") -> dict[str, Any]:
    """GitHub's body for a push to GHCR."""
    return {
        "action": "published",
        "package": {
            "name": "web",
            "package_type": "CONTAINER",
            "owner": {"login": "Acme"},
            "package_version": {
                "version": D1,
                "container_metadata": {"tag": {"name": tag, "digest": D1}},
            },
        },
    }


def assert_problem(answer: Response, status: int, code: str) -> dict[str, Any]:
    """The answer is a problem document with everything that the contract promises."""
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    body: dict[str, Any] = json.loads(answer.data)
    assert (body["code"], body["status"]) == (code, status)
    assert all(isinstance(body[name], str) and body[name] for name in ("title", "detail", "advice"))
    return body


# ── accepted ─────────────────────────────────────────────────────────────────────────────────


def test_a_push_is_answered_202_with_its_intents(edge: Edge) -> None:
    """The sender learns the delivery's id and where to ask what became of it."""
    answer = edge.http.post(f"/hooks/hub/{URL_TOKEN}", json=hub_push())
    assert answer.status_code == 202
    delivery = told(answer)["delivery"]
    assert told(answer)["intents"] == [
        {
            "workload": "site",
            "reference": "docker.io/acme/site:latest",
            "status_url": f"/api/v1/deliveries/{delivery}",
        }
    ]
    assert len(edge.woken) == 1


def test_what_is_answered_202_is_in_the_journal(edge: Edge) -> None:
    """Nothing acknowledged is lost: at the answer, the intent is committed."""
    answer = edge.http.post("/hooks/ghcr", **github(package()))
    (intent,) = edge.journal.intents.waiting("web")
    assert answer.status_code == 202
    assert intent.wish.action is Action.CHECK
    assert str(intent.wish.reference) == f"ghcr.io/acme/web:stable@{D1}"
    origin = intent.wish.origin
    assert (origin.trust, origin.source, origin.delivery) == (
        Trust.SIGNED,
        "ghcr",
        told(answer)["delivery"],
    )


def test_a_signed_deploy_event_names_exactly_what_runs(edge: Edge) -> None:
    """Only a signed event may name a digest; its reason and actor are kept for the history."""
    reference = f"ghcr.io/acme/web:1.4.2@{D1}"
    event = {"type": "deploy", "workload": "web", "reference": reference, "actor": "octocat"}
    answer = edge.http.post("/hooks/ci", **deploy_event(event))
    assert answer.status_code == 202
    assert told(answer)["intents"][0]["reference"] == reference
    (intent,) = edge.journal.intents.waiting("web")
    assert (intent.wish.action, intent.wish.origin.actor) == (Action.DEPLOY, "octocat")
    assert (intent.wish.origin.secret_id, intent.wish.origin.signed_at) == ("ci-1", NOW)


def test_a_deploy_event_without_reference_shows_null(edge: Edge) -> None:
    """The tracked reference is resolved later: the answer does not guess it."""
    answer = edge.http.post("/hooks/ci", **deploy_event({"type": "deploy", "workload": "web"}))
    assert told(answer)["intents"][0]["reference"] is None


def test_header_names_count_in_any_case(edge: Edge) -> None:
    """HTTP header names have no case (RFC 9110, 5.1); proxies rewrite them."""
    given = github(package())
    given["headers"] = {name.upper(): value for name, value in given["headers"].items()}
    assert edge.http.post("/hooks/ghcr", **given).status_code == 202


def test_an_authentic_event_that_asks_for_nothing_is_answered_200(edge: Edge) -> None:
    """Senders disable hooks that answer 4xx, and GitHub pings when a hook is made."""
    answer = edge.http.post("/hooks/ghcr", **github({"zen": "Keep it logically awesome."}))
    assert answer.status_code == 200
    assert set(told(answer)) == {"delivery", "ignored"}
    assert "ping" in told(answer)["ignored"]
    assert edge.woken == []


def test_a_push_of_another_tag_says_why_it_is_ignored(edge: Edge) -> None:
    """The reason is in the answer, where the sender's delivery log shows it."""
    answer = edge.http.post(f"/hooks/hub/{URL_TOKEN}", json=hub_push(tag="dev"))
    assert answer.status_code == 200
    assert told(answer)["ignored"] == "tag dev is not tracked (site: latest)"


# ── duplicates ───────────────────────────────────────────────────────────────────────────────


def test_a_redelivery_is_answered_200_with_the_first_answer(edge: Edge) -> None:
    """At-least-once senders repeat themselves; the second time must not deploy again."""
    first = edge.http.post("/hooks/ghcr", **github(package()))
    second = edge.http.post("/hooks/ghcr", **github(package()))
    assert (first.status_code, second.status_code) == (202, 200)
    assert told(second) == {**told(first), "duplicate": True}
    assert len(edge.journal.intents.waiting("web")) == 1
    assert len(edge.woken) == 1


def test_a_redelivery_after_the_deployment_shows_the_same_intents(edge: Edge) -> None:
    """`send` asks again after an outage, and must be able to follow what it once started."""
    event = deploy_event({"type": "deploy", "workload": "web"})
    first = edge.http.post("/hooks/ci", **event)
    edge.settle(Status.SUCCESS)
    assert told(edge.http.post("/hooks/ci", **event)) == {**told(first), "duplicate": True}


def test_a_replay_after_the_tolerance_is_refused(edge: Edge) -> None:
    """A recorded deploy event is worthless once its signed time is out of the window."""
    event = deploy_event({"type": "deploy", "workload": "web"})
    assert edge.http.post("/hooks/ci", **event).status_code == 202
    edge.clock.sleep(301)
    assert_problem(edge.http.post("/hooks/ci", **event), 401, "authentication")


def test_an_ignored_delivery_is_ignored_again(edge: Edge) -> None:
    """The duplicate of nothing is nothing, with the same reason."""
    first = edge.http.post("/hooks/ghcr", **github({"zen": "x"}))
    again = edge.http.post("/hooks/ghcr", **github({"zen": "x"}))
    assert told(again) == {**told(first), "duplicate": True}


def test_equal_ids_of_two_sources_are_two_deliveries(tmp_path: Path) -> None:
    """One sender cannot hide another's delivery by using its id."""
    second = {"kind": "deploy", "keys": [{"id": "x", "secret": CANARY_KEY}]}
    with edge_in(tmp_path, sources__second=second) as edge:
        event = {"type": "deploy", "workload": "web"}
        first = edge.http.post("/hooks/ci", **deploy_event(event, identity="same"))
        other = edge.http.post(
            "/hooks/second", **deploy_event(event, identity="same", key=CANARY_KEY)
        )
        assert (first.status_code, other.status_code) == (202, 202)


# ── refused ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/hooks/hub/wrong", "/hooks/hub", f"/hooks/hub/{URL_TOKEN}x"])
def test_a_wrong_url_token_is_401(edge: Edge, path: str) -> None:
    """And nothing is written: an unauthentic delivery leaves no trace but the log."""
    answer = edge.http.post(path, json=hub_push())
    assert_problem(answer, 401, "authentication")
    assert "WWW-Authenticate" in answer.headers
    assert edge.journal.intents.pending() == 0


def test_a_forged_signature_is_401_whatever_the_body(edge: Edge) -> None:
    """Authentication comes before parsing: a broken body does not change the answer."""
    forged = github(package(), secret="guessed")
    assert_problem(edge.http.post("/hooks/ghcr", **forged), 401, "authentication")
    broken = {**forged, "data": b"{"}
    assert_problem(edge.http.post("/hooks/ghcr", **broken), 401, "authentication")


def test_forged_deliveries_do_not_touch_the_journal(tmp_path: Path) -> None:
    """Nor the disk under it: a hundred thousand of them must cost no more than their HMACs."""
    with edge_in(tmp_path, limits={"refused": 3}) as edge:
        with edge.journal._database.reading() as connection:
            before = connection.total_changes
        forged = github(package(), secret="guessed")
        found = [edge.http.post("/hooks/ghcr", **forged) for _ in range(5)]
        assert [answer.status_code for answer in found] == [401] * 3 + [429] * 2
        assert_problem(found[-1], 429, "too-many-refused")
        assert int(found[-1].headers["Retry-After"]) > 0
        with edge.journal._database.reading() as connection:
            assert connection.total_changes == before
        assert edge.http.post("/hooks/ghcr", **github(package())).status_code == 202


def test_a_source_over_its_limit_is_429_until_the_time_it_is_told(tmp_path: Path) -> None:
    """And another source is not: what is authentic is counted for each by itself."""
    with edge_in(tmp_path, limits={"deliveries": 2}) as edge:
        found = [edge.http.post("/hooks/ghcr", **github(package(), f"d{n}")) for n in range(3)]
        assert [answer.status_code for answer in found] == [202, 202, 429]
        assert_problem(found[-1], 429, "too-many-deliveries")
        assert edge.http.post(f"/hooks/hub/{URL_TOKEN}", json=hub_push()).status_code == 202
        edge.clock.sleep(int(found[-1].headers["Retry-After"]))
        assert edge.http.post("/hooks/ghcr", **github(package(), "d2")).status_code == 202


def test_a_source_that_is_not_configured_is_404(edge: Edge) -> None:
    """With what the path should look like."""
    body = assert_problem(edge.http.post("/hooks/gitlab"), 404, "not-found")
    assert "gitlab" in body["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/hooks",
        "/hooks/",
        "/hooks//",
        f"/hooks//hub/{URL_TOKEN}",
        f"/hooks/hub/{URL_TOKEN}/",
        f"/hooks/hub/{URL_TOKEN}/more",
        f"/hooks/../hooks/hub/{URL_TOKEN}",
        f"/hooks/%2e%2e/hub/{URL_TOKEN}",
        f"/HOOKS/hub/{URL_TOKEN}",
        "/hooks/" + "a" * 3000,
        "/hooks/%00",
        "/hooks/%ff%fe",
        "/hooks/__proto__",
        "/hooks/<script>",
        "/hooks/hub%2F" + URL_TOKEN + "%2Fx",
    ],
)
def test_hostile_paths_are_404(edge: Edge, path: str) -> None:
    """No path but the two of the contract reaches a source, none redirects and none is a fault."""
    answer = edge.http.post(path, json=hub_push())
    body = assert_problem(answer, 404, "not-found")
    assert len(body["detail"]) < 300
    assert "Location" not in answer.headers


def test_a_doubled_slash_in_front_is_no_redirect(edge: Edge) -> None:
    """`https://host/` + `/hooks/x` is a common mistake; few senders follow a redirected POST."""
    environ = EnvironBuilder(path="/", method="POST", json=hub_push()).get_environ()
    environ["PATH_INFO"] = f"//hooks/hub/{URL_TOKEN}"
    answer = Response(*run_wsgi_app(edge.app, environ, buffered=True))
    assert (answer.status_code, answer.headers.get("Location")) == (202, None)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405_with_the_allowed_one(edge: Edge, method: str) -> None:
    """People open the URL in a browser first: that is no fault of ours and tells them so."""
    answer = edge.http.open(f"/hooks/hub/{URL_TOKEN}", method=method)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}
    if method != "HEAD":
        assert_problem(answer, 405, "method-not-allowed")


def test_options_names_the_method(edge: Edge) -> None:
    """Without touching a source."""
    answer = edge.http.options(f"/hooks/hub/{URL_TOKEN}")
    assert (answer.status_code, edge.journal.intents.pending()) == (200, 0)
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 5000, b"NaN"])
def test_a_body_that_cannot_be_read_is_400(edge: Edge, body: bytes) -> None:
    """For every kind, also those that punish errors: such a body is not from a registry."""
    answer = edge.http.post(f"/hooks/hub/{URL_TOKEN}", data=body)
    assert_problem(answer, 400, "unreadable-body")
    answer = edge.http.post("/hooks/local", data=body, headers={"Authorization": HEADER_SECRET})
    assert_problem(answer, 400, "unreadable-body")


def test_a_readable_body_of_another_event_is_400(edge: Edge) -> None:
    """Where the sender does not punish it, the mistake is told."""
    answer = edge.http.post(f"/hooks/hub/{URL_TOKEN}", json={"events": []})
    assert_problem(answer, 400, "malformed-event")


def test_senders_that_punish_errors_are_answered_200(edge: Edge) -> None:
    """Distribution repeats a refused notification for ever and blocks every later one behind it."""
    bad = {"events": [{"action": "push", "target": {"mediaType": 5}}]}
    first = edge.http.post("/hooks/local", json=bad, headers={"Authorization": HEADER_SECRET})
    assert first.status_code == 200
    assert told(first)["ignored"].startswith("malformed-event: ")
    again = edge.http.post("/hooks/local", json=bad, headers={"Authorization": HEADER_SECRET})
    assert told(again) == {**told(first), "duplicate": True}


def test_forgiveness_comes_after_authentication(edge: Edge) -> None:
    """Anybody could write ignored deliveries into the journal otherwise."""
    answer = edge.http.post("/hooks/local", json={"events": 5}, headers={"Authorization": "no"})
    assert_problem(answer, 401, "authentication")


@pytest.mark.parametrize(
    "event",
    [
        {"workload": "site"},  # configured, and not in this source's scope
        {"workload": "nobody"},
        {"workload": "web", "reference": "docker.io/acme/site:latest"},
        {"workload": "web", "reference": "ghcr.io/acme/web"},
        {"workload": "web", "reference": "ghcr.io/acme/web@sha256:12"},
        {"workload": "web", "reference": "ghcr.io/acme/web:stable; rm -rf /"},
        {"workload": "pinned"},  # follows nothing, so a reference is needed
    ],
)
def test_what_a_deploy_event_may_not_name_is_422(edge: Edge, event: dict[str, str]) -> None:
    """Readable and authentic, and still nothing of it happens."""
    answer = edge.http.post("/hooks/ci", **deploy_event({"type": "deploy", **event}))
    assert_problem(answer, 422, "out-of-scope")
    assert edge.journal.intents.pending() == 0


def test_a_misspelt_field_of_a_deploy_event_is_400(edge: Edge) -> None:
    """`refrence` would deploy what is tracked instead of what was named."""
    event = {"type": "deploy", "workload": "web", "refrence": "ghcr.io/acme/web:1"}
    answer = edge.http.post("/hooks/ci", **deploy_event(event))
    assert "refrence" in assert_problem(answer, 400, "malformed-event")["detail"]


def test_a_full_queue_is_503_with_a_time_to_come_back(tmp_path: Path) -> None:
    """Refused before anything is written, so the sender's redelivery is not a duplicate."""
    with edge_in(tmp_path, limits={"pending": 1}) as edge:
        assert edge.http.post(f"/hooks/hub/{URL_TOKEN}", json=hub_push()).status_code == 202
        event = deploy_event({"type": "deploy", "workload": "web"})
        answer = edge.http.post("/hooks/ci", **event)
        assert_problem(answer, 503, "queue-full")
        assert int(answer.headers["Retry-After"]) > 0
        edge.settle(Status.SUCCESS)
        assert edge.http.post("/hooks/ci", **event).status_code == 202


def test_a_journal_that_cannot_be_written_is_503(edge: Edge) -> None:
    """Never 2xx without a commit; the disk may be mended when the sender comes again."""
    edge.journal.close()
    answer = edge.http.post(f"/hooks/hub/{URL_TOKEN}", json=hub_push())
    assert_problem(answer, 503, "journal")
    assert "Retry-After" in answer.headers
    assert edge.woken == []


# ── size ─────────────────────────────────────────────────────────────────────────────────────


class Unread(BytesIO):
    """A body that remembers how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        """As any file."""
        chunk = super().read(size)
        self.taken += len(chunk)
        return chunk

    def readinto(self, buffer: Any) -> int:
        """As any file."""
        count = super().readinto(buffer)
        self.taken += count
        return count


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """An edge that takes bodies of 1 KiB."""
    with edge_in(tmp_path, limits={"body": "1KiB"}) as edge:
        yield edge


def test_an_announced_length_over_the_limit_is_413_before_reading(small: Edge) -> None:
    """Reading it first would give every stranger our memory and a thread."""
    body = Unread(b"x" * 1025)
    environ = EnvironBuilder(
        path=f"/hooks/hub/{URL_TOKEN}", method="POST", input_stream=body, content_length=1025
    ).get_environ()
    answer = small.http.open(environ)
    assert "1024" in assert_problem(answer, 413, "request-entity-too-large")["detail"]
    assert body.taken == 0


def chunked(edge: Edge, body: BytesIO) -> Response:
    """Post it with no length, as gunicorn hands a chunked body over (it marks where that ends)."""
    path = f"/hooks/hub/{URL_TOKEN}"
    environ = EnvironBuilder(path=path, method="POST", input_stream=body).get_environ()
    environ.pop("CONTENT_LENGTH", None)
    environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    return Response(*run_wsgi_app(edge.app, environ, buffered=True))


@pytest.mark.parametrize("size", [1025, 10_000_000])
def test_a_body_without_length_is_read_up_to_the_limit(small: Edge, size: int) -> None:
    """Chunked bodies announce nothing: they are cut off, not collected."""
    body = Unread(b"x" * size)
    assert "1024" in assert_problem(chunked(small, body), 413, "request-entity-too-large")["detail"]
    assert body.taken <= 128 * 1024


def test_a_body_of_exactly_the_limit_is_read(small: Edge) -> None:
    """The limit is what is allowed, not what is refused."""
    raw = json.dumps(hub_push()).encode().ljust(1024)
    answer = small.http.post(f"/hooks/hub/{URL_TOKEN}", data=raw)
    assert answer.status_code == 202


def test_a_chunked_body_within_the_limit_is_accepted(small: Edge) -> None:
    """Some senders and proxies chunk everything."""
    assert chunked(small, BytesIO(json.dumps(hub_push()).encode())).status_code == 202


# ── time ─────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_comes_within_a_second(edge: Edge) -> None:
    """Distribution waits one second; a hundred deliveries in a row stay far below it each."""
    slowest = 0.0
    for number in range(100):
        start = time.monotonic()
        event = {"type": "deploy", "workload": "web"}
        answer = edge.http.post("/hooks/ci", **deploy_event(event, identity=f"msg_{number}"))
        slowest = max(slowest, time.monotonic() - start)
        assert answer.status_code == 202
    assert slowest < 1.0
