"""How much the journal is to keep, and what it may not be told to forget."""

from datetime import timedelta

import pytest

from tests.config.faults import faults_of, good, read, with_changes
from webhook_launcher.core.retention import LONGEST_REPLAY, Retention

KEY = {"id": "ci", "public_key": "whpk_iwMwjQ4JN1rHURfS0I80TuYM8u9V1Fkqur5iM4jdkQE="}


def test_what_is_not_written_is_kept_as_shipped() -> None:
    """The section is for those who have a reason."""
    shipped = Retention()
    sections: list[dict[str, object]] = [{}, {"keep": {}}, {"keep": {"deliveries": {}}}]
    for given in sections:
        kept = good("journal", given).retention
        assert (kept.age, kept.deliveries) == (timedelta(days=30), 100_000)
        assert (kept.deployments, kept.per_workload) == (10_000, 20)
        assert kept.age == shipped.age
    assert read(with_changes({})).retention.deliveries == shipped.deliveries


def test_every_number_can_be_given() -> None:
    """In the words of the rest of the file."""
    deliveries = {"age": "72h", "count": 5000}
    deployments = {"count": 500, "per_workload": 50}
    kept = good(
        "journal", {"keep": {"deliveries": deliveries, "deployments": deployments}}
    ).retention
    assert (kept.age, kept.deliveries) == (timedelta(days=3), 5000)
    assert (kept.deployments, kept.per_workload) == (500, 50)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("deliveries.age", "47h", "must be at least 2d: for so long an event with the longest"),
        ("deliveries.age", "10m", "must be at least 2d"),
        ("deliveries.age", 30, "must be a duration such as"),
        ("deliveries.age", "0d", "must be more than 0"),
        ("deliveries.age", "400d", "must be at most 366d"),
        ("deliveries.age", "off", "must be a duration"),
        ("deliveries.count", 999, "must be a whole number from 1000 to 10000000"),
        ("deliveries.count", "1000", "must be a whole number"),
        ("deliveries.count", True, "must be a whole number"),
        ("deployments.count", 99, "must be a whole number from 100 to 10000000"),
        ("deployments.per_workload", 9, "must be a whole number from 10 to 10000"),
        ("deployments.age", "30d", "is not a known key"),
        ("deliverys", {}, "did you mean 'deliveries'"),
    ],
)
def test_what_cannot_be_kept_to_is_found_by_check(path: str, value: object, words: str) -> None:
    """With its place and the bound; not when a replay was let in."""
    assert words in faults_of(f"journal.keep.{path}", value)[f"journal.keep.{path}"]


@pytest.mark.parametrize("path", ["journal", "journal.keep", "journal.keep.deliveries"])
def test_a_number_is_no_section(path: str) -> None:
    """`keep: 30d` says of nothing what is kept."""
    assert "must be a mapping" in faults_of(path, "30d")[path]


def test_the_shortest_age_outlives_the_longest_tolerance() -> None:
    """An event signed a day ahead is good until it is a day old; both bounds are one decision."""
    source = {"kind": "deploy", "tolerance": "1d", "keys": [KEY]}
    kept = read(
        with_changes({"sources.ci": source, "journal": {"keep": {"deliveries": {"age": "2d"}}}})
    ).retention
    assert kept.replayable["ci"] == kept.age == LONGEST_REPLAY
    assert "tolerance" in str(faults_of("sources.ci", {**source, "tolerance": "25h"}))


def test_it_is_known_of_each_source_how_long_it_could_be_repeated() -> None:
    """By what it signs: a longer tolerance keeps its ids for longer in a flood."""
    source = {"kind": "deploy", "tolerance": "20m", "keys": [KEY]}
    assert good("sources.ci", source).retention.replayable["ci"] == timedelta(minutes=40)


def test_releases_whose_images_are_kept_are_kept() -> None:
    """`keep` of a workload is told by its deployments."""
    [name] = list(read(with_changes({})).workloads)[:1]
    path = f"workloads.{name}.keep"
    assert good(path, 100).retention.per_workload == 100
    assert good(path, "all").retention.per_workload == 20
    assert good(path, 3).retention.per_workload == 20
