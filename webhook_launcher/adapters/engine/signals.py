"""Would a container's first process hear the signal by which it is asked to stop?

The kernel drops a signal for the first process of a namespace unless it handles it: a shell or a
Node program as PID 1 serves on for the whole grace period and is killed (10 s instead of 1, and
12.5 s for an `up` that takes 2.5).
"""

import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROC = Path("/proc")
# What waits for signals (sigtimedwait) neither handles nor, while it waits, blocks them.
_INITS = frozenset({"tini", "docker-init", "dumb-init", "catatonit", "s6-svscan"})
_NAME = re.compile(r"^Name:\s*(?P<name>\S+)$", re.MULTILINE)
_MASK = re.compile(r"^Sig(?P<set>Blk|Cgt):\s*(?P<bits>[0-9a-f]+)$", re.MULTILINE)


def is_deaf(inspected: Mapping[str, Any], proc: Path = PROC) -> bool:
    """True when it certainly drops its stop signal; False also where that cannot be seen.

    It can be seen on the engine's own host only. Blocked counts as heard: who blocks a signal reads
    it by other means.
    """
    pid, container_id = inspected["State"].get("Pid") or 0, inspected["Id"]
    wanted = _number(inspected["Config"].get("StopSignal") or "SIGTERM")
    if not pid or wanted is None or wanted == signal.SIGKILL:
        return False
    try:
        # A process id means something in one namespace only: the group says whether it is this.
        if container_id not in (proc / str(pid) / "cgroup").read_text():
            return False
        status = (proc / str(pid) / "status").read_text("utf-8", "replace")
    except OSError:
        return False
    name = _NAME.search(status)
    if name is None or name["name"] in _INITS:
        return False
    heard = 0
    for found in _MASK.finditer(status):
        heard |= int(found["bits"], 16)
    return not heard >> (wanted - 1) & 1


def _number(name: str) -> int | None:
    """A signal by its name, with or without SIG, or its number; None for a real-time one."""
    if name.isdecimal():
        return int(name)
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    found = getattr(signal, full, None)
    return int(found) if isinstance(found, signal.Signals) else None
