"""The `sources:` section."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.config.secret import is_given, read_keys, read_secrets, read_tokens
from webhook_launcher.core.retention import LONGEST_TOLERANCE
from webhook_launcher.core.source import Kind, Source

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_WAYS = {
    "secrets": ("secret_file", ("secret", "secrets")),
    "tokens": ("token_file", ("token", "tokens")),
    "keys": ("keys", ("keys",)),
}


def read_source(section: Section, name: str, kinds: Mapping[str, Kind]) -> Source | None:
    """One source; None when its kind is not known (every problem is recorded)."""
    values.check_name(section, name)
    if "kind" not in section:
        section.problem("kind", f"is missing; known kinds: {', '.join(sorted(kinds))}")
        return None
    kind = kinds.get(section.take("kind", _one_of(kinds), ""))
    if kind is None:
        return None
    source = Source(
        name=name,
        kind=kind.name,
        registry=section.take("registry", values.registry, kind.registry),
        secrets=read_secrets(section, "secret", "secrets"),
        tokens=read_tokens(section, "token", "tokens"),
        keys=read_keys(section),
        header=section.take("header", _header, kind.header) if kind.header else None,
        tolerance=timedelta(seconds=section.take("tolerance", _tolerance, 300.0)),
        workloads=_scope(section),
        options=_options(section, kind),
        overrides=_overrides(section, kind),
    )
    if kind.jwks is not None:
        source = replace(source, key_set=_key_set(section, kind.jwks(source)))
    section.finish()
    _check_credentials(section, kind)
    if kind.needs_registry and source.registry is None and "registry" not in section:
        section.problem("registry", f"is missing: kind {kind.name} has no registry of its own")
    return source


def _one_of(kinds: Mapping[str, Kind]) -> Any:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or value not in kinds:
            raise ValueError(f"must be one of {', '.join(sorted(kinds))}")
        return value

    return parse


def _header(value: Any) -> str:
    if not _HEADER.fullmatch(values.text(value)):
        raise ValueError("must be the name of a header, such as Authorization")
    return str(value)


def _tolerance(value: Any) -> float:
    """Far below the time for which delivery ids are remembered, or a replay could outlive them."""
    seconds = values.duration(value)
    if seconds > LONGEST_TOLERANCE.total_seconds():
        raise ValueError("must be at most 1d: for so long a captured event could be sent again")
    return seconds


def _key_set(section: Section, address: str) -> str:
    """An https URL, or a file, relative to the configuration; anything else would answer 401."""
    if address.startswith("https://"):
        return address
    path = section.base / address
    if "://" in address or not path.is_file():
        section.problem("jwks", "must be an https:// URL or an existing file with a JWK set")
    return str(path)


def _scope(section: Section) -> frozenset[str] | None:
    """Fails closed: a scope that cannot be read is no scope at all, not every workload."""
    nobody: tuple[str, ...] = ()
    names = section.take("workloads", values.names, nobody)
    return frozenset(names) if "workloads" in section else None


def _overrides(section: Section, kind: Kind) -> frozenset[str]:
    """Where there are keys each has its own; where the proof is a token it is the source's."""
    nothing: frozenset[str] = frozenset()
    if "override" not in section:
        return nothing
    found = section.take("override", values.overrides, nothing)
    if "keys" in kind.credentials or not kind.deploys:
        place = "beside each of its keys" if kind.deploys else "only with signed deploy events"
        section.problem("override", f"is not used here by kind {kind.name}; write it {place}")
    return found


def _options(section: Section, kind: Kind) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, parse in kind.options.items():
        if key in kind.required_options:
            found[key] = section.take(key, parse)
        else:
            value = section.take(key, parse, None)
            if value is not None:
                found[key] = value
    return found


def _check_credentials(section: Section, kind: Kind) -> None:
    """By what is written, not by what could be read: an unreadable file is reported as such."""
    given = {way: any(is_given(section, key) for key in keys) for way, (_, keys) in _WAYS.items()}
    wanted = sorted(kind.credentials & given.keys())
    if wanted and not any(given[way] for way in wanted):
        needed = " or ".join(_WAYS[way][0] for way in wanted)
        section.problem("", f"needs {needed}: without it anybody could send events")
    written = frozenset(way for way in _WAYS if given[way])
    written |= {key for key in ("header", *kind.options) if key in section}
    for key, message in kind.check(written).items():
        section.problem(_spelling(section, key), message)
    for way in ("secrets", "keys"):
        if given[way] and way not in kind.credentials:
            section.problem(
                _spelling(section, way), f"is not used by kind {kind.name}; it proves nothing there"
            )


def _spelling(section: Section, key: str) -> str:
    """A credential as it is written there: `secrets`, `secret` or `secret_file`."""
    keys = _WAYS[key][1] if key in _WAYS else (key,)
    spellings = [name for one in keys for name in (one, f"{one}_file")]
    return next((name for name in spellings if name in section), key)
