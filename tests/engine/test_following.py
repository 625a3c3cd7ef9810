"""What a workload follows, and that it does not go back, on real parts."""

from typing import Any

import pytest

from testbed.images import Recipe
from testbed.launcher import Launcher
from tests.engine.stage import Stage, current, eventually, idle
from webhook_launcher.core.model import Image
from webhook_launcher.core.policies.no_downgrade import VERSION_LABEL

pytestmark = pytest.mark.engine


def release(stage: Stage, version: str, tag: str | None = None) -> Image:
    """Push an image that has its version in its label, and serves it."""
    recipe = Recipe(version, config={"Labels": {VERSION_LABEL: version}})
    return stage.push(recipe, tag or version)


def told(stage: Stage, launcher: Launcher, image: Image, tag: str) -> dict[str, Any]:
    """The intent of the event about a push, at its end."""
    [intent] = launcher.outcome(stage.announce(launcher, image, tag).body["delivery"])
    return intent


def test_the_newest_version_in_a_range_runs(stage: Stage) -> None:
    """At start by the list of tags, then by events; what is older or outside changes nothing."""
    release(stage, "1.9.0")
    ten = release(stage, "1.10.0")
    release(stage, "2.0.0")
    release(stage, "1.11.0", "1.11.0-alpine")
    launcher = stage.launch(options={"track": {"semver": ">=1.2 <2"}})
    eventually(lambda: current(launcher) == ten.digest and idle(launcher))
    shown = launcher.workload("web")
    assert shown["tracked"] == "semver >=1.2 <2"
    assert shown["tracked_now"] == f"{stage.image}:1.10.0@{ten.digest}"
    eleven = release(stage, "1.11.0")
    assert told(stage, launcher, eleven, "1.11.0")["status"] == "success"
    assert stage.serves() == "1.11.0"
    patch = release(stage, "1.9.1")
    assert told(stage, launcher, patch, "1.9.1")["code"] == "not-deployed"
    assert stage.serves() == "1.11.0"
    # GitHub names one of the tags that a push has set, so any of them leads to a look.
    for tag in ("2.1.0", "buildcache", "1.12.0-alpine"):
        intent = told(stage, launcher, release(stage, "9.9.9", tag), tag)
        assert intent["code"] == "unchanged", tag
    assert stage.serves() == "1.11.0"


def test_the_highest_build_of_a_pattern_runs(stage: Stage) -> None:
    """main-10 is newer than main-9."""
    stage.push(Recipe("nine"), "main-9")
    stage.push(Recipe("ten"), "main-10")
    stage.push(Recipe("other"), "feature-99")
    launcher = stage.launch(options={"track": {"pattern": "^main-[0-9]+$"}})
    eventually(lambda: stage.serves() == "ten" and idle(launcher))


def test_what_another_container_writes_into_a_file_runs(stage: Stage) -> None:
    """A digest or a tag, noticed by the poll; nonsense changes nothing and is shown."""
    one, two = stage.push(Recipe("one"), "a"), stage.push(Recipe("two"), "b")
    wanted = stage.host.directory / "wanted"
    track = {"track": {"file": str(wanted)}, "poll": {"every": "1s", "jitter": "0%"}}
    launcher = stage.launch(options=track)
    eventually(lambda: "No such file" in str(launcher.workload("web")["last_check"]["result"]))
    wanted.write_text(f"{one.digest}\n")
    eventually(lambda: stage.serves() == "one" and idle(launcher))
    wanted.write_text("../../etc/passwd\n")
    eventually(lambda: "not one tag" in str(launcher.workload("web")["last_check"]["result"]))
    assert stage.serves() == "one"
    wanted.write_text("b\n")
    eventually(lambda: current(launcher) == two.digest and idle(launcher))
    assert stage.serves() == "two"


def test_no_downgrade_keeps_a_moved_tag_and_a_replay_from_going_back(stage: Stage) -> None:
    """And an operator who names the digest does go back."""
    old = release(stage, "1.1.0", "stable")
    launcher = stage.launch(options={"policy": ["no_downgrade"]})
    eventually(lambda: current(launcher) == old.digest and idle(launcher))
    new = release(stage, "1.2.0", "stable")
    assert told(stage, launcher, new, "stable")["status"] == "success"
    release(stage, "1.1.0", "stable")
    moved_back = told(stage, launcher, old, "stable")
    assert (moved_back["status"], moved_back["code"]) == ("error", "policy-refused")
    never_ran = release(stage, "1.1.5", "stable")
    refused = told(stage, launcher, never_ran, "stable")
    assert "1.2.0 runs here, and 1.1.5 is older" in refused["detail"]
    replay = stage.deploy_event(launcher, f"{stage.image}@{old.digest}")
    [replayed] = launcher.outcome(replay.body["delivery"])
    assert "was replaced by a newer release" in replayed["detail"]
    assert (stage.serves(), current(launcher)) == ("1.2.0", new.digest)
    reference = f"{stage.image}@{old.digest}"
    launcher.post("/api/v1/workloads/web/deploy", {"reference": reference})
    eventually(lambda: current(launcher) == old.digest and idle(launcher))
    assert stage.serves() == "1.1.0"
    [said] = [
        verdict["said"]
        for verdict in launcher.history("web")[0]["policies"]
        if verdict["policy"] == "no_downgrade"
    ]
    assert said == f"an operator named {old.digest}"
