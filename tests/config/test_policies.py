"""The `policy:` list: what it becomes, and that nothing in it is ever skipped."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.config.faults import faults_of, good
from tests.signing import Signer
from webhook_launcher.core.evidence import Check
from webhook_launcher.core.model import Platform
from webhook_launcher.core.policies import (
    Command,
    Labels,
    MaxSize,
    MinimumAge,
    NoDowngrade,
    OfPlatform,
    RequireTrust,
    SignedBy,
)

PLACE = "workloads.web.policy"


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ({"minimum_age": "72h"}, MinimumAge(timedelta(hours=72))),
        ({"require_trust": "signed"}, RequireTrust()),
        ({"platform": "linux/amd64"}, OfPlatform(Platform("linux", "amd64"))),
        ({"platform": "linux/arm/v7"}, OfPlatform(Platform("linux", "arm", "v7"))),
        ({"labels": {"a.b/c": "d"}}, Labels({"a.b/c": "d"})),
        ({"max_size": "5GiB"}, MaxSize(5 * 1024**3)),
        ("no_downgrade", NoDowngrade()),
        ({"no_downgrade": {}}, NoDowngrade()),
        ({"no_downgrade": {"label": "x", "max_major_step": 1}}, NoDowngrade("x", 1)),
        ({"command": ["scan", "x"]}, Command(Check(("scan", "x")))),
        ({"command": {"argv": ["scan"], "timeout": "2m"}}, Command(Check(("scan",), 120.0))),
    ],
)
def test_each_policy_is_read(written: dict[str, Any] | str, policy: object) -> None:
    """As docs/configuration.md writes it."""
    assert good(PLACE, [written]).workloads["web"].policies == (policy,)


def test_a_version_in_an_annotation_is_that_of_who_signs(tmp_path: Path) -> None:
    """Without a signer beside it nobody's word would count."""
    written = {"no_downgrade": {"annotation": "version"}}
    assert (
        "needs a signed_by policy"
        in faults_of(PLACE, [written])[f"{PLACE}[0].no_downgrade.annotation"]
    )
    key = tmp_path / "key.pub"
    key.write_bytes(Signer("a").pem)
    signer = {"signed_by": {"keys": [{"id": "a", "key_file": str(key)}]}}
    for listed in ([signer, written], [written, signer]):
        policies = good(PLACE, listed).workloads["web"].policies
        [found] = [one for one in policies if isinstance(one, NoDowngrade)]
        [signed_by] = [one for one in policies if isinstance(one, SignedBy)]
        assert (found.annotation, found.signatures) == ("version", signed_by)
    unreadable = {"signed_by": {"keys": [{"id": "a", "key_file": str(tmp_path / "gone")}]}}
    assert list(faults_of(PLACE, [unreadable, written])) == [
        f"{PLACE}[0].signed_by.keys[0].key_file"
    ]
    both = {"no_downgrade": {"annotation": "version", "label": "x"}}
    assert "both label and annotation" in str(faults_of(PLACE, [signer, both]))


def test_the_order_of_the_list_is_kept() -> None:
    """The first refusal is what is told, and cheap questions may be put first."""
    written = [{"max_size": "1GiB"}, {"minimum_age": "1h"}, {"max_size": "2GiB"}]
    found = good(PLACE, written).workloads["web"].policies
    assert [policy.name for policy in found] == ["max_size", "minimum_age", "max_size"]


def test_a_program_is_relative_to_the_file(tmp_path: Path) -> None:
    """Like that of every other command."""
    found = good(PLACE, [{"command": ["./scan"]}], tmp_path / "c.yml").workloads["web"].policies
    assert found == (Command(Check((str(tmp_path / "scan"),))),)


@pytest.mark.parametrize(
    ("item", "place", "why"),
    [
        ("signature", "[0].signature", "is not a known key"),
        ({"minimum_ages": "72h"}, "[0].minimum_ages", "did you mean 'minimum_age'?"),
        ({}, "[0]", "names no policy"),
        ([], "[0]", "must be a mapping"),
        (5, "[0]", "must be a mapping"),
        ({"minimum_age": "1h", "max_size": "1GiB"}, "[0]", "names several policies"),
        ({"minimum_age": 72}, "[0].minimum_age", "must be a duration"),
        ({"minimum_age": "0h"}, "[0].minimum_age", "more than 0"),
        ("minimum_age", "[0].minimum_age", "must be a duration"),
        ({"require_trust": "token"}, "[0].require_trust", "must be signed"),
        ({"require_trust": "poll"}, "[0].require_trust", "must be signed"),
        ({"platform": "amd64"}, "[0].platform", "such as linux/amd64"),
        ({"platform": "linux//v7"}, "[0].platform", "such as linux/amd64"),
        ({"platform": "Linux/AMD64"}, "[0].platform", "such as linux/amd64"),
        ({"no_downgrade": False}, "[0].no_downgrade", "must be a mapping"),
        ({"no_downgrade": "1.2"}, "[0].no_downgrade", "must be a mapping"),
        ({"no_downgrade": {"lable": "x"}}, "[0].no_downgrade.lable", "did you mean 'label'"),
        ({"no_downgrade": {"label": ""}}, "[0].no_downgrade.label", "must not be empty"),
        ({"no_downgrade": {"max_major_step": -1}}, "[0].no_downgrade.max_major_step", "from 0"),
        ({"labels": {}}, "[0].labels", "at least one label"),
        ({"labels": {"a": 1}}, "[0].labels", "in quotes"),
        ({"max_size": "0B"}, "[0].max_size", "must be a size"),
        ({"max_size": 5}, "[0].max_size", "must be a size"),
        ({"command": []}, "[0].command", "list of strings"),
        ({"command": "scan x"}, "[0].command", "list of strings"),
        ({"command": {"argv": ["a"], "time": "1s"}}, "[0].command", "{argv: [...], timeout: 30s}"),
        ({"command": {"timeout": "1s"}}, "[0].command", "{argv: [...], timeout: 30s}"),
        ({"command": {"argv": ["a"], "timeout": 5}}, "[0].command", "must be a duration"),
    ],
)
def test_what_cannot_be_read_refuses_the_file(item: object, place: str, why: str) -> None:
    """Fails closed: images would run that the user believes to be refused."""
    found = faults_of(PLACE, [item])
    assert why in found[f"{PLACE}{place}"]


@pytest.mark.parametrize("value", [[], ["labels"], "minimum_age", ["minimum_age", 1], True])
def test_a_key_overrides_minimum_age_and_nothing_else(value: object) -> None:
    """What an image is, no sender may decide."""
    key = {"id": 1, "secret": "whsec_" + "A" * 40, "override": value}
    found = faults_of("sources.ci.keys", [key])
    assert found == {"sources.ci.keys[0].override": "must be a list of minimum_age"}


def test_the_key_that_may_override_is_the_one_that_says_so() -> None:
    """Not the source: another key of it may have leaked."""
    keys = [
        {"id": 1, "secret": "whsec_" + "A" * 40, "override": ["minimum_age"]},
        {"id": 2, "secret": "whsec_" + "B" * 40},
    ]
    source = good("sources.ci.keys", keys).sources["ci"]
    assert source.may_override("1") == {"minimum_age"}
    assert source.may_override("2") == source.may_override(None) == frozenset()


@pytest.mark.parametrize("source", ["ci", "hub"])
def test_a_source_as_a_whole_overrides_only_where_its_proof_is_a_token(source: str) -> None:
    """Beside the keys, or with nothing that could carry an override, it would be a riddle."""
    assert f"sources.{source}.override" in faults_of(f"sources.{source}.override", ["minimum_age"])
