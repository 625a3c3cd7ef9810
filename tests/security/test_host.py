"""Users of the host: one without root, root, and whoever sets its clock."""

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from tests.builders import D1, NOW, URL_TOKEN, deploy_event, edge_in, told
from tests.receipts import KEY, OTHER_KEY, chain_of
from tests.served import LONG, Served
from tests.web.test_hooks import hub_push
from tests.world import WEB, A, B, World
from webhook_launcher.adapters.compose import program_environment
from webhook_launcher.adapters.compose.written import write_json
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.errors import BrokenChainError, JournalError, StateLockedError
from webhook_launcher.core.policies import MinimumAge
from webhook_launcher.core.receipts import Head, verify

DEPLOY = {"type": "deploy", "workload": "web", "reference": f"ghcr.io/acme/web@{D1}"}
PUBLIC = {"receipts.pub"}  # is one half of a key pair


# ── without root ─────────────────────────────────────────────────────────────────────────────


def test_reading_the_state_directory(served: Served) -> None:
    """L1: also where the directory was there before and open to all, its files are not."""
    requests.post(f"{served.url}/hooks/hub/{URL_TOKEN}", json=hub_push(), timeout=LONG)
    state = served.config.parent / "state"
    write_json(state / "overrides" / "web.json", {})
    found = {path: path.stat().st_mode for path in state.rglob("*")}
    assert {"journal.sqlite3", "journal.sqlite3-wal", "receipts.key"} <= {p.name for p in found}
    for path, mode in found.items():
        others = mode & (stat.S_IRWXG | stat.S_IRWXO)
        assert not others or path.name in PUBLIC, path.name


def test_a_journal_that_was_readable(tmp_path: Path) -> None:
    """L1: made by an earlier version, or copied back, it is closed at the next start."""
    Journal(tmp_path, {}).close()
    (tmp_path / "journal.sqlite3").chmod(0o644)
    Journal(tmp_path, {}).close()
    assert (tmp_path / "journal.sqlite3").stat().st_mode & 0o777 == 0o600


def test_writing_to_the_state_directory(tmp_path: Path) -> None:
    """L2: where everybody may write, anybody decides what runs: the launcher does not start."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(JournalError, match="everybody on this host may write") as raised:
        Journal(state, {})
    assert "chmod 0700" in raised.value.advice()
    assert list(state.iterdir()) == []


def test_a_link_in_place_of_the_journal(tmp_path: Path) -> None:
    """L3: it would be another's file that is opened, and given our modes."""
    other = tmp_path / "other"
    other.touch(mode=0o644)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "journal.sqlite3").symlink_to(other)
    with pytest.raises(JournalError):
        Journal(state, {})
    assert other.stat().st_mode & 0o777 == 0o644


def test_a_second_launcher(served: Served) -> None:
    """L4: two would deploy against each other: the kernel's lock is one's."""
    with pytest.raises(StateLockedError):
        Journal(served.config.parent / "state", {})


def test_the_environment_of_programs() -> None:
    """L5: compose is told nothing of the launcher's environment but what it needs."""
    ours = {"PATH": "/bin", "DOCKER_HOST": "unix:///x", "ADMIN_TOKEN": "canary", "IMAGE": "evil"}
    assert program_environment(ours) == {"PATH": "/bin", "DOCKER_HOST": "unix:///x"}


# ── root ─────────────────────────────────────────────────────────────────────────────────────


def test_nothing_stops_a_journal_that_is_rewritten(tmp_path: Path) -> None:
    """H1: who may write the file says what ran, and the launcher goes on from there."""
    with edge_in(tmp_path) as edge:
        edge.deployed("web", D1)
        path = edge.settings.state / "journal.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE workloads SET current = replace(current, '1111', '2222')")
        connection.commit()
    with edge_in(tmp_path) as edge:
        current = edge.journal.workloads.state("web").current
        assert current is not None
        assert current.digest != D1


def test_a_receipt_that_is_changed() -> None:
    """H2: what is changed, left out or cut off does not verify, against a head noted elsewhere."""
    receipts = chain_of(4)
    noted = Head.of(4, receipts[3])
    for tampered in (
        [*receipts[:2], receipts[2].replace(b"a", b"b", 1), receipts[3]],
        [receipts[0], *receipts[2:]],
        receipts[:3],
    ):
        with pytest.raises(BrokenChainError):
            verify(tampered, [KEY.public], [noted])


def test_nothing_stops_receipts_that_are_written_anew_without_a_witness() -> None:
    """H3: who holds the key makes another whole chain; only a head noted elsewhere tells."""
    anew = chain_of(2)
    assert verify(anew, [KEY.public]).head == Head.of(2, anew[1])
    with pytest.raises(BrokenChainError):
        verify(anew, [KEY.public], [Head.of(2, chain_of(3)[2])])
    with pytest.raises(BrokenChainError):
        verify(anew, [OTHER_KEY.public])


# ── the clock ────────────────────────────────────────────────────────────────────────────────


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """H4: what was heard is remembered by its id, and its order by its signed time."""
    with edge_in(tmp_path) as edge:
        old = deploy_event(DEPLOY, identity="old")
        assert edge.http.post("/hooks/ci", **old).status_code == 202
        edge.clock.start += timedelta(days=1)
        new = deploy_event(DEPLOY, identity="new", at=edge.clock.now())
        assert edge.http.post("/hooks/ci", **new).status_code == 202
        edge.clock.start -= timedelta(days=1)
        assert told(edge.http.post("/hooks/ci", **old))["duplicate"]
        between = deploy_event(DEPLOY, identity="between", at=NOW)
        assert "later signed time" in told(edge.http.post("/hooks/ci", **between))["ignored"]


def test_nothing_stops_a_clock_that_is_set_forward(world: World) -> None:
    """H5: age is counted by the host's clock: whoever sets it makes everything old."""
    world.push(A)
    world.work()
    world.workloads["web"] = replace(WEB, policies=(MinimumAge(timedelta(days=3)),))
    world.restart()
    world.push(B)
    world.work_now()
    assert world.host.runs() == A
    world.clock.sleep(timedelta(days=3).total_seconds())
    world.work_now()
    assert world.host.runs() == B
