"""The test machine's own parts: what goes wrong here goes wrong in every engine test."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

import base_image
from machine import require_linux
from testbed.cache import exclusive, run_logged
from testbed.errors import MachineError
from testbed.leftovers import mounts_below
from testbed.network import POOLS, bridges_beside, free_pool, routed_networks
from testbed.ports import Ports, is_free
from testbed.programs import is_static, major_version
from testbed.record import abandoned_records, end_program, new_record, open_record, start_ticks

ROOT = Path(__file__).resolve().parents[2]

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
wl1\t0000C00A\t00000000\t0001\t0\t0\t0\tC0FFFFFF\t0\t0\t0
"""


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep these records out of sight of real runs, which would clear them away.

    Not pytest's directory: its path is too long for an engine's socket.
    """
    with tempfile.TemporaryDirectory(prefix="t-") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


def sleeper() -> "subprocess.Popen[bytes]":
    """Start something that can be ended."""
    return subprocess.Popen(["sleep", "60"])


def test_routes_are_read_and_the_default_route_claims_nothing() -> None:
    """Read wrongly, every pool would be taken, or none."""
    assert routed_networks(ROUTES) == [IPv4Network("10.192.0.0/26")]


def test_a_pool_touched_by_any_route_is_not_free() -> None:
    """Two engines with one pool answer for each other's containers."""
    assert free_pool([]) == IPv4Network("10.192.0.0/18")
    assert free_pool(routed_networks(ROUTES)) == IPv4Network("10.192.64.0/18")
    # A company network that covers the first half.
    assert free_pool([IPv4Network("10.192.0.0/11")]) == IPv4Network("10.224.0.0/18")


def test_no_pool_left_is_said() -> None:
    """Silence here would be an engine whose networks fail one by one."""
    with pytest.raises(MachineError, match="no address pool is free"):
        free_pool([POOLS])


def test_only_bridges_of_the_pool_are_ours_to_remove() -> None:
    """A neighbour's bridge must survive the end of this run."""
    listing = json.dumps(
        [
            {"ifname": "wl1", "addr_info": [{"family": "inet", "local": "10.192.0.1"}]},
            {"ifname": "br-x", "addr_info": [{"family": "inet6", "local": "fe80::1"}]},
            {"ifname": "br-y", "addr_info": [{"family": "inet", "local": "10.192.0.65"}]},
            {"ifname": "wl2", "addr_info": [{"family": "inet", "local": "10.192.64.1"}]},
        ]
    )

    assert bridges_beside("wl1", listing) == ["br-y", "wl1"]
    assert bridges_beside("wl2", listing) == ["wl2"]


def test_without_its_bridge_a_record_claims_no_pool() -> None:
    """An old record outlives its bridge over a reboot; its pool may be a neighbour's by now."""
    listing = json.dumps(
        [{"ifname": "wl1", "addr_info": [{"family": "inet", "local": "10.192.0.1"}]}]
    )

    assert bridges_beside("wl0", listing) == []


def test_mounts_are_undone_from_the_inside_out() -> None:
    """An outer mount cannot go while an inner one is there; neighbours' stay."""
    mountinfo = (
        "1 0 8:1 / / rw - ext4 /dev/x rw\n"
        "2 1 0:5 / /tmp/wl-a/data/overlay rw - overlay o rw\n"
        "3 2 0:6 / /tmp/wl-a/data/overlay/in\\040side rw - tmpfs t rw\n"
        "4 1 0:7 / /tmp/wl-ab/data rw - tmpfs t rw\n"
    )

    assert mounts_below(Path("/tmp/wl-a"), mountinfo) == [  # noqa: S108 - nothing is opened
        "/tmp/wl-a/data/overlay/in side",  # noqa: S108
        "/tmp/wl-a/data/overlay",  # noqa: S108
    ]


@pytest.mark.parametrize(
    ("text", "major"),
    [("2.26.1-4", 2), ("v5.5.0\n", 5), ("1:2.3", 2), ("1.29.2-3", 1), ("", 0), ("dev", 0)],
)
def test_versions_as_packages_and_programs_write_them(text: str, major: int) -> None:
    """Compose 1 has another command line; taken for 2, everything fails later and obscurely."""
    assert major_version(text) == major


def test_a_program_with_a_loader_is_not_static() -> None:
    """It would not start in an image made from scratch."""
    assert not is_static(Path(sys.executable).resolve())
    assert not is_static(Path("/nonexistent"))


@pytest.mark.usefixtures("apart")
def test_a_record_in_use_is_nobody_elses() -> None:
    """A run must not clear away its neighbour."""
    record = new_record()

    assert list(abandoned_records()) == []
    with pytest.raises(MachineError, match="in use"):
        open_record(record.directory)
    os.close(record.lock)


@pytest.mark.usefixtures("apart")
def test_an_abandoned_record_is_taken_over_and_a_kept_one_is_not() -> None:
    """What a killed run left must go; what was kept on purpose must stay."""
    abandoned, kept = new_record(), new_record()
    abandoned.bridge = "wl0"
    kept.kept = True
    for record in (abandoned, kept):
        record.write()
        os.close(record.lock)

    taken = list(abandoned_records())

    assert [record.directory for record in taken] == [abandoned.directory]
    assert taken[0].bridge == "wl0"
    os.close(taken[0].lock)


@pytest.mark.usefixtures("apart")
def test_a_record_of_another_version_is_left_alone() -> None:
    """Checkouts of several ages share a machine; one must not stop the other's runs."""
    record = new_record()
    (record.directory / "machine.json").write_text('{"kept": false}')
    os.close(record.lock)

    assert list(abandoned_records()) == []
    with pytest.raises(MachineError, match="cannot be read"):
        open_record(record.directory)


def test_a_recycled_process_id_is_left_alone() -> None:
    """The id in an old record may be anybody's by now."""
    child = sleeper()
    ticks = start_ticks(child.pid)
    assert ticks is not None

    assert end_program(child.pid, ticks - 1, 1)
    assert child.poll() is None
    assert end_program(child.pid, ticks, 5)
    assert child.wait() == -signal.SIGTERM


def test_a_program_that_ignores_the_request_is_killed() -> None:
    """Cleaning up must end, whatever the program thinks of it."""
    script = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    ticks = start_ticks(child.pid)
    assert ticks is not None

    assert not end_program(child.pid, ticks, 0.2)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()


def test_the_lock_is_exclusive_and_waiting_is_bounded(tmp_path: Path) -> None:
    """Two runs that download into one place would spoil it; one that hangs must be named."""
    with (
        exclusive(tmp_path / "lock"),
        pytest.raises(MachineError, match="held"),
        exclusive(tmp_path / "lock", seconds=0.1),
    ):
        pass
    with exclusive(tmp_path / "lock", seconds=0.1):
        pass


def test_a_logged_command_leaves_its_words_and_is_bounded(tmp_path: Path) -> None:
    """A failure is explained by its log, and a hang is a failure."""
    log = tmp_path / "log"

    assert run_logged(["sh", "-c", "echo spoken"], log, seconds=10)
    assert not run_logged(["sh", "-c", "exit 3"], log, seconds=10)
    assert not run_logged(["sleep", "60"], log, seconds=0.1)
    assert not run_logged(["/nonexistent"], log, seconds=1)
    assert "spoken" in log.read_text()
    assert "not finished after" in log.read_text()


def test_another_system_is_told_what_the_tests_need() -> None:
    """A trace from /proc would tell a newcomer nothing."""
    with pytest.raises(MachineError, match="need Linux, and this is darwin") as error:
        require_linux("darwin")
    assert "Debian 12" in error.value.advice
    require_linux("linux")


def test_the_stand_in_is_made_of_the_release_the_dockerfile_names() -> None:
    """Another release has other packages, and the Dockerfile would not build on it."""
    assert base_image.suite_of("python:3.13-slim-trixie@sha256:00") == "trixie"
    assert base_image.suite_of(base_image.base_tag()) == "trixie"


def test_requirements_are_pinned_hashed_and_name_no_index() -> None:
    """An unhashed line is what a compromised index needs; an address ties us to one index."""
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text
        entries = re.split(r"\n(?=\S)", text)
        pinned = [entry for entry in entries if not entry.startswith("#")]
        assert pinned
        for entry in pinned:
            assert re.match(r"\S+==\S+( ; [^\n]+)? \\\n    --hash=sha256:", entry), entry


@pytest.mark.engine
def test_a_run_passes_on_the_status_and_leaves_nothing(apart: Path) -> None:
    """CI believes the exit status, and a developer's machine is not ours to litter."""
    ran = subprocess.run(
        [
            sys.executable,
            "dev/machine.py",
            "run",
            "--",
            "sh",
            "-c",
            "dirname $LAUNCHER_TEST_REGISTRY_LOG; exit 7",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 7, ran.stderr
    assert ran.stdout.startswith(str(apart))
    assert list(apart.iterdir()) == []


@pytest.mark.engine
def test_a_run_told_to_end_ends_its_command_and_cleans_up(apart: Path) -> None:
    """A cancelled CI job must not leave engines behind."""
    script = "import os, time; print(os.environ['LAUNCHER_TEST_REGISTRY_LOG'], flush=True); "
    script += "time.sleep(60)"
    run = subprocess.Popen(
        [sys.executable, "dev/machine.py", "run", "--", sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert run.stdout is not None
    directory = Path(run.stdout.readline().strip()).parent
    assert (directory / "machine.json").exists()
    assert directory.parent == apart
    began = time.monotonic()
    run.terminate()

    assert run.wait(60) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 30
    assert not directory.exists()
    run.stdout.close()


def test_two_processes_never_get_the_same_port(tmp_path: Path) -> None:
    """Between taking a port and listening on it another test would start its server there."""
    mine, other = Ports(tmp_path), Ports(tmp_path)
    assert not {mine.take() for _ in range(200)} & {other.take() for _ in range(200)}


def test_a_port_in_use_is_passed_over_and_comes_again_when_free(tmp_path: Path) -> None:
    """A program outside the tests may listen anywhere."""
    ports = Ports(tmp_path)
    taken = ports.take()
    with socket.create_server(("127.0.0.1", taken)):
        assert not is_free(taken)
        block = {ports.take() for _ in range(100)}
        assert taken not in block
    assert taken in {ports.take() for _ in range(100)}


def test_the_port_of_an_outgoing_connection_is_never_given(tmp_path: Path) -> None:
    """The kernel picks those from its own range, which the blocks leave out."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = Ports(tmp_path, end=min(first, 32_768))
    assert all(ports.take() < first for _ in range(100))


def test_claims_end_with_the_process(tmp_path: Path) -> None:
    """A killed run must not use the ports up."""
    claim = "import sys, pathlib; from testbed.ports import Ports; "
    claim += "Ports(pathlib.Path(sys.argv[1]), end=10_304).take()"
    for _ in range(2):
        command = [sys.executable, "-c", claim, str(tmp_path)]
        subprocess.run(command, cwd=ROOT / "dev", check=True, timeout=60)
    Ports(tmp_path, end=10_304).take()
    with pytest.raises(MachineError, match="claimed"):
        Ports(tmp_path, end=10_304).take()
