"""Compose's own gate: `docker compose pull`, then `up -d --wait`."""

import time

from testbed.contenders.contest import Project, Pushed, Sample, Watch, run_docker


class ByCompose:
    """Healthy is when `--wait` returns."""

    name = "compose --wait"

    def __init__(self, project: Project) -> None:
        self.project = project
        project.write(f"{project.image}:stable")

    def start(self) -> None:
        """Nothing to start."""

    def bring(self, pushed: Pushed) -> Sample:
        """What an operator types."""
        watch = Watch(self.project, pushed.marker)
        compose = ("compose", "-p", self.project.name)
        start = time.monotonic()
        run_docker(self.project, *compose, "pull", "--quiet")
        pulled = time.monotonic()
        run_docker(self.project, *compose, "up", "-d", "--wait")
        healthy = time.monotonic()
        steps = {"pull": pulled - start, "up": healthy - pulled}
        return Sample(watch.seen() - start, healthy - start, steps)

    def stop(self) -> None:
        """Nothing to end."""
