"""What engines call an image differs by store; what runs is proved on each of them.

overlay2 names an image by its config's digest, the containerd store by the digest that was pulled,
and Engine 28 tells the platform's manifest besides.
"""

import json

import pytest

from testbed.images import Recipe
from tests.engine.stage import Stage, current, eventually, idle

pytestmark = [pytest.mark.engine, pytest.mark.second_engine]


def test_an_index_is_deployed_and_its_platform_is_proved(stage: Stage) -> None:
    """Most images are indexes: D is the index, what runs is one manifest of it."""
    index = stage.registry.push_index(stage.repository, "stable", Recipe("index"))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == index.digest and idle(launcher))
    assert stage.serves() == "index"
    shown = launcher.history("web")[0]["image"]
    assert (shown["digest"], shown["manifest"]) == (index.digest, index.manifest)
    assert index.manifest != index.digest
    (container,) = stage.containers()
    inspected = json.loads(stage.host.docker("inspect", container))[0]
    assert inspected["Image"] in index.ids
    told = (inspected.get("ImageManifestDescriptor") or {}).get("digest")
    assert told in (None, index.manifest)


def test_a_foreign_image_under_our_name_is_replaced(stage: Stage) -> None:
    """The containerd store lists a digest under every name it was given: that proves nothing."""
    good = stage.push(Recipe("good"))
    launcher = stage.launch()
    eventually(lambda: current(launcher) == good.digest and idle(launcher))
    foreign = stage.registry.push(f"{stage.repository}-foreign", "x", Recipe("foreign"))
    stage.host.docker("pull", "-q", foreign.pinned)
    stage.host.docker("tag", foreign.pinned, f"{stage.image}:stable")
    stage.host.docker("rm", "-f", *stage.containers())
    # What an operator types: the tag, which now is another image.
    stage.host.docker(
        "compose", "-f", str(stage.project.files[0]), "-p", stage.project.name,
        "up", "-d", "--pull", "never",
    )  # fmt: skip
    eventually(lambda: stage.serves() == "foreign")
    better = stage.push_and_follow(launcher, Recipe("better"))
    assert better["status"] == "success"
    assert stage.serves() == "better"


def test_what_ran_before_the_launcher_is_the_way_back(stage: Stage) -> None:
    """The first deployment may fail: what a user started by its tag must come back, by digest."""
    image = stage.registry.push_index(stage.repository, "stable", Recipe("before", interval=0.5))
    launcher = stage.prepare()
    stage.host.docker("compose", "-f", str(stage.project.files[0]), "-p", stage.project.name,
                      "up", "-d")  # fmt: skip
    eventually(lambda: stage.serves() == "before")
    (before,) = stage.containers()
    launcher.start()
    eventually(lambda: current(launcher) == image.digest and idle(launcher))
    assert stage.serves() == "before"
    assert stage.push_and_follow(launcher, Recipe("after"))["status"] == "success"
    assert launcher.run("rollback", "web", "--wait").returncode == 0
    assert stage.serves() == "before"
    (after,) = stage.containers()
    assert after != before
