"""Options that every command has, and the configuration that they name."""

import argparse
import os
from pathlib import Path

from webhook_launcher.config import DEFAULT_PATH, Settings, load
from webhook_launcher.sources import KINDS

CONFIG_VARIABLE = "LAUNCHER_CONFIG"


def common() -> argparse.ArgumentParser:
    """A parent parser with `--config` and `--json`."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--config", type=Path, help=f"default: ${CONFIG_VARIABLE}, else {DEFAULT_PATH}"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def path_of(arguments: argparse.Namespace) -> Path:
    """The configuration file that is meant."""
    return arguments.config or Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_PATH)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The configuration; ConfigurationError with every problem."""
    return load(path_of(arguments), KINDS)
