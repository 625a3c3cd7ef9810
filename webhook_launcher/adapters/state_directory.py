"""The state directory, tried out before the journal needs it."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from webhook_launcher.core.errors import JournalError

# Where locks and syncs are another machine's promise.
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"})
_PAGE = 4096
_MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """What was found of a directory that can be written."""

    owner: int
    ours: bool
    free: int
    sync_seconds: float
    remote: str | None


def try_out(path: Path) -> StateDirectory:
    """Write one page beside the journal, sync it and remove it. JournalError when that fails.

    A directory that does not exist yet is tried where it would be made.
    """
    try:
        place = next(found for found in (path, *path.parents) if found.exists())
        seconds = _synced_write(place)
        space = os.statvfs(place)
        owner = place.stat().st_uid
    except OSError as error:
        raise JournalError(
            f"cannot write to the state directory {path}: {error.strerror}",
            advice="Check that it is on a writable disk with free space, and give it to the "
            "launcher's user: `chown -R USER` and mode 0700.",
        ) from error
    return StateDirectory(
        owner,
        # One that is to be made will belong to whoever makes it.
        place != path or owner == os.geteuid(),
        space.f_bavail * space.f_frsize,
        seconds,
        _remote(place.resolve()),
    )


def _synced_write(directory: Path) -> float:
    with tempfile.NamedTemporaryFile(dir=directory, prefix="doctor-") as file:
        began = time.monotonic()
        file.write(b"\0" * _PAGE)
        file.flush()
        os.fsync(file.fileno())
        return time.monotonic() - began


def _remote(path: Path, mountinfo: Path = _MOUNTINFO) -> str | None:
    """The kind of file system that holds the path, if it is a remote one."""
    nearest, kind = -1, None
    for line in mountinfo.read_text("utf-8", "replace").splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4])
        # Later lines lie over earlier ones.
        if path.is_relative_to(point) and len(point.parts) >= nearest:
            nearest, kind = len(point.parts), after.split()[0]
    return kind if kind in _REMOTE else None
