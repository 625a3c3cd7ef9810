"""Senders: with a token, with a push signature, with a deploy key, and each other's."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.registry.fake import FakeRegistry, encode, index, manifest, sha512
from tests.builders import (
    D1,
    GITHUB_SECRET,
    HMAC_KEY,
    NOW,
    URL_TOKEN,
    Edge,
    deploy_event,
    edge_in,
    told,
)
from tests.fakes import PLATFORM, START, image_of
from tests.sources.authentic import CASES
from tests.sources.senders import NOW as SENT
from tests.sources.tokens import STRANGER, bearing, token
from tests.web.test_hooks import github, hub_push, package
from tests.world import SIGNED, TOKEN, WEB, A, B, C, World
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.errors import (
    AuthenticationError,
    InvalidReferenceError,
    PolicyRefusedError,
)
from webhook_launcher.core.model import Action, Trust, WorkloadState, as_one
from webhook_launcher.core.policy import Candidate, admit
from webhook_launcher.core.reference import Digest, Reference, parse_reference
from webhook_launcher.sources import receive

HUB = f"/hooks/hub/{URL_TOKEN}"
OTHER_KEY = "whsec_QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="


def event(**changes: Any) -> dict[str, Any]:
    """A deploy event that would be let in."""
    return {"type": "deploy", "workload": "web", "reference": f"ghcr.io/acme/web@{D1}", **changes}


def refused(edge: Edge, **changes: Any) -> Mapping[str, Any]:
    """The answer to a signed deploy event that asks for too much; it leads to nothing."""
    answer = edge.http.post("/hooks/ci", **deploy_event(event(**changes)))
    assert answer.status_code in (400, 422)
    assert not edge.woken
    assert edge.journal.intents.pending() == 0
    assert all(32 <= byte < 127 for byte in answer.data.strip())
    return told(answer)


# ── with a token ─────────────────────────────────────────────────────────────────────────────


def test_naming_a_digest_with_a_token(world: World) -> None:
    """T1: what a token says of a digest is dropped before there is an intent: the tag decides."""
    world.push(A)
    world.work()
    world.push(B, origin=TOKEN)
    world.ask(Action.CHECK, Reference(WEB.repository, "stable"), origin=TOKEN, hint=True)
    world.work()
    assert world.host.runs() == B


def test_naming_a_digest_with_a_token_over_http(edge: Edge) -> None:
    """T1: the journal never has it."""
    entry = {"action": "push", "target": {"repository": "acme/pinned", "tag": "x", "digest": D1}}
    edge.http.post(
        "/hooks/local",
        json={"events": [{**entry, "id": "1"}]},
        headers={"Authorization": "a-header-secret-of-the-tests"},
    )
    edge.http.post(HUB, json=hub_push() | {"digest": D1})
    waiting = [*edge.journal.intents.waiting("site"), *edge.journal.intents.waiting("pinned")]
    assert [one.wish.reference for one in waiting] == [parse_reference("acme/site:latest")]


@pytest.mark.parametrize(
    "repository", ["ghcr.io/acme/web", "evil/site", "evil.example/acme/site", "acme/site/../web"]
)
def test_naming_another_repository_or_registry(edge: Edge, repository: str) -> None:
    """T2: the registry is the configuration's; the rest only selects among its workloads."""
    answer = edge.http.post(HUB, json=hub_push(repository=repository))
    assert answer.status_code in (200, 400)
    assert edge.journal.intents.pending() == 0


def test_a_workload_outside_the_scope(tmp_path: Path) -> None:
    """T3: a source touches the workloads it was given, and no others."""
    with edge_in(tmp_path, sources__hub__workloads=["web"]) as edge:
        answer = edge.http.post(HUB, json=hub_push())
        assert answer.status_code == 200
        assert "no workload in this source's scope" in told(answer)["ignored"]


def test_a_flood_of_looks(tmp_path: Path) -> None:
    """T4: they become one look, and beyond its minute's worth the source is told to wait."""
    with edge_in(tmp_path, limits__deliveries=20) as edge:
        pushes = [hub_push() | {"number": number} for number in range(30)]
        statuses = [edge.http.post(HUB, json=push).status_code for push in pushes]
        assert statuses == [202] * 20 + [429] * 10
        assert len(edge.journal.intents.waiting("site")) == 1


def test_a_look_in_place_of_a_deploy_event(world: World) -> None:
    """T5: a hint that anybody with a token may send cancels nothing that was signed."""
    world.push(A)
    world.work()
    world.deploy(B)
    for _ in range(3):
        world.hear(None, origin=TOKEN)
    assert (Action.DEPLOY, Trust.SIGNED) in world.waiting()
    world.work()
    assert world.host.runs() == B


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"push_data": {"tag": "latest"}, "push_data": {"tag": "other"}}',
        b'{"push_data": {"tag": ' + b"9" * 60_000 + b"}}",
        b'{"push_data": {"tag": "\\ud800"}}',
        b"\xff\xfe" * 1000,
        b"null",
        b"",
    ],
    ids=range(8),
)
def test_a_body_that_harms_its_reader(edge: Edge, body: bytes) -> None:
    """T6: authentic is not harmless: depth, numbers, doubled keys and bytes that are no text."""
    answer = edge.http.post(HUB, data=body, content_type="application/json")
    assert answer.status_code in (200, 400)
    assert edge.journal.intents.pending() == 0


@pytest.mark.parametrize(
    "tag", ["-rf", "--privileged", "../x", "a b", "a\nb", "\x1b[2J", "latest@sha256:x", "x" * 129]
)
def test_a_tag_that_is_something_else(
    edge: Edge, tag: str, caplog: pytest.LogCaptureFixture
) -> None:
    """T7: no option of a program, no path, no terminal's command: tags have a grammar."""
    answer = edge.http.post(HUB, json=hub_push(tag=tag))
    assert answer.status_code in (200, 400)
    assert edge.journal.intents.pending() == 0
    assert all(32 <= byte < 127 for byte in answer.data.strip())
    told_of = [str(vars(record)) for record in caplog.records]
    assert "\x1b" not in "".join(told_of)


def test_nothing_stops_looks_that_use_up_a_rate_limit(world: World) -> None:
    """T8: one look after the other is as many requests to the registry."""
    world.push(A)
    world.work()
    before = len(world.registry.asked)
    for _ in range(20):
        world.hear(None, origin=TOKEN)
        world.work()
    assert len(world.registry.asked) - before >= 20


# ── with a push signature ────────────────────────────────────────────────────────────────────


def test_a_digest_that_the_tag_never_had(world: World) -> None:
    """P1: a signed push says what was pushed; what runs is what the registry says."""
    world.push(A)
    world.work()
    world.hear(C)
    world.work()
    assert (world.host.runs(), world.host.started) == (A, [A])


def test_pushes_that_make_us_wait(world: World) -> None:
    """P2: each waits some seconds for its registry, and its workload alone."""
    world.push(A)
    world.work()
    before = world.clock.passed
    intent = world.hear(C)
    world.step()
    assert world.clock.passed - before <= 6
    assert world.intent(intent).attempts == 1


# ── with a deploy key ────────────────────────────────────────────────────────────────────────


def test_nothing_stops_an_old_image(world: World) -> None:
    """D1: the key may name any digest of the repository; `no_downgrade` (TU8) stops it."""
    for pushed in (A, B):
        world.push(pushed)
        world.work()
    world.deploy(A)
    world.work()
    assert world.host.runs() == A


@pytest.mark.parametrize(
    "reference",
    [
        f"ghcr.io/acme/other@{D1}",
        f"docker.io/acme/web@{D1}",
        f"ghcr.io/acme/web/../other@{D1}",
        f"evil.example/ghcr.io/acme/web@{D1}",
        f"GHCR.IO.evil.example/acme/web@{D1}",
        f"ghcr.io@evil.example/acme/web@{D1}",
        f"ghcr.io/acme/web:80/x@{D1}",
    ],
)
def test_another_repository(edge: Edge, reference: str) -> None:
    """D2: by no spelling."""
    refused(edge, reference=reference)


def test_another_workload(edge: Edge) -> None:
    """D3: a key is for the workloads of its source."""
    said = refused(edge, workload="site", reference=f"docker.io/acme/site@{D1}")
    assert said["code"] == "out-of-scope"


def test_a_quarantined_image_by_another_name(
    registry: FakeRegistry, client: RegistryClient, tmp_path: Path
) -> None:
    """D4: in sha512, in capitals, or as the manifest inside its index: it failed, and stays out."""
    inner = manifest("bad")
    tagged = registry.put("acme/web:stable", index({"linux/amd64": inner}))
    registry.put("acme/web:inner", inner)
    whole = client.image(registry.reference("acme/web:stable"), PLATFORM)
    journal = Journal(tmp_path / "state", {"web": "web"})
    try:
        journal.workloads.quarantine("web", tagged, "unhealthy", START, whole.manifest)
        state = journal.workloads.state("web")
    finally:
        journal.close()
    document = encode(index({"linux/amd64": inner}))
    for name in (tagged, sha512(document), whole.manifest, sha512(encode(inner))):
        reference = registry.reference(f"acme/web@{name}")
        candidate = Candidate(
            "web",
            (reference.repository,),
            client.image(reference, PLATFORM),
            Action.DEPLOY,
            SIGNED,
            state,
            START,
        )
        with pytest.raises(PolicyRefusedError, match="quarantine"):
            admit(candidate, ())
    with pytest.raises(InvalidReferenceError):
        Digest(str(tagged).upper())


@pytest.mark.parametrize("asked", [["minimum_age"], ["signed_by"], ["no_downgrade"], ["*"]])
def test_overriding_what_the_operator_asks(edge: Edge, asked: list[str]) -> None:
    """D5: only patience can be overridden, and by a key that was given the right."""
    assert refused(edge, override=asked)["code"] == "out-of-scope"


def test_nothing_stops_a_clock_that_is_fast(edge: Edge) -> None:
    """D6: within `tolerance`, an event from the future holds back those of honest clocks."""
    fast = deploy_event(event(), at=NOW + timedelta(minutes=4), identity="fast")
    assert edge.http.post("/hooks/ci", **fast).status_code == 202
    honest = edge.http.post("/hooks/ci", **deploy_event(event(), identity="honest"))
    assert "later signed time" in told(honest)["ignored"]
    edge.clock.sleep(timedelta(minutes=5).total_seconds())
    later = deploy_event(event(), at=edge.clock.now(), identity="later")
    assert edge.http.post("/hooks/ci", **later).status_code == 202
    beyond = deploy_event(event(), at=edge.clock.now() + timedelta(minutes=6), identity="beyond")
    assert edge.http.post("/hooks/ci", **beyond).status_code == 401


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "a\x00b", "\u202egnp.exe", "x" * 501])
@pytest.mark.parametrize("field", ["reason", "actor", "workload"])
def test_texts_for_whoever_reads_the_history(edge: Edge, field: str, text: str) -> None:
    """D7: what people are shown has no lines of its own, no colours, no turned order."""
    refused(edge, **{field: text})


@pytest.mark.parametrize(
    "reference",
    ["-v", "--", f"--volume=/:/host@{D1}", f"ghcr.io/acme/web:-x@{D1}", "ghcr.io/-acme/web:x"],
)
def test_a_reference_that_is_an_option(edge: Edge, reference: str) -> None:
    """D8: nothing that a program would take for an option is a reference."""
    refused(edge, reference=reference)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.kind == "github-oidc"], ids=lambda c: c.name
)
def test_a_token_of_another_job(case: Any) -> None:
    """D9: pinned by ids and workflow: another repository's or nobody's token is none."""
    import jwt  # noqa: PLC0415 - of this test alone

    given = case.delivery.headers["authorization"].partition(" ")[2]
    claims = jwt.decode(given, options={"verify_signature": False})
    pinned = dict(case.source.options["identity"].claims)
    foreign = [
        *(token({**claims, name: f"{value}1"}) for name, value in pinned.items()),
        token({**claims, "aud": "https://elsewhere.example"}),
        token(claims, key=STRANGER),
        jwt.encode(claims, "", algorithm="none"),
    ]
    assert receive(case.delivery, case.source, SENT).trust is Trust.SIGNED
    for text in foreign:
        with pytest.raises(AuthenticationError):
            receive(bearing(case.delivery, text), case.source, SENT)


def test_nothing_stops_a_quarantined_combination_by_another_name() -> None:
    """D10: of several images, what failed is their combination: a part by its inner digest."""
    other = parse_reference("registry.test/acme/jobs:stable")
    tracked = Reference(WEB.repository, "stable")
    failed = replace(image_of(tracked, A), manifest=B)
    jobs = image_of(other, A)
    state = WorkloadState("web", quarantined=frozenset({as_one([failed, jobs]).digest}))
    again = as_one([image_of(tracked, B), jobs])
    both = (WEB.repository, other.repository)
    candidate = Candidate("web", both, again, Action.DEPLOY, SIGNED, state, START)
    assert admit(candidate, ()).image == again


# ── each other's ─────────────────────────────────────────────────────────────────────────────


def test_a_delivery_of_one_source_to_another(tmp_path: Path) -> None:
    """X1: each source has its own secrets and kind: those of another open nothing."""
    keys = [{"id": "x", "secret": OTHER_KEY}]
    second = {"kind": "deploy", "keys": keys, "workloads": ["web"]}
    hub = {"kind": "dockerhub", "token": "another-token-of-the-tests"}
    with edge_in(tmp_path, sources__ci2=second, sources__hub2=hub) as edge:
        assert edge.http.post("/hooks/ci2", **deploy_event(event())).status_code == 401
        assert edge.http.post(f"/hooks/hub2/{URL_TOKEN}", json=hub_push()).status_code == 401
        signed = github(package(), secret=GITHUB_SECRET)
        assert edge.http.post("/hooks/ci", **signed).status_code == 401


def test_a_replay_to_a_source_with_the_same_key(tmp_path: Path) -> None:
    """X2: each remembers its own ids, and the order of signed times is the workload's."""
    keys = [{"id": "x", "secret": HMAC_KEY}]
    second = {"kind": "deploy", "keys": keys, "workloads": ["web"]}
    with edge_in(tmp_path, sources__ci2=second) as edge:
        old = deploy_event(event(), identity="old")
        new = deploy_event(event(), identity="new", at=NOW + timedelta(seconds=9))
        assert edge.http.post("/hooks/ci", **old).status_code == 202
        assert edge.http.post("/hooks/ci", **new).status_code == 202
        replayed = edge.http.post("/hooks/ci2", **old)
        assert replayed.status_code == 200
        assert "later signed time" in told(replayed)["ignored"]


def test_nothing_stops_a_replay_to_another_launcher_with_the_same_key(tmp_path: Path) -> None:
    """X3: a deploy event names no launcher: what was signed for staging is good in production."""
    with ExitStack() as opened:
        for name in ("staging", "production"):
            (tmp_path / name).mkdir()
            edge = opened.enter_context(edge_in(tmp_path / name))
            assert edge.http.post("/hooks/ci", **deploy_event(event())).status_code == 202
