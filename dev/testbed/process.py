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
        sum(_rollup(one, "Pss") for one in pids) / 1024,
        sum(_cpu(one) for one in pids),
        sum(len(list(Path(f"/proc/{one}/task").iterdir())) for one in pids),
        sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in pids),
    )


@dataclass(frozen=True)
class Heap:
    """Anonymous memory of a process and its descendants: no pages of files.

    Other programs that map the same libraries change a process's PSS when they come and go; its
    anonymous pages are shared with nobody but its own children.
    """

    pss_mib: float
    shared_mib: float  # what copies of the pages that these processes share would add


def heap(pid: int) -> Heap:
    """Measure the anonymous memory of a process with its descendants."""
    pids = [pid, *_descendants(pid)]
    pss = sum(_rollup(one, "Pss_Anon") for one in pids) / 1024
    return Heap(pss, sum(_rollup(one, "Anonymous") for one in pids) / 1024 - pss)


def _descendants(pid: int) -> list[int]:
    """Children of the same program: gunicorn's worker."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in _children(task):
            if _program(child) == _program(pid):
                found += [child, *_descendants(child)]
    return found


def _children(task: Path) -> list[int]:
    try:
        return [int(child) for child in (task / "children").read_text().split()]
    except FileNotFoundError:  # a thread that ended meanwhile
        return []


def _program(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


def _rollup(pid: int, field: str) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) if found else 0


def _cpu(pid: int) -> float:
    """With the programs that it ran and waited for: compose is part of what an idle look costs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICK
