"""Secrets stay secret: whatever is printed of a configuration, good or bad."""

import json
from traceback import format_exception
from typing import Any

import pytest

from tests.builders import CONFIGURATION, changed
from tests.config.faults import read
from webhook_launcher.core.errors import ConfigurationError

CANARY = "canary0canary0canary0canary"
KEY = "whsec_Y2FuYXJ5MGNhbmFyeTBjYW5hcnkwY2FuYXJ5"
SECRETS: dict[str, Any] = {
    "admin.token": CANARY,
    "registries": {"ghcr.io": {"username": "acme", "password": CANARY}},
    "sources.hub.token": CANARY,
    "sources.ghcr.secret": CANARY,
    "sources.local.secret": CANARY,
    "sources.ci.keys": [{"id": "a", "secret": KEY}],
}


def hidden(text: str) -> bool:
    """True when none of the secrets, in any spelling, is in it."""
    return not any(part in text for part in (CANARY, KEY, KEY.removeprefix("whsec_"), "canary0"))


def test_no_repr_of_the_settings_shows_a_secret() -> None:
    """One `log.debug(settings)` would be enough."""
    settings = read(json.dumps(changed(CONFIGURATION, SECRETS)))
    assert settings.admin_token == CANARY.encode()
    assert hidden(repr(settings))
    assert hidden(str(settings))
    for source in settings.sources.values():
        assert hidden(repr(source))


@pytest.mark.parametrize(
    "fault",
    [
        {"listen": 5},
        {"sources.ghcr.tokn": CANARY},
        {"sources.ghcr.secret": [CANARY]},
        {"sources.ghcr.secret": {CANARY: 1}},
        {"sources.ghcr.secrets": CANARY},
        {"sources.ghcr.secrets": [CANARY]},
        {"sources.ghcr.secrets": [{"id": "a", "secret": CANARY, "seecret": CANARY}]},
        {"sources.hub.token": f"{CANARY} {CANARY}"},
        {"sources.hub.token": [CANARY]},
        {"sources.ci.keys": [{"id": "a", "secret": f"whsec_{CANARY}!"}]},
        {"sources.ci.keys": [{"id": "a", "secret": f"whpk_{CANARY}"}]},
        {"sources.ci.keys": [{"id": "a", "public_key": f"whsk_{CANARY}"}]},
        {"sources.ci.keys": [{"id": "a", "public_key": KEY}]},
        {"sources.ci.keys": CANARY},
        {"admin": CANARY},
        {"admin.token": f"{CANARY}\n{CANARY}"},
        {"receipts.key": CANARY},
        {"receipts": CANARY},
        {"registries": {"ghcr.io": {"password": CANARY}}},
        {"registries": {"ghcr.io": CANARY}},
    ],
)
def test_no_problem_quotes_a_secret(fault: dict[str, Any]) -> None:
    """`check` runs in CI, whose logs many can read; tracebacks included."""
    with pytest.raises(ConfigurationError) as caught:
        read(json.dumps(changed(CONFIGURATION, {**SECRETS, **fault})))
    assert hidden(str(caught.value))
    assert hidden(repr(caught.value))
    assert hidden("".join(format_exception(caught.value)))
