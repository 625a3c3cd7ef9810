"""`WWW-Authenticate`: what a registry asks for (RFC 9110 section 11.6.1)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - RFC 9110's word for a run of characters
# A parameter is taken whole, so a comma or a word inside its quotes is never read as the start of
# another challenge. A quote that is not closed ends where the header ends.
_PARTS = re.compile(
    rf'(?P<key>{_TOKEN})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*+)(?:"|\Z)|(?P<plain>[^\s,"]*+))'
    rf"|(?P<scheme>{_TOKEN})",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate: the scheme in lower case, parameters with lower-case names.

    Values keep their case: a realm's path may depend on it.
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Every challenge of the header, in order; text that fits nowhere is passed over."""
    found: list[tuple[str, dict[str, str]]] = []
    for part in _PARTS.finditer(header):
        if part["scheme"]:
            found.append((part["scheme"].lower(), {}))
        elif found:
            quoted = part["quoted"]
            value = part["plain"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
            # The first of two equal names counts: what follows may be an attempt to override it.
            found[-1][1].setdefault(part["key"].lower(), value)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)
