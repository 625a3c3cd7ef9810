"""A Docker Engine: the one that answers already, or one of our own that leaves no trace.

Our own has its own data, sockets, containerd, bridge and address pool, and leaves the machine's
packet filter alone (`iptables: false`): engines that share one filter flush each other's rules when
they start. Ports published on the loopback are served by the engine's own proxy, so tests see no
difference; containers reach the outside only with `--network host`.
"""

import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import quote

from testbed import network, programs
from testbed.cache import log_file, say
from testbed.errors import MachineError
from testbed.leftovers import end_leftovers
from testbed.record import Record, end_program
from testbed.releases import EngineRelease

START_SECONDS = 60
# Containers are killed first; what remains is the engine's own goodbye.
STOP_SECONDS = 20


class _SocketConnection(http.client.HTTPConnection):
    """HTTP to the engine's unix socket."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("engine", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, method: str, target: str, seconds: float = 5) -> tuple[int, bytes]:
    """Send one request to the engine behind the socket at `path`."""
    connection = _SocketConnection(path, seconds)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers(path: Path) -> bool:
    """Whether an engine answers on the socket."""
    try:
        return ask(path, "GET", "/_ping")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def reachable_host() -> str | None:
    """Return the address of an engine the developer already has, or None."""
    host = os.environ.get("DOCKER_HOST") or _context_host() or "unix:///var/run/docker.sock"
    if host.startswith("unix://"):
        return host if answers(Path(host.removeprefix("unix://"))) else None
    command = programs.on_path("docker")
    if command is None:
        return None
    try:
        asked = subprocess.run(
            [command, "--host", host, "version"], capture_output=True, timeout=30, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return host if asked.returncode == 0 else None


def _context_host() -> str | None:
    command = programs.on_path("docker")
    if command is None:
        return None
    asked = subprocess.run(
        [command, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return asked.stdout.strip() or None


def socket_of(record: Record) -> Path:
    """Return the socket of the machine's own engine."""
    return record.directory / "docker.sock"


def start(record: Record, release: EngineRelease | None = None) -> str:
    """Start an engine of our own and return its address once it answers.

    Of another release than the machine's, it still runs containers by the machine's runc.
    """
    programs.install_engine()
    path = release.search_path() if release else programs.search_path()
    bridge = f"wl{secrets.token_hex(4)}"
    record.bridge = bridge
    record.write()
    pool = network.claim_pool(bridge)
    configuration = record.directory / "daemon.json"
    settings = {**_settings(record, bridge, pool), **(release.settings if release else {})}
    configuration.write_text(json.dumps(settings, indent=1))
    command = shutil.which("dockerd", path=path)
    if command is None:
        raise MachineError("dockerd is not on PATH", "look into the package docker.io")
    arguments = [
        f"--config-file={configuration}",
        # Should a system containerd run, it is shared: names keep the engines apart in it.
        f"--containerd-namespace={bridge}",
        f"--containerd-plugins-namespace={bridge}-plugins",
    ]
    # Its own session: Ctrl-C is for CMD, the engine ends after it.
    with _log(record).open("ab") as output:
        started = subprocess.Popen(
            [command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PATH": path},
            start_new_session=True,
        )
    record.add_program("engine", started)
    _wait(record, started)
    return f"unix://{socket_of(record)}"


def _settings(record: Record, bridge: str, pool: IPv4Network) -> dict[str, Any]:
    here = record.directory
    return {
        "hosts": [f"unix://{socket_of(record)}"],
        "data-root": str(here / "data"),
        "exec-root": str(here / "exec"),
        "pidfile": str(here / "dockerd.pid"),
        "bridge": bridge,
        "default-address-pools": [{"base": str(pool), "size": network.NETWORK_PREFIX}],
        "iptables": False,
        "ip-masq": False,
        "shutdown-timeout": 5,
    }


def _log(record: Record) -> Path:
    return record.directory / "dockerd.log"


def _wait(record: Record, started: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        if answers(socket_of(record)):
            return
        time.sleep(0.1)
    kept_log = shutil.copy(_log(record), log_file("dockerd"))
    status = started.poll()
    what = "does not answer" if status is None else f"ended with status {status}"
    raise MachineError(
        f"dockerd {what}",
        f"read {kept_log}; in a container it needs to be privileged, with cgroups mounted",
    )


def stop(record: Record) -> None:
    """End the machine's own engine with everything in it, by process ids."""
    if "engine" in record.programs:
        pid, ticks = record.programs["engine"]
        _kill_containers(socket_of(record))
        if not end_program(pid, ticks, STOP_SECONDS):
            say(f"dockerd {pid} had to be killed")
    end_leftovers(record.directory)
    if record.bridge is not None:
        network.release_pool(record.bridge)


def _kill_containers(path: Path) -> None:
    """Spare the engine its polite wait for every container; they are ours and end here."""
    try:
        listed = json.loads(ask(path, "GET", "/containers/json")[1])
        for container in listed:
            ask(path, "POST", f"/containers/{quote(container['Id'])}/kill")
    except (OSError, ValueError, http.client.HTTPException):
        # The engine is gone or stuck: end_leftovers sees to what it left.
        return
