"""Does the promise hold? `make crash`, `make crash FULL=1`.

Three campaigns, each of which can be run by itself (`--only`):

- crash: a launcher is killed between every two steps of a deployment, and in the middle of the
  steps that take long, on a real engine; so is compose, and gunicorn's worker alone; and it is
  stopped (SIGTERM) and reloaded (SIGHUP) there
- outage: registry, engine and the journal's disk fail in every way we know, and come back
- schedule: random schedules of pushes, faults and kills around the real core and journal, with
  fakes outside (`tests/test_promise.py`)

Prints a table: what was done, how often, whether the promise was kept, and how long it took until
the right release served again. Writes every run to bench/results/ as `crash-<UTC time>.json`. The
exit status is 1 when the promise was broken once. `--document` writes the runs into
docs/reliability.md; `--publish FILE…` does that for the runs of these files, and runs nothing.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from campaign import crashes, disk_outages, outages, results
from campaign.results import Result
from testbed.description import describe_machine
from testbed.images import TestRegistry

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- written by dev/crash.py --publish -->", "<!-- end -->"
CAMPAIGNS = ("crash", "outage", "schedule")
# Seconds, and random schedules: bounded, and FULL.
OUTAGE, FULL_OUTAGE = 6.0, 30.0
SCHEDULES, FULL_SCHEDULES = 300, 3000
# One in so many points is met by each of these, too: gunicorn's worker alone is killed, the
# launcher is stopped, or reloaded.
SAMPLED, ALSO = 3, ("worker", "stop", "reload")


def crash_campaign(
    registry: TestRegistry,
    directory: Path,
    chosen: random.Random,
    part: tuple[int, int],
    *,
    full: bool,
) -> Iterator[Result]:
    """Every point of the stories, or a part of them, in random order."""
    play = crashes.Play(registry, directory / "trace")
    stories = list(crashes.STORIES) if full else ["deploy", "unhealthy"]
    try:
        points = [point for story in stories for point in crashes.trace(play, story)]
    finally:
        play.site.stop()
    if full:
        also = len(points) // SAMPLED
        points += [crashes.by(who, p) for who in ALSO for p in chosen.sample(points, also)]
    for story in stories if full else ["deploy"]:
        points += crashes.during(story)
    chosen.shuffle(points)
    number, parts = part
    first, last = (len(points) * one // parts for one in (number - 1, number))
    yield from crashes.run(registry, directory, points[first:last])


def outage_campaign(registry: TestRegistry, directory: Path, *, full: bool) -> Iterator[Result]:
    """Registry, engine, image store, port, the journal's disk."""
    seconds = FULL_OUTAGE if full else OUTAGE
    yield from outages.registry_faults(registry, directory, seconds)
    yield from outages.engine_faults(registry, directory, seconds)
    yield from outages.full_store(registry, directory, seconds)
    yield from disk_outages.disk_faults(registry, directory, seconds)


def schedule_campaign(seed: int, *, full: bool) -> Iterator[Result]:
    """Random schedules; hypothesis prints the shortest one that breaks the promise."""
    examples = FULL_SCHEDULES if full else SCHEDULES
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=0", "tests/test_promise.py"]
    environment = {"PROMISE_EXAMPLES": str(examples), "PROMISE_SEED": str(seed)}
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    broken = "" if ran.returncode == 0 else ran.stdout[-4000:]
    yield Result("schedule", f"{examples} random schedules of up to 25 events", None, broken)


def tell(found: Iterable[Result], collected: list[Result]) -> None:
    """Print and keep each as it comes."""
    began = time.monotonic()
    for result in found:
        collected.append(result)
        after = f"{result.recovered:.1f} s" if result.recovered is not None else "-"
        kept = f"BROKEN: {result.broken}" if result.broken else "kept"
        passed = time.monotonic() - began
        print(f"{passed:6.0f} s  {result.campaign}: {result.fault}: {kept}, {after}", flush=True)


def main() -> int:
    """Run what was asked for."""
    arguments = _arguments()
    if arguments.publish:
        _publish(arguments.publish)
        return 0
    # So that everything that was started is ended by the blocks that started it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    registry = TestRegistry(
        os.environ["LAUNCHER_TEST_REGISTRY"], Path(os.environ["LAUNCHER_TEST_BUSYBOX"])
    )
    directory = Path(mkdtemp(prefix="webhook-launcher-crash-"))
    collected: list[Result] = []
    chosen = random.Random(arguments.seed)  # noqa: S311 - to be repeated, not to be secret
    full = arguments.full
    try:
        if "crash" in arguments.only:
            found = crash_campaign(registry, directory, chosen, arguments.part, full=full)
            tell(found, collected)
        if "outage" in arguments.only:
            tell(outage_campaign(registry, directory, full=full), collected)
        if "schedule" in arguments.only:
            tell(schedule_campaign(arguments.seed, full=full), collected)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        path = _write(collected, arguments)
        if arguments.document:
            _publish([path])
    return 1 if any(result.broken for result in collected) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="every story and victim; 30 s outages")
    parser.add_argument("--seed", type=int, default=1, help="order of the points, and schedules")
    parser.add_argument(
        "--part",
        type=_part,
        default=(1, 1),
        metavar="K/N",
        help="of the points of `crash` only the K-th of N parts, for a machine that is shared",
    )
    parser.add_argument("--only", nargs="+", choices=CAMPAIGNS, default=CAMPAIGNS)
    parser.add_argument("--document", action="store_true", help="write them into the document")
    parser.add_argument("--publish", nargs="+", type=Path, metavar="FILE", help="see above")
    return parser.parse_args()


def _part(text: str) -> tuple[int, int]:
    number, _, parts = text.partition("/")
    return int(number), int(parts)


def _publish(paths: list[Path]) -> None:
    collected, about = results.read(paths)
    said = [
        f"Seed {about['seed']}, {about['at'][:10]}, on {_shown(about['machine'])}.",
        results.summary(collected).replace("\n", "\n\n") + ".",
        results.table(collected, short=True),
    ]
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(said) + f"\n\n{END}{after}")


def _shown(machine: dict[str, str | int]) -> str:
    return (
        f"{machine['cores']} cores, {machine['kernel']}, Docker Engine {machine['engine']} "
        f"({machine['store']}), Compose {machine['compose']}"
    )


def _write(collected: list[Result], arguments: argparse.Namespace) -> Path:
    now = datetime.now(UTC)
    path = ROOT / "bench" / "results" / f"crash-{now:%Y%m%dT%H%M%SZ}.json"
    about = {"at": now.isoformat(), "seed": arguments.seed, "full": arguments.full}
    results.write(collected, path, {**about, "machine": describe_machine()})
    print(f"\n{results.table(collected)}\n\n{results.summary(collected)}")
    print(f"every run is in {re.sub(f'^{ROOT}/', '', str(path))}")
    return path


if __name__ == "__main__":
    sys.exit(main())
