"""The main job, live: `make demo`.

A launcher under gunicorn, a sample workload and a loopback registry. Then: a signed push is
answered and redeployed, a broken image is rolled back, a tag moves without any webhook and the
poll finds it. Each step is printed with its times; the exit status is non-zero if one did not
happen. With KEEP=1 everything is left running to play with.
"""

import os
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from testbed.images import Behaviour, Recipe, TestRegistry
from testbed.launcher import Launcher, fetch, github_push
from testbed.ports import free_port

REPOSITORY = "acme/web"
SECRET = "a-webhook-secret-for-this-demo"  # noqa: S105 - known to this run only


class StepFailedError(Exception):
    """A step of the demonstration did not happen."""


class Stage:
    """Everything the steps share."""

    def __init__(self) -> None:
        self.registry = TestRegistry(
            os.environ["LAUNCHER_TEST_REGISTRY"], Path(os.environ["LAUNCHER_TEST_BUSYBOX"])
        )
        self.directory = Path(mkdtemp(prefix="webhook-launcher-demo-"))
        self.site = f"http://127.0.0.1:{free_port()}/"
        self.launcher = Launcher(self.directory, self._configuration())
        self.private_key = self.directory / "ci.key"

    @property
    def image(self) -> str:
        """The workload's repository."""
        return f"{self.registry.host}/{REPOSITORY}"

    def _configuration(self) -> dict[str, Any]:
        (self.directory / "compose.yml").write_text(
            f"services:\n  web:\n    image: {self.image}:stable\n    init: true\n"
            f'    ports: ["{self.site[7:-1]}:8080"]\n    restart: unless-stopped\n'
        )
        keys = subprocess.run(
            [sys.executable, "-m", "webhook_launcher", "keygen"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        pair = dict(line.split(": ") for line in keys.splitlines())
        (self.directory / "ci.key").write_text(pair["private_key"])
        (self.directory / "ci.key").chmod(0o600)
        return {
            "poll": {"every": "2s"},
            "sources": {
                "ghcr": {"kind": "github", "registry": self.registry.host, "secret": SECRET},
                "ci": {"kind": "deploy", "keys": [{"id": "ci", "public_key": pair["public_key"]}]},
            },
            "workloads": {
                "web": {
                    "image": self.image,
                    "track": {"tag": "stable"},
                    "compose": {"file": "compose.yml", "project": f"demo-{os.getpid()}"},
                }
            },
        }

    def serves(self) -> str | None:
        """What the workload answers to its users now."""
        return fetch(self.site)

    def wait_for(self, marker: str, seconds: float = 60) -> None:
        """Wait until the workload serves a marker and the launcher has committed that."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            quiet = not self.launcher.workload("web")["pending"]
            if self.serves() == marker and quiet:
                return
            time.sleep(0.05)
        raise StepFailedError(
            f"{marker!r} is not served after {seconds:g} s:\n{self.launcher.log_tail()}"
        )


def first_deployment(stage: Stage) -> str:
    """The launcher starts, looks at its workload and deploys what the tag says."""
    stage.registry.push(REPOSITORY, "stable", Recipe("one"))
    stage.launcher.start()
    stage.wait_for("one")
    return f"serves {stage.serves()!r}"


def signed_push(stage: Stage) -> str:
    """A push, signed as GitHub signs it."""
    digest = stage.registry.push(REPOSITORY, "stable", Recipe("two")).digest
    start = time.monotonic()
    answer = github_push(
        f"{stage.launcher.url}/hooks/ghcr", SECRET.encode(), REPOSITORY, "stable", digest, "demo-2"
    )
    _expect(answer.status == 202, f"the webhook was answered {answer.status} {answer.body}")
    (intent,) = stage.launcher.outcome(answer.body["delivery"])
    healthy = time.monotonic() - start
    _expect(intent["status"] == "success", f"the deployment ended {intent}")
    _expect(stage.serves() == "two", f"{stage.serves()!r} is served")
    _expect(_running_digest(stage) == digest, "another digest runs")
    return (
        f"answered {answer.status} in {answer.seconds * 1000:.0f} ms, "
        f"healthy and proved {healthy:.2f} s after the push; runs {digest[:19]}"
    )


def forged_push(stage: Stage) -> str:
    """The same push with a wrong secret."""
    answer = github_push(
        f"{stage.launcher.url}/hooks/ghcr", b"guess", REPOSITORY, "stable", "sha256:0", "demo-x"
    )
    _expect(answer.status == 401, f"the forged webhook was answered {answer.status}")
    return f"answered {answer.status} in {answer.seconds * 1000:.0f} ms, nothing changed"


def broken_image(stage: Stage) -> str:
    """An image that never becomes healthy; CI sends a signed deploy event and waits."""
    digest = stage.registry.push(
        REPOSITORY, "broken", Recipe("broken", Behaviour.NEVER_HEALTHY, interval=0.5)
    ).digest
    start = time.monotonic()
    sent = subprocess.run(
        [
            *(sys.executable, "-m", "webhook_launcher", "send", "--wait"),
            *("--url", f"{stage.launcher.url}/hooks/ci", "--key-file", str(stage.private_key)),
            *("--workload", "web", "--reference", f"{stage.image}:broken@{digest}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    _expect(sent.returncode == 1, f"`send --wait` exited {sent.returncode}: {sent.stderr}")
    _expect(stage.serves() == "two", f"{stage.serves()!r} is served")
    return (
        f"`send --wait` exited 1 after {time.monotonic() - start:.1f} s; {stage.serves()!r} is "
        f"back; the digest is in quarantine\n      {sent.stdout.strip()}"
    )


def silent_tag(stage: Stage) -> str:
    """The tag moves and nobody says so."""
    stage.registry.push(REPOSITORY, "stable", Recipe("three"))
    start = time.monotonic()
    stage.wait_for("three")
    return f"the poll (every 2 s) found it: served {time.monotonic() - start:.1f} s after the push"


def removed_by_hand(stage: Stage) -> str:
    """Somebody removes the container."""
    project = stage.launcher.workload("web")
    found = subprocess.run(
        ["docker", "ps", "-q", "--filter", f"label=com.docker.compose.project=demo-{os.getpid()}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    _expect(len(found) == 1, f"one container was expected, not {found}; {project}")
    subprocess.run(["docker", "rm", "-f", found[0]], capture_output=True, check=True)
    start = time.monotonic()
    stage.wait_for("three")
    return f"restored {time.monotonic() - start:.1f} s later"


STEPS: tuple[Callable[[Stage], str], ...] = (
    first_deployment,
    signed_push,
    forged_push,
    broken_image,
    silent_tag,
    removed_by_hand,
)


def main() -> int:
    """Run the steps; 0 when all happened."""
    keep = "--keep" in sys.argv[1:]
    stage = Stage()
    try:
        for number, step in enumerate(STEPS, 1):
            print(f"[{number}/{len(STEPS)}] {(step.__doc__ or '').strip()}", flush=True)
            start = time.monotonic()
            said = step(stage)
            print(f"      {said}  ({time.monotonic() - start:.1f} s)", flush=True)
    except (StepFailedError, RuntimeError, TimeoutError, urllib.error.URLError) as error:
        print(f"      did not happen: {error}", file=sys.stderr)
        keep = False
        return 1
    finally:
        if keep:
            _invite(stage)
        else:
            _tidy(stage)
    print("Everything happened.")
    return 0


def _expect(happened: bool, otherwise: str) -> None:
    if not happened:
        raise StepFailedError(otherwise)


def _running_digest(stage: Stage) -> str:
    return str(stage.launcher.workload("web")["current"]["digest"])


def _invite(stage: Stage) -> None:
    launcher = stage.launcher
    print(
        f"""
Left running:
  the workload   curl {stage.site}
  the launcher   {launcher.url}/readyz   (log: {launcher.log})
  ask it         {" ".join(launcher.command("status"))}
                 {" ".join(launcher.command("history"))}
  end it         kill {launcher.pid}
"""
    )


def _tidy(stage: Stage) -> None:
    stage.launcher.stop()
    project = f"label=com.docker.compose.project=demo-{os.getpid()}"
    for kind, listing, removing in (
        ("container", ["docker", "ps", "-aq"], ["docker", "rm", "-f"]),
        ("network", ["docker", "network", "ls", "-q"], ["docker", "network", "rm"]),
    ):
        found = subprocess.run(
            [*listing, "--filter", project], capture_output=True, text=True, check=False
        ).stdout.split()
        if found:
            subprocess.run([*removing, *found], capture_output=True, check=False)
        del kind


if __name__ == "__main__":
    sys.exit(main())
