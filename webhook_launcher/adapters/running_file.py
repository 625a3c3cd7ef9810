"""`running.json` in the state directory: the launcher's master process and its last reload.

The worker process writes the file, `webhook-launcher reload` reads it. A process id alone proves
nothing, because the kernel gives it to another process later; so the file has the time at which
the process started as well, and the process must belong to the owner of the file.
"""

import json
import os
import signal
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_NAME = "running.json"
_LOCK = "lock"
_MAX_BYTES = 1024**2
# Fields of /proc/PID/stat after the name: the state is field 3, the start time field 22.
_STATE, _STARTED = 0, 19
_LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class Process:
    """A process; `started` (clock ticks after boot) tells it from a later one with its id."""

    pid: int
    started: int

    @classmethod
    def find(cls, pid: int) -> "Process | None":
        """Return the process with this id, or None when it has ended."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()
        return None if fields[_STATE] in "ZX" else cls(pid, int(fields[_STARTED]))


@dataclass(frozen=True, slots=True)
class Reload:
    """A reload that has ended: the monotonic time at which it began, and its result as JSON."""

    began: float
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Running:
    """What the file says."""

    master: Process
    reload: Reload | None = None


def write(state: Path, running: Running) -> None:
    """Replace the file atomically; only its owner may read it. Raises OSError."""
    new = state / f"{_NAME}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(running), file)
    new.replace(state / _NAME)


def remove(state: Path, master: Process) -> None:
    """Remove the file if it names this process."""
    with suppress(OSError):
        found = _read(state)
        if found is not None and found[0].master == master:
            (state / _NAME).unlink()


def read(state: Path) -> Running | None:
    """Return what the file says, or None unless the process that it names runs.

    Raises PermissionError for a directory of another user.
    """
    found = _read(state)
    if found is None:
        return None
    running, owner = found
    if Process.find(running.master.pid) != running.master:
        return None
    with suppress(OSError):
        if Path(f"/proc/{running.master.pid}").stat().st_uid == owner:
            return running
    return None


def is_locked(state: Path) -> bool:
    """Return True while a launcher holds the lock of the state directory.

    Reads /proc/locks. Trying to take the lock could make a launcher fail that starts just now.
    """
    try:
        file = (state / _LOCK).stat()
        lines = _LOCKS.read_text("ascii", "replace").splitlines()
    except FileNotFoundError:
        return False
    key = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    return any("FLOCK" in line and key in line.split() for line in lines)


def request_reload(master: Process) -> None:
    """Send SIGHUP to the process. Raises PermissionError for one of another user."""
    with suppress(ProcessLookupError):
        os.kill(master.pid, signal.SIGHUP)


def _read(state: Path) -> tuple[Running, int] | None:
    """Return the content and the owner's user id; None for no file, or none of ours."""
    try:
        descriptor = os.open(state / _NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return None
        running = _parse(file.read(_MAX_BYTES))
    return None if running is None else (running, found.st_uid)


def _parse(content: bytes) -> Running | None:
    """Return None for what no launcher wrote, such as a file cut off by a full disk."""
    try:
        document = json.loads(content)
        reload = document["reload"]
        return Running(
            Process(**document["master"]),
            None if reload is None else Reload(**reload),
        )
    except (ValueError, KeyError, TypeError):
        return None
