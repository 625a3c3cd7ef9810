"""The two servers that `make bench-receive` compares, and the deliveries sent to them."""

import hashlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from testbed.launcher import Launcher, fetch
from testbed.load import Request
from testbed.ports import free_port

_READY_SECONDS = 30.0
_ENDLESS = 1_000_000_000  # it is the speed that is measured, not the limits
_DIGEST = "sha256:" + "1" * 64
# The URL templates that GitHub repeats in the `repository` of every event.
_URLS = [
    "archive",
    "assignees",
    "blobs",
    "branches",
    "collaborators",
    "comments",
    "commits",
    "compare",
    "contents",
    "contributors",
    "deployments",
    "downloads",
    "events",
    "forks",
    "git_commits",
    "git_refs",
    "git_tags",
    "hooks",
    "issue_comment",
    "issue_events",
    "issues",
    "keys",
    "labels",
    "languages",
    "merges",
    "milestones",
    "notifications",
    "pulls",
    "releases",
    "stargazers",
    "statuses",
    "subscribers",
    "subscription",
    "tags",
    "teams",
    "trees",
]


class Receiver:
    """The launcher under gunicorn, its workload paused: it hears, journals and looks, no more.

    No engine is there, and none is asked.
    """

    name = "launcher"

    def __init__(self, directory: Path) -> None:
        self._secret = secrets.token_hex(32)
        self._state = directory / "state"
        os.environ["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
        (directory / "compose.yml").write_text(
            "services:\n  web:\n    image: ghcr.io/acme/web:stable\n"
        )
        self._launcher = Launcher(
            directory,
            {
                "poll": {"every": "off"},
                "limits": {"deliveries": _ENDLESS, "refused": _ENDLESS},
                "sources": {"ghcr": {"kind": "github", "secret": self._secret}},
                "workloads": {
                    "web": {
                        "image": "ghcr.io/acme/web",
                        "track": {"tag": "stable"},
                        "compose": {"file": "compose.yml", "project": "bench-receive"},
                    }
                },
            },
        )
        self.port = self._launcher.port
        self.config = self._launcher.config

    def start(self) -> None:
        """Serve. RuntimeError with the end of the log when it does not."""
        self._launcher.start(until="/healthz")
        self._launcher.post("/api/v1/workloads/web/pause")

    def stop(self) -> None:
        """End it."""
        self._launcher.kill()

    def request(self, *, forged: bool = False) -> Request:
        """A delivery that it accepts, or one that somebody made up."""
        return _push(self.port, "a guess" if forged else self._secret)

    def journal_files(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of every file of the journal."""
        found = {path.name: path.stat() for path in self._state.glob("journal.sqlite3*")}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}

    def memory(self) -> float:
        """MiB of the worker process: its proportional share."""
        return _memory(worker_of(self._launcher.pid))

    def cpu(self) -> float:
        """Seconds of CPU that the worker process has taken."""
        return _cpu(worker_of(self._launcher.pid))


class Flooded:
    """The launcher with 50 paused workloads and two sources: `flood`, and `honest` for one."""

    _WORKLOADS = 50

    def __init__(self, directory: Path) -> None:
        self._secret = secrets.token_hex(32)
        self._state = directory / "state"
        os.environ["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
        workload = {
            "track": {"tag": "stable"},
            "compose": {"inline": {"services": {"web": {}}}},
        }
        names = [f"web{number}" for number in range(self._WORKLOADS)]
        source = {"kind": "github", "secret": self._secret}
        self._launcher = Launcher(
            directory,
            {
                "poll": {"every": "off"},
                "sources": {"flood": {**source, "workloads": names[1:]}, "honest": source},
                "workloads": {
                    name: {**workload, "image": f"ghcr.io/acme/{name}"} for name in names
                },
            },
        )
        self.port = self._launcher.port

    def start(self) -> None:
        """Serve. RuntimeError with the end of the log when it does not."""
        self._launcher.start(until="/healthz")
        for number in range(self._WORKLOADS):
            self._launcher.post(f"/api/v1/workloads/web{number}/pause")

    def stop(self) -> None:
        """End it."""
        self._launcher.kill()

    def head(self, line: str) -> bytes:
        """The head of a request to `flood`."""
        return f"POST /hooks/flood HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode()

    def honest(self) -> Request:
        """A delivery that must be accepted."""
        return self._of("honest", [push_body("web0")], forged=False)

    def request(self, *, forged: bool = False, size: int = 0) -> Request:
        """Deliveries of the flood, for each of the workloads in turn; padded to a size."""
        names = [f"web{number}" for number in range(1, self._WORKLOADS)]
        bodies = [push_body(name) for name in (names[:1] if size else names)]
        return self._of("flood", [body.ljust(size) for body in bodies], forged=forged)

    def memory(self) -> float:
        """MiB of the worker process: its proportional share."""
        return _memory(worker_of(self._launcher.pid))

    def journal_size(self) -> int:
        """Bytes of the journal's files."""
        return sum(path.stat().st_size for path in self._state.glob("journal.sqlite3*"))

    def waiting(self) -> int:
        """How many intents wait."""
        found = self._launcher.get("/api/v1/workloads").body["workloads"]
        return sum(len(one["pending"]) for one in found)

    def _of(self, source: str, bodies: list[bytes], *, forged: bool) -> Request:
        secret = "a guess" if forged else self._secret
        first, *others = [_push(self.port, secret, source, body) for body in bodies]
        return replace(first, others=tuple(others))


class Bare:
    """The view that only computes the HMAC (testbed/bare.py)."""

    name = "bare view"

    def __init__(self, beside: Receiver) -> None:
        self._secret = secrets.token_hex(32)
        self._config = beside.config
        self._log = beside.config.with_name("bare.log")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def pid(self) -> int:
        """Of gunicorn's master."""
        if self._process is None:
            raise RuntimeError("it was not started")
        return self._process.pid

    def start(self) -> None:
        """Serve."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--config", "python:testbed.bare"],
                cwd=Path(__file__).parents[2],
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(__file__).parents[1]),
                    "LAUNCHER_CONFIG": str(self._config),
                    "BARE_SECRET": self._secret,
                    "BARE_PORT": str(self.port),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_SECONDS
        while fetch(f"http://127.0.0.1:{self.port}/healthz") is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the bare view did not start:\n{self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def cpu(self) -> float:
        """Seconds of CPU that the worker process has taken."""
        return _cpu(worker_of(self.pid))

    def request(self, *, forged: bool = False) -> Request:
        """The same delivery for this server."""
        return _push(self.port, "a guess" if forged else self._secret)


def worker_of(master: int) -> str:
    """The process id of gunicorn's worker."""
    return Path(f"/proc/{master}/task/{master}/children").read_text().split()[0]


def _memory(process: str) -> float:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    sizes = dict(line.split(":") for line in lines[1:])
    return int(sizes["Pss"].split()[0]) / 1024


def _cpu(process: str) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _push(port: int, secret: str, source: str = "ghcr", body: bytes | None = None) -> Request:
    body = push_body() if body is None else body
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Request(
        port,
        f"/hooks/{source}",
        (
            ("User-Agent", "GitHub-Hookshot/0a1b2c3"),
            ("Accept", "*/*"),
            ("Content-Type", "application/json"),
            ("X-GitHub-Event", "package"),
            ("X-GitHub-Hook-ID", "1001"),
            ("X-GitHub-Hook-Installation-Target-ID", "42"),
            ("X-GitHub-Hook-Installation-Target-Type", "repository"),
            ("X-Hub-Signature-256", f"sha256={signature}"),
        ),
        body,
    )


def noise(port: int, secret: str) -> Request:
    """A delivery to the source `noise` of a launcher, which is a github one."""
    return _push(port, secret, "noise")


def push_body(image: str = "web") -> bytes:
    """A `package` event about an image of `ghcr.io/acme`, as long as GitHub's are: 6 to 8 KB."""
    owner = {
        "login": "acme",
        "id": 7,
        "type": "Organization",
        "site_admin": False,
        **{f"{name}_url": f"https://api.github.com/users/acme/{name}" for name in _URLS[:12]},
    }
    repository = {
        "id": 42,
        "name": "web",
        "full_name": "acme/web",
        "private": False,
        "owner": owner,
        **{f"{name}_url": f"https://api.github.com/repos/acme/web/{name}" for name in _URLS},
    }
    version = {
        "id": 43,
        "version": _DIGEST,
        "name": _DIGEST,
        "target_oid": "5b1e2c8f6d7a9b0c1d2e3f405162738495a6b7c8",
        "container_metadata": {
            "tag": {"name": "stable", "digest": _DIGEST},
            "labels": {"all_labels": {f"org.opencontainers.image.{n}": "x" * 60 for n in "abcd"}},
            "manifest": {
                "digest": _DIGEST,
                "media_type": "application/vnd.oci.image.index.v1+json",
                "size": 856,
                "config": {"digest": "", "media_type": "", "size": 0},
                "layers": [],
            },
        },
        "package_url": f"ghcr.io/acme/{image}:stable",
    }
    package = {
        "id": 42,
        "name": image,
        "namespace": "acme",
        "ecosystem": "CONTAINER",
        "package_type": "CONTAINER",
        "owner": owner,
        "package_version": version,
        "registry": {"type": "CONTAINER", "vendor": "GitHub Inc"},
    }
    event = {"action": "published", "package": package, "repository": repository, "sender": owner}
    return json.dumps(event).encode()
