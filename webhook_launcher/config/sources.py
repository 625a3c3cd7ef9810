"""The `sources:` section."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.config.secret import read_keys, read_secrets
from webhook_launcher.core.source import Kind, Secret, Source

# Shorter ones can be guessed: a URL token is the only thing between the network and a redeploy.
_MIN_TOKEN = 16


def read_source(section: Section, name: str, kinds: Mapping[str, Kind]) -> Source | None:
    """One source; None when its kind is not known (every problem is recorded)."""
    kind = kinds.get(section.take("kind", _one_of(kinds), "") or "")
    if kind is None:
        if "kind" not in section:
            section.problem("kind", f"is missing; known kinds: {', '.join(sorted(kinds))}")
        return None
    source = Source(
        name=name,
        kind=kind.name,
        registry=section.take("registry", values.registry, kind.registry),
        secrets=read_secrets(section, "secret", "secrets"),
        tokens=_tokens(section),
        keys=read_keys(section),
        header=section.take("header", values.text, kind.header) if kind.header else None,
        tolerance=timedelta(seconds=section.take("tolerance", values.duration, 300.0)),
        workloads=_scope(section),
        options=_options(section, kind),
    )
    section.finish()
    _check(section, source, kind)
    return source


def _one_of(kinds: Mapping[str, Kind]) -> Any:
    def parse(value: Any) -> str:
        if value not in kinds:
            raise ValueError(f"must be one of {', '.join(sorted(kinds))}")
        return str(value)

    return parse


def _tokens(section: Section) -> tuple[Secret, ...]:
    tokens = read_secrets(section, "token", "tokens")
    for token in tokens:
        if len(token.value) < _MIN_TOKEN or not token.value.decode("latin-1").isascii():
            section.problem("token", f"must be at least {_MIN_TOKEN} ASCII characters; try keygen")
        elif not all(c.isalnum() or c in "-._~" for c in token.value.decode("ascii")):
            section.problem("token", "must be letters, digits and -._~ since it is part of a URL")
    return tokens


def _scope(section: Section) -> frozenset[str] | None:
    names = section.take("workloads", values.names, None)
    return frozenset(names) if names is not None else None


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


def _check(section: Section, source: Source, kind: Kind) -> None:
    given = {
        "secrets": bool(source.secrets),
        "tokens": bool(source.tokens),
        "keys": bool(source.keys),
    }
    if kind.credentials and not any(given[key] for key in kind.credentials & given.keys()):
        wanted = {"secrets": "secret_file", "tokens": "token_file", "keys": "keys"}
        needed = " or ".join(sorted(wanted[key] for key in kind.credentials & given.keys()))
        section.problem("", f"needs {needed}: without it anybody could send events")
    for key in ("secrets", "keys"):
        if given[key] and key not in kind.credentials:
            section.problem(key, f"is not used by kind {kind.name}; it proves nothing there")
    if kind.needs_registry and source.registry is None:
        section.problem("registry", f"is missing: kind {kind.name} has no registry of its own")
