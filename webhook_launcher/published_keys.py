"""Gives the sources whose senders publish their keys a way to ask for them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from webhook_launcher.adapters.signing_keys import Certificates, KeySet, parse_key_set
from webhook_launcher.core.source import KEY_LOOKUP, KeyLookup, Source
from webhook_launcher.sources import KINDS
from webhook_launcher.sources.sns import key_of_certificate


def with_key_lookups(
    sources: Mapping[str, Source], monotonic: Callable[[], float]
) -> dict[str, Source]:
    """The same sources; those of a kind with published keys can look them up."""
    return {name: _with_lookup(source, monotonic) for name, source in sources.items()}


def _with_lookup(source: Source, monotonic: Callable[[], float]) -> Source:
    kind = KINDS[source.kind]
    lookup: KeyLookup
    if source.key_set is not None:
        lookup = KeySet(source.key_set, parse_key_set, monotonic)
    elif kind.certificates:
        lookup = Certificates(key_of_certificate, monotonic)
    else:
        return source
    return replace(source, options={**source.options, KEY_LOOKUP: lookup})
