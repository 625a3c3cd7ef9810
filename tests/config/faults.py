"""What is wrong with a configuration, by path."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.builders import CONFIGURATION, changed
from webhook_launcher.config import Settings, parse
from webhook_launcher.core.errors import ConfigurationError
from webhook_launcher.sources import KINDS

HERE = Path(__file__).parent / "config.yml"


def read(text: str, path: Path = HERE) -> Settings:
    """The settings in a text."""
    return parse(text, path, KINDS)


def faults(text: str, path: Path = HERE) -> dict[str, str]:
    """The problems in a text, by path (those of one path joined)."""
    with pytest.raises(ConfigurationError) as caught:
        read(text, path)
    found: dict[str, str] = {}
    for problem in caught.value.problems:
        found[problem.path] = "; ".join(filter(None, (found.get(problem.path), problem.message)))
    return found


def with_changes(changes: Mapping[str, Any]) -> str:
    """A good configuration, as JSON (which is YAML), with values at dotted paths replaced."""
    return json.dumps(changed(CONFIGURATION, changes))


def faults_of(path: str, value: object, directory: Path = HERE) -> dict[str, str]:
    """The problems of a good configuration in which one value was replaced."""
    return faults(with_changes({path: value}), directory)


def good(path: str, value: object, directory: Path = HERE) -> Settings:
    """A good configuration in which one value was replaced, and which still is good."""
    return read(with_changes({path: value}), directory)
