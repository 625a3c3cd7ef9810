"""A disk of the campaign's own, an ext4 in a file, that fills, hangs, slows down or gives up."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

_SIZE = 32 * 1024 * 1024
# linux/fs.h: _IOWR('X', 119, int) and 120. From here no write returns, until it is thawed.
_FREEZE, _THAW = 0xC0045877, 0xC0045878
# Seconds of each half second for which a slow disk takes nothing.
_JERK, _BETWEEN = 0.4, 0.1
_LEAVING = 10.0
_PIECE = 64 * 1024
_PAGE = 4096
JOURNAL = "journal.sqlite3"


class Disk:
    """Mounted at `where` for the duration of a block; needs root, mkfs.ext4, and loop devices."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._image = where.with_name(f"{where.name}.ext4")
        self._filler = where / "filler"

    def __enter__(self) -> Self:
        self.where.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(_SIZE)
        _run("mkfs.ext4", "-q", "-m", "0", "-e", "remount-ro", str(self._image))
        self._mount()
        self.where.chmod(0o700)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.thaw()
        # Lazily: a launcher that nobody ended holds it; it goes with that one.
        _run("umount", "--lazy", str(self.where))
        self._image.unlink()

    def mount_anew(self) -> None:
        """After it gave up; the file system mends itself by its own journal. Nobody may use it.

        A copy is mounted: while some program that the engine has just started still has our mounts
        in its own view, the kernel would give the old mount, which is read-only, once more.
        """
        self._unmount()
        fresh = self._image.with_suffix(".fresh")
        shutil.copyfile(self._image, fresh)
        fresh.replace(self._image)
        self._mount()

    def fill(self) -> None:
        """Take everything that is left, also what the file system gives free by writing it out."""
        with self._filler.open("ab", buffering=0) as file:
            taken = -1
            while taken != (taken := file.tell()):
                for size in (_PIECE, _PAGE, 1):
                    with suppress(OSError):
                        while file.write(bytes(size)):
                            pass
                os.fsync(file.fileno())

    def free(self) -> None:
        """Somebody makes room."""
        self._filler.unlink()

    def give_up(self) -> None:
        """What ext4 does when it meets an error: read-only from now on, until mounted anew."""
        _run("mount", "-o", "remount,abort", str(self.where))

    def freeze(self) -> None:
        """It hangs: every write waits."""
        self._control(_FREEZE)

    def thaw(self) -> None:
        """What waited goes on."""
        self._control(_THAW)

    @contextmanager
    def slow(self) -> Iterator[None]:
        """It takes writes in jerks, and nothing in between."""
        ends = threading.Event()

        def jerk() -> None:
            while not ends.wait(_BETWEEN):
                self.freeze()
                ends.wait(_JERK)
                self.thaw()

        thread = threading.Thread(target=jerk, name="jerk")
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    def damage(self) -> None:
        """Overwrite every page of the journal but the first; nobody may have it open."""
        path = self.where / JOURNAL
        with closing(sqlite3.connect(path)) as journal:  # or the WAL would make it good
            journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(_PAGE)
            file.write(b"\xa5" * (path.stat().st_size - _PAGE))

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.where))

    def _unmount(self) -> None:
        deadline = time.monotonic() + _LEAVING
        while True:
            try:
                return _run("umount", str(self.where))
            except subprocess.CalledProcessError:  # who was killed needs a moment to be gone
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _control(self, request: int) -> None:
        descriptor = os.open(self.where, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, request, 0)
        finally:
            os.close(descriptor)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
