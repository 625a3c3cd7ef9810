"""What a running program takes: memory, processor time, threads, descriptors."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Of a process with its descendants, but for the programs that it only runs for a moment."""

    pss_mib: float
    cpu_seconds: float
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Now. PSS: pages that several processes share count by their part in each."""
    pids = [pid, *_descendants(pid)]
    return Usage(
        sum(_pss(one) for one in pids) / 1024,
        sum(_cpu(one) for one in pids),
        sum(len(list(Path(f"/proc/{one}/task").iterdir())) for one in pids),
        sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in pids),
    )


def _descendants(pid: int) -> list[int]:
    """Children of the same program: gunicorn's worker."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if _program(int(child)) == _program(pid):
                found += [int(child), *_descendants(int(child))]
    return found


def _program(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


def _pss(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) if found else 0


def _cpu(pid: int) -> float:
    """With the programs that it ran and waited for: compose is part of what an idle look costs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICK
