#!/usr/bin/env python3
"""The engine tests on every engine and compose there is: `make test-engines [PYTEST_ARGS=...]`.

One machine after the other (dev/machine.py), so a failure names its engine. Prints a table; the
exit status is 0 when every run passed.
"""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from testbed import releases

ROOT = Path(__file__).resolve().parent.parent
# Every engine and every compose at least once, and the oldest of both together.
MATRIX = (("20.10", "2.26"), ("20.10", "newest"), ("26.1", "newest"), ("newest", "2.40"))
_COUNTS = re.compile(r"\d+ (?:passed|failed|error|skipped)[^\n]* in [0-9.]+")


def run(engine: str, compose: str, arguments: Sequence[str]) -> tuple[int, str]:
    """The exit status of the tests on one machine, and pytest's last words."""
    machine = [sys.executable, "dev/machine.py", "run", "--engine", engine, "--compose", compose]
    tests = [".venv/bin/python", "-m", "pytest", "-m", "engine", *arguments]
    # The container image and the machine itself do not depend on the engine: once is enough.
    tests += ["--ignore=tests/dev", "--ignore=tests/engine/test_container.py"]
    argv, last = [*machine, "--", *tests], "nothing was run"
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout or ():
            sys.stdout.write(line)
            if found := _COUNTS.search(line):
                last = found[0]
    return child.returncode, last


def main() -> int:
    """Run the matrix."""
    if not releases.possible():
        print("this needs Debian and root: the engines are Debian's packages", file=sys.stderr)
        return 69
    rows, failed = [], False
    for engine, compose in MATRIX:
        began = time.monotonic()
        status, said = run(engine, compose, sys.argv[1:])
        failed = failed or status != 0
        rows.append(f"{engine:<8}{compose:<10}{said}  ({time.monotonic() - began:.0f} s)")
    print("\nengine  compose", *rows, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
