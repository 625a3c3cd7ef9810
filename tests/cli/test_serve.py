"""`serve`: our code under the real gunicorn, without an engine; above all, what it logs."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.builders import ADMIN, CONFIGURATION, URL_TOKEN, changed
from tests.served import LONG, Served, serving
from webhook_launcher.cli import run


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """`webhook-launcher serve`, up and answering; engine and registry are not there."""
    with serving(tmp_path) as made:
        yield made


def test_no_secret_of_a_request_is_ever_logged(served: Served) -> None:
    """Tokens in URLs and headers: delivered, refused, misspelt, malformed. Many read a log."""
    push = {"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}}
    hub = f"{served.url}/hooks/hub"
    answers = [
        requests.post(f"{hub}/{URL_TOKEN}", json=push, timeout=LONG),
        requests.post(f"{hub}/{URL_TOKEN}-wrong", json=push, timeout=LONG),
        requests.post(f"{hub}/{URL_TOKEN}/more?token={URL_TOKEN}", timeout=LONG),
        requests.get(f"{hub}/{URL_TOKEN}", headers={"Referer": URL_TOKEN}, timeout=LONG),
        requests.post(f"{served.url}/hooks/{URL_TOKEN}", timeout=LONG),
        requests.post(f"{served.url}/{URL_TOKEN}", timeout=LONG),
        requests.post(f"{served.url}//hooks//hub/{URL_TOKEN}", timeout=LONG),
        requests.post(f"{served.url}/HOOKS/hub/{URL_TOKEN}", timeout=LONG),
        requests.get(f"{served.url}/healthz?token={URL_TOKEN}", timeout=LONG),
        requests.get(
            f"{served.url}/api/v1/workloads",
            headers={"Authorization": f"Bearer {ADMIN}", "User-Agent": URL_TOKEN},
            timeout=LONG,
        ),
    ]
    assert [answer.status_code for answer in answers] == [
        *(202, 401, 404, 405, 404, 404, 404, 404, 200, 200)
    ]
    path = f"/hooks/hub/{URL_TOKEN}".encode()
    for line in (
        b"POST %b HTTP/9.9\r\n\r\n",
        b"POST %b HT TP/1.1\r\n\r\n",
        b"POST %b\r\n\r\n",
        b"P@ST %b HTTP/1.1\r\n\r\n",
        b"POST %b HTTP/1.1\r\nTransfer-Encoding: nonsense\r\n\r\n",
        b"POST %b HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST %b HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"POST /" + b"x" * 5000 + b"%b HTTP/1.1\r\n\r\n",
    ):
        served.raw(line % path)
    assert served.stop() == 0
    log = served.log.read_text()
    assert URL_TOKEN not in log
    assert ADMIN not in log
    assert '"event": "delivery", "source": "hub"' in log
    assert '"POST /hooks/hub/…" 404' in log
    assert '"GET /api/v1/workloads" 200' in log


def test_a_body_without_end_is_cut_off(served: Served) -> None:
    """Chunked, it announces no length: refused after the limit, and the connection is not kept."""
    head = f"POST /hooks/hub/{URL_TOKEN} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = served.raw(head.encode() + chunk * 2 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"limits.body" in answer


def test_an_announced_body_that_is_too_long_is_refused_unread(served: Served) -> None:
    """The answer comes although not a byte of the body was sent."""
    head = f"POST /hooks/hub/{URL_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=LONG) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_second_launcher_refuses_to_start(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two would deploy against each other; said at once, not in a log of a worker that died."""
    assert run(["serve", "--config", str(served.config)]) == 1
    told = capsys.readouterr().err
    assert "another launcher uses the state directory" in told
    assert "  -> End the other launcher" in told


@contextmanager
def listening() -> Iterator[int]:
    """Another program; its port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def configured(tmp_path: Path, listen: str) -> Path:
    """A good configuration that listens there."""
    config = tmp_path / "config.yml"
    config.write_text(json.dumps(changed(CONFIGURATION, {"listen": listen})))
    return config


def test_a_port_that_is_taken_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """gunicorn tries for five seconds, in its own words, and names no way out."""
    with listening() as port:
        config = configured(tmp_path, f"127.0.0.1:{port}")
        began = time.monotonic()
        assert run(["serve", "--config", str(config)]) == 1
        assert time.monotonic() - began < 4
        assert capsys.readouterr().err.splitlines() == [
            f"error: cannot listen on 127.0.0.1:{port}: another program listens there",
            f"  -> End it (`ss -ltnp 'sport = :{port}'` shows which it is), or change `listen` "
            "in the configuration.",
        ]
        assert run(["serve", "--config", str(config), "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["code"] == "cannot-listen"


def test_an_address_of_another_host_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    config = configured(tmp_path, "192.0.2.7:18080")
    assert run(["serve", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert "cannot listen on 192.0.2.7:18080: cannot assign requested address" in told
    assert "  -> Give `listen` an address of this host" in told


def test_a_state_directory_for_everybody_is_said_before_gunicorn_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the log of a worker that died it stands between lines of gunicorn's."""
    config = tmp_path / "config.yml"
    config.write_text(json.dumps(CONFIGURATION))
    state = tmp_path / CONFIGURATION["state"]
    state.mkdir()
    state.chmod(0o777)
    assert run(["serve", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert "everybody on this host may write to the state directory" in told
    assert f"  -> Who writes there decides what runs: `chmod 0700 {state}`" in told


def test_a_socket_that_systemd_passes_on_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With socket activation systemd listens there itself, for us."""
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, argv: started.append(argv))
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LAUNCHER_CONFIG", "put back afterwards")
    with listening() as port:
        run(["serve", "--config", str(configured(tmp_path, f"127.0.0.1:{port}"))])
    assert len(started) == 1


def test_sigterm_stops_it_and_frees_the_state(served: Served) -> None:
    """With nothing to finish, a stop takes no time; then another may start."""
    start = time.monotonic()
    assert served.stop() == 0
    assert time.monotonic() - start < 15
    log = served.log.read_text()
    assert "Traceback" not in log
    assert "stopped" in log


def test_a_bad_configuration_never_starts_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 78 with every problem, as `check` would."""
    config = tmp_path / "config.yml"
    config.write_text("listen: here\nparallel: none\n")
    assert run(["serve", "--config", str(config)]) == 78
    told = capsys.readouterr().err
    assert "listen: must be host:port" in told
    assert "parallel: must be a whole number" in told


def test_a_key_that_cannot_sign_is_said_before_gunicorn_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do about it; the same in `doctor`."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "receipts.key").write_text("canary")
    config = tmp_path / "config.yml"
    config.write_text(json.dumps(changed(CONFIGURATION, {"state": "state"})))
    assert run(["serve", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert "receipts.key is not a private key in PEM" in told
    assert "move it aside" in told
    assert "canary" not in told


def test_a_state_directory_that_cannot_be_made_is_said_before_gunicorn_starts(
    tmp_path: Path,
) -> None:
    """A worker that fails to boot prints forty lines of traceback and no advice."""
    (tmp_path / "file").write_text("")
    config = tmp_path / "config.yml"
    wanted = changed(CONFIGURATION, {"state": str(tmp_path / "file" / "state")})
    config.write_text(json.dumps(wanted))
    ended = subprocess.run(
        [sys.executable, "-m", "webhook_launcher", "serve", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "cannot use the state directory" in ended.stderr
    assert "Traceback" not in ended.stderr
