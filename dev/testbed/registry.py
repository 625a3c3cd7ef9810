"""A registry on the loopback: the program if there is one, else a container in the engine."""

import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from testbed import programs
from testbed.cache import log_file
from testbed.errors import MachineError
from testbed.ports import free_port
from testbed.record import Record, end_program

IMAGE = "registry:2"
START_SECONDS = 30
# Between finding a free port and taking it, a program outside these tests may take it.
PORT_ATTEMPTS = 5


def log_of(record: Record) -> Path:
    """Return the registry's log: one line per request, by which tests count requests."""
    return record.directory / "registry.log"


def start(record: Record, env: Mapping[str, str]) -> str:
    """Start a registry and return its address, `127.0.0.1:PORT`."""
    program = programs.registry()
    if program is None:
        return _start_container(record, env)
    for _ in range(PORT_ATTEMPTS):
        address = f"127.0.0.1:{free_port()}"
        started = _start_program(record, program, address)
        if _serves(address, started):
            return address
        end_program(*record.programs["registry"], 5)
    kept_log = shutil.copy(log_of(record), log_file("registry"))
    raise MachineError("the registry does not come up", f"read {kept_log}")


def _start_program(record: Record, program: Path, address: str) -> "subprocess.Popen[bytes]":
    configuration = record.directory / "registry.yml"
    # JSON is YAML, and needs no quoting rules of our own.
    configuration.write_text(json.dumps(_settings(record, address), indent=1))
    with log_of(record).open("ab") as output:
        started = subprocess.Popen(
            [program, "serve", configuration],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    record.add_program("registry", started)
    return started


def _settings(record: Record, address: str) -> dict[str, object]:
    return {
        "version": 0.1,
        "log": {"level": "info"},
        "http": {"addr": address, "secret": secrets.token_hex(16)},
        "storage": {
            "filesystem": {"rootdirectory": str(record.directory / "registry")},
            "delete": {"enabled": True},
        },
    }


def _serves(address: str, started: "subprocess.Popen[bytes] | None" = None) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and (started is None or started.poll() is None):
        try:
            # No proxy: the registry is on this machine whatever the environment says.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://{address}/v2/", timeout=5):
                # Another program may have answered on our port: only ours is still alive.
                time.sleep(0.1)
                return started is None or started.poll() is None
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
    return False


def _start_container(record: Record, env: Mapping[str, str]) -> str:
    docker = str(programs.docker())
    address = f"127.0.0.1:{free_port()}"
    command = [docker, "run", "--detach", "--publish", f"{address}:5000"]
    command += ["--env", "REGISTRY_STORAGE_DELETE_ENABLED=true", IMAGE]
    ran = subprocess.run(
        command, env=dict(env), capture_output=True, text=True, timeout=300, check=False
    )
    if ran.returncode != 0:
        raise MachineError(
            f"no registry: {ran.stderr.strip()[-500:]}",
            f"install the program docker-registry, or let the engine pull {IMAGE}",
        )
    record.container = ran.stdout.strip()
    record.write()
    with log_of(record).open("ab") as output:
        follower = subprocess.Popen(
            [docker, "logs", "--follow", record.container],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            start_new_session=True,
        )
    record.add_program("registry log", follower)
    if not _serves(address):
        raise MachineError("the registry's container does not answer", f"docker logs {IMAGE}")
    return address


def stop(record: Record) -> None:
    """End the registry, whichever kind it is."""
    for name in ("registry", "registry log"):
        if name in record.programs:
            end_program(*record.programs[name], 5)
    if record.container is not None:
        # The engine is the developer's, and so is its address in the environment.
        command = [str(programs.docker()), "rm", "--force", "--volumes", record.container]
        subprocess.run(command, env=os.environ, capture_output=True, timeout=60, check=False)
