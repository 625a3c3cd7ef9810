"""What the harnesses begin with: the recordings of the tests, what is often done to them, sources.

Every kind is there in every way it can prove itself, with credentials that nobody can guess.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from tests.sources.authentic import CASES
from tests.sources.senders import recorded
from webhook_launcher.core.signatures import VerificationKey
from webhook_launcher.core.source import KEY_LOOKUP, Delivery, Secret, Source

_VALUE = Secret("one", secrets.token_bytes(32))
_KEYS = (VerificationKey("one", "v1", secrets.token_bytes(32)),)
_PUBLIC = generate_private_key(65537, 2048).public_key()

# What people and attackers do to a body before it arrives.
TWISTS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda body: body,
    "a duplicate key": lambda body: body.replace(b"{", b'{"action": 1, "action": 2,', 1),
    "NaN": lambda body: body.replace(b'"', b'"n": NaN, "', 1),
    "deep": lambda body: b'{"a":' * 40 + body + b"}" * 40,
    "Latin-1": lambda body: re.sub(rb"(?i)acme", b"\xe4cme", body),
    "UTF-16": lambda body: body.decode("utf-8").encode("utf-16"),
    "a mark before it": lambda body: b"\xef\xbb\xbf" + body,
    "truncated": lambda body: body[: len(body) // 2],
    "two values": lambda body: body + body,
    "a brace too many": lambda body: body + b"}",
    "nothing": lambda _: b"",
    "a form": lambda body: b"payload=" + quote(body).encode(),
    "in chunks": lambda body: b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
}


@cache
def configured() -> tuple[Source, ...]:
    """A source for every case of authentication; only their credentials are others."""
    return tuple(_unguessable(case.source) for case in CASES)


def without_credentials(source: Source) -> Iterator[Source]:
    """The same when the configuration lost its credentials, or has empty ones."""
    options = {name: value for name, value in source.options.items() if name != KEY_LOOKUP}
    yield replace(source, secrets=(), tokens=(), keys=(), options=options)
    empty = (Secret("empty", b""),)
    keys = (VerificationKey("empty", "v1", b""),)
    yield replace(source, secrets=empty, tokens=empty, keys=keys, options=options)


def seeds(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Every case with every twist, as `deliveries` reads its input, and a name for the file."""
    for number, case in enumerate(CASES):
        for twist, change in TWISTS.items():
            headers = dict(case.delivery.headers)
            if twist == "a form":
                headers["content-type"] = "application/x-www-form-urlencoded"
            body = change(recorded(case.kind).body)
            raw = _written(number, Delivery(headers, body), names)
            yield f"{number:02}-{twist.replace(' ', '-')}", raw


def _unguessable(source: Source) -> Source:
    given = replace(
        source,
        secrets=(_VALUE,) if source.secrets else (),
        tokens=(_VALUE,) if source.tokens else (),
        keys=_KEYS if source.keys else (),
    )
    if KEY_LOOKUP not in source.options:
        return given
    return replace(given, options={**source.options, KEY_LOOKUP: lambda _: _PUBLIC})


def _written(number: int, delivery: Delivery, names: Sequence[str]) -> bytes:
    head = b"".join(
        bytes([names.index(name)]) + value.encode("latin-1", "replace") + b"\n"
        for name, value in delivery.headers.items()
        if name in names and names.index(name) != ord("\n")
    )
    return bytes([number, 0]) + head + b"\n" + delivery.body
