"""Another configuration takes the place of the one in force, in a process that goes on."""

import gc
import json
import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from tests.builders import CONFIGURATION, LEFT_OUT, admin, changed
from tests.receipts import KEY
from webhook_launcher import reload
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.attempt import Outcome
from webhook_launcher.config import Settings, load
from webhook_launcher.core.errors import JournalDamagedError, JournalError
from webhook_launcher.core.model import Action, Event, Intent, Origin, Status, Trust, Wish
from webhook_launcher.core.workload import Workload
from webhook_launcher.launcher import Launcher
from webhook_launcher.placement import Placement
from webhook_launcher.poller import Poller
from webhook_launcher.prerequisites import Prerequisites
from webhook_launcher.reload import Running
from webhook_launcher.sources import KINDS

_LONG = 20.0
OPERATOR = Origin(Trust.OPERATOR, "operator")
PUSH = {"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}}


class Stage:
    """A launcher whose deployments last until the test lets them end."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "config.yml"
        self.token = directory / "hub"
        self.token.write_text("a-token-in-a-file-1")
        self.deploying: list[Workload] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.write({})
        self.running = Running(self.read(), self.read)
        self.running.start()

    def write(self, changes: Mapping[str, Any]) -> None:
        """The configuration, changed."""
        ours = {
            "sources.hub": {"kind": "dockerhub", "token_file": str(self.token)},
            "parallel": 2,
            "poll": {"every": "off"},
        }
        self.file.write_text(json.dumps(changed(CONFIGURATION, {**ours, **changes})))

    def read(self) -> Settings:
        """As the launcher reads it."""
        return load(self.file, KINDS)

    def reload(self, changes: Mapping[str, Any]) -> None:
        """Change the file and reload; it is in force when this returns."""
        before = self.running.settings
        self.write(changes)
        self.running.reload()
        until(lambda: self.running.settings is not before)

    @property
    def http(self) -> Client:
        """A client of it."""
        return Client(self.running)

    def push(self) -> int:
        """What a delivery with the token as it is in the file now is answered."""
        return self.http.post(f"/hooks/hub/{self.token.read_text()}", json=PUSH).status_code

    def ask(self, *workloads: str) -> list[Intent]:
        """An operator asks for a look."""
        wishes = [Wish(name, Action.CHECK, OPERATOR) for name in workloads]
        return self.running.journal.intents.enqueue(wishes, datetime.now(UTC))

    def status(self, intent: Intent) -> Status:
        """What became of it."""
        found = self.running.journal.intents.get(intent.id)
        assert found is not None
        return found.status

    def launch(self, workload: Workload, intent: Intent) -> Outcome:
        """In place of the launcher's own."""
        self.deploying.append(workload)
        assert self.go_on.wait(_LONG)
        return Outcome(Status.SUCCESS, "it runs")


def until(happened: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + _LONG
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def open_files() -> int:
    """Descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def meet_damage(journal: Journal) -> None:
    """Read a page that is none, as SQLite sees it when it reads one again from the disk."""
    damaged = sqlite3.connect(":memory:")
    damaged.deserialize(b"SQLite format 3\0" + b"x" * 4080)
    with closing(damaged), journal._database.reading():
        damaged.execute("SELECT * FROM sqlite_master")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Up; it ends whatever a test did to it. There is neither registry nor engine to look at."""
    monkeypatch.setattr(Poller, "step", lambda _: 3600.0)
    monkeypatch.setattr(Placement, "step", lambda _: 3600.0)
    monkeypatch.setattr(Prerequisites, "step", lambda _: 3600.0)
    monkeypatch.setattr(Engine, "ping", lambda _: None)
    made = Stage(tmp_path)
    monkeypatch.setattr(Launcher, "launch", made.launch)
    yield made
    made.go_on.set()
    made.running.stop(time.monotonic() + _LONG)


def test_sources_come_and_go(stage: Stage) -> None:
    """What the file says is what is served, at once and without a restart."""
    assert stage.push() == 202
    stage.reload({"sources.hub": LEFT_OUT})
    assert stage.push() == 404
    stage.reload({})
    assert stage.push() == 202


def test_what_was_counted_goes_on_after_a_reload(stage: Stage) -> None:
    """A counter that falls back looks to Prometheus like a restart, and to people like peace."""
    for _ in range(2):
        assert stage.http.post("/hooks/hub/a-guess", json=PUSH).status_code == 401
    stage.reload({"limits.refused": 7})
    assert stage.http.post("/hooks/hub/a-guess", json=PUSH).status_code == 401
    line = 'webhook_launcher_refused_deliveries_total{source="hub",code="authentication"} 3'
    assert line in stage.http.get("/metrics").text.splitlines()


def test_a_secret_is_rotated_by_its_file(stage: Stage) -> None:
    """The file of the configuration did not change; the one of the secret did."""
    old = stage.token.read_text()
    stage.token.write_text("a-token-in-a-file-2")
    stage.reload({})
    assert stage.push() == 202
    assert stage.http.post(f"/hooks/hub/{old}", json=PUSH).status_code == 401


def test_an_invalid_one_is_refused_with_every_problem(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in an editor must not end what keeps workloads alive."""
    monkeypatch.setattr(logging.getLogger("webhook_launcher"), "propagate", True)
    before = stage.running.settings
    stage.write({"parallel": "none", "listen": "here"})
    stage.running.reload()
    until(lambda: "configuration refused" in caplog.messages)
    problems = [r.__dict__["detail"] for r in caplog.records if "problem" in r.message]
    assert [problem.split(":")[0] for problem in problems] == ["listen", "parallel"]
    assert stage.running.settings is before
    assert stage.push() == 202
    stage.reload({})
    assert stage.push() == 202


def test_a_file_that_changes_while_it_is_read_is_read_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master process read half an edit: what is put in force must be good for both."""
    answers = [False, True]
    readings: list[Settings] = []

    def read() -> Settings:
        readings.append(stage.read())
        return readings[-1]

    monkeypatch.setattr(stage.running, "_held", lambda: answers.pop(0))
    monkeypatch.setattr(stage.running, "_read", read)
    stage.write({"sources.hub": LEFT_OUT})
    assert stage.running.reload_and_wait()["sources"] == ["ci", "ghcr", "local"]
    assert (len(readings), answers) == (2, [])
    assert stage.push() == 404


def test_what_the_master_never_holds_is_not_put_in_force(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies would come back under something else than what was told."""
    monkeypatch.setattr(stage.running, "_held", lambda: False)
    stage.write({"sources.hub": LEFT_OUT})
    answer = stage.http.post("/api/v1/reload", headers=admin())
    assert (answer.status_code, answer.get_json()["code"]) == (503, "reload-unfinished")
    assert stage.push() == 202


def test_a_request_waits_only_so_long_and_the_reload_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret on a network file system that hangs must not hold the API's threads."""
    go_on = threading.Event()
    monkeypatch.setattr(reload, "_PATIENCE", 0.05)
    monkeypatch.setattr(stage.running, "_read", lambda: go_on.wait(_LONG) and stage.read())
    stage.write({"sources.hub": LEFT_OUT})
    answer = stage.http.post("/api/v1/reload", headers=admin())
    assert (answer.status_code, answer.get_json()["code"]) == (503, "reload-unfinished")
    assert stage.push() == 202
    go_on.set()
    until(lambda: stage.push() == 404)


def test_a_fault_of_our_own_is_a_result_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked would wait for nothing; and the next reload works."""
    with monkeypatch.context() as patch:
        patch.setattr(stage.running, "_read", lambda: 1 // 0)
        answer = stage.http.post("/api/v1/reload", headers=admin())
    assert (answer.status_code, answer.get_json()["code"]) == (500, "launcher-error")
    assert stage.push() == 202
    assert stage.http.post("/api/v1/reload", headers=admin()).status_code == 200


def test_requests_that_wait_share_a_reload_that_begins_after_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, and none is told the result of a reading from before it asked."""
    read, go_on, first = threading.Event(), threading.Event(), stage.read()
    readings: list[Settings] = []

    def slow() -> Settings:
        readings.append(stage.read() if readings else first)
        read.set()
        assert go_on.wait(_LONG)
        return readings[-1]

    monkeypatch.setattr(stage.running, "_read", slow)
    with ThreadPoolExecutor(4) as pool:
        before = pool.submit(stage.running.reload_and_wait)
        assert read.wait(_LONG)
        stage.write({"sources.hub": LEFT_OUT})
        after = [pool.submit(stage.running.reload_and_wait) for _ in range(3)]
        until(lambda: stage.running._requests.qsize() == 3)
        go_on.set()
        assert "hub" in before.result(_LONG)["sources"]
        assert all("hub" not in one.result(_LONG)["sources"] for one in after)
    assert len(readings) == 2


def test_what_needs_a_restart_is_named_and_the_rest_taken(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Sockets and the state's lock are the process's; half a change must not go unsaid."""
    monkeypatch.setattr(logging.getLogger("webhook_launcher"), "propagate", True)
    before = stage.running.settings
    elsewhere = str(tmp_path / "elsewhere")
    given = {"key": KEY.pem.decode()}
    stage.reload(
        {"listen": "127.0.0.1:9", "state": elsewhere, "receipts": given, "sources.hub": LEFT_OUT}
    )
    named = [r.__dict__["setting"] for r in caplog.records if r.message == "needs a restart"]
    assert named == ["listen", "state", "receipts"]
    assert (stage.running.settings.listen, stage.running.settings.state) == (
        before.listen,
        before.state,
    )
    assert stage.push() == 404
    assert not Path(elsewhere).exists()


def test_a_deployment_in_progress_ends_under_its_old_settings(stage: Stage) -> None:
    """Half a deployment is not a state to stop in; and its outcome is recorded."""
    stage.go_on.clear()
    [begun] = stage.ask("web")
    until(lambda: stage.deploying)
    stage.reload({"workloads.web": LEFT_OUT, "sources.ci.workloads": ["pinned"]})
    assert stage.status(begun) is Status.IN_PROGRESS
    stage.go_on.set()
    until(lambda: stage.status(begun) is Status.SUCCESS)
    assert [workload.name for workload in stage.deploying] == ["web"]


def test_no_project_has_two_deployments_across_a_reload(stage: Stage) -> None:
    """The one that began under the old settings holds its workload and its project."""
    stage.go_on.clear()
    stage.ask("web")
    until(lambda: stage.deploying)
    stage.reload(
        {
            # Another workload now has the project that is being deployed, and `web` another one.
            "workloads.web.compose.project": "elsewhere",
            "workloads.site.compose.project": "web",
        }
    )
    again, into_it, free = stage.ask("web", "site", "pinned")
    until(lambda: len(stage.deploying) == 2)
    assert stage.deploying[1].name == "pinned"
    assert {stage.status(again), stage.status(into_it)} == {Status.QUEUED}
    stage.go_on.set()
    ended = (again, into_it, free)
    until(lambda: {stage.status(intent) for intent in ended} == {Status.SUCCESS})
    under = {(workload.name, workload.project.name) for workload in stage.deploying[2:]}
    assert under == {("web", "elsewhere"), ("site", "web")}


def test_another_retention_is_kept_to_at_once(stage: Stage) -> None:
    """Whoever has a disk that fills up asks for it, and does not want to wait for a restart."""
    before = datetime.now(UTC) - timedelta(days=10)
    event = Event("hub", Trust.TOKEN, "ten-days-old")
    old = stage.running.journal.deliveries.accept(event, [], "nothing to do", before)
    stage.reload({"parallel": 3})
    until(lambda: not stage.running.retiring)
    assert stage.running.journal.deliveries.get(old.id) is not None
    stage.reload({"journal": {"keep": {"deliveries": {"age": "9d"}}}})
    until(lambda: stage.running.journal.deliveries.get(old.id) is None)


def test_what_waits_for_a_removed_workload_ends(stage: Stage) -> None:
    """Nobody could ever claim it, and its sender asks what became of it."""
    stage.running.journal.workloads.pause("site", True)
    assert stage.push() == 202
    [waiting] = stage.running.journal.intents.waiting("site")
    stage.reload({"workloads.site": LEFT_OUT})
    until(lambda: stage.status(waiting) is Status.INACTIVE)


def test_what_an_old_worker_could_not_settle_is_worked_on_by_a_new_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim would hold the project until the next start."""

    def full(*_: object) -> Outcome:
        raise JournalError("the journal cannot be written: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Launcher, "launch", full)
        [begun] = stage.ask("web")
        until(lambda: stage.status(begun) is Status.IN_PROGRESS)
        stage.reload({})
    until(lambda: stage.status(begun) is Status.SUCCESS)


def test_reloads_leave_nothing_behind(stage: Stage) -> None:
    """A launcher that is reloaded by a cron job lives for months."""
    counts: list[tuple[int, int]] = []
    for _ in range(3):
        for _ in range(4):
            stage.reload({})
            assert stage.push() in (200, 202)
        until(lambda: not stage.running.retiring)
        counts.append((threading.active_count(), open_files()))
    # A thread that has told its last may still be about to end.
    threads, files = counts[0]
    until(lambda: threading.active_count() <= threads and open_files() <= files)


def test_what_was_in_force_before_is_freed_at_once(stage: Stage) -> None:
    """Half a MiB each: fifty of them would wait until the collector came to it by itself."""
    until(lambda: stage.push() in (200, 202))
    before = [weakref.ref(loop) for loop in stage.running._service.workers]
    gc.collect()
    gc.disable()
    try:
        stage.reload({})
        until(lambda: not any(old() for old in before))
    finally:
        gc.enable()


def test_a_journal_that_is_damaged_in_use_ends_the_process(stage: Stage, tmp_path: Path) -> None:
    """The next one moves it aside; on this one nothing could be promised any more."""
    stage.running.stop(time.monotonic() + _LONG)
    ended = threading.Event()
    stage.running = Running(stage.read(), stage.read, ended.set)
    stage.running.start()
    assert stage.push() in (200, 202)
    with pytest.raises(JournalDamagedError):
        meet_damage(stage.running.journal)
    assert ended.wait(_LONG)
    reason = stage.http.get("/readyz").get_json()["reasons"]["journal"]
    assert "damaged" in reason
    assert stage.push() == 503


def test_it_begins_when_the_disk_can_be_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims of the one before must be given back first; a full disk delays that, no more."""
    [left] = stage.ask("web")
    until(lambda: stage.status(left) is Status.SUCCESS)
    stage.running.stop(time.monotonic() + _LONG)
    again = stage.running = Running(stage.read(), stage.read)
    with again.journal._database.reading() as connection:
        connection.execute("PRAGMA query_only = 1")
    again.start()
    until(lambda: stage.http.get("/readyz").get_json()["reasons"].keys() == {"journal", "loops"})
    with again.journal._database.reading() as connection:
        connection.execute("PRAGMA query_only = 0")
    until(lambda: stage.http.get("/readyz").status_code == 200)
    [then] = stage.ask("web")
    until(lambda: stage.status(then) is Status.SUCCESS)


def test_the_sockets_to_the_engine_are_closed_with_what_used_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A soak with reloads by chance held more of them after each."""
    closed: list[Connection] = []
    close = Connection.close

    def noted(connection: Connection) -> None:
        closed.append(connection)
        close(connection)

    monkeypatch.setattr(Connection, "close", noted)
    old = stage.running._service.connection
    stage.reload({"parallel": 3})
    until(lambda: any(one is old for one in closed))
    assert not any(one is stage.running._service.connection for one in closed)
