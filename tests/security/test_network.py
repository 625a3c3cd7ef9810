"""Somebody on the network without a secret, and somebody who reads the traffic."""

import hmac
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from tests.builders import (
    ADMIN,
    D1,
    GITHUB_SECRET,
    HMAC_KEY,
    URL_TOKEN,
    Edge,
    admin,
    deploy_event,
    edge_in,
    told,
)
from tests.served import LONG, Served
from tests.sources.authentic import CASES, Case
from tests.sources.senders import NOW
from tests.web.test_hooks import CANARY_KEY, github, hub_push, package
from tests.world import A, B, World
from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.model import Action, Status
from webhook_launcher.core.source import Delivery
from webhook_launcher.sources import receive

DEPLOY = {"type": "deploy", "workload": "web", "reference": f"ghcr.io/acme/web@{D1}"}
# Without the admin token: senders prove themselves otherwise, probes show no more than health.
OPEN = {"/hooks/<source>", "/hooks/<source>/<token>", "/healthz", "/readyz", "/metrics"}
OPEN |= {"/api/v1/deliveries/<delivery>"}


def journaled(edge: Edge) -> int:
    """Deliveries that left a trace."""
    with edge.journal._database.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM deliveries").fetchone()[0])


# ── without a secret ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_forged_delivery(case: Case) -> None:
    """N1: of any kind: nobody without the secret is heard, and nothing is parsed before."""
    known = [one.value.decode() for one in (*case.source.secrets, *case.source.tokens)]
    headers = {
        name: value
        for name, value in case.delivery.headers.items()
        if name != "authorization" and not any(secret in value for secret in known)
    }
    stranger = Delivery(headers, b"not even JSON", "a-token-that-somebody-guessed")
    with pytest.raises(AuthenticationError):
        receive(stranger, case.source, NOW)


def test_forged_deliveries_leave_no_trace(edge: Edge) -> None:
    """N1: and the journal has nothing of them."""
    answers = [
        edge.http.post("/hooks/hub/wrong-token-of-somebody", json=hub_push()),
        edge.http.post("/hooks/ghcr", **github(package(), secret="guessed")),
        edge.http.post("/hooks/ci", **deploy_event(DEPLOY, key=CANARY_KEY)),
        edge.http.post("/hooks/local", json={}, headers={"Authorization": "Bearer x"}),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert journaled(edge) == 0
    assert not edge.woken


def test_guessing_a_secret_byte_by_byte(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """N2: time tells nothing: whatever is compared with a secret is compared in constant time."""
    compared: list[bytes] = []
    real = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.extend((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    guesses: list[tuple[str, dict[str, Any]]] = [
        (f"/hooks/hub/{URL_TOKEN[:-1]}x", {"json": {}}),
        ("/hooks/ghcr", github(package(), secret="x")),
        ("/hooks/local", {"json": {}, "headers": {"Authorization": "Bearer x"}}),
        ("/hooks/ci", deploy_event(DEPLOY, key=CANARY_KEY)),
        ("/api/v1/workloads/web/check", {"headers": admin(ADMIN[:-1] + "x")}),
    ]
    for path, guess in guesses:
        compared.clear()
        assert edge.http.post(path, **guess).status_code == 401
        assert compared


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 4\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
    ],
)
def test_a_request_inside_another(served: Served, framing: bytes) -> None:
    """N3: what two servers would read differently is refused, and nothing inside is answered."""
    inner = f"GET /api/v1/workloads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    head = b"POST /hooks/ghcr HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n"
    answer = served.raw(head + b"0\r\n\r\n" + inner.encode())
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b"workloads" not in answer


@pytest.mark.parametrize(
    "header", ["SCRIPT_NAME", "Script_Name", "PATH_INFO", "X-Forwarded-Prefix"]
)
def test_the_api_through_a_proxy_that_passes_hooks_only(served: Served, header: str) -> None:
    """N4: `/hooks/api/…` is no other path, whatever a header says is in front of it."""
    for value in ("/hooks", "/api/v1/workloads"):
        head = f"GET /hooks/api/v1/workloads HTTP/1.1\r\nHost: x\r\n{header}: {value}\r\n"
        authority = f"Authorization: Bearer {ADMIN}\r\nConnection: close\r\n\r\n"
        answer = served.raw((head + authority).encode())
        assert answer[:12] in (b"HTTP/1.1 404", b"HTTP/1.1 405", b"HTTP/1.1 400")
        assert b"tracked" not in answer


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Every path and method that the application answers."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods or ()):
            yield rule.rule, method


@pytest.mark.parametrize("token", [None, "", "guessed-by-somebody"])
def test_every_route_without_the_admin_token(edge: Edge, token: str | None) -> None:
    """N5: whatever route is added: it is listed above as open, or it asks for the token."""
    found = set()
    for rule, method in routes(edge.app):
        if rule in OPEN or method == "OPTIONS":
            continue
        path = rule.replace("<name>", "web").replace("<deployment>", "x").replace("<intent>", "x")
        headers = {} if token is None else admin(token)
        answer = edge.http.open(path, method=method, headers=headers)
        assert answer.status_code == 401, (method, rule)
        found.add(rule)
    assert {"/api/v1/workloads", "/api/v1/workloads/<name>/deploy"} <= found


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:8080", "null"])
def test_a_page_in_the_operators_browser(edge: Edge, origin: str) -> None:
    """N6: no cookie, no CORS: neither a form, nor a name rebound to loopback has the token."""
    path = "/api/v1/workloads/web/deploy"
    headers = {"Origin": origin, "Host": "evil.example", "Cookie": f"token={ADMIN}"}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        answer = edge.http.post(path, data=b"{}", headers={**headers, "Content-Type": kind})
        assert answer.status_code == 401
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Set-Cookie" not in answer.headers
    assert "Access-Control-Allow-Origin" not in edge.http.options(path, headers=headers).headers
    assert not edge.woken


def test_lines_and_colours_in_the_log(served: Served) -> None:
    """N7: no text of a request can end a line of the log, or speak to a terminal."""
    evil = "%0a%7b%22event%22:%22deployed%22%7d%1b%5b2J"
    before = len(served.told("deployed"))
    for path in (f"/hooks/{evil}", f"/hooks/hub/{evil}", f"/api/v1/deliveries/{evil}", f"/{evil}"):
        for method in ("GET", "POST"):
            requests.request(method, served.url + path, json={}, timeout=LONG)
    served.raw(b"GE\x1bT /\x1b[31m HTTP/1.1\r\n\r\n")
    served.raw(b"GET /api/\x1b[31m\xff HTTP/1.1\r\nHost: x\r\n\r\n")
    log = served.log.read_bytes()
    assert b"\x1b" not in log
    assert len(served.told("deployed")) == before
    for line in log.decode().splitlines():
        assert line[:1] in "[{1 " or line.startswith("Traceback"), line


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2fconfig.yml", "hub%00", "%2fetc%2fpasswd", "hub;x"]
)
def test_a_path_in_place_of_a_name(edge: Edge, name: str) -> None:
    """N8: names are looked up in the configuration, and never become paths."""
    edge.http.post(f"/hooks/{name}", json={})
    answers = [edge.http.post(f"/hooks/{name}/{URL_TOKEN}", json=hub_push())]
    answers += [edge.http.get(f"/api/v1/workloads/{name}", headers=admin())]
    answers += [edge.http.post(f"/api/v1/workloads/{name}/deploy", headers=admin())]
    assert {answer.status_code for answer in answers} <= {404, 405}
    assert journaled(edge) == 0


def test_filling_memory_from_many_addresses(tmp_path: Path) -> None:
    """N9: what is kept of strangers is bounded, and what they send is not kept at all."""
    with edge_in(tmp_path, limits__refused=1) as edge:
        for number in range(1500):
            edge.http.post(
                "/hooks/ghcr",
                data=b"{}",
                environ_overrides={"REMOTE_ADDR": f"2001:db8::{number:x}"},
            )
        reception = edge.app.extensions["webhook_launcher.reception"]
        assert len(reception._pace._of_client) <= 1025
        assert len(reception._unsaid) <= 2
        assert journaled(edge) == 0


def test_connections_that_say_nothing(served: Served) -> None:
    """N10: who holds connections open holds no thread: health is answered meanwhile."""
    with ExitStack() as opened:
        for number in range(60):
            connection = opened.enter_context(served.connect())
            connection.sendall(
                b"POST /hooks/ghcr HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"[:number]
            )
        assert requests.get(f"{served.url}/healthz", timeout=LONG).ok


def test_a_body_without_end(served: Served) -> None:
    """N11: refused when it is longer than allowed, not when it ends."""
    head = b"POST /hooks/ghcr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(head)
        try:
            for _ in range(1000):
                connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return  # it hung up long before the end
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_what_the_open_paths_tell(served: Served) -> None:
    """N12: health, readiness and numbers, and no secret: neither there nor in an error."""
    for path in ("/healthz", "/readyz", "/metrics", "/", "/nothing"):
        text = requests.get(served.url + path, timeout=LONG).text
        for secret in (ADMIN, URL_TOKEN, GITHUB_SECRET, HMAC_KEY, "Traceback"):
            assert secret not in text, path


def test_guessing_a_delivery(edge: Edge) -> None:
    """N13: 128 random bits, and a near miss is told from nothing."""
    answer = edge.http.post(f"/hooks/hub/{URL_TOKEN}", json=hub_push())
    delivery = told(answer)["delivery"]
    assert len(delivery) >= 22
    for guess in (delivery[:-1], delivery + "x", delivery.swapcase(), "*", "%25"):
        assert edge.http.get(f"/api/v1/deliveries/{guess}").status_code == 404


def test_nothing_stops_a_flood_from_many_addresses(tmp_path: Path) -> None:
    """N14: each address has an allowance of its own, so who has many is refused in full by each."""
    with edge_in(tmp_path, limits__refused=1) as edge:
        for number in range(20):
            answer = edge.http.post(
                "/hooks/ghcr", data=b"{}", environ_overrides={"REMOTE_ADDR": f"192.0.2.{number}"}
            )
            assert answer.status_code == 401


# ── with the traffic ─────────────────────────────────────────────────────────────────────────


def test_nothing_stops_a_token_that_was_read(edge: Edge) -> None:
    """E1: without TLS it is anybody's; another body than the one it was sent with will do."""
    forged = hub_push() | {"callback_url": "https://evil.example"}
    assert edge.http.post(f"/hooks/hub/{URL_TOKEN}", json=forged).status_code == 202


def test_nothing_stops_an_admin_token_that_was_read(edge: Edge) -> None:
    """E2: it is not bound to who sends it."""
    answer = edge.http.post(
        "/api/v1/workloads/web/deploy",
        json={"reference": DEPLOY["reference"]},
        headers=admin(),
        environ_overrides={"REMOTE_ADDR": "203.0.113.9"},
    )
    assert answer.status_code == 202


def test_a_captured_deploy_event(edge: Edge) -> None:
    """E3: again: a duplicate; under another id: no signature; after its time: too late."""
    captured = deploy_event(DEPLOY)
    assert edge.http.post("/hooks/ci", **captured).status_code == 202
    edge.settle(Status.SUCCESS)
    assert told(edge.http.post("/hooks/ci", **captured))["duplicate"]
    renamed = {**captured, "headers": captured["headers"] | {"webhook-id": "msg_2"}}
    assert edge.http.post("/hooks/ci", **renamed).status_code == 401
    edge.clock.sleep(timedelta(minutes=6).total_seconds())
    assert edge.http.post("/hooks/ci", **captured).status_code == 401
    assert not edge.journal.intents.waiting("web")


def test_a_captured_push_under_another_id(edge: Edge) -> None:
    """E4: the id is not signed, so it is heard again, for ever: as a look, never as an order."""
    for name in ("one", "two"):
        answer = edge.http.post("/hooks/ghcr", **github(package(), delivery=name))
        assert answer.status_code == 202
    [intent] = edge.journal.intents.waiting("web")
    assert (intent.wish.action, intent.wish.explicit) == (Action.CHECK, False)


def test_a_captured_push_of_what_was_replaced(world: World) -> None:
    """E4: the registry says what the tag is now, so what it named does not come back."""
    for pushed in (A, B):
        world.push(pushed)
        world.work()
    again = world.hear(A)
    world.work()
    assert (world.host.runs(), world.host.started) == (B, [A, B])
    assert world.intent(again).code == "digest-mismatch"


def test_a_signed_body_that_was_changed(edge: Edge) -> None:
    """E5: one byte, or the time: the signature is over all of it."""
    captured = deploy_event(DEPLOY)
    changed = captured["data"].replace(b'"web"', b'"pin"', 1)
    later = captured["headers"] | {
        "webhook-timestamp": str(int(captured["headers"]["webhook-timestamp"]) + 1)
    }
    assert edge.http.post("/hooks/ci", **{**captured, "data": changed}).status_code == 401
    assert edge.http.post("/hooks/ci", **{**captured, "headers": later}).status_code == 401
    push = github(package())
    push["data"] = json.dumps(package("other")).encode()
    assert edge.http.post("/hooks/ghcr", **push).status_code == 401
