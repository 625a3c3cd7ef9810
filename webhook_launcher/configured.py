"""The configuration that gunicorn's master process found good last.

A worker process inherits it by the fork: one that has to be started anew while the file is being
edited runs under what was in force, not under half an edit.
"""

import os
from pathlib import Path

from webhook_launcher.config import DEFAULT_PATH, PATH_VARIABLE, Settings, load
from webhook_launcher.sources import KINDS

_good: list[Settings] = []


def config_path() -> Path:
    """The configuration file named by the environment, else the default one."""
    return Path(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def read() -> Settings:
    """The file as it is now, with the secret files it names; raises ConfigurationError."""
    return load(config_path(), KINDS)


def settings() -> Settings:
    """What was found good last; the first time, that is the file as it is."""
    return _good[0] if _good else refresh()


def refresh() -> Settings:
    """Read the file and hold it; when it raises ConfigurationError, the one before is held."""
    _good[:] = [read()]
    return _good[0]
