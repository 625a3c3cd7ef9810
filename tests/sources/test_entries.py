"""Lists in a delivery: what one bad entry may cost, and what it may not."""

from typing import Any

import pytest

from tests.sources.senders import MISSING, changed, pushed, recorded, source
from webhook_launcher.core.errors import ContradictionError, MalformedEventError
from webhook_launcher.core.source import Delivery
from webhook_launcher.sources import read

ACR = {
    "id": "1",
    "eventType": "Microsoft.ContainerRegistry.ImagePushed",
    "data": {
        "target": {"repository": "web", "tag": "stable"},
        "request": {"host": "acme.azurecr.io"},
    },
}
# Kind, where its list is, what its recording has there, an unusable entry, its place in the text.
LISTS: list[tuple[str, str, int, Any, str]] = [
    ("distribution", "events", 1, {"action": 5}, "events[1].action"),
    ("distribution", "events", 1, "x", "events[1] is not a JSON object"),
    ("gitlab", "events", 1, {"action": "push", "target": []}, "events[1].target"),
    ("harbor", "event_data.resources", 1, {"tag": []}, "event_data.resources[1].tag"),
    ("quay", "updated_tags", 2, "no tag!", "updated_tags[2]"),
    ("quay", "updated_tags", 2, 5, "updated_tags[2]"),
]


def given(kind: str) -> Any:
    """A source that takes what the recordings name."""
    return source(kind, registry="registry.example.com" if kind == "generic" else None)


@pytest.mark.parametrize(("kind", "where", "length", "bad", "named"), LISTS)
def test_an_unusable_entry_costs_no_good_neighbour(
    kind: str, where: str, length: int, bad: Any, named: str
) -> None:
    """The push beside it is real, and the sender will not send it again; the bad one is told."""
    alone = read(recorded(kind), given(kind))
    beside = read(changed(recorded(kind), (f"{where}.{length}", bad)), given(kind))
    assert beside.mentions == alone.mentions != ()
    assert alone.refused == ()
    assert len(beside.refused) == 1
    assert named in beside.refused[0]


def test_a_generic_list_names_the_entry() -> None:
    """The path of a mapping is the same for every entry; only the number tells them apart."""
    body = changed(recorded("generic"), ("images", [good(), {**good(), "name": "UPPER"}]))
    statement = read(body, given("generic"))
    assert [str(m.reference) for m in statement.mentions] == ["registry.example.com/acme/web:a"]
    assert statement.refused[0].startswith("malformed-event: images[1]: name")


def good() -> dict[str, Any]:
    """An entry that the recording's mapping reads."""
    return {"name": "acme/web", "labels": {"tag": "a"}}


def test_event_grids_events_are_each_read_for_themselves() -> None:
    """It batches: another image's event in the batch must not cost ours."""
    bad = {**ACR, "data": {"target": {"repository": "web", "tag": "stable", "digest": "sha256:1"}}}
    delivery = changed(Delivery({}, b'{"all": []}'), ("all", [5, ACR, bad]))
    batch = Delivery({}, delivery.body.removeprefix(b'{"all": ').removesuffix(b"}"))
    statement = read(batch, source("acr"))
    assert statement.mentions == (pushed("acme.azurecr.io/web:stable"),)
    assert len(statement.refused) == 2
    assert statement.refused[0] == "malformed-event: [0] is not a JSON object"


@pytest.mark.parametrize(
    ("kind", "where", "fault"),
    [
        ("harbor", "event_data.resources.0.tag", "other"),
        ("distribution", "events.0.target.digest", f"sha256:{'9' * 64}"),
    ],
)
def test_when_no_entry_is_of_use_the_delivery_is_refused(kind: str, where: str, fault: str) -> None:
    """A list of one is one event: what contradicts itself is an error, as ever."""
    once = changed(recorded(kind), (where, fault))
    with pytest.raises(ContradictionError, match=r"(tag|digest) and .*url disagree"):
        read(once, source(kind))


def test_an_error_beside_entries_that_are_no_push_is_still_an_error() -> None:
    """Answered as ignored, nobody would ever look at it."""
    mixed = changed(
        recorded("distribution"),
        ("events.0.action", "pull"),
        ("events.1", {"action": 5}),
    )
    with pytest.raises(MalformedEventError, match=r"events\[1\].action"):
        read(mixed, source("distribution"))


def test_hundreds_of_faults_make_a_short_text() -> None:
    """It goes into the journal, the log and the answer."""
    tags = ["stable", *(f"no tag {number}" for number in range(200))]
    statement = read(changed(recorded("quay"), ("updated_tags", tags)), source("quay"))
    assert len(statement.refused) == 4
    assert statement.refused[-1] == "and 197 more"


def test_a_list_that_is_too_long_is_refused_as_a_whole() -> None:
    """No sender makes one; reading it is work that a stranger could ask for."""
    with pytest.raises(MalformedEventError, match="more than 256"):
        read(changed(recorded("quay"), ("updated_tags", ["a"] * 257)), source("quay"))


@pytest.mark.parametrize("name", ["id", "action"])
def test_a_field_of_the_wrong_type_in_one_event_hides_no_other(name: str) -> None:
    """The id too: it only serves to recognise a repetition."""
    body = changed(recorded("distribution"), ("events.1", {"action": "pull"}))
    odd = changed(body, (f"events.1.{name}", {"x": 1}))
    assert read(odd, source("distribution")).mentions
    assert read(changed(odd, ("events.0.id", MISSING)), source("distribution")).mentions
