"""What an honest sender gets while others send floods: `make bench-flood`.

One launcher under gunicorn with its default limits and 50 workloads, all paused; no engine. An
honest sender on a source of its own sends twenty deliveries a second, one after the other, over
one connection, while one flood after the other is on:

- slow heads, slow bodies and slow chunked bodies on 400 connections
- bodies of 1 MiB without end, on 16 connections
- 100,000 forged deliveries on 64 connections
- 10,000 authentic deliveries at once, for 50 workloads
- an authentic sender without end

For each: what the flood was answered, what the honest sender waited (p50, p99, errors), and what
the launcher grew by. Everything shares the machine's cores. Exit status 1 when an honest delivery
was not answered 2xx, or the launcher did not work.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from testbed.description import describe_machine
from testbed.floods import Honest, trickle
from testbed.load import Answers, Generator
from testbed.receiving import Flooded

SECONDS = 8.0
SLOW = 400
FORGED = 100_000
BURST = 10_000


class Floods:
    """Each flood by its name; a call of it lasts as long as the flood."""

    def __init__(self, target: Flooded, generator: Generator, share: float) -> None:
        self._target = target
        self._generator = generator
        self._share = share
        self.each: dict[str, Callable[[], str]] = {
            "none": self._calm,
            "slow heads": lambda: self._ended(b"POST /hooks/flood HTTP/1.1\r\nHost: x\r\n", b"X"),
            "slow bodies": lambda: self._ended(target.head("Content-Length: 100000"), b"{"),
            "slow chunked bodies": lambda: self._ended(
                target.head("Transfer-Encoding: chunked") + b"FFF\r\n", b"{"
            ),
            "bodies of 1 MiB": lambda: self._for_seconds(16, size=1024**2 - 1),
            "forged": lambda: self._number(FORGED, forged=True),
            "a burst": lambda: self._number(BURST),
            "without end": lambda: self._for_seconds(64),
        }

    def _calm(self) -> str:
        time.sleep(SECONDS * self._share)
        return "nothing"

    def _slow(self, sent: bytes, rest: bytes, connections: int) -> int:
        return trickle(self._target.port, sent, rest, connections, SECONDS * self._share)

    def _ended(self, sent: bytes, rest: bytes) -> str:
        return f"{SLOW} connections, {self._slow(sent, rest, SLOW)} ended by the launcher"

    def _for_seconds(self, connections: int, size: int = 0) -> str:
        request = self._target.request(size=size)
        return _answered(self._generator.for_seconds(request, connections, SECONDS * self._share))

    def _number(self, number: int, *, forged: bool = False) -> str:
        request = self._target.request(forged=forged)
        return _answered(self._generator.requests(request, 64, int(number * self._share)))


def _answered(answers: Answers) -> str:
    told = ", ".join(f"{count} of {status}" for status, count in sorted(answers.statuses.items()))
    return f"{told}; {answers.per_second:.0f} a second"


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of each flood's size and time")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where to write the figures")
    arguments = parser.parse_args()
    rows, good = [], True
    with TemporaryDirectory(prefix="webhook-launcher-flood-") as directory:
        target, generator = Flooded(Path(directory)), Generator()
        try:
            target.start()
            print(f"{'flood':<22}{'p50 ms':>9}{'p99 ms':>9}{'worst':>9}{'MiB':>7}{'journal':>9}")
            for name, flood in Floods(target, generator, arguments.share).each.items():
                honest = Honest(target.honest())
                with honest.sending():
                    told = flood()
                row = {
                    "flood": name,
                    "flood_was_answered": told,
                    **honest.document(),
                    "memory_mib": round(target.memory(), 1),
                    "journal_mib": round(target.journal_size() / 1024**2, 1),
                    "waiting_intents": target.waiting(),
                }
                rows.append(row)
                good &= honest.good
                print(
                    f"{name:<22}{row['p50'] * 1000:>9.1f}{row['p99'] * 1000:>9.1f}"
                    f"{row['worst'] * 1000:>9.1f}{row['memory_mib']:>7}{row['journal_mib']:>9}"
                    f"  {told}; {row['waiting_intents']} intents wait",
                    flush=True,
                )
                print(f"{'':<22}the honest sender: {row['answers']}, {row['errors']} errors")
        except (RuntimeError, OSError) as error:
            print(f"bench-flood: {error}", file=sys.stderr)
            return 1
        finally:
            target.stop()
            generator.close()
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        document = {"machine": describe_machine(), "rows": rows}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
