"""What the sender of a delivery can read without the admin token: never what a program printed."""

import json
from typing import Any

import pytest

from testbed.images import Recipe
from testbed.launcher import Answer, Launcher, ask
from tests.engine.stage import Stage, current, eventually, idle, script

pytestmark = pytest.mark.engine

CANARY = "canary-Authorization-Bearer-7f3a"


def public(launcher: Launcher, answer: Answer) -> dict[str, Any]:
    """The delivery's only intent, as its sender reads it."""
    found = ask("GET", f"{launcher.url}/api/v1/deliveries/{answer.body['delivery']}").body
    assert CANARY not in json.dumps(found)
    [intent] = found["intents"]
    return dict(intent)


def kept(launcher: Launcher, answer: Answer) -> str:
    """All that the operator reads about it."""
    delivery = launcher.get(f"/api/v1/deliveries/{answer.body['delivery']}").body
    return json.dumps([delivery, launcher.history("web"), launcher.workload("web")])


def deployed(stage: Stage, **options: Any) -> Launcher:
    """A launcher whose workload runs a good release."""
    good = stage.push(Recipe("good", interval=0.5))
    launcher = stage.launch(**options)
    eventually(lambda: current(launcher) == good.digest and idle(launcher))
    return launcher


def test_a_healthchecks_output_is_not_public(stage: Stage) -> None:
    """`curl -v` in a healthcheck prints the Authorization header that it sends."""
    launcher = deployed(stage)
    probe = {"Test": ["CMD-SHELL", f"echo {CANARY}; exit 1"], "Interval": 500_000_000, "Retries": 2}
    bad = stage.push(Recipe("bad", config={"Healthcheck": probe}))
    answer = stage.announce(launcher, bad)
    [seen] = launcher.outcome(answer.body["delivery"])
    intent = public(launcher, answer)
    assert CANARY in kept(launcher, answer)
    assert (intent["status"], intent["code"]) == (seen["status"], seen["code"])
    assert intent["final"]
    assert bad.digest in intent["image"]
    assert "`webhook-launcher history web`" in intent["detail"]


def test_composes_output_is_not_public(stage: Stage) -> None:
    """It quotes paths and names of the host, and what the file's variables were replaced by."""
    launcher = deployed(stage)
    source = f"/nowhere/{CANARY}"
    mount = {"type": "bind", "source": source, "target": "/x", "bind": {"create_host_path": False}}
    file = stage.project.files[0]
    file.write_text(json.dumps({"services": {"app": {**stage.service(), "volumes": [mount]}}}))
    answer = stage.announce(launcher, stage.push(Recipe("two", interval=0.5)))
    eventually(lambda: public(launcher, answer)["code"] is not None)
    eventually(lambda: CANARY in kept(launcher, answer))
    assert "webhook-launcher" in public(launcher, answer)["detail"]


def test_a_hooks_output_is_not_public(stage: Stage) -> None:
    """A hook is the user's program, and has the launcher's whole environment to print."""
    hook = script(stage.host.directory / "hook", [f"echo {CANARY} >&2", "exit 1"])
    launcher = stage.launch(options={"hooks": {"before": [str(hook)]}})
    answer = stage.announce(launcher, stage.push(Recipe("one", interval=0.5)))
    launcher.outcome(answer.body["delivery"])
    intent = public(launcher, answer)
    assert CANARY in kept(launcher, answer)
    assert (intent["status"], intent["code"]) == ("error", "hook-failed")
    assert intent["detail"].startswith("A hook of the workload failed. ")
