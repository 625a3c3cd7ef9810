"""What a machine is, as far as numbers measured on it depend on that: no names, no paths."""

import json
import os
import platform
import subprocess
from pathlib import Path


def describe_machine() -> dict[str, str | int]:
    """Processor, kernel, engine and compose."""
    engine = json.loads(_said("docker", "info", "--format", "{{json .}}") or "{}")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "engine": str(engine.get("ServerVersion", "unknown")),
        "store": str(engine.get("Driver", "unknown")),
        "docker_cli": _said("docker", "version", "--format", "{{.Client.Version}}") or "unknown",
        "compose": _said("docker", "compose", "version", "--short") or "unknown",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _said(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
