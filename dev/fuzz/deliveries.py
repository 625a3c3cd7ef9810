"""Every kind's authentication and reading, and replay's, on bytes that atheris thinks up.

What must hold: nothing but EventError is raised, nothing is authentic without a credential, and
what is accepted is in bounds. The corpus starts from the project's own recordings.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["webhook_launcher"]):
    from fuzz.seeds import configured, seed
    from webhook_launcher.core.errors import AuthenticationError, EventError
    from webhook_launcher.core.source import Delivery, Source
    from webhook_launcher.sources import KINDS, read, receive

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
_KINDS = sorted(KINDS)
_NAMES = (
    "content-type",
    "authorization",
    "x-hub-signature-256",
    "x-github-event",
    "x-github-delivery",
    "x-gitea-event",
    "x-gitlab-token",
    "ce-type",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-amz-sns-message-type",
    "x-nexus-webhook-signature",
    "x-jfrog-event-auth",
)
_LONGEST_ID = 300


class UnsoundError(Exception):
    """Something was accepted that must not be."""


def one_input(raw: bytes) -> None:
    """First byte: the kind; then headers, a line each, up to an empty one; the rest is the body."""
    if not raw:
        return
    source = configured(_KINDS[raw[0] % len(_KINDS)])
    head, _, body = raw[1:].partition(b"\n\n")
    headers = {}
    for line in head.split(b"\n")[:16]:
        if line:
            name = _NAMES[line[0] % len(_NAMES)]
            headers[name] = line[1:].decode("latin-1")
    delivery = Delivery(headers, body, None)
    _check_reading(delivery, source)
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
    for text in (statement.delivery_id, statement.actor, statement.reason, statement.ignored):
        (text or "").encode()  # what cannot be stored would fail in the journal
    json.dumps([str(mention.reference) for mention in statement.mentions])


def _check_authentication(delivery: Delivery, source: Source) -> None:
    """Its secrets are 32 random bytes: whoever gets in has found a hole."""
    for given in (source, replace(source, secrets=(), tokens=(), keys=())):
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
    for number, kind in enumerate(_KINDS):
        (corpus / f"seed-{kind}").write_bytes(seed(kind, number, _NAMES))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
