"""Every recorded delivery of `../shared/payloads`, read by the kind it belongs to.

What is ignored here is who sent it: most credentials of the recordings are gone.
"""

from typing import Any

import pytest

from tests.sources.recordings import (
    CDEVENTS,
    DISAGREEMENTS,
    ENTRIES,
    EXPECTED,
    HOST,
    KIND_OF,
    PAYLOADS,
    POLICY,
    require_recordings,
)
from tests.sources.senders import http, options, source
from webhook_launcher.core.errors import EventError
from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.sources import KINDS, read

require_recordings()


def delivery_of(entry: dict[str, Any]) -> Delivery:
    """With headers where they are recorded; the files' last line feed was not sent."""
    path = PAYLOADS / entry["file"]
    if entry["http"]:
        return http(path.with_suffix(".http").read_text(encoding="utf-8"))
    return Delivery({}, path.read_bytes().removesuffix(b"\n"))


def source_of(entry: dict[str, Any]) -> Source:
    """Configured with a registry only where the entry or the kind needs one."""
    kind = KINDS[KIND_OF.get(entry["provider"], entry["provider"])]
    nameless = any(intent["registry"] == "{host}" for intent in entry["intents"])
    needed = HOST if nameless or kind.needs_registry else None
    given = options(kind.name)
    if entry["provider"] == "cdevents":
        given = {name: kind.options[name](value) for name, value in CDEVENTS.items()}
    return source(kind.name, registry=kind.registry or needed, options=given)


def outcome(delivery: Delivery, given: Source) -> tuple[str, list[dict[str, str | None]]]:
    """What a delivery leads to, whoever sent it."""
    try:
        statement = read(delivery, given)
    except EventError:
        return "reject", []
    images = [mention.reference for mention in statement.mentions if mention.reference]
    references = [
        {
            "registry": image.repository.registry,
            "repository": image.repository.path,
            "tag": image.tag,
            "digest": image.digest,
        }
        for image in images
    ]
    return ("intent" if references else "ignored"), references


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_a_recorded_delivery_leads_to_what_the_manifest_says(entry: dict[str, Any]) -> None:
    """Real bodies have what no documentation mentions; the manifest says what each leads to."""
    known = {**POLICY, **DISAGREEMENTS}
    wanted = known.get(entry["file"], EXPECTED.get(entry["outcome"], entry["outcome"]))
    made, references = outcome(delivery_of(entry), source_of(entry))
    assert made == wanted
    expected = entry["intents"] if wanted == "intent" else []
    assert references == [
        {**intent, "registry": intent["registry"].replace("{host}", HOST)} for intent in expected
    ]


@pytest.mark.parametrize("name", [*POLICY, *DISAGREEMENTS])
def test_what_is_listed_here_is_in_the_manifest(name: str) -> None:
    """A renamed entry must not leave a line behind that says nothing."""
    assert name in {entry["file"] for entry in ENTRIES}
