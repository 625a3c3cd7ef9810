"""The benchmark's own parts: a wrong figure is worse than none."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from xml.etree import ElementTree

import pytest

from figures.figure import Bar, Panel
from figures.picture import draw
from figures.scale import measure_scale
from testbed.crowd import DIGEST, crowd
from testbed.forwarder import Forwarder, Way
from testbed.ports import free_port
from testbed.process import usage
from tests.clock import FakeClock
from webhook_launcher.adapters.engine import Connection, Engine

ROOT = Path(__file__).resolve().parents[2]
_SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_values() -> None:
    """A picture is read before its numbers, so it starts at zero and does not stretch."""
    panel = Panel("Title <&>", "s", [Bar("ours", 2.0, ours=True), Bar("theirs", 4.0)])
    root = ElementTree.fromstring(draw([panel], "a machine"))  # noqa: S314 - made here
    _, ours, theirs = root.findall(f"{_SVG}rect")
    assert float(theirs.attrib["width"]) == pytest.approx(2 * float(ours.attrib["width"]), rel=0.01)
    assert ours.attrib["fill"] != theirs.attrib["fill"]
    texts = [text.text for text in root.findall(f"{_SVG}text")]
    assert texts == ["Title <&>", "ours", "2 s", "theirs", "4 s", "a machine"]


def test_usage_counts_what_a_process_and_its_children_of_the_same_program_take(
    tmp_path: Path,
) -> None:
    """Gunicorn is two processes; a program that it runs for a moment is not the launcher."""
    script = (
        "import subprocess, sys, time\n"
        "if len(sys.argv) == 1:\n"
        "    subprocess.Popen([sys.executable, __file__, 'child'])\n"
        "    subprocess.Popen(['sleep', '60'])\n"
        "kept = bytearray(20 * 1024 * 1024)\n"
        "print('x', flush=True)\n"
        "time.sleep(60)\n"
    )
    path = tmp_path / "two.py"
    path.write_text(script)
    running = subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert running.stdout is not None
        assert [running.stdout.readline() for _ in range(2)] == [b"x\n"] * 2
        found = usage(running.pid)
        assert 40 < found.pss_mib < 80
        assert found.threads == 2
        assert 6 <= found.descriptors < 20
    finally:
        os.killpg(running.pid, 9)
        running.communicate()


def test_the_crowd_answers_as_an_engine_and_as_registries(tmp_path: Path) -> None:
    """What the launcher is measured against must look to it as the real ones do."""
    with crowd(tmp_path, free_port(), 3, holes=1) as around:
        connection = Connection({"DOCKER_HOST": f"unix://{around.socket}"})
        engine = Engine(connection, FakeClock())
        (container,) = engine.containers("shop", ["app"])
        assert (container.image, container.running) == (DIGEST, True)
        assert engine.platform().os == "linux"
        connection.close()
        url = f"http://{around.registry(1)}/v2/acme/web/manifests/stable"
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.headers["Docker-Content-Digest"] == DIGEST
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"http://{around.registry(2)}/v2/", timeout=0.3)


@pytest.mark.parametrize("way", [Way.REFUSED, Way.BLACK_HOLE])
def test_a_way_breaks_and_is_mended(tmp_path: Path, way: Way) -> None:
    """An outage that does not end, or never began, would make every soak look well, or ill."""
    with crowd(tmp_path, free_port(), 1) as around:
        forwarder = Forwarder(around.registry(0))
        url = f"http://{forwarder.host}/v2/"
        try:
            for turn in (Way.OPEN, way, Way.OPEN):
                forwarder.turn(turn)
                if turn is Way.OPEN:
                    urllib.request.urlopen(url, timeout=5).close()
                    continue
                began = time.monotonic()
                with pytest.raises((urllib.error.URLError, OSError)):
                    urllib.request.urlopen(url, timeout=0.5)
                waited = time.monotonic() - began >= 0.4
                assert waited is (way is Way.BLACK_HOLE)
        finally:
            forwarder.close()


@pytest.mark.engine
def test_a_scale_is_measured_from_start_to_idle(machine: dict[str, str]) -> None:
    """Every workload must have been looked at once, or idle is not idle."""
    found = measure_scale(3, 2, idle=1.0)
    assert found.workloads == 3
    assert 0 < found.ready < 60
    assert 30 < found.pss_mib < 200
    assert found.status_bytes > 1000
    assert json.loads(json.dumps(found.document()))["registries"] == 2


def test_what_is_published_is_a_whole_run() -> None:
    """A quick look must not replace what the documentation tells of."""
    ended = subprocess.run(
        [sys.executable, "dev/bench.py", "--quick", "--publish"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "whole run" in ended.stderr
