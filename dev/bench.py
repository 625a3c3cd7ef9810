"""How long from a push to a healthy container: `make bench`.

Every round brings one image of its own to service in each way (testbed/contenders), in an order
that moves by one from round to round, so that what else the machine does hits all alike. The
pushing itself is not part of the time. Repeated for a healthcheck interval of 1 s and for Docker's
default of 30 s; there `compose up --wait` takes 31 s, so it gets two rounds only.

Prints a table, and writes every sample to bench/results/ (which git ignores: numbers belong to a
machine) as `<UTC date and time>.json`. The exit status is 0 whether or not the target was met, and
1 when something did not work.
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from testbed.contenders.by_compose import ByCompose
from testbed.contenders.by_hand import ByHand
from testbed.contenders.by_launcher import ByLauncher
from testbed.contenders.by_polling import ByPolling
from testbed.contenders.contest import Contender, NotServedError, Project, Sample
from testbed.description import describe_machine
from testbed.images import TestRegistry
from testbed.measures import TARGET, Series

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
INTERVALS = (1.0, 30.0)
SLOW = 5.0
SLOW_ROUNDS = 2


def contenders(
    registry: TestRegistry, directory: Path, interval: float, rounds: int
) -> list[Contender]:
    """Every way, each with a project of its own."""

    def project(name: str) -> Project:
        return Project(registry, directory, f"bench-{os.getpid()}-{interval:g}s-{name}", interval)

    return [
        ByLauncher(project("launcher")),
        ByHand(project("floor")),
        ByPolling(project("polling"), rounds),
        ByCompose(project("compose")),
    ]


def measure(registry: TestRegistry, interval: float, rounds: int) -> Series:
    """All rounds at one interval."""
    series = Series(interval)
    directory = Path(mkdtemp(prefix="webhook-launcher-bench-"))
    ways = contenders(registry, directory, interval, rounds)
    try:
        for way in ways:
            way.start()
            way.bring(way.project.push())  # the first has nothing to replace, so it is not kept
        for number in range(rounds):
            turn: dict[str, Sample] = {}
            for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                if isinstance(way, ByCompose) and interval > SLOW and number >= SLOW_ROUNDS:
                    continue
                if not isinstance(way, ByPolling):  # which waits for a moment of its own
                    _let_pass(interval)
                turn[way.name] = way.bring(way.project.push())
                series.add(way.name, turn[way.name])
            _tell(f"interval {interval:g} s, round {number + 1}/{rounds}", turn)
    except NotServedError as error:
        raise NotServedError(f"{error} (what it left is in {directory})") from error
    finally:
        for way in ways:
            way.stop()
            way.project.clear()
    shutil.rmtree(directory)  # kept when something did not work: the launcher's log is in it
    return series


def _let_pass(interval: float) -> None:
    """Push at any moment: rounds in step with the engine's probes meet always the same of them."""
    time.sleep(random.random() * min(1.0, interval))  # noqa: S311 - no secret


def write(series: list[Series], rounds: int) -> Path:
    """Keep every sample; the file."""
    now = datetime.now(UTC)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "rounds": rounds,
        "unit": "seconds",
        "target": TARGET,
        "series": [one.document() for one in series],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def main() -> int:
    """Measure, print, write; 0 unless something did not work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="pushes per way and interval")
    rounds = parser.parse_args().rounds
    registry = TestRegistry(
        os.environ["LAUNCHER_TEST_REGISTRY"], Path(os.environ["LAUNCHER_TEST_BUSYBOX"])
    )
    try:
        series = [measure(registry, interval, rounds) for interval in INTERVALS]
    except (NotServedError, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    path = write(series, rounds)
    for one in series:
        print(f"\n{one.table()}")
    print(
        "\nThe polling loop has no health to wait for; at 30 s `compose --wait` had "
        f"{min(rounds, SLOW_ROUNDS)} rounds only.\nEvery sample: {path.relative_to(ROOT)}"
    )
    return 0


def _tell(turn: str, samples: Mapping[str, Sample]) -> None:
    shown = ", ".join(
        f"{name} {(sample.healthy or sample.served) * 1000:.0f}" for name, sample in samples.items()
    )
    print(f"{turn}: {shown} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
