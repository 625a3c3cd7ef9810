"""A real registry as the sender: what it posts by itself must move the workload."""

import pytest

from testbed.images import Recipe
from testbed.launcher import free_port
from tests.engine.stage import Stage, current, eventually, idle

pytestmark = pytest.mark.engine


def test_a_push_to_a_real_registry_redeploys_by_its_own_notification(stage: Stage) -> None:
    """No recorded payload proves what the sender of today does; the sender does."""
    port = free_port()
    host = f"127.0.0.1:{port}"
    image = f"{host}/{stage.repository}"
    launcher = stage.prepare(
        services={"app": {**stage.service(), "image": f"{image}:stable"}},
        options={"image": image},
        top={"sources": {"local": {**stage.sources()["local"], "registry": host}}},
    )
    endpoint = {
        "name": "launcher",
        "url": f"{launcher.url}/hooks/local",
        "headers": {"Authorization": ["Bearer of-the-registry"]},
        "timeout": "1s",
        "threshold": 3,
        "backoff": "1s",
    }
    with stage.second_registry(port, {"endpoints": [endpoint]}) as registry:
        one = registry.push(stage.repository, "stable", Recipe("one"))
        launcher.start()
        eventually(lambda: current(launcher) == one.digest and idle(launcher))
        two = registry.push(stage.repository, "stable", Recipe("two"))
        eventually(lambda: current(launcher) == two.digest and stage.serves() == "two")
    deployment = launcher.history("web")[0]
    assert deployment["origin"]["source"] == "local"
    assert deployment["origin"]["trust"] == "token"
    accepted = [e for e in launcher.log_events() if e["event"] == "delivery" and e.get("intents")]
    assert accepted
    # Blobs, pulls and the untracked are answered 2xx: a 4xx would block the registry's queue.
    refused = [e for e in launcher.log_events() if e["event"] == "delivery refused"]
    assert refused == []
