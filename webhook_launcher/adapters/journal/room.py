"""The journal's room on the disk: what was forgotten is given back, and the WAL is folded.

Commits go to the WAL, and from there into the file at every thousand pages. Then it begins at its
start again, unless somebody reads: what a reader sees must stay, so behind an open read transaction
the WAL grows with every commit (sqlite.org/wal.html, "Avoiding Excessively Large WAL Files").
"""

import logging
import os
import time
from pathlib import Path

from webhook_launcher.adapters.journal.damage import NAME
from webhook_launcher.adapters.journal.database import Database
from webhook_launcher.adapters.journal.figures import size_of

_log = logging.getLogger(__name__)
# Pages of one change, and the seconds after it in which others get their turn.
_PORTION = 500
_PAUSE = 0.005
# Bytes of the WAL. Without a reader it has some 4 MiB.
_WARN_FROM = 64 * 1024**2
# The bytes of the `-shm` file that readers lock (sqlite.org/walformat.html, 2.3.1).
_READ_LOCKS = range(123, 128)


class Room:
    """Gives room back, and tells once when somebody keeps it from that."""

    def __init__(self, database: Database, state: Path, warn_from: int = _WARN_FROM) -> None:
        self._database = database
        self._wal = state / f"{NAME}-wal"
        self._index = state / f"{NAME}-shm"
        self._warn_from = warn_from
        self._warned = False

    def give_back(self) -> None:
        """Free pages go back to the disk, and the WAL is emptied if nobody else reads."""
        while self._database.vacuum(_PORTION):
            time.sleep(_PAUSE)
        if self._database.fold():
            if self._warned:
                _log.info("journal folded", extra={"detail": "nobody holds it open any more"})
            self._warned = False
        elif not self._warned and (size := size_of(self._wal)) >= self._warn_from:
            self._warned = True
            _log.warning("journal held open", extra=self._told(size))

    def _told(self, size: int) -> dict[str, object]:
        return {
            "bytes": size,
            "processes": readers(self._index) or None,
            "detail": f"a read transaction that another process holds open on {NAME} keeps "
            f"{self._wal.name} from being folded: it grows with every delivery until the disk is "
            "full",
            "advice": f"End that process (`fuser {self._index}` names those that have it open), "
            "such as a sqlite3 shell or a backup that hangs. The file shrinks by itself then.",
        }


def readers(index: Path) -> list[int]:
    """The processes, but ours, that read the database now, as far as we may see them.

    By the locks that the kernel lists (proc_locks(5)); those of other PID namespaces it leaves out.
    """
    try:
        wanted = index.stat()
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return []
    device = f"{os.major(wanted.st_dev):02x}:{os.minor(wanted.st_dev):02x}:{wanted.st_ino}"
    found = set()
    for line in lines:
        words = line.split()  # 1: POSIX ADVISORY READ <pid> <device>:<inode> <first> <last>
        if words[1:4] != ["POSIX", "ADVISORY", "READ"] or words[5] != device:
            continue
        if int(words[6]) in _READ_LOCKS and int(words[4]) not in (0, os.getpid()):
            found.add(int(words[4]))
    return sorted(found)
