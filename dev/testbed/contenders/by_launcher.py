"""A signed push to the launcher under gunicorn, as a registry sends it."""

import time

from testbed.contenders.contest import PATIENCE, NotServedError, Project, Pushed, Sample, Watch
from testbed.launcher import Launcher, ask, github_push

_SECRET = "a-webhook-secret-for-this-run"  # noqa: S105 - known to this run only
# Seconds between looks at the delivery; they are part of what is measured.
_LOOK = 0.005
_NOISE_WORKLOAD = {
    "image": "ghcr.io/acme/web",
    "track": {"tag": "stable"},
    "compose": {"inline": {"services": {"noise": {}}}, "project": "bench-noise"},
}


def _noise_source(secret: str) -> dict[str, object]:
    return {"kind": "github", "secret": secret, "workloads": ["noise"]}


class ByLauncher:
    """Healthy is what the launcher says of the delivery, seen from outside."""

    name = "launcher"

    def __init__(self, project: Project, noise: str | None = None) -> None:
        """`noise` is the secret of a second source, about a workload that nobody deploys."""
        self.project = project
        image = project.image
        project.write(f"{image}:stable")
        self._launcher = Launcher(
            project.directory,
            {
                "poll": {"every": "off"},
                "sources": {
                    "ghcr": {
                        "kind": "github",
                        "registry": image.partition("/")[0],
                        "secret": _SECRET,
                    },
                    **({"noise": _noise_source(noise)} if noise else {}),
                },
                "workloads": {
                    "web": {
                        "image": image,
                        "track": {"tag": "stable"},
                        "compose": {"file": "compose.yml", "project": project.name},
                    },
                    **({"noise": _NOISE_WORKLOAD} if noise else {}),
                },
            },
        )
        self._noisy = noise is not None

    def start(self) -> None:
        """Start the launcher."""
        self._launcher.start()
        if self._noisy:
            self._launcher.post("/api/v1/workloads/noise/pause")

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._launcher.port

    def bring(self, pushed: Pushed) -> Sample:
        """Post the event; follow the delivery once the port answers."""
        watch = Watch(self.project, pushed.marker)
        start = time.monotonic()
        answer = github_push(
            f"{self._launcher.url}/hooks/ghcr",
            _SECRET.encode(),
            self.project.repository,
            "stable",
            pushed.digest,
            pushed.marker,
        )
        if answer.status != 202:
            raise NotServedError(f"the event was answered {answer.status} {answer.body}")
        # Not before it is served: the looks would slow down what they measure.
        served = watch.seen() - start
        healthy = self._succeeded(answer.body["delivery"]) - start
        return Sample(served, healthy, {"answer": answer.seconds, **self._timings()})

    def stop(self) -> None:
        """End the launcher."""
        self._launcher.stop()

    def _timings(self) -> dict[str, float]:
        timings: dict[str, float] = self._launcher.history("web")[0]["timings"]
        return timings

    def _succeeded(self, delivery: str) -> float:
        """When the delivery's one intent was seen to have succeeded."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = ask("GET", f"{self._launcher.url}/api/v1/deliveries/{delivery}").body
            (intent,) = found["intents"]
            if intent["status"] == "success":
                return time.monotonic()
            if intent["final"]:
                raise NotServedError(f"{intent}\n{self._launcher.log_tail()}")
            time.sleep(_LOOK)
        raise NotServedError(f"no success of {delivery}:\n{self._launcher.log_tail()}")
