"""cosign where it must be, and a skipped test where it need not."""

import os
from pathlib import Path

import pytest

from testbed import cosign
from testbed.errors import MachineError


def program(major: int) -> Path:
    """cosign 2 or 3. In CI it must be there; elsewhere its tests are skipped."""
    try:
        return cosign.program(major)
    except MachineError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
