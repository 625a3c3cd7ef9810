"""A disk of its own that is full, read-only or damaged: real mounts, real gunicorn."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.adapters.journal.test_upgrade import STEPS
from tests.adapters.journal.written import make
from tests.builders import ADMIN, URL_TOKEN
from tests.served import LONG, Served, serving
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.errors import JournalError

PUSH = {"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}}


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[None]:
    """A small file system there."""
    directory.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    subprocess.run(mount, check=True, timeout=LONG)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=LONG)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state directory, on a disk of 16 MiB: a WAL is folded when it has 4."""
    directory = tmp_path / "state"
    with mounted(directory, "size=16m,mode=0700"):
        yield directory


@pytest.fixture
def served(state: Path, tmp_path: Path) -> Iterator[Served]:
    """Up and answering; engine and registry are not there."""
    with serving(tmp_path) as made:
        yield made


def push(served: Served) -> requests.Response:
    """A delivery."""
    return requests.post(f"{served.url}/hooks/hub/{URL_TOKEN}", json=PUSH, timeout=LONG)


def known(served: Served, delivery: str) -> bool:
    """True when the journal has it."""
    return requests.get(f"{served.url}/api/v1/deliveries/{delivery}", timeout=LONG).ok


def not_ready(served: Served) -> dict[str, str]:
    """The reasons of `/readyz`, but for the engine, which is not there."""
    answer = requests.get(f"{served.url}/readyz", timeout=LONG).json()
    return {name: reason for name, reason in answer["reasons"].items() if name != "engine"}


def fill(disk: Path) -> Path:
    """Not a byte is left; the file that takes them."""
    filler = disk / "somebody-elses-log"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


def test_a_full_disk_refuses_with_advice_and_recovers_by_itself(
    served: Served, state: Path
) -> None:
    """Nobody is told 2xx, everybody when to come again; and no hand is needed afterwards."""
    acknowledged = [push(served).json()["delivery"]]
    filler = fill(state)
    while (answer := push(served)).status_code == 202:  # what the WAL still has room for
        acknowledged.append(answer.json()["delivery"])
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["code"] == "journal"
    assert "free space" in answer.json()["advice"]
    assert requests.get(f"{served.url}/healthz", timeout=LONG).ok
    assert "full" in not_ready(served)["journal"]
    filler.unlink()
    served.until(lambda: not_ready(served) == {})
    acknowledged.append(push(served).json()["delivery"])
    assert all(known(served, delivery) for delivery in acknowledged)


def test_a_launcher_that_is_killed_on_a_full_disk_has_lost_nothing(
    served: Served, state: Path, tmp_path: Path
) -> None:
    """What was acknowledged before is there when the disk has room again."""
    acknowledged = [push(served).json()["delivery"] for _ in range(3)]
    filler = fill(state)
    served.kill()
    filler.unlink()
    with serving(tmp_path) as again:
        assert all(known(again, delivery) for delivery in acknowledged)


def test_a_disk_that_cannot_be_written_at_start_is_said_in_one_line(tmp_path: Path) -> None:
    """The operator sees which directory, and no traceback of gunicorn."""
    with mounted(tmp_path / "state", "size=1m,ro,mode=0700"):
        config = tmp_path / "config.yml"
        with (
            mounted(tmp_path / "writable", "size=1m,mode=0700"),
            serving(tmp_path, {"state": "writable"}) as other,
        ):
            other.configure({"state": "state"})
        ended = subprocess.run(
            [sys.executable, "-m", "webhook_launcher", "serve", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
    assert ended.returncode == 1
    assert "Read-only file system" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_journal_that_is_damaged_is_replaced_by_the_launcher_itself(
    served: Served, state: Path
) -> None:
    """It begins anew with a new journal, says so wherever one looks, and accepts again."""
    for _ in range(30):
        push(served)
    for file in (state / "journal.sqlite3", state / "journal.sqlite3-wal"):
        size = file.stat().st_size
        with file.open("r+b") as damaged:
            damaged.write(os.urandom(size))
    os.kill(served.worker(), signal.SIGKILL)  # until then it lives on what it has in memory
    served.until(lambda: list(state.glob("journal.sqlite3.corrupt-*")) and served.answers())
    served.until(lambda: push(served).status_code == 202)
    assert served.told("journal moved aside")
    answer = requests.get(f"{served.url}/readyz", timeout=LONG).json()
    assert "moved aside" in answer["notes"]["journal"]
    headers = {"Authorization": f"Bearer {ADMIN}"}
    shown = requests.get(f"{served.url}/api/v1/workloads", headers=headers, timeout=LONG).json()
    assert shown["notes"] == answer["notes"]
    status = subprocess.run(
        [sys.executable, "-m", "webhook_launcher", "status", "--config", str(served.config)],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert "journal.sqlite3.corrupt-" in status.stderr


def test_an_upgrade_without_room_changes_nothing_and_is_done_when_there_is(state: Path) -> None:
    """A copy that fills the disk would stop the old version as well."""
    make.load("schema-1", state)
    before = (state / "journal.sqlite3").read_bytes()
    filler = fill(state)
    os.truncate(filler, filler.stat().st_size - 256 * 1024)  # SQLite opens it with 32 KiB
    with pytest.raises(JournalError, match=r"1 MiB are needed, 0 MiB are free"):
        Journal(state, make.LANES, key=make.KEY, steps=STEPS)
    assert (state / "journal.sqlite3").read_bytes() == before
    assert not list(state.glob("*.schema-*"))
    filler.unlink()
    Journal(state, make.LANES, key=make.KEY, steps=STEPS).close()
    assert list(state.glob("*.schema-1"))
