"""What a launcher takes by itself: from start to ready, idle, and how that grows with workloads.

Against an engine and registries that answer at once (`crowd`); compose is the real one. Every
workload has been deployed before, so the first round of looks finds nothing to do.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from testbed.crowd import DIGEST, SERVICE, Crowd, crowd
from testbed.launcher import Launcher
from testbed.ports import free_port
from testbed.process import usage
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.model import Image
from webhook_launcher.core.reference import Digest, parse_reference

_ROUND_SECONDS = 600.0
_STATUS_ROUNDS = 5


@dataclass(frozen=True)
class Scale:
    """One size, measured. Seconds, MiB."""

    workloads: int
    registries: int
    black_holes: int
    ready: float  # from the start of the command to /readyz
    first_round: float  # from ready until every workload that can be was looked at
    status: float  # GET /api/v1/workloads, median
    status_bytes: int
    pss_mib: float
    cpu_per_minute: float  # idle
    threads: int
    descriptors: int

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure_scale(workloads: int, registries: int, *, holes: int = 0, idle: float = 30.0) -> Scale:
    """Start a launcher with so many workloads, let it look once at each, and watch it idle."""
    with (
        TemporaryDirectory(prefix="wl-scale-") as name,
        crowd(Path(name), free_port(), registries, holes) as around,
    ):
        launcher = _prepared(Path(name) / "launcher", around, workloads)
        began = time.monotonic()
        launcher.environment = {"DOCKER_HOST": f"unix://{around.socket}"}
        launcher.start()
        ready = time.monotonic() - began
        try:
            well = sum(1 for number in range(workloads) if number % registries < registries - holes)
            first_round = _looked_at(launcher, well)
            answers = [launcher.get("/api/v1/workloads") for _ in range(_STATUS_ROUNDS)]
            time.sleep(2)  # what the questions left behind
            before, start = usage(launcher.pid), time.monotonic()
            time.sleep(idle)
            after, spent = usage(launcher.pid), time.monotonic() - start
        finally:
            launcher.stop()
        return Scale(
            workloads,
            registries,
            holes,
            ready,
            first_round,
            median(answer.seconds for answer in answers),
            answers[0].size,
            after.pss_mib,
            (after.cpu_seconds - before.cpu_seconds) * 60 / spent,
            after.threads,
            after.descriptors,
        )


def _prepared(directory: Path, around: Crowd, count: int) -> Launcher:
    """Configuration and journal of a launcher that has deployed everything before."""
    images = {f"w{n}": f"{around.registry(n)}/acme/w{n}" for n in range(count)}
    inline = {"services": {SERVICE: {"init": True}}}
    launcher = Launcher(
        directory,
        {
            "sources": {
                f"s{n}": {"kind": "github", "registry": around.registry(n), "secret": f"secret-{n}"}
                for n in range(min(count, around.count))
            },
            "workloads": {
                name: {"image": image, "track": {"tag": "stable"}, "compose": {"inline": inline}}
                for name, image in images.items()
            },
        },
    )
    journal = Journal(directory / "state", {name: name for name in images})
    digest = Digest(DIGEST)
    for name, image in images.items():
        reference = parse_reference(f"{image}:stable")
        journal.workloads.promote(name, Image(reference, digest, digest, digest), digest)
    journal.close()
    return launcher


def _looked_at(launcher: Launcher, count: int) -> float:
    """Seconds until so many workloads were found unmoved."""
    began = time.monotonic()
    while True:
        shown = launcher.get("/api/v1/workloads").body["workloads"]
        results = [one["last_check"]["result"] for one in shown if one["last_check"]]
        if results.count("nothing moved") >= count:
            return time.monotonic() - began
        if time.monotonic() - began > _ROUND_SECONDS:
            raise RuntimeError(f"not all were looked at: {set(results)}\n{launcher.log_tail()}")
        time.sleep(0.5)
