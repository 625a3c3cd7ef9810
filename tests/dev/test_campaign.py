"""The campaign's own parts that decide whether a run counts as kept."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from campaign.disk import Disk
from campaign.results import Result, summary, table
from campaign.traps import Plan, Traps


class TestTheTable:
    def test_counts_what_was_kept_by_fault(self) -> None:
        """A broken promise must show, not drown in an average."""
        runs = [
            Result("crash", "before x", 1.0),
            Result("crash", "before x", 3.0),
            Result("crash", "before x", None, "two containers"),
        ]
        assert "| before x | 3 | 2 | 2.0 s | 3.0 s |" in table(runs)
        assert summary(runs).splitlines() == [
            "3 runs, promise kept in 2",
            "  crash: before x: two containers",
        ]


class TestATrap:
    @pytest.fixture
    def plan(self, tmp_path: Path) -> Path:
        """Where the plan is."""
        return tmp_path / "plan"

    def test_counts_events_from_its_plan_on(self, plan: Path, tmp_path: Path) -> None:
        """What happened before it was armed is no step of the story."""
        traps, trace = Traps(plan), tmp_path / "trace"
        traps.event("Deliveries.accept(")
        Plan("1", trace=str(trace)).write(plan)
        traps.event("Deliveries.accept)")
        assert trace.read_text() == "Deliveries.accept)\n"

    def test_heeds_only_who_works(self, plan: Path, tmp_path: Path) -> None:
        """Pollers and requests come at any time: counting them would move the moment."""
        traps, trace = Traps(plan), tmp_path / "trace"
        Plan("1", trace=str(trace)).write(plan)
        traps.event("Workloads.checked(")
        assert not trace.exists()

    def test_is_carried_out_once_and_gone_before(self, plan: Path) -> None:
        """The launcher that is started again must not die of the same plan."""
        Plan("1", "Deliveries.accept)", 2, victims="nobody").write(plan)
        traps = Traps(plan)
        traps.event("Deliveries.accept)")
        assert plan.exists()
        traps.event("Deliveries.accept)")
        assert not plan.exists()

    def test_kills(self, plan: Path) -> None:
        """A campaign whose kills do not kill would always keep the promise."""
        Plan("1", "Deliveries.accept)").write(plan)
        script = (
            "import sys; from pathlib import Path; from campaign.traps import Traps;"
            "Traps(Path(sys.argv[1])).event('Deliveries.accept)')"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script, str(plan)],
            cwd=Path(__file__).parents[2] / "dev",
            start_new_session=True,
            check=False,
        )
        assert ran.returncode == -signal.SIGKILL

    def test_is_wrapped_around_every_step_that_it_names(self, plan: Path) -> None:
        """A method that was renamed must fail here, not be left out in silence."""
        script = (
            "import sys, json; from pathlib import Path; from campaign.traps import Traps;"
            "Traps(Path(sys.argv[1])).install(); from webhook_launcher.gate import Gate;"
            "print(json.dumps(hasattr(Gate.wait, '__wrapped__')))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script, str(plan)],
            cwd=Path(__file__).parents[2] / "dev",
            capture_output=True,
            check=True,
        )
        assert json.loads(ran.stdout) is True


def _mounts_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/mnt").readlink()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestADisk:
    def test_is_gone_with_its_block_whatever_was_done_to_it(self, tmp_path: Path) -> None:
        """A run that breaks off must leave no mount, no loop device, and nothing that hangs."""
        where = tmp_path / "state"
        left = Disk(where)
        with left:
            (where / "file").write_text("")
            assert where.is_mount()
            left.freeze()
        assert not where.is_mount()
        assert list(tmp_path.iterdir()) == [where]

    def test_that_is_full_takes_nothing_until_there_is_room(self, tmp_path: Path) -> None:
        """Otherwise a run with it would show nothing."""
        with Disk(tmp_path / "state") as disk:
            file = disk.where / "file"
            disk.fill()
            with pytest.raises(OSError, match="No space left"):
                file.write_bytes(bytes(4096))
            disk.free()
            file.write_bytes(bytes(4096))

    def test_that_gave_up_is_read_only_until_it_is_mounted_anew(self, tmp_path: Path) -> None:
        """Also for who had opened a file to write; what was synced before is there."""
        with Disk(tmp_path / "state") as disk:
            file = disk.where / "file"
            with file.open("wb", buffering=0) as opened:
                opened.write(b"kept")
                os.fsync(opened.fileno())
                disk.give_up()
                with pytest.raises(OSError, match="Read-only"):
                    opened.write(b"lost")
            with subprocess.Popen(["unshare", "--mount", "sleep", "60"]) as beside:
                try:  # it has a view of our mounts as they are, and keeps that
                    _until(lambda: _mounts_of(beside.pid) != _mounts_of(os.getpid()))
                    disk.mount_anew()
                    assert file.read_bytes() == b"kept"
                    file.write_bytes(b"new")
                finally:
                    beside.kill()

    def test_that_hangs_lets_no_write_return(self, tmp_path: Path) -> None:
        """And then all of them."""
        with Disk(tmp_path / "state") as disk, ThreadPoolExecutor(1) as pool:
            disk.freeze()
            written = pool.submit((disk.where / "file").write_text, "x")
            with pytest.raises(TimeoutError):
                written.result(0.3)
            disk.thaw()
            assert written.result(30) == 1
