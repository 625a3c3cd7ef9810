"""Push to healthy, by the launcher and by other ways, at two healthcheck intervals.

Every round brings one image of its own to service in each way (testbed/contenders), in an order
that moves by one from round to round, so that what else the machine does hits all alike. The
pushing itself is not part of the time. At Docker's default interval of 30 s `compose up --wait`
takes 31 s, so it gets two rounds only.
"""

import os
import random
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

from figures.figure import Bar, Figure, Panel
from testbed.contenders.by_compose import ByCompose
from testbed.contenders.by_hand import ByHand
from testbed.contenders.by_launcher import ByLauncher
from testbed.contenders.by_polling import ByPolling
from testbed.contenders.contest import Contender, NotServedError, Project, Sample
from testbed.images import TestRegistry
from testbed.measures import TARGET, Series

INTERVALS = (1.0, 30.0)
SLOW = 5.0
SLOW_ROUNDS = 2


def measure(registry: TestRegistry, rounds: int, intervals: tuple[float, ...]) -> Figure:
    """All rounds at each interval."""
    series = [_series(registry, interval, rounds) for interval in intervals]
    remark = "The polling loop has no health to wait for."
    if max(intervals) > SLOW:
        remark += f" At 30 s `compose --wait` had {min(rounds, SLOW_ROUNDS)} rounds only."
    return Figure(
        "push_to_healthy",
        "\n\n".join([*(one.table() for one in series), remark]),
        {"rounds": rounds, "target": TARGET, "series": [one.document() for one in series]},
        [_panel(one) for one in series],
    )


def _panel(series: Series) -> Panel:
    """The polling loop knows no health: served is what it has."""
    bars = [
        Bar(
            name + ("" if samples[0].healthy is not None else " (served)"),
            median(sample.healthy or sample.served for sample in samples),
            ours=name == "launcher",
        )
        for name, samples in series.samples.items()
    ]
    title = f"Push to healthy, healthcheck every {series.interval:g} s (median)"
    return Panel(title, "s", bars)


def _contenders(
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


def _series(registry: TestRegistry, interval: float, rounds: int) -> Series:
    """All rounds at one interval."""
    series = Series(interval)
    directory = Path(mkdtemp(prefix="webhook-launcher-bench-"))
    ways = _contenders(registry, directory, interval, rounds)
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


def _tell(turn: str, samples: Mapping[str, Sample]) -> None:
    shown = ", ".join(
        f"{name} {(sample.healthy or sample.served) * 1000:.0f}" for name, sample in samples.items()
    )
    print(f"{turn}: {shown} ms", flush=True)
