"""Pushes, kills and outages by chance, for as long as you like: `make soak MINUTES=30 SEED=1`.

A launcher with four workloads on a real engine; the registry is reached by a way that breaks. In
the first half the launcher itself is killed and restarted too; in the second it lives on, so that
what it holds can be compared: memory, threads, descriptors. Containers, images and the journal are
counted all along. At the end everything is well again, and every workload must run its newest good
image by itself, with one container and nothing left over.

Prints a line every ten seconds, writes all of it to bench/results/, and exits with 1 when a bound
was passed or the promise was not kept.
"""

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from testbed.description import describe_machine
from testbed.forwarder import Forwarder, Way
from testbed.images import Behaviour, Recipe, TestRegistry
from testbed.launcher import Launcher, fetch, github_push
from testbed.ports import free_port
from testbed.process import usage

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
WORKLOADS = 4
SAMPLE_SECONDS = 10.0
# Of a life: it still opens what every thread needs once, and fills caches, the allocator's too.
WARM_UP = 0.3
BOUNDS = {"pss_mib": 12.0, "threads": 2, "descriptors": 16}
# Current, previous, one being pulled, one that failed; and what the interrupted left.
IMAGES_PER_WORKLOAD = 5
# Its write-ahead log is cut at 4 MiB, and may be twice that while somebody reads.
JOURNAL_BYTES = 8 * 1024**2
JOURNAL_BYTES_PER_DELIVERY = 8192
CONVERGE_SECONDS = 180.0
_BAD = (Behaviour.EXITS, Behaviour.NEVER_HEALTHY)


@dataclass
class Workload:
    """One of them, and what was pushed for it."""

    name: str
    repository: str
    port: int
    good: str | None = None  # the marker of the newest good image
    newest: str | None = None
    pushes: int = 0


@dataclass(frozen=True)
class Sample:
    """What is held at one moment."""

    seconds: float
    life: int  # which life of the launcher: it begins anew with every restart
    pss_mib: float
    threads: int
    descriptors: int
    containers: int
    images: int
    journal: int


@dataclass
class Soak:
    """The site, the dice, and what happened."""

    dice: random.Random
    registry: TestRegistry
    way: Forwarder
    launcher: Launcher
    workloads: list[Workload]
    project: str
    life: int = 1
    deliveries: int = 0
    done: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def act(self, *, kills: bool) -> None:
        """One thing, by chance."""
        choices: list[tuple[Callable[[], None], int]] = [
            (self.push, 40),
            (self.push_silently, 10),
            (self.repeat, 5),
            (self.forge, 10),
            (self.remove_container, 6),
            (self.kill_container, 6),
            (self.break_registry, 6),
            (self.reload, 3),
        ]
        if kills:
            choices += [(self.kill, 6), (self.restart, 3)]
        (what,) = self.dice.choices([one for one, _ in choices], [weight for _, weight in choices])
        self.done[what.__name__] += 1
        what()

    def push(self) -> None:
        """A publisher pushes, and the registry tells; one in five is broken."""
        self._announce(*self._pushed())

    def push_silently(self) -> None:
        """The webhook is lost: the poll has to find it."""
        self._pushed()

    def repeat(self) -> None:
        """The same delivery twice."""
        workload, digest = self._pushed()
        for _ in range(2):
            self._announce(workload, digest, delivery=f"again-{workload.newest}")

    def forge(self) -> None:
        """Fifty deliveries that nobody signed."""
        for _ in range(50):
            self._announce(self.workloads[0], "sha256:" + "0" * 64, secret=b"wrong")

    def remove_container(self) -> None:
        """`docker rm -f`."""
        self._docker_on_one("rm", "-f")

    def kill_container(self) -> None:
        """It crashes."""
        self._docker_on_one("kill")

    def break_registry(self) -> None:
        """For some seconds."""
        self.way.turn(self.dice.choice([Way.REFUSED, Way.BLACK_HOLE]))
        time.sleep(self.dice.uniform(2, 12))
        self.way.turn(Way.OPEN)

    def reload(self) -> None:
        """The same configuration again; a workload that is being deployed does not mind."""
        self.launcher.run("reload")

    def kill(self) -> None:
        """SIGKILL, and a new start."""
        self.launcher.kill()
        self._start()

    def restart(self) -> None:
        """SIGTERM, and a new start."""
        self.launcher.stop()
        self._start()

    def _start(self) -> None:
        self.launcher.start("/healthz")
        self.life += 1

    def _pushed(self) -> tuple[Workload, str]:
        workload = self.dice.choice(self.workloads)
        workload.pushes += 1
        marker = f"{workload.name}-{workload.pushes}"
        good = self.dice.random() > 0.2
        behaviour = Behaviour.GOOD if good else self.dice.choice(_BAD)
        recipe = Recipe(marker, behaviour, interval=0.5, padding=50_000)
        digest = self.registry.push(workload.repository, "stable", recipe).digest
        workload.newest = marker
        workload.good = marker if good else workload.good
        return workload, str(digest)

    def _announce(
        self,
        workload: Workload,
        digest: str,
        *,
        secret: bytes | None = None,
        delivery: str | None = None,
    ) -> None:
        try:
            answer = github_push(
                f"{self.launcher.url}/hooks/ghcr",
                secret or SECRET,
                workload.repository,
                "stable",
                digest,
                delivery or secrets.token_hex(8),
            )
        except OSError:
            self.done["not answered"] += 1  # it was killed: the sender will have to repeat, or not
            return
        self.deliveries += answer.status == 202
        self.done[f"answered {answer.status}"] += 1

    def _docker_on_one(self, *command: str) -> None:
        found = self.containers()
        if found:
            docker(*command, self.dice.choice(found))

    def containers(self, *filters: str) -> list[str]:
        """Ids of the workloads' containers, all of them or filtered."""
        words = [word for one in filters for word in ("--filter", one)]
        listed = docker("ps", "-aq", "--filter", f"name={self.project}-", *words)
        return listed.split()

    def sample(self) -> Sample:
        """Look, and print."""
        found = usage(self.launcher.pid)
        hosts = [f"{self.way.host}/{one.repository}" for one in self.workloads]
        images = docker("image", "ls", "--all", "--no-trunc", "--format", "{{.Repository}} {{.ID}}")
        named = {line for line in images.splitlines() if line.split()[0] in hosts}
        state = self.launcher.directory / "state"
        one = Sample(
            round(time.monotonic() - self.began, 1),
            self.life,
            round(found.pss_mib, 1),
            found.threads,
            found.descriptors,
            len(self.containers()),
            len({line.split()[1] for line in named}),
            sum(file.stat().st_size for file in state.iterdir() if file.is_file()),
        )
        self.samples.append(one)
        print(" ".join(f"{name} {value}" for name, value in asdict(one).items()), flush=True)
        return one

    def complaints(self) -> list[str]:
        """Bounds that were passed, in the launcher's last life and all along."""
        last = [one for one in self.samples if one.life == self.life]
        warm = last[0].seconds + WARM_UP * (last[-1].seconds - last[0].seconds)
        grown = [one for one in last if one.seconds >= warm]
        said = []
        for name, most in BOUNDS.items():
            growth = getattr(grown[-1], name) - getattr(grown[0], name)
            if growth > most:
                said.append(f"{name} grew by {growth:g} in one life, {most:g} at most")
        images = self.samples[-1].images
        if images > IMAGES_PER_WORKLOAD * len(self.workloads):
            said.append(f"{images} images are left of {len(self.workloads)} workloads")
        written = self.samples[-1].journal - self.samples[0].journal
        if written > JOURNAL_BYTES + JOURNAL_BYTES_PER_DELIVERY * self.deliveries:
            said.append(f"the journal grew by {written} bytes in {self.deliveries} deliveries")
        return said

    def converge(self) -> list[str]:
        """All is well again: what is not as it must be after a while."""
        self.way.turn(Way.OPEN)
        deadline = time.monotonic() + CONVERGE_SECONDS
        while (said := self._unlike()) and time.monotonic() < deadline:
            time.sleep(1)
        return said

    def _unlike(self) -> list[str]:
        said = []
        for one in self.workloads:
            served = fetch(f"http://127.0.0.1:{one.port}/")
            if one.newest == one.good and served != one.good:
                said.append(f"{one.name} serves {served}, its newest good image is {one.good}")
            elif served is None:
                said.append(f"{one.name} serves nothing")
        if len(self.containers()) != len(self.workloads):
            said.append(f"{len(self.containers())} containers of {len(self.workloads)} workloads")
        if left := self.containers("status=created"):
            said.append(f"{len(left)} containers were created and never started")
        return said


SECRET = secrets.token_hex(16).encode()


def docker(*arguments: str) -> str:
    """A docker command; empty when it failed, as it may in the middle of things."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def prepare(seed: int) -> Soak:
    """A site with one good image in every workload."""
    registry = TestRegistry(
        os.environ["LAUNCHER_TEST_REGISTRY"], Path(os.environ["LAUNCHER_TEST_BUSYBOX"])
    )
    way, directory = Forwarder(registry.host), Path(mkdtemp(prefix="webhook-launcher-soak-"))
    project = f"soak{secrets.token_hex(3)}"
    workloads = [Workload(f"w{n}", f"{project}/w{n}", free_port()) for n in range(WORKLOADS)]
    launcher = Launcher(directory, _configuration(way, project, workloads))
    return Soak(random.Random(seed), registry, way, launcher, workloads, project)  # noqa: S311


def _configuration(way: Forwarder, project: str, workloads: list[Workload]) -> dict[str, Any]:
    return {
        "poll": {"every": "10s"},
        "sources": {"ghcr": {"kind": "github", "registry": way.host, "secret": SECRET.decode()}},
        "workloads": {
            one.name: {
                "image": f"{way.host}/{one.repository}",
                "track": {"tag": "stable"},
                "compose": {
                    "project": f"{project}-{one.name}",
                    "inline": {
                        "services": {
                            "app": {
                                "init": True,
                                "restart": "unless-stopped",
                                "ports": [f"127.0.0.1:{one.port}:8080"],
                            }
                        }
                    },
                },
            }
            for one in workloads
        },
    }


def run(soak: Soak, seconds: float) -> list[str]:
    """Begin, act, let it calm down; what was wrong."""
    for one in soak.workloads:
        one.good = one.newest = f"{one.name}-0"
        soak.registry.push(one.repository, "stable", Recipe(one.good, interval=0.5))
    soak.launcher.start()
    if said := soak.converge():
        return said
    soak.began = soak_began = time.monotonic()
    next_sample = soak_began
    restarted = False
    while (passed := time.monotonic() - soak_began) < seconds:
        if passed > seconds / 2 and not restarted:
            soak.restart()  # the life that is compared with itself
            restarted = True
        if time.monotonic() >= next_sample:
            soak.sample()
            next_sample += SAMPLE_SECONDS
        soak.act(kills=not restarted)
        time.sleep(soak.dice.uniform(0.2, 2.5))
    said = soak.converge()
    soak.sample()
    return said + soak.complaints()


def main() -> int:
    """Soak, print, write; 0 when all was kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    soak = prepare(arguments.seed)
    try:
        said = run(soak, arguments.minutes * 60)
    finally:
        soak.launcher.kill()
        soak.way.close()
        if found := soak.containers():
            docker("rm", "-f", *found)
    path = _write(soak, arguments.seed, arguments.minutes, said)
    counts = ", ".join(f"{what} {count}" for what, count in sorted(soak.done.items()))
    print(f"\n{counts}\n{soak.life} lives, {soak.deliveries} deliveries accepted")
    print("\n".join(said) or "no leak, and every workload runs its newest good image")
    print(f"every sample: {path.relative_to(ROOT)}")
    if said:
        print(f"the launcher's log: {soak.launcher.log}", file=sys.stderr)
    return 1 if said else 0


def _write(soak: Soak, seed: int, minutes: float, said: list[str]) -> Path:
    now = datetime.now(UTC)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"soak-{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "seed": seed,
        "minutes": minutes,
        "lives": soak.life,
        "deliveries": soak.deliveries,
        "done": dict(sorted(soak.done.items())),
        "complaints": said,
        "samples": [asdict(one) for one in soak.samples],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
