"""Loopback ports for servers that start a moment later, without a race between processes.

A port that the kernel picks (`bind` to 0) is free only until another process asks for one, or until
an outgoing connection takes it. So each process claims a block of ports below the kernel's own
range for its lifetime, with a lock that the kernel frees, and hands them out in turn.
"""

import fcntl
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from testbed.cache import cache_directory
from testbed.errors import MachineError

_FIRST = 10_240
_BLOCK = 64
# What Linux ships: the kernel picks ports from here upwards.
_KERNEL_FIRST = 32_768
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """Free loopback ports; `directory` holds the locks of the processes that share them."""

    def __init__(self, directory: Path, end: int = _KERNEL_FIRST) -> None:
        self._directory = directory
        self._end = end
        self._lock = threading.Lock()
        self._turn: Iterator[int] = iter(())
        self._claimed: list[int] = []

    def take(self) -> int:
        """Return a port that no other process of these gets and that nobody listens on.

        The ports of a block come again after the last one. A second block is claimed when none of
        the first is free.
        """
        with self._lock:
            for _ in range(2):
                port = next(filter(is_free, islice(self._turn, _BLOCK)), None)
                if port is not None:
                    return port
                first = self._claim()
                self._turn = cycle(range(first, first + _BLOCK))
            raise MachineError("no loopback port is free", "end programs that listen on many ports")

    def _claim(self) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        blocks = (self._end - _FIRST) // _BLOCK
        start = secrets.randbelow(blocks)
        for number in range(blocks):
            first = _FIRST + (start + number) % blocks * _BLOCK
            lock = os.open(self._directory / str(first), os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            # Left open on purpose: the block is this process's until it ends.
            self._claimed.append(lock)
            return first
        raise MachineError(
            f"all {blocks} blocks of loopback ports are claimed", "end other runs of the tests"
        )


def is_free(port: int) -> bool:
    """Whether a server can listen on this loopback port now."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _kernel_range_start() -> int:
    try:
        found = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _KERNEL_FIRST
    # On a machine that gives nearly every port to the kernel the blocks still keep runs apart.
    return min(found, _KERNEL_FIRST) if found >= 2 * _FIRST else _KERNEL_FIRST


_PORTS: list[Ports] = []


def free_port() -> int:
    """Return a loopback port of this process's own block that nobody listens on now."""
    if not _PORTS:
        _PORTS.append(Ports(cache_directory() / "ports", _kernel_range_start()))
    return _PORTS[0].take()
