"""`send` against a launcher on a real socket: what a CI job sees, and how it exits."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from flask import Response, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from tests.builders import D1, HMAC_KEY, WallClock, edge_in, serving
from tests.cli.conftest import Command, Ended, Remote
from webhook_launcher.core.model import Action, Status

REFERENCE = f"ghcr.io/acme/web:1.4.2@{D1}"


@pytest.fixture
def send(command: Command, remote: Remote) -> Command:
    """`send` to the deploy source, with its key."""

    def sent(*more: str) -> Ended:
        return command(
            *("send", "--url", f"{remote.url}/hooks/ci", "--key-file", str(remote.key)),
            *("--workload", "web", *more),
        )

    return sent


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that is no launcher: always this answer. Its address, and the bodies it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """The same answer for every path."""
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not into the test's output."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ── sending ──────────────────────────────────────────────────────────────────────────────────


def test_an_event_is_signed_and_accepted(send: Command, remote: Remote) -> None:
    """Everything that was given arrives, verified by the source."""
    ended = send("--reference", REFERENCE, "--reason", "run 8812", "--actor", "octocat")
    assert ended.status == 0
    assert ended.out.startswith("delivery ")
    assert ended.out.endswith(": accepted\n")
    (intent,) = remote.edge.journal.intents.waiting("web")
    assert (intent.wish.action, str(intent.wish.reference)) == (Action.DEPLOY, REFERENCE)
    assert (intent.wish.origin.reason, intent.wish.origin.actor) == ("run 8812", "octocat")


def test_json_is_the_launchers_answer(send: Command, remote: Remote) -> None:
    """For scripts that go on by themselves."""
    answer = json.loads(send("--json").out)
    assert answer["intents"][0]["status_url"] == f"/api/v1/deliveries/{answer['delivery']}"


def test_the_key_may_come_from_the_environment(
    command: Command, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI systems hand secrets over like that."""
    monkeypatch.setenv("LAUNCHER_SIGNING_KEY", HMAC_KEY)
    assert command("send", "--url", f"{remote.url}/hooks/ci", "--workload", "web").status == 0


def test_a_made_pair_signs_and_verifies(command: Command, tmp_path: Path) -> None:
    """`keygen` is the start of every installation: its pair must work as it is printed."""
    pair = json.loads(command("keygen", "--json").out)
    (tmp_path / "key").write_text(pair["private_key"])
    keys = [{"id": "new", "public_key": pair["public_key"]}]
    made = edge_in(tmp_path, clock=WallClock(), sources__ci__keys=keys)
    with made as edge, serving(edge.app) as url:
        argv = ["--url", f"{url}/hooks/ci", "--key-file", str(tmp_path / "key")]
        assert command("send", *argv, "--workload", "web").status == 0


# ── waiting ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Status.SUCCESS, 0), (Status.FAILURE, 1), (Status.ERROR, 1), (Status.INACTIVE, 1)],
)
def test_wait_exits_by_the_outcome(
    send: Command, remote: Remote, outcome: Status, status: int
) -> None:
    """A CI job is green when what it asked for runs, and red for everything else."""
    remote.edge.on_wake = lambda: remote.edge.settle(outcome, detail="this is why")
    ended = send("--wait")
    assert ended.status == status
    assert ended.out.startswith(f"web: {outcome.value}: The")
    assert "this is why" not in ended.out


def test_wait_says_what_failed_where_the_rest_is_and_which_image(
    send: Command, remote: Remote
) -> None:
    """One line that stands alone in a CI job's log; what was printed on the host is not in it."""
    edge = remote.edge
    attempt = edge.deployed("web", D1)
    edge.on_wake = lambda: edge.settle(
        Status.FAILURE, code="unhealthy", detail="a canary", deployment=attempt.id
    )
    assert send("--wait").out == (
        "web: failure: The release did not become healthy, or was not the image it should be. "
        "Details: `webhook-launcher history web` on the launcher's host. "
        f"(ghcr.io/acme/web@{D1})\n"
    )


def test_wait_with_json_prints_the_state_at_the_end(send: Command, remote: Remote) -> None:
    """One document on standard output, also when it failed."""
    remote.edge.on_wake = lambda: remote.edge.settle(Status.FAILURE, code="unhealthy")
    ended = send("--wait", "--json")
    assert ended.status == 1
    assert json.loads(ended.out)["intents"][0]["code"] == "unhealthy"


def test_wait_follows_what_is_worked_on(send: Command, remote: Remote) -> None:
    """Each step is shown once, on standard error, until the end."""
    edge = remote.edge
    asked: list[None] = []

    @edge.app.before_request
    def work() -> None:
        """The second question finds it claimed, the fourth settled."""
        if request.path.startswith("/api/v1/deliveries/"):
            asked.append(None)
            if len(asked) == 2:
                edge.journal.intents.claim(edge.clock.now())
            if len(asked) == 4:
                edge.journal.intents.settle(edge.journal.intents.waiting("web")[0], Status.SUCCESS)

    ended = send("--wait")
    assert (ended.status, ended.out) == (0, "web: success: The release runs and is healthy.\n")
    assert ended.err == "web: queued\nweb: in_progress\n"


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_wait_ends_when_its_time_is_over(send: Command, more: list[str]) -> None:
    """Exit 4, which a CI job can tell from a failed deployment: it may still succeed."""
    ended = send("--wait", "--timeout", "0.3", *more)
    assert ended.status == 4
    if more:
        assert json.loads(ended.out) == {"timed_out": True}
    else:
        assert "timed out; it goes on" in ended.err


def test_wait_outlives_a_launcher_that_is_not_there_for_a_moment(
    send: Command, remote: Remote
) -> None:
    """It may deploy itself, or its proxy may restart: what was accepted is in the journal."""
    edge = remote.edge
    answers = [("<html>Bad gateway</html>", 502), ('{"code": "x"}', 503), ("", 500)]

    @edge.app.before_request
    def fail() -> tuple[str, int] | None:
        """The first three questions about the delivery."""
        if answers and request.path.startswith("/api/"):
            return answers.pop(0)
        return None

    edge.on_wake = lambda: edge.settle(Status.SUCCESS)
    assert send("--wait").status == 0
    assert answers == []


def test_a_launcher_behind_a_path_is_followed_there(command: Command, remote: Remote) -> None:
    """A proxy may have it under /launcher: the delivery is asked for below the same path."""
    edge = remote.edge
    edge.on_wake = lambda: edge.settle(Status.SUCCESS)
    below = DispatcherMiddleware(lambda *_: [], {"/launcher": edge.app})
    with serving(below) as url:
        argv = ["--url", f"{url}/launcher/hooks/ci", "--key-file", str(remote.key)]
        assert command("send", *argv, "--workload", "web", "--wait").status == 0


# ── not sent ─────────────────────────────────────────────────────────────────────────────────


def test_nobody_there_is_3(command: Command, remote: Remote) -> None:
    """Not 1: nothing was deployed, and nothing failed."""
    argv = ["--url", "http://127.0.0.1:1/hooks/ci/canary-token", "--key-file", str(remote.key)]
    ended = command("send", *argv, "--workload", "web", "--retries", "0")
    assert ended.status == 3
    assert "the launcher at 127.0.0.1:1 cannot be reached: connection refused" in ended.err
    assert "canary" not in ended.err + ended.out


@pytest.mark.parametrize(
    ("workload", "words"),
    [("site", "Out of scope"), ("nobody", "not in this source's scope")],
)
def test_a_refusal_is_3_and_says_why(
    command: Command, remote: Remote, workload: str, words: str
) -> None:
    """The launcher's own words and advice, and no retry: the same would be refused again."""
    argv = ["--url", f"{remote.url}/hooks/ci", "--key-file", str(remote.key)]
    ended = command("send", *argv, "--workload", workload)
    assert ended.status == 3
    assert words in ended.err
    assert "(HTTP 422)" in ended.err
    assert "  -> Check the workload's `image`" in ended.err


def test_a_refusal_as_json_has_the_launchers_code(command: Command, remote: Remote) -> None:
    """Scripts go by codes, not by sentences."""
    (remote.key).write_text("whsec_" + "QkJC" * 8)
    argv = ["--url", f"{remote.url}/hooks/ci", "--key-file", str(remote.key), "--json"]
    ended = command("send", *argv, "--workload", "web")
    assert ended.status == 3
    told = json.loads(ended.out)
    assert (told["code"], told["status"]) == ("authentication", 401)
    assert told["detail"]
    assert told["advice"]


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>Welcome</html>"), (200, b"[]"), (200, b"{}"), (200, b'{"delivery": 5}')],
)
def test_an_answer_of_somebody_else_is_3(
    command: Command, remote: Remote, status: int, body: bytes
) -> None:
    """A wrong URL often answers 200: that is no accepted delivery."""
    with answering(status, body) as (url, _):
        argv = ["--url", f"{url}/hooks/ci", "--key-file", str(remote.key), "--retries", "0"]
        ended = command("send", *argv, "--workload", "web")
    assert ended.status == 3
    assert "no usable answer from a launcher" in ended.err


def test_a_redirect_is_not_followed(command: Command, remote: Remote) -> None:
    """A signed event belongs to the address that was written, nowhere else."""
    with answering(302, b"{}") as (url, bodies):
        argv = ["--url", f"{url}/hooks/ci", "--key-file", str(remote.key), "--retries", "0"]
        assert command("send", *argv, "--workload", "web").status == 3
    assert len(bodies) == 1


def test_an_outage_is_outlived_under_one_id(
    send: Command, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again it is the same delivery, so that an answer lost on its way deploys once."""
    paused: list[float] = []
    monkeypatch.setattr("webhook_launcher.cli.send.time.sleep", paused.append)
    edge = remote.edge
    seen: list[str] = []
    broken = [503, 502]

    @edge.app.after_request
    def lose(response: Response) -> Response:
        """The launcher accepts; the answer gets lost behind a proxy, twice."""
        seen.append(request.headers["webhook-id"])
        return Response("{}", broken.pop(0)) if broken else response

    ended = send()
    assert ended.status == 0
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert paused == [1.0, 2.0]
    assert len(edge.journal.intents.waiting("web")) == 1
    assert len(edge.woken) == 1


# ── usage ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    ["host/hooks/ci", "ftp://host/x", "http://", "http://[::1/x", "file:///etc", "http://h:x/"],
)
def test_what_is_no_url_is_2_and_not_quoted(command: Command, url: str) -> None:
    """Its last part may be a token."""
    ended = command("send", "--url", f"{url}/canary", "--workload", "web")
    assert ended.status == 2
    assert "canary" not in ended.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "is not one line"),
        (b"\xff\xfe", "is not a key"),
        (b"canary key\nof two lines", "is not one line"),
        (b"whpk_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", "a public key (whpk_) cannot sign"),
        (b"whsk_canary", "cannot sign"),
        (b"whsec_canary", "cannot sign"),
    ],
)
def test_a_key_that_cannot_sign_is_2(
    command: Command, tmp_path: Path, content: bytes | None, words: str
) -> None:
    """Before anything is sent, and without showing what was in the file."""
    key = tmp_path / "a-key"
    if content is not None:
        key.write_bytes(content)
    argv = ["--url", "http://127.0.0.1:1/hooks/ci", "--key-file", str(key)]
    ended = command("send", *argv, "--workload", "web")
    assert ended.status == 2
    assert words in ended.err
    assert "canary" not in ended.err


def test_no_key_at_all_is_2(command: Command) -> None:
    """With both ways to give one."""
    ended = command("send", "--url", "http://127.0.0.1:1/hooks/ci", "--workload", "web")
    assert ended.status == 2
    assert "--key-file or $LAUNCHER_SIGNING_KEY" in ended.err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--url", "http://h/hooks/ci"],
        ["--workload", "web"],
        ["--url", "http://h/x", "--workload", "w", "--timeout", "soon"],
        ["--url", "http://h/x", "--workload", "w", "--timeout", "-1"],
        ["--url", "http://h/x", "--workload", "w", "--timeout", "nan"],
        ["--url", "http://h/x", "--workload", "w", "--retries", "9"],
        ["--url", "http://h/x", "--workload", "w", "--unknown"],
    ],
)
def test_a_call_that_makes_no_sense_is_2(command: Command, argv: list[str]) -> None:
    """As of every program that argparse reads the arguments of."""
    assert command("send", *argv).status == 2
