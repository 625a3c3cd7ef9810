"""`reload` against the real gunicorn: through the API, and by a signal to its master."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders import ADMIN, LEFT_OUT, URL_TOKEN, admin
from tests.cli.conftest import Command, Ended
from tests.served import LONG, Served, serving
from webhook_launcher.cli import run

Reload = Callable[..., Ended]
PUSH = {"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}}
FAULTS: dict[str, Any] = {"parallel": "none", "workloads.web.image": "Not An Image"}
MENDED: dict[str, Any] = {"parallel": 4, "workloads.web.image": "127.0.0.1:1/acme/web"}
OFF: dict[str, Any] = {"admin": LEFT_OUT}


@pytest.fixture(scope="module")
def with_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One launcher for all tests that leave it running."""
    with serving(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture(scope="module")
def without_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same without `admin`."""
    with serving(tmp_path_factory.mktemp("signal"), OFF) as made:
        yield made


@contextmanager
def put_back(served: Served) -> Iterator[Served]:
    """The launcher, under its first configuration again when the test has ended."""
    text = served.config.read_text()
    try:
        yield served
    finally:
        served.config.write_text(text)
        assert run(["reload", "--config", str(served.config)]) == 0


@pytest.fixture
def served(with_api: Served) -> Iterator[Served]:
    """With the API."""
    with put_back(with_api) as made:
        yield made


@pytest.fixture
def closed(without_api: Served) -> Iterator[Served]:
    """Without `admin`, so that the API is off."""
    with put_back(without_api) as made:
        yield made


@pytest.fixture(params=["with_api", "without_api"], ids=["api", "signal"])
def either(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The same must hold in both ways."""
    with put_back(request.getfixturevalue(request.param)) as made:
        yield made


@pytest.fixture
def reload(command: Command) -> Reload:
    """The command, with the configuration of a launcher."""

    def ended(served: Served, *more: str) -> Ended:
        return command("reload", "--config", str(served.config), *more)

    return ended


def reload_apart(served: Served) -> tuple[int, str]:
    """The command in a process of its own: its exit status and what it complained of."""
    ended = subprocess.run(
        [sys.executable, "-m", "webhook_launcher", "reload", "--config", str(served.config)],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    return ended.returncode, ended.stderr


def status_of_push(served: Served) -> int:
    """What a delivery to the source `hub` is answered."""
    url = f"{served.url}/hooks/hub/{URL_TOKEN}"
    return requests.post(url, json=PUSH, timeout=LONG).status_code


def running(served: Served) -> dict[str, Any]:
    """What the state directory says of the launcher."""
    found: dict[str, Any] = json.loads((served.config.parent / "state/running.json").read_text())
    return found


def test_the_change_is_in_force_when_the_command_ends(either: Served, reload: Reload) -> None:
    """A script's next line relies on it, and so does `systemctl reload`."""
    assert status_of_push(either) == 202
    either.configure({"sources.hub": LEFT_OUT, "workloads.site": LEFT_OUT})
    ended = reload(either)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "reloaded: the configuration is in force",
        "  sources: ci, ghcr, local",
        "  workloads: pinned, web",
        "  removed: site",
    ]
    assert status_of_push(either) == 404


def test_a_refused_one_exits_78_with_every_problem_and_changes_nothing(
    either: Served, reload: Reload
) -> None:
    """Whoever reloads sees what is wrong where they typed it, not in a log; each time anew."""
    assert reload(either).status == 0
    either.configure({**FAULTS, "sources.hub": LEFT_OUT})
    ended = reload(either)
    assert ended.status == 78
    assert ended.err.startswith("error: 2 problems in the configuration\n  parallel: must be")
    assert "\n  workloads.web.image: " in ended.err
    problems = json.loads(reload(either, "--json").out)["problems"]
    assert [problem["path"] for problem in problems] == ["parallel", "workloads.web.image"]
    assert status_of_push(either) == 202
    either.configure(MENDED)
    told = json.loads(reload(either, "--json").out)
    assert told == {
        "sources": ["ci", "ghcr", "local"],
        "workloads": ["pinned", "site", "web"],
        "removed": [],
        "needs_restart": [],
    }
    assert status_of_push(either) == 404


def test_a_worker_that_dies_later_runs_under_what_was_put_in_force(
    either: Served, reload: Reload
) -> None:
    """Master and worker agree about every reload, whoever asked for it."""
    either.configure({"sources.hub": LEFT_OUT})
    assert reload(either).status == 0
    either.config.write_text("half of an ed")
    assert reload(either).status == 78
    worker = either.worker()
    os.kill(worker, signal.SIGKILL)
    either.until(lambda: either.workers() not in ([], [worker]) and either.answers())
    assert status_of_push(either) == 404


def test_a_worker_that_dies_later_keeps_its_state_directory(
    served: Served, reload: Reload, tmp_path: Path
) -> None:
    """`state` needs a restart of the launcher; a worker that crashes is none, and forgets nothing.

    From another directory it would know of no delivery, no quarantine and no pause.
    """
    url = f"{served.url}/hooks/hub/{URL_TOKEN}"
    delivery = requests.post(url, json=PUSH, timeout=LONG).json()["delivery"]
    served.configure({"state": str(tmp_path / "elsewhere")})
    assert reload(served).err == "  note: `state` stays as it was until a restart\n"
    worker = served.worker()
    os.kill(worker, signal.SIGKILL)
    served.until(lambda: served.workers() not in ([], [worker]) and served.answers())
    assert requests.get(f"{served.url}/api/v1/deliveries/{delivery}", timeout=LONG).ok
    assert not (tmp_path / "elsewhere").exists()


def test_many_at_once_all_get_their_result(either: Served) -> None:
    """A cron job, a deployment script and a person do not know of each other."""
    worker = either.worker()
    either.configure({"sources.hub": LEFT_OUT})
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(reload_apart, [either] * 4))
    assert ended == [(0, "")] * 4
    assert either.worker() == worker
    assert status_of_push(either) == 404


def test_what_needs_a_restart_is_named(either: Served, reload: Reload) -> None:
    """Half a change must not go unsaid; with another `listen` the launcher is still found."""
    either.configure({"listen": "127.0.0.1:1", "sources.hub": LEFT_OUT})
    ended = reload(either)
    assert ended.status == 0, ended.err
    assert ended.err == "  note: `listen` stays as it was until a restart\n"
    assert status_of_push(either) == 404


def test_an_admin_token_is_rotated_by_it(served: Served, reload: Reload) -> None:
    """The new token opens nothing yet when the command runs."""
    served.configure({"admin.token": "another-token-of-the-tests"})
    assert reload(served).status == 0
    url = f"{served.url}/api/v1/workloads"
    assert requests.get(url, headers=admin(), timeout=LONG).status_code == 401
    again = admin("another-token-of-the-tests")
    assert requests.get(url, headers=again, timeout=LONG).status_code == 200


def test_the_api_says_what_is_in_force_or_every_problem(served: Served) -> None:
    """For those who are not on the machine; without the token, nothing is read."""
    url = f"{served.url}/api/v1/reload"
    assert requests.post(url, timeout=LONG).status_code == 401
    before = len(served.told("configuration refused"))
    served.configure(FAULTS)
    refused = requests.post(url, headers=admin(), timeout=LONG)
    assert refused.status_code == 422
    assert refused.headers["Content-Type"] == "application/problem+json"
    told = refused.json()
    assert told["code"] == "configuration"
    assert [one["path"] for one in told["problems"]] == ["parallel", "workloads.web.image"]
    served.configure(MENDED)
    assert requests.post(url, headers=admin(), timeout=LONG).json()["removed"] == []
    assert len(served.told("configuration refused")) == before + 1


def test_from_another_machine_only_the_api_is_asked(
    served: Served, tmp_path: Path, reload: Reload
) -> None:
    """With --url and --token-file no configuration is needed here."""
    token = tmp_path / "token"
    token.write_text(ADMIN)
    served.configure({"sources.hub": LEFT_OUT})
    found = ["--url", served.url, "--token-file", str(token)]
    assert reload(served, *found, "--config", str(tmp_path / "absent.yml")).status == 0
    assert status_of_push(served) == 404
    token.write_text("a-token-that-is-not-the-right-one")
    ended = reload(served, *found)
    assert ended.status == 1
    assert "401" in ended.err


def test_a_client_that_goes_away_changes_nothing(served: Served, reload: Reload) -> None:
    """Ctrl-C in the middle: the reload is carried out, and the next one too."""
    served.configure({"sources.hub": LEFT_OUT})
    with socket.create_connection(("127.0.0.1", served.port), timeout=LONG) as connection:
        head = f"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 0\r\n\r\n")
    served.until(lambda: status_of_push(served) == 404)
    assert reload(served).status == 0


def test_a_file_that_is_no_yaml_is_refused_without_asking_anybody(
    closed: Served, reload: Reload
) -> None:
    """Where the launcher is cannot be read from it; what is wrong can."""
    closed.config.write_text("sources: {hub: [")
    ended = reload(closed)
    assert ended.status == 78
    assert "line 1" in ended.err
    assert status_of_push(closed) == 202


def test_a_file_that_does_not_say_where_the_launcher_is_is_refused_with_all_problems(
    closed: Served, reload: Reload
) -> None:
    """`listen`, `state` and `admin` are needed to find it; the rest is told all the same."""
    closed.configure({"listen": "here", **FAULTS})
    ended = reload(closed)
    assert ended.status == 78
    assert ended.err.startswith("error: 3 problems in the configuration")


def test_a_worker_that_dies_does_not_take_the_request_with_it(
    closed: Served, reload: Reload
) -> None:
    """The signal may reach the master while there is nobody to pass it on to."""
    closed.configure({"sources.hub": LEFT_OUT})
    os.kill(closed.worker(), signal.SIGKILL)
    assert reload(closed).status == 0
    assert status_of_push(closed) == 404


def test_the_process_is_named_while_it_runs(tmp_path: Path) -> None:
    """Privately; and a stop leaves nothing that a later process could be taken for."""
    file = tmp_path / "state" / "running.json"
    with serving(tmp_path, OFF) as served:
        assert running(served)["master"]["pid"] == served.process.pid
        assert file.stat().st_mode & 0o777 == 0o600
        assert served.stop() == 0
    assert not file.exists()


@pytest.mark.parametrize("changes", [{}, OFF], ids=["api", "signal"])
def test_without_a_launcher_it_says_so(
    tmp_path: Path, command: Command, changes: dict[str, Any]
) -> None:
    """After a crash too: the file names a process that is gone."""
    with serving(tmp_path, changes) as served:
        served.kill()
        assert running(served)["master"]["pid"] == served.process.pid
        ended = command("reload", "--config", str(served.config))
    assert ended.status == 1
    assert ended.err.startswith(f"error: no launcher runs with the state directory {tmp_path}")
    assert "docker compose exec launcher webhook-launcher reload" in ended.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_who_may(command: Command) -> None:
    """The state directory is private; the message has the command that works."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with serving(Path(name), OFF) as served:
            os.seteuid(65534)
            try:
                ended: Ended = command("reload", "--config", str(served.config))
            finally:
                os.seteuid(0)
    assert ended.status == 1
    assert f"the state directory {name}/state cannot be read by this user" in ended.err
    assert "sudo -u USER webhook-launcher reload" in ended.err


def test_other_commands_work_while_the_file_is_being_edited(
    served: Served, command: Command
) -> None:
    """`pause` and `rollback` are needed most when something is wrong."""
    served.configure(FAULTS)
    for argv in (["status"], ["pause", "web"], ["resume", "web"]):
        ended = command(*argv, "--config", str(served.config))
        assert ended.status == 0, ended.err


class TestSignals:
    """SIGHUP at any moment of a start, and what programs of the launcher get of it."""

    @pytest.mark.parametrize("ignored", [True, False], ids=["container", "plain"])
    def test_during_a_start_it_ends_nothing(
        self, tmp_path: Path, ignored: bool, reload: Reload
    ) -> None:
        """Some 100 moments of the first two seconds; as PID 1 of the image it begins ignored.

        Without the image's `env`, from the moment at which our own code runs.
        """
        prefix = ["env", "--ignore-signal=HUP"] if ignored else []
        with serving(tmp_path, prefix=prefix, wait=False) as served:
            status = Path(f"/proc/{served.process.pid}/status")
            served.until(lambda: ignores_hangup(status))
            end = time.monotonic() + 2
            while time.monotonic() < end:
                served.process.send_signal(signal.SIGHUP)
                time.sleep(0.02)
            served.until(served.answers)
            assert reload(served).status == 0

    def test_programs_of_the_launcher_get_it_as_usual(self, tmp_path: Path) -> None:
        """Ignored signals are inherited: a compose or hook that outlives a terminal would hang."""
        told = tmp_path / "told"
        script = f"grep -E '^Sig(Ign|Blk)' /proc/self/status > {told}.new; mv {told}.new {told}"
        changes = {"workloads.web.track": {"command": ["sh", "-c", script]}}
        with serving(tmp_path, changes, prefix=["env", "--ignore-signal=HUP"]) as served:
            served.until(told.exists)
        masks = [int(line.split()[1], 16) for line in told.read_text().splitlines()]
        assert len(masks) == 2
        assert [mask & HANGUP for mask in masks] == [0, 0]


HANGUP = 1 << (signal.SIGHUP - 1)


def ignores_hangup(status: Path) -> bool:
    """True when SIGHUP is ignored: not yet handled, and already harmless."""
    (mask,) = (line for line in status.read_text().splitlines() if line.startswith("SigIgn"))
    return bool(int(mask.split()[1], 16) & HANGUP)
