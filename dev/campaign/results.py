"""What was tried and what came of it, as a table."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Result:
    """One run: `broken` says what of the promise was not kept.

    `fault` is the row of the whole table, `sort` (default: the same) that of the short one.

    `recovered` is in seconds, from the moment from which nothing stood in the way any more (the
    launcher was started again, the outage was over) until the right release served and nothing
    waited; None when it never did.
    """

    campaign: str
    fault: str
    recovered: float | None
    broken: str = ""
    sort: str = ""


def table(results: Sequence[Result], *, short: bool = False) -> str:
    """Markdown: a row per fault or sort of fault, in the order of their first run."""
    rows = [
        "| point or fault | runs | promise kept | recovery, median | longest |",
        "|---|---:|---:|---:|---:|",
    ]
    for campaign, of_campaign in _grouped(results, "campaign").items():
        rows.append(f"| **{campaign}** | | | | |")
        for fault, runs in _grouped(of_campaign, "sort" if short else "fault").items():
            kept = [run for run in runs if not run.broken]
            times = [run.recovered for run in runs if run.recovered is not None]
            spread = f"{median(times):.1f} s | {max(times):.1f} s" if times else "- | -"
            rows.append(f"| {fault} | {len(runs)} | {len(kept)} | {spread} |")
    return "\n".join(rows)


def summary(results: Sequence[Result]) -> str:
    """One line, and one for every run that broke the promise."""
    told = [(run, run.broken.splitlines()[0]) for run in results if run.broken]
    broken = [f"  {run.campaign}: {run.fault}: {happened}" for run, happened in told]
    return "\n".join(
        [f"{len(results)} runs, promise kept in {len(results) - len(broken)}", *broken]
    )


def write(results: Iterable[Result], path: Path, about: dict[str, object]) -> None:
    """Every run as JSON, with how and where they were made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, "runs": [asdict(run) for run in results]}, indent=1))


def read(paths: Iterable[Path]) -> tuple[list[Result], dict[str, Any]]:
    """The runs of several files, and what the last one says about them."""
    collected: list[Result] = []
    about: dict[str, Any] = {}
    for path in paths:
        about = json.loads(path.read_text())
        collected += [Result(**run) for run in about.pop("runs")]
    return sorted(collected, key=lambda run: (run.campaign, run.sort)), about


def _grouped(results: Iterable[Result], by: str) -> dict[str, list[Result]]:
    groups: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[getattr(result, by) or result.fault].append(result)
    return groups
