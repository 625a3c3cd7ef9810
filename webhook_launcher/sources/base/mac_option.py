"""HMAC schemes that a `generic` source can be configured for: over the body, or with a time.

`body`: the header holds MACs of the raw body, bare or behind `<algorithm>=`. `timestamped`
(Stripe's): the header is `t=<seconds>,v1=<hex>[,v1=...]` and the MAC is over `<seconds>.<body>`;
the time counts both ways, while Stripe's own library takes any future for true.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.model import Trust
from webhook_launcher.core.signatures import Algorithm, Encoding, verify_hmac
from webhook_launcher.core.source import Delivery, Proof, Source
from webhook_launcher.sources.base.mapping import mapping_option
from webhook_launcher.sources.base.options import text_option

Signed = Literal["body", "timestamped"]

_SECONDS = re.compile(r"[0-9]{1,12}")
_MAX_HEADER = 4096


@dataclass(frozen=True, slots=True)
class MacScheme:
    """Where the MAC is and how it was made."""

    header: str
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    signed: Signed = "body"


def mac_option(value: object) -> MacScheme:
    """`{header, algorithm?, encoding?, signed?}`. ValueError says what to write."""
    given = mapping_option(value, frozenset({"header", "algorithm", "encoding", "signed"}))
    if "header" not in given:
        raise ValueError("needs header: the name of the header that carries the MAC")
    return MacScheme(
        header=text_option(given["header"]),
        algorithm=_one_of(given.get("algorithm", "sha256"), Algorithm),
        encoding=_one_of(given.get("encoding", "hex"), Encoding),
        signed=_one_of(given.get("signed", "body"), Signed),
    )


def verify_mac(scheme: MacScheme, delivery: Delivery, source: Source, now: datetime) -> Proof:
    """The proof of a delivery under the scheme. AuthenticationError."""
    presented = delivery.header(scheme.header)
    if scheme.signed == "timestamped":
        return _verify_timestamped(scheme, presented, delivery.body, source, now)
    matching = verify_hmac(
        presented,
        delivery.body,
        source.secrets,
        algorithm=scheme.algorithm,
        encoding=scheme.encoding,
    )
    return Proof(Trust.SIGNED, matching)


def _verify_timestamped(
    scheme: MacScheme, presented: str | None, body: bytes, source: Source, now: datetime
) -> Proof:
    if not presented or len(presented) > _MAX_HEADER:
        raise AuthenticationError("the delivery carries no signature")
    pairs = [part.strip().partition("=") for part in presented.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    # Two times would let one be checked and the other be signed.
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]):
        raise AuthenticationError("the signature carries no single time")
    if abs(now.timestamp() - int(times[0])) > source.tolerance.total_seconds():
        raise AuthenticationError("the signed time is too far away from our clock")
    macs = ",".join(value for name, _, value in pairs if name == "v1")
    content = f"{times[0]}.".encode() + body
    matching = verify_hmac(
        macs, content, source.secrets, algorithm=scheme.algorithm, encoding=scheme.encoding
    )
    return Proof(Trust.SIGNED, matching, datetime.fromtimestamp(int(times[0]), UTC))


def _one_of(value: object, choices: object) -> Any:
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}")
    return value
