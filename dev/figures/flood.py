"""Push to healthy while a flood is on: 16 connections of another source, as fast as they can.

Calm and flooded rounds take turns on the same launcher. The flood's deliveries are authentic and
about a workload that is paused, so each is journalled as long as its source is not told to wait.
The sender shares the machine's cores with everything else.
"""

import os
import secrets
import shutil
import threading
from collections import Counter
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Self

from figures.figure import Bar, Figure, Panel
from testbed.contenders.by_launcher import ByLauncher
from testbed.contenders.contest import Project
from testbed.images import TestRegistry
from testbed.load import Answers, Generator
from testbed.receiving import noise

CONNECTIONS = 16
# Longer than any deployment of these images takes under it.
FLOOD_SECONDS = 8.0


class _Flood:
    """A flood for the duration of a block, begun before what is measured and ended after it."""

    def __init__(self, generator: Generator, port: int, secret: str) -> None:
        self._generator = generator
        self._request = noise(port, secret)
        self.answers = Answers()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.answers = self._generator.for_seconds(self._request, CONNECTIONS, FLOOD_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def measure(registry: TestRegistry, rounds: int) -> Figure:
    """So many calm rounds, and as many flooded ones."""
    directory = Path(mkdtemp(prefix="webhook-launcher-flood-"))
    project = Project(registry, directory, f"bench-{os.getpid()}-flood", 1.0)
    secret, generator = secrets.token_hex(16), Generator()
    way = ByLauncher(project, noise=secret)
    calm: list[float] = []
    flooded: list[float] = []
    statuses: Counter[int] = Counter()
    sent = 0.0
    try:
        way.start()
        way.bring(project.push())
        for number in range(rounds):
            calm.append(way.bring(project.push()).healthy or 0.0)
            with _Flood(generator, way.port, secret) as flood:
                pushed = project.push()
                flooded.append(way.bring(pushed).healthy or 0.0)
            statuses.update(flood.answers.statuses)
            sent += flood.answers.seconds
            print(f"flood, round {number + 1}/{rounds}: {calm[-1]:.2f} s calm, "
                  f"{flooded[-1]:.2f} s flooded", flush=True)  # fmt: skip
    finally:
        generator.close()
        way.stop()
        project.clear()
    shutil.rmtree(directory)
    return _figure(calm, flooded, statuses, sum(statuses.values()) / sent)


def _figure(calm: list[float], flooded: list[float], statuses: Counter[int], rate: float) -> Figure:
    ratio = median(one / other for one, other in zip(flooded, calm, strict=True))
    answers = {str(status): count for status, count in sorted(statuses.items())}
    told = ", ".join(f"{count} answered {status}" for status, count in answers.items())
    return Figure(
        "flood",
        f"push to healthy: {median(calm):.2f} s calm, {median(flooded):.2f} s under "
        f"{rate:.0f} deliveries a second of another source; ratio {ratio:.2f} ({told})",
        {
            "calm": [round(one, 4) for one in calm],
            "flooded": [round(one, 4) for one in flooded],
            "ratio": round(ratio, 3),
            "deliveries_per_second": round(rate, 1),
            "answers": answers,
        },
        [
            Panel(
                f"Push to healthy while {rate:.0f} deliveries a second arrive",
                "s",
                [Bar("calm", median(calm), ours=True), Bar("flooded", median(flooded), ours=True)],
            )
        ],
    )
