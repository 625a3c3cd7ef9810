"""Deliveries a second and how long each waits: what `make bench-receive` measures, for the picture.

Run as a program of its own: it wants the machine's cores for server and sender alone.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from figures.figure import Bar, Figure, Panel

ROOT = Path(__file__).resolve().parents[2]
_KEPT = re.compile(r"^Every sample: (?P<path>\S+)$", re.MULTILINE)
_SECONDS = 900


def measure(rounds: int, seconds: float) -> Figure:
    """So many rounds of each load. RuntimeError with its words when it failed."""
    argv = [sys.executable, "dev/bench_receive.py", "--rounds", str(rounds)]
    done = subprocess.run(
        [*argv, "--seconds", str(seconds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    kept = _KEPT.search(done.stdout)
    if done.returncode != 0 or kept is None:
        raise RuntimeError(f"bench-receive: {done.stderr.strip()}")
    document: dict[str, Any] = json.loads((ROOT / kept["path"]).read_text())
    # The machine is described once, and this file holds the samples.
    found = {key: value for key, value in document.items() if key not in ("at", "machine")}
    return Figure("receive", _without(done.stdout), found, [_panel(document["rows"])])


def _without(said: str) -> str:
    """Its table, without the rounds before and the file after it."""
    lines = said.strip().splitlines()
    return "\n".join(line for line in lines if not line.startswith(("round ", "Every sample")))


def _panel(rows: list[dict[str, Any]]) -> Panel:
    most = max(row["connections"] for row in rows)
    bars = [
        Bar(
            f"{row['server']}, {row['deliveries']}",
            median(row["per_second"]),
            ours=row["server"] == "launcher",
        )
        for row in rows
        if row["connections"] == most
    ]
    return Panel(f"Deliveries a second, {most} connections (median)", "/s", bars)
