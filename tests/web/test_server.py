"""The worker under the real gunicorn, with clients that do not behave."""

import hashlib
import hmac
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from itertools import count
from pathlib import Path
from resource import RLIMIT_NOFILE, prlimit
from select import select
from typing import Any

import pytest
import requests

from tests.builders import ADMIN, GITHUB_SECRET, URL_TOKEN
from tests.served import CLOSED, LONG, Served, everything, serving

# More than twice the threads: each of these clients would hold one.
MANY = 40
# A sender gives up about here; the launcher's own limit for a slow request is far beyond it.
PATIENCE = 10.0
PUSH = json.dumps(
    {"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}}
).encode()
_numbers = count()


def head(*more: str, path: str = f"/hooks/hub/{URL_TOKEN}", method: str = "POST") -> bytes:
    """A request's head with these lines."""
    lines = [f"{method} {path} HTTP/1.1", "Host: launcher", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def push() -> bytes:
    """A whole delivery of Docker Hub."""
    return head(f"Content-Length: {len(PUSH)}") + PUSH


def chunked(body: bytes = PUSH, size: int = 10) -> bytes:
    """The same, its length not announced."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head("Transfer-Encoding: chunked") + framed + b"0\r\n\r\n"


def github(secret: str = GITHUB_SECRET) -> dict[str, Any]:
    """A signed push for `requests`, each with an id of its own."""
    body = json.dumps(
        {
            "action": "published",
            "package": {
                "name": "web",
                "package_type": "CONTAINER",
                "owner": {"login": "acme"},
                "package_version": {"container_metadata": {"tag": {"name": "stable"}}},
            },
        }
    ).encode()
    return {
        "data": body,
        "headers": {
            "X-GitHub-Event": "package",
            "X-GitHub-Delivery": f"delivery-{next(_numbers)}",
            "X-Hub-Signature-256": "sha256="
            + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        },
    }


def honest(served: Served) -> requests.Response:
    """A delivery of somebody who waits as long as senders do."""
    return requests.post(f"{served.url}/hooks/ghcr", **github(), timeout=PATIENCE)


def status(answer: bytes) -> int:
    """Of an answer on the wire."""
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


def answers(received: bytes) -> list[int]:
    """The statuses of everything that was answered on a connection."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


def launcher(
    directory: Path, changes: Mapping[str, Any] | None = None, gunicorn: str = ""
) -> AbstractContextManager[Served]:
    """Up and answering; pushes of the source `ghcr` are about a workload."""
    ours = {"sources.ghcr.registry": CLOSED, **(changes or {})}
    return serving(directory, ours, gunicorn=gunicorn)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One launcher for the tests that leave it as it was."""
    with launcher(tmp_path_factory.mktemp("served")) as made:
        yield made


# ── slow clients ─────────────────────────────────────────────────────────────────────────────

SLOW = {
    "head": head("Content-Length: 5")[:-2],
    "first line": b"POST /hooks/hub",
    "nothing": b"",
    "body": head("Content-Length: 60000") + b"{" * 100,
    "body of another path": head("Content-Length: 60000", path="/api/v1/workloads/web/check"),
    "chunked body": head("Transfer-Encoding: chunked") + b"5\r\nab",
    "chunked body that looks whole": head("Transfer-Encoding: chunked") + b"6\r\nab\r\n\r\n",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_slow_clients_hold_up_nobody(served: Served, sent: bytes) -> None:
    """Each holds a connection, and none a thread: deliveries and the API are answered as ever."""
    with ExitStack() as opened:
        for _ in range(MANY):
            opened.enter_context(served.connect()).sendall(sent)
        assert honest(served).status_code == 202
        assert requests.get(f"{served.url}/healthz", timeout=PATIENCE).ok
        admin = {"Authorization": f"Bearer {ADMIN}"}
        assert requests.get(f"{served.url}/api/v1/workloads", headers=admin, timeout=PATIENCE).ok


def test_who_never_reads_holds_up_nobody(served: Served) -> None:
    """Answers wait for their clients outside of the threads that made them."""
    ask = head(f"Authorization: Bearer {ADMIN}", path="/api/v1/workloads", method="GET")
    with ExitStack() as opened:
        for _ in range(MANY):
            connection = opened.enter_context(served.connect())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.sendall(ask * 30)
        assert honest(served).status_code == 202
        assert requests.get(f"{served.url}/healthz", timeout=PATIENCE).ok


def test_a_request_that_is_not_whole_in_time_is_ended(tmp_path: Path) -> None:
    """A byte now and then must not keep a connection for ever."""
    with launcher(tmp_path, {"limits": {"request": "1s"}}) as served:
        for sent in (
            head("Content-Length: 10") + b"x",
            head("Content-Length: 5")[:-2],
            head("Transfer-Encoding: chunked") + b"5\r\nab",
        ):
            with served.connect() as connection:
                connection.sendall(sent)
                assert status(everything(connection)) == 408
        assert refused(served)['source="hub",code="request-timeout"'] == "2"


def test_more_connections_than_allowed_cost_those_that_wait_for_nothing(tmp_path: Path) -> None:
    """Whoever opens connections without end closes their own."""
    with launcher(tmp_path, gunicorn="--worker-connections 40") as served, ExitStack() as opened:
        for number in range(120):
            connection = opened.enter_context(served.connect())
            connection.sendall(b"" if number % 2 else SLOW["body"])
            if number % 30 == 0:
                assert honest(served).status_code == 202
        assert honest(served).status_code == 202


def test_without_files_to_open_it_goes_on(served: Served) -> None:
    """A worker process that ends takes the deployments in it along."""
    master = served.process.pid
    [worker] = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    before = prlimit(int(worker), RLIMIT_NOFILE)
    held = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    with ExitStack() as opened:
        prlimit(int(worker), RLIMIT_NOFILE, (held + 20, before[1]))
        opened.callback(prlimit, int(worker), RLIMIT_NOFILE, before)
        for _ in range(60):
            opened.enter_context(served.connect()).sendall(SLOW["body"])
        assert requests.get(f"{served.url}/healthz", timeout=PATIENCE).ok
    assert honest(served).status_code == 202
    assert Path(f"/proc/{worker}").exists()


def test_what_is_refused_unread_is_in_the_access_log(served: Served) -> None:
    """An operator who wonders why nothing arrives looks there; the token is not."""
    assert status(served.raw(head("Content-Length: 99999999"))) == 413
    served.until(lambda: '"POST /hooks/hub/…" 413' in served.log.read_text())


def test_memory_for_unfinished_requests_is_bounded(tmp_path: Path) -> None:
    """Large bodies that never end are refused to make room, and small ones are not."""
    size = 1024**2
    sent = head(f"Content-Length: {size}") + b"x" * (size - 1)
    with launcher(tmp_path, {"limits": {"body": "1MiB"}}) as served, ExitStack() as opened:
        connections = [opened.enter_context(served.connect()) for _ in range(90)]
        for connection in connections:
            connection.sendall(sent)
        refused = 0
        deadline = time.monotonic() + LONG
        while refused < 20:
            assert time.monotonic() < deadline
            readable, _, _ = select(connections, [], [], LONG)
            for connection in readable:
                assert status(connection.recv(65536)) == 503
                connections.remove(connection)
                refused += 1
        assert honest(served).status_code == 202
        readable, _, _ = select(connections, [], [], 0)
        assert len(connections) - len(readable) > 40


# ── limits of a source ───────────────────────────────────────────────────────────────────────


def test_a_source_over_its_limit_is_told_to_come_back_while_another_is_served(
    tmp_path: Path,
) -> None:
    """One sender without end must not take what the others need."""
    with launcher(tmp_path, {"limits": {"deliveries": 3}}) as served:
        hub = f"{served.url}/hooks/hub/{URL_TOKEN}"
        found = [requests.post(hub, data=PUSH, timeout=LONG) for _ in range(8)]
        assert [one.status_code for one in found] == [202] * 3 + [429] * 5
        assert 1 <= int(found[-1].headers["Retry-After"]) <= 20
        assert found[-1].json()["code"] == "too-many-deliveries"
        assert honest(served).status_code == 202
        assert served.log.read_text().count('"source over its limit"') == 1


def test_a_source_over_its_limit_is_refused_unread(tmp_path: Path) -> None:
    """Its bodies would cost as much as if they were welcome."""
    with launcher(tmp_path, {"limits": {"deliveries": 1}}) as served:
        assert status(served.raw(push())) == 202
        with served.connect() as connection:
            connection.sendall(head("Content-Length: 60000"))
            assert status(everything(connection)) == 429
        assert refused(served) == {'source="hub",code="too-many-deliveries"': "1"}


def test_forged_deliveries_write_nothing_and_use_up_nothing(tmp_path: Path) -> None:
    """Whoever does not know the secret costs no row, no log without end, and no honest sender."""
    with launcher(tmp_path, {"limits": {"refused": 20, "deliveries": 5}}) as served:
        before = kept(served)
        with requests.Session() as session:
            found = [
                session.post(f"{served.url}/hooks/ghcr", **github("a guess"), timeout=LONG)
                for _ in range(60)
            ]
        assert [one.status_code for one in found] == [401] * 20 + [429] * 40
        assert found[-1].json()["code"] == "too-many-refused"
        assert int(found[-1].headers["Retry-After"]) >= 1
        assert kept(served) == before
        counts = refused(served)
        assert counts['source="ghcr",code="authentication"'] == "20"
        assert counts['source="ghcr",code="too-many-refused"'] == "40"
        log = served.log.read_text()
        assert (log.count('"delivery refused"'), log.count('"many refused"')) == (20, 1)
        assert [honest(served).status_code for _ in range(5)] == [202] * 5


def refused(served: Served) -> dict[str, str]:
    """What `/metrics` counts, by its labels."""
    text = requests.get(f"{served.url}/metrics", timeout=LONG).text
    name = "webhook_launcher_refused_deliveries_total{"
    lines = [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]
    counts = dict(line.split("} ") for line in lines)
    return {labels: count for labels, count in counts.items() if count != "0"}


def kept(served: Served) -> tuple[int, int]:
    """How many deliveries and intents from them the journal holds."""
    file = served.config.parent / "state" / "journal.sqlite3"
    with closing(sqlite3.connect(file)) as journal:
        deliveries = journal.execute("SELECT count(*) FROM deliveries").fetchone()[0]
        query = "SELECT count(*) FROM intents WHERE delivery IS NOT NULL"
        return deliveries, journal.execute(query).fetchone()[0]


# ── what a request may look like ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", [1, 7, 64])
@pytest.mark.parametrize("request_", [push(), chunked()], ids=["length", "chunked"])
def test_a_request_may_come_in_pieces(served: Served, request_: bytes, step: int) -> None:
    """The network cuts where it likes."""
    with served.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request_), step):
            connection.sendall(request_[start : start + step])
        assert status(connection.recv(65536)) in {200, 202}


def test_a_connection_serves_one_request_after_the_other(served: Served) -> None:
    """Kept alive, also when they are sent without waiting, and answered in their order."""
    ask = head(path="/healthz", method="GET")
    unknown = head("Content-Length: 2", path="/hooks/nobody") + b"{}"
    last = head("Connection: close", path="/healthz", method="GET")
    received = served.raw(push() + ask + push() + unknown + push() + last)
    found = answers(received)
    assert found[0] in {200, 202}
    assert [found[n] for n in (1, 3, 5)] == [200, 404, 200]
    assert len(found) == 6
    assert received.count(b"Connection: keep-alive") == 5


def test_a_client_that_sends_no_more_is_answered(served: Served) -> None:
    """Half-closed, as simple clients do."""
    for request_ in (push(), chunked(), head(path="/healthz", method="GET")):
        assert status(served.raw(request_)) in {200, 202}


def test_who_waits_to_be_told_to_send_the_body_is_told(served: Served) -> None:
    """curl does from 1 MiB on."""
    expecting = head("Expect: 100-continue", f"Content-Length: {len(PUSH)}")
    for path in (f"/hooks/hub/{URL_TOKEN}", "/hooks/nobody"):
        with served.connect() as connection:
            connection.sendall(expecting.replace(f"/hooks/hub/{URL_TOKEN}".encode(), path.encode()))
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(PUSH)
            assert status(connection.recv(65536)) in {200, 202, 404}


def test_who_asks_with_too_much_is_not_told_to_send_it(served: Served) -> None:
    """That is what asking is for."""
    with served.connect() as connection:
        connection.sendall(head("Expect: 100-continue", "Content-Length: 99999999"))
        assert status(everything(connection)) == 413


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        (head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (head("Content-Length: 5", "Content-Length: 6") + b"12345", 400),
        (head("Transfer-Encoding: identity") + b"12345", 400),
        (head("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", 400),
        (head("Transfer-Encoding: x") + b"0\r\n\r\n", 501),
        (head("Content-Length: +5") + b"12345", 400),
        (head("Content-Length: 5").replace(b"\r\n", b"\n") + b"12345", 400),
        (head("Content-Length : 5") + b"12345", 400),
        (head("X: a\r\n b"), 400),
        (head("Transfer-Encoding: chunked") + b"5;\r\n12345\r\n0\r\n\r\n", 400),
        (head("Transfer-Encoding: chunked") + b"5\r\n123456\r\n0\r\n\r\n", 400),
        (head("Transfer-Encoding: chunked") + b"-5\r\n12345\r\n0\r\n\r\n", 400),
        (b"POST /" + b"x" * 5000, 414),
        (head(*[f"X-{number}: y" for number in range(70)]), 431),
        (head("X: " + "y" * 9000), 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000, 431),
    ],
)
def test_what_is_ambiguous_or_too_long_is_refused_and_the_connection_closed(
    served: Served, sent: bytes, refusal: int
) -> None:
    """Two readings of one request are how requests are smuggled past a proxy (RFC 9112, 11.2)."""
    with served.connect() as connection:
        connection.sendall(sent + push() if refusal == 400 else sent)
        received = everything(connection)
    assert answers(received) == [refusal]
    assert URL_TOKEN not in served.log.read_text()


def test_a_chunked_body_is_limited_too(served: Served) -> None:
    """It announces no length."""
    assert status(served.raw(chunked(b"x" * 70_000, 1000))) == 413
    assert status(served.raw(chunked(b"x" * 70_000, 1))) == 413


# ── the end ──────────────────────────────────────────────────────────────────────────────────


def test_a_stop_lets_a_request_that_has_begun_finish(tmp_path: Path) -> None:
    """Its sender would have to send it again; and nobody can hold up the stop for long."""
    with launcher(tmp_path) as served, served.connect() as slow, served.connect() as kept:
        kept.sendall(push())
        assert status(kept.recv(65536)) == 202
        whole = push()
        slow.sendall(whole[:-5])
        with served.connect() as endless:
            endless.sendall(SLOW["body"])
            assert honest(served).status_code == 202
            served.process.send_signal(signal.SIGTERM)
            while "Handling signal: term" not in served.log.read_text():
                time.sleep(0.01)
            slow.sendall(whole[-5:])
            received = everything(slow)
            assert status(received) in {200, 202}
            assert b"Connection: close" in received
            assert everything(kept) == b""
            assert served.process.wait(LONG) == 0
    assert "Traceback" not in served.log.read_text()
