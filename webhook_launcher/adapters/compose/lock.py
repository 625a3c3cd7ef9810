"""One `up` at a time per project, also across a launcher that was killed.

The lock is a file's flock, and the program that runs under it inherits the descriptor: the kernel
holds the lock until the last of them has ended, whoever died first.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webhook_launcher.core.errors import ComposeError, ProjectBusyError

# An orphan ends within the stop grace of its containers (10 s each by default) and their start.
_PATIENCE = 60.0
_TICK = 0.05


@contextmanager
def held(path: Path, patience: float = _PATIENCE) -> Iterator[int]:
    """Hold the lock; its descriptor, to be inherited. ProjectBusyError after `patience` s."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ComposeError(
            f"cannot use {path}: {error.strerror}",
            advice="Check free space and permissions of the `state` directory.",
        ) from error
    try:
        _take(descriptor, path, time.monotonic() + patience)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise ProjectBusyError(
                    f"a compose command of an earlier launcher still runs on {path.stem!r}"
                ) from None
            time.sleep(_TICK)
        else:
            return
