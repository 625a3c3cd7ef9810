"""status, history, deploy, rollback, pause, resume: against a launcher on a real socket."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.builders import ADMIN, CONFIGURATION, D1, D2, LEFT_OUT, changed
from tests.cli.conftest import Command, Ended, Remote
from webhook_launcher.core.model import Action, Origin, Platform, Status, Trust, Verdict
from webhook_launcher.core.reference import parse_reference


@pytest.fixture
def ask(command: Command, remote: Remote) -> Command:
    """A command with the launcher's address and the admin token."""

    def asked(name: str, *more: str) -> Ended:
        return command(name, "--url", remote.url, "--token-file", str(remote.token), *more)

    return asked


def config_for(remote: Remote, directory: Path, **changes: object) -> str:
    """A configuration file whose `listen` is where the launcher is."""
    listen = remote.url.removeprefix("http://")
    file = directory / "config.yml"
    file.write_text(json.dumps(changed(CONFIGURATION, {"listen": listen, **changes})))
    return str(file)


def test_status_is_a_table_of_what_runs(ask: Command, remote: Remote) -> None:
    """One line per workload, with the digest short enough to read."""
    remote.edge.deployed("web", D1)
    found = parse_reference(f"ghcr.io/acme/web:stable@{D2}")
    remote.edge.journal.workloads.checked("web", "moved", remote.edge.clock.now(), found)
    ended = ask("status")
    assert ended.status == 0
    head, web, *_ = ended.out.splitlines()
    assert head.split() == [
        "WORKLOAD",
        "STATE",
        "RUNS",
        "TRACKED",
        "NOW",
        "PENDING",
        "LAST",
        "CHECK",
    ]
    assert web.split() == [
        "web",
        "running",
        "stable@sha256:111111111111",
        "stable",
        "stable@sha256:222222222222",
        "0",
        "moved",
    ]


def test_status_of_one_workload_tells_all_of_it(ask: Command, remote: Remote) -> None:
    """What runs, what would come back, what waits and why: what one asks in the night."""
    journal, now = remote.edge.journal, remote.edge.clock.now()
    for digest in (D1, D2):
        remote.edge.deployed("web", digest)
    journal.workloads.quarantine("web", D1, "unhealthy", now)
    journal.workloads.checked("web", "nothing moved", now)
    assert ask("deploy", "web").status == 0
    intent = journal.intents.claim(now)
    assert intent is not None
    journal.intents.postpone(intent, now, code="rate-limited", detail="429 from ghcr.io")
    lines = [line.split(maxsplit=1) for line in ask("status", "web").out.splitlines()]
    when = f"{now:%Y-%m-%d %H:%M:%S}Z"
    assert lines == [
        ["web:", "running"],
        ["image", "ghcr.io/acme/web"],
        ["tracked", "stable"],
        ["now", "-"],
        ["runs", "stable@sha256:222222222222"],
        ["previous", "stable@sha256:111111111111"],
        ["last", f"check   {when}: nothing moved"],
        ["pending", f"check, queued until {when}: 429 from ghcr.io"],
        ["quarantined", D1],
    ]


def test_status_warns_of_what_is_not_fresh(ask: Command, remote: Remote) -> None:
    """Below the table, on standard error: what runs looks well otherwise."""
    remote.edge.journal.workloads.checked("web", "401 \x1b[2J", remote.edge.clock.now())
    assert ask("status").err == (
        "warning: web: no look was ever answered; the last one: 401  [2J\n"
    )


def test_status_of_one_workload_as_json_is_the_apis_answer(ask: Command, remote: Remote) -> None:
    """Scripts read the same document from the command and from the API."""
    assert json.loads(ask("status", "web", "--json").out)["name"] == "web"
    assert len(json.loads(ask("status", "--json").out)["workloads"]) == 3


def test_history_is_newest_first(ask: Command, remote: Remote) -> None:
    """What happened last is what one looks for."""
    remote.edge.deployed("web", D1)
    remote.edge.deployed("site", D2)
    lines = ask("history").out.splitlines()
    assert lines[0].split() == ["STARTED", "TOOK", "WORKLOAD", "STATUS", "IMAGE", "BY", "WHY"]
    assert [line.split()[3] for line in lines[1:]] == ["site", "web"]
    assert "success" in lines[1]
    assert "poll (poll)" in lines[1]
    assert len(ask("history", "web", "--limit", "5").out.splitlines()) == 2
    assert len(json.loads(ask("history", "--json").out)["deployments"]) == 2


def test_history_tells_what_a_deployment_rests_on(ask: Command, remote: Remote) -> None:
    """Who asked by which key, what the registry answered, which policy held and why, when."""
    begun = remote.edge.deployed("web", D1)
    done = replace(
        begun,
        finished_at=begun.started_at + timedelta(seconds=3.84),
        origin=Origin(Trust.SIGNED, "ci", "d-1", "release-2026", "octocat", "run 8812"),
        image=replace(begun.image, manifest=D2, platform=Platform("linux", "amd64")),
        verdicts=(Verdict("signed_by", holds=True, said="signed by release-2026 (bundle)"),),
        timings={"pull": 0.25, "up": 0.5},
    )
    remote.edge.journal.deployments.rewrite(done)
    told = ask("history", "web", "--evidence").out
    for part in (
        "asked by     ci (signed, key release-2026)",
        "delivery     d-1",
        "actor        octocat",
        "reason       run 8812",
        f"image        ghcr.io/acme/web:stable@{D1}",
        f"manifest     {D2}",
        "platform     linux/amd64",
        "signed_by    signed by release-2026 (bundle)",
        "took         3.8 s (pull 0.25 s, up 0.50 s)",
    ):
        assert f"  {part}\n" in told, part
    assert "None" not in told


def test_history_tells_how_long_it_took_and_what_went_wrong(ask: Command, remote: Remote) -> None:
    """A code alone sends the reader to the logs."""
    begun = remote.edge.deployed("web", D1)
    failed = replace(
        begun,
        status=Status.FAILURE,
        finished_at=begun.started_at + timedelta(seconds=3.84),
        code="unhealthy",
        detail="web-1 is unhealthy; the one before is back",
    )
    remote.edge.journal.deployments.rewrite(failed)
    line = ask("history", "web").out.splitlines()[1]
    started = f"{begun.started_at:%Y-%m-%d %H:%M:%S}Z"
    assert line.split()[:6] == [*started.split(), "3.8", "s", "web", "failure"]
    assert line.endswith("poll (poll)  web-1 is unhealthy; the one before is back")


def test_text_from_elsewhere_cannot_drive_the_terminal(ask: Command, remote: Remote) -> None:
    """A check's result may quote a registry: escape sequences of it stay harmless."""
    remote.edge.journal.workloads.checked("web", "\x1b[2J\x07gone\nx", remote.edge.clock.now())
    out = ask("status").out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert len(out.splitlines()) == 5  # a line of titles, three workloads, the head of receipts


def test_deploy_queues_a_reference(ask: Command, remote: Remote) -> None:
    """Without --wait it says what was queued, and under which id."""
    reference = f"ghcr.io/acme/web@{D1}"
    ended = ask("deploy", "web", reference)
    (intent,) = remote.edge.journal.intents.waiting("web")
    assert (ended.status, ended.out) == (0, f"queued: deploy of web (intent {intent.id})\n")
    assert (intent.wish.action, str(intent.wish.reference)) == (Action.DEPLOY, reference)


def test_deploy_without_reference_looks_at_what_is_tracked(ask: Command, remote: Remote) -> None:
    """The same as a push would."""
    assert json.loads(ask("deploy", "web", "--json").out)["action"] == "check"


@pytest.mark.parametrize(
    ("outcome", "status"), [(Status.SUCCESS, 0), (Status.FAILURE, 1), (Status.ERROR, 1)]
)
def test_deploy_waits_for_the_outcome(
    ask: Command, remote: Remote, outcome: Status, status: int
) -> None:
    """The operator's command ends as the deployment did."""
    remote.edge.on_wake = lambda: remote.edge.settle(outcome, detail="because")
    ended = ask("deploy", "web", "--wait")
    assert (ended.status, ended.out) == (status, f"web: {outcome.value}: because\n")


def test_deploy_stops_waiting_in_time(ask: Command, remote: Remote) -> None:
    """Exit 4 as with `send`."""
    assert ask("deploy", "web", "--wait", "--timeout", "0.1s").status == 4


def test_rollback_asks_for_the_previous_release(ask: Command, remote: Remote) -> None:
    """And says so when there is none, with what to do instead."""
    ended = ask("rollback", "web")
    assert ended.status == 1
    assert "No previous release" in ended.err
    assert "  -> Deploy a reference by name instead" in ended.err
    remote.edge.deployed("web", D1)
    remote.edge.deployed("web", D2)
    remote.edge.on_wake = lambda: remote.edge.settle(Status.SUCCESS, detail="back")
    assert ask("rollback", "web", "--wait").out == "web: success: back\n"


def test_pause_and_resume_say_the_state_after_it(ask: Command, remote: Remote) -> None:
    """So that nobody wonders which way it went."""
    remote.edge.deployed("web", D1)
    assert ask("pause", "web").out == "web: paused\n"
    assert json.loads(ask("resume", "web", "--json").out)["paused"] is False


def test_a_digest_is_released_from_quarantine_and_the_count_said(
    ask: Command, remote: Remote
) -> None:
    """An operator who mended the host must be able to say so without writing HTTP."""
    remote.edge.journal.workloads.quarantine("web", D1, "it failed", datetime.now(UTC))
    assert ask("release-quarantine", "web", D1).out == "web: 1 released from quarantine\n"
    assert json.loads(ask("release-quarantine", "web", "--json").out) == {"released": 0}
    refused = ask("release-quarantine", "web", "sha256:short")
    assert refused.status == 1
    assert "not a digest" in refused.err


@pytest.mark.parametrize(
    "name", ["status", "deploy", "rollback", "pause", "resume", "release-quarantine"]
)
def test_an_unknown_workload_is_an_error_with_advice(ask: Command, name: str) -> None:
    """With where its name is to be found."""
    ended = ask(name, "nobody")
    assert ended.status == 1
    assert ended.err.startswith("error: Unknown workload: there is no workload 'nobody'")
    assert "  -> Use a name from the `workloads:` section" in ended.err


@pytest.mark.parametrize("name", ["status", "deploy", "rollback", "pause", "resume"])
@pytest.mark.parametrize("workload", ["../deployments", "web/check?x", "a b", "%2e%2e", ""])
def test_what_is_no_name_never_becomes_another_path(
    ask: Command, remote: Remote, name: str, workload: str
) -> None:
    """`pause web/check` must not be a POST to the check of `web`."""
    assert ask(name, workload).status == 2
    assert remote.edge.journal.intents.pending() == 0


def test_a_wrong_token_is_refused_and_not_shown(
    ask: Command, command: Command, remote: Remote, tmp_path: Path
) -> None:
    """The message names the file's place in the configuration, never a token."""
    wrong = tmp_path / "wrong"
    wrong.write_text("canary-token-that-is-wrong")
    ended = command("status", "--url", remote.url, "--token-file", str(wrong))
    assert ended.status == 1
    assert "admin.token_file" in ended.err
    assert "canary" not in ended.err


def test_address_and_token_come_from_the_configuration(
    command: Command, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the launcher's own machine no option is needed; --config or $LAUNCHER_CONFIG names it."""
    config = config_for(remote, tmp_path)
    assert command("status", "--config", config).status == 0
    monkeypatch.setenv("LAUNCHER_CONFIG", config)
    assert command("status").status == 0


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    command: Command, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The admin token would go to the proxy in plain text; nothing listens at this one."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert command("status", "--config", config_for(remote, tmp_path)).status == 0


def test_a_netrc_does_not_replace_the_token(
    ask: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests prefers ~/.netrc to the header that we set."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert ask("status").status == 0


def test_a_configuration_without_admin_token_is_a_usage_error(
    command: Command, remote: Remote, tmp_path: Path
) -> None:
    """The API is off: say so, instead of a 403 that has to be looked up."""
    ended = command("status", "--config", config_for(remote, tmp_path, admin=LEFT_OUT))
    assert ended.status == 2
    assert "no admin token" in ended.err


@pytest.mark.parametrize("content", ["", "two\nlines-of-canary", "ünicode-canary"])
def test_a_token_file_without_a_token_is_a_usage_error(
    command: Command, remote: Remote, tmp_path: Path, content: str
) -> None:
    """And its content is not shown."""
    file = tmp_path / "t"
    file.write_text(content)
    ended = command("status", "--url", remote.url, "--token-file", str(file))
    assert ended.status == 2
    assert "canary" not in ended.err


def test_nobody_there_is_an_error_with_advice(command: Command, remote: Remote) -> None:
    """In one line, without a traceback."""
    argv = ["--url", "http://127.0.0.1:1", "--token-file", str(remote.token)]
    ended = command("status", *argv)
    assert ended.status == 1
    assert ended.err.splitlines() == [
        "error: the launcher at 127.0.0.1:1 cannot be reached: connection refused",
        "  -> Check that `webhook-launcher serve` runs and that --url is its address.",
    ]


@pytest.mark.parametrize("limit", ["0", "501", "x", "-1", "1.5"])
def test_a_limit_that_makes_no_sense_is_a_usage_error(ask: Command, limit: str) -> None:
    """Found before anybody is asked."""
    assert ask("history", "--limit", limit).status == 2


def test_errors_as_json_are_documents(ask: Command) -> None:
    """With --json, standard output is JSON whatever happens."""
    told = json.loads(ask("status", "nobody", "--json").out)
    assert (told["code"], told["status"]) == ("unknown-workload", 404)
    assert told["advice"]
    assert ADMIN not in str(told)
