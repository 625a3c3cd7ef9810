"""Where other people's recordings and vectors lie: beside the checkout, never inside it."""

import json
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parents[3] / "shared"
PAYLOADS = SHARED / "payloads"
VECTORS = SHARED / "vectors"


def load(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
