"""What a run has started, written down beside it, so that any later run can end it.

A record is in the machine's directory from before the first thing is started. Its lock is held
while the run lives; a record whose lock is free and that was not kept on purpose is abandoned.
"""

import fcntl
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from testbed.errors import MachineError

PREFIX = "wl-"
# A socket's path may have 107 characters; containerd adds some of its own below ours.
LONGEST_DIRECTORY = 60


@dataclass
class Record:
    """The machine's directory and what runs for it."""

    directory: Path
    kept: bool = False
    bridge: str | None = None
    container: str | None = None
    programs: dict[str, tuple[int, int]] = field(default_factory=dict)
    lock: int = -1

    def write(self) -> None:
        """Put the record on disk, whole or not at all."""
        content = {
            "kept": self.kept,
            "bridge": self.bridge,
            "container": self.container,
            "programs": self.programs,
        }
        fresh = self.directory / "machine.json.fresh"
        fresh.write_text(json.dumps(content))
        fresh.replace(self.directory / "machine.json")

    def add_program(self, name: str, started: subprocess.Popen[bytes]) -> None:
        """Note a program, with its start time: a process id alone may come to mean another."""
        self.programs[name] = (started.pid, start_ticks(started.pid) or 0)
        self.write()


def parent_directory() -> Path:
    """Return where machines live: the temporary directory, unless its path is too long."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) <= LONGEST_DIRECTORY - len(PREFIX) - 8:
        return parent
    return Path("/tmp")  # noqa: S108 - mkdtemp makes an unguessable, private directory in it


def new_record() -> Record:
    """Make a directory for a new machine and hold its lock."""
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent_directory()))
    record = Record(directory)
    record.lock = _lock(directory)
    record.write()
    return record


def open_record(directory: Path) -> Record:
    """Read a record and take its lock; refuses one whose run is still alive."""
    path = directory / "machine.json"
    if not path.is_file():
        raise MachineError(
            f"{directory} is not a test machine", "name the directory --keep printed"
        )
    lock = _lock(directory)
    try:
        content = json.loads(path.read_text())
        return Record(
            directory=directory,
            kept=content["kept"],
            bridge=content["bridge"],
            container=content["container"],
            programs={name: (pid, ticks) for name, (pid, ticks) in content["programs"].items()},
            lock=lock,
        )
    except (KeyError, ValueError) as error:
        os.close(lock)
        raise MachineError(
            f"{path} cannot be read ({error!r})",
            "end its machine with the version of machine.py that started it",
        ) from error


def abandoned_records() -> Iterator[Record]:
    """Take over every record of ours whose run was killed before it could clean up."""
    for directory in sorted(parent_directory().glob(f"{PREFIX}*")):
        if directory.is_symlink() or directory.stat().st_uid != os.geteuid():
            continue
        try:
            record = open_record(directory)
        except (MachineError, OSError):
            continue
        if record.kept:
            os.close(record.lock)
        else:
            yield record


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise MachineError(f"{directory} is in use", "end its run; it cleans up itself") from None
    return descriptor


def start_ticks(pid: int) -> int | None:
    """Return when the process started, in the kernel's ticks; None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may itself contain anything.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def end_program(pid: int, ticks: int, seconds: float) -> bool:
    """End one process: ask, wait, then kill. Whether it went when asked."""
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 10.0)):
        if start_ticks(pid) != ticks:
            return True
        os.kill(pid, number)
        deadline = time.monotonic() + patience
        while start_ticks(pid) == ticks and time.monotonic() < deadline:
            time.sleep(0.05)
    return False
