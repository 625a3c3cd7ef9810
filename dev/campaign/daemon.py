"""An engine of the campaign's own, with its own roots, to be killed, stopped and started again."""

import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from testbed import engine
from testbed.errors import MachineError
from testbed.record import end_program, new_record
from testbed.releases import EngineRelease

_START_SECONDS = 60.0


class Daemon:
    """A running dockerd; `environment` is that of its clients.

    With `size` (as tmpfs has it, `120m`) its images and containers are on a disk of that size.
    `release` is another than the machine's own.
    """

    def __init__(self, size: str | None = None, release: EngineRelease | None = None) -> None:
        self.record = new_record()
        self.data = self.record.directory / "data"
        if size is not None:
            self.data.mkdir()
            _mount(size, self.data)
        self._started: subprocess.Popen[bytes] | None = None  # by `start`
        with warnings.catch_warnings():
            # It is known by its process id, as the machine's own engine is, and reaped by that.
            warnings.simplefilter("ignore", ResourceWarning)
            host = engine.start(self.record, release)
        self.environment: Mapping[str, str] = {**os.environ, "DOCKER_HOST": host}
        command = Path(f"/proc/{self._pid}/cmdline").read_bytes()
        self._argv = [os.fsdecode(word) for word in command.split(b"\0")[:-1]]

    @property
    def _pid(self) -> int:
        return self.record.programs["engine"][0]

    @property
    def _socket(self) -> Path:
        return engine.socket_of(self.record)

    @property
    def _hidden(self) -> Path:
        return self._socket.with_suffix(".hidden")

    def kill(self) -> None:
        """SIGKILL: what it had begun stays as it is."""
        os.kill(self._pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """SIGTERM: it stops every container first."""
        end_program(*self.record.programs["engine"], 60)
        self._reap()

    def ask_to_stop(self) -> None:
        """SIGTERM, and do not wait."""
        os.kill(self._pid, signal.SIGTERM)

    def hide(self) -> None:
        """Its socket is gone, while it and everybody who is connected go on."""
        self._socket.rename(self._hidden)

    def show(self) -> None:
        """The socket is back."""
        self._hidden.rename(self._socket)

    def docker(self, *arguments: str) -> str:
        """What an operator would type."""
        ran = subprocess.run(
            ["docker", *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return ran.stdout.strip()

    def start(self) -> None:
        """Start it again on the same roots, and wait until it answers."""
        with (self.record.directory / "dockerd.log").open("ab") as log:
            started = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started = started
        self.record.add_program("engine", started)
        deadline = time.monotonic() + _START_SECONDS
        while not engine.answers(self._socket):
            if time.monotonic() > deadline or started.poll() is not None:
                raise MachineError("dockerd does not come back", f"read {self.record.directory}")
            time.sleep(0.1)

    def close(self) -> None:
        """End it and everything in it."""
        engine.stop(self.record)
        self._reap()
        shutil.rmtree(self.record.directory, ignore_errors=True)

    def _reap(self) -> None:
        if self._started is not None:
            self._started.wait(30)
            self._started = None
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _mount(size: str, where: Path) -> None:
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)],
        check=True,
        capture_output=True,
        timeout=30,
    )
