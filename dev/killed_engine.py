"""What does an engine that is killed in the middle of an `up` leave, and what mends it?

    python3 dev/machine.py run -- .venv/bin/python dev/killed_engine.py --kills 40 --engine 26.1

A project of two services, one with a published port, is recreated from another image; dockerd is
killed at a random moment of that and started again. Then, as the launcher does: sweep, `up`, `up`
that makes containers anew. Where that is refused: what a person may try, up to a restart of the
engine. No launcher takes part. Prints a line for each kill that left something, and the counts;
docs/reliability.md tells what came of it.
"""

import argparse
import random
import secrets
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from os import environ
from pathlib import Path

from campaign.daemon import Daemon
from testbed import releases
from testbed.errors import MachineError
from testbed.images import Recipe, TestRegistry
from testbed.ports import free_port
from tests.projects import Host
from webhook_launcher.core.errors import ComposeError
from webhook_launcher.core.model import Image
from webhook_launcher.core.workload import ComposeProject

SERVICES = ("app", "jobs")
# An `up` of two services takes about one second.
EARLIEST, LATEST = 0.2, 0.9
# Until what died with dockerd is gone.
OUTAGE = 2.5
FINE = "nothing that `up` does not mend"
ANEW = "a container that only `up --force-recreate` mends"
HOPELESS = "what nothing mends"


class Bench:
    """An engine to be killed, and a project on it."""

    def __init__(self, daemon: Daemon, registry: TestRegistry, directory: Path) -> None:
        self.daemon = daemon
        self.host = Host(daemon.environment, directory)
        repository = f"killed/{secrets.token_hex(4)}"
        self.images = [
            registry.push(repository, "x", Recipe(f"{repository} {n}", interval=0.5))
            for n in range(2)
        ]
        image = str(self.images[0].reference.repository)
        services: dict[str, dict[str, object]] = {
            name: {"image": image, "init": True} for name in SERVICES
        }
        services["app"]["ports"] = [f"127.0.0.1:{free_port()}:8080"]
        self.project: ComposeProject = self.host.project(services)

    def kill(self, number: int, delay: float) -> str:
        """One kill; what it left."""
        before, after = self.images[number % 2], self.images[(number + 1) % 2]
        self.host.deploy(self.project, before)
        self._interrupt(after, delay)
        if (said := self._refusal(after)) is None:
            return FINE
        print(f"kill {number}, {delay:.2f} s into it: {said}", flush=True)
        if self._refusal(after, anew=True) is None:
            return ANEW
        trials: dict[str, Callable[[], None]] = {
            "removing the containers": self._remove_containers,
            "removing containers and network": self._remove_network,
            "restarting the engine": self._restart,
        }
        for name, trial in trials.items():
            trial()
            mended = self._refusal(after) is None
            print(f"  {'' if mended else 'not '}mended by {name}", flush=True)
            if mended:
                return f"what only {name} mends"
        return HOPELESS

    def _interrupt(self, release: Image, delay: float) -> None:
        self.host.engine.pull(release)
        self.host.compose.pin(self.project, release.pinned, SERVICES)
        options = ["up", "-d", "--no-deps", "--pull", "never", *SERVICES]
        with subprocess.Popen(
            [*self.host.compose.command(self.project), *options],
            env=dict(self.daemon.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ):
            time.sleep(delay)
            self.daemon.kill()
        time.sleep(OUTAGE)
        self._start()

    def _refusal(self, release: Image, *, anew: bool = False) -> str | None:
        """What compose says to an `up`; None when it went well. Twice: the first may race."""
        self.host.compose.pin(self.project, release.pinned, SERVICES)
        said = None
        for _ in range(1 if anew else 2):
            self.host.engine.sweep(self.project.name, SERVICES)
            try:
                self.host.compose.up(self.project, SERVICES, anew=anew)
            except ComposeError as error:
                said = str(error)
            else:
                return None
        return said

    def _remove_containers(self) -> None:
        found = self.host.engine.containers(self.project.name, SERVICES)
        self.host.engine.remove([container.id for container in found])

    def _remove_network(self) -> None:
        self._remove_containers()
        self.host.docker("network", "rm", f"{self.project.name}_default")

    def _restart(self) -> None:
        self.daemon.stop()
        time.sleep(OUTAGE)
        self._start()

    def _start(self) -> None:
        """dockerd gives up when it meets the containerd of the one that was killed."""
        for _ in range(3):
            try:
                self.daemon.start()
            except MachineError:
                time.sleep(OUTAGE)
            else:
                return
        self.daemon.start()


def main() -> None:
    """Kill so many times, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=releases.ENGINES, help="another than the machine's")
    arguments = parser.parse_args()
    chosen = random.Random(arguments.seed)  # noqa: S311 - to be repeated, not to be secret
    registry = TestRegistry(
        environ["LAUNCHER_TEST_REGISTRY"], Path(environ["LAUNCHER_TEST_BUSYBOX"])
    )
    release = releases.ENGINES[arguments.engine] if arguments.engine else None
    daemon = Daemon(release=release)
    left = Counter[str]()
    try:
        with tempfile.TemporaryDirectory() as directory:
            bench = Bench(daemon, registry, Path(directory))
            print(f"Docker Engine {bench.host.engine.versions()['engine']}", flush=True)
            for number in range(arguments.kills):
                left[bench.kill(number, chosen.uniform(EARLIEST, LATEST))] += 1
    finally:
        daemon.close()
        for what, times in left.most_common():
            print(f"{times} of {left.total()} kills left {what}")


if __name__ == "__main__":
    main()
