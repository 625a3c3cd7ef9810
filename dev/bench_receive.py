"""How many deliveries a second, and how long each waits: `make bench-receive`.

The launcher under gunicorn, journal on, against a bare Flask view that only computes the HMAC
under the same gunicorn settings; deliveries that are accepted and deliveries that are forged; 16
and 64 keep-alive connections. Rounds alternate between the two servers, so that what else the
machine does hits both alike. Every delivery has an id of its own and is about the tag that is
followed by a workload, which is paused: workers look at the queue after each, and leave it. Each
server writes one line of log per request, the launcher its own and the bare view gunicorn's. The
sender shares the machine's cores with the server: it is one process, held on the last core.

The seconds of CPU that a server's worker takes for a request are measured too: unlike the rates,
they hardly depend on what else the machine does.

Prints a table, and writes every sample to bench/results/ (which git ignores: numbers belong to a
machine) or to the file that `--json` names. `--soak` sends 100,000 deliveries more and tells the
memory before and after. The exit status is 0 whether or not the targets were met, and 1 when
something did not work.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from testbed.description import describe_machine
from testbed.load import Answers, Generator
from testbed.receiving import Bare, Receiver

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
CONNECTIONS = (16, 64)
SOAK = 100_000
WARM_UP = 1.0
STATUS = {False: 202, True: 401}  # by whether the delivery is forged
TARGETS = {"ratio": 0.8, "p99_seconds_at_64": 0.15, "per_second": 1000}


@dataclass
class Row:
    """The samples of one server, one sort of delivery and one number of connections."""

    server: str
    forged: bool
    connections: int
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)  # CPU seconds of the worker per request
    medians: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)

    def add(self, answers: Answers, cpu: float) -> None:
        """Keep a round and the seconds of CPU it took.

        RuntimeError when anything but the expected status was answered.
        """
        if set(answers.statuses) != {STATUS[self.forged]}:
            raise RuntimeError(f"{self.server} answered {dict(answers.statuses)}")
        self.rates.append(answers.per_second)
        self.costs.append(cpu / len(answers.times))
        self.medians.append(answers.quantile(0.5))
        self.tails.append(answers.quantile(0.99))

    def document(self) -> dict[str, Any]:
        """Everything measured, times in seconds."""
        return {
            "server": self.server,
            "deliveries": "forged" if self.forged else "accepted",
            "connections": self.connections,
            "per_second": [round(rate, 1) for rate in self.rates],
            "cpu_seconds": [round(cost, 6) for cost in self.costs],
            "p50": [round(time, 5) for time in self.medians],
            "p99": [round(time, 5) for time in self.tails],
        }


class Comparison:
    """Both servers under every load, round by round."""

    def __init__(self, receiver: Receiver, bare: Bare, generator: Generator) -> None:
        self._servers = (receiver, bare)
        self._receiver = receiver
        self._generator = generator
        self.rows = {
            (server.name, forged, connections): Row(server.name, forged, connections)
            for connections in CONNECTIONS
            for forged in (False, True)
            for server in self._servers
        }
        self.forged_wrote = False

    def round(self, number: int, seconds: float) -> None:
        """Every load on each server once, in an order that turns with the rounds."""
        order = self._servers if number % 2 else self._servers[::-1]
        for connections in CONNECTIONS:
            for forged in (False, True):
                for server in order:
                    request = server.request(forged=forged)
                    before = self._receiver.journal_files()
                    cpu = server.cpu()
                    answers = self._generator.for_seconds(request, connections, seconds)
                    self.rows[server.name, forged, connections].add(answers, server.cpu() - cpu)
                    if forged and server is self._receiver:
                        self.forged_wrote |= self._receiver.journal_files() != before

    def ratios(self) -> Iterator[tuple[bool, int, float]]:
        """Launcher by bare view, of each round, then the median."""
        for connections in CONNECTIONS:
            for forged in (False, True):
                ours, theirs = (self.rows[s.name, forged, connections] for s in self._servers)
                pairs = zip(ours.rates, theirs.rates, strict=True)
                yield forged, connections, median(a / b for a, b in pairs)

    def table(self) -> str:
        """Lines for people: the medians of the rounds."""
        heads = ("connections", "per second", "p50 ms", "p99 ms", "CPU ms")
        lines = [f"{'':<22}" + "".join(f"{head:>12}" for head in heads)]
        for row in self.rows.values():
            title = f"{row.server}, {'forged' if row.forged else 'accepted'}"
            p50, p99, cpu = (1000 * median(one) for one in (row.medians, row.tails, row.costs))
            lines.append(
                f"{title:<22}{row.connections:>12}{median(row.rates):>12.0f}"
                f"{p50:>12.1f}{p99:>12.1f}{cpu:>12.2f}"
            )
        for forged, connections, ratio in self.ratios():
            sort = "forged" if forged else "accepted"
            lines.append(f"launcher by bare view, {sort}, {connections} connections: {ratio:.2f}")
        return "\n".join(lines)


def soak(receiver: Receiver, generator: Generator, number: int) -> dict[str, float]:
    """Memory of the worker before and after so many deliveries, in MiB of its own."""
    sizes = [receiver.memory()]
    for _ in range(2):
        answers = generator.requests(receiver.request(), 64, number // 2)
        sizes.append(receiver.memory())
        print(f"  {len(answers.times)} deliveries, {answers.per_second:.0f}/s: {sizes[-1]:.1f} MiB")
    return dict(zip(("before", "halfway", "after"), sizes, strict=True))


def write(comparison: Comparison, memory: dict[str, float], rounds: int, path: Path | None) -> Path:
    """Keep every sample, in a file of its own if none is named; the file."""
    now = datetime.now(UTC)
    path = path or RESULTS / f"receive-{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "rounds": rounds,
        "targets": TARGETS,
        "rows": [row.document() for row in comparison.rows.values()],
        "ratios": [
            {"forged": forged, "connections": connections, "ratio": round(ratio, 3)}
            for forged, connections, ratio in comparison.ratios()
        ],
        "forged_deliveries_wrote_to_the_journal": comparison.forged_wrote,
        "memory_mib": {name: round(size, 1) for name, size in memory.items()},
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def run(arguments: argparse.Namespace, receiver: Receiver, generator: Generator) -> None:
    """Measure, print, write."""
    bare = Bare(receiver)
    try:
        bare.start()
        for server in (receiver, bare):
            generator.for_seconds(server.request(), 16, WARM_UP)
        comparison = Comparison(receiver, bare, generator)
        for number in range(arguments.rounds):
            comparison.round(number, arguments.seconds)
            print(f"round {number + 1}/{arguments.rounds}", flush=True)
    finally:
        bare.stop()
    print(f"\n{comparison.table()}")
    wrote = "WROTE TO" if comparison.forged_wrote else "left untouched"
    print(f"forged deliveries {wrote} the journal's files")
    memory = soak(receiver, generator, SOAK) if arguments.soak else {"now": receiver.memory()}
    print("memory of the worker, MiB: " + ", ".join(f"{k} {v:.1f}" for k, v in memory.items()))
    path = write(comparison, memory, arguments.rounds, arguments.json)
    print(f"Every sample: {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")


def main() -> int:
    """Measure, print, write; 0 unless something did not work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of every load on each server")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--soak", action="store_true", help=f"{SOAK} deliveries more, for memory")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where to write every sample")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="webhook-launcher-receive-") as directory:
        receiver, generator = Receiver(Path(directory)), Generator()
        try:
            receiver.start()
            run(arguments, receiver, generator)
        except (RuntimeError, OSError) as error:
            print(f"bench-receive: {error}", file=sys.stderr)
            return 1
        finally:
            receiver.stop()
            generator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
