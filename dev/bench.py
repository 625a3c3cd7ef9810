"""What it costs and how long it takes: `make bench`, `make bench QUICK=1`.

Every part compares the launcher with something in the same run, in turns, so that read as ratios
the figures hold on a machine that does other things beside (see figures/). Prints tables, and
writes every sample to bench/results/<UTC date and time>.json with a picture of the medians beside
it, .svg; with --publish to published.json and published.svg, which the documentation tells of. The
exit status is 0 whether or not a target was met, and 1 when something did not work.

A part that is to be added is a module in figures/ and a line in PARTS.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from figures import alone, deploy, flood, receiving, verification
from figures.figure import Figure
from figures.picture import draw
from testbed.contenders.contest import NotServedError
from testbed.description import describe_machine
from testbed.images import TestRegistry

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
Part = Callable[[TestRegistry, bool, int], Figure]


def _deploy(registry: TestRegistry, quick: bool, rounds: int) -> Figure:
    if quick:
        return deploy.measure(registry, min(2, rounds), deploy.INTERVALS[:1])
    return deploy.measure(registry, rounds, deploy.INTERVALS)


def _flood(registry: TestRegistry, quick: bool, rounds: int) -> Figure:
    return flood.measure(registry, 1 if quick else min(5, rounds))


def _receive(_registry: TestRegistry, quick: bool, _rounds: int) -> Figure:
    return receiving.measure(1, 1.0) if quick else receiving.measure(3, 2.0)


def _alone(_registry: TestRegistry, quick: bool, _rounds: int) -> Figure:
    if quick:
        return alone.measure(((1, 1), (50, 10)), idle=5.0)
    return alone.measure(((1, 1), (100, 20), (1000, 100)), idle=20.0)


def _verification(registry: TestRegistry, quick: bool, _rounds: int) -> Figure:
    return verification.measure(registry, 20 if quick else 100)


PARTS: dict[str, Part] = {
    "push_to_healthy": _deploy,
    "flood": _flood,
    "receive": _receive,
    "alone": _alone,
    "verification": _verification,
}


def write(figures: list[Figure], *, quick: bool, publish: bool) -> Path:
    """Keep every sample, and the picture; the file with the samples."""
    now, machine = datetime.now(UTC), describe_machine()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / ("published.json" if publish else f"{now:%Y%m%dT%H%M%SZ}.json")
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine,
        "quick": quick,
        "unit": "seconds, where none is named",
        **{figure.name: figure.document for figure in figures},
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    caption = (
        f"{machine['processor']}, {machine['cores']} cores; engine {machine['engine']}, "
        f"compose {machine['compose']}; {now:%Y-%m-%d}"
    )
    panels = [panel for figure in figures for panel in figure.panels]
    path.with_suffix(".svg").write_text(draw(panels, caption))
    return path


def main() -> int:
    """Measure, print, write; 0 unless something did not work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8, help="pushes per way and interval")
    parser.add_argument("--quick", action="store_true", help="a look at everything in two minutes")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part")
    parser.add_argument("--publish", action="store_true", help="as the run that is documented")
    arguments = parser.parse_args()
    if arguments.publish and (arguments.quick or arguments.only):
        parser.error("what is published is a whole run")
    registry = TestRegistry(
        os.environ["LAUNCHER_TEST_REGISTRY"], Path(os.environ["LAUNCHER_TEST_BUSYBOX"])
    )
    began = time.monotonic()
    try:
        figures = [
            PARTS[name](registry, arguments.quick, arguments.rounds)
            for name in arguments.only or PARTS
        ]
    except (NotServedError, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    path = write(figures, quick=arguments.quick, publish=arguments.publish)
    for figure in figures:
        print(f"\n── {figure.name.replace('_', ' ')} ──\n{figure.table}")
    print(f"\n{time.monotonic() - began:.0f} s. Every sample: {path.relative_to(ROOT)}, and .svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
