"""Who is woken by a delivery: one worker that waits, and by it the next while there is work."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders import settings_in
from webhook_launcher.app import Service, build
from webhook_launcher.attempt import Outcome
from webhook_launcher.core.model import Action, Intent, Origin, Status, Trust, Wish
from webhook_launcher.core.workload import Workload
from webhook_launcher.launcher import Launcher

_LONG = 20.0
OPERATOR = Origin(Trust.OPERATOR, "operator")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A whole service with two workers; only they are started."""
    made = build(settings_in(tmp_path, parallel=2, poll={"every": "off"}))
    with ExitStack() as stack:
        stack.callback(made.journal.close)
        for loop in made.workers:
            loop.start()
            stack.callback(loop.join, time.monotonic() + _LONG)
        for loop in made.workers:
            stack.callback(loop.stop)
        yield made


def all_wait(service: Service) -> bool:
    """Every worker has looked and found nothing, within a while."""
    deadline = time.monotonic() + _LONG
    while time.monotonic() < deadline:
        if all(loop.waiting for loop in service.workers):
            return True
        time.sleep(0.001)
    return False


def test_two_workloads_are_worked_on_at_once_by_one_wake(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker is in a deployment for minutes; the second must not wait for a clock."""
    both = threading.Barrier(2, timeout=_LONG)

    def launch(_: Launcher, workload: Workload, intent: Intent) -> Outcome:
        both.wait()  # broken, and so an error, unless two are in here at once
        return Outcome(Status.SUCCESS, "it runs")

    monkeypatch.setattr(Launcher, "launch", launch)
    assert all_wait(service)
    wishes = [Wish(name, Action.CHECK, OPERATOR) for name in ("web", "site")]
    intents = service.journal.intents.enqueue(wishes, datetime.now(UTC))
    began = time.monotonic()
    service.workers[0].wake()
    while any(status_of(service, intent) is not Status.SUCCESS for intent in intents):
        assert time.monotonic() < began + 4.0, "only the idle look of every 5 s finds it"
        time.sleep(0.001)


def status_of(service: Service, intent: Intent) -> Status:
    """Now."""
    found = service.journal.intents.get(intent.id)
    assert found is not None
    return found.status
