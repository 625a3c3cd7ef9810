import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import START, digest, image_of
from tests.receipts import ENDED, KEY, OTHER_KEY, STABLE, A, B, chain, chain_of, ended
from webhook_launcher import __version__
from webhook_launcher.core.dsse import PublicKey, claimed, seal
from webhook_launcher.core.errors import BrokenChainError
from webhook_launcher.core.model import Deployment, Image, Origin, Platform, Status, Trust
from webhook_launcher.core.receipts import (
    MAX_ENVELOPE,
    MAX_TEXT,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    Chain,
    Head,
    receipt,
    verify,
)

CHAIN = chain_of(5)
HEADS = [Head.of(number, envelope) for number, envelope in enumerate(CHAIN, start=1)]
PUBLIC = (KEY.public,)


def statement(envelope: bytes) -> Any:
    """What it says."""
    return json.loads(claimed(envelope))


def broken(
    envelopes: Sequence[bytes], *heads: Head, keys: Sequence[PublicKey] = PUBLIC
) -> BrokenChainError:
    """The first break."""
    with pytest.raises(BrokenChainError) as caught:
        verify(envelopes, keys, heads)
    return caught.value


def signed_anew(envelope: bytes, change: Callable[[Any], None]) -> bytes:
    """A statement changed by the holder of the key."""
    changed = statement(envelope)
    change(changed)
    return seal(PAYLOAD_TYPE, json.dumps(changed).encode(), KEY)


class TestStatement:
    def test_it_is_an_in_toto_statement_about_the_image(self) -> None:
        """The field names and the type are those that common tools read."""
        said = statement(receipt(ENDED, None, KEY))
        assert said["_type"] == "https://in-toto.io/Statement/v1"
        assert said["subject"] == [
            {"name": "ghcr.io/acme/web", "digest": {"sha256": A.removeprefix("sha256:")}}
        ]
        assert said["predicateType"] == PREDICATE_TYPE == "urn:webhook-launcher:receipt:v1"

    def test_it_says_what_was_done_and_on_what_evidence(self) -> None:
        """Who asked, what the registry answered, which rules held, when, how it ended."""
        config = digest(f"config of {A}")
        assert statement(receipt(ENDED, None, KEY))["predicate"] == {
            "sequence": 1,
            "deployment": "d1",
            "workload": "web",
            "status": "success",
            "rollback": False,
            "askedBy": {
                "trust": "signed",
                "source": "ci",
                "secretId": "key-1",
                "delivery": "delivery",
                "actor": "octocat",
                "reason": "run 8812",
                "signedOn": "2026-03-01T12:00:00.000Z",
            },
            "image": {
                "reference": "ghcr.io/acme/web:stable",
                "digest": A,
                "manifest": A,
                "config": config,
                "mediaType": "application/x",
                "platform": "linux/amd64",
            },
            "policies": [
                {"policy": "repository", "holds": True, "said": "it is of ghcr.io/acme/web"}
            ],
            "startedOn": "2026-03-01T12:00:00.000Z",
            "finishedOn": "2026-03-01T12:00:02.500Z",
            "launcher": {"version": __version__},
        }

    def test_policies_that_the_asker_overrode_are_named(self) -> None:
        """Whoever reads it must see that a rule was set aside, and by whom."""
        overriding = replace(ENDED.origin, overrides=frozenset({"minimum_age"}))
        said = statement(receipt(replace(ENDED, origin=overriding), None, KEY))["predicate"]
        assert said["askedBy"]["overrides"] == ["minimum_age"]

    def test_a_failure_and_its_rollback_refer_to_each_other(self) -> None:
        """Why the former release is back must be found from either."""
        failed = replace(
            ENDED,
            status=Status.FAILURE,
            code="unhealthy",
            detail="web-1 is unhealthy",
            output="the container's log: not for a receipt",
            previous=image_of(STABLE, B),
        )
        back = replace(ENDED, id="d2", image=image_of(STABLE, B), rollback=True, undoes="d1")
        said, after = (statement(one)["predicate"] for one in chain(failed, back))
        assert (said["status"], said["code"]) == ("failure", "unhealthy")
        assert said["detail"] == "web-1 is unhealthy"
        assert said["replaced"] == f"ghcr.io/acme/web@{B}"
        assert "not for a receipt" not in str(said)
        assert (after["rollback"], after["undoes"]) == (True, "d1")

    def test_each_names_the_hash_of_the_one_before(self) -> None:
        """Of its bytes as they are kept, so that anybody can compute it."""
        first, second = (statement(one)["predicate"] for one in CHAIN[:2])
        assert "previous" not in first
        assert (first["sequence"], second["sequence"]) == (1, 2)
        assert second["previous"] == {"sha256": HEADS[0].sha256}

    @given(
        st.text(st.characters(exclude_categories=())),
        st.none() | st.text(st.characters(exclude_categories=())),
        st.sampled_from([status for status in Status if status.final]),
        st.none() | st.datetimes(timezones=st.just(UTC)),
        st.none() | st.builds(Platform, st.text(), st.text(), st.none() | st.text()),
    )
    def test_no_deployment_is_without_a_receipt_that_verifies(
        self,
        text: str,
        more: str | None,
        status: Status,
        when: datetime | None,
        platform: Platform | None,
    ) -> None:
        """If writing one could fail, that deployment could never end."""
        deployment = Deployment(
            id=text,
            workload="web",
            intent=text,
            image=Image(STABLE, A, None, None, more, platform),
            origin=Origin(Trust.POLL, "poll", more, more, more, more, when),
            status=status,
            started_at=START,
            finished_at=when,
            code=more,
            detail=text * 40,
            undoes=more,
        )
        assert verify(chain(deployment, ended(2)), PUBLIC).head is not None

    def test_long_texts_are_cut(self) -> None:
        """A text from elsewhere must not make a receipt that is too long to be verified."""
        said = receipt(replace(ENDED, detail="x" * (2 * MAX_ENVELOPE)), None, KEY)
        detail = statement(said)["predicate"]["detail"]
        assert (len(detail), detail[-2:]) == (MAX_TEXT, "x…")
        assert verify([said], PUBLIC).head


class TestChain:
    def test_a_whole_chain_has_an_end_and_the_keys_that_signed_it(self) -> None:
        """What `receipts verify` prints."""
        assert verify(CHAIN, PUBLIC) == Chain(HEADS[-1], (KEY.public.id,))
        assert verify([], PUBLIC) == Chain(None, ())

    def test_a_chain_goes_on_under_another_key_if_both_are_given(self) -> None:
        """A rotation is no break; a key that one did not expect is."""
        rotated = chain(ended(1), ended(2), keys=(KEY, OTHER_KEY))
        both = (OTHER_KEY.public, KEY.public)
        assert verify(rotated, both).keys == (KEY.public.id, OTHER_KEY.public.id)
        found = broken(rotated)
        assert (found.sequence, found.deployment) == (2, "d2")
        assert "another key" in found.what

    def test_no_key_at_all_verifies_nothing(self) -> None:
        """An empty list of keys must not be a pass."""
        assert broken(CHAIN, keys=()).sequence == 1

    def test_a_receipt_that_was_changed_is_named(self) -> None:
        """By number, by deployment, and in what way it does not hold."""
        changed = [*CHAIN]
        payload = claimed(CHAIN[2]).replace(b'"success"', b'"failure"')
        forged = json.loads(seal(PAYLOAD_TYPE, payload, OTHER_KEY))
        forged["signatures"] = json.loads(CHAIN[2])["signatures"]
        changed[2] = json.dumps(forged, separators=(",", ":")).encode()
        found = broken(changed)
        assert (found.sequence, found.deployment) == (3, "d3")
        assert str(found) == "receipt 3 (deployment d3): its signature is not over this content"

    def test_a_receipt_left_out_moved_or_repeated_is_named_where_it_should_be(self) -> None:
        """The first place at which the chain does not hold."""
        one, two, three, four, five = CHAIN
        for envelopes, sequence, deployment in (
            ([two, three, four, five], 1, "d2"),
            ([one, three, four, five], 2, "d3"),
            ([one, three, two, four, five], 2, "d3"),
            ([one, two, two, three, four, five], 3, "d2"),
            ([*CHAIN, five], 6, "d5"),
        ):
            found = broken(envelopes)
            assert (found.sequence, found.deployment) == (sequence, deployment)
            assert "out of order" in found.what

    def test_a_receipt_of_another_chain_with_the_right_number_is_found(self) -> None:
        """The same key may have signed another history, such as before a restored backup."""
        other = chain(ended(8), ended(9))
        found = broken([CHAIN[0], other[1]])
        assert (found.sequence, found.deployment) == (2, "d9")
        assert "signed after" in found.what

    @pytest.mark.parametrize(
        "envelope",
        [
            seal(PAYLOAD_TYPE, b"{}", KEY),
            seal(PAYLOAD_TYPE, b"no json", KEY),
            seal(PAYLOAD_TYPE, b'{"a": 1, "a": 1}', KEY),
            seal(PAYLOAD_TYPE, b"[" * 50, KEY),
            signed_anew(CHAIN[0], lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")),
            signed_anew(CHAIN[0], lambda s: s.update(predicateType=PREDICATE_TYPE + "0")),
            signed_anew(CHAIN[0], lambda s: s.update(subject=[])),
            signed_anew(CHAIN[0], lambda s: s.update(subject=s["subject"] * 2)),
            signed_anew(CHAIN[0], lambda s: s.update(subject=[*s["subject"], {"name": "a"}])),
            signed_anew(CHAIN[0], lambda s: s.update(subject=[{"digest": {}}])),
            signed_anew(CHAIN[0], lambda s: s.update(subject="a")),
            signed_anew(CHAIN[0], lambda s: s["predicate"].update(sequence="1")),
            signed_anew(CHAIN[0], lambda s: s["predicate"].update(sequence=True)),
            signed_anew(CHAIN[0], lambda s: s["predicate"].pop("deployment")),
            signed_anew(CHAIN[0], lambda s: s["predicate"].update(previous=HEADS[0].sha256)),
            seal("application/json", claimed(CHAIN[0]), KEY),
            b"\x00",
            b"",
            CHAIN[0] + b" " * MAX_ENVELOPE,
        ],
    )
    def test_what_is_no_receipt_is_a_break_whoever_signed_it(self, envelope: bytes) -> None:
        """The key may sign other things elsewhere; none of them may stand for a deployment."""
        assert broken([envelope]).sequence == 1

    def test_what_was_cut_off_at_the_end_is_missed_by_who_has_a_head(self) -> None:
        """A chain alone cannot say how long it should be."""
        assert verify(CHAIN[:3], PUBLIC).head == HEADS[2]
        found = broken(CHAIN[:3], HEADS[4])
        assert found.sequence == 4
        assert "the given head is 5" in found.what
        assert broken([], HEADS[0]).sequence == 1

    def test_a_chain_may_be_longer_than_a_head_that_was_noted_earlier(self) -> None:
        """Heads noted over time are all checked."""
        assert verify(CHAIN, PUBLIC, (HEADS[1], HEADS[3])).head == HEADS[4]

    def test_a_history_that_was_written_anew_is_found_by_a_head(self) -> None:
        """Whoever has the key can sign another chain, but not one with the same hashes."""
        anew = chain(ended(1), ended(7), ended(3))
        assert verify(anew, PUBLIC).head is not None
        found = broken(anew, HEADS[1])
        assert (found.sequence, found.deployment) == (2, "d7")
        assert "given head" in found.what


LINES = b"\n".join(CHAIN) + b"\n"


class TestAnyChange:
    @settings(max_examples=300)
    @given(st.integers(0, len(LINES) * 8 - 1))
    def test_no_bit_can_be_changed(self, bit: int) -> None:
        """In an exported file, line ends included: nothing in it is decoration."""
        changed = bytearray(LINES)
        changed[bit // 8] ^= 1 << bit % 8
        broken(bytes(changed).removesuffix(b"\n").split(b"\n"), HEADS[-1])

    @given(st.lists(st.integers(0, len(CHAIN) - 1), max_size=8))
    def test_no_selection_or_order_but_the_right_one_holds(self, order: list[int]) -> None:
        """Whatever is left out, repeated or moved."""
        envelopes = [CHAIN[index] for index in order]
        if order == list(range(len(CHAIN))):
            verify(envelopes, PUBLIC, HEADS[-1:])
        else:
            broken(envelopes, HEADS[-1])

    @given(st.integers(0, len(LINES) - 1), st.binary(max_size=3), st.integers(0, 3))
    def test_nothing_can_be_put_in_or_taken_out(self, at: int, put: bytes, gone: int) -> None:
        """Of bytes, anywhere in the file."""
        changed = LINES[:at] + put + LINES[at + gone :]
        if changed != LINES and changed + b"\n" != LINES:
            broken(changed.removesuffix(b"\n").split(b"\n"), HEADS[-1])


class TestHead:
    def test_it_is_read_as_it_was_written(self) -> None:
        """`status` shows it, `--head` takes it."""
        assert Head.parse(str(HEADS[3])) == HEADS[3]

    @pytest.mark.parametrize(
        "text",
        ["", "5", "5:", f"0:{'a' * 64}", f"-1:{'a' * 64}", f"5:{'A' * 64}", f"5:{'a' * 63}",
         f"5:{'a' * 65}", f" 5:{'a' * 64}", f"5:{'a' * 64}\n", f"\u0665:{'a' * 64}"],
    )  # fmt: skip
    def test_anything_else_is_refused(self, text: str) -> None:
        """A head that is misread would compare with nothing."""
        with pytest.raises(ValueError, match="must be a number, a colon and 64 hex digits"):
            Head.parse(text)
