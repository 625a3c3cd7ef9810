"""Keeps the last deliveries as files that `webhook-launcher replay` reads."""

import json
import os
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, quote_plus

from webhook_launcher.core.source import Delivery, Source

REDACTED = "<redacted>"
# Headers that carry a credential itself. A MAC is no credential and is kept: replay checks it.
_CREDENTIALS = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "x-api-key",
        "x-gitlab-token",
        "x-jfrog-event-auth",
    }
)


class Recorder:
    """Writes authentic deliveries to a directory and keeps the newest `keep` of each source.

    Only authentic ones: bytes of strangers never reach the disk, and cannot push others out.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self._directory = directory
        self._keep = keep

    def record(self, source: Source, delivery: Delivery, now: datetime) -> None:
        """Write one delivery, without its credentials. OSError when the directory refuses."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = _request(source, delivery)
        mark = sha256(delivery.body).hexdigest()[:8]
        name = f"{source.name}.{now.strftime('%Y%m%dT%H%M%S.%fZ')}.{mark}.http"
        written = self._directory / f".{name}"
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        written.rename(self._directory / name)
        for old in sorted(self._directory.glob(f"{source.name}.*.http"))[: -self._keep]:
            old.unlink(missing_ok=True)


def _request(source: Source, delivery: Delivery) -> bytes:
    """The request as text: request line, headers, blank line, body."""
    token = f"/{REDACTED}" if delivery.token is not None else ""
    lines = [f"POST /hooks/{source.name}{token} HTTP/1.1"]
    for name, value in delivery.headers.items():
        listed = name in _CREDENTIALS or "authorization" in name
        secret = listed or name == (source.header or "").lower()
        lines.append(f"{name}: {REDACTED if secret else value}")
    head = "\r\n".join(lines).encode("utf-8", "replace")
    return _without(_secrets(source), head + b"\r\n\r\n" + delivery.body)


def _secrets(source: Source) -> Iterable[bytes]:
    """As given and as JSON, forms and Basic write them; longest first, to replace whole ones."""
    values = {secret.value for secret in (*source.secrets, *source.tokens) if secret.value}
    for value in list(values):
        text = value.decode("utf-8", "replace")
        escaped = json.dumps(text)[1:-1]
        values |= {escaped.encode(), escaped.replace("/", "\\/").encode()}
        values |= {quote_plus(value).encode(), quote(value, safe="").encode(), b64encode(value)}
    return sorted(values, key=len, reverse=True)


def _without(secrets: Iterable[bytes], text: bytes) -> bytes:
    """A sender may echo its secret anywhere; old Gitea put it in the body."""
    for secret in secrets:
        text = text.replace(secret, REDACTED.encode())
    return text
