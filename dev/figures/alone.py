"""What the launcher takes by itself, against a bare Flask view under the same gunicorn settings."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from figures.figure import Bar, Figure, Panel
from figures.scale import Scale, measure_scale
from testbed.process import usage
from testbed.receiving import Bare, Receiver

_HEAD = ("workloads", "registries", "ready s", "first round s", "status ms", "PSS MiB", "CPU s/min")


@dataclass(frozen=True)
class Bottom:
    """The bare view: from start to its first answer, and memory."""

    ready: float
    pss_mib: float


def measure(sizes: tuple[tuple[int, int], ...], idle: float) -> Figure:
    """For each size, which is a number of workloads and of registries."""
    bottom = _bare()
    scales = [_told(measure_scale(*size, idle=idle)) for size in sizes]
    first, last = scales[0], scales[-1]
    growth = _per_workload(first, last)
    lines = [_row(_HEAD), *(_row(_cells(one)) for one in scales)]
    lines += [
        f"a bare view under the same gunicorn: ready {bottom.ready:.2f} s, "
        f"{bottom.pss_mib:.0f} MiB; launcher / bare view: ready {first.ready / bottom.ready:.2f}, "
        f"memory {first.pss_mib / bottom.pss_mib:.2f}",
        f"per workload, from {first.workloads} to {last.workloads}: "
        + ", ".join(f"{name} {value:.3f}" for name, value in growth.items()),
    ]
    return Figure(
        "alone",
        "\n".join(lines),
        {
            "bare_view": {"ready": round(bottom.ready, 3), "pss_mib": round(bottom.pss_mib, 1)},
            "launcher": [one.document() for one in scales],
            "ratio_ready": round(first.ready / bottom.ready, 3),
            "ratio_pss": round(first.pss_mib / bottom.pss_mib, 3),
            "per_workload": {name: round(value, 5) for name, value in growth.items()},
        },
        _panels(bottom, scales),
    )


def _bare() -> Bottom:
    host = os.environ.get("DOCKER_HOST")
    with TemporaryDirectory(prefix="webhook-launcher-bare-") as directory:
        bare = Bare(Receiver(Path(directory)))  # which is not started: its configuration is used
        # A receiver asks no engine; what comes after this does.
        os.environ.pop("DOCKER_HOST")
        os.environ.update({"DOCKER_HOST": host} if host else {})
        began = time.monotonic()
        try:
            bare.start()
            ready = time.monotonic() - began
            time.sleep(1)
            return Bottom(ready, usage(bare.pid).pss_mib)
        finally:
            bare.stop()


def _per_workload(first: Scale, last: Scale) -> dict[str, float]:
    more = max(1, last.workloads - first.workloads)
    return {
        "ready_ms": (last.ready - first.ready) * 1000 / more,
        "first_look_ms": (last.first_round - first.first_round) * 1000 / more,
        "status_ms": (last.status - first.status) * 1000 / more,
        "pss_kib": (last.pss_mib - first.pss_mib) * 1024 / more,
    }


def _told(scale: Scale) -> Scale:
    print(f"{scale.workloads} workloads: {scale.pss_mib:.0f} MiB", flush=True)
    return scale


def _cells(one: Scale) -> tuple[str, ...]:
    return (
        str(one.workloads),
        str(one.registries),
        f"{one.ready:.2f}",
        f"{one.first_round:.1f}",
        f"{one.status * 1000:.1f}",
        f"{one.pss_mib:.1f}",
        f"{one.cpu_per_minute:.2f}",
    )


def _row(cells: tuple[str, ...]) -> str:
    return "  ".join(f"{cell:>13}" for cell in cells)


def _panels(bottom: Bottom, scales: list[Scale]) -> list[Panel]:
    sizes = [f"{one.workloads} workload{'s' * (one.workloads > 1)}" for one in scales]
    pairs = list(zip(sizes, scales, strict=True))
    return [
        Panel(
            "Memory, idle (PSS)",
            "MiB",
            [Bar("bare view", bottom.pss_mib)]
            + [Bar(size, one.pss_mib, ours=True) for size, one in pairs],
        ),
        Panel(
            "From cold start to ready",
            "s",
            [Bar("bare view", bottom.ready)]
            + [Bar(size, one.ready, ours=True) for size, one in pairs],
        ),
    ]
