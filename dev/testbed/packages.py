"""Debian packages: installed where there is no other way, else unpacked into the cache.

Unpacking touches nothing on the machine and needs no root: the compose plugin, the registry, the
static busybox and engines of other releases come that way. Only the machine's own engine has to be
installed.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed.cache import cache_directory, exclusive, log_file, run_logged, say
from testbed.errors import MachineError
from testbed.sources import mirror_of, read_sources

# Debian 12 has compose 1 only and no cosign; the static binaries of Debian 13's packages run there
# as well. cosign 3 is in no release yet.
NEWER_SUITE = "trixie"
NEWEST_SUITE = "sid"
NETWORK_OPTIONS = ("-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30")
INSTALL_SECONDS = 900
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
POLICY = Path("/usr/sbin/policy-rc.d")


def have_apt() -> bool:
    """Whether this is a machine whose packages we know."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def install(names: Sequence[str]) -> None:
    """Install packages from the machine's own sources, without starting any service."""
    log = log_file("apt-install")
    say(f"installing {' '.join(names)} (log: {log})")
    command = ["apt-get", *NETWORK_OPTIONS, "-o", "DPkg::Lock::Timeout=600", "--yes", "--quiet"]
    command += ["--no-install-recommends", "install", *names]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with exclusive(cache_directory() / "lock"), _no_service_starts():
        if all(candidate(name) for name in names) and run_logged(
            command, log, seconds=INSTALL_SECONDS, env=env
        ):
            return
        # No lists yet, or lists older than the mirror.
        refresh(log)
        if not run_logged(command, log, seconds=INSTALL_SECONDS, env=env):
            raise MachineError(
                f"apt-get could not install {' '.join(names)}",
                f"read {log}; where the mirror is out of reach, install an engine by hand",
            )


def refresh(log: Path, options: Sequence[str] = ()) -> None:
    """Run `apt-get update`; where another apt holds the lists, it ends soon."""
    command = ["apt-get", *NETWORK_OPTIONS, *options, "update"]
    for _ in range(20):
        if run_logged(command, log, seconds=300, env=os.environ | {"LC_ALL": "C"}):
            return
        if "Could not get lock" not in log.read_text(errors="replace"):
            break
        time.sleep(3)
    say(f"apt-get update did not succeed (log: {log}); going on with what is there")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Answer "no" to maintainer scripts that ask whether they may start a service."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def candidate(name: str, options: Sequence[str] = ()) -> str | None:
    """Return the version apt would take, or None where the package is unknown."""
    answer = subprocess.run(
        ["apt-cache", *options, "policy", name],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"LC_ALL": "C"},
        check=False,
    ).stdout
    for line in answer.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "Candidate" and value != "(none)":
            return value
    return None


def unpacked(name: str, suite: str | None = None) -> Path:
    """Return the directory in the cache with the package's files, downloaded at most once.

    `suite` is a Debian release other than the machine's own.
    """
    target = cached(name, suite)
    if target.is_dir():
        return target
    with exclusive(cache_directory() / "lock"):
        if not target.is_dir():
            _download(name, target, suite_options(suite) if suite else [])
    return target


def cached(name: str, suite: str | None = None) -> Path:
    """Return where the package's files are once it has been unpacked."""
    return cache_directory() / "unpacked" / (f"{name}@{suite}" if suite else name)


def _download(name: str, target: Path, options: Sequence[str]) -> None:
    log = log_file(f"unpack-{name}")
    say(f"downloading {name} into the cache (log: {log})")
    if candidate(name, options) is None:
        refresh(log, options)
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="unpack-") as scratch:
        files = Path(scratch) / "files"
        archive = _fetched(name, Path(scratch), options, log)
        if archive is None:  # lists older than the mirror
            refresh(log, options)
            archive = _fetched(name, Path(scratch), options, log)
        if archive is None:
            raise MachineError(f"apt-get could not download {name}", f"read {log}, then repeat")
        if not run_logged(["dpkg-deb", "-x", str(archive), str(files)], log, seconds=120):
            raise MachineError(f"dpkg-deb could not unpack {name}", f"read {log}, then repeat")
        # The rename comes last: a directory under this name is a finished one.
        files.rename(target)


def _fetched(name: str, scratch: Path, options: Sequence[str], log: Path) -> Path | None:
    """Return the package's archive in `scratch`, or None."""
    fetch = ["apt-get", *NETWORK_OPTIONS, "-o", "APT::Sandbox::User=root", *options]
    there = ["env", f"--chdir={scratch}"]
    done = run_logged([*there, *fetch, "download", name], log, seconds=INSTALL_SECONDS)
    archives = list(scratch.glob("*.deb"))
    return archives[0] if done and len(archives) == 1 else None


def suite_options(suite: str) -> list[str]:
    """Return apt options for another Debian release from this machine's mirror, its lists apart.

    Nothing of the system's apt is read but its keys, and nothing of it is written.
    """
    home = cache_directory() / "apt" / suite
    for part in ("lists/partial", "cache/archives/partial", "etc"):
        (home / part).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    _write_source(home / "etc" / f"{suite}.sources", suite)
    settings = {
        "Dir::State::lists": home / "lists",
        "Dir::State::status": home / "status",
        "Dir::Cache": home / "cache",
        "Dir::Etc::sourcelist": home / "etc" / f"{suite}.sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        # The download user may not enter a home directory; signatures are checked all the same.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _write_source(path: Path, suite: str) -> None:
    mirror = mirror_of(read_sources(), codename())
    if mirror is None:
        raise MachineError(
            "this machine's apt sources name no mirror of its own distribution",
            "add the mirror of this machine's release to its apt sources, then repeat",
        )
    keyring = str(DEBIAN_KEYRING) if DEBIAN_KEYRING.exists() else mirror.signed_by
    lines = ["Types: deb", f"URIs: {mirror.uri}", f"Suites: {suite}", "Components: main"]
    lines += [f"Signed-By: {keyring}"] if keyring else []
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.replace(path)


def release_fields(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """Return what the distribution says about itself."""
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition("=")[::2] for line in lines if "=" in line)
    return {key: value.strip("\"'") for key, value in pairs}


def codename() -> str:
    """Return the suite this machine was installed from."""
    return release_fields().get("VERSION_CODENAME", "")
