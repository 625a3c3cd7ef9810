"""What the journal costs when it is full or held open: `make bench-journal`.

- a claim while 10, 1,000 and 10,000 workloads are postponed, as with a registry that is down
- the WAL while 30,000 deliveries come one by one and another process reads without end, and after
- forgetting 99,000 of 100,000 deliveries at once, and what a delivery waits meanwhile

No server and no engine: the journal alone, on the disk of the temporary directory. SHARE=0.1 does
it with a tenth of the deliveries. Ends with exit status 1 when the room did not come back.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from testbed.description import describe_machine
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.model import Action, Event, Heard, Origin, Trust, Wish
from webhook_launcher.core.retention import Retention

NOW = datetime.now(UTC)
WORKLOADS = [f"w{number}" for number in range(50)]
DELIVERIES = 100_000
BEHIND = 30_000
MIB = 1024**2
READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM deliveries").fetchall()
print("reads", flush=True)
sys.stdin.read()
"""


def look(workload: str) -> Wish:
    """What a push leads to."""
    return Wish(workload, Action.CHECK, Origin(Trust.TOKEN, "hub"), hint=True)


def milliseconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def hear(journal: Journal, names: Sequence[str]) -> None:
    """Deliveries for fifty workloads, in one commit; returns when it is on the disk."""
    heard = [
        Heard(Event("hub", Trust.TOKEN, name), [look(WORKLOADS[number % 50])], None, NOW)
        for number, name in enumerate(names)
    ]
    told = threading.Event()
    journal.deliveries.accept_all(heard, lambda _: told.set())
    told.wait()


def sizes(journal: Journal) -> str:
    """Of the file and of the WAL."""
    file, wal = journal.figures.sizes().values()
    return f"{file / MIB:.1f} MiB, WAL {wal / MIB:.1f} MiB"


def claims(state: Path, count: int) -> None:
    """A claim that finds nothing due."""
    lanes = {f"w{number}": f"w{number}" for number in range(count)}
    journal = Journal(state, lanes, limit=count)
    journal.intents.enqueue([look(name) for name in lanes], NOW, NOW + timedelta(minutes=2))
    took = statistics.median(milliseconds(lambda: journal.intents.claim(NOW)) for _ in range(50))
    print(f"  {count:6,} postponed: {took:.2f} ms")
    journal.close()


def held_open(state: Path, count: int) -> bool:
    """Deliveries behind a reader; True when the WAL was emptied after it."""
    journal = Journal(state, {name: name for name in WORKLOADS})
    hear(journal, ["first"])
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(state / "journal.sqlite3")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as reader:
        assert reader.stdin is not None  # noqa: S101 - asked for above
        assert reader.stdout is not None  # noqa: S101
        reader.stdout.readline()
        for number in range(count):
            hear(journal, [f"n{number}"])
        journal.prune(NOW, Retention())
        print(f"  {count:,} deliveries behind a reader: {sizes(journal)}")
        reader.stdin.close()
    took = sum(milliseconds(partial(hear, journal, [f"after{number}"])) for number in range(3))
    print(f"  it is gone, and 3 more: {sizes(journal)}, in {took:.0f} ms")
    journal.prune(NOW, Retention())
    print(f"  at the next look: {sizes(journal)}")
    emptied = journal.figures.sizes()["wal",] == 0
    journal.close()
    return emptied


def forgetting(state: Path, count: int) -> bool:
    """All but the newest thousand; True when the file became smaller by it."""
    journal = Journal(state, {name: name for name in WORKLOADS})
    for first in range(0, count, 1000):
        hear(journal, [f"n{number}" for number in range(first, first + 1000)])
    journal.prune(NOW, Retention())
    print(f"  {count:,} deliveries: {sizes(journal)}")
    full, ended, waited = journal.figures.sizes()["journal",], threading.Event(), [0.0]

    def send() -> None:
        while not ended.is_set():
            waited.append(milliseconds(partial(hear, journal, [f"meanwhile{len(waited)}"])))

    sender = threading.Thread(target=send)
    sender.start()
    took = milliseconds(lambda: journal.prune(NOW, Retention(deliveries=1000)))
    ended.set()
    sender.join()
    print(f"  forgotten in {took / 1000:.1f} s: {sizes(journal)}")
    waits = f"{statistics.median(waited):.0f} ms, {max(waited):.0f} at most"
    print(f"  meanwhile {len(waited) - 1} deliveries, one after the other, waited {waits}")
    smaller = journal.figures.sizes()["journal",] < full / 4
    journal.close()
    return smaller


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the deliveries")
    share = parser.parse_args().share
    machine = describe_machine()
    print(f"{machine['cores']} cores, {machine['kernel']}, Python {machine['python']}")
    with TemporaryDirectory() as directory:
        state = Path(directory)
        print("a claim, while nothing is due")
        for count in (10, 1000, 10_000):
            claims(state / str(count), count)
        print("another process reads and does not stop")
        emptied = held_open(state / "held", int(BEHIND * share))
        print("count is lowered to 1000")
        smaller = forgetting(state / "full", int(DELIVERIES * share))
    return 0 if emptied and smaller else 1


if __name__ == "__main__":
    sys.exit(main())
