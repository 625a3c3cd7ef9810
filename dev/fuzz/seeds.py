"""What the harnesses begin with: the recordings of the tests, and a source of each kind."""

import secrets
from collections.abc import Sequence
from functools import cache

from tests.sources.senders import recorded, source
from webhook_launcher.core.source import Secret, Source

_VALUE = Secret("one", secrets.token_bytes(32))


@cache
def configured(kind: str) -> Source:
    """A source of a kind with credentials that nobody can guess."""
    return source(kind, secrets=(_VALUE,), tokens=(), keys=())


def seed(kind: str, number: int, names: Sequence[str]) -> bytes:
    """The recording of a kind, as the harness reads it."""
    delivery = recorded(kind)
    head = b"".join(
        bytes([names.index(name)]) + value.encode("latin-1", "replace") + b"\n"
        for name, value in delivery.headers.items()
        if name in names and names.index(name) != ord("\n")
    )
    return bytes([number]) + head + b"\n" + delivery.body
