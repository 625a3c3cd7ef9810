"""Run a container's own healthcheck now instead of at the engine's next interval.

The engine ends its own probes at their timeout; a command started with `exec` cannot be ended
through its API. So the command runs behind a shell that tells its process id first. The engine
makes every such command the leader of a process group (runc, nsexec.c: `setsid`), and a second
command can end the whole group.
"""

import contextlib
from collections.abc import Iterator, Sequence

import requests
from urllib3.exceptions import ReadTimeoutError

from webhook_launcher.adapters.engine.connection import APIError, Client
from webhook_launcher.adapters.engine.frames import Tail, read_frames
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.container import ProbeResult, RunningProbe

# What the engine itself keeps of a probe's output (moby, daemon/health.go).
_MAX_OUTPUT = 4096
_PIECE = 16 * 1024
# The exit status arrives by another way than the output, a moment later at worst.
_NAP = 0.005
_TELL_PID = ("/bin/sh", "-c", 'echo "$$"; exec "$@"', "sh")
_END_GROUP = ("/bin/sh", "-c", 'kill -9 "-$1"', "sh")
# Seconds for the shell that ends another command.
_END_TIMEOUT = 5.0
_FORBIDDEN = 403
_PID_DIGITS = 20


class _Output(Tail):
    """The end of a command's output, without the process id that a shell writes before it."""

    def __init__(self, limit: int, *, shell: bool) -> None:
        super().__init__(limit)
        self.pid: int | None = None
        self._first: bytes | None = b"" if shell else None

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the output."""
        if self._first is None:
            super().add(chunk)
            return
        line, newline, rest = (self._first + chunk).partition(b"\n")
        if not newline and len(line) <= _PID_DIGITS:
            self._first = line
            return
        self._first = None
        if line.isdigit():
            self.pid = int(line)
            super().add(rest)
        else:
            super().add(line + newline + rest)


def run_probe(
    client: Client,
    container_id: str,
    command: Sequence[str],
    timeout: float,
    clock: Clock,
    *,
    shell: bool = True,
) -> ProbeResult:
    """Execute a healthcheck command as the engine would: same user, environment and directory.

    Waits `timeout` seconds at most; a command that goes on is told in `running`. Without `shell`
    the command is executed as it is, and nothing can end it.
    """
    argv = [*_TELL_PID, *command] if shell else [*command]
    kept, exec_id = _Output(_MAX_OUTPUT, shell=shell), ""
    try:
        exec_id = client.exec_create(container_id, argv)["Id"]
        status = _run(client, exec_id, timeout, clock, kept)
    except (ReadTimeoutError, requests.Timeout, TimeoutError):
        if not exec_id:
            return ProbeResult(False, f"no answer within {timeout:g} s")
        said = f"no result yet {kept.text()}".rstrip()
        return ProbeResult(False, said, RunningProbe(exec_id, kept.pid))
    except APIError as error:
        # Not running, paused, restarting, gone: there is nothing to ask, so it is not healthy.
        said = f"cannot be run: {error.explanation or error}"
        return ProbeResult(False, said, allowed=error.status_code != _FORBIDDEN)
    if shell and kept.pid is None:  # there is no shell: nothing was executed
        return run_probe(client, container_id, command, timeout, clock, shell=False)
    return ProbeResult(status == 0, f"exit status {status}: {kept.text()}".rstrip())


def follow_probe(client: Client, probe: RunningProbe) -> ProbeResult:
    """Ask for a command that went on; its output is not known any more."""
    try:
        found = client.exec_inspect(probe.exec_id)
    except APIError:  # the container is gone, and the command with it
        return ProbeResult(False, "the command ended with its container")
    if found["Running"]:
        return ProbeResult(False, "no result yet", probe)
    status = found["ExitCode"]
    return ProbeResult(status == 0, f"exit status {status} (output not read)")


def end_probe(client: Client, container_id: str, probe: RunningProbe, clock: Clock) -> None:
    """End a command and its children, as far as the image has a shell to do it with."""
    if probe.pid is None:
        return
    ending = [*_END_GROUP, str(probe.pid)]
    with contextlib.suppress(APIError, ReadTimeoutError, requests.Timeout, TimeoutError):
        exec_id = client.exec_create(container_id, ending)["Id"]
        _run(client, exec_id, _END_TIMEOUT, clock, Tail(_MAX_OUTPUT))


def _run(client: Client, exec_id: str, timeout: float, clock: Clock, kept: Tail) -> int:
    """Start a command that was created and return its exit status. Raises TimeoutError."""
    deadline = clock.monotonic() + timeout
    body = {"Detach": False, "Tty": False}
    with client.open_stream(
        "POST", "/exec/{0}/start", exec_id, timeout=timeout, body=body
    ) as response:
        read_frames(_pieces(response, deadline, clock), kept)
    return _exit_status(client, exec_id, deadline, clock)


def _pieces(response: requests.Response, deadline: float, clock: Clock) -> Iterator[bytes]:
    """Yield the answer as it comes; TimeoutError when a talkative command passes the deadline."""
    while piece := response.raw.read1(_PIECE):
        yield piece
        if clock.monotonic() > deadline:
            raise TimeoutError


def _exit_status(client: Client, exec_id: str, deadline: float, clock: Clock) -> int:
    while True:
        found = client.exec_inspect(exec_id)
        if not found["Running"] and found["ExitCode"] is not None:
            return int(found["ExitCode"])
        if clock.monotonic() > deadline:
            raise TimeoutError
        clock.sleep(_NAP)
