import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.core.errors import OutOfScopeError
from webhook_launcher.core.model import Action, Event, Mention, Origin, Trust, Wish
from webhook_launcher.core.reference import Digest, Reference, parse_reference, parse_repository
from webhook_launcher.core.selection import Interest, is_image_tag, select
from webhook_launcher.core.series import SemverTags
from webhook_launcher.core.versions import parse_range

D1 = Digest("sha256:" + "1" * 64)
D2 = Digest("sha256:" + "2" * 64)
SIGNED = Origin(Trust.SIGNED, "ci", "d1", "key")
TOKEN = Origin(Trust.TOKEN, "hub", "d2", "default")
WEB = Interest("web", (parse_repository("ghcr.io/acme/web"),), "stable")
API = Interest("api", (parse_repository("ghcr.io/acme/api"),), "stable")
SCRIPTED = Interest("scripted", (parse_repository("ghcr.io/acme/web"),))
RANGE = Interest(
    "range", (parse_repository("ghcr.io/acme/web"),), series=SemverTags(parse_range(">=1.2 <2"))
)
MANUAL = Interest("manual", (parse_repository("ghcr.io/acme/web"),), follows=False)
EVERY = (WEB, API, SCRIPTED, RANGE, MANUAL)


def ref(text: str, digest: Digest | None = None) -> Reference:
    """A reference in ghcr.io/acme."""
    reference = parse_reference(f"ghcr.io/acme/{text}")
    return reference.at(digest) if digest else reference


def event(*mentions: Mention, trust: Trust = Trust.SIGNED, ignored: str | None = None) -> Event:
    """An authentic event that says this."""
    return Event("source", trust, "delivery", mentions, ignored)


def wishes(
    *mentions: Mention, interests: tuple[Interest, ...] = EVERY, origin: Origin = SIGNED
) -> list[Wish]:
    """What the workloads are to do after an event that says this."""
    return select(event(*mentions, trust=origin.trust), interests, origin)[0]


def deploy(workload: str, reference: Reference | None = None) -> Mention:
    """What a deploy event says."""
    return Mention(reference, workload)


class TestPushes:
    def test_a_push_of_the_tracked_tag_is_a_look_at_it(self) -> None:
        """The event causes a look and decides nothing: CHECK, not DEPLOY."""
        assert wishes(Mention(ref("web:stable")), interests=(WEB, API)) == [
            Wish("web", Action.CHECK, SIGNED, ref("web:stable"), hint=True)
        ]

    def test_a_signed_digest_goes_along_to_be_compared(self) -> None:
        """The launcher refuses a check whose registry answers another digest than was signed."""
        [wish] = wishes(Mention(ref("web:stable", D1)), interests=(WEB,))
        assert wish.reference == ref("web:stable", D1)

    def test_an_unsigned_digest_does_not(self) -> None:
        """Who holds a URL token may cause a look, and must not be able to say what is there."""
        [wish] = wishes(Mention(ref("web:stable", D1)), interests=(WEB,), origin=TOKEN)
        assert wish.reference == ref("web:stable")

    def test_another_tag_is_ignored_with_the_tag_that_is_tracked(self) -> None:
        """The reason is what an operator reads who wonders why nothing happened."""
        found, reason = select(event(Mention(ref("web:v2"))), [WEB], SIGNED)
        assert found == []
        assert "v2" in reason
        assert "stable" in reason

    def test_a_workload_without_fixed_tag_looks_at_every_push_of_its_repository(self) -> None:
        """Only its own pattern or command knows which tag it follows."""
        assert wishes(Mention(ref("web:v2", D1)), interests=(SCRIPTED,)) == [
            Wish("scripted", Action.CHECK, SIGNED, hint=True)
        ]

    @pytest.mark.parametrize("tag", ["buildcache", "1.1.0", "2.0.0", "1.3", "1.3.0-alpine", "main"])
    def test_a_tag_that_is_not_of_the_series_wakes_nobody(self, tag: str) -> None:
        """Build caches, branches and other families are pushed far more often than releases."""
        found, reason = select(event(Mention(ref(f"web:{tag}"))), [RANGE], SIGNED)
        assert found == []
        assert reason == f"tag {tag} is not tracked (range: semver >=1.2 <2)"

    @pytest.mark.parametrize("origin", [SIGNED, TOKEN])
    def test_a_tag_of_the_series_goes_along(self, origin: Origin) -> None:
        """The list of tags may lag behind it; its digest counts only when it was signed."""
        [wish] = wishes(Mention(ref("web:1.3.0", D1)), interests=(RANGE,), origin=origin)
        said = ref("web:1.3.0", D1 if origin is SIGNED else None)
        assert wish == Wish("range", Action.CHECK, origin, said, hint=True)

    def test_a_workload_that_follows_nothing_is_not_moved_by_a_push(self) -> None:
        """`track: none` means: signed deploy events only."""
        found, reason = select(event(Mention(ref("web:v2"))), [MANUAL], SIGNED)
        assert found == []
        assert "manual" in reason

    def test_one_of_several_tags_is_a_look_whatever_is_tracked(self) -> None:
        """GHCR reports one tag of a push of several; its digest says nothing about the others."""
        [wish] = wishes(Mention(ref("web:v2", D1), one_of_several=True), interests=(WEB,))
        assert wish == Wish("web", Action.CHECK, SIGNED, hint=True)

    def test_repository_and_registry_must_both_match(self) -> None:
        """The same path on another registry is somebody else's image."""
        other = Mention(parse_reference("quay.io/acme/web:stable"))
        found, reason = select(event(other), EVERY, SIGNED)
        assert found == []
        assert "quay.io/acme/web" in reason

    @pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
    def test_signature_and_referrers_tags_are_no_images(self, suffix: str) -> None:
        """Signing an image pushes them to the same repository right after it."""
        tag = f"sha256-{'a' * 64}{suffix}"
        found, reason = select(event(Mention(ref(f"web:{tag}"))), [SCRIPTED], SIGNED)
        assert found == []
        assert "signature" in reason
        assert not is_image_tag(tag)
        assert is_image_tag(f"{tag}.x")

    def test_a_push_without_tag_is_ignored(self) -> None:
        """No tag is ever invented."""
        found, reason = select(event(Mention(ref("web", D1))), EVERY, SIGNED)
        assert (found, reason) == ([], "the push has no tag")

    def test_two_pushes_of_one_event_are_one_wish_per_workload(self) -> None:
        """Intents coalesce; and what says the tracked tag's digest is kept, in either order."""
        exact = Mention(ref("web:stable", D1))
        vague = Mention(ref("web:v2", D2), one_of_several=True)
        for mentions in ((exact, vague), (vague, exact)):
            assert wishes(*mentions, interests=(WEB,)) == [
                Wish("web", Action.CHECK, SIGNED, ref("web:stable", D1), hint=True)
            ]

    def test_of_two_pushes_of_the_tracked_tag_the_later_counts(self) -> None:
        """Newest wins, inside an envelope as outside."""
        [wish] = wishes(
            Mention(ref("web:stable", D1)), Mention(ref("web:stable", D2)), interests=(WEB,)
        )
        assert wish.reference == ref("web:stable", D2)

    def test_an_ignored_event_keeps_its_reason(self) -> None:
        """The kind knows better than we why there is nothing to do."""
        assert select(event(ignored="a ping"), EVERY, SIGNED) == ([], "a ping")
        assert select(event(), EVERY, SIGNED)[1]

    def test_no_reason_is_given_when_there_is_something_to_do(self) -> None:
        """A reason beside an accepted delivery reads as if part of it had failed."""
        mentions = (Mention(ref("web:stable")), Mention(ref("nothing:v1")))
        assert select(event(*mentions), EVERY, SIGNED)[1] == ""

    def test_the_reason_stays_short(self) -> None:
        """An envelope of hundreds of entries is answered and stored in one row."""
        mentions = [Mention(ref(f"app{number}:v1")) for number in range(200)]
        found, reason = select(event(*mentions), EVERY, SIGNED)
        assert found == []
        assert "and 197 more" in reason
        assert len(reason) < 400


class TestDeployEvents:
    def test_an_exact_digest_is_deployed(self) -> None:
        """A signed event may name a digest; then exactly that one runs or nothing changes."""
        exact = ref("web:1.4", D1)
        assert wishes(deploy("web", exact)) == [Wish("web", Action.DEPLOY, SIGNED, exact)]

    def test_a_workload_that_follows_nothing_is_moved_by_them(self) -> None:
        """That is what `track: none` is for."""
        assert wishes(deploy("manual", ref("web:1.4")))[0].action is Action.DEPLOY

    def test_without_reference_the_tracked_one_is_checked(self) -> None:
        """The contract's shortest deploy event."""
        assert wishes(deploy("web")) == [Wish("web", Action.CHECK, SIGNED)]

    @pytest.mark.parametrize(
        ("mention", "said"),
        [
            (deploy("nosuch"), "nosuch"),
            (deploy("nosuch\n\x1b[31m"), "nosuch"),
            (deploy("web", ref("api:1")), "ghcr.io/acme/web"),
            (deploy("web", ref("web")), "neither a tag nor a digest"),
            (deploy("manual"), "follows no tag"),
        ],
    )
    def test_what_it_may_not_name_is_refused(self, mention: Mention, said: str) -> None:
        """Scope is the point of a source's `workloads`; the sender is told, not ignored."""
        with pytest.raises(OutOfScopeError, match=said) as caught:
            wishes(mention)
        assert str(caught.value).isprintable()

    def test_an_unsigned_event_names_no_digest(self) -> None:
        """A bearer token that does not cover the body proves the caller, not what it says."""
        with pytest.raises(OutOfScopeError, match="signed"):
            wishes(deploy("web", ref("web:1", D1)), origin=TOKEN)
        assert wishes(deploy("web", ref("web:1")), origin=TOKEN)[0].action is Action.DEPLOY


TAGS = st.sampled_from(["stable", "v1", "v1.3.0", "v2", f"sha256-{'a' * 64}.sig"])
MENTIONS = st.builds(
    Mention,
    st.builds(
        Reference,
        st.sampled_from([*WEB.repositories, *API.repositories, parse_repository("quay.io/x/y")]),
        st.none() | TAGS,
        st.none() | st.sampled_from([D1, D2]),
    ),
    st.none(),
    st.booleans(),
)


@given(st.lists(MENTIONS), st.sampled_from([SIGNED, TOKEN]))
def test_a_push_never_deploys_and_never_leaves_its_workload(
    mentions: list[Mention], origin: Origin
) -> None:
    """Whatever a registry sends: looks only, at most one per workload, in its own repository."""
    found, reason = select(event(*mentions, trust=origin.trust), EVERY, origin)
    assert bool(found) is not bool(reason)
    assert len({wish.workload for wish in found}) == len(found)
    repositories = {interest.workload: interest.repositories[0] for interest in EVERY}
    for wish in found:
        assert wish.action is Action.CHECK
        assert wish.workload != "manual"
        if wish.reference is not None:
            assert wish.reference.repository == repositories[wish.workload]
            assert wish.reference.digest is None or origin is SIGNED
