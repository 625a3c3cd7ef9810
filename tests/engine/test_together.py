"""Several images of one workload on a real engine: one release, one way back."""

import json
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe
from testbed.launcher import Launcher, free_port
from tests.engine.stage import Stage, eventually, idle
from webhook_launcher.core.model import Image

pytestmark = pytest.mark.engine


class Shop:
    """`app` runs the stage's image, `worker` another one, both tagged `stable`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.worker = f"{stage.repository}-worker"
        self.worker_port = free_port()

    def push(self, web: Recipe, worker: Recipe) -> tuple[Image, Image]:
        """Both, one after the other, as a build does it."""
        return (
            self.stage.push(web),
            self.stage.registry.push(self.worker, "stable", worker),
        )

    def worker_service(self) -> dict[str, Any]:
        """Publishes what the worker serves."""
        service = self.stage.service(self.worker_port)
        return service | {"image": f"{self.stage.registry.host}/{self.worker}:stable"}

    def options(self) -> dict[str, Any]:
        """Of the workload."""
        return {"images": [f"{self.stage.registry.host}/{self.worker}"]}

    def serve(self) -> tuple[str | None, str | None]:
        """What both answer."""
        return self.stage.serves(), self.stage.serves(self.worker_port)

    def deployed(self, launcher: Launcher, web: Image) -> dict[str, Any]:
        """The intent of an event about one of them, when it has ended."""
        answer = self.stage.announce(launcher, web)
        assert answer.status == 202, answer
        (intent,) = launcher.outcome(answer.body["delivery"])
        return intent


def test_they_move_together_and_come_back_together(stage: Stage) -> None:
    """A new web on an old worker was never anybody's release."""
    shop = Shop(stage)
    shop.push(Recipe("web-1"), Recipe("worker-1"))
    launcher = stage.launch(
        {"app": stage.service(), "worker": shop.worker_service()}, shop.options()
    )
    eventually(lambda: shop.serve() == ("web-1", "worker-1") and idle(launcher))
    web, worker = shop.push(Recipe("web-2"), Recipe("worker-2"))
    assert shop.deployed(launcher, web)["status"] == "success"
    assert shop.serve() == ("web-2", "worker-2")
    newest = launcher.history("web")[0]
    assert [one.rpartition("@")[2] for one in newest["image"]["images"]] == [
        web.digest,
        worker.digest,
    ]
    bad, _ = shop.push(Recipe("web-3"), Recipe("worker-3", Behaviour.EXITS, interval=0.5))
    assert shop.deployed(launcher, bad)["status"] == "failure"
    assert shop.serve() == ("web-2", "worker-2")
    running = {
        json.loads(stage.host.docker("inspect", container))[0]["Image"]
        for container in stage.containers()
    }
    assert running <= web.ids | worker.ids


def test_an_inline_document_runs_the_workloads_own_image_where_none_is_named(
    stage: Stage,
) -> None:
    """And the others where they are named; one file pins both."""
    shop = Shop(stage)
    shop.push(Recipe("web-1"), Recipe("worker-1"))
    app = {key: value for key, value in stage.service().items() if key != "image"}
    inline = {"services": {"app": app, "worker": shop.worker_service()}}
    options = shop.options() | {"compose": {"inline": inline}}
    launcher = stage.prepare(options=options)
    document = json.loads(launcher.config.read_text())
    document["workloads"]["web"]["compose"]["project"] = stage.project.name
    launcher.config.write_text(json.dumps(document))
    launcher.start()
    eventually(lambda: shop.serve() == ("web-1", "worker-1") and idle(launcher))
    web, _ = shop.push(Recipe("web-2"), Recipe("worker-2"))
    assert shop.deployed(launcher, web)["status"] == "success"
    assert shop.serve() == ("web-2", "worker-2")
