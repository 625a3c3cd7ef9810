"""Policies that judge what the verified bytes say: platform, labels, size."""

from dataclasses import replace

import pytest

from tests.core.policies.judged import FACTS, candidate, without_facts
from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Evidence, Need
from webhook_launcher.core.model import Action, Platform
from webhook_launcher.core.policies import Labels, MaxSize, OfPlatform
from webhook_launcher.core.policy import Candidate, Policy

AMD64 = OfPlatform(Platform("linux", "amd64"))
VENDOR = Labels({"vendor": "acme"})
SMALL = MaxSize(3 * 1024 * 1024)
ALL: list[Policy] = [AMD64, VENDOR, SMALL]


def made_for(platform: Platform) -> Candidate:
    """An image whose configuration says so."""
    return candidate(Evidence(replace(FACTS, platform=platform)))


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.name)
class TestEachOfThem:
    def test_refuses_what_was_not_looked_at(self, policy: Policy) -> None:
        """A question without an answer is not a yes."""
        with pytest.raises(PolicyRefusedError, match="was not looked at") as refused:
            policy.verify(without_facts())
        assert refused.value.policy == policy.name

    def test_asks_for_it(self, policy: Policy) -> None:
        """Or it would refuse for ever."""
        assert policy.needs == {Need.FACTS}

    @pytest.mark.parametrize("action", list(Action))
    def test_holds_for_whatever_is_asked(self, policy: Policy, action: Action) -> None:
        """What an image is does not change by its having run here."""
        wrong = replace(FACTS, platform=Platform("plan9", "vax"), labels={}, size=10**12)
        policy.verify(candidate(action=action))
        with pytest.raises(PolicyRefusedError):
            policy.verify(candidate(Evidence(wrong), action=action))


@pytest.mark.parametrize("found", ["linux/arm64", "windows/amd64", "//", "linux/"])
def test_another_platform_is_refused(found: str) -> None:
    """Emulated, or not at all."""
    parts = found.split("/")
    with pytest.raises(PolicyRefusedError, match="not for linux/amd64"):
        AMD64.verify(made_for(Platform(parts[0], parts[1])))


def test_a_variant_counts_where_one_is_wanted() -> None:
    """arm/v7 code does not run on a v6."""
    old = OfPlatform(Platform("linux", "arm", "v6"))
    with pytest.raises(PolicyRefusedError):
        old.verify(made_for(Platform("linux", "arm", "v7")))
    assert OfPlatform(Platform("linux", "arm")).verify(made_for(Platform("linux", "arm", "v7")))


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({}, "has no label vendor"),
        ({"Vendor": "acme"}, "has no label vendor"),
        ({"vendor": "ACME"}, "another value, 'ACME'"),
        ({"vendor": ""}, "another value, ''"),
        ({"vendor": "acme\x1b[2J"}, r"another value, 'acme\\x1b\[2J'"),
    ],
)
def test_a_label_is_there_with_exactly_this_value(labels: dict[str, str], why: str) -> None:
    """And what is shown of a foreign one obeys no terminal."""
    with pytest.raises(PolicyRefusedError, match=why):
        VENDOR.verify(candidate(Evidence(replace(FACTS, labels=labels))))


def test_one_byte_more_is_too_large() -> None:
    """The limit itself is allowed."""
    assert SMALL.verify(candidate()) == "3.0 MiB"
    with pytest.raises(PolicyRefusedError, match=r"more than the 3\.0 MiB"):
        SMALL.verify(candidate(Evidence(replace(FACTS, size=FACTS.size + 1))))
