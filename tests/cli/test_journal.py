"""`journal restore`, and whole launchers on journals that released versions wrote."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.adapters.journal.test_upgrade import AFTER, STEPS
from tests.adapters.journal.written import make
from tests.builders import ADMIN
from tests.cli.conftest import Command
from tests.served import serving
from webhook_launcher.adapters.journal import Journal, set_aside
from webhook_launcher.core.model import Action, Event, Trust, Wish

WRITTEN = sorted(path.stem for path in make.HERE.glob("schema-*.sql"))
BEFORE = int(WRITTEN[-1].removeprefix("schema-"))


def configured(tmp_path: Path) -> str:
    """A configuration file whose state directory is beside it."""
    config = tmp_path / "config.yml"
    workload = {
        "image": "127.0.0.1:1/acme/web",
        "track": "none",
        "compose": {"inline": {"services": {"app": {}}}},
    }
    config.write_text(
        json.dumps({"state": str(tmp_path / "state"), "workloads": {"web": workload}})
    )
    return str(config)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A journal that was upgraded by a later version, with one delivery since."""
    make.load(WRITTEN[-1], tmp_path / "state")
    journal = Journal(tmp_path / "state", make.LANES, key=make.KEY, steps=STEPS)
    event = Event("hub", Trust.TOKEN, "since")
    wish = Wish("site", Action.CHECK, make.HUB, make.SITE, hint=True)
    journal.deliveries.accept(event, [wish], None, make.later(2000))
    journal.close()
    return configured(tmp_path)


def schema(tmp_path: Path) -> int:
    """Of the journal."""
    with closing(sqlite3.connect(tmp_path / "state" / "journal.sqlite3")) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_it_says_what_is_set_aside_and_where(command: Command, config: str, tmp_path: Path) -> None:
    """The way back costs something, and nobody should have to look for it."""
    shown = command("journal", "restore", "--config", config, "--dry-run")
    assert shown.status == 0
    assert "would set aside: 1 delivery, 0 deployments, 0 receipts, 1 waiting intent" in shown.out
    assert schema(tmp_path) == AFTER
    told = command("journal", "restore", "--config", config)
    [aside] = set_aside(tmp_path / "state")
    lines = told.out.splitlines()
    assert told.status == 0
    assert lines[0].startswith(f"restored: schema {BEFORE} instead of {AFTER}, from ")
    assert lines[1:3] == [
        "set aside: 1 delivery, 0 deployments, 0 receipts, 1 waiting intent",
        f"  in {aside}",
    ]
    assert "Senders may send them again" in told.err
    assert schema(tmp_path) == BEFORE


def test_scripts_get_the_same_as_a_document(command: Command, config: str, tmp_path: Path) -> None:
    """With the file, the counts and both heads; a dry run has no file yet."""
    shown = json.loads(command("journal", "restore", "--config", config, "--dry-run", "--json").out)
    done = json.loads(command("journal", "restore", "--config", config, "--json").out)
    [aside] = set_aside(tmp_path / "state")
    assert (shown["restored"], done["restored"]) == (False, True)
    assert shown["set_aside"]["file"] is None
    assert done["set_aside"] == {
        "file": str(aside),
        "deliveries": 1,
        "deployments": 0,
        "receipts": 0,
        "waiting": 1,
        "interrupted": 0,
    }
    assert (done["from"], done["to"]) == (AFTER, BEFORE)
    head = str(make.head_of(WRITTEN[-1]))
    assert done["receipts"] == {"set_aside_head": head, "head": head}


def test_exit_statuses(command: Command, config: str, tmp_path: Path) -> None:
    """Those of the other commands: 1 when it cannot be done, 2 for usage, 0 when it was done."""
    assert command("journal", "restore", "--config", config, "--schema", "none").status == 2
    journal = Journal(tmp_path / "state", make.LANES, key=make.KEY, steps=STEPS)
    locked = command("journal", "restore", "--config", config)
    journal.close()
    assert (locked.status, "another launcher" in locked.err) == (1, True)
    assert command("journal", "restore", "--config", config, "--schema", "99").status == 1
    assert command("journal", "restore", "--config", config, "--schema", str(BEFORE)).status == 0
    again = command("journal", "restore", "--config", config, "--schema", str(BEFORE))
    assert (again.status, "already" in again.out, "set aside before" in again.out) == (
        0,
        True,
        True,
    )
    nothing = command("journal", "restore", "--config", config, "--json")
    assert (nothing.status, json.loads(nothing.out)["code"]) == (1, "journal")
    assert command("journal", "restore", "--config", str(tmp_path / "none.yml")).status == 78


def test_an_older_version_says_how_to_go_back(config: str) -> None:
    """Before gunicorn starts, in one line that can be copied."""
    told = subprocess.run(
        [sys.executable, "-m", "webhook_launcher", "serve", "--config", config],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert f"the journal has schema {AFTER}" in told.stderr
    assert f"webhook-launcher journal restore --schema {BEFORE}" in told.stderr


def test_a_journal_that_was_set_aside_can_be_verified(
    command: Command, config: str, tmp_path: Path
) -> None:
    """Its receipts are evidence; a noted head of that time leads to it."""
    command("journal", "restore", "--config", config)
    [aside] = set_aside(tmp_path / "state")
    head = str(make.head_of(WRITTEN[-1]))
    key = str(tmp_path / "state" / "receipts.pub")
    verify = ("receipts", "verify", str(aside), "--public-key", key)
    told = command(*verify, "--head", head)
    assert (told.status, f"head: {head}" in told.out) == (0, True)
    assert not Path(f"{aside}-wal").exists()
    number, _, digits = head.partition(":")
    later = f"{int(number) + 1}:{digits}"
    told = command(*verify, "--head", later)
    assert (told.status, "put back from a copy" in told.err) == (1, True)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_whole_launcher_starts_on_what_a_released_version_wrote(
    command: Command, tmp_path: Path, name: str
) -> None:
    """Status, history and receipts go on; what waited is worked on again."""
    make.load(name, tmp_path / "state")
    token = tmp_path / "token"
    token.write_text(ADMIN)
    with serving(tmp_path) as served:
        remote = ("--url", served.url, "--token-file", str(token), "--json")
        served.until(lambda: served.told("claimed"))
        status = json.loads(command("status", *remote).out)
        [web] = [one for one in status["workloads"] if one["name"] == "web"]
        assert web["current"]["digest"] == make.digest("B")
        assert web["previous"]["digest"] == make.digest("A")
        assert set(web["quarantined"]) == set(make.image("C").names)
        history = json.loads(command("history", *remote).out)["deployments"]
        wanted = json.loads((make.HERE / f"{name}.json").read_text("utf-8"))["deployments"]
        assert {one["id"] for one in history} == {one["id"] for one in wanted}
        config = str(served.config)
        head = str(make.head_of(name))
        assert command("receipts", "verify", "--config", config, "--head", head).status == 0
        assert not served.told("fault")
        assert served.stop() == 0
