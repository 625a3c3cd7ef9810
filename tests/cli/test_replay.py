"""`replay`: what a recorded delivery would lead to; dry, and the same as when it is sent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import CONFIGURATION, D1, GITHUB_SECRET, HMAC_KEY, URL_TOKEN, changed
from tests.cli.conftest import Command
from tests.sources.recordings import (
    ABSENT,
    CDEVENTS,
    DISAGREEMENTS,
    ENTRIES,
    EXPECTED,
    HOST,
    KIND_OF,
    PAYLOADS,
    POLICY,
    PRESENT,
)
from tests.sources.senders import OPTIONS, TOKEN, mac, recorded
from webhook_launcher.sources import KINDS

Recording = Callable[..., Path]
PUSH = recorded("github").body
REFERENCE = {
    "registry": "ghcr.io",
    "repository": "acme/web",
    "tag": "stable",
    "digest": D1,
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of `tests.builders`."""
    file = tmp_path / "config.yml"
    file.write_text(json.dumps(CONFIGURATION))
    return file


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Writes a request as text: headers (`_` for `-`), body, and what an editor adds."""

    def write(
        body: bytes,
        *,
        path: str = "/hooks/x",
        end: str = "\r\n",
        after: bytes = b"",
        **headers: str,
    ) -> Path:
        lines = [f"POST {path} HTTP/1.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        file = tmp_path / "delivery.http"
        file.write_bytes(end.join([*lines, "", ""]).encode() + body + after)
        return file

    return write


@pytest.fixture
def replay(command: Command, config: Path) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Replays a file with `--json`: exit status and document."""

    def replayed(file: Path, source: str, *more: str) -> tuple[int, dict[str, Any]]:
        argv = ["replay", str(file), "--config", str(config), "--source", source, "--json", *more]
        ended = command(*argv)
        return ended.status, json.loads(ended.out)

    return replayed


Replay = Callable[..., tuple[int, dict[str, Any]]]


def signed(recording: Recording, body: bytes = PUSH, **more: Any) -> Path:
    """A push that GitHub signed."""
    given = {"x_github_event": "package", "x_hub_signature_256": mac(body, GITHUB_SECRET.encode())}
    return recording(body, **{**given, **more})


class TestTheOutcome:
    def test_of_a_push_of_the_tracked_tag_is_an_intent(
        self, replay: Replay, recording: Recording
    ) -> None:
        """The whole document, as the contract has it: scripts read every key of it."""
        assert replay(signed(recording), "ghcr") == (
            0,
            {
                "outcome": "intent",
                "references": [REFERENCE],
                "reason": None,
                "workloads": ["web"],
            },
        )

    def test_of_another_event_is_that_it_is_ignored(
        self, replay: Replay, recording: Recording
    ) -> None:
        """Nothing is wrong with a ping: the status is 0, and the reason says what it was."""
        status, told = replay(signed(recording, x_github_event="ping"), "ghcr")
        assert (status, told["outcome"], told["references"]) == (0, "ignored", [])
        assert "ping" in told["reason"]

    def test_of_a_push_that_no_workload_runs_is_that_it_is_ignored(
        self, replay: Replay, recording: Recording
    ) -> None:
        """The usual question: it was sent, so why did nothing happen?"""
        body = PUSH.replace(b"Web", b"Other").replace(b"acme/web", b"acme/other")
        status, told = replay(signed(recording, body), "ghcr")
        assert (status, told["outcome"], told["workloads"]) == (0, "ignored", [])
        assert told["references"] == [{**REFERENCE, "repository": "acme/other"}]
        assert "no workload" in told["reason"]

    def test_of_a_forged_delivery_is_a_refusal(self, replay: Replay, recording: Recording) -> None:
        """As a sender's 401 would be; 1 tells it from a command that was called wrongly."""
        status, told = replay(signed(recording, x_hub_signature_256=mac(PUSH)), "ghcr")
        assert (status, told["outcome"], told["references"]) == (1, "reject", [])
        assert told["reason"].startswith("authentication: ")

    def test_of_what_cannot_be_read_is_a_refusal(
        self, replay: Replay, recording: Recording
    ) -> None:
        """Signed, and still no JSON."""
        status, told = replay(signed(recording, b"{"), "ghcr")
        assert (status, told["outcome"]) == (1, "reject")

    def test_is_told_to_people_in_words(
        self, command: Command, config: Path, recording: Recording
    ) -> None:
        """Without --json."""
        argv = ["replay", str(signed(recording)), "--config", str(config), "--source", "ghcr"]
        ended = command(*argv)
        assert ended.out.splitlines() == [
            "intent",
            f"  says: ghcr.io/acme/web:stable@{D1}",
            "  would look at: web",
        ]


class TestDry:
    def test_touches_nothing(self, replay: Replay, recording: Recording, config: Path) -> None:
        """It may be run beside a launcher that serves: no journal, no lock, no id remembered."""
        before = sorted(config.parent.iterdir())
        for _ in range(2):
            assert replay(signed(recording), "ghcr")[1]["outcome"] == "intent"
        assert sorted(config.parent.iterdir()) == sorted({*before, recording(b"")})


class TestWithoutVerification:
    def test_neither_credentials_nor_scope_count(
        self, replay: Replay, recording: Recording
    ) -> None:
        """Of a recording whose credentials are gone one still wants to know what it says."""
        status, told = replay(recording(PUSH), "ghcr", "--unverified")
        assert (status, told["outcome"], told["references"]) == (0, "intent", [REFERENCE])
        assert told["workloads"] == ["web"]

    def test_what_no_workload_runs_is_still_an_intent(
        self, replay: Replay, recording: Recording
    ) -> None:
        """The scope is the configuration's; what the delivery says is its own."""
        body = PUSH.replace(b"Web", b"Other").replace(b"acme/web", b"acme/other")
        status, told = replay(recording(body), "ghcr", "--unverified")
        assert (status, told["outcome"], told["workloads"]) == (0, "intent", [])
        assert told["references"] == [{**REFERENCE, "repository": "acme/other"}]

    def test_what_contradicts_itself_is_refused_as_ever(
        self, replay: Replay, recording: Recording
    ) -> None:
        """That has nothing to do with who sent it."""
        body = PUSH.replace(b"ghcr.io/acme/web:stable", b"ghcr.io/acme/web:other")
        status, told = replay(recording(body), "ghcr", "--unverified")
        assert (status, told["outcome"]) == (1, "reject")
        assert "package_url" in told["reason"]


class TestTheFile:
    @pytest.mark.parametrize("end", ["\r\n", "\n"])
    def test_may_have_either_line_end(self, replay: Replay, recording: Recording, end: str) -> None:
        """As it was on the wire, or as an editor left it."""
        assert replay(signed(recording, end=end), "ghcr")[0] == 0

    def test_may_end_in_a_line_feed_that_was_not_sent(
        self, replay: Replay, recording: Recording
    ) -> None:
        """Editors add one, and the signature is over the body without it."""
        assert replay(signed(recording, after=b"\n"), "ghcr")[0] == 0

    def test_may_end_in_a_line_feed_that_was_sent(
        self, replay: Replay, recording: Recording
    ) -> None:
        """Then it is signed."""
        assert replay(signed(recording, PUSH + b"\n"), "ghcr")[0] == 0

    def test_names_the_token_in_its_request_line(
        self, replay: Replay, recording: Recording
    ) -> None:
        """For unsigned senders that is the credential."""
        body = b'{"push_data": {"tag": "latest"}, "repository": {"repo_name": "acme/site"}}'
        for path, status in ((f"/hooks/hub/{URL_TOKEN}", 0), ("/hooks/hub/guess", 1)):
            assert replay(recording(body, path=path), "hub")[0] == status
        assert replay(recording(body, path="/hooks/hub"), "hub")[0] == 1

    @pytest.mark.parametrize("method", ["GET", "put", "OPTIONS"])
    def test_of_another_method_is_refused(
        self, replay: Replay, recording: Recording, method: str
    ) -> None:
        """Gitea can be set to PUT; what replay says must be what serve would answer."""
        file = recording(PUSH)
        file.write_bytes(file.read_bytes().replace(b"POST", method.encode(), 1))
        status, told = replay(file, "ghcr", "--unverified")
        assert (status, told["outcome"]) == (1, "reject")
        assert told["reason"] == f"method-not-allowed: {method.upper()} is answered 405"

    def test_named_json_is_a_bare_body(self, replay: Replay, tmp_path: Path) -> None:
        """As senders' documentation prints them; there is nothing to verify it by."""
        file = tmp_path / "push.json"
        file.write_bytes(PUSH + b"\n")
        assert replay(file, "ghcr", "--unverified")[1]["references"] == [REFERENCE]
        assert replay(file, "ghcr")[0] == 1

    @pytest.mark.parametrize("text", ["", "hello", '{"a": 1}', "POST /x HTTP/1.1\nno header\n\n"])
    def test_that_is_no_request_is_a_matter_of_usage(
        self, command: Command, config: Path, tmp_path: Path, text: str
    ) -> None:
        """Not of the sender, who never sent this."""
        file = tmp_path / "delivery.txt"
        file.write_text(text)
        argv = ["replay", str(file), "--config", str(config), "--source", "ghcr"]
        assert command(*argv).status == 2

    def test_that_is_not_there_is_told(self, command: Command, config: Path) -> None:
        """With its name."""
        ended = command("replay", "gone.http", "--config", str(config), "--source", "ghcr")
        assert ended.status == 2
        assert "gone.http" in ended.err


class TestTheSource:
    def test_has_to_be_configured(
        self, command: Command, config: Path, recording: Recording
    ) -> None:
        """The mistake is a typing error; those there are, are named."""
        argv = ["replay", str(recording(b"{}")), "--config", str(config), "--source", "gchr"]
        ended = command(*argv)
        assert ended.status == 2
        assert "ci, ghcr, hub, local" in ended.err

    def test_limits_what_may_be_moved(
        self, replay: Replay, recording: Recording, config: Path
    ) -> None:
        """With its scope: what is refused when sent is refused here."""
        config.write_text(json.dumps(changed(CONFIGURATION, {"sources.ghcr.workloads": ["site"]})))
        status, told = replay(signed(recording), "ghcr")
        assert (status, told["outcome"]) == (0, "ignored")
        assert "scope" in told["reason"]


def everything() -> dict[str, Any]:
    """A configuration with a source of every kind, with and without a registry where it may."""
    sources: dict[str, Any] = {}
    for kind in KINDS.values():
        given: dict[str, Any] = {"kind": kind.name, **OPTIONS.get(kind.name, {})}
        if "secrets" in kind.credentials:
            given["secret"] = GITHUB_SECRET
        elif "tokens" in kind.credentials:
            given["token"] = TOKEN.decode()
        elif "keys" in kind.credentials:
            given["keys"] = [{"id": "k", "secret": HMAC_KEY}]
        if not kind.needs_registry or kind.registry:
            sources[kind.name] = given
        sources[f"{kind.name}-at-host"] = {**given, "registry": HOST}
    sources["cdevents"] = {**sources["generic-at-host"], **CDEVENTS}
    sources["cdevents"].pop("registry")
    for unused in ("each", "id_header"):
        sources["cdevents"].pop(unused, None)
    workload = CONFIGURATION["workloads"]["web"]
    return {"state": "state", "sources": sources, "workloads": {"web": workload}}


def source_for(entry: dict[str, Any]) -> str:
    """The source of `everything` that is configured as the entry needs it."""
    if entry["provider"] == "cdevents":
        return "cdevents"
    kind = KINDS[KIND_OF.get(entry["provider"], entry["provider"])]
    nameless = any(intent["registry"] == "{host}" for intent in entry["intents"])
    at_host = kind.registry is None and (nameless or kind.needs_registry)
    return f"{kind.name}-at-host" if at_host else kind.name


@pytest.mark.skipif(not PRESENT, reason=ABSENT)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_a_recorded_delivery_replays_as_the_manifest_says(
    command: Command, config: Path, entry: dict[str, Any]
) -> None:
    """Through the command line and one configuration of all kinds, as an operator would."""
    config.write_text(json.dumps(everything()))
    path = PAYLOADS / entry["file"]
    file = path.with_suffix(".http") if entry["http"] else path
    argv = ["replay", str(file), "--config", str(config), "--source", source_for(entry)]
    ended = command(*argv, "--unverified", "--json")
    told = json.loads(ended.out)
    known = {**POLICY, **DISAGREEMENTS}
    wanted = known.get(entry["file"], EXPECTED.get(entry["outcome"], entry["outcome"]))
    assert told["outcome"] == wanted
    assert ended.status == (1 if wanted == "reject" else 0)
    expected = entry["intents"] if wanted == "intent" else []
    assert told["references"] == [
        {**intent, "registry": intent["registry"].replace("{host}", HOST)} for intent in expected
    ]
