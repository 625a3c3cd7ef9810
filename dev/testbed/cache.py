"""What is kept between runs: downloads, logs, and the lock that several runs share."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed.errors import MachineError

# Above the slowest honest wait: another run installing an engine over a slow line.
LOCK_SECONDS = 900


def say(text: str) -> None:
    """Tell the developer on standard error, so that CMD's output stays its own."""
    print(f"machine: {text}", file=sys.stderr, flush=True)


def cache_directory() -> Path:
    """Return the directory that outlives runs, made if it is missing."""
    configured = os.environ.get("LAUNCHER_DEV_CACHE")
    path = Path(configured) if configured else Path.home() / ".cache" / "webhook-launcher-dev"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def log_file(name: str) -> Path:
    """Return a fresh log path in the cache; logs must outlive the run that failed."""
    directory = cache_directory() / "logs"
    directory.mkdir(exist_ok=True)
    return directory / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{name}.log"


@contextmanager
def exclusive(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock file at `path`; the kernel frees it however its holder ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _wait_for_lock(descriptor, path, time.monotonic() + seconds)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, deadline: float) -> None:
    tell_at = time.monotonic() + 2
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise MachineError(
                    f"another run has held {path} for too long",
                    "look for a machine.py that hangs, end it, and repeat",
                ) from None
        if time.monotonic() > tell_at:
            say(f"waiting for another run to finish with {path}")
            tell_at = deadline
        time.sleep(0.2)


def run_logged(
    argv: Sequence[str], log: Path, *, seconds: float, env: Mapping[str, str] | None = None
) -> bool:
    """Run a command with its output in `log`; whether it ended well within `seconds`."""
    with log.open("a") as output:
        output.write(f"$ {' '.join(argv)}\n")
        output.flush()
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                env=dict(env) if env is not None else None,
                check=False,
            )
        except subprocess.TimeoutExpired:
            output.write(f"not finished after {seconds:.0f} s\n")
            return False
        except OSError as error:
            output.write(f"{error}\n")
            return False
        return done.returncode == 0
