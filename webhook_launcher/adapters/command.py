"""Runs a program with a time limit and bounded output. The only home of `subprocess`."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from webhook_launcher.core.errors import CommandNotFoundError, CommandTimeoutError

MAX_OUTPUT = 64 * 1024
# How long a program may tidy up after SIGTERM: compose needs some 10 ms to cancel an `up`.
_GRACE = 5.0
# After the program ended, something it started may still hold its pipes: take what is there.
_LINGER = 0.1
# Seconds between looks at a program: few enough to cost nothing, bounding the delay with which
# the end of one is noticed whose pipes stay open.
_TICK = 0.05
_FIRST_NAP = 0.0005
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: exit status (negative: the signal) and what it wrote, bounded."""

    status: int
    output: bytes
    errors: bytes


class _Bounded:
    """Keeps the head and the tail of a stream of bytes; the middle is counted and dropped."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit // 2
        self._tail_room = limit - self._head_room
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        free = self._head_room - len(self._head)
        self._head += chunk[:free]
        self._tail += chunk[free:]
        excess = len(self._tail) - self._tail_room
        if excess > 0:
            del self._tail[:excess]
            self._dropped += excess

    def read(self) -> bytes:
        """What was kept, with a note where bytes are missing."""
        note = b"\n[... %d bytes left out ...]\n" % self._dropped if self._dropped else b""
        return bytes(self._head) + note + bytes(self._tail)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    max_output: int = MAX_OUTPUT,
    grace: float = _GRACE,
    inherit: Sequence[int] = (),
) -> Finished:
    """Run `argv` (never a shell) in a process group of its own; any exit status is an answer.

    `env` replaces the environment (None: ours). After `timeout` seconds the group gets SIGTERM,
    and SIGKILL `grace` seconds later. What the program leaves running when it ends by itself is
    left alone, and does not keep us waiting although it may hold the pipes. `inherit` are file
    descriptors that the program gets too.

    Raises CommandNotFoundError, or CommandTimeoutError with what was written until then.
    """
    try:
        started = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(inherit),
            bufsize=0,
        )
    except OSError as error:
        raise CommandNotFoundError(
            f"cannot run {argv[0]}: {error.strerror}: {error.filename}"
        ) from error
    with started:
        return _Run(started, stdin, max_output).finish(argv[0], timeout, grace)


class _Run:
    """A started program, its pipes, and what came out of them."""

    def __init__(self, started: "subprocess.Popen[bytes]", stdin: bytes, max_output: int) -> None:
        self._started = started
        self._unsent = memoryview(stdin)
        self._selector = selectors.DefaultSelector()
        self._kept: dict[IO[bytes], _Bounded] = {}
        for pipe in filter(None, (started.stdout, started.stderr)):
            self._kept[pipe] = _Bounded(max_output)
            self._watch(pipe, selectors.EVENT_READ)
        if started.stdin is not None:
            self._watch(started.stdin, selectors.EVENT_WRITE)

    def finish(self, name: str, timeout: float, grace: float) -> Finished:
        """Follow the program to its end, or end it."""
        ended = False
        try:
            ended = self._follow(time.monotonic() + timeout)
            if not ended:
                self._signal_group(signal.SIGTERM)
                self._follow(time.monotonic() + grace)
        finally:
            if not ended:
                # Also when the leader obeyed SIGTERM: others of its group may not have.
                self._signal_group(signal.SIGKILL)
            status = self._started.wait()
            self._selector.close()
        output, errors = (kept.read() for kept in self._kept.values())
        if not ended:
            raise CommandTimeoutError(
                f"{name} did not end within {timeout:g} s and was ended",
                output=(output + errors).decode("utf-8", "replace"),
            )
        return Finished(status, output, errors)

    def _follow(self, deadline: float) -> bool:
        """Move bytes until the program has ended (True) or the deadline has come (False)."""
        nap = _FIRST_NAP
        while not self._has_ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._selector.get_map():
                self._move_bytes(min(left, _TICK))
            else:  # all pipes are closed, which the kernel does just before a program ends
                time.sleep(min(left, nap))
                nap = min(2 * nap, _TICK)
        last = time.monotonic() + _LINGER
        while self._selector.get_map() and time.monotonic() < last:
            self._move_bytes(_LINGER)
        return True

    def _has_ended(self) -> bool:
        """Asked without reaping: until `wait`, the group's id cannot become another's."""
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self._started.pid, options) is not None

    def _move_bytes(self, seconds: float) -> None:
        """Serve the pipes that are ready; waits up to `seconds` for one."""
        for key, _ in self._selector.select(seconds):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]  # only pipes are watched
            if pipe in self._kept:
                self._read(pipe)
            else:
                self._write(pipe)

    def _read(self, pipe: IO[bytes]) -> None:
        chunk = os.read(pipe.fileno(), _CHUNK)
        if chunk:
            self._kept[pipe].add(chunk)
        else:
            self._selector.unregister(pipe)

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            self._unsent = self._unsent[os.write(pipe.fileno(), self._unsent) :]
        except BrokenPipeError:  # it does not want to read; its exit status tells the rest
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._selector.unregister(pipe)
            pipe.close()

    def _watch(self, pipe: IO[bytes], event: int) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, event)

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._started.pid, number)
        except ProcessLookupError:
            return  # the whole group has gone by itself
