"""The programs a test machine needs, each found where it is or taken from a package."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from testbed import packages
from testbed.errors import MachineError

COMPOSE_PLUGIN = Path("usr/libexec/docker/cli-plugins/docker-compose")
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def search_path() -> str:
    """Return PATH with the system directories that a plain user's PATH leaves out."""
    return f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"


def on_path(name: str) -> Path | None:
    """Return where a program is, system directories included."""
    found = shutil.which(name, path=search_path())
    return Path(found) if found else None


def install_engine() -> None:
    """Install what starting an engine takes and this machine has not."""
    if os.geteuid() != 0:
        raise MachineError(
            "no Docker Engine answers, and only root can start one",
            "start Docker (set DOCKER_HOST if its socket is not the default one), or repeat as "
            "root on Debian or Ubuntu",
        )
    needed = {"dockerd": "docker.io", "iptables": "iptables", "ip": "iproute2"}
    missing = [package for program, package in needed.items() if on_path(program) is None]
    if not missing:
        return
    if not packages.have_apt():
        raise MachineError(
            f"no Docker Engine answers and {', '.join(missing)} cannot be installed without apt",
            "install and start Docker Engine with compose v2, then repeat",
        )
    packages.install(missing)


def docker() -> Path:
    """Return the docker command."""
    found = on_path("docker")
    if found is not None:
        return found
    name = "docker-cli" if packages.candidate("docker-cli") else "docker.io"
    return packages.unpacked(name) / "usr" / "bin" / "docker"


def compose_works(docker_command: Path | None) -> bool:
    """Whether `docker compose` is there and is version 2 or later."""
    if docker_command is None:
        return False
    asked = subprocess.run(
        [docker_command, "compose", "version", "--short"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return asked.returncode == 0 and major_version(asked.stdout) >= 2


def major_version(text: str) -> int:
    """Return the first number of a version (`2.26.1-4`, `v5.0`, `1:2.3`); 0 when there is none."""
    match = re.match(r"\s*(?:\d+:)?v?(\d+)", text)
    return int(match[1]) if match else 0


def compose_plugin() -> Path:
    """Return a compose v2 plugin from the cache, unpacked there at most once."""
    for name in ("docker-compose-v2", "docker-compose"):
        for suite in (None, packages.NEWER_SUITE):
            if (packages.cached(name, suite) / COMPOSE_PLUGIN).exists():
                return packages.cached(name, suite) / COMPOSE_PLUGIN
    if not packages.have_apt():
        raise MachineError("there is no docker compose", "install the compose v2 plugin")
    for name in ("docker-compose-v2", "docker-compose"):
        if major_version(packages.candidate(name) or "") >= 2:
            return plugin_in(packages.unpacked(name))
    if packages.release_fields().get("ID") != "debian":
        raise MachineError(
            "this distribution's packages have no compose v2",
            "install the compose v2 plugin by hand, then repeat",
        )
    return plugin_in(packages.unpacked("docker-compose", packages.NEWER_SUITE))


def plugin_in(unpacked: Path) -> Path:
    """Return the compose plugin of an unpacked package."""
    return _present(unpacked / COMPOSE_PLUGIN)


def cosign(major: int) -> Path | None:
    """Return cosign 2 or 3, or None where neither PATH nor a package has it."""
    found = on_path("cosign")
    if found is not None and _cosign_version(found) == major:
        return found
    suite = {2: packages.NEWER_SUITE, 3: packages.NEWEST_SUITE}[major]
    inside = Path("usr/bin/cosign")
    if (packages.cached("cosign", suite) / inside).exists():
        return packages.cached("cosign", suite) / inside
    if not packages.have_apt() or packages.release_fields().get("ID") != "debian":
        return None
    return _present(packages.unpacked("cosign", suite) / inside)


def _cosign_version(program: Path) -> int:
    asked = subprocess.run(
        [program, "version", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    match = re.search(r'"gitVersion":\s*"([^"]*)"', asked.stdout)
    return major_version(match[1]) if match else 0


def registry() -> Path | None:
    """Return the registry's program, or None where only a container can provide it."""
    found = on_path("docker-registry")
    if found is not None:
        return found
    inside = Path("usr/bin/docker-registry")
    if (packages.cached("docker-registry") / inside).exists():
        return packages.cached("docker-registry") / inside
    if not packages.have_apt():
        return None
    # Unpacked, not installed: installing it would make a user and a service.
    return _present(packages.unpacked("docker-registry") / inside)


def busybox() -> Path:
    """Return a static busybox: test images are built from scratch around it."""
    for path in (on_path("busybox"), packages.cached("busybox-static") / "bin" / "busybox"):
        if path is not None and is_static(path):
            return path
    if not packages.have_apt():
        raise MachineError(
            "there is no static busybox to build test images from",
            "put a statically linked busybox on PATH, then repeat",
        )
    files = packages.unpacked("busybox-static")
    # Newer Debian has no /bin apart from /usr/bin.
    places = [files / "bin" / "busybox", files / "usr" / "bin" / "busybox"]
    return _present(next((place for place in places if place.exists()), places[0]))


def is_static(path: Path) -> bool:
    """Whether a program asks for no loader, so that it runs in an empty image."""
    if not path.exists():
        return False
    start = path.read_bytes()[:4096]
    return start.startswith(b"\x7fELF") and b"/ld-linux" not in start and b"/ld-musl" not in start


def _present(path: Path) -> Path:
    if not path.exists():
        raise MachineError(
            f"the unpacked package has no {path.name} at {path}",
            f"remove {packages.cached('')} and repeat",
        )
    return path
