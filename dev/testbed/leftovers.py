"""What an engine leaves when it was killed: shims, containers' processes, mounts."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


def end_leftovers(directory: Path) -> None:
    """End every process that belongs to the machine in `directory`, then unmount below it."""
    for _ in range(20):
        pids = [*_named_after(directory), *_inside_containers(directory / "data" / "containers")]
        if not pids:
            break
        for pid in pids:
            _kill(pid)
        time.sleep(0.1)
    for point in mounts_below(directory, Path("/proc/self/mountinfo").read_text()):
        subprocess.run(["umount", "--lazy", point], capture_output=True, timeout=30, check=False)


def mounts_below(directory: Path, mountinfo: str) -> list[str]:
    """Return mount points below `directory`, the deepest and latest first."""
    points = [
        # The kernel writes blanks and backslashes of a path in octal.
        re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), line.split()[4])
        for line in mountinfo.splitlines()
    ]
    return [point for point in reversed(points) if point.startswith(f"{directory}/")]


def _named_after(directory: Path) -> Iterator[int]:
    """Yield the engine's own programs: all of them have its directory on their command line."""
    needle = f"{directory}/".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        program = os.path.basename(arguments[0])  # noqa: PTH119 - bytes, not a path we open
        if program.startswith((b"dockerd", b"containerd")) and any(
            needle in argument for argument in arguments
        ):
            yield int(entry.name)


def _inside_containers(containers: Path) -> Iterator[int]:
    """Yield processes whose control group carries the id of one of our containers."""
    ids = [entry.name for entry in containers.iterdir()] if containers.is_dir() else []
    if not ids:
        return
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            group = (entry / "cgroup").read_text()
        except OSError:
            continue
        if any(identity in group for identity in ids):
            yield int(entry.name)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
