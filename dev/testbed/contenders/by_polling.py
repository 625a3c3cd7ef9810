"""The seed's loop, as it was: look, write the compose file, `docker compose up -d`, sleep 5 s.

A look takes 2 s, and here it sees what is there at its end: the kindest reading. A push meets the
loop anywhere in its cycle of 7 s; each push of a run meets it in another part, at random in it.
"""

import os
import random
import signal
import subprocess
import time

from testbed.contenders.contest import Project, Pushed, Sample, Watch

_PAUSE = 5.0
_LOOK = 2.0
_LOOP = """
pause=$1 look=$2
while :; do
    sleep "$pause"
    sleep "$look"
    cat published > latest
    if ! cmp -s latest applied; then
        cp latest applied
        cat > compose.yml <<EOF
services:
  $SERVICE:
    image: $(cat latest)
    init: true
    ports: ["127.0.0.1:$PORT:8080"]
    restart: unless-stopped
EOF
        docker compose -p "$PROJECT" up -d --remove-orphans
    fi
    pause=$PAUSE look=$LOOK
done
"""


class ByPolling:
    """Never asks for health, so there is none to measure."""

    name = "polling loop"

    def __init__(self, project: Project, rounds: int) -> None:
        self.project = project
        parts = list(range(rounds))
        random.shuffle(parts)
        cycle = _PAUSE + _LOOK
        # The first push, which is not measured, is met at once.
        self._left = [0.0, *((part + random.random()) / rounds * cycle for part in parts)]  # noqa: S311 - no secret

    def start(self) -> None:
        """Nothing: the loop runs from its place in the cycle at the push until it has served."""

    def bring(self, pushed: Pushed) -> Sample:
        """Publish, and let the loop come to it."""
        (self.project.directory / "published").write_text(f"{pushed.reference}\n")
        left = self._left.pop(0)
        watch = Watch(self.project, pushed.marker)
        start = time.monotonic()
        loop = self._run(left)
        try:
            served = watch.seen() - start
        finally:
            # Its `up` may not have ended yet; the next turn must not find it interrupted.
            time.sleep(1)
            os.killpg(loop.pid, signal.SIGKILL)
            loop.wait()
        return Sample(served, steps={"until seen": left})

    def stop(self) -> None:
        """Nothing is left."""

    def _run(self, left: float) -> "subprocess.Popen[bytes]":
        pause, look = max(0.0, left - _LOOK), min(left, _LOOK)
        env = os.environ | {"SERVICE": "web", "PORT": str(self.project.port)}
        env |= {"PROJECT": self.project.name, "PAUSE": str(_PAUSE), "LOOK": str(_LOOK)}
        with (self.project.directory / "loop.log").open("ab") as log:
            return subprocess.Popen(
                ["sh", "-c", _LOOP, "loop", f"{pause:.3f}", f"{look:.3f}"],
                cwd=self.project.directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
