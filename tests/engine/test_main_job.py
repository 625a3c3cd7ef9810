"""The main job on real parts: engine, compose, registry, SQLite, gunicorn, HTTP."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe
from testbed.launcher import Answer, Launcher, ask, free_port, github_push
from tests.engine.stage import Stage, current, eventually, idle, script

pytestmark = pytest.mark.engine


@pytest.mark.second_engine
def test_a_signed_push_becomes_the_proved_running_container(stage: Stage) -> None:
    """The whole promise in one line: the digest that was pushed is the digest that runs."""
    stage.push(Recipe("one"))
    launcher = stage.launch()
    eventually(lambda: stage.serves() == "one")
    two = stage.push(Recipe("two"))
    answer = stage.announce(launcher, two)
    assert answer.status == 202
    assert answer.seconds < 1
    (intent,) = launcher.outcome(answer.body["delivery"])
    assert intent["status"] == "success"
    assert stage.serves() == "two"
    assert current(launcher) == two.digest
    (container,) = stage.containers()
    inspected = json.loads(stage.host.docker("inspect", container))[0]
    assert inspected["Image"] in two.ids
    deployment = launcher.history("web")[0]
    assert deployment["origin"]["trust"] == "signed"
    assert deployment["origin"]["source"] == "ghcr"
    assert deployment["image"]["config"] == two.config
    assert deployment["image"]["manifest"] == two.manifest
    verify = [sys.executable, "-m", "webhook_launcher", "receipts", "verify"]
    verify += ["--config", str(launcher.config)]
    told = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert told.stdout.startswith("whole: 2 receipts\n"), told.stderr


@pytest.mark.second_engine
@pytest.mark.parametrize(
    "behaviour", [Behaviour.EXITS, Behaviour.NEVER_HEALTHY, Behaviour.EXITS_WELL]
)
def test_a_release_that_fails_brings_the_former_one_back(
    stage: Stage, behaviour: Behaviour
) -> None:
    """A broken image must leave the old release serving, and must not be tried again."""
    good = stage.push(Recipe("good", interval=0.5))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == good.digest and idle(launcher))
    intent = stage.push_and_follow(launcher, Recipe("bad", behaviour, interval=0.5))
    assert intent["status"] == "failure"
    assert intent["code"] == "unhealthy"
    assert stage.serves() == "good"
    shown = launcher.workload("web")
    assert shown["current"]["digest"] == good.digest
    assert len(shown["quarantined"]) == 1
    rollback, failed, *_ = launcher.history("web")
    assert rollback["rollback"] is True
    assert rollback["status"] == "success"
    assert failed["restored"] is True
    # The same event under a new id: quarantined, so nothing is touched.
    before = stage.containers()
    bad = stage.push(Recipe("bad", behaviour, interval=0.5))
    again = launcher.outcome(stage.announce(launcher, bad).body["delivery"])
    assert (again[0]["status"], again[0]["code"]) == ("inactive", "not-deployed")
    assert stage.containers() == before


def test_a_crash_after_two_seconds_without_healthcheck_is_rolled_back(stage: Stage) -> None:
    """Compose's own wait reports success for this image; the settle time must not."""
    good = stage.push(Recipe("good", interval=None))
    launcher = stage.launch(options={"health": {"settle": "3s"}})
    eventually(lambda: current(launcher) == good.digest and idle(launcher))
    intent = stage.push_and_follow(launcher, Recipe("late", Behaviour.CRASHES_LATER, interval=None))
    assert intent["status"] == "failure"
    assert stage.serves() == "good"


def test_a_first_deployment_that_fails_leaves_nothing_half_started(stage: Stage) -> None:
    """There is nothing to return to, so the honest state is no container and a clear word."""
    stage.push(Recipe("bad", Behaviour.EXITS, interval=0.5))
    launcher = stage.launch()
    eventually(lambda: [found["status"] for found in launcher.history("web")] == ["error"])
    (failed,) = launcher.history("web")
    assert failed["code"] == "not-judged"  # nothing ran before that could be its control
    assert stage.containers() == []
    assert launcher.workload("web")["current"] is None
    good = stage.push_and_follow(launcher, Recipe("good"))
    assert good["status"] == "success"


@pytest.mark.second_engine
def test_a_digest_that_is_not_in_the_registry_changes_nothing(stage: Stage) -> None:
    """Exactly the named digest runs, or nothing changes."""
    one = stage.push(Recipe("one"))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    before = stage.containers()
    missing = f"{stage.image}:stable@sha256:{'0' * 64}"
    answer = stage.deploy_event(launcher, missing)
    assert answer.status == 202
    (intent,) = launcher.outcome(answer.body["delivery"])
    assert intent["status"] == "error"
    assert intent["code"] == "manifest-not-found"
    assert stage.containers() == before


def test_a_registry_that_is_down_costs_a_delay_and_not_the_delivery(stage: Stage) -> None:
    """What was acknowledged is deployed once the registry is back, with nobody's help."""
    one = stage.push(Recipe("one"))
    dark = free_port()
    image = f"127.0.0.1:{dark}/{stage.repository}"
    source = {**stage.sources()["ghcr"], "registry": f"127.0.0.1:{dark}"}
    launcher = stage.launch(
        services={"app": {**stage.service(), "image": f"{image}:stable"}},
        options={"image": image},
        top={"sources": {"ghcr": source}},
    )
    answer = stage.announce(launcher, one)
    assert answer.status == 202
    eventually(lambda: _first(launcher, answer)["attempts"] >= 1)
    eventually(lambda: _first(launcher, answer)["code"] == "registry-unavailable")
    with stage.second_registry(dark) as registry:
        registry.push(stage.repository, "stable", Recipe("one"))
        (intent,) = launcher.outcome(answer.body["delivery"])
        assert intent["status"] == "success"
        assert stage.serves() == "one"


def test_a_tag_moved_twice_in_a_second_ends_at_the_newest(stage: Stage) -> None:
    """Events coalesce and the tag is resolved at claim time, so the last push wins."""
    one = stage.push(Recipe("one"))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    two = stage.push(Recipe("two"))
    first = stage.announce(launcher, two)
    three = stage.push(Recipe("three"))
    second = stage.announce(launcher, three)
    assert {first.status, second.status} == {202}
    launcher.outcome(second.body["delivery"])
    launcher.outcome(first.body["delivery"])
    assert stage.serves() == "three"
    assert current(launcher) == three.digest
    assert len(launcher.history("web")) <= 3


@pytest.mark.second_engine
def test_two_services_on_one_image_move_and_return_together(stage: Stage) -> None:
    """Half a release is a release nobody tested: one failing service takes both back."""
    other = free_port()
    services = {"app": stage.service(), "jobs": stage.service(other)}
    good = stage.push(Recipe("good", interval=0.5))
    launcher = stage.launch(services)
    eventually(lambda: current(launcher) == good.digest and idle(launcher))
    intent = stage.push_and_follow(launcher, Recipe("better", interval=0.5))
    assert intent["status"] == "success"
    assert (stage.serves(), stage.serves(other)) == ("better", "better")
    bad = Recipe("bad", Behaviour.NEVER_HEALTHY, interval=0.5)
    assert stage.push_and_follow(launcher, bad)["status"] == "failure"
    assert (stage.serves(), stage.serves(other)) == ("better", "better")


def test_duplicate_forged_and_replayed_deliveries_lead_to_one_deployment(stage: Stage) -> None:
    """A redelivery is no second push, a forgery none at all, and a capture does not work later."""
    one = stage.push(Recipe("one"))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    two = stage.push(Recipe("two"))
    answers = [stage.announce(launcher, two, delivery="same") for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 200, 200]
    assert all(answer.body.get("duplicate") for answer in answers[1:])
    assert len({answer.body["delivery"] for answer in answers}) == 1
    forged = github_push(
        f"{launcher.url}/hooks/ghcr", b"wrong", stage.repository, "stable", two.digest, "forged"
    )
    assert forged.status == 401
    reference = f"{stage.image}:stable@{two.digest}"
    old = stage.deploy_event(launcher, reference, at=time.time() - 3600)
    assert old.status == 401
    kept = stage.deploy_event(launcher, reference, message_id="msg_captured")
    replayed = stage.deploy_event(launcher, reference, message_id="msg_captured")
    assert (kept.status, replayed.status) == (202, 200)
    launcher.outcome(answers[0].body["delivery"])
    launcher.outcome(kept.body["delivery"])
    assert len(launcher.history("web")) == 2  # the first look, and one for the push


@pytest.mark.second_engine
def test_the_poll_alone_finds_a_moved_tag_and_mends_what_was_removed_or_changed(
    stage: Stage,
) -> None:
    """Webhooks get lost and people type `docker rm`: the fallback must see both."""
    one = stage.push(Recipe("one"))
    launcher = stage.launch(top={"poll": {"every": "1s"}})
    eventually(lambda: current(launcher) == one.digest and stage.serves() == "one")
    two = stage.push(Recipe("two"))
    eventually(lambda: current(launcher) == two.digest and stage.serves() == "two")
    assert launcher.history("web")[0]["origin"]["trust"] == "poll"
    stage.host.docker("rm", "-f", *stage.containers())
    eventually(lambda: stage.serves() == "two" and idle(launcher))
    # By hand: another image under the same service.
    stage.host.docker("pull", "-q", one.pinned)
    stage.host.docker("rm", "-f", *stage.containers())
    stage.host.compose.pin(stage.project, one.pinned, ["app"])
    stage.host.compose.up(stage.project, ["app"])
    eventually(lambda: stage.serves() == "two" and idle(launcher))


@pytest.mark.second_engine
def test_an_operator_rolls_back_and_no_look_undoes_it(stage: Stage) -> None:
    """A rollback that the next poll reverts is no rollback."""
    one = stage.push(Recipe("one"))
    launcher = stage.launch(top={"poll": {"every": "1s"}})
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    two = stage.push(Recipe("two"))
    eventually(lambda: current(launcher) == two.digest and idle(launcher))
    done = launcher.run("rollback", "web", "--wait")
    assert done.returncode == 0, done.stderr
    assert stage.serves() == "one"
    checked = launcher.workload("web")["last_check"]["at"]
    eventually(lambda: launcher.workload("web")["last_check"]["at"] > checked)
    assert current(launcher) == one.digest
    three = stage.push(Recipe("three"))
    eventually(lambda: current(launcher) == three.digest)
    table = launcher.run("history", "web").stdout
    assert "operator" in table
    assert "(rollback)" in table


def test_an_inline_project_with_a_command_tracker_and_hooks_works_as_the_seed_did(
    stage: Stage,
) -> None:
    """The pattern this grew out of: a script names the image, the launcher writes the compose."""
    one, two = stage.push(Recipe("one"), "v1"), stage.push(Recipe("two"), "v2")
    directory = stage.host.directory
    latest, told = directory / "latest", directory / "told"
    latest.write_text(f"{stage.image}:v1\n")
    tracker = script(directory / "get-latest.sh", [f'cat {latest} > "$1"'])
    hook = script(directory / "hook.sh", [f'echo "$LAUNCHER_HOOK $LAUNCHER_REFERENCE" >> {told}'])
    gate = script(directory / "gate.sh", [f"test ! -e {directory}/closed"])
    project = stage.host.project({}, inline=True)
    launcher = stage.launch(
        options={
            "track": {"command": [str(tracker)]},
            "poll": {"every": "1s"},
            "compose": {
                "project": project.name,
                "inline": {
                    "services": {
                        "server": {"init": True, "ports": [f"127.0.0.1:{stage.port}:8080"]}
                    }
                },
            },
            "hooks": {"before": [[str(gate)], [str(hook)]], "after": [str(hook)]},
        }
    )
    eventually(lambda: current(launcher) == one.digest and stage.serves() == "one")
    (directory / "closed").touch()
    latest.write_text(f"{stage.image}:v2\n")
    eventually(lambda: any(d["code"] == "hook-failed" for d in launcher.history("web")))
    assert stage.serves() == "one"
    (directory / "closed").unlink()
    eventually(lambda: current(launcher) == two.digest and stage.serves() == "two")
    assert [line.split()[0] for line in told.read_text().splitlines()][-2:] == ["before", "after"]
    latest.write_text("registry.example/other: image\n  privileged: true\n")
    eventually(lambda: "exactly one reference" in str(launcher.workload("web")["last_check"]))
    assert stage.serves() == "two"


@pytest.mark.second_engine
def test_a_killed_launcher_finishes_what_it_had_begun(stage: Stage) -> None:
    """Power cuts come in the middle: the newest wanted release runs after the restart."""
    one = stage.push(Recipe("one"))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    two = stage.push(Recipe("two"))
    answer = stage.announce(launcher, two)
    eventually(lambda: launcher.history("web")[0]["status"] == "in_progress")
    launcher.kill()
    launcher.start()
    (intent,) = launcher.outcome(answer.body["delivery"])
    assert intent["status"] == "success"
    assert stage.serves() == "two"
    assert current(launcher) == two.digest
    assert len(stage.containers()) == 1


def test_a_killed_launcher_waits_for_the_compose_that_outlived_it(stage: Stage) -> None:
    """Two `up` at a time undo each other, and a good image would be blamed for it."""
    one = stage.push(Recipe("one", Behaviour.IGNORES_TERM))
    launcher = stage.launch(services={"app": {**stage.service(), "init": False}})
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    (old,) = stage.containers()
    two = stage.push(Recipe("two"))
    answer = stage.announce(launcher, two)
    # The new container is made, the old one is being stopped: that takes its 10 s of grace.
    eventually(lambda: len(stage.containers()) == 2)
    launcher.kill()
    launcher.start()
    (intent,) = launcher.outcome(answer.body["delivery"])
    assert intent["status"] == "success", intent
    assert stage.serves() == "two"
    assert launcher.workload("web")["quarantined"] == []
    assert len(stage.containers()) == 1
    assert old not in stage.containers()


def test_sigterm_lets_the_running_deployment_end(stage: Stage) -> None:
    """An orderly stop leaves nothing half-done, and nothing to repair at the next start."""
    one = stage.push(Recipe("one"))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    two = stage.push(Recipe("two"))
    stage.announce(launcher, two)
    eventually(lambda: launcher.history("web")[0]["status"] == "in_progress")
    assert launcher.stop() == 0
    assert stage.serves() == "two"
    launcher.start()
    assert current(launcher) == two.digest
    assert [d["status"] for d in launcher.history("web")] == ["success", "success"]


def test_a_second_launcher_on_the_same_state_refuses_to_start(stage: Stage) -> None:
    """Two launchers on one project leave zero containers (measured): only one may run."""
    stage.push(Recipe("one"))
    launcher = stage.launch()
    second = launcher.run("serve", timeout=30)
    assert second.returncode == 1
    assert "another launcher uses the state directory" in second.stderr
    assert launcher.get("/readyz").status == 200


def test_send_waits_for_the_result_and_exits_by_it(stage: Stage) -> None:
    """CI must fail when the deployment was rolled back, and only then."""
    one = stage.push(Recipe("one", interval=0.5))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    key = stage.host.directory / "key"
    key.write_text(stage.signing_key)
    url = f"{launcher.url}/hooks/ci"
    arguments = ("--wait", "--url", url, "--key-file", str(key), "--workload", "web")
    two = stage.push(Recipe("two", interval=0.5), "v2")
    good = launcher.run("send", *arguments, "--reference", f"{stage.image}:v2@{two.digest}")
    assert good.returncode == 0, good.stderr
    bad = stage.push(Recipe("bad", Behaviour.NEVER_HEALTHY, interval=0.5), "v3")
    failed = launcher.run("send", *arguments, "--reference", f"{stage.image}:v3@{bad.digest}")
    assert failed.returncode == 1
    assert "is back" in failed.stdout
    assert stage.serves() == "two"


@pytest.mark.second_engine
def test_pruning_does_not_take_the_rollback_away(stage: Stage) -> None:
    """A digest-only image is dangling: without keep-tags a prune would end the way back."""
    ours = {"Labels": {"pruned-by": stage.repository}}
    one = stage.push(Recipe("one", config=ours))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    assert stage.push_and_follow(launcher, Recipe("two", config=ours))["status"] == "success"
    # The filter spares images that a test beside this one has pulled and not yet started.
    stage.host.docker(
        "image", "prune", "--force", "--filter", f"label=pruned-by={stage.repository}"
    )
    stage.registry.delete(stage.repository, one.digest)
    assert launcher.run("rollback", "web", "--wait").returncode == 0
    assert stage.serves() == "one"


def test_a_paused_workload_keeps_what_it_hears_for_later(stage: Stage) -> None:
    """Pausing holds deployments, not deliveries: nothing acknowledged is lost."""
    one = stage.push(Recipe("one"))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == one.digest and idle(launcher))
    assert launcher.run("pause", "web").returncode == 0
    two = stage.push(Recipe("two"))
    answer = stage.announce(launcher, two)
    assert answer.status == 202
    assert launcher.workload("web")["state"] == "paused"
    assert _first(launcher, answer)["status"] == "queued"
    assert launcher.run("resume", "web").returncode == 0
    assert launcher.outcome(answer.body["delivery"])[0]["status"] == "success"
    assert stage.serves() == "two"


def _first(launcher: Launcher, answer: Answer) -> dict[str, Any]:
    """The first intent of a delivery, as its sender may read it."""
    found = ask("GET", f"{launcher.url}/api/v1/deliveries/{answer.body['delivery']}").body
    intents: list[dict[str, Any]] = found["intents"]
    return intents[0]
