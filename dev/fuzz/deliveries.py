"""Every kind's authentication and reading, on bytes that atheris thinks up.

What must hold: nothing but EventError is raised, nothing is authentic without a credential (also
when the configured one is empty), and what is accepted is in bounds. The corpus starts from the
project's own recordings, whole and twisted: duplicate keys, NaN, depth, charsets, forms, cuts.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["webhook_launcher"]):
    from fuzz.seeds import configured, seeds, without_credentials
    from webhook_launcher.core.errors import AuthenticationError, EventError
    from webhook_launcher.core.source import Delivery, Source
    from webhook_launcher.sources import read, receive

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
# Every header that a kind reads.
NAMES = (
    "content-type",
    "authorization",
    "x-hub-signature-256",
    "x-github-event",
    "x-github-delivery",
    "x-gitea-event",
    "x-gitea-delivery",
    "x-gitea-signature",
    "x-forgejo-event",
    "x-forgejo-delivery",
    "ce-id",  # the index of a line feed: never a seed's
    "x-forgejo-signature",
    "x-gitlab-token",
    "idempotency-key",
    "ce-type",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "x-nexus-webhook-id",
    "x-nexus-webhook-delivery",
    "x-nexus-webhook-signature",
    "x-jfrog-event-auth",
    "x-goog-pubsub-message-id",
    "x-api-key",
    "x-delivery",
    "x-signature",
)
_TOKENS = (None, "", "guess", "\udcff", "\u20ac")
_LONGEST_ID = 300
_LONGEST_TEXT = 5000


class UnsoundError(Exception):
    """Something was accepted that must not be."""


def one_input(raw: bytes) -> None:
    """Source, URL token, a header per line up to an empty one, the body."""
    if len(raw) < 2:
        return
    source = configured()[raw[0] % len(configured())]
    head, _, body = raw[2:].partition(b"\n\n") if raw[2:3] != b"\n" else (b"", b"", raw[3:])
    headers = {}
    for line in head.split(b"\n")[:16]:
        if line:
            headers[NAMES[line[0] % len(NAMES)]] = line[1:].decode("latin-1")
    delivery = Delivery(headers, body, _TOKENS[raw[1] % len(_TOKENS)])
    for registry in (source.registry, None, "registry.example.com"):
        _check_reading(delivery, replace(source, registry=registry))
    _check_authentication(delivery, source)


def _check_reading(delivery: Delivery, source: Source) -> None:
    try:
        statement = read(delivery, source)
    except EventError:
        return
    if not statement.mentions and not statement.ignored:
        raise UnsoundError("it says nothing, and not why")
    if statement.delivery_id is not None and len(statement.delivery_id) > _LONGEST_ID:
        raise UnsoundError("the delivery id is not bounded")
    texts = (statement.delivery_id, statement.actor, statement.reason, statement.ignored)
    for text in (*texts, *statement.refused):
        (text or "").encode()  # what cannot be stored would fail in the journal
        if len(text or "") > _LONGEST_TEXT:
            raise UnsoundError("a text is not bounded")
    json.dumps([str(mention.reference) for mention in statement.mentions])


def _check_authentication(delivery: Delivery, source: Source) -> None:
    """Its secrets are 32 random bytes: whoever gets in has found a hole."""
    for given in (source, *without_credentials(source)):
        try:
            receive(delivery, given, NOW)
        except AuthenticationError:
            continue
        except EventError as error:
            raise UnsoundError(f"read before it was authentic: {error!r}") from error
        raise UnsoundError(f"accepted without a credential by {given.kind}")


def main() -> None:
    """`deliveries.py CORPUS -max_total_time=60 …`: libFuzzer's own options."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for name, raw in seeds(NAMES):
        (corpus / f"seed-{name}").write_bytes(raw)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
