"""The fuzz harnesses: that they run, and that nothing is left out of what they start from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.seeds import TWISTS, configured, without_credentials
from tests.sources.authentic import CASES, Case
from tests.sources.senders import NOW, recorded
from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.sources import KINDS, receive

ROOT = Path(__file__).parents[2]
HARNESSES = sorted(path.stem for path in (ROOT / "dev/fuzz").glob("*.py"))
HARNESSES = [name for name in HARNESSES if name not in ("__init__", "seeds")]


def test_every_kind_and_every_way_to_prove_itself_is_there() -> None:
    """What is not configured is not reached."""
    assert {source.kind for source in configured()} == set(KINDS)
    assert len(configured()) == len(CASES)


def test_make_runs_every_harness() -> None:
    """One that nobody runs finds nothing."""
    line = next(
        line for line in (ROOT / "Makefile").read_text().splitlines() if "HARNESSES :=" in line
    )
    assert sorted(line.partition(":=")[2].split()) == HARNESSES


@pytest.mark.parametrize("twist", sorted(TWISTS))
def test_a_twist_changes_every_recording(twist: str) -> None:
    """One that leaves the body alone is not there; what it leaves readable is a form's content."""
    for kind in KINDS:
        body = recorded(kind).body
        assert (TWISTS[twist](body) == body) is (twist == "as it is")


def test_what_only_a_lenient_reader_takes_is_among_the_twists() -> None:
    """All but the first are read by the standard library, which is why ours is stricter."""
    body = recorded("github").body
    readable = set()
    for twist, change in TWISTS.items():
        try:
            json.loads(change(body))
        except ValueError:
            continue
        readable.add(twist)
    with pytest.raises(strict_json.StrictJsonError):
        strict_json.loads(TWISTS["NaN"](body))
    assert readable == {"as it is", "a duplicate key", "NaN", "deep", "UTF-16", "a mark before it"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_source_without_or_with_empty_credentials_lets_nobody_in(case: Case) -> None:
    """Also not what its real source lets in; an empty secret matches nothing."""
    given = configured()[CASES.index(case)]
    for source in (given, *without_credentials(given)):
        with pytest.raises(AuthenticationError):
            receive(case.delivery, source, NOW)


@pytest.mark.parametrize("harness", HARNESSES)
def test_a_harness_survives_its_own_seeds(harness: str, tmp_path: Path) -> None:
    """Recorded deliveries and what is often done to them: no luck is needed to find those."""
    done = subprocess.run(
        [sys.executable, f"dev/fuzz/{harness}.py", str(tmp_path), "-runs=1", "-timeout=5"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "dev:."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr
