#!/usr/bin/env python3
"""Have the Dockerfile's base image in the engine, and build the launcher's image on it.

    python3 dev/base_image.py [--build TAG]

The base is used if the engine has it, pulled if it can be pulled, and else replaced by a stand-in
under its own tag: Debian by debootstrap with Python where the official image has it. The stand-in
carries this machine's settings for reaching its package mirrors (certificates, proxies, pip's
index), so that the Dockerfile itself need not know of any; it is for tests, never to be pushed.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from testbed import packages, programs
from testbed.cache import cache_directory, exclusive, log_file, run_logged, say
from testbed.errors import MachineError
from testbed.sources import mirror_of, read_sources

ROOT = Path(__file__).resolve().parent.parent
INCLUDED = "python3,python3-venv,python3-pip,ca-certificates"
BOOTSTRAP_SECONDS = 900
BUILD_SECONDS = 1200
PULL_SECONDS = 120
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
# What a running system fills by itself, and what a slim image does without.
LEFT_OUT = (
    "./proc/*",
    "./sys/*",
    "./dev/*",
    "./run/*",
    "./tmp/*",
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
    "./var/log/*",
    "./usr/share/doc/*",
    "./usr/share/man/*",
)
# The official image has its Python below /usr/local; scripts may say either name.
FINISH = """
set -eu
cd "$1"
ln -sf /usr/bin/python3 usr/local/bin/python3
ln -sf /usr/bin/python3 usr/local/bin/python
ln -sf /usr/bin/pip3 usr/local/bin/pip
ln -sf /usr/bin/pip3 usr/local/bin/pip3
rm -f usr/lib/python3*/EXTERNALLY-MANAGED
"""


def base_tag(dockerfile: Path = ROOT / "Dockerfile") -> str:
    """Return the base image that the Dockerfile names."""
    match = re.search(r"^ARG BASE=(\S+)$", dockerfile.read_text(), re.MULTILINE)
    if match is None:
        raise MachineError(f"{dockerfile} has no line `ARG BASE=IMAGE`", "restore that line")
    return match[1]


def suite_of(tag: str) -> str:
    """Return the Debian release in a tag such as `python:3.13-slim-trixie`."""
    return tag.partition("@")[0].rpartition("-")[2]


def provide(tag: str) -> str:
    """See that the engine has the base image; return where it came from."""
    if docker("image", "inspect", tag, seconds=30):
        return "already in the engine"
    archive = archive_of(tag)
    if not archive.exists():
        if docker("pull", "--quiet", tag, seconds=PULL_SECONDS):
            return "pulled"
        make_archive(tag, archive)
    environment = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    marks = ["--change", environment, "--change", "LABEL webhook-launcher.stand-in=true"]
    marks += ["--change", 'CMD ["python3"]']
    if not docker("import", *marks, str(archive), tag, seconds=300):
        raise MachineError(f"{archive} could not be imported", "remove that file and repeat")
    return f"stand-in made of {archive}"


def docker(*words: str, seconds: float) -> bool:
    """Run a docker command; whether it succeeded."""
    try:
        done = subprocess.run(
            [programs.docker(), *words], capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def archive_of(tag: str) -> Path:
    """Return the stand-in's place in the cache; other machine settings give another stand-in."""
    content = f"{INCLUDED}\n{FINISH}\n{apt_settings()}\n{pip_settings()}"
    bundle = Path("/") / CERTIFICATES
    digest = hashlib.sha256(content.encode())
    digest.update(bundle.read_bytes() if bundle.exists() else b"")
    name = re.sub(r"[^a-z0-9.-]", "_", tag)
    return cache_directory() / "images" / f"{name}-{digest.hexdigest()[:12]}.tar"


def make_archive(tag: str, archive: Path) -> None:
    """Bootstrap the stand-in's file system and pack it, unless another run just did."""
    if os.geteuid() != 0 or not packages.have_apt():
        raise MachineError(
            f"{tag} can be neither pulled nor replaced by a stand-in",
            f"`docker pull {tag}` where its registry can be reached, or repeat as root on Debian",
        )
    files = packages.unpacked("debootstrap")
    with exclusive(cache_directory() / "images.lock"):
        if archive.exists():
            return
        archive.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="base-") as scratch:
            target = Path(scratch) / "root"
            bootstrap(suite_of(tag), target, files)
            dress(target)
            pack(target, Path(scratch) / "base.tar")
            (Path(scratch) / "base.tar").replace(archive)


def bootstrap(suite: str, target: Path, files: Path) -> None:
    """Install a minimal Debian with Python in `target`, from this machine's own mirror."""
    mirror = mirror_of(read_sources(), packages.codename())
    if mirror is None:
        raise MachineError("apt's sources name no mirror of this distribution", "add one")
    log = log_file("debootstrap")
    say(f"making a stand-in for the base image, about a minute (log: {log})")
    # In mount and process spaces of its own, nothing can stay mounted or running in the target.
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    argv += [str(files / "usr" / "sbin" / "debootstrap"), "--variant=minbase"]
    argv += [f"--include={INCLUDED}", f"--keyring={packages.DEBIAN_KEYRING}"]
    argv += [suite, str(target), mirror.uri]
    env = os.environ | {"DEBOOTSTRAP_DIR": str(files / "usr" / "share" / "debootstrap")}
    env |= {"PATH": programs.search_path(), "LC_ALL": "C.UTF-8"}
    if not run_logged(argv, log, seconds=BOOTSTRAP_SECONDS, env=env):
        raise MachineError("debootstrap failed", f"read {log}, then repeat")


def dress(target: Path) -> None:
    """Give the file system the official image's paths and this machine's ways to its mirrors."""
    subprocess.run(["sh", "-c", FINISH, "sh", target], check=True, timeout=60)
    bundle = Path("/") / CERTIFICATES
    if bundle.exists():
        shutil.copy(bundle, target / CERTIFICATES)
    (target / "etc" / "apt" / "apt.conf.d" / "90machine").write_text(apt_settings())
    (target / "etc" / "pip.conf").write_text(pip_settings())


def apt_settings() -> str:
    """Return how this machine's apt gets out: proxies and certificates."""
    dumped = subprocess.run(
        ["apt-config", "dump"], capture_output=True, text=True, timeout=30, check=False
    ).stdout
    wanted = re.compile(r"Acquire::https?::(Proxy|CaInfo|Verify)", re.IGNORECASE)
    return "".join(f"{line}\n" for line in dumped.splitlines() if wanted.match(line))


def pip_settings() -> str:
    """Return how this machine's pip gets out, without anything that lies on its disk."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    lines = ["[global]", f"cert = /{CERTIFICATES}"]
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        option = key.rpartition(".")[2]
        if option in {"index-url", "proxy", "trusted-host", "timeout", "default-timeout"}:
            lines.append(f"{option.removeprefix('default-')} = {value.strip(chr(39))}")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def pack(target: Path, archive: Path) -> None:
    """Write the file system as one archive."""
    left_out = [f"--exclude={pattern}" for pattern in LEFT_OUT]
    argv = ["tar", "--create", "--numeric-owner", f"--file={archive}", *left_out]
    subprocess.run([*argv, f"--directory={target}", "."], check=True, timeout=300)


def build(tag: str) -> None:
    """Build the launcher's image, with whichever builder the docker command has."""
    log = log_file("image-build")
    # The build's commands reach the mirrors as this machine does, not through the engine's bridge.
    argv = [str(programs.docker()), "build", "--network", "host", "--tag", tag, str(ROOT)]
    modern = docker("buildx", "version", seconds=30)
    env = os.environ | {"DOCKER_BUILDKIT": "1" if modern else "0"}
    if not run_logged(argv, log, seconds=BUILD_SECONDS, env=env):
        raise MachineError(f"{tag} could not be built", f"read {log}")


def main(argv: Sequence[str] | None = None) -> int:
    """Provide the base and, if asked, build on it; 0, or 69 when it cannot be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", metavar="TAG", help="build the launcher's image under TAG")
    arguments = parser.parse_args(argv)
    try:
        began = time.monotonic()
        origin = provide(base_tag())
        say(f"{base_tag()}: {origin} ({time.monotonic() - began:.1f} s)")
        if arguments.build:
            began = time.monotonic()
            build(arguments.build)
            say(f"built {arguments.build} ({time.monotonic() - began:.1f} s)")
    except MachineError as error:
        say(f"{error}; {error.advice}")
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main())
